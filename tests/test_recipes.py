"""Every shipped recipe is valid, opens with its command, and takes a step with tiny networks on tiny pictures."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from i2i import api, images, recipe, zoo
from i2i.data import card, names
from i2i.errors import UserError
from i2i.paths import shared
from i2i.translator import Translator

FILES = sorted(file for file in shared("recipes").glob("*.yaml") if not file.stem.startswith("distil_"))
PUBLISHED = ("cyclegan_horse2zebra", "pix2pix_facades", "pix2pix_edges2shoes", "pix2pix_day2night")
CROP = 32  # the least of the perceptual weight


@pytest.fixture(params=FILES, ids=lambda file: file.stem)
def file(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def made_tiny(settings: Any, root: Path) -> dict[str, Any]:
    """The recipe's tree with small networks and few steps, its data replaced by the pictures in `root`."""
    tree: dict[str, Any] = settings.model_dump(mode="json", exclude_unset=True)
    for net in ("generator", "discriminator"):
        part = tree.setdefault(net, {})
        sizes = {"width": 4, "levels": 3, "blocks": 1, "layers": 1, "scales": 1, "noise": 4, "depth": 1}
        for key, small in sizes.items():
            if key in part or key == "width":
                part[key] = min(part.get(key, small), small)
    data = tree["data"]
    if data["layout"] != "mixture":
        data = {**data, "crop": CROP, "root": str(root)}
        data.pop("dataset", None)
        if data.get("load"):
            data["load"] = CROP + 2
    schedule = [{**{k: v for k, v in phase.items() if k != "epochs"}, "steps": 1} for phase in tree["schedule"]]
    return {**tree, "data": data, "schedule": schedule, "batch": 4, "samples": 3}


@pytest.fixture
def generated(tmp_path: Path, noise: Callable[..., np.ndarray]) -> Callable[[Any], Path]:
    """generated(settings): a folder of noise pictures in the layout, and with the classes, that the recipe wants."""

    def make(settings: Any) -> Path:
        layout, size = getattr(settings.data, "layout", ""), CROP + 4
        folders = {
            "paired": ["photos"] if getattr(settings.data, "derive", None) else ["trainA", "trainB"],
            "unpaired": [*_side_a(settings), "trainB"],
            "unlabelled": ["photos"],
            "labelled": [f"train/{i:03}" for i in range(max(2, getattr(settings, "classes", 0)))],
            "mixture": [],
        }[layout]
        for key, folder in enumerate(folders):
            for i in range(12):
                images.write(tmp_path / "data" / folder / f"{i:02}.png", noise(100 * key + i, size, size))
        return tmp_path / "data"

    return make


def _side_a(settings: Any) -> list[str]:
    if getattr(settings.data, "labels", None):
        return [f"trainA/{i:03}" for i in range(settings.classes)]
    return ["trainA"]


def test_there_are_recipes() -> None:
    assert len(FILES) >= 6


def test_a_recipe_is_valid_as_shipped(file: Path) -> None:
    assert recipe.load(file.stem) == recipe.load(file)


def test_a_recipe_opens_with_its_command_and_its_time(file: Path) -> None:
    lines = file.read_text("utf-8").splitlines()
    opening = lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))]
    assert re.match(rf"# i2i train {file.stem}( --set data\.root=FOLDER)?( {{2,}}|$)", opening[0])
    assert len(opening) > 1, "the second line says what becomes what"
    assert re.search(r": (about \d+ (s|min|h)\b|not measured)", "\n".join(opening)), "how long does it take?"


def test_a_recipe_names_its_paper_and_a_data_set_with_a_card(file: Path) -> None:
    assert re.search(r"^model: \w+ +# .*\d{4}", file.read_text("utf-8"), re.MULTILINE)
    data = recipe.load(file).data  # type: ignore[attr-defined]
    if getattr(data, "dataset", None):
        assert data.dataset in names()
        assert card(data.dataset).layout in (data.layout, "labelled")  # pictures of classes also do without labels


def test_a_recipe_takes_a_step_and_its_model_works(
    file: Path, generated: Callable[[Any], Path], tmp_path: Path, fresh_home: Path
) -> None:
    settings = recipe.load(file)
    tiny = recipe.build(made_tiny(settings, generated(settings)), str(file))
    api.train(tiny, run=tmp_path / "run", name=file.stem)
    loaded = zoo.load(file.stem, torch.device("cpu"))
    assert loaded.step == len(settings.schedule)
    if "generator" in loaded.product:
        api.sample(file.stem, tmp_path / "samples.png", count=4)
        assert images.read(tmp_path / "samples.png").std() > 0
    else:
        for net in loaded.product.values():
            picture = np.zeros((9, 11, int(net.inputs)), np.uint8)
            assert Translator(net, torch.device("cpu"))(picture).shape[:2] == (9, 11)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_recipe_whose_data_is_missing_says_where_to_get_it_and_where_to_put_it(
    name: str, tmp_path: Path, fresh_home: Path
) -> None:
    with pytest.raises(UserError) as caught:
        api.train(name, run=tmp_path / "run")
    message, dataset = str(caught.value), card(recipe.load(name).data.dataset)  # type: ignore[attr-defined]
    assert dataset.archive is not None
    assert str(dataset.archive.url) in message
    assert str(fresh_home / "datasets" / dataset.name) in message
    assert dataset.archive.expects in message
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("name", "root"), [("dcgan_faces", "faces"), ("pix2pix_edges2cats", "cats")])
def test_a_recipe_for_a_folder_of_your_own_says_what_should_be_in_it(
    name: str, root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=rf"(?s){root} is no folder.*\*\.png"):
        api.train(name)


def test_cyclegan_is_as_published() -> None:
    """Zhu et al. 2017, section 4 and appendix; identity weight and generator for 256 px as in their code."""
    r: Any = recipe.load("cyclegan_horse2zebra")
    assert (r.batch, r.history, r.loss, r.weights.cycle, r.weights.identity) == (1, 50, "least-squares", 10, 5)
    g = r.generator
    assert (g.blocks, g.width, g.norm, g.padding) == (9, 64, "instance", "reflect")
    assert (r.discriminator.layers, r.discriminator.width) == (3, 64)
    assert (r.data.load, r.data.crop, r.data.flip, r.data.split.val) == (286, 256, True, 0)
    assert [(p.epochs, p.lr) for p in r.schedule] == [(200, "flat-then-linear")]
    assert all((p.lr, p.betas) == (2e-4, (0.5, 0.999)) for p in (r.players.generators, r.players.discriminators))


@pytest.mark.parametrize(
    ("name", "direction", "batch", "epochs", "jitter"),
    [
        ("pix2pix_facades", "b2a", 1, 200, True),
        ("pix2pix_edges2shoes", "a2b", 4, 15, False),
        ("pix2pix_day2night", "b2a", 4, 17, True),
    ],
)
def test_pix2pix_is_as_published(name: str, direction: str, batch: int, epochs: int, jitter: bool) -> None:
    """Isola et al. 2017, section 3.3 and appendix 6.2."""
    r: Any = recipe.load(name)
    g = r.generator
    assert (g.levels, g.width, g.norm, g.dropout, g.dropout_at_test) == (8, 64, "batch", 0.5, True)
    assert (g.upsample, g.test_statistics) == ("transposed", "picture")
    assert (r.discriminator.layers, r.discriminator.norm) == (3, "batch")
    assert (r.batch, r.weights.l1, r.weights.adversarial, r.loss) == (batch, 100, 1, "non-saturating")
    assert (r.data.direction, r.data.crop) == (direction, 256)
    assert (r.data.load, r.data.flip) == ((286, True) if jitter else (None, False))
    assert [(p.epochs, p.lr) for p in r.schedule] == [(epochs, "constant")]
    assert all((p.lr, p.betas) == (2e-4, (0.5, 0.999)) for p in (r.players.generator, r.players.discriminator))


def test_dcgan_is_as_published() -> None:
    """Radford et al. 2015, sections 3 and 4; the 25 epochs are those of their code."""
    r: Any = recipe.load("dcgan_faces")
    assert (r.batch, r.data.crop, r.generator.noise, r.generator.width, r.generator.norm) == (128, 64, 100, 64, "batch")
    assert (r.discriminator.width, r.discriminator.norm, r.loss, r.smooth) == (64, "batch", "non-saturating", 1)
    assert [(p.epochs, p.lr) for p in r.schedule] == [(25, "constant")]
    assert all((p.lr, p.betas) == (2e-4, (0.5, 0.999)) for p in (r.players.generator, r.players.discriminator))

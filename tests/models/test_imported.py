"""An imported model translates, and says of everything else what to do instead."""

from pathlib import Path
from typing import Any

import pytest
import torch

from i2i import recipe
from i2i.data import PairedData, UnpairedData, open_split
from i2i.errors import UserError
from i2i.images import write
from i2i.models import MODELS
from i2i.models.imported import Imported, Recipe, pictures

GENERATOR = {"kind": "resnet", "blocks": 1, "width": 2}


def settings(**changes: Any) -> Recipe:
    told = {"model": "imported", "generator": GENERATOR, "toolkit": "pytorch-CycleGAN-and-pix2pix", "source": "g"}
    return recipe.build({**told, "sha256": "0" * 64, **changes}, "test")  # type: ignore[return-value]


def folder(root: Path, names: list[str], noise: Any, other: list[str] | None = None, split: str = "train") -> Path:
    for side, there in (("A", names), ("B", other or names)):
        for name in there:
            write(root / f"{split}{side}" / f"{name}.png", noise(len(name), 8, 8), force=True)
    return root


def test_its_product_is_one_translator_with_the_channels_of_the_recipe() -> None:
    product = Imported(settings(channels={"a": 1, "b": 3})).product()
    assert list(product) == ["a2b"]
    assert product["a2b"](torch.zeros(1, 1, 8, 8)).shape == (1, 3, 8, 8)


def test_it_has_nothing_to_train() -> None:
    told = settings()
    assert (told.data, told.schedule) == (None, ())
    assert recipe.phases(MODELS[Recipe]) == []
    for key, value in {"schedule": [{"phase": "adversarial", "steps": 1}], "data": {"layout": "mixture"}}.items():
        with pytest.raises(UserError, match=rf"recipe\.imported\.{key}"):
            settings(**{key: value})


def test_its_recipe_reads_back_from_the_yaml_it_is_written_as(tmp_path: Path) -> None:
    path = tmp_path / "imported.yaml"
    path.write_text(recipe.dump(settings()))
    assert recipe.build(recipe._parse(path.read_bytes(), "test"), "test") == settings()


def test_other_recipes_still_need_data_and_a_schedule() -> None:
    for model in ("cyclegan", "pix2pix", "gan"):
        with pytest.raises(UserError, match=r"data: missing.*\n.*schedule: missing"):
            recipe.build({"model": model}, "test")


def test_without_a_folder_there_is_nothing_to_score_and_it_says_what_to_give() -> None:
    with pytest.raises(UserError, match=r"imported from g and knows no data.*--data FOLDER"):
        pictures(settings(), None)


def test_channels_that_no_picture_has_are_not_scored(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="1 channels in and 65 out"):
        pictures(settings(channels={"a": 1, "b": 65}), tmp_path)


def test_other_channels_than_those_of_colour_are_scored(tmp_path: Path, noise: Any) -> None:
    data = pictures(settings(channels={"a": 2, "b": 5}), folder(tmp_path, ["x", "yy"], noise))
    assert (data.channels.a, data.channels.b) == (2, 5)


def test_pictures_of_equal_names_are_pairs_and_others_are_not(tmp_path: Path, noise: Any) -> None:
    paired = pictures(settings(), folder(tmp_path / "one", ["x", "yy"], noise))
    unpaired = pictures(settings(), folder(tmp_path / "two", ["x", "yy"], noise, ["z", "yyy"]))
    assert isinstance(paired, PairedData)
    assert isinstance(unpaired, UnpairedData)
    write(tmp_path / "three" / "both.png", noise(0, 8, 16))
    write(tmp_path / "three" / "too.png", noise(1, 8, 16))
    assert isinstance(pictures(settings(), tmp_path / "three"), PairedData)


def test_a_split_of_its_own_is_scored_and_a_plain_folder_in_half(tmp_path: Path, noise: Any) -> None:
    root = folder(tmp_path, ["a", "bb", "ccc", "dddd"], noise)
    plain = pictures(settings(), root)
    halves = [set(open_split(plain, split).files[0]) for split in ("train", "test")]
    assert [len(half) for half in halves] == [2, 2]
    assert not halves[0] & halves[1]
    own = pictures(settings(), folder(root, ["e"], noise, split="test"))
    assert [path.parent.name for path in open_split(own, "test").files[0]] == ["testA"]
    assert len(open_split(own, "train")) == 4


@pytest.mark.parametrize(
    ("generator", "side"),
    [
        (GENERATOR, 256),
        ({"kind": "unet", "levels": 7, "width": 1}, 128),
        ({"kind": "unet", "levels": 8, "width": 1}, 256),
    ],
)
def test_pictures_are_scored_at_the_size_the_toolkits_train_at(
    generator: dict[str, Any], side: int, tmp_path: Path, noise: Any
) -> None:
    data = pictures(settings(generator=generator), folder(tmp_path, ["x", "yy"], noise))
    assert (data.load, data.crop) == (side, side)


def test_a_folder_with_no_two_sides_is_told(tmp_path: Path) -> None:
    data = pictures(settings(), tmp_path)
    with pytest.raises(UserError, match="no training pictures for `layout: unpaired`"):
        open_split(data, "test")

"""Validation scores against hand-made truth, and that looking at a model changes nothing about it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from i2i import metrics, recipe
from i2i.data import fixed
from i2i.engine.settings import Settings
from i2i.errors import Stopped, UserError
from i2i.images import write
from i2i.models import MODELS
from i2i.validation import criterion, names, validate

CPU = torch.device("cpu")
Tree = Callable[..., dict[str, Any]]


class Reply(nn.Module):
    """A network that does what it is told."""

    def __init__(self, reply: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.reply = reply

    def forward(self, x: Tensor) -> Tensor:
        return self.reply(x)


def settings(tree: dict[str, Any]) -> Settings:
    return recipe.build(tree, "test")


@pytest.fixture
def inverted(tmp_path: Path, noise: Callable[..., np.ndarray]) -> Path:
    """Pairs whose b is the negative of a, a black half apart: train and val."""
    for split, first in (("train", 0), ("val", 10)):
        for i in range(6):
            picture = noise(first + i, 16, 16)
            write(tmp_path / f"{split}A" / f"{i}.png", picture)
            write(tmp_path / f"{split}B" / f"{i}.png", 255 - picture)
    return tmp_path


@pytest.fixture
def paired(tiny: Tree, inverted: Path) -> Settings:
    tree = tiny("pix2pix")
    tree["data"]["root"] = str(inverted)
    return settings(tree)


@pytest.fixture
def unpaired(tiny: Tree, inverted: Path) -> Settings:
    tree = tiny("cyclegan")
    tree["data"]["root"] = str(inverted)
    return settings(tree)


def test_a_perfect_answer_has_perfect_scores(paired: Settings) -> None:
    found = validate(paired, {"a2b": Reply(lambda x: -x)}, CPU)
    assert found["l1"] == pytest.approx(0, abs=1e-6)
    assert found["psnr"] == pytest.approx(100, abs=1)
    assert found["ssim"] == pytest.approx(1, abs=1e-4)
    assert found["correlation"] == pytest.approx(1, abs=1e-4)
    assert found["perceptual_efflite0"] == pytest.approx(0, abs=1e-6)


def test_scores_of_pairs_are_the_means_over_the_val_split(paired: Settings) -> None:
    a, b = fixed(paired.data, "val", 100)
    found = validate(paired, {"a2b": Reply(lambda x: x)}, CPU)
    assert len(a) == 6
    for name, score in (("l1", metrics.l1), ("ssim", metrics.ssim), ("perceptual_efflite0", metrics.perceptual)):
        assert found[name] == pytest.approx(score(a, b).mean().item(), abs=1e-5)
    assert found["correlation"] == pytest.approx(-1, abs=1e-4)


def test_translators_without_pairs_are_scored_as_sets_and_by_their_cycle(unpaired: Settings) -> None:
    perfect = validate(unpaired, {"a2b": Reply(lambda x: -x), "b2a": Reply(lambda x: -x)}, CPU)
    assert perfect["a2b/fid_efflite0"] == pytest.approx(0, abs=1e-4)
    assert perfect["a2b/kid_efflite0"] <= 0
    assert perfect["a2b/diversity"] == pytest.approx(1, abs=1e-4)
    assert perfect["cycle"] == perfect["a2b/cycle"] == 0

    lazy = validate(unpaired, {"a2b": Reply(lambda x: -x), "b2a": Reply(lambda x: torch.zeros_like(x))}, CPU)
    a, b = fixed(unpaired.data, "val", 100)
    assert lazy["b2a/diversity"] == pytest.approx(0, abs=1e-5)
    assert lazy["b2a/fid_efflite0"] > lazy["a2b/fid_efflite0"]
    assert lazy["a2b/cycle"] == pytest.approx(a.abs().mean().item() / 2, abs=1e-5)
    assert lazy["b2a/cycle"] == pytest.approx(b.abs().mean().item() / 2, abs=1e-5)
    assert lazy["kid_efflite0"] == pytest.approx((lazy["a2b/kid_efflite0"] + lazy["b2a/kid_efflite0"]) / 2)

    alone = validate(unpaired, {"a2b": Reply(lambda x: -x)}, CPU)
    assert not any("cycle" in name for name in alone)


def test_each_direction_is_compared_with_the_side_it_goes_to(unpaired: Settings) -> None:
    a, b = fixed(unpaired.data, "val", 100)
    found = validate(unpaired, {"a2b": Reply(lambda x: x), "b2a": Reply(lambda x: x[:, :1].expand(-1, 3, -1, -1))}, CPU)
    see = metrics.network("efflite0")
    seen_a, seen_b, grey_b = (see(x).pooled for x in (a, b, b[:, :1].expand(-1, 3, -1, -1)))
    assert found["a2b/fid_efflite0"] == pytest.approx(metrics.fid(seen_a, seen_b), rel=1e-4)
    assert found["b2a/fid_efflite0"] == pytest.approx(metrics.fid(grey_b, seen_a), rel=1e-4)


class Collapsed(nn.Module):
    def forward(self, z: Tensor) -> Tensor:
        return torch.zeros(len(z), 3, 16, 16)


def test_a_generator_is_scored_beside_real_pictures_and_a_constant_one_has_no_diversity(tiny: Tree) -> None:
    chosen = settings(tiny("dcgan"))
    network = MODELS[type(chosen)](chosen).product()["generator"]
    found = validate(chosen, {"generator": network}, CPU, split="train")
    assert list(found) == list(names(chosen)) == ["fid_efflite0", "kid_efflite0", "diversity"]
    assert found["diversity"] > 0
    collapsed = validate(chosen, {"generator": Collapsed()}, CPU, split="train")
    assert collapsed["diversity"] == pytest.approx(0, abs=1e-6)
    assert collapsed["fid_efflite0"] > 0


def test_points_have_no_scores(tiny: Tree) -> None:
    chosen = settings(tiny("gan"))
    assert validate(chosen, MODELS[type(chosen)](chosen).product(), CPU) == {}
    assert names(chosen) == ()


def test_one_picture_is_no_set(tiny: Tree) -> None:
    chosen = settings(tiny("dcgan"))
    assert validate(chosen, {"generator": Collapsed()}, CPU, split="val") == {}  # a tenth of twelve


def test_at_most_so_many_pictures_are_looked_at(paired: Settings) -> None:
    batches = []
    validate(paired, {"a2b": Reply(lambda x: batches.append(len(x)) or x)}, CPU, limit=4)  # type: ignore[func-returns-value]
    assert batches == [4]


@pytest.mark.parametrize("model", ["pix2pix", "cyclegan", "dcgan"])
def test_validation_leaves_no_trace(model: str, tiny: Tree) -> None:
    generator = {"generator": {"kind": "unet", "levels": 2, "width": 4, "dropout": 0.5, "dropout_at_test": True}}
    chosen = settings(tiny(model, **(generator if model == "pix2pix" else {})))
    whole = MODELS[type(chosen)](chosen)
    product = whole.product()
    frozen = next(iter(product.values())).eval()
    for network in list(product.values())[1:]:
        network.train()
    modes = {name: part.training for name, part in whole.named_modules()}
    weights = {name: value.clone() for name, value in [*whole.named_parameters(), *whole.named_buffers()]}
    torch.manual_seed(7)
    before = torch.get_rng_state()
    first = validate(chosen, product, CPU, split="train")
    assert torch.equal(torch.get_rng_state(), before)
    assert modes == {name: part.training for name, part in whole.named_modules()}
    assert not frozen.training
    after = dict([*whole.named_parameters(), *whole.named_buffers()])
    assert all(torch.equal(after[name], value) for name, value in weights.items())
    torch.manual_seed(8)
    assert validate(chosen, product, CPU, split="train") == first
    assert torch.is_grad_enabled()


def test_networks_are_at_test_while_they_are_looked_at(paired: Settings) -> None:
    modes = []
    network = Reply(lambda x: modes.append((network.training, torch.is_grad_enabled())) or x)  # type: ignore[func-returns-value]
    validate(paired, {"a2b": network.train()}, CPU)
    assert modes == [(False, False)]
    assert network.training


@pytest.mark.parametrize(("model", "batches"), [("pix2pix", 1), ("cyclegan", 4), ("dcgan", 2)])
def test_whoever_watches_can_leave_before_every_batch(model: str, batches: int, tiny: Tree) -> None:
    chosen = settings(tiny(model))
    product = MODELS[type(chosen)](chosen).product()
    asked: list[int] = []
    validate(chosen, product, CPU, split="train", watch=lambda: asked.append(1))
    assert len(asked) == batches  # each side or set is one, of the real pictures and of the answers

    def watch() -> None:
        asked.append(1)
        if len(asked) == 2 * batches:
            raise Stopped("enough")

    before = torch.get_rng_state()
    with pytest.raises(Stopped):
        validate(chosen, product, CPU, split="train", watch=watch)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(network.training for network in product.values())


def test_a_split_that_is_missing_is_named(tiny: Tree) -> None:
    tree = tiny("dcgan")
    tree["data"]["split"] = {"val": 0}
    with pytest.raises(UserError, match="val"):
        validate(settings(tree), {"generator": Collapsed()}, CPU)


@pytest.mark.parametrize("model", ["pix2pix", "cyclegan", "dcgan"])
def test_the_names_are_those_of_the_scores(model: str, tiny: Tree) -> None:
    chosen = settings(tiny(model))
    found = validate(chosen, MODELS[type(chosen)](chosen).product(), CPU, split="train")
    assert set(names(chosen)) == set(found)
    assert criterion(chosen)[0] in found


@pytest.mark.parametrize(
    ("model", "select", "expected"),
    [
        ("pix2pix", None, ("perceptual_efflite0", False)),
        ("cyclegan", None, ("kid_efflite0", False)),
        ("dcgan", None, ("kid_efflite0", False)),
        ("pix2pix", "psnr", ("psnr", True)),
        ("cyclegan", "b2a/fid_efflite0", ("b2a/fid_efflite0", False)),
        ("cyclegan", "a2b/diversity", ("a2b/diversity", True)),
        ("cyclegan", "cycle", ("cycle", False)),
    ],
)
def test_the_best_model_is_chosen_by(model: str, select: str | None, expected: tuple[str, bool], tiny: Tree) -> None:
    assert criterion(settings(tiny(model, select=select))) == expected


def test_an_unknown_choice_suggests_known_ones(tiny: Tree) -> None:
    with pytest.raises(UserError, match="Did you mean perceptual_efflite0"):
        criterion(settings(tiny("pix2pix", select="perceptual")))
    with pytest.raises(UserError, match="Points have none"):
        criterion(settings(tiny("gan", select="l1")))
    before = torch.get_rng_state()
    criterion(settings(tiny("cyclegan", select="cycle")))
    assert torch.equal(torch.get_rng_state(), before)

"""Pictures of a card: drawn by lot, or really the worst; and what a model costs, counted by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from i2i import images, metrics, recipe, zoo
from i2i.data import in_order
from i2i.models import MODELS
from i2i.publishing import examples, measures, sheets
from i2i.translator import Translator

CPU = torch.device("cpu")


@pytest.fixture
def model(tmp_path: Path, tiny: Callable[..., Any], noise: Callable[..., np.ndarray]) -> zoo.Model:
    """A CycleGAN with new weights, and nine registered test pictures."""
    for i in range(9):
        for side in "AB":
            images.write(tmp_path / f"test{side}" / f"{i}.png", noise(10 * i + ord(side), 16, 16))
            images.write(tmp_path / f"train{side}" / f"{i}.png", noise(i, 16, 16))
    tree = tiny("cyclegan")
    tree["data"]["root"] = str(tmp_path)
    settings = recipe.build(tree, "test")
    torch.manual_seed(0)
    product = {name: net.eval() for name, net in MODELS[type(settings)](settings).product().items()}
    return zoo.Model(settings, product, 0, "", {})


def test_the_lot_is_drawn_from_the_seed_alone(model: zoo.Model) -> None:
    chosen = examples.choose(model, "a2b", "test", 4, 0)
    expected = sorted(np.random.default_rng(0).permutation(9)[:4].tolist())
    assert [each.index for each in chosen.random] == expected
    assert chosen.pictures == 9
    assert [e.index for e in examples.choose(model, "a2b", "test", 99, 0).random] == list(range(9))


@pytest.mark.parametrize("way", ["a2b", "b2a"])
def test_the_worst_are_the_worst_of_all(model: zoo.Model, way: str) -> None:
    """Against the distances of all pictures, computed at once."""
    a, b = next(iter(in_order(model.recipe.data, "test", 9)))
    x, y = (a, b) if way == "a2b" else (b, a)
    with torch.inference_mode():
        fake = Translator(model.product[way], CPU).forward(x)
        see = metrics.network("efflite0", "cpu")
        distances = metrics.distance(see(fake).stages, see(y).stages)
    chosen = examples.choose(model, way, "test", 2, 3)
    assert chosen.by == "perceptual_efflite0"
    assert [each.index for each in chosen.worst] == distances.argsort(descending=True)[:3].tolist()
    for each in chosen.worst:
        assert each.value == pytest.approx(distances[each.index].item(), rel=1e-4)
        assert torch.equal(each.input, x[each.index])
        assert torch.equal(each.truth, y[each.index])
        assert torch.allclose(each.translated, fake[each.index], atol=1e-5)


def test_where_large_is_good_the_smallest_is_the_worst(
    tmp_path: Path, model: zoo.Model, tiny: Callable[..., Any]
) -> None:
    tree = tiny("pix2pix", select="correlation")
    tree["data"]["root"] = str(tmp_path)
    settings = recipe.build(tree, "test")
    told = zoo.Model(settings, {"a2b": model.product["a2b"]}, 0, "", {})
    chosen = examples.choose(told, "a2b", "test", 9, 9)
    assert chosen.by == "correlation"
    values = [each.value for each in chosen.worst]
    assert values == sorted(values)
    assert values[0] < values[-1]


def test_without_truths_the_farthest_from_all_real_pictures_is_the_worst(tmp_path: Path, model: zoo.Model) -> None:
    (tmp_path / "testB" / "8.png").rename(tmp_path / "testB" / "other.png")
    (tmp_path / "testB" / "7.png").unlink()
    chosen = examples.choose(model, "a2b", "test", 9, 9)
    assert chosen.by == examples.NEAREST
    assert len(chosen.worst) == 9  # of nine inputs, where there are eight on the other side
    assert all(each.truth is None for each in chosen.worst)
    batch = next(iter(in_order(model.recipe.data, "test", 9)))
    with torch.inference_mode():
        see = metrics.network("efflite0", "cpu")
        fake = see(Translator(model.product["a2b"], CPU).forward(batch[0])).pooled
        nearest = (fake[:, None] - see(batch[1]).pooled[None]).norm(dim=2).amin(1)
    assert [each.index for each in chosen.worst] == nearest.argsort(descending=True).tolist()


@pytest.mark.parametrize(("side", "across", "scale"), [(16, 8, 7), (64, 8, 2), (128, 8, 1), (256, 4, 1), (512, 3, 1)])
def test_a_sheet_shows_every_pixel_of_every_picture(side: int, across: int, scale: int) -> None:
    some = [
        examples.Example(i, 0.5, *(torch.rand(3, side, side, generator=torch.Generator().manual_seed(9 * i + k)) * 2 - 1
                                   for k in range(3)))
        for i in range(across + 1)
    ]  # fmt: skip
    assert sheets.columns(side) == across
    drawn = np.asarray(sheets.sheet([("a → b", some)], captions=True))
    left, top = sheets.MARGIN + sheets.TITLES, sheets.MARGIN + sheets.BAND + sheets.CAPTION
    step = scale * side + sheets.GAP
    for j, row in ((0, "input"), (1, "translated"), (2, "truth")):
        for i in (0, across - 1):
            cell = drawn[top + j * step :, left + i * step :][: scale * side, : scale * side]
            pixels = ((getattr(some[i], row) + 1) * 127.5).round().numpy().transpose(1, 2, 0)
            assert np.array_equal(cell[::scale, ::scale], pixels), (row, i)
    bare = [examples.Example(e.index, e.value, e.input, e.translated, None) for e in some[:2]]
    assert sheets.sheet([("", bare)]).height == 2 * sheets.MARGIN + 2 * step - sheets.GAP


def test_multiply_adds_and_parameters_are_counted_by_hand() -> None:
    """5 × 5 kernels from 3 to 8 channels at every pixel of 32 × 32, then 1 × 1 from 8 to 3."""
    network = nn.Sequential(nn.Conv2d(3, 8, 5, padding=2), nn.Conv2d(8, 3, 1))
    network.inputs, network.multiple, network.minimum = 3, 16, 32
    by_hand = 32 * 32 * (3 * 8 * 25 + 8 * 3)
    assert measures.multiply_adds(network, 32) == by_hand
    assert measures.multiply_adds(network, 8) == by_hand  # padded to the minimum
    assert measures.multiply_adds(network, 33) == by_hand / 32**2 * 48**2  # to the next multiple
    assert measures.parameters(network) == 3 * 8 * 25 + 8 + 8 * 3 + 3


def test_what_is_trained_is_all_players(tiny: Callable[..., Any]) -> None:
    settings = recipe.build(tiny("cyclegan"), "test")
    model = MODELS[type(settings)](settings)
    assert measures.trained_parameters(settings) == sum(p.numel() for p in model.parameters())
    assert measures.trained_parameters(settings) > sum(
        measures.parameters(network) for network in model.product().values()
    )


def test_the_machine_is_told_without_its_name() -> None:
    import platform

    told = measures.machine()
    assert told["torch"] == str(torch.__version__)
    assert told["cores"] >= 1
    assert platform.node() not in str(told)

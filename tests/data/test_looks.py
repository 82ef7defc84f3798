"""Whatever a side of a batch holds, people and feature networks see three channels of its own picture."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from i2i.data import Data
from i2i.data.looks import palette, planes_of, shown
from i2i.data.spec import Labels, Palette
from i2i.images import maps

Make = Callable[..., Data]
RGB = Palette(palette=("#102030", "#ff0080", "#00ff00"))


def noise(channels: int) -> torch.Tensor:
    return torch.rand(2, channels, 5, 7, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize(
    ("channels", "chosen"), [(1, [0, 0, 0]), (2, [0, 0, 0]), (3, [0, 1, 2]), (4, [0, 1, 2]), (7, [0, 1, 2])]
)
def test_light_is_grey_thrice_or_the_first_three(channels: int, chosen: list[int]) -> None:
    pictures = noise(channels)
    assert torch.equal(shown(pictures, [channels]), pictures[:, chosen])


@pytest.mark.parametrize("look", [RGB, Labels(labels=3), Labels(labels=256)])
def test_classes_have_their_colours(look: Any) -> None:
    numbers = np.random.default_rng(0).integers(0, look.classes, (5, 7)).astype(np.uint8)
    apart = torch.from_numpy(maps.one_hot(numbers, look.classes)).permute(2, 0, 1)[None].float() / 127.5 - 1
    soft = apart * 0.1 + 0.02 * torch.rand(apart.shape, generator=torch.Generator().manual_seed(0))
    expected = (maps.rgb(*RGB.palette) if look is RGB else maps.colours(look.classes))[numbers]
    for scores in (apart, soft):  # a network's answer is never quite -1 and 1
        drawn = shown(scores, [look])
        assert drawn.shape == (1, 3, 5, 7)
        assert np.array_equal(((drawn[0] + 1) * 127.5).round().byte().permute(1, 2, 0).numpy(), expected)


def test_conditions_are_left_out() -> None:
    pictures = noise(3 + 2 + 1)
    assert torch.equal(shown(pictures, [3, Labels(labels=2), 1]), pictures[:, :3])
    assert torch.equal(shown(pictures, [RGB, 3]), shown(pictures[:, :3], [RGB]))


def test_type_and_device_are_kept_and_nothing_is_a_valid_batch() -> None:
    for look, channels in ((RGB, 3), (1, 1), (7, 7)):
        assert shown(noise(channels).half(), [look]).dtype == torch.float16
        assert shown(noise(channels)[:0], [look]).shape == (0, 3, 5, 7)


def test_channels_that_do_not_add_up_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 4 channels, got 5"):
        shown(noise(5), [3, 1])


def test_an_item_of_unpaired_data_is_one_plane(spec: Make) -> None:
    sides = {"a": 4, "b": {"labels": 5}}
    unpaired = spec(layout="unpaired", root="x", crop=8, channels=sides)
    assert [plane.look for stream in (0, 1) for plane in planes_of(unpaired, stream)] == [4, Labels(labels=5)]
    paired = spec(layout="paired", root="x", crop=8, channels=sides, condition=["mask"])
    assert [plane.name for plane in planes_of(paired, 0)] == ["a", "mask", "b"]


def test_palettes_are_those_of_the_recipe_or_pascal_voc_s() -> None:
    assert palette(RGB).tolist() == [[16, 32, 48], [255, 0, 128], [0, 255, 0]]
    assert np.array_equal(palette(Labels(labels=9)), maps.colours(9))

"""Working at the training's scale."""

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from i2i.errors import UserError
from i2i.runtime.planes import Plane
from i2i.runtime.scale import is_larger, resized, size_at, working_side


def card(load: int | None, **more: Any) -> Any:
    return SimpleNamespace(recipe=json.dumps({"data": {"load": load}}), planes=(Plane("a", 3),), **more)


def test_the_side_is_the_training_s_where_it_resized_its_pictures() -> None:
    assert working_side(card(136), "trained") == 136
    assert working_side(card(None), "trained") is None
    assert working_side(SimpleNamespace(recipe='{"data": null}', planes=()), "trained") is None  # type: ignore[arg-type]


def test_a_number_and_native_are_taken_at_their_word() -> None:
    assert working_side(card(136), "native") is None
    assert working_side(card(136), 64) == working_side(card(136), "64") == 64


@pytest.mark.parametrize("at", ["0", 0, "small", "-3", ""])
def test_other_words_are_refused(at: int | str) -> None:
    with pytest.raises(UserError, match="native or trained"):
        working_side(card(136), at)


def test_class_numbers_are_never_resized() -> None:
    maps = card(136)
    maps.planes = (Plane.read("a", {"labels": 5}),)
    assert working_side(maps, "trained") is None
    with pytest.raises(UserError, match="segmentation"):
        working_side(maps, 64)


def test_hardly_larger_pictures_keep_their_pixels() -> None:
    assert not is_larger((150, 900), 100)
    assert is_larger((151, 900), 100)


@pytest.mark.parametrize(("size", "told"), [((300, 400), (96, 128)), ((1, 5000), (96, 480_000)), ((96, 96), (96, 96))])
def test_the_shape_stays(size: tuple[int, int], told: tuple[int, int]) -> None:
    assert size_at(size, 96) == told


@pytest.mark.parametrize("channels", [1, 3, 4, 7])
def test_bytes_are_resized_as_pillow_does(channels: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (37, 53, channels), np.uint8)
    made = resized(picture, (20, 91))
    assert made.dtype == np.uint8
    for c in range(channels):
        truth = np.asarray(Image.fromarray(picture[:, :, c]).resize((91, 20), Image.Resampling.BICUBIC))
        assert (made[:, :, c] == truth).all()


def test_deep_pictures_keep_their_depth_and_their_range() -> None:
    picture = np.zeros((8, 8, 1), np.uint16)
    picture[:, 4:] = 65535
    made = resized(picture, (31, 31))
    assert made.dtype == np.uint16
    assert made.min() == 0
    assert made.max() == 65535
    assert any(level % 257 for level in np.unique(made))  # levels that 8 bits do not have
    assert np.abs(resized(made, (8, 8)).astype(int) - picture).mean() < 3000
    floats = resized(picture.astype(np.float32) / 65535, (31, 31))
    assert floats.dtype == np.float32
    assert np.allclose(floats.clip(0, 1) * 65535, made, atol=0.51)


def test_a_picture_of_that_size_is_the_same() -> None:
    picture = np.zeros((8, 9, 3), np.uint8)
    assert resized(picture, (8, 9)) is picture

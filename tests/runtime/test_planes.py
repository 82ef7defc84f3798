"""What a model's channels are, and how pictures, class numbers and conditions become them."""

from typing import Any

import numpy as np
import pytest

from i2i.errors import UserError
from i2i.images import maps
from i2i.runtime.planes import Plane, numbers, stacked

NUMBERS = np.array([[0, 2], [1, 0], [2, 2]], np.uint8)  # h w 3 2
LIGHT = np.arange(18, dtype=np.uint8).reshape(3, 2, 3)
PLANES = (Plane("a", 3), Plane("map", 3, classes=True), Plane("mask", 1))


@pytest.mark.parametrize(
    ("look", "expected"),
    [
        (4, Plane("x", 4)),
        ({"labels": 9}, Plane("x", 9, True)),
        ({"palette": ["#000000", "#FFffFF"]}, Plane("x", 2, True, ("#000000", "#FFffFF"))),
    ],
)
def test_a_look_is_read_as_a_recipe_says_it(look: Any, expected: Plane) -> None:
    assert Plane.read("x", look) == expected


@pytest.mark.parametrize(
    "look",
    [0, -1, True, 1.5, "3", None, [], {}, {"labels": 1}, {"labels": 257}, {"labels": "2"}, {"palette": []},
     {"palette": ["red", "blue"]}, {"palette": [1, 2]}, {"palette": "#000000"}],
)  # fmt: skip
def test_other_words_are_refused(look: Any) -> None:
    with pytest.raises(ValueError, match="is described as"):
        Plane.read("x", look)


@pytest.mark.parametrize("name", ["", "A", "x" * 33, "a b", "../a", 5])
def test_a_name_is_one_that_a_recipe_can_have(name: Any) -> None:
    with pytest.raises(ValueError, match="is described as"):
        Plane.read(name, 3)


@pytest.mark.parametrize(("dtype", "low", "high"), [(np.uint8, 0, 255), (np.uint16, 0, 65535), (np.float32, -1, 1)])
def test_classes_become_the_ends_of_the_range(dtype: Any, low: int, high: int) -> None:
    hot = PLANES[1].values(NUMBERS, dtype)
    assert hot.dtype == dtype
    assert hot[0, 1].tolist() == [low, low, high]
    assert np.array_equal(numbers(hot), NUMBERS)
    assert np.array_equal(PLANES[1].values(NUMBERS[..., None].astype(np.int64), dtype), hot)
    assert PLANES[1].values(hot, dtype) is hot


def test_planes_are_stacked_in_the_order_of_the_model() -> None:
    mask = np.full((3, 2), 7, np.uint8)
    made = stacked(PLANES, {"mask": mask, "a": LIGHT, "map": NUMBERS}, np.uint8)
    assert np.array_equal(made[..., :3], LIGHT)
    assert np.array_equal(made[..., 3:6], maps.one_hot(NUMBERS, 3))
    assert (made[..., 6] == 7).all()


def test_one_plane_is_not_copied() -> None:
    assert stacked(PLANES[:1], {"a": LIGHT}, np.uint8) is LIGHT


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"a": LIGHT, "map": NUMBERS}, r"together with its mask.*--condition mask=FOLDER"),
        ({"a": LIGHT, "map": NUMBERS, "mask": NUMBERS, "mas": NUMBERS}, "takes map and mask, not 'mas'.*mask"),
        ({"a": LIGHT, "map": NUMBERS[1:], "mask": NUMBERS}, "has 2×3 pixels, and its map 2×2"),
        ({"a": LIGHT.astype(np.uint16), "map": NUMBERS, "mask": NUMBERS}, r"a: expected .* × 3 uint8, got .* uint16"),
        ({"a": LIGHT, "map": NUMBERS / 2, "mask": NUMBERS}, r"map: expected .* × 3 uint8, or height × width class"),
        ({"a": LIGHT, "map": NUMBERS + 1, "mask": NUMBERS}, "map: expected class numbers from 0 to 2"),
    ],
)
def test_what_does_not_fit_is_told(given: dict[str, np.ndarray], told: str) -> None:
    with pytest.raises(UserError, match=told):
        stacked(PLANES, given, np.uint8)


def test_every_class_has_a_colour_of_its_own() -> None:
    assert np.array_equal(Plane("x", 2, True, ("#010203", "#ffffff")).colours, [[1, 2, 3], [255, 255, 255]])
    assert len(np.unique(Plane("x", 256, True).colours, axis=0)) == 256


def test_the_best_class_is_found_band_by_band(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = np.random.default_rng(0).random((37, 5, 4))
    monkeypatch.setattr("i2i.runtime.planes.BAND", 11)
    assert np.array_equal(numbers(scores), scores.argmax(axis=2))

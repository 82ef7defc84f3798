"""Drawings of photos: lines where the edges are, trembling by key."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
import torch

from i2i.data import Edges
from i2i.data.drawing import STYLES, Hand, broken, canny, drawn, soft, thicker, trembled, xdog
from i2i.data.edges import edges
from i2i.errors import UserError

Scene = Callable[..., np.ndarray]


def disc(size: int = 64) -> np.ndarray:
    """A grey disc of radius 20 on white, uint8 h w 3, smooth at its rim."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    grey = 255 - 150 * np.clip(20.5 - np.hypot(x, y), 0, 1)
    return np.repeat(grey[:, :, None], 3, axis=2).astype(np.uint8)


def radii(lines: np.ndarray) -> np.ndarray:
    """How far dark pixels are from the centre."""
    y, x = np.nonzero(lines < 128) - np.array([[31.5], [31.5]])
    return np.hypot(x, y)


@pytest.mark.parametrize("style", sorted(STYLES))
def test_every_style_draws_dark_lines_on_white_at_the_edge(style: str) -> None:
    lines = drawn(disc(), Hand(style), np.random.default_rng(0))
    assert lines.shape == (64, 64, 1)
    assert lines.dtype == np.uint8
    rim = np.hypot(*(np.mgrid[:64, :64] - 31.5))
    assert lines[(rim > 17) & (rim < 23)].min() < 120
    assert lines[rim > 28].mean() > 245  # paper


def test_canny_is_what_training_derives(scene: Scene) -> None:
    photo = scene(1, 64)
    batch = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 127.5 - 1
    theirs = edges(batch, Edges(), 1)[0, 0].numpy()
    assert (canny(photo) == np.where(theirs > 0, 255, 0)).all()
    assert abs(radii(canny(disc())).mean() - 20) < 1


def test_xdog_is_the_equation_of_the_paper(scene: Scene) -> None:
    photo = scene(2, 40)
    light = photo @ np.array([0.299, 0.587, 0.114]) / 255
    narrow, wide = cv2.GaussianBlur(light, (0, 0), 1.0), cv2.GaussianBlur(light, (0, 0), 1.6)
    d = 19 * narrow - 18 * wide
    expected = np.where(d >= 0.4, 1, 1 + np.tanh(8 * (d - 0.4)))
    assert np.abs(xdog(photo) - np.clip(expected, 0, 1) * 255).max() <= 1


def test_soft_edges_are_stronger_where_the_step_is_higher() -> None:
    photo = np.full((40, 80, 3), 100, np.uint8)
    photo[:, 20:] = 130
    photo[:, 60:] = 240
    lines = soft(photo).astype(int)
    assert lines[20, 58:62].min() < lines[20, 18:22].min() < lines[20, 40] == 255
    assert (soft(np.full((20, 20, 3), 77, np.uint8)) == 255).all()


@pytest.mark.parametrize("style", sorted(STYLES))
def test_more_detail_is_more_ink(scene: Scene, style: str) -> None:
    photo = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8), (0, 0), 3)
    photo = cv2.normalize(photo, None, 0, 255, cv2.NORM_MINMAX)
    few, many = (drawn(photo, Hand(style, detail=detail), np.random.default_rng(0)).mean() for detail in (0.4, 2.5))
    assert many < few


def test_thickness_is_in_pixels() -> None:
    line = np.full((21, 21), 255, np.uint8)
    line[10] = 0
    assert (thicker(line, 2)[8:13] == 0).all()
    assert (thicker(line, 2)[[7, 13]] == 255).all()


def test_lines_tremble_by_as_many_pixels_as_asked_for() -> None:
    line = np.full((200, 400), 255, np.uint8)
    line[99:102] = 0
    moved = trembled(line, 3.0, np.random.default_rng(0))
    ink = 255.0 - moved
    heights = (ink * np.arange(200)[:, None]).sum(axis=0) / ink.sum(axis=0)
    assert 2 < heights.std() < 4
    assert np.abs(np.diff(heights)).max() < 2  # and stay lines


def test_as_much_as_asked_for_is_left_out() -> None:
    kept = broken(np.zeros((300, 300), np.uint8), 0.3, np.random.default_rng(0))
    assert 0.27 < (kept > 128).mean() < 0.33
    assert set(np.unique(broken(np.full((9, 9), 255, np.uint8), 0.5, np.random.default_rng(0)))) == {255}


def test_hands_that_cannot_draw_are_refused() -> None:
    with pytest.raises(UserError, match="Did you mean canny"):
        Hand("cany")
    with pytest.raises(UserError, match="learned weights"):
        Hand("hed")
    for told in ({"detail": 0}, {"thickness": -1}, {"breaks": 1.0}, {"jitter": 99}):
        with pytest.raises(UserError, match="expected detail > 0"):
            Hand(**told)  # type: ignore[arg-type]

"""CartoonGAN's edge-smoothed pictures: blurred around edges, untouched elsewhere."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from i2i.data.make.smooth import Brush, near_edges, smooth, smoothed
from i2i.errors import UserError
from i2i.images import opened, read


def step() -> np.ndarray:
    picture = np.zeros((40, 40, 3), np.uint8)
    picture[:, 20:] = 255
    return picture


def test_only_the_dilated_edges_are_blurred() -> None:
    texture = np.random.default_rng(0).integers(0, 9, (40, 40, 3), dtype=np.uint8)  # too faint to be an edge
    picture = np.where(step() > 0, 255 - texture, texture)
    result = smoothed(picture, Brush(dilate=5, blur=5))
    changed = (result != picture).any(axis=2)
    columns = np.flatnonzero(changed.any(axis=0))
    assert columns.min() >= 17
    assert columns.max() <= 22
    expected = cv2.GaussianBlur(picture, (5, 5), 0)
    region = near_edges(picture, Brush())
    assert (result[region] == expected[region]).all()
    assert (result[~region] == picture[~region]).all()


def test_the_region_grows_with_the_kernel() -> None:
    narrow, wide = (near_edges(step(), Brush(dilate=side)) for side in (1, 7))
    assert narrow.any(axis=0).sum() in (1, 2)
    assert wide.any(axis=0).sum() == narrow.any(axis=0).sum() + 6
    assert not near_edges(np.full((9, 9, 1), 50, np.uint8), Brush()).any()


def test_sixteen_bits_and_odd_channels_are_smoothed_alike() -> None:
    deep = smoothed(step().astype(np.uint16) * 257, Brush())
    assert np.abs(deep / 257 - smoothed(step(), Brush())).max() <= 1
    five = smoothed(np.dstack([step(), step()[:, :, :2]]), Brush())
    assert (five[:, :, :3] == smoothed(step(), Brush())).all()
    assert (five[:, :, 3] == five[:, :, 0]).all()


def test_the_tree_and_the_formats_stay(photos: Path, tmp_path: Path, tree: Callable[[Path], dict[str, bytes]]) -> None:
    made = smooth(photos, tmp_path / "out")
    assert made.skipped == ()
    assert tree(tmp_path / "out").keys() == tree(photos).keys()
    assert opened(tmp_path / "out" / "train" / "b.jpg").kind.format == "JPEG"
    assert read(tmp_path / "out" / "train" / "a.png").shape == (48, 48, 3)


def test_even_kernels_are_refused() -> None:
    for told in ({"blur": 4}, {"dilate": 0}, {"low": 300.0}):
        with pytest.raises(UserError, match="odd kernel"):
            Brush(**told)  # type: ignore[arg-type]

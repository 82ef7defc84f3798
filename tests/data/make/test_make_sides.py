"""Side by side and back: no pixel changes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from i2i.data import Data, open_split
from i2i.data.make.pixels import plain, put, stored
from i2i.data.make.sides import beside, halves, join, separate
from i2i.errors import UserError
from i2i.images import read, write

Scene = Callable[..., np.ndarray]
Spec = Callable[..., Data]


def save(path: Path, pixels: np.ndarray) -> None:
    put(path, pixels, plain(pixels), False)


def test_joining_and_separating_gives_the_same_pictures(tmp_path: Path, scene: Scene, spec: Spec) -> None:
    for split in ("train", "test"):
        for i in range(3):
            save(tmp_path / "ab" / f"{split}A" / f"{i}.png", scene(i))
            save(tmp_path / "ab" / f"{split}B" / f"{i}.png", scene(10 + i))
    assert join(tmp_path / "ab", tmp_path / "joined").files == 6
    joined = open_split(spec(layout="paired", root=tmp_path / "joined", crop=8), "test")
    assert joined.side_by_side
    assert separate(tmp_path / "joined", tmp_path / "back").files == 12
    back = open_split(spec(layout="paired", root=tmp_path / "back", crop=8), "test")
    assert not back.side_by_side
    for path in sorted((tmp_path / "ab").rglob("*.png")):
        assert (read(path) == read(tmp_path / "back" / path.relative_to(tmp_path / "ab"))).all()


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_channels_and_depths_survive(tmp_path: Path, channels: int, dtype: type) -> None:
    rng = np.random.default_rng(channels)
    a, b = (rng.integers(0, np.iinfo(dtype).max + 1, (6, 6, channels)).astype(dtype) for _ in "ab")
    suffix = ".png" if channels <= 4 else ".tif"
    for side, pixels in (("A", a), ("B", b)):
        save(tmp_path / "ab" / f"train{side}" / f"x{suffix}", pixels)
    assert join(tmp_path / "ab", tmp_path / "joined").skipped == ()
    assert separate(tmp_path / "joined", tmp_path / "back").skipped == ()
    for side, pixels in (("A", a), ("B", b)):
        result = stored(tmp_path / "back" / f"train{side}" / f"x{suffix}").pixels
        assert result.dtype == dtype
        assert (result == pixels).all()


def test_the_left_half_is_a() -> None:
    left, right = halves(np.arange(8, dtype=np.uint8).reshape(1, 8, 1))
    assert left.ravel().tolist() == [0, 1, 2, 3]
    assert right.ravel().tolist() == [4, 5, 6, 7]


def test_the_side_with_more_decides() -> None:
    grey, colour = np.full((2, 2, 1), 9, np.uint8), np.full((2, 2, 3), 7, np.uint8)
    assert beside(grey, colour)[0].tolist() == [[9, 9, 9]] * 2 + [[7, 7, 7]] * 2
    clear = np.full((2, 2, 2), 3, np.uint8)
    assert beside(clear, colour)[0].tolist() == [[3, 3, 3, 3]] * 2 + [[7, 7, 7, 255]] * 2
    deep = np.full((2, 2, 1), 1000, np.uint16)
    assert beside(grey, deep)[0].ravel().tolist() == [9 * 257] * 2 + [1000] * 2


def test_what_cannot_be_joined_or_divided_is_told(tmp_path: Path, scene: Scene) -> None:
    for name, a, b in (("wide", (8, 9), (8, 9)), ("other", (8, 8), (9, 9)), ("good", (8, 8), (8, 8))):
        write(tmp_path / "ab" / "trainA" / f"{name}.png", scene(0, *a))
        write(tmp_path / "ab" / "trainB" / f"{name}.png", scene(0, *b))
        write(tmp_path / "ab" / "trainmask" / f"{name}.png", scene(0, *b))
    made = join(tmp_path / "ab", tmp_path / "joined")
    reasons = {path.stem: why for path, why in made.skipped}
    assert "only squares" in reasons["wide"]
    assert "differ in size: 8×8 and 9×9" in reasons["other"]
    assert made.files == 1
    assert made.note == "Left out: mask"
    write(tmp_path / "odd" / "x.png", scene(0, 8, 17))
    assert "even width, got 17×8" in separate(tmp_path / "odd", tmp_path / "o").skipped[0][1]
    with pytest.raises(UserError, match="no two sides"):
        join(tmp_path / "odd", tmp_path / "p")

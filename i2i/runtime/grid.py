"""How a picture is cut into tiles. Lengths are in pixels; shapes: h w height and width, c channels."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np


@dataclass(frozen=True)
class Cut:
    """One tile along one axis of the padded picture. Its core is what it counts for: cores lie side by side."""

    start: int
    stop: int
    first: int
    last: int


def padded(side: int, multiple: int, minimum: int) -> int:
    """The smallest length the network takes that is at least `side`, as the exported graph pads it."""
    return -(-max(side, minimum) // multiple) * multiple


def cuts(length: int, side: int, overlap: int, multiple: int) -> tuple[Cut, ...]:
    """Tiles of one `side` over `length`, neighbours with `overlap` in common or more. All of these are multiples.

    Starts are multiples too, so that a strided layer drops the same pixels as in the whole picture. What is left over
    goes to the overlaps, and not into a smaller last tile: tiles of one size use the same memory again.
    """
    if length <= side:
        return (Cut(0, length, 0, length),)
    count = -(-(length - overlap) // (side - overlap))
    starts = [i * (length - side) // (count - 1) // multiple * multiple for i in range(count)]
    middles = [(left + side + right) // 2 // multiple * multiple for left, right in pairwise(starts)]
    ends = zip([0, *middles], [*middles, length], strict=True)
    return tuple(Cut(start, start + side, *core) for start, core in zip(starts, ends, strict=True))


def tile_sides(height: int, width: int, pixels: int, least: int, multiple: int) -> tuple[int, int]:
    """Height and width of the largest tile, nearly square, of at most so many `pixels`, within a padded picture.

    All are multiples, and `pixels` at least `least`². A short picture has longer tiles.
    """

    def fitting(length: int, other: int) -> int:
        return min(length, max(pixels // other // multiple * multiple, least))

    side = int(pixels**0.5) // multiple * multiple
    h = min(height, max(side, least))
    w = fitting(width, h)
    return fitting(height, w), w


def smaller(picture: np.ndarray, pixels: int, multiple: int, minimum: int) -> np.ndarray:
    """The picture with so many pixels at most when it is padded: every f-th of every f-th row.

    Pixels are left out and not averaged, since an average has less contrast, and the first norm would see that.
    """
    h, w = picture.shape[:2]
    factor = max(h * w / pixels, 1) ** 0.5
    rows, columns = max(int(h / factor), 1), max(int(w / factor), 1)
    while padded(rows, multiple, minimum) * padded(columns, multiple, minimum) > pixels:
        if rows > columns:
            rows = max(rows - multiple, 1)
        else:
            columns = max(columns - multiple, 1)
    down, across = (np.arange(n) * length // n for n, length in ((rows, h), (columns, w)))
    return picture[down[:, None], across]


def piece(picture: np.ndarray, row: Cut, column: Cut) -> np.ndarray:
    """A tile's pixels, with edge pixels repeated where it ends behind the picture, as the graph would do: tiles of one
    size use the same memory."""
    inside = picture[row.start : row.stop, column.start : column.stop]
    behind = (row.stop - row.start - inside.shape[0], column.stop - column.start - inside.shape[1])
    return np.pad(inside, ((0, behind[0]), (0, behind[1]), (0, 0)), mode="edge") if any(behind) else inside

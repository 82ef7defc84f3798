"""How a long side is cut into tiles: starts, overlaps, and which part of each tile is its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True)
class Cut:
    """One tile along one axis, in pixels of the padded picture. Cores are next to each other without a gap."""

    start: int
    stop: int
    first: int  # of its core
    last: int  # one behind its core


def padded(side: int, multiple: int, minimum: int) -> int:
    """The smallest length the network takes that is at least `side`, as the exported graph pads it."""
    return -(-max(side, minimum) // multiple) * multiple


def cuts(length: int, side: int, overlap: int, multiple: int) -> tuple[Cut, ...]:
    """Tiles of one `side` over `length`, two neighbours with `overlap` in common or more; all are multiples.

    Starts are multiples too, so that a strided layer drops the same pixels as in the whole picture. The rounding falls
    to the overlaps, since tiles of one size let a runtime use the same memory again.
    """
    if length <= side:
        return (Cut(0, length, 0, length),)
    count = -(-(length - overlap) // (side - overlap))
    starts = [i * (length - side) // (count - 1) // multiple * multiple for i in range(count)]
    middles = [(left + side + right) // 2 // multiple * multiple for left, right in pairwise(starts)]
    edges = [0, *middles, length]
    return tuple(
        Cut(start, start + side, first, last)
        for start, first, last in zip(starts, edges[:-1], edges[1:], strict=True)
    )


def tile_sides(height: int, width: int, pixels: int, multiple: int) -> tuple[int, int]:
    """Height and width of the largest tile, nearly square, of at most so many `pixels`, within a picture's sides.

    All are multiples. A short picture has longer tiles, and one that is small enough is its only tile.
    """
    side = max(int(pixels**0.5) // multiple, 1) * multiple
    h = min(height, side)
    w = min(width, max(pixels // h // multiple, 1) * multiple)
    return min(height, max(pixels // w // multiple, 1) * multiple), w


def spread(length: int, side: int, count: int, multiple: int) -> Sequence[int]:
    """The starts of `count` stretches of `side`, spread evenly over `length`: the middles of as many equal parts."""
    last = length - side
    return [min(max(int((i + 0.5) * length / count - side / 2), 0) // multiple * multiple, last) for i in range(count)]

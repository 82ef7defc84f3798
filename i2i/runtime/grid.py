"""How a picture is cut into tiles: lengths, in pixels, along one axis or both."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cut:
    """One tile along one axis of the padded picture."""

    start: int
    stop: int


def padded(side: int, multiple: int, minimum: int) -> int:
    """The smallest length the network takes that is at least `side`, as the exported graph pads it."""
    return -(-max(side, minimum) // multiple) * multiple


def cuts(length: int, side: int, overlap: int, multiple: int) -> tuple[Cut, ...]:
    """Tiles of one `side` over `length`, neighbours with `overlap` in common or more. All of these are multiples.

    Starts are multiples too, so that a strided layer drops the same pixels as in the whole picture. What is left over
    goes to the overlaps, and not into a smaller last tile: tiles of one size use the same memory again.
    """
    if length <= side:
        return (Cut(0, length),)
    count = -(-(length - overlap) // (side - overlap))
    starts = [i * (length - side) // (count - 1) // multiple * multiple for i in range(count)]
    return tuple(Cut(start, start + side) for start in starts)


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

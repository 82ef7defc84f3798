"""A drawing of another hand: outlines of areas of colour, in long bent strokes of a marker.

No edge detector has a part in it and no texture comes through, so its lines differ in kind from those of the other
styles: what a model makes of them tells how it will do on a person's drawing. Legend: h height, w width, k areas.
"""

from collections.abc import Iterator

import numpy as np

AREAS = 6  # colours that a photo is sorted into at most, at detail 1
APART = 40.0  # of two such colours, in LAB of 8 bits with half the lightness: folds and shadows are no areas
SEEN = 48  # pixels: the side of the picture that decides which colours these are
FINE = 4  # times as many pixels a side is drawn with, so that a line's width can change smoothly


def marker(photo: np.ndarray, detail: float, rng: np.random.Generator) -> np.ndarray:
    """uint8 h w 3 → uint8 h w: dark lines on white. Larger `detail` draws smaller and paler areas too."""
    import cv2

    height, width = photo.shape[:2]
    side = min(height, width)
    labels = areas(photo, detail)
    paper = np.zeros((height * FINE, width * FINE), np.uint8)
    taken = np.zeros((height, width), np.uint8)  # two areas share an outline, which is drawn once
    for label in np.argsort(np.bincount(labels.ravel())):  # the largest, often the background, last
        outlines, _ = cv2.findContours((labels == label).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        for outline in outlines:
            if cv2.contourArea(outline) < (side / 14) ** 2 / detail:
                continue
            for piece, closed in free(outline[:, 0], taken, side):
                stroke(paper, bent(piece.astype(np.float64), closed, side, rng), side, rng)
            cv2.polylines(taken, [outline], True, 1, max(1, round(side / 32)))
    return 255 - cv2.resize(paper, (width, height), interpolation=cv2.INTER_AREA)


def areas(photo: np.ndarray, detail: float) -> np.ndarray:
    """Each pixel's colour of a few, found by k-means from colours that are far apart: uint8 h w."""
    import cv2

    height, width = photo.shape[:2]
    side = min(height, width)
    smooth = cv2.GaussianBlur(np.ascontiguousarray(photo), (0, 0), max(side / 100, 0.6))
    light = cv2.cvtColor(smooth, cv2.COLOR_RGB2LAB).astype(np.float32) * np.array([0.5, 1, 1], np.float32)
    size = max(1, round(width * SEEN / side)), max(1, round(height * SEEN / side))
    seen = cv2.resize(light, size, interpolation=cv2.INTER_AREA).reshape(-1, 3)
    centres = seen.mean(axis=0, keepdims=True)
    for _ in range(int(np.clip(round(AREAS * detail), 2, 12)) - 1):
        distance = _far(seen, centres).min(axis=1)
        if len(centres) > 1 and distance.max() < (APART / detail) ** 2:
            break
        centres = np.vstack([centres, seen[distance.argmax()]])
    for _ in range(6):
        nearest = _far(seen, centres).argmin(axis=1)
        centres = np.stack(
            [seen[nearest == i].mean(axis=0) if (nearest == i).any() else old for i, old in enumerate(centres)]
        )
    labels = _far(light.reshape(-1, 3), centres).argmin(axis=1).astype(np.uint8).reshape(height, width)
    return np.asarray(cv2.medianBlur(labels, 2 * max(1, round(side / 50)) + 1))


def free(outline: np.ndarray, taken: np.ndarray, side: int) -> Iterator[tuple[np.ndarray, bool]]:
    """The runs of an outline (n 2) that are not drawn yet and not on the picture's frame, and whether one is all."""
    height, width = taken.shape
    x, y = outline[:, 0], outline[:, 1]
    frame = (np.minimum(x, y) < 2) | (x > width - 3) | (y > height - 3)
    blocked = frame | (taken[y, x] > 0)
    if not blocked.any():
        yield outline, True
        return
    start = int(blocked.argmax())
    outline, blocked = np.roll(outline, -start, axis=0), np.roll(blocked, -start)
    edges = np.flatnonzero(np.diff(np.concatenate([[1], blocked.astype(np.int8), [1]])))
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        if last - first > side / 10:
            yield outline[first:last], False


def bent(points: np.ndarray, closed: bool, side: int, rng: np.random.Generator) -> list[np.ndarray]:
    """A run of pixels as the hand follows it: without its small corners, swaying, sometimes in two strokes or twice."""
    across = side / 40  # pixels: smaller corners are cut
    shape = _smooth(points, across, closed)
    strokes = [shape]
    if closed:
        start, gap = int(rng.integers(len(shape))), rng.uniform(-0.04, 0.08)  # runs past its own start, or stays open
        turned = np.roll(shape, -start, axis=0)
        over = round(abs(gap) * len(shape))
        strokes = [turned[: len(turned) - over] if gap > 0 else np.vstack([turned, turned[:over]])]
    elif len(shape) > side / 2 and rng.random() < 0.5:  # put down anew on the way, a little off
        cut = int(len(shape) * rng.uniform(0.3, 0.7))
        strokes = [shape[:cut], shape[max(0, cut - round(side / 24)) :]]
    if rng.random() < 0.25:
        long = strokes[0]
        first = int(len(long) * rng.uniform(0, 0.6))
        strokes = [*strokes, long[first : first + round(len(long) * rng.uniform(0.2, 0.4))]]
    return [one + _sway(len(one), side, rng) for one in strokes if len(one) > 3]


def stroke(paper: np.ndarray, strokes: list[np.ndarray], side: int, rng: np.random.Generator) -> None:
    """Draws on `paper`, `FINE` times as large: thin where the marker is put down and lifted, else as it is pressed."""
    import cv2

    for points in strokes:
        wide = side / 64 * rng.uniform(0.7, 1.4) * FINE  # pixels of the paper
        n = len(points)
        ends = np.minimum(np.arange(n), np.arange(n)[::-1]) / max(side / 16, 1)
        pressed = np.clip(0.35 + ends, 0, 1) * (1 + 0.2 * _wave(n, side / 6, rng))
        spots = np.rint((points + 0.5) * FINE * 8).astype(np.int32)  # 8: three bits of a pixel
        dark = int(rng.uniform(190, 255))
        for i in range(0, n - 1, 2):
            end = min(i + 2, n - 1)
            width = max(1, round(wide * float(pressed[i])))
            cv2.line(paper, spots[i].tolist(), spots[end].tolist(), dark, width, cv2.LINE_8, 3)


def _sway(n: int, side: int, rng: np.random.Generator) -> np.ndarray:
    """n 2: how far the hand is off, slowly changing, with an offset of the whole stroke."""
    slow = np.stack([_wave(n, side / 5, rng) for _ in range(2)], axis=1) * side / 110
    quick = np.stack([_wave(n, side / 24, rng) for _ in range(2)], axis=1) * side / 400
    return slow + quick + rng.normal(0, side / 200, 2)


def _wave(n: int, length: float, rng: np.random.Generator) -> np.ndarray:
    """n numbers of deviation 1 that change over `length`."""
    knots = rng.standard_normal(int(n / max(length, 1.0)) + 4)
    return _smooth(np.interp(np.linspace(0, len(knots) - 1, n), np.arange(len(knots)), knots)[:, None], length / 3)[
        :, 0
    ]


def _smooth(points: np.ndarray, spread: float, closed: bool = False) -> np.ndarray:
    """n d, each point a Gaussian mean of those beside it; ends keep their place."""
    reach = min(max(1, round(2.5 * spread)), max(1, len(points) - 1))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(spread, 0.3)) ** 2)
    padded = np.pad(points, ((reach, reach), (0, 0)), mode="wrap" if closed else "reflect")
    if not closed:  # reflected through the end, so that it stays
        padded[:reach] = 2 * points[:1] - padded[:reach]
        padded[-reach:] = 2 * points[-1:] - padded[-reach:]
    return np.stack([np.convolve(each, weights / weights.sum(), mode="valid") for each in padded.T], axis=1)


def _far(colours: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """n 3, k 3 → squared distances n k."""
    return np.asarray(((colours[:, None] - centres[None]) ** 2).sum(axis=2))

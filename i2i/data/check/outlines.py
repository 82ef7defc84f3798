"""Do two pictures show the same place? Their outlines are compared, which survive where colours and style change.

Legend: h height, w width of an outline; r correlations in [-1, 1].
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SIDE = 96  # pixels of an outline's longer side
RANGE = 4  # shifts up to 1 / RANGE of a side are tried
TOLERANCE = 0.03  # of the longer side: drawn by hand, or a pixel off
STRANGERS = (3, 7, 11)  # picture i is also compared with the partner of i + these


def outline(pixels: np.ndarray, size: tuple[int, int] | None = None) -> np.ndarray:
    """uint8 h w 3 → uint8 h w at most `SIDE` long, or `size` (w, h): root of the gradient's magnitude.

    The root lets weak edges speak too: strong ones differ most between kinds of pictures.
    """
    import cv2

    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    scale = min(1.0, SIDE / max(height, width))
    small = size or (max(1, round(width * scale)), max(1, round(height * scale)))
    if small != (width, height):
        grey = cv2.resize(grey, small, interpolation=cv2.INTER_AREA)
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.0)
    x, y = cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    strength = np.sqrt(np.hypot(x, y))
    strength[:2] = strength[-2:] = 0  # a frame around the picture is no content
    strength[:, :2] = strength[:, -2:] = 0
    return np.minimum(strength * 7, 255).astype(np.uint8)  # √(4 · 255 · √2) · 7 ≈ 266


@dataclass(frozen=True)
class Fit:
    """How two outlines fit: r where they lie (within the tolerance), the best r of all shifts, and that shift (x, y) in
    parts of the width and height, by which b must move to lie on a."""

    near: float
    best: float
    shift: tuple[float, float]


def fit(a: np.ndarray, b: np.ndarray) -> Fit:
    """Normalised cross-correlation at every shift, by Fourier transform."""
    height, width = a.shape
    if b.shape != a.shape:
        import cv2

        b = cv2.resize(b, (width, height), interpolation=cv2.INTER_AREA)
    product = np.fft.rfft2(_unit(a)) * np.conj(np.fft.rfft2(_unit(b)))
    y, x = max(1, height // RANGE), max(1, width // RANGE)
    r = np.roll(np.fft.irfft2(product, a.shape), (y, x), (0, 1))[: 2 * y + 1, : 2 * x + 1]
    slack = max(1, round(TOLERANCE * max(height, width)))
    near = r[max(0, y - slack) : y + slack + 1, max(0, x - slack) : x + slack + 1].max()
    top = np.unravel_index(int(r.argmax()), r.shape)
    shift = ((int(top[1]) - x) / width, (int(top[0]) - y) / height)
    return Fit(float(near), float(r.max()), shift)


def _unit(values: np.ndarray) -> np.ndarray:
    centred = values.astype(np.float32) - values.mean()
    length = float(np.linalg.norm(centred))
    return centred / length if length > 1e-3 else centred * 0


@dataclass(frozen=True)
class Fits:
    """All pairs' fits, those of pictures that are no pairs, and how well the two can be told apart."""

    pairs: tuple[Fit, ...]
    strangers: tuple[Fit, ...]

    @property
    def certainty(self) -> float:
        """P(a pair fits better than strangers): 0.5 for chance, 1 for pairs that always do."""
        return _above([f.near for f in self.pairs], [f.near for f in self.strangers])

    @property
    def certainty_shifted(self) -> float:
        """The same if each may be shifted."""
        return _above([f.best for f in self.pairs], [f.best for f in self.strangers])


def fits(outlines: Sequence[tuple[np.ndarray, np.ndarray]]) -> Fits:
    """Pairs of outlines against the same pictures in other company."""
    n = len(outlines)
    pairs = tuple(fit(a, b) for a, b in outlines)
    steps = [step for step in STRANGERS if step < n]
    strangers = tuple(fit(outlines[i][0], outlines[(i + step) % n][1]) for i in range(n) for step in steps)
    return Fits(pairs, strangers)


def _above(ours: list[float], theirs: list[float]) -> float:
    """The share of all couples in which ours is greater: the area under the ROC curve."""
    if not ours or not theirs:
        return 0.5
    ranked = np.sort(theirs)
    return float(
        (np.searchsorted(ranked, ours, "left") + np.searchsorted(ranked, ours, "right")).mean() / 2 / len(ranked)
    )

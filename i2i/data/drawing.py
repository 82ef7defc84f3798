"""Drawings of photos: uint8 or uint16 h w 1 or 3 → uint8 h w 1, dark lines on white. Legend: h height, w width."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

import numpy as np

from i2i.data.marker import marker
from i2i.data.spec import Edges, PairedData, Pictures, Sketches, Style
from i2i.errors import UserError, suggest

WAVE = 12.0  # pixels: the length along which a trembling hand changes its mind
BREAK = 5.0  # pixels: about how long a gap in a line is
LEAST = 3  # pixels: a smaller side has no room for the kernels of an edge
SCALES = (1.0, 2.0, 4.0)  # pixels, of the soft edges
STROKE = 0.06  # of a picture's side: shorter edges are not worth a stroke
STRONG = 99.0  # percentile of a picture's gradients that is drawn black


@dataclass(frozen=True)
class Hand:
    """How a drawing is drawn, so that a model meets more than one kind of line.

    detail: 1 is the style's own; smaller draws fewer lines, larger more. thickness: pixels added around each line.
    jitter: standard deviation of the lines' displacement, pixels. breaks: share of the drawing that is left out.
    """

    style: str = "canny"
    detail: float = 1.0
    thickness: int = 0
    jitter: float = 0.0
    breaks: float = 0.0

    def __post_init__(self) -> None:
        if self.style not in get_args(Style):
            learned = " HED needs learned weights, which do not come with i2i; soft is drawn by hand."
            hint = learned if self.style.startswith("hed") else suggest(self.style, get_args(Style))
            raise UserError(f"no style is called '{self.style}'.{hint}")
        if self.detail <= 0 or not 0 <= self.thickness <= 50 or not 0 <= self.jitter <= 50 or not 0 <= self.breaks < 1:
            raise UserError(
                "expected detail > 0, thickness and jitter of 0 to 50 pixels, and breaks from 0 to below 1, got "
                f"{self.detail}, {self.thickness}, {self.jitter} and {self.breaks}."
            )


def drawn(photo: np.ndarray, hand: Hand, rng: np.random.Generator) -> np.ndarray:
    """The drawing of a photo; `rng` decides how the hand trembles and where it lifts the pencil."""
    if photo.dtype == np.uint16:
        photo = ((photo.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if photo.shape[2] == 1:
        photo = photo.repeat(3, axis=2)
    if hand.style in HANDS:
        lines = HANDS[hand.style](photo, hand.detail, rng)
    else:
        lines = STYLES[hand.style](photo, hand.detail)
    if hand.thickness:
        lines = thicker(lines, hand.thickness)
    if hand.jitter:
        lines = trembled(lines, hand.jitter, rng)
    if hand.breaks:
        lines = broken(lines, hand.breaks, rng)
    return lines[:, :, None]


def with_sketch(pictures: list[np.ndarray], spec: Pictures, rng: np.random.Generator) -> list[np.ndarray]:
    """[photo] → [drawing, photo] where the recipe derives sketches; other items as they are.

    Raises UserError for a recipe whose `augment_batch` would change photos that are drawn already.
    """
    if not isinstance(spec, PairedData) or spec.derive is None or not isinstance(spec.derive.a, Sketches):
        return pictures
    if spec.augment_batch:
        raise UserError(
            "data.augment_batch changes pictures on their device, where sketches are drawn already. Use data.augment: "
            "it changes the photos before."
        )
    (photo,), told = pictures, spec.derive.a
    hand = Hand(
        style=told.styles[int(rng.integers(len(told.styles)))],
        detail=float(rng.uniform(*told.detail)),
        thickness=int(rng.integers(told.thickness[0], told.thickness[1] + 1)),
        jitter=float(rng.uniform(*told.jitter)),
        breaks=float(rng.uniform(*told.breaks)),
    )
    return [drawn(photo, hand, rng), photo]


def canny(photo: np.ndarray, detail: float = 1.0) -> np.ndarray:
    """Canny's thin edges, those of `derive: {a: edges}` in a recipe."""
    if min(photo.shape[:2]) < LEAST:
        return np.full(photo.shape[:2], 255, np.uint8)
    import torch

    from i2i.data.edges import edges

    scaled = torch.from_numpy(np.array(photo)).permute(2, 0, 1)[None].float() / 127.5 - 1
    spec = Edges(low=0.1 / detail, high=0.2 / detail)
    drawing = edges(scaled, spec, 1)[0, 0].numpy()
    return np.where(drawing > 0, 255, 0).astype(np.uint8)


def xdog(photo: np.ndarray, detail: float = 1.0) -> np.ndarray:
    """Winnemöller, Kyprianidis and Olsen 2012, XDoG: An eXtended difference-of-Gaussians compendium.

        D(x) = (1 + p) G_σ(x) - p G_kσ(x)        (equation 7)
        T(u) = 1 if u ≥ ε, else 1 + tanh(φ (u - ε))        (equation 5)

    on luminance in [0, 1], with k = 1.6: thick and thin lines, and black where the photo is dark.
    """
    import cv2

    sigma, k, p, epsilon, phi = 1.0, 1.6, 18.0 * detail, 0.4, 8.0
    light = _grey(photo) / 255
    narrow, wide = (cv2.GaussianBlur(light, (0, 0), spread) for spread in (sigma, k * sigma))
    sharpened = (1 + p) * narrow - p * wide
    toned = np.where(sharpened >= epsilon, 1.0, 1 + np.tanh(phi * (sharpened - epsilon)))
    return _bytes(toned)


def soft(photo: np.ndarray, detail: float = 1.0) -> np.ndarray:
    """Soft edges: the mean over three scales of the colour gradient's magnitude, relative to the picture's strongest.

    Like the maps of learned detectors (HED) they are grey, and strong where an edge shows at all scales; unlike them
    they know nothing of objects.
    """
    import cv2

    colours = cv2.cvtColor(np.ascontiguousarray(photo), cv2.COLOR_RGB2LAB).astype(np.float32)
    total = np.zeros(photo.shape[:2], np.float32)
    for sigma in SCALES:
        blurred = cv2.GaussianBlur(colours, (0, 0), sigma)
        across, down = (cv2.Scharr(blurred, cv2.CV_32F, dx, 1 - dx) / 32 for dx in (1, 0))
        slope = sigma * np.sqrt(across**2 + down**2).max(axis=2)  # σ makes the scales comparable (Lindeberg 1998)
        total += slope / max(float(np.percentile(slope, STRONG)), 8.0)  # 8: noise of a flat photo stays faint
    strength = np.clip(total / len(SCALES) * detail, 0, 1)
    return _bytes(1 - strength)


def pencil(photo: np.ndarray, detail: float = 1.0) -> np.ndarray:
    """A pencil drawing with shades: luminance divided by its blur, the retoucher's colour dodge."""
    import cv2

    grey = _grey(photo) + 1
    paper = cv2.GaussianBlur(grey, (0, 0), max(1.0, min(photo.shape[:2]) / 40))
    return _bytes(np.clip(grey / paper, 0, 1) ** (2.5 * detail))


def hand_drawn(photo: np.ndarray, detail: float, rng: np.random.Generator) -> np.ndarray:
    """Strokes as a hand draws them: the longer edges, each simplified to a few straight or bent pieces whose corners
    are a little off, drawn with a pen of some width that sets down early and lifts late."""
    import cv2

    side = min(photo.shape[:2])
    found = 255 - canny(cv2.GaussianBlur(np.ascontiguousarray(photo), (0, 0), side / 100), 0.8 * detail)
    outlines, _ = cv2.findContours(found, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    paper = np.full(photo.shape[:2], 255, np.uint8)
    fine = 3  # bits of a pixel, of cv2's drawing
    for outline in outlines:
        stroke = outline[: len(outline) // 2 + 1]  # around a line of one pixel it goes there and back
        if len(stroke) < side * STROKE / detail:
            continue
        corners = cv2.approxPolyDP(stroke, side / 80, closed=False)[:, 0].astype(np.float64)
        if len(corners) < 2:  # a dot, which a very narrow picture takes for long
            continue
        corners += rng.normal(0, side / 160, corners.shape)
        ends = rng.uniform(0, side / 40, 2)
        for end, (tip, before) in zip(ends, ((0, 1), (-1, -2)), strict=True):
            along = corners[tip] - corners[before]
            corners[tip] += end * along / max(float(np.hypot(*along)), 1e-6)
        points = np.rint(corners * 2**fine).astype(np.int32)
        pen = max(1, round(side / 128 * rng.uniform(0.8, 1.8)))
        cv2.polylines(paper, [points], False, 0, pen, cv2.LINE_AA, fine)
    return paper


STYLES: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "canny": canny,
    "xdog": xdog,
    "soft": soft,
    "pencil": pencil,
}
HANDS: dict[str, Callable[[np.ndarray, float, np.random.Generator], np.ndarray]] = {
    "hand": hand_drawn,
    "marker": marker,
}


def thicker(lines: np.ndarray, radius: int) -> np.ndarray:
    """Every line grown by `radius` pixels, round."""
    import cv2

    return np.asarray(cv2.erode(lines, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)))


def trembled(lines: np.ndarray, spread: float, rng: np.random.Generator) -> np.ndarray:
    """Lines displaced by smooth noise whose standard deviation is `spread` pixels."""
    import cv2

    height, width = lines.shape
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    across, down = (
        columns + spread * _noise(height, width, WAVE, rng),
        rows + spread * _noise(height, width, WAVE, rng),
    )
    return np.asarray(cv2.remap(lines, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE))


def broken(lines: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Gaps in the lines: `share` of the picture is wiped away, in patches with soft rims."""
    noise = _noise(lines.shape[0], lines.shape[1], BREAK, rng)
    kept = np.clip((noise - np.quantile(noise, share)) * 4 + 0.5, 0, 1)  # 4: rims of a pixel or two
    return _bytes(1 - (1 - lines / 255) * kept)


def _noise(height: int, width: int, length: float, rng: np.random.Generator) -> np.ndarray:
    """h w float32 of mean 0 and deviation 1, smooth over `length` pixels."""
    import cv2

    noise = cv2.GaussianBlur(rng.standard_normal((height, width), np.float32), (0, 0), length)
    return np.asarray((noise - noise.mean()) / max(float(noise.std()), 1e-6))


def _grey(photo: np.ndarray) -> np.ndarray:
    """float32 h w in [0, 255]."""
    return photo.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def _bytes(values: np.ndarray) -> np.ndarray:
    """[0, 1] → uint8."""
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)

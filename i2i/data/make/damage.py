"""What time and cheap cameras do to pictures: uint8 or uint16 h w c in, the same out. Legend: h height, w width."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from i2i.data.make.resize import smooth
from i2i.errors import UserError, suggest
from i2i.images.colour import to_channels

HOLE = 128  # of 255: what is missing is 0 to a network that sees [-1, 1]
LUMPS = 4  # strokes of a mask begin so often before it has its share; the last is cut short at it


@dataclass(frozen=True)
class Damage:
    """One kind of damage; its amount is drawn for each picture, evenly from `low` to `high`."""

    kind: str
    low: float
    high: float

    @classmethod
    def parse(cls, text: str) -> "Damage":
        """`blur`, `blur:2` or `blur:1:4`. Raises UserError for what is none."""
        kind, *amounts = text.split(":")
        if kind not in KINDS:
            raise UserError(f"no damage is called '{kind}'.{suggest(kind, KINDS)}")
        known = KINDS[kind]
        try:
            low, high = [float(amount) for amount in amounts * (2 if len(amounts) == 1 else 1)] or known.usual
        except ValueError:
            raise UserError(f"'{text}': expected {kind}, {kind}:AMOUNT or {kind}:LOW:HIGH, in {known.unit}.") from None
        least, most = known.limits
        if not least <= low <= high <= most:
            raise UserError(f"'{text}': expected amounts from {least:g} to {most:g} {known.unit}, the smaller first.")
        return cls(kind, low, high)


@dataclass(frozen=True)
class Known:
    """How a kind of damage is done, and the amounts that make sense."""

    apply: Callable[[np.ndarray, float, np.random.Generator], np.ndarray] | None  # None: it makes a mask
    unit: str
    usual: tuple[float, float]
    limits: tuple[float, float]


def damaged(
    pixels: np.ndarray, kinds: Sequence[Damage], rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray | None]:
    """The picture after all kinds of damage in their order, and the mask of what is missing, h w 1 of 0 or 255, if one
    of them makes holes."""
    mask = None
    for damage in kinds:
        amount = rng.uniform(damage.low, damage.high)
        if (apply := KINDS[damage.kind].apply) is not None:
            pixels = apply(pixels, amount, rng)
        else:
            mask = holes(pixels.shape[0], pixels.shape[1], amount, rng)
            pixels = np.where(mask > 0, pixels.dtype.type(HOLE if pixels.dtype == np.uint8 else HOLE * 257), pixels)
    return pixels, mask


def grey(pixels: np.ndarray, amount: float, rng: np.random.Generator) -> np.ndarray:
    """Luma alone, one channel."""
    if pixels.shape[2] not in (1, 3):
        raise UserError(f"grey is made of colours, and this has {pixels.shape[2]} channels.")
    return to_channels(pixels, 1)


def blur(pixels: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian blur."""
    import cv2

    planes = [cv2.GaussianBlur(np.ascontiguousarray(plane), (0, 0), sigma) for plane in np.moveaxis(pixels, 2, 0)]
    return np.stack(planes, axis=2)


def noise(pixels: np.ndarray, sigma: float, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise of a deviation in levels of 255, another one in each channel; clipped to black and white."""
    white = np.iinfo(pixels.dtype).max
    noisy = pixels + rng.standard_normal(pixels.shape, np.float32) * np.float32(sigma * white / 255)
    return np.clip(np.rint(noisy), 0, white).astype(pixels.dtype)


def lowres(pixels: np.ndarray, factor: float, rng: np.random.Generator) -> np.ndarray:
    """Shrunk by a factor and enlarged again, both bicubic: the input of super-resolution, in the size of its output."""
    height, width = pixels.shape[:2]
    small = smooth(pixels, max(1, round(height / factor)), max(1, round(width / factor)))
    return smooth(small, height, width)


def jpeg(pixels: np.ndarray, quality: float, rng: np.random.Generator) -> np.ndarray:
    """Saved as JPEG of a quality and read again; colour at half resolution, as most files have it."""
    import io

    from PIL import Image

    if pixels.dtype != np.uint8 or pixels.shape[2] not in (1, 3):
        raise UserError("a JPEG holds 8 bits of grey or colour, and this picture has more.")
    file = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(file, "JPEG", quality=round(quality))
    with Image.open(file, formats=("JPEG",)) as picture:
        return np.asarray(picture).reshape(pixels.shape)


def holes(height: int, width: int, share: float, rng: np.random.Generator) -> np.ndarray:
    """uint8 h w 1, 255 in a share of the picture: free-form strokes (Yu et al. 2019, Free-form image inpainting with
    gated convolution, algorithm 1), wandering with turns and round joints, the last one cut short at the share."""
    import cv2

    mask = np.zeros((height, width), np.uint8)
    wanted = round(share * height * width)
    brush = max(1.0, np.sqrt(share / LUMPS) * min(height, width) / 2)
    while (missing := wanted - int(np.count_nonzero(mask))) > 0:
        stroke = mask.copy()
        x, y, angle = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0, 2 * np.pi)
        begin = y, x
        thick = max(1, round(rng.uniform(0.5, 1.5) * brush))
        for _ in range(rng.integers(2, 6)):
            length = rng.uniform(0.05, 0.3) * max(height, width)
            to = x + length * np.cos(angle), y + length * np.sin(angle)
            cv2.line(stroke, (int(x), int(y)), (int(to[0]), int(to[1])), 255, thick)
            cv2.circle(stroke, (int(to[0]), int(to[1])), max(1, thick // 2), 255, -1)
            x, y = float(np.clip(to[0], 0, width)), float(np.clip(to[1], 0, height))
            angle += rng.uniform(-np.pi / 2, np.pi / 2)
        new = np.argwhere(stroke > mask)
        new = new[np.argsort(((new - begin) ** 2).sum(axis=1), kind="stable")[:missing]]  # what is nearest its begin
        mask[new[:, 0], new[:, 1]] = 255
    return mask[:, :, None]


KINDS: dict[str, Known] = {
    "grey": Known(grey, "(grey has no amount)", (0, 0), (0, 0)),
    "blur": Known(blur, "pixels of standard deviation", (1, 4), (0.1, 100)),
    "noise": Known(noise, "levels of 255 of standard deviation", (10, 50), (0, 255)),
    "lowres": Known(lowres, "times smaller", (4, 4), (1, 64)),
    "jpeg": Known(jpeg, "of JPEG's quality", (10, 40), (1, 95)),
    "mask": Known(None, "of the picture, 1 being all of it", (0.1, 0.4), (0, 0.95)),
}

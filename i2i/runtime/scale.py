"""Working at another size than the picture's: a model knows things only in the size it has seen them in.

A model that was trained on whole photos brought down to 136 pixels finds no garment in a photo of 3000. So a larger
picture is brought to the training's scale, translated, and brought back to its own size.
"""

import json

import numpy as np
from PIL import Image

from i2i.errors import UserError
from i2i.runtime.model import Card

LARGER = 1.5  # times the training's size: what is hardly larger keeps its own pixels


def working_side(card: Card, at: int | str) -> int | None:
    """Pixels of the shorter side to work at, from `--at`: a number, `native` (None) or `trained`.

    `trained` is what the recipe's `load` brought the training pictures to; None where it left them as they were, and
    where the input holds class numbers, which no size lies between. Raises UserError.
    """
    classes = any(plane.classes for plane in card.planes)
    if isinstance(at, int) or at.isdecimal():
        if int(at) < 1:
            raise UserError(f"--at {at}: expected a number of pixels from 1, native or trained.")
        if classes:
            raise UserError("--at resizes the input, and this model takes segmentation maps. Leave it out.")
        return int(at)
    if at not in ("native", "trained"):
        raise UserError(f"--at {at}: expected a number of pixels, native or trained.")
    data = json.loads(card.recipe).get("data") or {}  # an imported model has none
    return data.get("load") if at == "trained" and not classes else None


def is_larger(size: tuple[int, int], side: int) -> bool:
    """Whether a picture of this height and width is to be brought to the training's scale."""
    return min(size) > LARGER * side


def size_at(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Height and width of the same shape whose shorter one is `side`."""
    scale = side / min(size)
    height, width = (max(side, round(each * scale)) for each in size)
    return height, width


def resized(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """h w c → height width c of the same type, bicubic and antialiased, as pictures are resized for training."""
    if picture.shape[:2] == size:
        return picture
    return np.stack([_resized(picture[:, :, c], size) for c in range(picture.shape[2])], axis=2)


def _resized(plane: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    deep = plane.dtype != np.uint8
    made = Image.fromarray(plane.astype(np.float32) if deep else np.ascontiguousarray(plane))
    pixels = np.asarray(made.resize((size[1], size[0]), Image.Resampling.BICUBIC))
    if plane.dtype == np.uint16:
        pixels = np.rint(pixels).clip(0, 65535)
    return pixels.astype(plane.dtype)

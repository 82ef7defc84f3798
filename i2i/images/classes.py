"""A segmentation map's file → class numbers, as it stores them. Legend: h height, w width, n classes."""

from pathlib import Path

import numpy as np

from i2i.errors import UserError
from i2i.images import maps, reading
from i2i.images.formats import MAX_TRANSLATED, called, guarded, held, sniff


def read_classes(
    source: str | Path | bytes, classes: int, palette: np.ndarray | None = None, max_pixels: int = MAX_TRANSLATED
) -> np.ndarray:
    """h w uint8 class numbers, upright.

    With a palette (n, 3) uint8 each pixel is of the class whose colour is nearest. Without one its value is its class:
    the index of a palette file, 0 or 1 of a file of 1 bit, the number itself in an .npy file of any whole numbers.
    Raises UserError for values that are no class, for more than one frame, and as `images.opened` does.
    """
    with guarded(source), held(source) as file:
        form = sniff(file)
        if form == "JPEG" and palette is None:
            raise UserError("JPEG changes values, so class numbers are lost in it; save them as PNG")
    if form != "NPY" and (frames := reading.opened(source, max_pixels).kind.frames) != 1:
        raise UserError(f"{called(source)}: expected one picture of classes, got {frames} frames.")
    pixels = maps.as_stored(source, palette is not None, max_pixels)
    with guarded(source):
        try:
            return maps.class_numbers(pixels, palette, classes)
        except ValueError as problem:
            raise UserError(str(problem)) from None

"""The plain way for data sets: one picture in as 8-bit pixels, one out."""

from pathlib import Path

import numpy as np
from PIL import Image

from i2i.errors import UserError
from i2i.images import npy
from i2i.images.atomic import Atomic
from i2i.images.colour import orientation_of, seen, turned
from i2i.images.formats import MAX_PIXELS, WRITABLE, guarded, held, launch, sniff


def read(source: str | Path | bytes, channels: int = 3) -> np.ndarray:
    """Decode a picture as a person sees it: (h, w, channels) uint8 sRGB.

    Turned upright by its EXIF tag, brought to sRGB by its colour profile, transparency laid on white, 16-bit grey
    rescaled, first frame of an animation. Raises UserError for what is missing, broken, too large or no picture.
    """
    if channels not in (1, 3):
        raise ValueError(f"channels must be 1 (grey) or 3 (colour), got {channels}")
    with guarded(source, scarce=False), held(source) as file:  # want of memory is not the picture's fault
        if (form := sniff(file)) == "NPY":
            (frame,) = npy.opened(source, file, MAX_PIXELS, "make it smaller first").frames(channels)
            return frame.pixels
        with launch(file, form, MAX_PIXELS) as picture:
            picture.load()
            turn = orientation_of(picture)
            pixels, _ = seen(picture, channels)
        return turned(pixels, turn)


def write(path: str | Path, array: np.ndarray, *, force: bool = False, quality: int = 95) -> None:
    """Save uint8 (h, w), (h, w, 1) or (h, w, 3) pixels; the suffix chooses the format, `quality` is JPEG's and WebP's.

    The file appears whole or not at all, and never replaces another unless `force`. Missing folders are made.
    """
    path = Path(path)
    if path.suffix.lower() not in WRITABLE:
        raise UserError(f"{path}: cannot write '{path.suffix}'. Use one of: {' '.join(sorted(WRITABLE))}")
    array = np.asarray(array)
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (1, 3)):
        raise ValueError(f"expected uint8 (h, w), (h, w, 1) or (h, w, 3), got {array.dtype} {array.shape}")
    if path.suffix.lower() == ".npy":
        with Atomic(path, force) as file:
            np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)
        return
    picture = Image.fromarray(array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array)
    with Atomic(path, force) as file:
        # subsampling 0: colour keeps its full resolution in a JPEG
        picture.save(file, WRITABLE[path.suffix.lower()], quality=quality, subsampling=0)

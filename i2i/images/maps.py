"""Segmentation maps: what a file stores → class numbers ↔ colours ↔ one channel per class.

Legend: h height, w width, c channels as stored, n classes.
"""

import re
from pathlib import Path
from typing import IO

import numpy as np

from i2i.errors import UserError
from i2i.images import npy, png, tiff
from i2i.images.colour import GREY_MODES, UPRIGHT, eight_bits, orientation_of, to_bits, turned
from i2i.images.formats import MAX_PIXELS, check_size, guarded, held, launch, sniff

BAND = 2**20  # pixels that are worked on at a time
CHUNK = 2**14  # colours that are compared with a palette at a time: 16 MiB for 256 classes
ADVICE = "make it smaller first"
PPM_HEADER = re.compile(rb"P[2356]" + rb"(?:\s|#[^\n]*\n)+(\d{1,9})" * 3 + rb"\s")


def rgb(*colours: str) -> np.ndarray:
    """Colours as '#rrggbb' → (n, 3) uint8."""
    return np.array([list(bytes.fromhex(colour.removeprefix("#"))) for colour in colours], np.uint8).reshape(-1, 3)


def colours(classes: int) -> np.ndarray:
    """A colour of its own for each of up to 256 classes, (n, 3) uint8: the colour map of PASCAL VOC, black first."""
    bits = np.unpackbits(np.arange(classes, dtype=np.uint8)[:, None], axis=1, bitorder="little")  # n 8, lowest first
    # bits 0, 3, 6 of the number are the highest bits of red, 1, 4, 7 those of green, 2, 5 those of blue
    highest = [[bits[:, first + step] << (7 - step // 3) for step in range(0, 8 - first, 3)] for first in range(3)]
    return np.stack([np.bitwise_or.reduce(channel) for channel in highest], axis=1)


def class_numbers(pixels: np.ndarray, palette: np.ndarray | None, classes: int) -> np.ndarray:
    """h w c pixels → h w uint8 class numbers; alpha (channel 2 of 2, 4 of 4) does not count.

    With a palette, (n, 3) uint8, a uint8 pixel is of the class whose colour is nearest in red, green and blue, the
    first of equals. Without one, its integer is its class. ValueError for one that is no class, and for colours
    without a palette.
    """
    if pixels.shape[2] > 4:
        raise ValueError(f"expected one channel of class numbers, or colours, got {pixels.shape[2]} channels")
    light = pixels[:, :, : 1 if pixels.shape[2] < 3 else 3]
    if palette is not None:
        if light.dtype != np.uint8:
            raise ValueError(f"expected 8-bit colours to compare with a palette, got {light.dtype}")
        rows = max(1, BAND // max(1, light.shape[1]))
        numbers = np.empty(light.shape[:2], np.uint8)
        for top in range(0, len(light), rows):
            numbers[top : top + rows] = _nearest(light[top : top + rows], palette)
        return numbers
    values = light[:, :, 0]
    if light.shape[2] == 3 and (light != values[:, :, None]).any():
        y, x = np.argwhere((light != values[:, :, None]).any(axis=2))[0].tolist()
        found = light[y, x].tolist()
        raise ValueError(f"expected one channel of class numbers, got the colour {found} at x {x}, y {y}")
    if values.size and (int(values.min()) < 0 or int(values.max()) >= classes):
        y, x = np.argwhere((values < 0) | (values >= classes))[0].tolist()
        raise ValueError(
            f"expected class numbers from 0 to {classes - 1}, got {values[y, x]} at x {x}, y {y}, and "
            f"{values.max()} is the highest"
        )
    return values.astype(np.uint8)


def one_hot(numbers: np.ndarray, classes: int) -> np.ndarray:
    """h w uint8 class numbers → h w n uint8: 255 in the channel of a pixel's class, 0 in the others."""
    return (numbers[:, :, None] == np.arange(classes)).view(np.uint8) * np.uint8(255)


def drawn(scores: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """h w n scores, one-hot or a network's → h w 3 uint8: the colour of the class with the highest, first of equals."""
    rows = max(1, BAND // max(1, scores.shape[1]))
    pixels = np.empty((*scores.shape[:2], 3), np.uint8)
    for top in range(0, len(scores), rows):
        pixels[top : top + rows] = palette[scores[top : top + rows].argmax(axis=2)]
    return pixels


def as_stored(source: str | Path | bytes, coloured: bool, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """What a file holds, upright, h w c for `class_numbers`: a map is no light, so no profile and no scale is applied.

    Not `coloured`: integers as they are stored, of a palette its indices, of 1, 2 and 4 bits 0 to 1, 3 and 15.
    `coloured`: uint8 red, green and blue. Alpha is left out of both, and so is what follows a first frame. UserError
    for what is missing, broken, too large, no picture, or no map.
    """
    with guarded(source, scarce=False), held(source) as file:
        form = sniff(file)
        if form == "TIFF" and not tiff.pages(file)[0].plain:
            pixels = _deep_tiff(file, max_pixels)
        elif form == "PNG" and png.header(file).bits == 16:
            picture = launch(file, form, max_pixels)
            pixels = turned(png.decode_deep(file), orientation_of(picture))
        elif form == "NPY":
            pixels = next(npy.opened(source, file, max_pixels, ADVICE, npy.NUMBERS).pages(file))
        else:
            pixels = _shallow(file, form, coloured, max_pixels)
        pixels = pixels.view(np.uint8) if pixels.dtype == bool else pixels
        if pixels.dtype.kind not in "ui" or (coloured and pixels.dtype not in (np.uint8, np.uint16)):
            raise UserError(f"expected a map of {'colours of 8 bits' if coloured else 'integers'}, got {pixels.dtype}")
        pixels = pixels[:, :, :-1] if pixels.shape[2] in (2, 4) else pixels
        if coloured:
            pixels = to_bits(np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels, 8)
        return np.ascontiguousarray(pixels)


def _shallow(file: IO[bytes], form: str, coloured: bool, max_pixels: int) -> np.ndarray:
    """What Pillow holds whole, which undoes the scale that it brings few bits to."""
    white = 0
    if form == "PPM" and (found := PPM_HEADER.match(file.read(4096))):
        white = int(found[3])
    elif form == "PNG" and png.header(file).colour_type == 0:
        white = 2 ** png.header(file).bits - 1
    elif form == "TIFF":
        white = 2 ** max(tiff.pages(file)[0].bits) - 1
    file.seek(0)
    with launch(file, form, max_pixels) as picture:
        turn = 1 if form == "TIFF" else orientation_of(picture)  # Pillow turns these by itself
        picture.load()
        picture.info.pop("transparency", None)  # or it would be mixed into the colours
        if coloured:
            return turned(np.asarray((eight_bits(picture) if picture.mode[0] == "I" else picture).convert("RGB")), turn)
        stored = picture if picture.mode in (*GREY_MODES, "P", "PA") else picture.convert("RGB")
        pixels = np.asarray(stored.getchannel(0) if stored.mode in ("LA", "La", "PA") else stored)
    pixels = pixels.astype(np.uint8) if pixels.dtype == bool else pixels
    top = 255 if pixels.dtype == np.uint8 else 65535
    if stored.mode in ("L", "I", "RGB") and 0 < white < top:
        pixels = np.rint(pixels * (white / top)).astype(np.uint16)
    return turned(pixels.reshape(*pixels.shape[:2], -1), turn)


def _deep_tiff(file: IO[bytes], max_pixels: int) -> np.ndarray:
    page = tiff.pages(file)[0]
    bits = max(page.bits)
    check_size(page.width, page.height, 1, max_pixels, ADVICE, max(1, page.samples * bits // 8))
    return turned(tiff.decode(file, 0, page), page.orientation if page.orientation in UPRIGHT else 1)


def _nearest(light: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """h w 1 or 3 → h w."""
    packed, known = _packed(light), _packed(palette)
    order = np.argsort(known, kind="stable").astype(np.uint8)
    place = np.minimum(np.searchsorted(known[order], packed), len(known) - 1)
    numbers = order[place]
    foreign = known[numbers] != packed
    if foreign.any():
        # Resampling and JPEG leave colours between those of the palette: few of them, many times each.
        others, which = np.unique(packed[foreign], return_inverse=True)
        chunks = [_closest(others[first : first + CHUNK], palette) for first in range(0, len(others), CHUNK)]
        numbers[foreign] = np.concatenate(chunks)[which]
    return numbers


def _packed(light: np.ndarray) -> np.ndarray:
    """… 1 or 3 uint8 → … uint32, a number for each colour."""
    channels = np.broadcast_to(light, (*light.shape[:-1], 3)).astype(np.uint32)
    return channels[..., 0] << 16 | channels[..., 1] << 8 | channels[..., 2]


def _closest(packed: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """The class nearest to each packed colour, the first of equals."""
    light = np.stack([packed >> 16, packed >> 8 & 255, packed & 255], axis=1).astype(np.float32)
    known = palette.astype(np.float32)
    # |light - known|² without |light|², which is the same for every class; whole numbers below 2^24, so it is exact
    return ((known * known).sum(axis=1) - 2 * (light @ known.T)).argmin(axis=1).astype(np.uint8)

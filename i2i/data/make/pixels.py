"""Pictures in and out of the makers: as they are stored, as they are seen, or as maps of class numbers.

Legend: h height, w width, c channels; arrays are uint8 or uint16.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from i2i.errors import UserError
from i2i.images import Kind, opened, read, writer
from i2i.images.colour import to_bits, to_channels
from i2i.images.formats import MAX_TRANSLATED, guarded, held, launch
from i2i.images.maps import as_stored
from i2i.images.media import Frame

BITS = {8: np.uint8, 16: np.uint16}
INDEXED = ("PNG", "TIFF", "BMP")


@dataclass(frozen=True)
class Picture:
    """Pixels h w c, and what file they are of."""

    pixels: np.ndarray
    kind: Kind


def stored(path: Path, exact: bool = False) -> Picture:
    """A still picture upright, with all its channels, alpha among them, and all its bits. Floats keep 16 of theirs, or
    are refused with UserError if `exact`."""
    with opened(path) as reader:
        kind = _still(path, reader.kind)
        if exact and kind.bits > 16:
            raise UserError(f"{path}: it holds floats, and 8 or 16 bits are expected.")
        transparent = kind.alpha and kind.channels in (1, 3)
        frame = next(iter(reader.frames(kind.channels + transparent, depth(kind))))
        return Picture(frame.pixels, kind)


def exact(path: Path) -> Picture:
    """As `stored`, but of an opaque palette file its indices, for it may be a map of classes."""
    with opened(path) as reader:
        indexed = reader.kind.format in INDEXED and not reader.kind.alpha and _palette(path, reader.kind) is not None
    return numbers(path) if indexed else stored(path)


def seen(path: Path) -> Picture:
    """A picture as a translator sees it: the first frame, transparency laid on white; its own channels and depth."""
    with opened(path) as reader:
        frame = next(iter(reader.frames(reader.kind.channels, depth(reader.kind))))
        return Picture(frame.pixels, replace(reader.kind, alpha=False, frames=1, loop=None))


def eight(path: Path) -> np.ndarray:
    """uint8 h w c of a picture as it is seen, for looking at it only."""
    try:
        return read(path, 3)  # twice as fast
    except UserError:  # other channels, or damage, which the next line tells
        return to_bits(seen(path).pixels, 8)


def photo(path: Path) -> np.ndarray:
    """uint8 h w 3 of a picture as it is seen. UserError for what is neither grey nor colour."""
    pixels = eight(path)
    if pixels.shape[2] not in (1, 3):
        raise UserError(f"{path}: it has {pixels.shape[2]} channels, and grey or colour is expected.")
    return to_channels(pixels, 3)


def numbers(path: Path) -> Picture:
    """A map of classes: the numbers h w 1 (or colours h w 3) as they are stored; a palette stays with them."""
    with opened(path) as reader:
        kind = _still(path, reader.kind)
    pixels = as_stored(path, coloured=False, max_pixels=MAX_TRANSLATED)
    if pixels.dtype not in BITS.values():  # arrays of other whole numbers
        low, high = int(pixels.min()), int(pixels.max())
        if not 0 <= low <= high <= 65535:
            raise UserError(f"{path}: expected class numbers from 0 to 65535, got {low} to {high}.")
        pixels = pixels.astype(np.uint8 if high <= 255 else np.uint16)
    palette = _palette(path, kind) if kind.format in INDEXED and pixels.shape[2] == 1 else None
    bits = 8 if pixels.dtype == np.uint8 else 16
    return Picture(pixels, replace(kind, channels=pixels.shape[2], alpha=False, bits=bits, palette=palette))


def depth(kind: Kind) -> int:
    """Bits of a sample as they are worked on."""
    return 8 if kind.bits == 8 else 16


def put(path: Path, pixels: np.ndarray, like: Kind, force: bool) -> None:
    """Writes pixels h w c into a file of the depth and with the colours of `like`; the suffix says the format."""
    if pixels.dtype != BITS[depth(like)]:
        raise ValueError(f"expected {BITS[depth(like)]}, got {pixels.dtype}")
    kind = replace(like, height=pixels.shape[0], width=pixels.shape[1], frames=1, loop=None)
    with writer(path, kind, force=force) as file:
        file.add(Frame(np.ascontiguousarray(pixels)))


def plain(pixels: np.ndarray, like: Kind | None = None) -> Kind:
    """The kind of a file that holds these pixels without loss, in the colours of `like`; see `lossless`."""
    info = {"icc_profile": like.info["icc_profile"]} if like and "icc_profile" in like.info else {}
    bits = 8 if pixels.dtype == np.uint8 else 16
    palette = like.palette if like and pixels.shape[2] == 1 else None
    return Kind(
        "PNG", pixels.shape[1], pixels.shape[0], channels=pixels.shape[2], bits=bits, palette=palette, info=info
    )


def lossless(folder: Path, name: str, pixels: np.ndarray) -> Path:
    """The file for a picture that may lose nothing: PNG, or TIFF where there are more channels than PNG holds."""
    return folder / f"{name}{'.png' if pixels.shape[2] <= 4 else '.tif'}"


def _palette(path: Path, kind: Kind) -> bytes | None:
    """Red, green, blue of each index; None of a file without a palette."""
    try:
        with guarded(path), held(path) as file, launch(file, kind.format, MAX_TRANSLATED) as picture:
            return bytes(picture.getpalette() or ()) if picture.mode == "P" else None
    except UserError:  # Pillow does not know all that is read
        return None


def _still(path: Path, kind: Kind) -> Kind:
    if kind.frames != 1:
        raise UserError(f"{path}: it has {kind.frames} frames, and one is expected. `i2i data make frames` splits it.")
    return kind

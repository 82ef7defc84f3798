"""Pictures read from the top to the bottom in bands of rows, so that those larger than memory can be cut.

TIFF (plain, deflated or PackBits, 8 or 16 bits) and .npy are read band by band once they are large; all else is decoded
once, whole. Legend: h height, w width, c channels.
"""

import functools
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from i2i.data.make.pixels import Picture, exact
from i2i.errors import UserError
from i2i.images import Kind, opened
from i2i.images import tiff as tiffs
from i2i.images.formats import guarded, held, sniff

WHOLE = 2**26  # pixels: larger ones go by bands where they can
SEGMENT = 2**28  # bytes of one strip or tile of a TIFF, decoded; a larger one cannot be read by parts


@dataclass(frozen=True)
class Whole:
    """Decoded when its first rows are asked for, once. `rows(top, bottom)` gives uint8 or uint16 h w c, as they are
    stored, to any thread; so do those below."""

    path: Path
    kind: Kind
    lock: Lock = field(default_factory=Lock)

    @functools.cached_property
    def picture(self) -> Picture:
        return exact(self.path)

    def rows(self, top: int, bottom: int) -> np.ndarray:
        with self.lock:
            return self.picture.pixels[top:bottom]

    @property
    def like(self) -> Kind:
        """The kind of file that holds its rows."""
        with self.lock:
            return self.picture.kind


@dataclass(frozen=True)
class Mapped:
    """An array in a file, of which the system reads what is touched."""

    path: Path
    kind: Kind
    array: np.ndarray

    def rows(self, top: int, bottom: int) -> np.ndarray:
        return np.array(self.array[top:bottom]).reshape(bottom - top, self.kind.width, self.kind.channels)

    @property
    def like(self) -> Kind:
        return self.kind


@dataclass(frozen=True)
class Segments:
    """A TIFF of which the strips or tiles that a band touches are decoded."""

    path: Path
    kind: Kind
    page: tiffs.Page

    def rows(self, top: int, bottom: int) -> np.ndarray:
        import tifffile

        dtype = np.uint8 if self.kind.bits == 8 else np.uint16
        band = np.zeros((bottom - top, self.page.width, self.page.samples), dtype)
        with guarded(self.path), tifffile.TiffFile(self.path) as file:
            stored: Any = file.pages[0]
            down, across = (stored.tilelength, stored.tilewidth) if stored.is_tiled else (stored.rowsperstrip, 0)
            columns = -(-self.page.width // across) if across else 1
            first, last = top // down * columns, -(-bottom // down) * columns
            for index in range(first, min(last, len(stored.dataoffsets))):
                file.filehandle.seek(stored.dataoffsets[index])
                data = file.filehandle.read(stored.databytecounts[index])
                segment, (_, _, y, x, _), (_, height, width, _) = stored.decode(data, index)
                if segment is None:
                    continue  # a hole in the file stands for zeros
                height, width = min(height, self.page.height - y), min(width, self.page.width - x)
                here = slice(max(y, top), min(y + height, bottom))
                part = segment[0, here.start - y : here.stop - y, :width]
                band[here.start - top : here.stop - top, x : x + width] = part
        return band

    @property
    def like(self) -> Kind:
        return self.kind


Bands = Whole | Mapped | Segments


def bands(path: Path, whole: int = WHOLE) -> Bands:
    """Looks at a file's header alone. Raises UserError for what is no picture or too large to be read."""
    with guarded(path), held(path) as file:
        form = sniff(file)
        if form == "TIFF":
            page = tiffs.pages(file)[0]
            if page.width * page.height > whole and _by_segments(page) and len(tiffs.pages(file)) == 1:
                return Segments(path, _kind("TIFF", page.width, page.height, page.samples, page.bits[0]), page)
    if form == "NPY" and (mapped := _mapped(path, whole)) is not None:
        return mapped
    with opened(path) as reader:
        return Whole(path, reader.kind)


def _by_segments(page: tiffs.Page) -> bool:
    """Whether strips and tiles can be decoded one by one, and what they hold is taken as it is."""
    rows = page.tile_height * page.tile_width if page.tile_width else min(page.rows, page.height) * page.width
    return (
        page.compression in tiffs.NONE + tiffs.DEFLATE + tiffs.PACKBITS
        and page.predictor in (1, 2)
        and page.planar == 1
        and page.orientation == 1
        and page.photometric in (tiffs.BLACK_IS_ZERO, tiffs.RGB)
        and set(page.format) == {tiffs.UNSIGNED}
        and len(set(page.bits)) == 1
        and page.bits[0] in (8, 16)
        and page.samples <= tiffs.MOST_SAMPLES
        and rows * page.samples * page.bits[0] // 8 <= SEGMENT
        and page.pieces >= page.needed
    )


def _mapped(path: Path, whole: int) -> Mapped | None:
    with guarded(path):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if array.dtype not in (np.uint8, np.uint16) or array.ndim not in (2, 3) or 0 in array.shape:
            return None
        height, width, channels = array.shape if array.ndim == 3 else (*array.shape, 1)
        if height * width <= whole or channels > tiffs.MOST_SAMPLES:
            return None
        return Mapped(path, _kind("NPY", width, height, channels, 8 * array.dtype.itemsize), array)


def _kind(form: str, width: int, height: int, samples: int, bits: int) -> Kind:
    if width < 1 or height < 1:
        raise UserError(f"{width}×{height} pixels are no picture")
    return Kind(form, width, height, channels=samples, bits=bits)

"""TIFFs that Pillow cannot hold: 16 bits a sample, floating point, any number of channels; and writing them.

Its own walk over the tags comes first: it finds out who can decode a page, and how large that may get, before any
decoder sees the file. tifffile decodes what is stored plain, deflated or run-length coded, OpenCV's libtiff the rest.
Legend: h height, w width, k samples of a pixel, the extra ones (alpha, infrared, ...) after its colours.
"""

import logging
import struct
import zlib
from dataclasses import dataclass
from typing import IO, Any

import numpy as np

from i2i.errors import UserError
from i2i.images.colour import red_first
from i2i.images.formats import MAX_FRAMES
from i2i.images.png import quietly

TAGS = {
    254: "subfile", 256: "width", 257: "height", 258: "bits", 259: "compression", 262: "photometric",
    273: "pieces", 274: "orientation", 277: "samples", 278: "rows", 284: "planar", 317: "predictor", 322: "tile_width",
    323: "tile_height", 324: "pieces", 338: "extra", 339: "format",
}  # fmt: skip
SIZES = {1: 1, 3: 2, 4: 4, 16: 8}  # bytes of the types that count: BYTE, SHORT, LONG, LONG8
CODES = {1: "B", 3: "H", 4: "I", 16: "Q"}
NONE, DEFLATE, PACKBITS = (1,), (8, 32946), (32773,)
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB = 0, 1, 2
UNSIGNED, FLOAT = 1, 3
ASSOCIATED, UNASSOCIATED = 1, 2  # alpha, premultiplied or not
MOST_SAMPLES = 512


@dataclass(frozen=True)
class Page:
    """How one page is stored."""

    width: int
    height: int
    bits: tuple[int, ...] = (1,)
    format: tuple[int, ...] = (UNSIGNED,)
    samples: int = 1
    compression: int = 1
    photometric: int = BLACK_IS_ZERO
    orientation: int = 1
    planar: int = 1
    predictor: int = 1
    extra: tuple[int, ...] = ()
    subfile: int = 0
    pieces: int = 1  # how many strips or tiles there are
    rows: int = 2**32 - 1  # of a strip
    tile_width: int = 0
    tile_height: int = 0

    @property
    def colours(self) -> int:
        """How many of the samples are colours, by what the page says of itself; all but alpha if they are many."""
        base = 3 if self.photometric == RGB else 1
        others = self.samples - base
        if others == 1 and self.extra[:1] in ((ASSOCIATED,), (UNASSOCIATED,)):
            return base
        if (self.samples, self.photometric, self.extra) == (4, RGB, ()):  # OpenCV and others leave the tag out
            return base
        return self.samples

    @property
    def alpha(self) -> bool:
        """Whether the last sample is transparency."""
        return self.colours < self.samples

    @property
    def plain(self) -> bool:
        """Whether Pillow holds it whole: palettes, CMYK, Lab, YCbCr, and up to 8 bits of grey or colour and alpha."""
        if self.photometric not in (WHITE_IS_ZERO, BLACK_IS_ZERO, RGB):
            return True
        return max(self.bits) <= 8 and set(self.format) <= {UNSIGNED, 4} and self.colours in (1, 3)

    @property
    def needed(self) -> int:
        """How many strips or tiles cover it."""
        across, down = (self.tile_width, self.tile_height) if self.tile_width else (self.width, self.rows)
        columns, rows = -(-self.width // across), -(-self.height // max(1, min(down, self.height)))
        return columns * rows * (self.samples if self.planar == 2 else 1)

    @property
    def alike(self) -> tuple[object, ...]:
        """What has to agree for two pages to be frames of one stack."""
        return self.width, self.height, self.bits, self.format, self.samples, self.colours


def pages(file: IO[bytes]) -> list[Page]:
    """The pages of a classic or big TIFF, no pixel read. The file is wound back. Raises ValueError if it is damaged."""
    file.seek(0)
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    big = struct.unpack(order + "H", head[2:4])[0] == 43
    word, entry = ("Q", 20) if big else ("I", 12)
    position = struct.unpack(order + word, head[8:16] if big else head[4:8])[0]
    found: list[Page] = []
    seen: set[int] = set()
    while position and position not in seen and len(found) <= MAX_FRAMES:
        seen.add(position)
        file.seek(position)
        count = struct.unpack(order + ("Q" if big else "H"), file.read(8 if big else 2))[0]
        block = file.read(min(count, 4096) * entry)
        after = file.read(8 if big else 4)
        if count > 4096 or len(after) < (8 if big else 4):
            raise ValueError("its directory is cut short")
        found.append(_page([block[i : i + entry] for i in range(0, len(block), entry)], file, order, big))
        position = struct.unpack(order + word, after)[0]
    file.seek(0)
    if not found:
        raise ValueError("no page in it")
    return found


def _page(entries: list[bytes], file: IO[bytes], order: str, big: bool) -> Page:
    told: dict[str, Any] = {}
    for entry in entries:
        tag, kind, count = struct.unpack(order + ("HHQ" if big else "HHI"), entry[: 12 if big else 8])
        if tag not in TAGS or kind not in SIZES:
            continue
        value = entry[12:] if big else entry[8:]
        if TAGS[tag] == "pieces":
            told["pieces"] = count
            continue
        length = min(count, MOST_SAMPLES) * SIZES[kind]
        if count * SIZES[kind] > len(value):
            file.seek(struct.unpack(order + ("Q" if big else "I"), value)[0])
            value = file.read(length)
        numbers = struct.unpack(f"{order}{length // SIZES[kind]}{CODES[kind]}", value[:length])
        if numbers:
            told[TAGS[tag]] = numbers if TAGS[tag] in ("bits", "format", "extra") else numbers[0]
    if not told.get("width") or not told.get("height"):
        raise ValueError("no size in it")
    return Page(**told)


def stack(found: list[Page]) -> list[int]:
    """Which pages are the picture: all that are not smaller copies of others.

    UserError if they are not alike; ValueError if pixels are missing.
    """
    kept = [number for number, page in enumerate(found) if number == 0 or not page.subfile & 1]
    odd = next((number for number in kept if found[number].alike != found[0].alike), None)
    if odd is not None:
        raise UserError(
            f"its pages differ: the first is {describe(found[0])}, number {odd + 1} is {describe(found[odd])}; "
            "split them into files of their own"
        )
    if any(found[number].pieces < found[number].needed for number in kept):
        raise ValueError("pixels are missing")  # Pillow would leave them black
    return kept


def describe(page: Page) -> str:
    """For messages."""
    return f"{page.width}×{page.height}, {page.samples} × {max(page.bits)} bits"


def check(page: Page) -> None:
    """UserError for what is neither 8 or 16 bits unsigned nor floating point, or too many channels."""
    known = {8: UNSIGNED, 16: UNSIGNED}
    kinds = {(bits, form) for bits in page.bits for form in page.format}
    if len(kinds) != 1 or not all(known.get(b) == f or (f == FLOAT and b in (16, 32, 64)) for b, f in kinds):
        raise UserError(
            f"samples of {'/'.join(map(str, sorted(set(page.bits))))} bits"
            f"{'' if set(page.format) == {UNSIGNED} else ', signed or mixed,'} have no agreed white; "
            "save it with 8 or 16 bits a channel, or as float from 0 to 1"
        )
    if page.samples > MOST_SAMPLES:
        raise UserError(f"{page.samples} channels are more than the {MOST_SAMPLES} that are read")


def decode(file: IO[bytes], number: int, page: Page) -> np.ndarray:
    """Page `number` → (h, w, k) as stored: uint8, uint16 or a float type; black is zero."""
    if page.compression in NONE + DEFLATE + PACKBITS and page.predictor in (1, 2):
        array = _by_tifffile(file, number, page)
    elif page.samples in (1, 3, 4) and page.photometric != WHITE_IS_ZERO:
        array = _by_opencv(file, number, page)
    else:
        raise UserError(
            f"{page.samples} channels under compression number {page.compression} are not read; "
            "save it without compression, or as deflate"
        )
    if array.shape != (page.height, page.width, page.samples):
        raise ValueError(f"{describe(page)} were promised, {array.shape} decoded")
    return np.iinfo(array.dtype).max - array if page.photometric == WHITE_IS_ZERO and array.dtype.kind == "u" else array


def _by_tifffile(file: IO[bytes], number: int, page: Page) -> np.ndarray:
    import tifffile

    logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what is wrong is told by us, once
    file.seek(0)
    with tifffile.TiffFile(file) as opened:
        stored = opened.pages[number]
        if not isinstance(stored, tifffile.TiffPage) or stored.imagelength != page.height:
            raise ValueError("its directory is ambiguous")
        if stored.imagewidth != page.width or stored.samplesperpixel != page.samples or stored.imagedepth != 1:
            raise ValueError("its directory is ambiguous")
        _check_segments(file, stored, page)
        array: np.ndarray = stored.asarray(maxworkers=1)
    if page.planar == 2 and page.samples > 1:
        array = np.moveaxis(array, 0, -1)
    return np.ascontiguousarray(array).reshape(page.height, page.width, page.samples)


def _check_segments(file: IO[bytes], stored: Any, page: Page) -> None:
    """No strip or tile may unpack to more than its pixels, nor be missing: tifffile itself would not mind either."""
    across, down = (stored.tilewidth, stored.tilelength) if stored.is_tiled else (page.width, stored.rowsperstrip)
    sample = max(page.bits) // 8
    most = max(1, across) * max(1, min(down, max(page.height, stored.tilelength))) * page.samples * sample
    if most > max(2**26, 4 * page.width * page.height * page.samples * sample):
        raise ValueError("its tiles are larger than the picture")
    end = file.seek(0, 2)
    if not len(stored.dataoffsets) == page.pieces == page.needed:
        raise ValueError("its directory is ambiguous")
    for offset, length in zip(stored.dataoffsets, stored.databytecounts, strict=True):
        if offset + length > end:
            raise ValueError("pixels are missing")
        if page.compression in NONE:
            continue
        file.seek(offset)
        data = file.read(length)
        if page.compression in DEFLATE and len(zlib.decompressobj().decompress(data, most + 1)) > most:
            raise ValueError("a strip unpacks to more than its pixels")
        if page.compression in PACKBITS and len(data) > 2 * most + 1024:
            raise ValueError("a strip is longer than its pixels")


def _by_opencv(file: IO[bytes], number: int, page: Page) -> np.ndarray:
    import cv2

    file.seek(0)
    data = np.frombuffer(file.read(), np.uint8)
    numbers = (number, number + 1)
    done, arrays = quietly(lambda: cv2.imdecodemulti(data, cv2.IMREAD_UNCHANGED, range=numbers))
    if not done or len(arrays) != 1:
        raise ValueError("the pixels do not decode")
    return red_first(arrays[0])

"""Files of more than 8 bits a sample, or of more channels than colour has: 16-bit PNG and PPM, scientific TIFF.

No library at hand applies a colour profile at 16 bits. So these pixels stay in the colours of their profile, which is
kept in `Kind.info` and goes into the output, and the model sees them as if they were sRGB.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import numpy as np
from PIL import Image

from i2i.errors import UserError
from i2i.images import metadata, png, tiff
from i2i.images.colour import UPRIGHT, freed, lay, to_bits, to_channels, turned
from i2i.images.formats import called, check_size, guarded, held
from i2i.images.media import Frame, Kind

PPM_HEADER = re.compile(rb"P([56])" + rb"(?:\s|#[^\n]*\n)+(\d{1,9})" * 3 + rb"\s")
HEADER_BYTES = 4096


@dataclass(frozen=True)
class Deep:
    """A `media.Reader`. `pages`: from an open file, each page as stored, h w and its colours, alpha last."""

    source: str | Path | bytes
    kind: Kind
    pages: Callable[[IO[bytes]], Iterator[np.ndarray]]
    orientation: int = 1
    premultiplied: bool = False
    base: int = 3  # the colours among its channels, where it has more; what a model of 1 or 3 channels is shown

    def frames(self, channels: int, bits: int = 8) -> Iterator[Frame]:
        """Frames of uint8 or uint16. See `media.Reader`."""
        mine = self.kind.channels
        shown = mine if channels == mine else min(mine, self.base)
        if channels != mine and not (shown in (1, 3) and (channels in (1, 3) or may_have_alpha(self.kind, channels))):
            raise UserError(wrong_channels(self.source, self.kind, channels))
        with guarded(self.source):
            file = held(self.source)
        with file:
            pages = self.pages(file)
            while True:
                with guarded(self.source):
                    array = next(pages, None)
                    frame = None if array is None else self._frame(array, shown, channels, bits)
                    del array
                if frame is None:
                    return
                yield frame

    def _frame(self, array: np.ndarray, shown: int, channels: int, bits: int) -> Frame:
        if array.dtype.kind == "f":
            array = from_float(array)
        array = turned(array, self.orientation)
        alpha = np.ascontiguousarray(array[:, :, -1]) if self.kind.alpha else None
        colours = array[:, :, :shown]
        if channels in (2, 4) and channels != shown:  # the last one is alpha
            if alpha is None:
                alpha = np.full(array.shape[:2], np.iinfo(array.dtype).max, array.dtype)
            elif self.premultiplied:
                colours = freed(colours, alpha)
            return Frame(to_bits(np.dstack([to_channels(colours, channels - 1), alpha]), bits))
        if alpha is not None:
            colours = lay(colours, alpha, self.premultiplied)
        pixels = to_bits(to_channels(colours, channels), bits)
        return Frame(np.ascontiguousarray(pixels), None if alpha is None else to_bits(alpha, bits))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held between walks."""


def may_have_alpha(kind: Kind, channels: int) -> bool:
    """Whether a file can be seen with 2 or 4 channels, the last of which is alpha. A fourth channel of a TIFF or an
    array that does not say so may be anything, so theirs is not made up; elsewhere what has no alpha is opaque."""
    return channels in (2, 4) and (kind.alpha or kind.format not in ("TIFF", "NPY"))


def wrong_channels(source: str | Path | bytes, kind: Kind, channels: int) -> str:
    """What to say when a model cannot take what a file has."""
    return (
        f"{called(source)}: this model takes {channels} channels, and the file has {kind.channels}. "
        "Grey and colour are made into each other, 2 and 4 channels are the same with transparency; any other number "
        "has to be the file's own, as in a .tif or .npy."
    )


def from_float(values: np.ndarray) -> np.ndarray:
    """[0, 1] → 0..65535, uint16. UserError for other values, which have no agreed white."""
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):  # also when one is not a number
        raise UserError(
            f"its values go from {low:g} to {high:g}, expected floats from 0 (black) to 1 (white); "
            "scale them to that range, and leave none of them NaN or infinite"
        )
    result = np.empty(values.shape, np.uint16)
    for row, line in zip(result, values, strict=True):  # the products need four times the memory of the result
        row[:] = np.rint(line * 65535.0)
    return result


def open_png(
    source: str | Path | bytes, picture: Image.Image, turn: int, head: png.Header, max_pixels: int, advice: str
) -> Deep:
    """A PNG of 16 bits; `picture`: its header as Pillow read it."""
    samples = png.SAMPLES[head.colour_type]
    check_size(head.width, head.height, 1, max_pixels, advice, 2 * samples)
    kind = Kind(
        "PNG",
        *((head.height, head.width) if turn >= 5 else (head.width, head.height)),
        channels=1 if samples < 3 else 3,
        alpha=samples in (2, 4) or "transparency" in picture.info,
        bits=16,
        info=metadata.gather(picture, turn),
    )

    def pages(file: IO[bytes]) -> Iterator[np.ndarray]:
        array = png.decode_deep(file)
        if array.shape[2] != kind.channels + kind.alpha:
            raise ValueError("its transparent colour is damaged")
        yield array

    return Deep(source, kind, pages, turn)


def is_deep_ppm(file: IO[bytes]) -> bool:
    """Whether it is a binary PGM or PPM of more than 8 bits; the file is wound back."""
    found = PPM_HEADER.match(file.read(HEADER_BYTES))
    file.seek(0)
    return found is not None and int(found[4]) > 255


def open_ppm(source: str | Path | bytes, file: IO[bytes], max_pixels: int, advice: str) -> Deep:
    """A binary PGM or PPM whose white is above 255; it comes back with a white of 65535."""
    found = PPM_HEADER.match(file.read(HEADER_BYTES))
    assert found is not None
    width, height, white = (int(number) for number in found.groups()[1:])
    channels = 1 if found[1] == b"5" else 3
    if white > 65535:
        raise UserError(f"a white of {white} was found, expected at most 65535")
    check_size(width, height, 1, max_pixels, advice, 2 * channels)
    start = found.end()

    def pages(file: IO[bytes]) -> Iterator[np.ndarray]:
        file.seek(start)
        length = width * height * channels * 2
        data = file.read(length)
        if len(data) < length:
            raise ValueError("pixels are missing")
        array = np.frombuffer(data, ">u2").reshape(height, width, channels).astype(np.uint16)
        if white < 65535:
            scaled = (array.astype(np.uint32) * 65535 + white // 2) // white
            array = np.minimum(scaled, 65535).astype(np.uint16)
        yield array

    return Deep(source, Kind("PPM", width, height, channels, bits=16), pages)


def open_tiff(
    source: str | Path | bytes, file: IO[bytes], found: list[tiff.Page], max_pixels: int, advice: str
) -> Deep:
    """A TIFF of 16 bits or floats, or of any number of channels; several pages of one kind are its frames."""
    first, numbers = found[0], tiff.stack(found)
    tiff.check(first)
    size = first.samples * max(first.bits) // 8
    check_size(first.width, first.height, len(numbers), max_pixels, advice, size)
    turn = first.orientation if first.orientation in UPRIGHT else 1
    notes = metadata.gather_tiff(file, turn)
    kind = Kind(
        "TIFF",
        *((first.height, first.width) if turn >= 5 else (first.width, first.height)),
        channels=first.colours,
        alpha=first.alpha,
        bits=32 if tiff.FLOAT in first.format else max(first.bits),
        frames=len(numbers),
        info=notes | {"compression": first.compression},
    )

    def pages(file: IO[bytes]) -> Iterator[np.ndarray]:
        return (tiff.decode(file, number, found[number]) for number in numbers)

    premultiplied = first.alpha and first.extra[:1] == (tiff.ASSOCIATED,)
    return Deep(source, kind, pages, turn, premultiplied, base=3 if first.photometric == tiff.RGB else first.colours)

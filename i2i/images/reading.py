"""Any still picture or animation as a source of frames: what it is, and who decodes it.

Pillow decodes what has up to 8 bits a sample (`Shallow`); deeper files, those with more channels than colour has, and
arrays go another way (`i2i.images.deep`). Deep files for which no library at hand has another way are read at 8 bits,
and `Kind.bits` says so: CMYK, Lab, animated PNG, plain-text PPM. The file is opened anew for each walk over the frames,
and closed after it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from PIL import Image

from i2i.errors import UserError
from i2i.images import gif, metadata, npy, png, tiff
from i2i.images.colour import GREY_MODES, UPRIGHT, orientation_of, seen, to_bits, turned
from i2i.images.deep import is_deep_ppm, may_have_alpha, open_png, open_ppm, open_tiff, wrong_channels
from i2i.images.formats import MAX_FRAMES, MAX_TRANSLATED, check_size, guarded, held, launch, sniff, webp_header
from i2i.images.media import Frame, Kind, Reader

ADVICE = "make it smaller first, or allow more with max_pixels"


@dataclass(frozen=True)
class Shallow:
    """A `media.Reader` over Pillow. `indices`: which of the file's frames or pages are the picture."""

    source: str | Path | bytes
    kind: Kind
    indices: Sequence[int]
    orientation: int
    max_pixels: int

    def frames(self, channels: int, bits: int = 8) -> Iterator[Frame]:
        """Composited frames, uint8, or uint16 when `bits` is 16. See `media.Reader`."""
        if self.kind.format == "TIFF" and self.kind.alpha and channels == self.kind.channels + 1:
            with guarded(self.source), held(self.source) as file:  # what the file calls alpha is one more channel
                whole = open_tiff(self.source, file, tiff.pages(file), self.max_pixels, ADVICE)
            yield from whole.frames(channels, bits)
            return
        if channels not in (1, 3) and not may_have_alpha(self.kind, channels):
            raise UserError(wrong_channels(self.source, self.kind, channels))
        with guarded(self.source):
            file = held(self.source)
        with file:
            with guarded(self.source):
                picture = launch(file, self.kind.format, self.max_pixels, ADVICE)
            for index in self.indices:
                with guarded(self.source):
                    frame = self._frame(picture, index, channels, bits)
                    if index == self.indices[-1]:
                        picture.close()  # its pixels need not be held while somebody works on the frame
                yield frame

    def _frame(self, picture: Image.Image, index: int, channels: int, bits: int) -> Frame:
        if len(self.indices) > 1 or index > 0:
            picture.seek(index)
        picture.load()
        pixels, alpha = seen(picture, channels)
        duration = float(picture.info.get("duration", 0) or 0) if len(self.indices) > 1 else 0.0
        pixels = to_bits(turned(pixels, self.orientation), bits)
        alpha = None if alpha is None else to_bits(turned(alpha, self.orientation), bits)
        height, width = self.kind.height, self.kind.width  # a GIF's later frames may reach beyond its canvas
        return Frame(pixels[:height, :width], alpha if alpha is None else alpha[:height, :width], duration)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held between walks."""


def opened(source: str | Path | bytes, max_pixels: int = MAX_TRANSLATED) -> Reader:
    """What a picture file holds, by its header alone. `max_pixels`: of all its frames together.

    Raises UserError for what is missing, broken, too large or no picture; so does `frames` for what shows only later.
    """
    with guarded(source), held(source) as file:
        form = sniff(file)
        if form == "NPY":
            return npy.opened(source, file, max_pixels, ADVICE)
        if form == "TIFF":
            found = tiff.pages(file)
            if not found[0].plain:
                return open_tiff(source, file, found, max_pixels, ADVICE)
        if form == "PPM" and is_deep_ppm(file):
            return open_ppm(source, file, max_pixels, ADVICE)
        if form == "GIF":  # counted first: its decoder makes room for frames larger than the canvas
            _, width, height = gif.extent(file, MAX_FRAMES)
            check_size(width, height, 1, max_pixels, ADVICE)
        picture = launch(file, form, max_pixels, ADVICE)
        turn = orientation_of(picture)
        if form == "PNG":
            head = png.header(file)
            if head.exif and "exif" not in picture.info:
                picture.info["exif"] = head.exif
                turn = _turn(head.exif)
            if head.bits == 16 and not head.animated:
                return open_png(source, picture, turn, head, max_pixels, ADVICE)
        return _shallow(source, file, form, picture, turn, max_pixels)


def _shallow(
    source: str | Path | bytes, file: IO[bytes], form: str, picture: Image.Image, turn: int, max_pixels: int
) -> Shallow:
    width, height = picture.size
    info = metadata.gather(picture, turn)
    info.pop("icc_profile", None)  # it is applied
    if form == "TIFF":  # Pillow turns these by itself
        turn = 1
    kind = Kind(
        form,
        *((height, width) if turn >= 5 else (width, height)),
        channels=1 if picture.mode in GREY_MODES else 3,
        alpha=picture.has_transparency_data,
        info=info,
    )
    indices: Sequence[int] = (0,)
    if form == "TIFF":
        indices = tiff.stack(tiff.pages(file))
        info["compression"] = picture.info.get("compression")
    elif form == "GIF":
        frames, across, down = gif.extent(file, MAX_FRAMES)
        check_size(across, down, max(frames, 1), max_pixels, ADVICE)
        indices = range(max(frames, 1))
        plays = 1 + int(picture.info.get("loop", 0)) if picture.info.get("loop", 0) else 0
        kind = replace(kind, loop=plays if "loop" in picture.info else 1)
        if frames > 1:  # any of them may be transparent, or leave parts of the canvas bare
            kind = replace(kind, alpha=True, channels=3)
    elif form in ("PNG", "WEBP"):
        first = 1 if getattr(picture, "default_image", False) else 0  # a stand-in, which the animation does not show
        indices = range(first, max(getattr(picture, "n_frames", 1), first + 1))
        kind = replace(kind, loop=int(picture.info.get("loop", 0)))
        info["lossless"] = form == "WEBP" and webp_header(file)[2]
    kind = replace(kind, frames=len(indices), loop=kind.loop if len(indices) > 1 else None)
    check_size(width, height, len(indices), max_pixels, ADVICE)
    return Shallow(source, kind, indices, turn, max_pixels)


def _turn(exif: bytes) -> int:
    """The orientation in EXIF bytes."""
    try:
        stored = Image.Exif()
        stored.load(exif)
        turn = int(stored.get(0x0112, 1))
    except Exception:  # as in `orientation_of`
        return 1
    return turn if turn in UPRIGHT else 1

"""Which files are pictures, by name and by content; how large they may be; how a broken one is told of.

What a file is, its first bytes say: its name may lie. Only the decoders of the formats named here are ever called.
"""

import importlib
import io
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from PIL import Image

from i2i.errors import UserError

# Every other decoder of Pillow stays shut: some forty of them, rarely used and rarely attacked until now.
DECODERS = {
    "PNG": ("PngImagePlugin", "PngImageFile"),
    "JPEG": ("JpegImagePlugin", "jpeg_factory"),
    "WEBP": ("WebPImagePlugin", "WebPImageFile"),
    "TIFF": ("TiffImagePlugin", "TiffImageFile"),
    "BMP": ("BmpImagePlugin", "BmpImageFile"),
    "GIF": ("GifImagePlugin", "GifImageFile"),
    "PPM": ("PpmImagePlugin", "PpmImageFile"),
}
FORMATS = (*DECODERS, "NPY")
WRITABLE = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".gif": "GIF",
    ".ppm": "PPM",
    ".pgm": "PPM",
    ".npy": "NPY",
}
SUFFIXES = frozenset(WRITABLE)
TRANSPARENT = ("GIF", "PNG", "WEBP", "TIFF", "BMP", "NPY")
INDEXED = ("PNG", "TIFF", "BMP", "GIF", "NPY")  # hold class numbers, and all but the last the colours to show them in
MANY = ("TIFF", "NPY")  # hold any number of channels
VIDEO_SUFFIXES = frozenset({".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v"})

MAX_PIXELS = 2**26  # of a training picture, 8192 × 8192: about 200 MB once decoded. A tiny file can claim far more.
MAX_TRANSLATED = 2**28  # of what is translated, all its frames together: 16384 × 16384, 0.8 GB of colour
MAX_FRAMES = 2**16
MAX_BYTES_PER_PIXEL = 8  # four channels of 16 bits; what has more channels may have fewer pixels

JPEG_SIDE, WEBP_SIDE, GIF_SIDE = 65500, 16383, 65535  # the longest that their files can say
SIDES = {"JPEG": JPEG_SIDE, "WEBP": WEBP_SIDE, "GIF": GIF_SIDE}


def is_picture(path: str | Path) -> bool:
    """Whether a file's name says that it is a picture we read. Hidden files (`._photo.jpg`) are not."""
    path = Path(path)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def is_video(path: str | Path) -> bool:
    """Whether a file's name says that it is a video."""
    path = Path(path)
    return path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")


def is_media(path: str | Path) -> bool:
    """Whether a file's name says that it is a picture or a video."""
    return is_picture(path) or is_video(path)


def target_name(name: str | Path) -> Path:
    """What the translation of a file of this name is called: the same, but .png where its suffix cannot be written."""
    path = Path(name)
    return path if path.suffix.lower() in WRITABLE.keys() | VIDEO_SUFFIXES else path.with_suffix(".png")


def suffixes(formats: Sequence[str]) -> str:
    """The suffixes of files in these formats, for messages."""
    return " ".join(sorted(suffix for suffix, form in WRITABLE.items() if form in formats))


def misfit(path: Path, channels: int, classes: bool = False) -> str:
    """Why a still picture file of this name cannot hold so many channels, or `classes`: class numbers with a palette;
    with the names that can. '' if it can."""
    form, able, what = WRITABLE.get(path.suffix.lower(), "a video"), tuple(WRITABLE.values()), ""
    if classes:
        able, what = INDEXED, "the class numbers of a segmentation map"
    elif channels in (2, 4):
        able, what = TRANSPARENT, f"{channels} channels, the last of which is transparency"
    elif channels != 1 and channels != 3:
        able, what = MANY, f"{channels} channels"
    return "" if form in able else f"{form} cannot hold {what}. Use one of: {suffixes(able)}"


def called(source: str | Path | bytes) -> str:
    """What errors call a source."""
    return "these bytes" if isinstance(source, bytes) else str(source)


def held(source: str | Path | bytes) -> IO[bytes]:
    """An open binary file. UserError for what is no file or cannot be opened."""
    if isinstance(source, bytes):
        return io.BytesIO(source)
    path = Path(source)
    try:
        if not path.is_file():
            raise UserError(f"expected a picture, found {'a folder' if path.is_dir() else 'no such file'}")
        return path.open("rb")
    except OSError as problem:
        raise UserError(f"cannot be opened ({problem.strerror})") from None
    except ValueError as problem:  # a name with a NUL in it
        raise UserError(f"is no file name ({problem})") from None


def sniff(file: IO[bytes]) -> str:
    """The format of a file by its first bytes. UserError if it is none that is read; the file is wound back."""
    file.seek(0)
    head = file.read(16)
    file.seek(0)
    if not head:
        raise UserError("expected a picture, got 0 bytes")
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WEBP"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):  # the plus sign is BigTIFF's
        return "TIFF"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head.startswith(b"BM"):
        return "BMP"
    if head.startswith(b"\x93NUMPY"):
        return "NPY"
    if head[:1] == b"P" and head[1:2] in (b"1", b"2", b"3", b"4", b"5", b"6"):
        return "PPM"
    raise UserError(f"not a picture that can be read. Expected one of: {' '.join(sorted(SUFFIXES))}")


def launch(file: IO[bytes], form: str, max_pixels: int, advice: str = "make it smaller first") -> Image.Image:
    """A Pillow picture whose header is read, its size accepted, and its pixels not yet decoded.

    The decoders are called by name: `Image.open` would consult a process-wide limit that is not ours to change.
    """
    if form == "WEBP":  # its decoder takes memory for the canvas as soon as it is made
        check_size(*webp_header(file)[:2], 1, max_pixels, advice)
        file.seek(0)
    module, factory = DECODERS[form]
    picture: Image.Image = getattr(importlib.import_module(f"PIL.{module}"), factory)(file)
    check_size(*picture.size, 1, max_pixels, advice)
    return picture


def check_size(width: int, height: int, frames: int, max_pixels: int, advice: str, pixel_bytes: int = 1) -> None:
    """UserError if a picture is larger than is read. `pixel_bytes`: of all its channels."""
    size = f"{width}×{height}" + (f" in {frames:,} frames" if frames > 1 else "")
    if width < 1 or height < 1:
        raise UserError(f"{size} pixels are no picture")
    if frames > MAX_FRAMES:
        raise UserError(f"{frames:,} frames are more than the {MAX_FRAMES:,} that are read; split it first")
    if width * height * frames > max_pixels:
        raise UserError(f"{size} is more than the {max_pixels:,} pixels that are read; {advice}")
    if width * height * pixel_bytes > max_pixels * MAX_BYTES_PER_PIXEL:
        limit = max_pixels * MAX_BYTES_PER_PIXEL
        raise UserError(f"{size} of {pixel_bytes} bytes is more than the {limit:,} bytes that are read; {advice}")


@contextmanager
def guarded(source: str | Path | bytes, scarce: bool = True) -> Iterator[None]:
    """Whatever a decoder raises becomes a UserError that begins with the source's name; want of memory if `scarce`."""
    try:
        yield
    except UserError as problem:
        raise UserError(f"{called(source)}: {problem}.") from None
    except MemoryError:
        if not scarce:
            raise
        raise UserError(f"{called(source)}: there is not enough memory to decode it; make it smaller first.") from None
    except Exception as problem:  # a decoder given hostile bytes may raise anything at all
        raise UserError(f"{called(source)}: the picture is damaged or cut short ({problem}).") from None


def webp_header(file: IO[bytes]) -> tuple[int, int, bool]:
    """(width, height, lossless) of a WebP file; an animation is as lossless as its first frame."""
    size, position = (0, 0), 12
    while True:
        file.seek(position)
        head = file.read(8 + 16)
        if len(head) < 8 + 10:
            raise UserError("the picture is damaged or cut short (no pixels in it)")
        kind, length, body = head[:4], struct.unpack("<I", head[4:8])[0], head[8:]
        if kind == b"VP8X":
            size = (int.from_bytes(body[4:7], "little") + 1, int.from_bytes(body[7:10], "little") + 1)
        elif kind == b"VP8 ":
            inner = struct.unpack("<HH", body[6:10])
            return *(size if size[0] else (inner[0] & 0x3FFF, inner[1] & 0x3FFF)), False
        elif kind == b"VP8L":
            packed = int.from_bytes(body[1:5], "little")
            return *(size if size[0] else ((packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1)), True
        # the sub-chunks of an animation's frame begin 16 bytes into it
        position += 8 + 16 if kind == b"ANMF" else 8 + length + length % 2


def dots(value: Any) -> tuple[float, float] | None:
    """A resolution in dots per inch, horizontal and vertical, if that is what it is."""
    try:
        x, y = (float(number) for number in value)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (x, y) if 1 < x <= 60000 and 1 < y <= 60000 else None  # a TIFF without a unit says 1

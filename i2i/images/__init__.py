"""Pictures in and out: any file → uint8 sRGB pixels, and back. numpy and Pillow only.

Legend: h height, w width, c channels (1 grey or 3 red-green-blue); arrays are uint8 in [0, 255], laid out h w c.
"""

import functools
import io
import os
import secrets
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from i2i.errors import UserError

# Every other decoder of Pillow stays shut: some forty of them, rarely used and rarely attacked until now.
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM")
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm"})
WRITABLE = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
MAX_PIXELS = 2**26  # 8192 × 8192: about 200 MB once decoded. A tiny file can claim far more.

ORIENTATION = 0x0112  # the EXIF tag; its values 2..8 say how to turn the stored pixels upright
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def is_picture(path: str | Path) -> bool:
    """Whether a file's name says that it is a picture we read. Hidden files (`._photo.jpg`) are not."""
    path = Path(path)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def read(source: str | Path | bytes, channels: int = 3) -> np.ndarray:
    """Decode a picture as a person sees it: (h, w, channels) uint8 sRGB.

    Turned upright by its EXIF tag, brought to sRGB by its colour profile, transparency laid on white, 16-bit grey
    rescaled, first frame of an animation. Raises UserError for what is missing, broken, too large or no picture.
    """
    if channels not in (1, 3):
        raise ValueError(f"channels must be 1 (grey) or 3 (colour), got {channels}")
    name = "these bytes" if isinstance(source, bytes) else str(source)
    data = source if isinstance(source, bytes) else _bytes(Path(source))
    try:
        if not data:
            raise UserError("expected a picture, got 0 bytes")
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            _check_size(*picture.size)
            picture.load()
            return _pixels(_upright(picture), channels)
    except UserError as problem:
        raise UserError(f"{name}: {problem}.") from None
    except Image.UnidentifiedImageError:
        known = " ".join(sorted(SUFFIXES))
        raise UserError(f"{name}: not a picture that can be read. Expected one of: {known}") from None
    except Image.DecompressionBombError:
        raise UserError(f"{name}: more than the {MAX_PIXELS:,} pixels that are read; make it smaller first.") from None
    except MemoryError:
        raise
    except Exception as problem:  # a decoder given hostile bytes may raise anything at all
        raise UserError(f"{name}: the picture is damaged or cut short ({problem}).") from None


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
    if path.exists() and not force:
        raise UserError(f"{path} exists already. Choose another name, or allow replacing it with --force.")
    picture = Image.fromarray(array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}.tmp"
    try:
        with temporary.open("xb") as file:
            # subsampling 0: colour keeps its full resolution in a JPEG
            picture.save(file, WRITABLE[path.suffix.lower()], quality=quality, subsampling=0)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _bytes(path: Path) -> bytes:
    if not path.is_file():
        raise UserError(f"{path}: expected a picture, found {'a folder' if path.is_dir() else 'no such file'}.")
    try:
        return path.read_bytes()
    except OSError as problem:
        raise UserError(f"{path}: cannot be opened ({problem.strerror}).") from None


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise UserError(f"{width}×{height} is more than the {MAX_PIXELS:,} pixels that are read; make it smaller first")


def _upright(picture: Image.Image) -> Image.Image:
    """Turned the way it was seen; a picture whose EXIF cannot be parsed stays as it is stored."""
    try:
        turn = UPRIGHT.get(picture.getexif().get(ORIENTATION, 1))
    except Exception:  # broken metadata does not make the pixels wrong
        turn = None
    # Attributes such as the colour profile and the transparent colour survive `transpose`.
    return picture if turn is None else picture.transpose(turn)


def _pixels(picture: Image.Image, channels: int) -> np.ndarray:
    """Any Pillow mode → (h, w, channels) uint8."""
    mode = "L" if channels == 1 else "RGB"
    if picture.mode.startswith(("I", "F")):
        picture = _eight_bits(picture)
    elif picture.has_transparency_data:
        picture = _on_white(picture.convert("RGBA"))
    elif picture.mode in ("1", "P"):
        picture = _to_srgb(picture.convert("RGB" if picture.mode == "P" else "L"), picture.info.get("icc_profile"))
    else:
        picture = _to_srgb(picture, picture.info.get("icc_profile"))
    pixels = np.asarray(picture.convert(mode))
    return np.ascontiguousarray(pixels).reshape(picture.height, picture.width, channels)


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Deep grey → 8 bits by scale, v / 257. (`convert("L")` would clip: nearly everything would turn white.)"""
    values = np.asarray(picture)
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > 65535:
        raise UserError("grey values outside 16 bits have no agreed white; save it with 8 or 16 bits a channel")
    return Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))


def _on_white(picture: Image.Image) -> Image.Image:
    """RGBA → RGB, laid on white paper."""
    colour = _to_srgb(picture.convert("RGB"), picture.info.get("icc_profile"))
    white = Image.new("RGB", picture.size, (255, 255, 255))
    white.paste(colour.convert("RGB"), mask=picture.getchannel("A"))
    return white


def _to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Apply an embedded colour profile; one that is broken or made for another mode is ignored, as browsers do."""
    if not profile:
        return picture
    try:
        transform = _transform(profile, picture.mode)
        return ImageCms.applyTransform(picture, transform) or picture
    except (ImageCms.PyCMSError, ValueError, OSError):
        return picture


@functools.lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    """Cached, for a folder's pictures mostly share one profile."""
    embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.buildTransform(embedded, ImageCms.createProfile("sRGB"), mode, "RGB")

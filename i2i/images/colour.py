"""Any stored colours → upright sRGB as a person sees it, and the way back under a picture's transparency.

Legend: h height, w width, c colours, M the greatest value of a type (255 or 65535).
"""

import functools
import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from i2i.errors import UserError

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
BAND = 2**20  # pixels that are converted at a time
GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N", "F")


def orientation_of(picture: Image.Image) -> int:
    """1..8; a picture whose EXIF cannot be parsed stays as it is stored."""
    try:
        # PNG's own `getexif` would decode the pixels to look behind them
        turn = int(Image.Image.getexif(picture).get(ORIENTATION, 1))
    except Exception:  # broken metadata does not make the pixels wrong
        return 1
    return turn if turn in UPRIGHT else 1


def turned(array: np.ndarray, orientation: int) -> np.ndarray:
    """Stored pixels h w ... → upright ones."""
    if orientation == 1:
        return array
    if orientation >= 5:
        array = array.swapaxes(0, 1)
    # after the swap: 5 is done, 6 is a clockwise turn, 7 both, 8 a counter-clockwise one
    across, down = orientation in (2, 3, 6, 7), orientation in (3, 4, 7, 8)
    return np.ascontiguousarray(array[:: -1 if down else 1, :: -1 if across else 1])


def seen(picture: Image.Image, channels: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Any decoded Pillow picture → (h, w, channels) uint8 in sRGB laid on white, and its alpha (h, w) if it has one.

    With 2 or 4 channels the last one is alpha, the colours are laid on nothing, and no other alpha is told.
    Band by band, so that only the picture and its pixels are in memory, and no conversion of all of it.
    """
    width, height = picture.size
    pixels = np.empty((height, width, channels), np.uint8)
    alpha = None
    rows = max(1, BAND // width)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        band = picture if rows >= height else picture.crop((0, top, width, bottom))
        colours, mask = _seen(band, channels)
        pixels[top:bottom] = np.asarray(colours).reshape(bottom - top, width, channels)
        if mask is not None:
            alpha = np.empty((height, width), np.uint8) if alpha is None else alpha
            alpha[top:bottom] = np.asarray(mask)
    return pixels, alpha


def _seen(picture: Image.Image, channels: int) -> tuple[Image.Image, Image.Image | None]:
    if channels in (2, 4):
        return with_alpha(picture, "L" if channels == 2 else "RGB"), None
    profile = picture.info.get("icc_profile")
    alpha = None
    if picture.mode.startswith(("I", "F")):
        picture = eight_bits(picture)
    elif picture.has_transparency_data:
        picture, alpha = on_white(picture)
    elif picture.mode in ("1", "P"):
        picture = to_srgb(picture.convert("RGB" if picture.mode == "P" else "L"), profile)
    elif picture.mode == "LAB":
        picture = from_lab(picture)
    else:
        picture = to_srgb(picture, profile)
    mode = "L" if channels == 1 else "RGB"
    return picture if picture.mode == mode else picture.convert(mode), alpha


def eight_bits(picture: Image.Image) -> Image.Image:
    """Deep grey → 8 bits by scale, v / 257. (`convert("L")` would clip: nearly everything would turn white.)"""
    values = np.asarray(picture)
    if values.dtype.kind == "f" or values.min() < 0 or values.max() > 65535:
        raise UserError("grey values outside 16 bits have no agreed white; save it with 8 or 16 bits a channel")
    return Image.fromarray(to_bits(values.astype(np.uint16), 8))


def on_white(picture: Image.Image) -> tuple[Image.Image, Image.Image]:
    """RGB laid on white paper, and the alpha it had."""
    if picture.mode == "La":
        picture = picture.convert("LA")
    profile = picture.info.get("icc_profile")
    picture = picture.convert("RGBA")
    mask = picture.getchannel("A")
    colour = to_srgb(picture.convert("RGB"), profile)
    white = Image.new("RGB", picture.size, (255, 255, 255))
    white.paste(colour.convert("RGB"), mask=mask)
    return white, mask


def with_alpha(picture: Image.Image, mode: str) -> Image.Image:
    """LA or RGBA in sRGB, by the `mode` of its colours; opaque where the picture knows no transparency."""
    if picture.has_transparency_data:
        picture, profile = picture.convert("LA") if picture.mode == "La" else picture, picture.info.get("icc_profile")
        picture = picture.convert("RGBA")
        colour, mask = to_srgb(picture.convert("RGB"), profile), picture.getchannel("A")
    else:
        colour, mask = _seen(picture, 3)[0], Image.new("L", picture.size, 255)
    colour = colour.convert(mode)
    colour.putalpha(mask)
    return colour


def to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """Apply an embedded colour profile; one that is broken or made for another mode is ignored, as browsers do."""
    if not profile:
        return picture
    from PIL import ImageCms

    try:
        return ImageCms.applyTransform(picture, _transform(profile, picture.mode)) or picture
    except (ImageCms.PyCMSError, ValueError, OSError):
        return picture


def from_lab(picture: Image.Image) -> Image.Image:
    """CIE L*a*b* → sRGB."""
    from PIL import ImageCms

    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.applyTransform(picture, ImageCms.buildTransform(lab, srgb, "LAB", "RGB")) or picture


@functools.lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str):  # type: ignore[no-untyped-def]  # its type would import ImageCms
    """Cached, for a folder's pictures mostly share one profile."""
    from PIL import ImageCms

    embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    return ImageCms.buildTransform(embedded, ImageCms.createProfile("sRGB"), mode, "RGB")


def to_bits(array: np.ndarray, bits: int) -> np.ndarray:
    """uint8 or uint16 → uint8 or uint16, scaled so that white stays white: 255 · 257 = 65535."""
    if array.dtype == np.uint8:
        return array if bits == 8 else array.astype(np.uint16) * np.uint16(257)
    if bits == 16:
        return array
    # (v + 128) / 257 rounded down, one plane at a time: the sums need 32 bits
    return _in_bands(lambda part: ((part.astype(np.uint32) + 128) // 257).astype(np.uint8), array)


def to_channels(array: np.ndarray, channels: int) -> np.ndarray:
    """h w c → h w channels for 1 ↔ 3: grey thrice, or the luma of ITU-R BT.601 in the integers of Pillow's "L"."""
    if array.shape[2] == channels:
        return array
    if channels == 3:
        return np.repeat(array, 3, axis=2)
    weights = np.array([19595, 38470, 7471], np.uint64 if array.dtype == np.uint16 else np.uint32)

    def luma(part: np.ndarray) -> np.ndarray:
        return ((part.astype(weights.dtype) @ weights + 0x8000) >> 16).astype(array.dtype)[:, :, None]

    return _in_bands(luma, array)


def lay(colours: np.ndarray, alpha: np.ndarray, premultiplied: bool = False) -> np.ndarray:
    """Colours h w c under alpha h w → laid on white: (c·a + M·(M − a)) / M. M² + M / 2 still fits into 32 bits."""
    top = int(np.iinfo(colours.dtype).max)

    def laid(part: np.ndarray, mask: np.ndarray) -> np.ndarray:
        c, a = part.astype(np.uint32), mask.astype(np.uint32)[:, :, None]
        if premultiplied:
            return np.minimum(c + (top - a), top).astype(part.dtype)
        return ((c * a + top * (top - a) + top // 2) // top).astype(part.dtype)

    return _in_bands(laid, colours, alpha)


def freed(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Colours h w c that were multiplied by their alpha h w → as they are without it."""
    top = int(np.iinfo(colours.dtype).max)

    def divided(part: np.ndarray, mask: np.ndarray) -> np.ndarray:
        a = np.maximum(mask.astype(np.uint64), 1)[:, :, None]
        return np.minimum((part.astype(np.uint64) * top + a // 2) // a, top).astype(part.dtype)

    return _in_bands(divided, colours, alpha)


def lift(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """The inverse of `lay`: colours that show `pixels` when they lie on white under `alpha`, as near as there are any.

    Without it a half transparent edge would be paled twice: once before the model, and once by whoever looks at it.
    """
    top = int(np.iinfo(pixels.dtype).max)
    half = (alpha > 0) & (alpha < top)
    if not half.any():
        return pixels

    def lifted(part: np.ndarray, mask: np.ndarray) -> np.ndarray:
        a = np.maximum(mask.astype(np.int64), 1)[:, :, None]
        colours = np.clip(((part.astype(np.int64) - top + a) * top + a // 2) // a, 0, top).astype(part.dtype)
        return np.where((mask > 0)[:, :, None], colours, part)

    return _in_bands(lifted, pixels, alpha)


def red_first(array: np.ndarray) -> np.ndarray:
    """OpenCV's blue green red (alpha) → red green blue (alpha), in place; grey gets its axis of channels."""
    if array.ndim == 2:
        return array[:, :, None]
    for start in range(0, len(array), 64):
        rows = array[start : start + 64]
        rows[:, :, :3] = rows[:, :, [2, 1, 0]]
    return array


def _in_bands(function: Callable[..., np.ndarray], *arrays: np.ndarray, rows: int = 64) -> np.ndarray:
    """A function of single pixels, some rows at a time: its wide sums never exist all at once."""
    first = function(*(array[:rows] for array in arrays))
    height = len(arrays[0])
    if height <= rows:
        return first
    result = np.empty((height, *first.shape[1:]), first.dtype)
    result[:rows] = first
    for start in range(rows, height, rows):
        result[start : start + rows] = function(*(array[start : start + rows] for array in arrays))
    return result

"""One item → what its files are (headers) and what they show (pixels), in some hundred bytes each.

Legend: h height, w width, c channels.
"""

import hashlib
import io
import threading
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from i2i.data.check.layout import Item
from i2i.data.check.outlines import outline
from i2i.data.likeness import fingerprint
from i2i.data.reference import Member, Reference
from i2i.errors import UserError
from i2i.images import MAX_PIXELS, opened, read
from i2i.images.formats import DECODERS, guarded, held, launch, sniff

THUMB = 12  # side of the thumbnails that confirm a likeness, pixels
GRID = 64  # side of the sample in which colours are counted
FEW_COLOURS = 64  # what has no more is flat: a segmentation map, a drawing
HEAVY = 2**24  # pixels; of larger pictures only one is decoded at a time
LARGE_FILE = 2**30  # bytes; of larger files only the header is read
SUFFIXES = {"JPEG": (".jpg", ".jpeg"), "TIFF": (".tif", ".tiff"), "PPM": (".ppm", ".pgm")}
_alone = threading.Lock()


@dataclass(frozen=True, slots=True)
class Facts:
    """A file by its header. `error`: why it cannot be used, and then the rest says nothing."""

    reference: Reference
    error: str = ""
    size: int = 0  # bytes
    format: str = ""
    width: int = 0  # upright
    height: int = 0
    channels: int = 3  # of colour: 1 grey, 3 RGB, n
    bits: int = 8
    alpha: bool = False
    frames: int = 1
    mode: str = ""  # CMYK, P, ...: Pillow's, of what it decodes
    turned: bool = False  # by its EXIF tag
    profile: str = ""  # of its colours, where that is not sRGB
    renamed: bool = False  # its suffix is another format's
    digest: bytes = b""  # of its content


@dataclass(frozen=True, slots=True)
class Look:
    """A picture by its pixels."""

    mean: float  # of grey, 0..255
    contrast: float  # standard deviation of grey
    edges: float  # mean strength of its outline, 0..255
    colour: float  # mean difference between the strongest and the weakest channel, 0..255
    vivid: float  # the same where it is greatest, in a thumbnail
    flat: bool  # one colour
    fingerprint: int
    thumb: bytes  # THUMB × THUMB × 3
    colours: tuple[int, ...]  # 0xrrggbb of a sample of its pixels; () where there are more than FEW_COLOURS


@dataclass(frozen=True, slots=True)
class Seen:
    """An item looked at. `looks`: of each picture, two of a file with both halves; () if pixels were not read.
    `outlines`: of a and b, if they were asked for."""

    item: Item
    facts: tuple[Facts, ...]
    looks: tuple[Look, ...] = ()
    outlines: tuple[np.ndarray, np.ndarray] | None = None


def see(item: Item, pixels: bool, outlined: bool) -> Seen:
    """Headers of an item's files and, if asked for, their pixels."""
    facts: list[Facts] = []
    shown: list[np.ndarray] = []
    for reference in item.files:
        fact, picture = _file(reference, pixels)
        facts.append(fact)
        shown += [picture] if picture is not None else []
    if len(shown) < len(item.files):
        return Seen(item, tuple(facts))
    if item.side == "both":
        half = max(1, shown[0].shape[1] // 2)
        shown = [shown[0][:, :half], shown[0][:, half : 2 * half]] if shown[0].shape[1] > 1 else [shown[0]] * 2
    looks, drawn = zip(*(look(picture) for picture in shown), strict=True)
    both = (drawn[0], drawn[1]) if outlined and item.side in ("ab", "both") else None
    return Seen(item, tuple(facts), tuple(looks), both)


def _file(reference: Reference, pixels: bool) -> tuple[Facts, np.ndarray | None]:
    try:
        content, size = _content(reference, pixels)
        if size == 0:
            raise UserError("it has 0 bytes")
        fact = header(reference, content if content is not None else Path(str(reference)), size)
        if fact.width * fact.height > MAX_PIXELS:
            raise UserError(f"{fact.width}×{fact.height} is more than the {MAX_PIXELS:,} pixels of a training picture")
        if content is None:
            return fact, None
        with _alone if fact.width * fact.height > HEAVY else nullcontext():
            return fact, colours(content, fact)
    except (UserError, OSError, MemoryError) as problem:
        told = str(problem).removeprefix("these bytes: ").removeprefix(f"{reference}: ").rstrip(".")
        return Facts(reference, error=told or "too large for this machine's memory"), None


def _content(reference: Reference, pixels: bool) -> tuple[bytes | None, int]:
    """A file's bytes, or None where its header is enough; and their number."""
    if isinstance(reference, Member):
        return (reference.read() if reference.size <= LARGE_FILE else None), reference.size
    size = reference.stat().st_size
    return (reference.read_bytes() if pixels and size <= LARGE_FILE else None), size


def header(reference: Reference, source: bytes | Path, size: int) -> Facts:
    """What a file says of itself. Raises UserError for what is no picture."""
    kind = opened(source).kind
    mode, profile, turned = "", "", False
    if kind.format in DECODERS:  # Pillow's
        with guarded(source), held(source) as file, launch(file, sniff(file), 2**40) as picture:
            mode, turned = picture.mode, _orientation(kind.format, picture) > 1
            profile = _profile(picture.info.get("icc_profile"))
    suffix = reference.suffix.lower()
    expected = SUFFIXES.get(kind.format, (f".{kind.format.lower()}",))
    return Facts(
        reference,
        "",
        size,
        kind.format,
        kind.width,
        kind.height,
        kind.channels,
        kind.bits,
        kind.alpha,
        kind.frames or 1,
        mode,
        turned,
        profile,
        suffix not in expected,
        hashlib.blake2b(source, digest_size=16).digest() if isinstance(source, bytes) else b"",
    )


def _orientation(form: str, picture: object) -> int:
    from PIL import Image

    from i2i.images.colour import orientation_of

    return orientation_of(picture) if isinstance(picture, Image.Image) else 1


def _profile(content: bytes | None) -> str:
    """The name of a colour profile that is not sRGB; '' for sRGB and for none."""
    if not content:
        return ""
    from PIL import ImageCms

    try:
        name = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(content))).strip()
    except (ImageCms.PyCMSError, OSError, ValueError):
        return "a damaged profile"
    return "" if "srgb" in name.casefold() or name == "c2" else name or "a profile without a name"


def colours(content: bytes, fact: Facts) -> np.ndarray:
    """uint8 h w 3 as a person sees it; of what has other channels, the first three. Raises UserError."""
    if fact.channels in (1, 3) and fact.format in DECODERS:
        return read(content, 3)
    (frame,) = opened(content).frames(fact.channels)
    shown = frame.pixels[:, :, : 3 if fact.channels >= 3 else 1]
    return np.repeat(shown, 3, axis=2) if shown.shape[2] == 1 else np.ascontiguousarray(shown)


def look(pixels: np.ndarray) -> tuple[Look, np.ndarray]:
    """Of a picture uint8 h w 3: what can be compared, and its outline."""
    import cv2

    height, width = pixels.shape[:2]
    scale = min(1.0, 4 * GRID / max(height, width))
    pixels = np.ascontiguousarray(pixels)
    small = pixels
    if scale < 1:  # the rest needs no more
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    mean, contrast = cv2.meanStdDev(grey)
    thumb = cv2.resize(small, (THUMB, THUMB), interpolation=cv2.INTER_AREA)
    drawn = outline(small)
    tint = thumb.max(2) - thumb.min(2)
    made = Look(
        float(mean[0, 0]),
        float(contrast[0, 0]),
        float(drawn.mean()),
        float(tint.mean()),
        float(tint.max()),
        float(contrast[0, 0]) < 2 and int(np.ptp(pixels, axis=(0, 1)).max()) <= 2,
        fingerprint(small),
        thumb.tobytes(),
        _few(pixels),
    )
    return made, drawn


def _few(pixels: np.ndarray) -> tuple[int, ...]:
    """The colours of a grid of pixels, if they are few."""
    height, width = pixels.shape[:2]
    sample = pixels[:: max(1, height // GRID), :: max(1, width // GRID)].astype(np.uint32)
    codes = ((sample[:, :, 0] << 16) | (sample[:, :, 1] << 8) | sample[:, :, 2]).ravel()
    if len(np.unique(codes[:: max(1, len(codes) // 256)])) > FEW_COLOURS:
        return ()
    values = np.unique(codes)
    return tuple(values.tolist()) if len(values) <= FEW_COLOURS else ()

"""Frames → a file of the kind they came from, or of another that the name asks for.

A file holds what its format can: alpha that went round the model is laid on white and 16 bits become 8 where there is
no place for them. What would lose a picture (frames in a JPEG, five channels in a PNG) is refused instead.
"""

from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Protocol, Self

import numpy as np
from PIL import Image

from i2i.errors import UserError
from i2i.images import gif, metadata, png
from i2i.images.atomic import Atomic
from i2i.images.colour import lift, to_bits
from i2i.images.formats import MANY, SIDES, TRANSPARENT, WRITABLE, misfit, suffixes
from i2i.images.media import Frame, Kind
from i2i.images.multipage import Pages
from i2i.images.npy import Array

MOVING = ("GIF", "PNG", "WEBP", "TIFF")
DEEP = ("PNG", "TIFF", "PPM")
CLASSIC = 2**32 - 2**25  # bytes of pixels that fit into a TIFF of 32-bit offsets
LOSSLESS_TIFF = ("raw", "packbits", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate")


class Encoder(Protocol):
    """Takes frames h w c under alpha h w, in the depth of the file, and puts the last of it down in `finish`."""

    def add(self, pixels: np.ndarray, alpha: np.ndarray | None, duration: float) -> None: ...

    def finish(self) -> None: ...


class PictureWriter:
    """A `media.Writer` for stills and animations; see `writer`."""

    def __init__(self, path: Path, kind: Kind, quality: int, metadata: Literal["drop", "keep"], force: bool) -> None:
        self.path, self.kind, self.quality, self.keep = path, kind, quality, metadata == "keep"
        self.format = WRITABLE[path.suffix.lower()]
        if kind.frames != 1 and self.format not in MOVING:
            many = f"{kind.frames} frames" if kind.frames else "a video"
            raise UserError(
                f"{path}: {self.format} holds one picture, and this is {many}. Use one of: {suffixes(MOVING)}"
            )
        self.bits = kind.bits if self.format in MANY else min(kind.bits, 16) if self.format in DEEP else 8
        if self.format == "PNG" and kind.frames != 1:
            self.bits = 8  # as animated PNGs are read
        self.atomic = Atomic(path, force)
        self.encoder: Encoder | None = None
        self.shape: tuple[int, ...] | None = None

    def __enter__(self) -> Self:
        self.atomic.__enter__()
        return self

    def add(self, frame: Frame) -> None:
        """The next frame. UserError for what the format cannot hold; ValueError for arrays that are no frames."""
        pixels, alpha = frame.pixels, frame.alpha
        if pixels.ndim != 3 or pixels.dtype not in (np.uint8, np.uint16) or pixels.size == 0:
            raise ValueError(f"expected uint8 or uint16 h w c, got {pixels.dtype} {pixels.shape}")
        if alpha is not None and (alpha.shape != pixels.shape[:2] or alpha.dtype not in (np.uint8, np.uint16)):
            raise ValueError(f"expected alpha {pixels.dtype} {pixels.shape[:2]}, got {alpha.dtype} {alpha.shape}")
        if self.shape is not None and (pixels.shape != self.shape or self.kind.frames == 1):
            raise ValueError(f"expected {self.kind.frames or 'any number of'} frames of {self.shape}")
        shape, own = pixels.shape, alpha is None and self._ends_in_alpha(pixels.shape[2])
        if self.encoder is None:
            self.shape = shape
            self._check(*shape)
        if own:
            pixels, alpha = pixels[:, :, :-1], pixels[:, :, -1]
        if self.encoder is None:
            self.encoder = self._encoder(pixels.shape[2], alpha is not None, own or self.kind.alpha)
        depth = 8 if self.bits == 8 else 16
        if alpha is not None and not own and self.format in TRANSPARENT and self.format != "GIF":
            pixels = lift(pixels, to_bits(alpha, 8 * pixels.dtype.itemsize))
        self.encoder.add(to_bits(pixels, depth), None if alpha is None else to_bits(alpha, depth), frame.duration)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                if self.encoder is None:
                    raise UserError(f"{self.path}: there was no frame to write.")
                self.encoder.finish()
        except BaseException as problem:
            self.atomic.__exit__(type(problem), problem, None)
            raise
        self.atomic.__exit__(kind, error, trace)

    def _check(self, height: int, width: int, channels: int) -> None:
        longest = SIDES.get(self.format, 2**31 - 1)
        if max(height, width) > longest:
            raise UserError(f"{self.path}: {width}×{height} is more than a {self.format} can say ({longest}). Use .png")
        if problem := misfit(self.path, channels, self.kind.palette is not None):
            raise UserError(f"{self.path}: {problem}.")

    def _ends_in_alpha(self, channels: int) -> bool:
        """Of 2 and 4 channels the last is alpha, unless these are the channels without a meaning of such a file."""
        same = self.kind.channels == channels and self.kind.format in MANY
        return channels in (2, 4) and self.format != "NPY" and not (same and self.format == "TIFF")

    def _encoder(self, channels: int, alpha: bool, always: bool) -> Encoder:
        """`always`: if frames of an animation have alpha, all of them have."""
        file, info, many = self.atomic.file, dict(self.kind.info), self.kind.frames != 1
        if "icc_profile" in info and channels != self.kind.channels:
            del info["icc_profile"]  # it was made for other colours
        notes = metadata.options(self.format, info, self.keep)
        plays = 0 if self.kind.loop is None else self.kind.loop
        if self.format == "NPY":
            return Array(file, self.bits, info)
        if self.kind.palette is not None:
            return Still(file, self.format, self._lossy(info) | notes, self.kind.palette)
        if self.format == "TIFF" and (many or self.bits > 8 or channels not in (1, 3)):
            size = self.kind.width * self.kind.height * (self.kind.frames or 1) * (channels + alpha) * self.bits // 8
            return Pages(file, self.bits, info, self.keep, big=size > CLASSIC)
        if self.format == "GIF":
            comment = info.get("comment", b"") if self.keep else b""
            return gif.Animation(file, plays if many else 1, comment if isinstance(comment, bytes) else b"")
        if self.format == "PNG" and many:
            return Joined(png.Animation(file, plays, notes), always)
        if self.format == "WEBP" and many:
            return WebP(file, plays, self._lossy(info) | notes)
        if self.bits == 16:
            return Deep(file, self.format, metadata.png_chunks(info, self.keep))
        return Still(file, self.format, self._lossy(info) | notes)

    def _lossy(self, info: dict[str, Any]) -> dict[str, Any]:
        if self.format == "TIFF":
            stored = info.get("compression")
            return {"compression": stored if stored in LOSSLESS_TIFF else "tiff_adobe_deflate"}
        if self.format == "WEBP" and info.get("lossless"):
            return {"lossless": True, "quality": 75}  # here quality is effort
        # subsampling 0: colour keeps its full resolution in a JPEG
        return {"quality": self.quality, "subsampling": 0}


def writer(
    path: str | Path,
    kind: Kind,
    *,
    quality: int = 95,
    metadata: Literal["drop", "keep"] = "drop",
    force: bool = False,
) -> PictureWriter:
    """A file to write frames of this kind into; see `media.Writer`. The suffix chooses the format.

    `quality`: 1..100, JPEG's and lossy WebP's. `metadata`: what becomes of EXIF, XMP, text and comments; the resolution
    is always kept, and so is a colour profile that the pixels still need. Raises UserError for names that cannot be.
    """
    path = Path(path)
    if path.suffix.lower() not in WRITABLE:
        raise UserError(f"{path}: cannot write '{path.suffix}'. Use one of: {' '.join(sorted(WRITABLE))}")
    if metadata not in ("drop", "keep"):
        raise UserError(f"metadata: expected drop or keep, got {metadata!r}")
    if not 1 <= quality <= 100:
        raise UserError(f"quality: expected 1 to 100, got {quality}")
    return PictureWriter(path, kind, quality, metadata, force)


def together(pixels: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    """h w c and h w → h w c + 1."""
    return pixels if alpha is None else np.dstack([pixels, alpha])


def picture_of(array: np.ndarray) -> Image.Image:
    """h w of 1 to 4 samples, uint8 → Pillow."""
    return Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array)


class Still:
    """One picture of 8 bits, by Pillow; transparent BMPs by OpenCV, for Pillow forgets their alpha."""

    def __init__(self, file: IO[bytes], form: str, told: dict[str, Any], palette: bytes | None = None) -> None:
        self.file, self.format, self.told, self.palette = file, form, told, palette

    def add(self, pixels: np.ndarray, alpha: np.ndarray | None, duration: float) -> None:
        """Written at once."""
        if self.palette is not None:
            picture = picture_of(pixels)
            picture.putpalette(self.palette)
            picture.save(self.file, self.format, **self.told | {"optimize": False})  # or a GIF's numbers would change
        elif alpha is None or self.format not in TRANSPARENT:
            picture_of(pixels).save(self.file, self.format, **self.told)
        elif self.format == "BMP":
            import cv2

            array = together(pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2), alpha)
            self.file.write(cv2.imencode(".bmp", array[:, :, [2, 1, 0, 3]])[1].tobytes())
        else:
            picture_of(together(pixels, alpha)).save(self.file, self.format, **self.told)

    def finish(self) -> None:
        """Nothing is left to do."""


class Deep:
    """One picture of 16 bits, PNG or PPM."""

    def __init__(self, file: IO[bytes], form: str, notes: list[bytes]) -> None:
        self.file, self.format, self.notes = file, form, notes

    def add(self, pixels: np.ndarray, alpha: np.ndarray | None, duration: float) -> None:
        """Written at once."""
        if self.format == "PNG":
            png.encode_deep(self.file, together(pixels, alpha), self.notes)
        else:
            height, width, channels = pixels.shape
            self.file.write(b"P%d\n%d %d\n65535\n" % (5 if channels == 1 else 6, width, height))
            self.file.write(pixels.astype(">u2").tobytes())

    def finish(self) -> None:
        """Nothing is left to do."""


class Joined:
    """An animation whose frames carry their alpha, all of them or none."""

    def __init__(self, inner: png.Animation, alpha: bool) -> None:
        self.inner, self.alpha = inner, alpha

    def add(self, pixels: np.ndarray, alpha: np.ndarray | None, duration: float) -> None:
        """Written at once."""
        if self.alpha and alpha is None:
            alpha = np.full(pixels.shape[:2], 255, np.uint8)
        self.inner.add(together(pixels, alpha if self.alpha else None), duration)

    def finish(self) -> None:
        """The end of the file."""
        self.inner.finish()


class WebP:
    """An animated WebP. Its encoder is given all frames at once, so they wait here; equal neighbours become one."""

    def __init__(self, file: IO[bytes], plays: int, told: dict[str, Any]) -> None:
        self.file, self.plays, self.told = file, plays, told
        self.pictures: list[Image.Image] = []
        self.ends: list[float] = [0.0]

    def add(self, pixels: np.ndarray, alpha: np.ndarray | None, duration: float) -> None:
        """Remembered."""
        three = pixels if pixels.shape[2] == 3 else np.repeat(pixels, 3, axis=2)
        self.pictures.append(picture_of(together(three, alpha)))
        self.ends.append(self.ends[-1] + duration)

    def finish(self) -> None:
        """All of it, with whole milliseconds whose sum is right."""
        times = np.diff(np.rint(self.ends)).astype(int).tolist()
        first, *others = self.pictures
        told = {"save_all": True, "append_images": others, "duration": times, "loop": self.plays}
        first.save(self.file, "WEBP", **self.told, **told)

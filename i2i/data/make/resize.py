"""Pictures in other sizes: same names, formats and depths. Legend: h height, w width, c channels."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console

from i2i.data.crew import QUIET
from i2i.data.make.pixels import depth, numbers, put
from i2i.data.make.work import Made, fresh, pictures, run
from i2i.errors import UserError
from i2i.images import opened, writer
from i2i.images.formats import MAX_PIXELS, check_size
from i2i.images.media import Frame

FITS = ("stretch", "shorter", "pad", "crop")


@dataclass(frozen=True)
class Target:
    """What becomes of a picture's size.

    stretch: to size × size. shorter: until its shorter side is `size`. crop: likewise, then its centre. pad: until its
    longer side is `size`, then the rest is filled. `nearest`: no new values, for maps of classes.
    """

    size: int  # pixels
    fit: str = "stretch"
    fill: int = 255  # grey of the padding, 0 to 255
    nearest: bool = False

    def __post_init__(self) -> None:
        if self.fit not in FITS or self.size < 1 or not 0 <= self.fill <= 255:
            raise UserError(
                f"expected a size above 0, a fit of {', '.join(FITS)} and a fill of 0 to 255, "
                f"got {self.size}, {self.fit} and {self.fill}."
            )

    def scaled(self, height: int, width: int) -> tuple[int, int]:
        """Height and width before cropping or padding."""
        if self.fit == "stretch":
            return self.size, self.size
        scale = self.size / (max if self.fit == "pad" else min)(height, width)
        return max(1, round(height * scale)), max(1, round(width * scale))

    def final(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the result."""
        return self.scaled(height, width) if self.fit == "shorter" else (self.size, self.size)


def resize(root: Path, out: Path, target: Target, *, force: bool = False, console: Console = QUIET) -> Made:
    """All pictures below `root` in another size, in the same tree below `out`. Raises UserError when nothing can start.

    The same pixels as `load` and `fit` of a recipe give; of animations each frame. Transparency is resized with what
    it covers. Floats come back as floats of 16 bits' precision.
    """
    fresh(out, force, root)
    found = pictures(root, without=out)
    change = _map if target.nearest else _frames
    return run(
        "resizing", found, lambda path: change(path, out / path.relative_to(root), target, force), Path, out, console
    )


def fitted(pixels: np.ndarray, target: Target, fill: int | None = None) -> np.ndarray:
    """uint8 or uint16 h w c in the target's size. `fill`: another value for the padding, in the pixels' own depth."""
    value = fill if fill is not None else target.fill * (1 if pixels.dtype == np.uint8 else 257)
    to = target.scaled(*pixels.shape[:2])
    return _placed((nearest if target.nearest else smooth)(pixels, *to), target, value)


def smooth(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bicubic, with a kernel that widens where it shrinks, so that fine lines do not turn into dots."""
    import torch
    import torch.nn.functional as F

    if pixels.shape[:2] == (height, width):
        return pixels
    array = pixels if pixels.dtype == np.uint8 else pixels.astype(np.float32)
    resized = F.interpolate(
        torch.from_numpy(np.array(array))[None].permute(0, 3, 1, 2),
        size=(height, width),
        mode="bicubic",
        antialias=True,
    )
    values = resized[0].permute(1, 2, 0).numpy()
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(values)
    return np.clip(np.rint(values), 0, 65535).astype(np.uint16)


def nearest(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Each new pixel is the one that its centre falls into."""
    rows = ((np.arange(height) + 0.5) * pixels.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * pixels.shape[1] / width).astype(int)
    return np.ascontiguousarray(pixels[rows[:, None], columns])


def _placed(pixels: np.ndarray, target: Target, fill: int) -> np.ndarray:
    """Cropped or padded around its centre."""
    height, width = pixels.shape[:2]
    size = target.size
    if target.fit == "crop":
        top, left = (height - size) // 2, (width - size) // 2
        return np.ascontiguousarray(pixels[top : top + size, left : left + size])
    if target.fit == "pad":
        result = np.full((size, size, pixels.shape[2]), fill, pixels.dtype)
        top, left = (size - height) // 2, (size - width) // 2
        result[top : top + height, left : left + width] = pixels
        return result
    return pixels


def _frames(path: Path, to: Path, target: Target, force: bool) -> int:
    with opened(path) as reader:
        kind = reader.kind
        height, width = target.final(kind.height, kind.width)
        _check(path, target.scaled(kind.height, kind.width))
        with writer(to, replace(kind, height=height, width=width), force=force) as file:
            for frame in reader.frames(kind.channels, depth(kind)):
                # Colours are laid on white here and lifted by the writer, so nothing bleeds from under transparency.
                if frame.alpha is None:
                    file.add(Frame(fitted(frame.pixels, target), None, frame.duration))
                else:  # its padding is transparent
                    alpha = fitted(frame.alpha[:, :, None], target, 0)[:, :, 0]
                    white = int(np.iinfo(frame.pixels.dtype).max)
                    file.add(Frame(fitted(frame.pixels, target, white), alpha, frame.duration))
    return 1


def _map(path: Path, to: Path, target: Target, force: bool) -> int:
    picture = numbers(path)
    _check(path, target.scaled(*picture.pixels.shape[:2]))
    put(to, fitted(picture.pixels, target, target.fill), picture.kind, force)
    return 1


def _check(path: Path, size: tuple[int, int]) -> None:
    """A thin strip that is enlarged may become huge."""
    try:
        check_size(size[1], size[0], 1, MAX_PIXELS, "choose another size or fit")
    except UserError as problem:
        raise UserError(f"{path}: resized, {problem}.") from None

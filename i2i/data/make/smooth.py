"""Pictures with smoothed edges, which CartoonGAN's discriminator has to refuse.

Chen, Lai and Liu 2018, section 3.2: (1) edge pixels by a standard Canny detector, (2) the regions of edges dilated,
(3) Gaussian smoothing in the dilated regions. The picture keeps everything else.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from i2i.data.crew import QUIET
from i2i.data.make.pixels import put, stored
from i2i.data.make.work import Made, fresh, pictures, run
from i2i.errors import UserError
from i2i.images.colour import to_bits


@dataclass(frozen=True)
class Brush:
    """low, high: Canny's thresholds, of 8-bit Sobel gradients. dilate, blur: sides of the kernels, pixels; odd."""

    low: float = 100.0
    high: float = 200.0
    dilate: int = 5
    blur: int = 5

    def __post_init__(self) -> None:
        odd = all(side >= 1 and side % 2 for side in (self.dilate, self.blur))
        if not 0 < self.low <= self.high or not odd:
            raise UserError(
                "expected thresholds 0 < low <= high and odd kernel sides, got "
                f"{self.low:g}, {self.high:g}, {self.dilate} and {self.blur}."
            )


def smooth(root: Path, out: Path, brush: Brush | None = None, *, force: bool = False, console: Console = QUIET) -> Made:
    """Edge-smoothed copies of all pictures below `root`, in the same tree below `out`, same formats and depths."""
    fresh(out, force, root)
    chosen = brush or Brush()

    def make(path: Path) -> int:
        picture = stored(path)
        put(out / path.relative_to(root), smoothed(picture.pixels, chosen), picture.kind, force)
        return 1

    return run("smoothing edges", pictures(root, without=out), make, Path, out, console)


def smoothed(pixels: np.ndarray, brush: Brush) -> np.ndarray:
    """uint8 or uint16 h w c, its channels alike, with Gaussian blur around its edges."""
    import cv2

    region = near_edges(pixels, brush)
    # reflect_101, OpenCV's default, as the blur of CartoonGAN's published code
    planes = [
        cv2.GaussianBlur(np.ascontiguousarray(plane), (brush.blur,) * 2, 0) for plane in np.moveaxis(pixels, 2, 0)
    ]
    return np.where(region[:, :, None], np.stack(planes, axis=2), pixels)


def near_edges(pixels: np.ndarray, brush: Brush) -> np.ndarray:
    """bool h w: the dilated edges of the picture's luminance, or of its first channel."""
    import cv2

    eight = to_bits(pixels, 8)
    colour = np.ascontiguousarray(eight[:, :, :3]) if eight.shape[2] >= 3 else np.ascontiguousarray(eight[:, :, 0])
    grey = cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY) if colour.ndim == 3 else colour
    found = cv2.Canny(grey, brush.low, brush.high)
    return np.asarray(cv2.dilate(found, np.ones((brush.dilate,) * 2, np.uint8))) > 0

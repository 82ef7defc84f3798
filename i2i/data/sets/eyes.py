"""Drawn eyes with known gaze, as a simulator draws them and as a cheap camera would see them.

Side a is clean: flat skin, flat white, a disc for the iris. Side b are other eyes of the same shapes under another
light: shaded, with lashes, a shadow of the lid, a glint and structure in the iris, blurred and noisy. The gap is one of
appearance alone, so a picture that is moved from a to b should keep its gaze.

Shapes: n eyes, s side of a picture in pixels; light is in [0, 1] until it is written.
"""

import csv
from pathlib import Path
from typing import Literal

import numpy as np

from i2i.images import write
from i2i.spec import Spec

SIZE = 32  # of the picture that the figures below are measured in
EYEBALL = 11.5  # its radius: the iris is moved by this times the sine of the angle
REACH = 30.0, 18.0  # degrees, largest gaze to the side and up or down
GRAIN = 0.012  # standard deviation of what a path tracer leaves of noise

Planes = dict[str, np.ndarray]  # (n, 1, 1) each
GAZE = "gaze.csv"  # file, yaw, pitch: degrees to the right and up, of every picture of both sides


class Eyes(Spec):
    """Grey pictures of eyes, `folders` of so many; equal splits of a and b show the same eyes, but those of train."""

    kind: Literal["eyes"]
    size: int = SIZE
    folders: dict[str, int]  # trainA, trainB, valA, ...
    seed: int = 0

    def sources(self) -> list[str]:
        """Files it is made from, relative to the folder of the cards."""
        return []

    def prepare(self, cards: Path, folder: Path) -> None:
        """Make `folder`, which does not exist yet, with the gaze of every picture in `gaze.csv`."""
        folder.mkdir(parents=True)
        with (folder / GAZE).open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["file", "yaw", "pitch"])
            for name in self.folders:
                shapes, side = self.shapes(name), name[-1]
                rng = np.random.default_rng([self.seed, 1, *name.encode()])
                light = (clean if side == "A" else camera)(shapes, self.size, rng)
                for i, picture in enumerate(light):
                    pixels = (picture * 255).round().astype(np.uint8)[:, :, None]
                    write(folder / name / f"{i:05}.png", pixels)
                    yaw, pitch = (float(shapes[key][i, 0, 0]) for key in ("yaw", "pitch"))
                    table.writerow([f"{name}/{i:05}.png", f"{yaw:.3f}", f"{pitch:.3f}"])

    def shapes(self, name: str) -> Planes:
        """Of the eyes in the folder of this name."""
        split = name[:-1]
        return drawn_shapes(self.folders[name], [self.seed, *(name if split == "train" else split).encode()])


def drawn_shapes(n: int, seed: list[int]) -> Planes:
    """What an eye is, whoever looks at it: gaze in degrees, lengths in pixels of a picture of side SIZE."""
    rng = np.random.default_rng(seed)

    def between(low: float, high: float) -> np.ndarray:
        return rng.uniform(low, high, (n, 1, 1))

    return {
        "yaw": between(-REACH[0], REACH[0]),
        "pitch": between(-REACH[1], REACH[1]),
        "across": between(-1.5, 1.5),  # of the eye's centre, from the picture's
        "down": between(-1.5, 1.5),
        "width": between(12.0, 14.5),  # half of it, from corner to corner
        "upper": between(5.0, 8.5),  # height of the lids over the line of the corners
        "lower": between(3.5, 6.0),
        "tilt": between(-0.12, 0.12),  # of that line, its slope
        "iris": between(4.3, 5.3),  # radius
    }


def clean(shapes: Planes, size: int, rng: np.random.Generator) -> np.ndarray:  # n s s
    """As a simple renderer draws it."""
    part = _parts(shapes, size)
    n = len(shapes["yaw"])

    def level(low: float, high: float) -> np.ndarray:
        return rng.uniform(low, high, (n, 1, 1))

    eye = _over(level(0.90, 0.98), level(0.38, 0.50), part["iris"])
    eye = _over(eye, level(0.05, 0.10), part["pupil"])
    picture = _over(level(0.62, 0.74), eye, part["opening"])
    return np.clip(picture + rng.normal(0, GRAIN, picture.shape), 0, 1)


def camera(shapes: Planes, size: int, rng: np.random.Generator) -> np.ndarray:  # n s s
    """As a camera sees it in somebody's face."""
    from scipy.ndimage import gaussian_filter

    part, scale = _parts(shapes, size), size / SIZE
    n = len(shapes["yaw"])

    def level(low: float, high: float) -> np.ndarray:
        return rng.uniform(low, high, (n, 1, 1))

    # The white is a ball that falls off to its sides, in the shadow of the upper lid.
    white = level(0.66, 0.80) * (1 - 0.35 * part["from_centre"] ** 2)
    angle = np.arctan2(part["y_iris"], part["x_iris"])
    rays = 0.05 * np.sin(level(7, 11).round() * angle + level(0, 6.3))
    iris = level(0.24, 0.36) + rays - 0.12 * part["rim"]
    eye = _over(white, iris, part["iris"])
    eye = _over(eye, level(0.02, 0.07), part["pupil"])
    eye = eye * (1 - level(0.35, 0.6) * np.exp(-np.maximum(part["under_lid"], 0) / 2.2))
    eye = _over(eye, level(0.85, 1.0), _disc(part["x_eye"] - level(-3, 3), part["y_eye"] - level(-3, -1), 0.9))
    # The skin has a fold over the eye and pores; lashes grow from the upper lid.
    pores = gaussian_filter(rng.normal(0, 1, (n, size, size)), (0, 1.2 * scale, 1.2 * scale))
    skin = level(0.48, 0.62) + 0.10 * pores - 0.12 * np.exp(-(((part["under_lid"] + level(2.5, 4)) / 0.9) ** 2))
    picture = _over(skin, eye, part["opening"])
    lashes = np.exp(-((part["under_lid"] / 1.1) ** 2)) * part["between_corners"]
    picture = picture * (1 - level(0.5, 0.8) * lashes)
    slope = level(-0.22, 0.22) * part["x"] + level(-0.16, 0.16) * part["y"]  # light from one side
    picture = picture * (1 + slope)
    picture = gaussian_filter(picture, (0, 0.7 * scale, 0.7 * scale))
    return np.clip(picture + rng.normal(0, 0.025, picture.shape), 0, 1)


def iris(shapes: Planes) -> tuple[np.ndarray, np.ndarray]:
    """Where the iris' centre is: pixels to the right of a picture's middle, and below it, n 1 1 each."""
    x = shapes["across"] + EYEBALL * np.sin(np.radians(shapes["yaw"]))
    return x, shapes["down"] - EYEBALL * np.sin(np.radians(shapes["pitch"]))


def _parts(shapes: Planes, size: int) -> Planes:
    """What is where: shares of each pixel that are covered, and distances in pixels of a picture of side SIZE."""
    y, x = (np.mgrid[:size, :size] + 0.5) * SIZE / size - SIZE / 2
    x_eye, y_eye = x - shapes["across"], y - shapes["down"]
    y_line = y_eye - shapes["tilt"] * x_eye
    along = np.clip(1 - (x_eye / shapes["width"]) ** 2, 0, None)
    under_lid = y_line + shapes["upper"] * along  # below the upper lid's edge, downwards
    over_lid = shapes["lower"] * along - y_line
    x_centre, y_centre = iris(shapes)
    x_iris, y_iris = x - x_centre, y - y_centre
    from_iris = np.hypot(x_iris, y_iris)
    return {
        "x": x / SIZE * 2,
        "y": y / SIZE * 2,
        "x_eye": x_eye,
        "y_eye": y_eye,
        "x_iris": x_iris,
        "y_iris": y_iris,
        "from_centre": np.hypot(x_eye, y_eye) / shapes["width"],
        "under_lid": under_lid,
        "between_corners": np.clip(along * 6, 0, 1),
        "opening": np.clip(np.minimum(under_lid, over_lid) + 0.5, 0, 1) * (along > 0),
        "iris": np.clip(shapes["iris"] - from_iris + 0.5, 0, 1),
        "rim": np.exp(-(((from_iris - shapes["iris"]) / 1.0) ** 2)),
        "pupil": np.clip(0.42 * shapes["iris"] - from_iris + 0.5, 0, 1),
    }


def _disc(x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    return np.clip(radius - np.hypot(x, y) + 0.5, 0, 1)


def _over(below: np.ndarray, above: np.ndarray, share: np.ndarray) -> np.ndarray:
    return below + (above - below) * share

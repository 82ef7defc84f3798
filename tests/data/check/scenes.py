"""Scenes of coloured shapes, and line drawings of the same scenes; what tests ask of a checked set."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from i2i.data.check import Finding

Findings = Callable[..., dict[str, Finding]]


def scene(key: int, size: int = 64) -> tuple[Image.Image, Image.Image]:
    """(line drawing, picture) of the same random shapes; another scene for each key."""
    rng = np.random.default_rng(key)
    ground = tuple(int(v) for v in rng.integers(60, 256, 3))
    picture, drawing = Image.new("RGB", (size, size), ground), Image.new("RGB", (size, size), "white")
    for _ in range(5):
        x, y = rng.integers(0, size * 3 // 4, 2)
        w, h = rng.integers(size // 6, size // 2, 2)
        box = (int(x), int(y), int(x + w), int(y + h))
        fill = tuple(int(v) for v in rng.integers(0, 256, 3))
        kind = "ellipse" if rng.random() < 0.5 else "rectangle"
        getattr(ImageDraw.Draw(picture), kind)(box, fill=fill)
        getattr(ImageDraw.Draw(drawing), kind)(box, fill="white", outline="black")
    return drawing, picture


def save(path: Path, picture: Image.Image, **how: object) -> Path:
    """Save, with the folders there must be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, **how)
    return path

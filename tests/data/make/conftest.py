"""Pictures that look like something, so that near-duplicates and edges are what they are in photos."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from i2i.images import write


def scene_of(key: int, height: int = 48, width: int | None = None, channels: int = 3) -> np.ndarray:
    """uint8 h w c: coarse random shapes, different for each key."""
    coarse = np.random.default_rng(key).integers(0, 256, (9, 9, channels), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width or height, height), interpolation=cv2.INTER_CUBIC)).reshape(
        height, width or height, channels
    )


@pytest.fixture(scope="session")
def scene() -> Callable[..., np.ndarray]:
    return scene_of


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """train with 4 photos, one of them in a folder below, and test with 2."""
    root = tmp_path / "photos"
    for i, name in enumerate(
        ("train/a.png", "train/b.jpg", "train/c.png", "train/cats/d.png", "test/e.png", "test/f.png")
    ):
        write(root / name, scene_of(i))
    return root


@pytest.fixture
def tree() -> Callable[[Path], dict[str, bytes]]:
    """tree(folder): relative name → content of every file, hidden ones too."""
    return lambda folder: {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }

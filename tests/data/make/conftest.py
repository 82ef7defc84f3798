"""Folders of photos, and what is in a folder."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from i2i.images import write


@pytest.fixture
def photos(scene: Callable[..., np.ndarray], tmp_path: Path) -> Path:
    """train with 4 photos, one of them in a folder below, and test with 2."""
    root = tmp_path / "photos"
    for i, name in enumerate(
        ("train/a.png", "train/b.jpg", "train/c.png", "train/cats/d.png", "test/e.png", "test/f.png")
    ):
        write(root / name, scene(i))
    return root


@pytest.fixture
def tree() -> Callable[[Path], dict[str, bytes]]:
    """tree(folder): relative name → content of every file, hidden ones too."""
    return lambda folder: {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }

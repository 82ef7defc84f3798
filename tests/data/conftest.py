"""Small generated folders. Every picture is distinct, so that any mix-up shows."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import TypeAdapter

from i2i.data import Data
from i2i.images import write


def picture(key: int, size: int = 16) -> np.ndarray:
    """(size, size, 3) uint8: noise of its own for each key."""
    return np.random.default_rng(key).integers(0, 256, (size, size, 3), dtype=np.uint8)


def scene_of(key: int, height: int = 48, width: int | None = None, channels: int = 3) -> np.ndarray:
    """uint8 h w c: coarse random shapes, different for each key; their edges and likeness are as in photos."""
    coarse = np.random.default_rng(key).integers(0, 256, (9, 9, channels), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (width or height, height), interpolation=cv2.INTER_CUBIC)).reshape(
        height, width or height, channels
    )


@pytest.fixture(scope="session")
def scene() -> Callable[..., np.ndarray]:
    return scene_of


@pytest.fixture
def spec() -> Callable[..., Data]:
    """spec(layout="paired", root=..., crop=8): the typed data section of a recipe."""
    adapter: TypeAdapter[Data] = TypeAdapter(Data)
    return lambda **told: adapter.validate_python(told)


@pytest.fixture
def fill() -> Callable[..., None]:
    """fill(folder, n, first=0): write n pictures 000.png, ... made from the keys first, first + 1, ..."""

    def make(folder: Path, n: int, first: int = 0, size: int = 16) -> None:
        for i in range(n):
            write(folder / f"{i:03}.png", picture(first + i, size))

    return make

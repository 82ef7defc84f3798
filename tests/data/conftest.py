"""Small generated folders. Every picture is distinct, so that any mix-up shows."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

from i2i.data import Data
from i2i.images import write


def picture(key: int, size: int = 16) -> np.ndarray:
    """(size, size, 3) uint8: noise of its own for each key."""
    return np.random.default_rng(key).integers(0, 256, (size, size, 3), dtype=np.uint8)


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

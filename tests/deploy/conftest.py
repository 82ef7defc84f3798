from pathlib import Path

import numpy as np
import pytest

from .browser import tiny


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported translator, by the contract."""
    return tiny(tmp_path_factory.mktemp("exported") / "model.onnx")


@pytest.fixture(scope="session")
def photograph() -> np.ndarray:
    """A real picture with odd sides, h w 3."""
    from skimage import data

    return np.ascontiguousarray(data.astronaut()[40:171, 120:277])

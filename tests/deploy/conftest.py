from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Tiny = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def exported(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the exporter makes of a small network whose sides are multiples of 4."""
    import torch

    from i2i import export, recipe, zoo
    from i2i.models import MODELS

    folder = tmp_path_factory.mktemp("exported")
    settings = recipe.build(
        tiny("pix2pix", generator={"kind": "compact", "blocks": 1, "width": 4, "gain": 0.2}), "test"
    )
    torch.manual_seed(0)
    zoo.save(folder / "model.safetensors", MODELS[type(settings)](settings).product(), settings, 1, "print")
    export.export(folder / "model.safetensors", folder / "model.onnx")
    return folder / "model.onnx"


@pytest.fixture(scope="session")
def photograph() -> np.ndarray:
    """A real picture with sides that no multiple fits, h w 3."""
    from skimage import data

    return np.ascontiguousarray(data.astronaut()[40:171, 120:277])

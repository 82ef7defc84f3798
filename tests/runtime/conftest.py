from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Tiny = Callable[..., dict[str, Any]]


@pytest.fixture(scope="session")
def exported(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported model: a small network with instance normalisation and reflections, its sides multiples of 4."""
    import torch

    from i2i import export, recipe, zoo
    from i2i.models import MODELS

    folder = tmp_path_factory.mktemp("exported")
    generator = {"kind": "compact", "blocks": 1, "width": 4}
    settings = recipe.build(tiny("pix2pix", generator=generator), "test")
    torch.manual_seed(0)
    zoo.save(folder / "model.safetensors", MODELS[type(settings)](settings).product(), settings, 1, "print")
    export.export(folder / "model.safetensors", folder / "model.onnx")
    return folder / "model.onnx"

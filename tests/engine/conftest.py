from types import SimpleNamespace
from typing import Any

import pytest
import torch


@pytest.fixture(autouse=True)
def one_seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def parts() -> tuple[Any, Any]:
    """The game and the batches, as far as a log looks at them."""
    return SimpleNamespace(log={}), SimpleNamespace(position=0, waited=0.0)

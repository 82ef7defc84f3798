import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor


@pytest.fixture(scope="session")
def photos() -> Tensor:
    """48 squares cut from three photographs: 48 3 64 64 in [-1, 1]."""
    squares = []
    for photo in (data.astronaut(), data.chelsea(), data.coffee()):
        top, left = (np.linspace(0, side - 64, 4).astype(int) for side in photo.shape[:2])
        squares += [photo[y : y + 64, x : x + 64] for y in top for x in left]
    return torch.from_numpy(np.stack(squares)).permute(0, 3, 1, 2).float() / 127.5 - 1

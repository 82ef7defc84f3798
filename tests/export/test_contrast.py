"""Pictures of little contrast: a norm divides by next to nothing, and what rounding leaves behind is enlarged.

torch's group norm on a CPU takes the variance of a tensor that lies as n h w c in memory (a picture turned to n c h w
does) as E[x²] - E[x]²: where the mean is far above the spread nothing is left of it. So networks at rest do not use it
for their instance norm, and where they have group norm the gate asks the network in double precision.
"""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from i2i.export import parity
from i2i.nets.blocks import norm2d

from .helpers import Get


def values() -> Tensor:
    """1 c h w around 3, with a spread of a thousandth."""
    noise = torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(0))
    return 3 + 1e-3 * noise


def exact(x: Tensor) -> Tensor:
    wide = x.double()
    centred = wide - wide.mean((2, 3), keepdim=True)
    return centred / (centred.square().mean((2, 3), keepdim=True) + 1e-5).sqrt()


@pytest.mark.parametrize("kind", ["instance", "batch"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_norms_at_rest_are_exact_where_contrast_is_low(kind, layout) -> None:
    norm = norm2d(kind, 4).eval()
    assert (norm(values().to(memory_format=layout)) - exact(values())).abs().max() < 1e-4


def test_the_norm_of_training_is_not_if_channels_come_last() -> None:
    assert (F.group_norm(values(), 4) - exact(values())).abs().max() < 1e-4
    last = values().to(memory_format=torch.channels_last)
    assert (F.group_norm(last, 4) - exact(values())).abs().max() > 0.1


@pytest.mark.parametrize("name", ["resnet", "compact"])
def test_graph_and_network_agree_where_contrast_is_low(traced: Get, name: str) -> None:
    """Two neighbouring greys, in no pattern: the least that is not flat."""
    grey = 128 + np.random.default_rng(0).integers(0, 2, (1, 64, 64, 3), dtype=np.uint8)
    report, _ = parity.compared(traced(name), traced(name).model, [{"picture": grey}], exactly=False)
    assert report.error < 2e-3
    assert report.steps <= 1


def test_one_changed_pixel_is_enough_contrast(traced: Get) -> None:
    """Flat by itself, a picture is what rounding makes of it; with a single other pixel it is the network's again."""
    flat = np.full((1, 64, 64, 3), 128, np.uint8)
    flat[0, 20, 30] = 129
    assert parity.compared(traced("resnet"), traced("resnet").model, [{"picture": flat}])[0].steps <= 1

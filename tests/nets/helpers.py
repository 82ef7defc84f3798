"""What several network tests share."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn


def parameters(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def dead_biases(net: nn.Module) -> int:
    """One for each output channel of a convolution that a norm follows: what a bias there would add to the count."""
    layers = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.InstanceNorm2d)]
    followed = [a for a, b in pairwise(layers) if isinstance(b, nn.InstanceNorm2d)]
    assert all(layer.bias is None for layer in followed)
    return sum(layer.out_channels for layer in followed)


def on_meta(build: Callable[[], nn.Module]) -> nn.Module:
    """Build without memory or arithmetic: enough to count."""
    with torch.device("meta"):
        return build()


def pictures(n: int, channels: int, size: int, seed: int = 0) -> Tensor:
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def liven(net: nn.Module) -> nn.Module:
    """Weights large enough that every layer matters to the output."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return net

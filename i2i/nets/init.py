"""Weight initialisation of every network, in place and from torch's global generator: seed it first."""

from math import sqrt
from typing import Literal, TypeVar, cast

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.utils import parametrize

from i2i.spec import Spec

Init = Literal["normal", "kaiming", "orthogonal"]
Net = TypeVar("Net", bound=nn.Module)

POWER_ITERATIONS = 50


class InitSpec(Spec):
    """How a network's weights start. The base of every network's spec."""

    init: Init = "normal"
    gain: float = Field(0.02, gt=0)

    def initialised(self, net: Net) -> Net:
        return initialise(net, self.init, self.gain)


def initialise(net: Net, kind: Init = "normal", gain: float = 0.02) -> Net:
    """Draw the weights of every (transposed) convolution and linear layer anew, set all biases to 0, return the net.

    normal: N(0, gain²), and batch-norm gains N(1, gain²): DCGAN (Radford et al. 2015), Pix2Pix, CycleGAN.
    kaiming: N(0, 2 / fan-in) for ReLU networks (He et al. 2015); has no use for `gain`.
    orthogonal: rows orthogonal, scaled by `gain` (Saxe et al. 2013).
    """
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            weight = raw_weight(layer)
            if kind == "normal":
                nn.init.normal_(weight, 0.0, gain)
            elif kind == "kaiming":
                nn.init.normal_(weight, 0.0, sqrt(2 / fan_in(layer)))
            else:
                nn.init.orthogonal_(weight, gain)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
            settle(layer)
        elif isinstance(layer, nn.BatchNorm2d) and layer.affine:
            nn.init.normal_(layer.weight, 1.0, gain) if kind == "normal" else nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)
    return net


def raw_weight(layer: nn.Module) -> Tensor:
    """The tensor an optimiser moves: under spectral norm `layer.weight` is computed from it at each access."""
    if parametrize.is_parametrized(layer, "weight"):
        return cast(Tensor, layer.parametrizations.weight.original)  # type: ignore[union-attr]
    return cast(Tensor, layer.weight)


def fan_in(layer: nn.Conv2d | nn.ConvTranspose2d | nn.Linear) -> float:
    """How many inputs one output sums. A transposed convolution spreads each input over stride² outputs."""
    if isinstance(layer, nn.ConvTranspose2d):
        kernel, stride = layer.kernel_size, layer.stride
        return layer.in_channels / layer.groups * kernel[0] * kernel[1] / (stride[0] * stride[1])
    return raw_weight(layer)[0].numel()


def settle(layer: nn.Module) -> None:
    """Let spectral norm's power iteration find the new weight's singular vectors: each access in train mode is one."""
    if parametrize.is_parametrized(layer, "weight"):
        was_training = layer.training
        layer.train()
        with torch.no_grad():
            for _ in range(POWER_ITERATIONS):
                _ = layer.weight
        layer.train(was_training)

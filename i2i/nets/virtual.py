"""Virtual batch normalisation (Salimans et al. 2016, section 3.5): statistics of a fixed reference batch and oneself.

With batch norm a sample depends on the others that happen to be drawn with it. Here a generator runs on B samples
chosen once, and each new one is normalised by their mean and mean square together with its own, at weights B : 1.

Shapes: n samples, B of them the reference, c channels, then any number of places.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

GAIN = 0.02  # gains start as N(1, .02²), as in the authors' code


class VirtualBatchNorm(nn.Module):
    """n c, or n c and any places: the first `reference` samples are the reference batch. They are normalised like any
    batch; the others by the statistics of a batch of them and that sample.

    In training and at rest alike. `reference` is set by `Virtual`, which puts them in front; ValueError without it.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.channels, self.eps = channels, eps
        self.reference = 0
        self.weight, self.bias = nn.Parameter(torch.empty(channels)), nn.Parameter(torch.zeros(channels))
        nn.init.normal_(self.weight, 1.0, GAIN)

    def forward(self, x: Tensor) -> Tensor:
        if not self.reference:
            raise ValueError("VirtualBatchNorm has no reference batch: run its network inside of i2i.nets.Virtual")
        shape = (1, self.channels, *(1 for _ in x.shape[2:]))
        with torch.autocast(x.device.type, enabled=False):
            values = x.float().flatten(2) if x.ndim > 2 else x.float()[:, :, None]  # n c places
            mean, variance = values.mean(2), values.var(2, correction=0)  # of each sample: n c
            chosen = values[: self.reference]
            middle, spread = chosen.mean((0, 2)), chosen.var((0, 2), correction=0)  # c
            own = 1 / (self.reference + 1)
            # The variance of the two together, without a difference of large squares.
            both = (1 - own) * spread + own * variance + own * (1 - own) * (mean - middle).square()
            centre = (1 - own) * middle + own * mean
            first = torch.arange(len(x), device=x.device)[:, None] < self.reference
            centre, both = torch.where(first, middle, centre), torch.where(first, spread, both)
            normal = (values - centre[:, :, None]) * torch.rsqrt(both + self.eps)[:, :, None]
            scaled = normal.reshape(x.shape) * self.weight.float().view(shape) + self.bias.float().view(shape)
        return scaled.to(x.dtype)


def with_virtual_norms(net: nn.Module) -> nn.Module:
    """A copy of a network in which each batch norm is a virtual one, with a new gain and bias."""
    changed = copy.deepcopy(net)
    for parent in list(changed.modules()):
        for name, child in parent.named_children():
            if isinstance(child, _BatchNorm):
                setattr(parent, name, VirtualBatchNorm(child.num_features, child.eps))
    return changed


class Virtual(nn.Module):
    """A network that runs with its reference batch in front, and gives what it made of all others.

    `reference`: its arguments for B samples, noise and labels say, which stay as they are for ever and are saved with
    the weights. It has the attributes of the network it holds (`noise`, `size`, ...). A pass costs that of B samples
    more, and a sample does not depend on the others of its batch.
    """

    def __init__(self, net: nn.Module, *reference: Tensor) -> None:
        super().__init__()
        self.net, self.count = net, len(reference[0])
        self.names = [f"reference{number or ''}" for number in range(len(reference))]
        for name, part in zip(self.names, reference, strict=True):
            self.register_buffer(name, part.detach().clone())
        norms = [layer for layer in net.modules() if isinstance(layer, VirtualBatchNorm)]
        if not norms:
            raise ValueError(
                "Virtual expected a network with VirtualBatchNorm layers, see with_virtual_norms; got none"
            )
        for layer in norms:
            layer.reference = self.count

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("net"), name)

    def forward(self, *given: Tensor) -> Tensor:
        parts = [
            torch.cat([getattr(self, name).to(part.dtype), part]) for name, part in zip(self.names, given, strict=True)
        ]
        made: Tensor = self.net(*parts)
        return made[self.count :]

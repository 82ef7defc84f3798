"""DCGAN (Radford et al. 2015), and its conditional form: every layer also takes the label (Mirza & Osindero 2014).

Shapes: n pictures, c channels, s picture size (square), z noise dimensions, k classes.
"""

from itertools import pairwise
from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from i2i.errors import UserError
from i2i.nets.blocks import Norm, append_label, check_shape, needs_bias, norm2d, spectral_norm, upsample2x
from i2i.nets.init import InitSpec
from i2i.nets.minibatch import compared
from i2i.nets.virtual import Virtual, with_virtual_norms

SMALLEST = 4  # side of the map at the generator's first and the discriminator's last layer


def pyramid(size: int, width: int) -> list[int]:
    """Channels of the maps from side size/2 down to 4: 64 128 256 512 at 64 px, never above 8 × width.

    Raises UserError unless size is a power of two and at least 8.
    """
    if size < 2 * SMALLEST or size & (size - 1):
        raise UserError(f"DCGAN expected a size that is a power of two, 8 or more; got {size}")
    halvings = (size // SMALLEST).bit_length() - 1
    return [width * min(2**depth, 8) for depth in range(halvings)]


class DCGANGenerator(nn.Module):
    """Noise (and a label) → picture in [-1, 1]. 3,576,704 parameters at 64 px, width 64, 3 channels.

    Batch norm everywhere but on the output; in `eval()` it uses its running statistics, so a sample does not depend on
    the others of its batch. No biases, as published.
    """

    def __init__(
        self,
        noise: int = 100,
        channels: int = 3,
        size: int = 64,
        width: int = 64,
        norm: Norm = "batch",
        classes: int = 0,
    ) -> None:
        super().__init__()
        self.noise, self.channels, self.size, self.classes = noise, channels, size, classes
        bias = needs_bias(norm)
        maps = pyramid(size, width)[::-1]  # 512 256 128 64
        first = nn.ConvTranspose2d(noise + classes, maps[0], SMALLEST, bias=bias)
        self.stages = nn.ModuleList([nn.Sequential(first, norm2d(norm, maps[0], "running"), nn.ReLU())])
        for below, above in pairwise(maps):
            up = upsample2x("transposed", below + classes, above, bias=bias)
            self.stages.append(nn.Sequential(up, norm2d(norm, above, "running"), nn.ReLU()))
        out = upsample2x("transposed", maps[-1] + classes, channels, bias=bias)
        self.stages.append(nn.Sequential(out, nn.Tanh()))

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:  # n z, n
        check_shape("DCGANGenerator", z, self.noise)
        x = z[:, :, None, None]  # n z 1 1
        for stage in self.stages:
            x = stage(append_label(x, y, self.classes))  # side 4, 8, ..., s
        return x  # n c s s, in [-1, 1]


class DCGANDiscriminator(nn.Module):
    """Picture (and its label) → one logit. 2,765,568 parameters at 64 px, width 64, 3 channels.

    No norm on the input layer. For a gradient penalty choose a norm that keeps the pictures of a batch apart: anything
    but batch.
    """

    def __init__(
        self,
        channels: int = 3,
        size: int = 64,
        width: int = 64,
        norm: Norm = "batch",
        spectral: bool = False,
        classes: int = 0,
        minibatch: int = 0,
    ) -> None:
        super().__init__()
        self.channels, self.size, self.classes = channels, size, classes
        bias = needs_bias(norm)
        maps = [channels, *pyramid(size, width)]
        self.stages = nn.ModuleList()
        for depth, (above, below) in enumerate(pairwise(maps)):
            conv = nn.Conv2d(above + classes, below, 4, stride=2, padding=1, bias=bias)
            norm_layer = norm2d(norm, below, "running") if depth else nn.Identity()
            self.stages.append(nn.Sequential(spectral_norm(conv, spectral), norm_layer, nn.LeakyReLU(0.2)))
        self.minibatch = compared(maps[-1], minibatch)
        verdict = nn.Conv2d(maps[-1] + minibatch + classes, 1, SMALLEST, bias=bias)
        self.stages.append(spectral_norm(verdict, spectral))

    def hidden(self, x: Tensor, y: Tensor | None = None) -> Tensor:  # n c s s, n
        check_shape("DCGANDiscriminator", x, self.channels, self.size, self.size)
        for stage in self.stages[:-1]:
            x = stage(append_label(x, y, self.classes))  # side s/2, ..., 4
        return x  # n f 4 4

    def verdict(self, hidden: Tensor, y: Tensor | None = None) -> Tensor:  # n f 4 4, n
        return self.stages[-1](append_label(self.minibatch(hidden), y, self.classes)).flatten()  # n, logits

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:  # n c s s, n
        return self.verdict(self.hidden(x, y), y)  # n


class DCGANGeneratorSpec(InitSpec):
    """The generator of a recipe that draws pictures from noise."""

    kind: Literal["dcgan"] = "dcgan"
    noise: int = Field(100, ge=1)
    width: int = Field(64, ge=1)
    norm: Norm = "batch"
    virtual: int = Field(0, ge=0, description="samples in the reference batch of virtual batch norm; 0: batch norm")

    @model_validator(mode="after")
    def _has_norms_to_make_virtual(self) -> Self:
        if self.virtual and self.norm != "batch":
            raise ValueError(f"virtual batch norm takes the place of norm: batch, got norm: {self.norm}")
        return self

    def build(self, channels: int, size: int, classes: int = 0) -> DCGANGenerator | Virtual:
        """The network with its weights, and its reference batch, drawn from torch's global generator."""
        net = self.initialised(DCGANGenerator(self.noise, channels, size, self.width, self.norm, classes))
        if not self.virtual:
            return net
        noise, labels = torch.randn(self.virtual, self.noise), torch.arange(self.virtual) % max(1, classes)
        return Virtual(with_virtual_norms(net), noise, *([labels] if classes else []))


class DCGANDiscriminatorSpec(InitSpec):
    """The discriminator of such a recipe."""

    kind: Literal["dcgan"] = "dcgan"
    width: int = Field(64, ge=1)
    norm: Norm = "batch"
    spectral: bool = False
    minibatch: int = Field(0, ge=0, description="kernels of minibatch discrimination")

    def build(self, channels: int, size: int, classes: int = 0) -> DCGANDiscriminator:
        """The network with its weights drawn from torch's global generator."""
        return self.initialised(
            DCGANDiscriminator(channels, size, self.width, self.norm, self.spectral, classes, self.minibatch)
        )

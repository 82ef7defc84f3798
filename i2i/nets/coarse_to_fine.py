"""The coarse-to-fine generator of pix2pixHD (Wang et al. 2018, section 3.2 and the appendix).

A global generator G1 works at half the size. The local enhancer G2 works at the whole size with a few blocks: what its
front has seen and the last features of G1 are added, and its back makes the picture of the sum.

Shapes: n pictures, i input and o output channels, h w picture size, c = width.
"""

from itertools import chain
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parameter import Parameter

from i2i.nets.blocks import PADDING_MODES, Norm, Padding, Upsample, check_input, needs_bias, norm2d, upsample2x
from i2i.nets.init import InitSpec
from i2i.nets.resnet import ResidualBlock


class CoarseToFine(nn.Module):
    """G1: c7s1-64, d128, ..., d1024, R1024 × 9, u512, ..., u64, c7s1-o. G2: c7s1-32, d64, R64 × 3, u32, c7s1-o.

    In the paper's notation, for width 64 and 4 levels. `forward` takes and returns values in [-1, 1]; it raises
    ValueError unless h and w are multiples of 2^(levels + 1) and at least twice that.
    At rest, while `enhanced` is 0, it gives the picture of G1 enlarged: G2 has not been trained then, and a run that
    is stopped, scored or sampled in its first phase has a translator all the same. It is saved with the weights.
    """

    enhanced: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        levels: int = 4,
        blocks: int = 9,
        local_blocks: int = 3,
        width: int = 64,
        norm: Norm = "instance",
        upsample: Upsample = "transposed",
        padding: Padding = "reflect",
    ) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        self.multiple, self.minimum = 2 ** (levels + 1), 2 ** (levels + 2)  # reflection needs two pixels in the trunk
        mode, bias = PADDING_MODES[padding], needs_bias(norm)

        def wide(below: int, above: int) -> list[nn.Module]:  # c7s1
            conv = nn.Conv2d(below, above, 7, padding=3, padding_mode=mode, bias=bias)
            return [conv, norm2d(norm, above), nn.ReLU()]

        def halved(below: int) -> list[nn.Module]:
            conv = nn.Conv2d(below, 2 * below, 3, stride=2, padding=1, bias=bias)
            return [conv, norm2d(norm, 2 * below), nn.ReLU()]

        def doubled(above: int) -> list[nn.Module]:
            return [upsample2x(upsample, 2 * above, above, kernel=3, bias=bias), norm2d(norm, above), nn.ReLU()]

        def trunk(channels: int, count: int) -> list[nn.Module]:
            return [ResidualBlock(channels, norm, padding, 0.0, "picture") for _ in range(count)]

        def picture(below: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(below, outputs, 7, padding=3, padding_mode=mode), nn.Tanh())

        sizes = [width * 2**level for level in range(levels)]
        self.globe = nn.Sequential(  # G1, but for its last layer
            *wide(inputs, width),
            *chain(*map(halved, sizes)),
            *trunk(width * 2**levels, blocks),
            *chain(*map(doubled, reversed(sizes))),
        )
        self.globe_picture = picture(width)
        self.front = nn.Sequential(*wide(inputs, width // 2), *halved(width // 2))  # G2
        self.back = nn.Sequential(*trunk(width, local_blocks), *doubled(width // 2), picture(width // 2))
        self.register_buffer("enhanced", torch.zeros(()))

    def global_parameters(self) -> list[Parameter]:
        """The weights of G1."""
        return [*self.globe.parameters(), *self.globe_picture.parameters()]

    def local_parameters(self) -> list[Parameter]:
        """The weights of G2."""
        return [*self.front.parameters(), *self.back.parameters()]

    def coarse(self, x: Tensor) -> Tensor:  # n i h/2 w/2
        """The picture of G1 alone, n o h/2 w/2, of an input that is already at half the size."""
        return self.globe_picture(self.globe(x))

    def forward(self, x: Tensor) -> Tensor:  # n i h w, in [-1, 1]
        check_input("CoarseToFine", x, self.inputs, self.multiple, self.minimum)
        known = self.globe(F.avg_pool2d(x, 2))  # n c h/2 w/2
        fine: Tensor = self.back(self.front(x) + known)  # n o h w, in [-1, 1]
        if self.training:
            return fine
        # Not a branch: the choice is a weight like others, which averages, files and exported graphs carry.
        coarse = F.interpolate(self.globe_picture(known), scale_factor=2.0, mode="bilinear")
        return torch.where(self.enhanced > 0, fine, coarse)


class CoarseToFineSpec(InitSpec):
    """The generator of pix2pixHD. The defaults are the paper's, for 2048×1024; a picture of 128 px takes 2 levels."""

    kind: Literal["coarse-to-fine"] = "coarse-to-fine"
    levels: int = Field(4, ge=1, le=8, description="times that G1 halves its input, which is at half the size")
    blocks: int = Field(9, ge=0, le=64, description="of G1")
    local_blocks: int = Field(3, ge=0, le=64, description="of G2")
    width: int = Field(64, ge=2, multiple_of=2, description="of G1; G2 has half of it")
    norm: Norm = "instance"
    upsample: Upsample = "transposed"
    padding: Padding = "reflect"

    def build(self, inputs: int, outputs: int) -> CoarseToFine:
        """The network with its weights drawn from torch's global generator."""
        return self.initialised(
            CoarseToFine(
                inputs,
                outputs,
                levels=self.levels,
                blocks=self.blocks,
                local_blocks=self.local_blocks,
                width=self.width,
                norm=self.norm,
                upsample=self.upsample,
                padding=self.padding,
            )
        )

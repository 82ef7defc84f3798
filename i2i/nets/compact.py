"""A generator for real time: the walk of the residual generator at less than a tenth of its multiply-adds.

The savings, at 256 px and width 64: a trunk of 2 × width channels whose spatial and channel mixing are separate
(Howard et al. 2017) costs a ninth of the reference's; half the width at full size, and separable upsampling, make
the two ends cheap. What is not saved: the trunk still sees as far, because one 5×5 depthwise layer reaches as far as
the reference's two 3×3, and the two downsampling layers, where detail is lost for good, stay full convolutions.

Shapes: n pictures, i input and o output channels, h w picture size, c trunk channels = 2 × width.
"""

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from i2i.nets.blocks import PADDING_MODES, Norm, Padding, check_input, needs_bias, norm2d
from i2i.nets.init import InitSpec


class SeparableBlock(nn.Module):
    """x + (5×5 depthwise, norm, widen 1×1, ReLU, narrow 1×1) of x.

    One norm and one activation, the latter where channels are many, and a linear way back into the trunk (Sandler et
    al. 2018; Liu et al. 2022): fewer passes over memory, which is what real time pays for, than a norm at every layer.
    """

    def __init__(self, channels: int, expansion: int, norm: Norm, padding: Padding) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            depthwise(channels, 5, padding, bias=needs_bias(norm)),
            norm2d(norm, channels),
            nn.Conv2d(channels, expansion * channels, 1),
            nn.ReLU(),
            nn.Conv2d(expansion * channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:  # n c h/4 w/4
        return x + self.branch(x)


class Compact(nn.Module):
    """The residual generator, made small: a stem, two halvings, `blocks` separable blocks, two doublings, tanh.

    `forward` takes and returns values in [-1, 1]; it raises ValueError unless h and w are multiples of 4 and at least
    12 (reflection by two pixels needs three of them in the trunk).
    """

    multiple = 4
    minimum = 12

    def __init__(
        self,
        inputs: int,
        outputs: int,
        blocks: int = 9,
        width: int = 64,
        expansion: int = 2,
        norm: Norm = "instance",
        padding: Padding = "reflect",
    ) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        mode, bias = PADDING_MODES[padding], needs_bias(norm)
        full, half, trunk = max(width // 2, 1), width, 2 * width  # channels at h, h/2 and h/4

        def conv(inputs: int, outputs: int, kernel: int, stride: int = 1) -> list[nn.Module]:
            layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, padding_mode=mode, bias=bias)
            return [layer, norm2d(norm, outputs), nn.ReLU()]

        def double(inputs: int, outputs: int) -> list[nn.Module]:
            resize = [nn.Upsample(scale_factor=2, mode="nearest"), depthwise(inputs, 3, padding, bias=False)]
            return [*resize, *conv(inputs, outputs, kernel=1)]

        self.encode = nn.Sequential(*conv(inputs, full, 7), *conv(full, half, 3, 2), *conv(half, trunk, 3, 2))
        self.trunk = nn.Sequential(*(SeparableBlock(trunk, expansion, norm, padding) for _ in range(blocks)))
        self.decode = nn.Sequential(
            *double(trunk, half),
            *double(half, full),
            nn.Conv2d(full, outputs, 7, padding=3, padding_mode=mode),
            nn.Tanh(),
        )

    def forward(self, x: Tensor) -> Tensor:  # n i h w, in [-1, 1]
        check_input("Compact", x, self.inputs, self.multiple, self.minimum)
        x = self.encode(x)  # n c h/4 w/4
        x = self.trunk(x)  # n c h/4 w/4
        return self.decode(x)  # n o h w, in [-1, 1]


def depthwise(channels: int, kernel: int, padding: Padding, bias: bool) -> nn.Conv2d:
    """A convolution of each channel by itself, same size out as in."""
    mode = PADDING_MODES[padding]
    return nn.Conv2d(channels, channels, kernel, padding=kernel // 2, padding_mode=mode, groups=channels, bias=bias)


class CompactSpec(InitSpec):
    """The real-time generator of a recipe."""

    kind: Literal["compact"] = "compact"
    blocks: int = Field(9, ge=0, le=64)
    width: int = Field(64, ge=2)
    expansion: int = Field(2, ge=1)
    norm: Norm = "instance"
    padding: Padding = "reflect"

    def build(self, inputs: int, outputs: int) -> Compact:
        """The network with its weights drawn from torch's global generator."""
        return self.initialised(
            Compact(
                inputs,
                outputs,
                blocks=self.blocks,
                width=self.width,
                expansion=self.expansion,
                norm=self.norm,
                padding=self.padding,
            )
        )

"""The CycleGAN generator: residual blocks at a quarter of the size (Johnson et al. 2016; Zhu et al. 2017, app. 7.2).

Shapes: n pictures, i input and o output channels, h w picture size, c trunk channels = 4 × width.
"""

from typing import Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from i2i.nets.blocks import (
    PADDING_MODES,
    Downsample,
    Norm,
    Padding,
    TestStatistics,
    Upsample,
    check_input,
    downsample2x,
    dropout_layer,
    needs_bias,
    norm2d,
    upsample2x,
)
from i2i.nets.init import InitSpec


class ResidualBlock(nn.Module):
    """x + two 3×3 convolutions of x; no activation after the sum."""

    def __init__(
        self, channels: int, norm: Norm, padding: Padding, dropout: float, test_statistics: TestStatistics
    ) -> None:
        super().__init__()
        mode, bias = PADDING_MODES[padding], needs_bias(norm)
        self.branch = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode=mode, bias=bias),
            norm2d(norm, channels, test_statistics),
            nn.ReLU(),
            dropout_layer(dropout),
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode=mode, bias=bias),
            norm2d(norm, channels, test_statistics),
        )

    def forward(self, x: Tensor) -> Tensor:  # n c h/4 w/4
        return x + self.branch(x)


class Resnet(nn.Module):
    """c7s1-64, d128, d256, R256 × blocks, u128, u64, c7s1-o, tanh, in the paper's notation (width 64).

    9 blocks for 256 px and 6 for 128 px: 11,378,179 and 7,837,699 parameters as published for 3 → 3 channels. Ours has
    fewer: the reference also counts the biases in front of its instance norms, which the norms cancel. CUT's generator
    (Park et al. 2020) as its code has it is `downsample` blur and `upsample` bilinear-conv.
    `forward` takes and returns values in [-1, 1]; it raises ValueError unless h and w are multiples of 4 and at least
    8 (reflection by one pixel needs two of them in the trunk).
    """

    multiple = 4
    minimum = 8

    def __init__(
        self,
        inputs: int,
        outputs: int,
        blocks: int = 9,
        width: int = 64,
        norm: Norm = "instance",
        downsample: Downsample = "strided",
        upsample: Upsample = "transposed",
        padding: Padding = "reflect",
        dropout: float = 0.0,
        test_statistics: TestStatistics = "picture",
    ) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        mode, bias = PADDING_MODES[padding], needs_bias(norm)

        def normed(layer: nn.Module, channels: int) -> list[nn.Module]:
            return [layer, norm2d(norm, channels, test_statistics), nn.ReLU()]

        def halved(below: int, above: int) -> list[nn.Module]:
            return downsample2x(downsample, below, above, norm2d(norm, above, test_statistics), bias)

        self.encode = nn.Sequential(
            *normed(nn.Conv2d(inputs, width, 7, padding=3, padding_mode=mode, bias=bias), width),
            *halved(width, 2 * width),
            *halved(2 * width, 4 * width),
        )
        self.trunk = nn.Sequential(
            *(ResidualBlock(4 * width, norm, padding, dropout, test_statistics) for _ in range(blocks))
        )
        self.decode = nn.Sequential(
            *normed(upsample2x(upsample, 4 * width, 2 * width, kernel=3, bias=bias), 2 * width),
            *normed(upsample2x(upsample, 2 * width, width, kernel=3, bias=bias), width),
            nn.Conv2d(width, outputs, 7, padding=3, padding_mode=mode),
            nn.Tanh(),
        )

    def forward(self, x: Tensor) -> Tensor:  # n i h w, in [-1, 1]
        check_input("Resnet", x, self.inputs, self.multiple, self.minimum)
        x = self.encode(x)  # n c h/4 w/4
        x = self.trunk(x)  # n c h/4 w/4
        return self.decode(x)  # n o h w, in [-1, 1]


class ResnetSpec(InitSpec):
    """The residual generator of a recipe. The defaults are CycleGAN's for 256 px; CUT's: blur and bilinear-conv."""

    kind: Literal["resnet"] = "resnet"
    blocks: int = Field(9, ge=0, le=64)
    width: int = Field(64, ge=1)
    norm: Norm = "instance"
    downsample: Downsample = "strided"
    upsample: Upsample = "transposed"
    padding: Padding = "reflect"
    dropout: float = Field(0.0, ge=0, lt=1)
    test_statistics: TestStatistics = "picture"

    @model_validator(mode="after")
    def no_setting_without_effect(self) -> Self:
        if self.test_statistics == "running" and self.norm != "batch":
            raise ValueError(f"test_statistics: running needs norm: batch; got norm: {self.norm}")
        return self

    def build(self, inputs: int, outputs: int) -> Resnet:
        """The network with its weights drawn from torch's global generator."""
        return self.initialised(
            Resnet(
                inputs,
                outputs,
                blocks=self.blocks,
                width=self.width,
                norm=self.norm,
                downsample=self.downsample,
                upsample=self.upsample,
                padding=self.padding,
                dropout=self.dropout,
                test_statistics=self.test_statistics,
            )
        )

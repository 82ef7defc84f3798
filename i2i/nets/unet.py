"""The Pix2Pix U-Net generator (Isola et al. 2017, appendix 6.1.1).

Shapes: n pictures, i input and o output channels, h w picture size, l levels; each level halves h and w.
"""

from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from i2i.nets.blocks import Norm, TestStatistics, Upsample, check_input, dropout_layer, needs_bias, norm2d, upsample2x
from i2i.nets.init import InitSpec

DROPPED = 3  # the paper's CD512-CD512-CD512: the first three layers of the decoder


class UNet(nn.Module):
    """Picture → picture through a bottleneck, with a skip from every encoder layer to its mirror in the decoder.

    8 levels for 256 px and 7 for 128 px as published: 54,413,955 and 41,828,995 parameters for 3 → 3 channels, width
    64 and batch norm. `forward` takes and returns values in [-1, 1]; it raises ValueError unless h and w are multiples
    of 2^levels. The innermost layer has no norm: at batch 1 its 1×1 map would be normalised to zero (the paper's
    erratum). Only the output layer has a bias, as in the published network, unless norm is none. `bias` gives one to
    the encoder's first and innermost layer, which no norm follows: the authors' PyTorch code does with instance norm.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        levels: int = 8,
        width: int = 64,
        norm: Norm = "batch",
        upsample: Upsample = "transposed",
        dropout: float = 0.0,
        dropout_at_test: bool = False,
        test_statistics: TestStatistics = "picture",
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        self.multiple = self.minimum = 2**levels
        normed = needs_bias(norm)  # whether there is a bias in front of a norm, ...
        bare = bias or normed  # ... and where there is none
        channels = [width * min(2**level, 8) for level in range(levels)]  # 64 128 256 512 512 512 512 512

        self.downs = nn.ModuleList([nn.Conv2d(inputs, width, 4, stride=2, padding=1, bias=bare)])
        for level in range(1, levels):
            innermost, (below, above) = level == levels - 1, channels[level - 1 : level + 1]
            self.downs.append(
                nn.Sequential(
                    nn.LeakyReLU(0.2),
                    nn.Conv2d(below, above, 4, stride=2, padding=1, bias=bare if innermost else normed),
                    nn.Identity() if innermost else norm2d(norm, above, test_statistics),
                )
            )

        self.ups = nn.ModuleList()
        for depth, level in enumerate(range(levels - 1, 0, -1)):
            below = channels[level] if depth == 0 else 2 * channels[level]  # what came up, and the skip beside it
            self.ups.append(
                nn.Sequential(
                    nn.ReLU(),
                    upsample2x(upsample, below, channels[level - 1], bias=normed),
                    norm2d(norm, channels[level - 1], test_statistics),
                    dropout_layer(dropout if depth < DROPPED else 0.0, dropout_at_test),
                )
            )
        self.out = nn.Sequential(nn.ReLU(), upsample2x(upsample, 2 * width, outputs, bias=True), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:  # n i h w, in [-1, 1]
        check_input("UNet", x, self.inputs, self.multiple, self.minimum)
        skips = []
        for down in self.downs:
            x = down(x)  # h/2, h/4, ..., h/2^l
            skips.append(x)
        skips.pop()  # the bottleneck goes straight up
        for up in self.ups:
            x = torch.cat([up(x), skips.pop()], dim=1)  # h/2^(l-1), ..., h/2
        return self.out(x)  # n o h w, in [-1, 1]


class UNetSpec(InitSpec):
    """The U-Net of a recipe. Pix2Pix as published: norm batch, dropout .5, dropout_at_test true."""

    kind: Literal["unet"] = "unet"
    levels: int = Field(8, ge=2, le=12)
    width: int = Field(64, ge=1)
    norm: Norm = "instance"
    upsample: Upsample = "transposed"
    dropout: float = Field(0.0, ge=0, lt=1)
    dropout_at_test: bool = False
    test_statistics: TestStatistics = "picture"
    bias: bool = Field(False, description="of the two encoder layers without a norm, the first and the innermost")

    @model_validator(mode="after")
    def no_setting_without_effect(self) -> Self:
        if self.dropout_at_test and self.dropout == 0:
            raise ValueError("dropout_at_test needs a dropout above 0; the paper has dropout: 0.5")
        if self.test_statistics == "running" and self.norm != "batch":
            raise ValueError(f"test_statistics: running needs norm: batch; got norm: {self.norm}")
        if self.bias and self.norm == "none":
            raise ValueError("bias: true has no effect with norm: none, where every layer has one; leave it out")
        return self

    def build(self, inputs: int, outputs: int) -> UNet:
        """The network with its weights drawn from torch's global generator."""
        return self.initialised(
            UNet(
                inputs,
                outputs,
                levels=self.levels,
                width=self.width,
                norm=self.norm,
                upsample=self.upsample,
                dropout=self.dropout,
                dropout_at_test=self.dropout_at_test,
                test_statistics=self.test_statistics,
                bias=self.bias,
            )
        )

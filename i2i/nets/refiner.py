"""SimGAN's networks (Shrivastava et al. 2017, sections 3.1 and 2.2): a refiner that never leaves the pixel grid, and
a discriminator of small patches.

Shapes: n pictures, i input and o output channels, h w picture size, c trunk channels = width.
"""

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from i2i.nets.blocks import check_input
from i2i.nets.init import Init, InitSpec


class RefinerBlock(nn.Module):
    """ReLU of x and two 3×3 convolutions of x. No norm: what is light or dark must come through."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode="replicate"),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, padding_mode="replicate"),
        )
        self.activation = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:  # n c h w
        return self.activation(x + self.branch(x))


class Refiner(nn.Module):
    """3×3 convolution, residual blocks, 1×1 convolution, tanh; nothing is made smaller, so nothing can be moved far.

    With 4 blocks of width 64 it is the paper's for eyes: 296,129 parameters for grey pictures. Each pixel sees
    3 + 4 · blocks pixels of the side. `forward` takes and returns values in [-1, 1]. The paper names no activation at
    the end; tanh is what both known implementations have.
    """

    multiple = 1
    minimum = 1

    def __init__(self, inputs: int, outputs: int, blocks: int = 4, width: int = 64) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        first = nn.Conv2d(inputs, width, 3, padding=1, padding_mode="replicate")
        self.stages = nn.Sequential(
            first,
            nn.ReLU(),
            *(RefinerBlock(width) for _ in range(blocks)),
            nn.Conv2d(width, outputs, 1),
            nn.Tanh(),
        )

    def forward(self, x: Tensor) -> Tensor:  # n i h w, in [-1, 1]
        check_input("Refiner", x, self.inputs)
        return self.stages(x)  # n o h w, in [-1, 1]


class RefinerSpec(InitSpec):
    """The refiner of a recipe. The defaults are the paper's for eyes; ReLUs without norms want kaiming weights."""

    kind: Literal["refiner"] = "refiner"
    blocks: int = Field(4, ge=0, le=64)
    width: int = Field(64, ge=1)
    init: Init = "kaiming"

    def build(self, inputs: int, outputs: int) -> Refiner:
        """The network with its weights drawn from torch's global generator."""
        return self.initialised(Refiner(inputs, outputs, self.blocks, self.width))


class LocalDiscriminator(nn.Module):
    """Picture → a map of logits, one for each 23×23 patch, 4 pixels apart: section 3.1's layers of 96, 64, 32, 32, 2.

    The paper's two last maps are turned into probabilities by a softmax; here they are one logit, their difference,
    which is the same function. `width` 96 is the paper's. It raises ValueError for another number of channels.
    """

    minimum = 8

    def __init__(self, inputs: int, width: int = 96) -> None:
        super().__init__()
        self.inputs = inputs
        second, third = max(1, width * 2 // 3), max(1, width // 3)
        self.stages = nn.Sequential(
            nn.Conv2d(inputs, width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, second, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=1, padding=1),
            nn.Conv2d(second, third, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(third, third, 1),
            nn.ReLU(),
            nn.Conv2d(third, 1, 1),
        )

    def hidden(self, x: Tensor) -> Tensor:  # n i h w
        check_input("LocalDiscriminator", x, self.inputs, minimum=self.minimum)
        return self.stages[:-1](x)  # n c h/4 w/4

    def verdict(self, hidden: Tensor) -> Tensor:  # n c h/4 w/4
        return self.stages[-1](hidden)  # n 1 h/4 w/4, logits

    def forward(self, x: Tensor) -> Tensor:  # n i h w
        return self.verdict(self.hidden(x))  # n 1 h/4 w/4


class LocalDiscriminatorSpec(InitSpec):
    """SimGAN's discriminator. As the refiner it has ReLUs and no norms."""

    kind: Literal["local"] = "local"
    width: int = Field(96, ge=1)
    init: Init = "kaiming"

    def build(self, inputs: int) -> LocalDiscriminator:
        """The network with its weights drawn from torch's global generator."""
        return self.initialised(LocalDiscriminator(inputs, self.width))

"""The networks of CartoonGAN (Chen, Lai and Liu 2018, figure 2): a residual generator, and a shallow judge of patches.

Shapes: n pictures, i input and o output channels, h w picture size, c trunk channels = 4 × width, p q patches.
"""

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from i2i.nets.blocks import PADDING_MODES, Norm, Padding, Upsample, check_input, needs_bias, norm2d, upsample2x
from i2i.nets.init import InitSpec
from i2i.nets.resnet import ResidualBlock


class CartoonGenerator(nn.Module):
    """k7n64s1, two × (k3s2, k3s1), 8 residual blocks of k3n256, two × (k3s½, k3s1), k7n3s1, for width 64.

    At each change of size two convolutions follow each other without an activation, as the figure has them: after the
    first, which halves or doubles, the second sees across its seams. The tanh is the authors' code's.
    `forward` takes and returns values in [-1, 1]; it raises ValueError unless h and w are multiples of 4 and at least
    8 (reflection by one pixel needs two of them in the trunk).
    """

    multiple = 4
    minimum = 8

    def __init__(
        self,
        inputs: int,
        outputs: int,
        blocks: int = 8,
        width: int = 64,
        norm: Norm = "instance",
        upsample: Upsample = "transposed",
        padding: Padding = "reflect",
    ) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        mode, bias = PADDING_MODES[padding], needs_bias(norm)

        def conv(below: int, above: int, kernel: int = 3, stride: int = 1) -> nn.Conv2d:
            return nn.Conv2d(below, above, kernel, stride, padding=kernel // 2, padding_mode=mode, bias=bias)

        def halved(width: int) -> list[nn.Module]:
            return [conv(width, 2 * width, stride=2), conv(2 * width, 2 * width), norm2d(norm, 2 * width), nn.ReLU()]

        def doubled(width: int) -> list[nn.Module]:
            larger = upsample2x(upsample, 2 * width, width, kernel=3, bias=bias)
            return [larger, conv(width, width), norm2d(norm, width), nn.ReLU()]

        self.encode = nn.Sequential(
            *(conv(inputs, width, kernel=7), norm2d(norm, width), nn.ReLU()), *halved(width), *halved(2 * width)
        )
        self.trunk = nn.Sequential(*(ResidualBlock(4 * width, norm, padding, 0.0, "picture") for _ in range(blocks)))
        self.decode = nn.Sequential(
            *doubled(2 * width),
            *doubled(width),
            nn.Conv2d(width, outputs, 7, padding=3, padding_mode=mode),
            nn.Tanh(),
        )

    def forward(self, x: Tensor) -> Tensor:  # n i h w, in [-1, 1]
        check_input("CartoonGenerator", x, self.inputs, self.multiple, self.minimum)
        x = self.encode(x)  # n c h/4 w/4
        x = self.trunk(x)  # n c h/4 w/4
        return self.decode(x)  # n o h w, in [-1, 1]


class CartoonGeneratorSpec(InitSpec):
    """The cartoon generator of a recipe. The defaults are the paper's; its norm is that of the authors' code."""

    kind: Literal["cartoon"] = "cartoon"
    blocks: int = Field(8, ge=0, le=64)
    width: int = Field(64, ge=1)
    norm: Norm = "instance"
    upsample: Upsample = "transposed"
    padding: Padding = "reflect"

    def build(self, inputs: int, outputs: int) -> CartoonGenerator:
        """The network with its weights drawn from torch's global generator."""
        return self.initialised(
            CartoonGenerator(inputs, outputs, self.blocks, self.width, self.norm, self.upsample, self.padding)
        )


class CartoonDiscriminator(nn.Module):
    """k3n32s1, k3n64s2, k3n128s1, k3n128s2, k3n256s1, k3n256s1, k3n1s1: logits for patches of 37×37, for width 32.

    Whether an edge is clear is a local question, so few layers do (section 3.1). Norms follow the third, fifth and
    sixth convolution, LeakyReLU 0.2 all but the last. `forward` raises ValueError for a wrong channel count or a
    picture smaller than `minimum`.
    """

    minimum = 5  # the last norms need more than one pixel

    def __init__(self, inputs: int, width: int = 32, norm: Norm = "instance") -> None:
        super().__init__()
        self.inputs = inputs

        def stage(below: int, above: int, stride: int = 1, normed: bool = True) -> nn.Sequential:
            bias = needs_bias(norm) if normed else True
            conv = nn.Conv2d(below, above, 3, stride, padding=1, bias=bias)
            return nn.Sequential(conv, *([norm2d(norm, above)] if normed else []), nn.LeakyReLU(0.2))

        self.stages = nn.Sequential(
            stage(inputs, width, normed=False),
            stage(width, 2 * width, stride=2, normed=False),
            stage(2 * width, 4 * width),
            stage(4 * width, 4 * width, stride=2, normed=False),
            stage(4 * width, 8 * width),
            stage(8 * width, 8 * width),
            nn.Conv2d(8 * width, 1, 3, padding=1),
        )

    def hidden(self, x: Tensor) -> Tensor:  # n i h w
        check_input("CartoonDiscriminator", x, self.inputs, minimum=self.minimum)
        return self.stages[:-1](x)  # n c p q

    def verdict(self, hidden: Tensor) -> Tensor:  # n c p q
        return self.stages[-1](hidden)  # n 1 p q, logits

    def forward(self, x: Tensor) -> Tensor:  # n i h w
        return self.verdict(self.hidden(x))  # n 1 p q


class CartoonDiscriminatorSpec(InitSpec):
    """The discriminator of CartoonGAN."""

    kind: Literal["cartoon"] = "cartoon"
    width: int = Field(32, ge=1)
    norm: Norm = "instance"

    def build(self, inputs: int) -> CartoonDiscriminator:
        """The network with its weights drawn from torch's global generator."""
        return self.initialised(CartoonDiscriminator(inputs, self.width, self.norm))

"""PatchGAN: a discriminator that judges every patch of a picture by itself (Isola et al. 2017, appendix 6.1.2).

Shapes: n pictures, i input channels, h w picture size, p q patches.
"""

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from i2i.nets.blocks import Norm, check_input, needs_bias, norm2d, spectral_norm
from i2i.nets.init import InitSpec
from i2i.nets.minibatch import compared


def strides(layers: int) -> list[int]:
    """The stride of each 4×4 convolution: `layers` that halve, then one that does not, then the logits."""
    return [2] * layers + [1, 1]


def receptive_field(layers: int) -> int:
    """The side in pixels of the patch one logit sees: 1, 16, 34, 70, 142, 286 for 0 to 5 layers."""
    if layers == 0:
        return 1
    side = 1
    for stride in reversed(strides(layers)):
        side = (side - 1) * stride + 4
    return side


class PatchGAN(nn.Module):
    """Picture (or pictures side by side in the channels) → a map of `logits`, one or more for each overlapping patch.

    layers 3 is the paper's 70×70 discriminator: 2,765,633 parameters for 3 channels with batch norm. layers 0 judges
    single pixels by 1×1 convolutions. No norm on the first layer. `forward` takes any values, usually in [-1, 1], and
    returns logits: no sigmoid. It raises ValueError for a wrong channel count or a picture smaller than `minimum`.
    """

    def __init__(
        self,
        inputs: int,
        layers: int = 3,
        width: int = 64,
        norm: Norm = "instance",
        spectral: bool = False,
        logits: int = 1,
        minibatch: int = 0,
    ) -> None:
        super().__init__()
        self.inputs = inputs
        # The last norm needs more than one pixel, and the two layers that do not halve take one pixel off each.
        self.minimum = 3 * 2**layers if layers else 2
        if layers == 0:
            kernel, steps, channels = 1, [1, 1, 1], [inputs, width, 2 * width, logits]
        else:
            kernel, steps = 4, strides(layers)
            channels = [inputs, *(width * min(2**depth, 8) for depth in range(layers + 1)), logits]

        last = len(steps) - 1
        self.minibatch = compared(channels[-2], minibatch)
        self.stages = nn.Sequential()
        for depth, stride in enumerate(steps):
            normed = 0 < depth < last
            bias = needs_bias(norm) if normed else True
            below = channels[depth] + (minibatch if depth == last else 0)
            conv = nn.Conv2d(below, channels[depth + 1], kernel, stride, padding=kernel // 4, bias=bias)
            stage = [spectral_norm(conv, spectral)]
            if normed:
                stage.append(norm2d(norm, channels[depth + 1], "running"))
            if depth < last:
                stage.append(nn.LeakyReLU(0.2))
            self.stages.append(nn.Sequential(*stage))

    def features(self, x: Tensor) -> list[Tensor]:  # n i h w
        """The output of every stage, for feature matching; the last is the logits."""
        check_input("PatchGAN", x, self.inputs, minimum=self.minimum)
        outputs = []
        for stage in self.stages[:-1]:
            x = stage(x)
            outputs.append(x)
        return [*outputs, self.verdict(x)]

    def hidden(self, x: Tensor) -> Tensor:  # n i h w
        check_input("PatchGAN", x, self.inputs, minimum=self.minimum)
        return self.stages[:-1](x)  # n c p q

    def verdict(self, hidden: Tensor) -> Tensor:  # n c p q
        return self.stages[-1](self.minibatch(hidden))  # n 1 p q, or as many logits as there are verdicts

    def forward(self, x: Tensor) -> Tensor:  # n i h w
        return self.verdict(self.hidden(x))  # n 1 p q


class PatchGANSpec(InitSpec):
    """The discriminator of a translator's recipe. The defaults are CycleGAN's; Pix2Pix has norm batch."""

    kind: Literal["patch"] = "patch"
    layers: int = Field(3, ge=0, le=8)
    width: int = Field(64, ge=1)
    norm: Norm = "instance"
    spectral: bool = False
    minibatch: int = Field(0, ge=0, description="kernels of minibatch discrimination")

    def build(self, inputs: int, logits: int = 1) -> PatchGAN:
        """The network with its weights drawn from torch's global generator."""
        return self.initialised(
            PatchGAN(inputs, self.layers, self.width, self.norm, self.spectral, logits, self.minibatch)
        )

"""A picture as a code and back: f and g of the Domain Transfer Network (Taigman et al. 2016, section 5.1).

f is the trunk of a classifier, g a DCGAN generator that draws from f's code; one after the other they are a translator
of any size: a larger picture has a map of codes, one for each place.

Shapes: n pictures, i input and o output channels, h w picture size, s the size trained at, d code dimensions.
"""

from itertools import pairwise
from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from i2i.nets.blocks import Norm, check_input, downsample2x, needs_bias, norm2d, upsample2x
from i2i.nets.dcgan import SMALLEST, pyramid
from i2i.nets.init import Init, InitSpec


class Encoder(nn.Module):
    """f: 3×3 convolutions of stride 2 with 64, 128, 256 channels at width 64, each with a norm and ReLU, down to 4 × 4
    pixels; then one convolution over all of them to d values, tanh.

    `forward` takes values in [-1, 1]; it raises ValueError unless h and w are multiples of s / 4 and at least s.
    """

    def __init__(self, inputs: int, size: int = 32, code: int = 128, width: int = 64, norm: Norm = "none") -> None:
        super().__init__()
        self.inputs, self.multiple, self.minimum = inputs, size // SMALLEST, size
        maps = [inputs, *pyramid(size, width)]
        self.stages = nn.Sequential()
        for above, below in pairwise(maps):
            halved = downsample2x("strided", above, below, norm2d(norm, below, "running"), needs_bias(norm))
            self.stages.append(nn.Sequential(*halved))
        self.code = nn.Sequential(nn.Conv2d(maps[-1], code, SMALLEST), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:  # n i h w
        check_input("Encoder", x, self.inputs, self.multiple, self.minimum)
        return self.code(self.stages(x))  # n d 1 1 for a picture of s × s


class Decoder(nn.Module):
    """g: a code becomes 4 × 4 pixels, which are doubled up to s × s; a norm and ReLU after all but the last, tanh.

    The values a norm subtracts at 4 × 4 pixels would be most of the code, so it is one over a batch or over groups.
    """

    def __init__(self, outputs: int, size: int = 32, code: int = 128, width: int = 64, norm: Norm = "batch") -> None:
        super().__init__()
        self.outputs = outputs
        bias = needs_bias(norm)
        maps = pyramid(size, width)[::-1]
        first = nn.ConvTranspose2d(code, maps[0], SMALLEST, bias=bias)
        self.stages = nn.Sequential(nn.Sequential(first, norm2d(norm, maps[0], "running"), nn.ReLU()))
        for below, above in pairwise(maps):
            up = upsample2x("transposed", below, above, bias=bias)
            self.stages.append(nn.Sequential(up, norm2d(norm, above, "running"), nn.ReLU()))
        self.stages.append(nn.Sequential(upsample2x("transposed", maps[-1], outputs, bias=True), nn.Tanh()))

    def forward(self, code: Tensor) -> Tensor:  # n d p q
        return self.stages(code)  # n o s s for a single code, in [-1, 1]


class Coder(nn.Module):
    """G = g ∘ f, a translator."""

    def __init__(self, encoder: Encoder, decoder: Decoder) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.inputs, self.outputs = encoder.inputs, decoder.outputs
        self.multiple, self.minimum = encoder.multiple, encoder.minimum

    def forward(self, x: Tensor) -> Tensor:  # n i h w, in [-1, 1]
        return self.decoder(self.encoder(x))  # n o h w, in [-1, 1]


class EncoderSpec(InitSpec):
    """f of a recipe. Of the norms, batch is frozen with running averages that are each process's own; instance and
    group amplify rounding at the few pixels that f ends with, so that an export may be refused."""

    kind: Literal["encoder"] = "encoder"
    code: int = Field(128, ge=1)
    width: int = Field(64, ge=1)
    norm: Norm = "none"
    init: Init = "kaiming"

    def build(self, inputs: int, size: int) -> Encoder:
        """The network with its weights drawn from torch's global generator."""
        return self.initialised(Encoder(inputs, size, self.code, self.width, self.norm))


class DecoderSpec(InitSpec):
    """g of a recipe."""

    kind: Literal["decoder"] = "decoder"
    width: int = Field(64, ge=1)
    norm: Literal["batch", "group", "none"] = "batch"

    def build(self, outputs: int, size: int, code: int) -> Decoder:
        """The network with its weights drawn from torch's global generator."""
        return self.initialised(Decoder(outputs, size, code, self.width, self.norm))

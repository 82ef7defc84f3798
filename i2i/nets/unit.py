"""The coders of UNIT: an encoder and a decoder for each of two sides, with the layers at the code in common.

Liu et al. 2017 (arXiv 1703.00848), section 3 and the appendix. The deepest layers know what is in a picture, so it is
those that both sides share: the last residual blocks of the encoders and the first ones of the decoders. They are the
same module, and what one side teaches them the other side has learnt.
Shapes: n pictures, i input and o output channels, h w picture size, c channels of the code = 4 × width.
"""

from typing import Literal, NamedTuple, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from i2i.errors import UserError
from i2i.nets.blocks import PADDING_MODES, Norm, Padding, Upsample, check_input, needs_bias, norm2d, upsample2x
from i2i.nets.init import InitSpec
from i2i.nets.resnet import ResidualBlock

SLOPE = 0.2  # of the leaky activations in front of and behind the residual blocks
MULTIPLE, MINIMUM = 4, 8  # two halvings, and reflection by one pixel needs two of them in the code


class Encoder(nn.Module):
    """Picture → the mean of its code: a 7×7 and two halving convolutions, own residual blocks, then the shared ones."""

    def __init__(
        self, inputs: int, width: int, blocks: int, norm: Norm, padding: Padding, shared: nn.Sequential
    ) -> None:
        super().__init__()
        self.inputs = inputs
        mode, bias = PADDING_MODES[padding], needs_bias(norm)

        def conv(inputs: int, outputs: int, kernel: int, stride: int) -> list[nn.Module]:
            layer = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, padding_mode=mode, bias=bias)
            return [layer, norm2d(norm, outputs), nn.LeakyReLU(SLOPE)]

        self.own = nn.Sequential(
            *conv(inputs, width, 7, 1),
            *conv(width, 2 * width, 3, 2),
            *conv(2 * width, 4 * width, 3, 2),
            *residual(4 * width, blocks, norm, padding),
        )
        self.shared = shared

    def forward(self, x: Tensor) -> Tensor:  # n i h w, in [-1, 1]
        check_input("UNIT", x, self.inputs, MULTIPLE, MINIMUM)
        mean: Tensor = self.shared(self.own(x))
        return mean  # n c h/4 w/4


class Decoder(nn.Module):
    """Code → picture: the shared residual blocks, then own ones, two doublings and a 1×1 convolution."""

    def __init__(
        self,
        outputs: int,
        width: int,
        blocks: int,
        norm: Norm,
        padding: Padding,
        upsample: Upsample,
        shared: nn.Sequential,
    ) -> None:
        super().__init__()
        self.outputs = outputs
        bias = needs_bias(norm)

        def double(inputs: int, outputs: int) -> list[nn.Module]:
            layer = upsample2x(upsample, inputs, outputs, kernel=3, bias=bias)
            return [layer, norm2d(norm, outputs), nn.LeakyReLU(SLOPE)]

        self.shared = shared
        self.own = nn.Sequential(
            *residual(4 * width, blocks, norm, padding),
            *double(4 * width, 2 * width),
            *double(2 * width, width),
            nn.Conv2d(width, outputs, 1),
            nn.Tanh(),
        )

    def forward(self, code: Tensor) -> Tensor:  # n c h/4 w/4
        picture: Tensor = self.own(self.shared(code))
        return picture  # n o h w, in [-1, 1]


class Through(nn.Module):
    """One direction as a generator: the encoder of one side and the decoder of another, without noise between them."""

    multiple, minimum = MULTIPLE, MINIMUM

    def __init__(self, encode: Encoder, decode: Decoder) -> None:
        super().__init__()
        self.inputs, self.outputs = encode.inputs, decode.outputs
        self.encode, self.decode = encode, decode

    def forward(self, x: Tensor) -> Tensor:  # n i h w, in [-1, 1]
        picture: Tensor = self.decode(self.encode(x))
        return picture  # n o h w, in [-1, 1]


class Coders(NamedTuple):
    encode_a: Encoder
    encode_b: Encoder
    decode_a: Decoder
    decode_b: Decoder


class UNITSpec(InitSpec):
    """The coders of a recipe. The defaults are the paper's: three blocks of their own and one shared, on either way."""

    kind: Literal["unit"] = "unit"
    blocks: int = Field(4, ge=0, le=64, description="residual blocks in an encoder, and again in a decoder")
    shared: int = Field(1, ge=0, description="of them, those that both sides have in common, next to the code")
    width: int = Field(64, ge=1)
    alike: bool = Field(False, description="b's own layers start as copies of a's; they are free from then on")
    norm: Norm = "instance"
    padding: Padding = "reflect"
    upsample: Upsample = "transposed"

    @model_validator(mode="after")
    def _shared_are_among_them(self) -> Self:
        if self.shared > self.blocks:
            raise ValueError(f"shared: {self.shared} of {self.blocks} blocks; there must be at least as many blocks")
        return self

    def build(self, a: int, b: int) -> Coders:
        """For sides of a and b channels, with weights drawn from torch's global generator.

        Raises UserError where two sides of unlike channels shall start alike.
        """
        if self.alike and a != b:
            raise UserError(
                f"generator.alike: layers of both sides can only start alike with equal channels; got {a} and {b}"
            )
        own, deepest = self.blocks - self.shared, 4 * self.width
        inward, outward = (
            nn.Sequential(*residual(deepest, self.shared, self.norm, self.padding)) for _ in ("encoders", "decoders")
        )

        def encoder(inputs: int) -> Encoder:
            return Encoder(inputs, self.width, own, self.norm, self.padding, inward)

        def decoder(outputs: int) -> Decoder:
            return Decoder(outputs, self.width, own, self.norm, self.padding, self.upsample, outward)

        coders = Coders(encoder(a), encoder(b), decoder(a), decoder(b))
        self.initialised(nn.ModuleList(coders))
        if self.alike:
            coders.encode_b.own.load_state_dict(coders.encode_a.own.state_dict())
            coders.decode_b.own.load_state_dict(coders.decode_a.own.state_dict())
        return coders


def residual(channels: int, blocks: int, norm: Norm, padding: Padding) -> list[nn.Module]:
    return [ResidualBlock(channels, norm, padding, 0.0, "picture") for _ in range(blocks)]

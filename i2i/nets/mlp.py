"""Fully connected networks: the players of the first GAN (Goodfellow et al. 2014) and of games between points.

Shapes: n samples, f features, c channels, s picture size (square), z noise dimensions, k classes.
"""

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from i2i.nets.blocks import append_label, check_shape
from i2i.nets.init import Init, InitSpec
from i2i.nets.minibatch import compared

Activation = Literal["leaky-relu", "relu", "tanh"]


def activation_layer(kind: Activation) -> nn.Module:
    return {"leaky-relu": nn.LeakyReLU(0.2), "relu": nn.ReLU(), "tanh": nn.Tanh()}[kind]


class MLP(nn.Module):
    """`depth` hidden layers of `width` units each, then a linear layer: n inputs → n outputs, any values."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: int = 128,
        depth: int = 3,
        activation: Activation = "leaky-relu",
        minibatch: int = 0,
    ) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        layers: list[nn.Module] = []
        for hidden in range(depth):
            layers += [nn.Linear(width if hidden else inputs, width), activation_layer(activation)]
        last = width if depth else inputs
        self.minibatch = compared(last, minibatch)
        self.layers = nn.Sequential(*layers, nn.Linear(last + minibatch, outputs))

    def hidden(self, x: Tensor) -> Tensor:  # n f
        return self.layers[:-1](x)  # n width

    def verdict(self, hidden: Tensor) -> Tensor:  # n width
        return self.layers[-1](self.minibatch(hidden))  # n outputs

    def forward(self, x: Tensor) -> Tensor:  # n f
        return self.verdict(self.hidden(x))  # n outputs


class MLPGenerator(nn.Module):
    """Noise (and a label) → picture in [-1, 1]."""

    def __init__(
        self,
        noise: int,
        channels: int,
        size: int,
        width: int = 128,
        depth: int = 3,
        activation: Activation = "leaky-relu",
        classes: int = 0,
    ) -> None:
        super().__init__()
        self.noise, self.channels, self.size, self.classes = noise, channels, size, classes
        self.mlp = MLP(noise + classes, channels * size * size, width, depth, activation)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:  # n z, n
        check_shape("MLPGenerator", z, self.noise)
        pixels = self.mlp(append_label(z, y, self.classes))  # n (c s s)
        return pixels.unflatten(1, (self.channels, self.size, self.size)).tanh()  # n c s s, in [-1, 1]


class MLPDiscriminator(nn.Module):
    """Picture (and its label) → one logit."""

    def __init__(
        self,
        channels: int,
        size: int,
        width: int = 128,
        depth: int = 3,
        activation: Activation = "leaky-relu",
        classes: int = 0,
        minibatch: int = 0,
    ) -> None:
        super().__init__()
        self.channels, self.size, self.classes = channels, size, classes
        self.mlp = MLP(channels * size * size + classes, 1, width, depth, activation, minibatch)

    def hidden(self, x: Tensor, y: Tensor | None = None) -> Tensor:  # n c s s, n
        check_shape("MLPDiscriminator", x, self.channels, self.size, self.size)
        return self.mlp.hidden(append_label(x.flatten(1), y, self.classes))  # n width

    def verdict(self, hidden: Tensor, y: Tensor | None = None) -> Tensor:  # n width, n
        return self.mlp.verdict(hidden).flatten()  # n, logits; y has been seen at the input

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:  # n c s s, n
        return self.verdict(self.hidden(x, y))  # n, logits


class MLPSpec(InitSpec):
    """What the two specs below share. Kaiming by default: N(0, .02²) starves narrow linear layers of signal."""

    init: Init = "kaiming"
    width: int = Field(128, ge=1)
    depth: int = Field(3, ge=0, le=64)
    activation: Activation = "leaky-relu"


class MLPGeneratorSpec(MLPSpec):
    """The generator of a recipe for the first GAN."""

    kind: Literal["mlp"] = "mlp"
    noise: int = Field(100, ge=1)

    def build(self, channels: int, size: int, classes: int = 0) -> MLPGenerator:
        """The network with its weights drawn from torch's global generator."""
        net = MLPGenerator(self.noise, channels, size, self.width, self.depth, self.activation, classes)
        return self.initialised(net)


class MLPDiscriminatorSpec(MLPSpec):
    """The discriminator of such a recipe."""

    kind: Literal["mlp"] = "mlp"
    minibatch: int = Field(0, ge=0, description="kernels of minibatch discrimination")

    def build(self, channels: int, size: int, classes: int = 0) -> MLPDiscriminator:
        """The network with its weights drawn from torch's global generator."""
        return self.initialised(
            MLPDiscriminator(channels, size, self.width, self.depth, self.activation, classes, self.minibatch)
        )

"""The discriminators of semi-supervised GANs: as many logits as there are classes, and no norm (Salimans et al. 2016).

Noise on what each layer sees is what keeps a network of few labels from learning them by heart.
Shapes: n pictures, c channels, s picture size (square), k classes, f features.
"""

from itertools import pairwise
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from i2i.nets.blocks import check_shape
from i2i.nets.dcgan import pyramid
from i2i.nets.init import Init, InitSpec

SHRINKING = (4, 2, 1, 1, 1)  # 1000 500 250 250 250 units at width 250


class Noise(nn.Module):
    """Adds N(0, std²) in training; nothing at rest."""

    def __init__(self, std: float) -> None:
        super().__init__()
        self.std = std

    def forward(self, x: Tensor) -> Tensor:
        return x + self.std * torch.randn_like(x) if self.training and self.std else x


class Classifier(nn.Module):
    """Picture → k logits of its class, whose logsumexp is the logit that it is real. `hidden` are the features before
    the last layer, n f, which a generator can match."""

    def __init__(self, layers: nn.Module, features: int, channels: int, size: int, classes: int) -> None:
        super().__init__()
        self.channels, self.size, self.classes = channels, size, classes
        self.layers, self.head = layers, nn.Linear(features, classes)

    def hidden(self, x: Tensor) -> Tensor:  # n c s s
        check_shape("Classifier", x, self.channels, self.size, self.size)
        return self.layers(x)  # n f

    def verdict(self, h: Tensor) -> Tensor:  # n f
        return self.head(h)  # n k

    def forward(self, x: Tensor) -> Tensor:  # n c s s
        return self.verdict(self.hidden(x))  # n k


class MLPClassifierSpec(InitSpec):
    """Five hidden layers as the paper has them for MNIST, with noise in front of each."""

    kind: Literal["mlp"] = "mlp"
    width: int = Field(250, ge=1, description="of the last three; the first are 4 and 2 times as wide")
    noise: float = Field(0.3, ge=0, description="standard deviation on the pictures")
    noise_hidden: float = Field(0.5, ge=0, description="and on each hidden layer")
    init: Init = "kaiming"

    def build(self, channels: int, size: int, classes: int) -> Classifier:
        """The network with its weights drawn from torch's global generator."""
        widths = [channels * size * size, *(times * self.width for times in SHRINKING)]
        layers: list[nn.Module] = [nn.Flatten(), Noise(self.noise)]
        for above, below in pairwise(widths):
            layers += [nn.Linear(above, below), nn.ReLU(), Noise(self.noise_hidden)]
        return self.initialised(Classifier(nn.Sequential(*layers), widths[-1], channels, size, classes))


class ConvClassifierSpec(InitSpec):
    """For pictures: pairs of 3×3 convolutions, the second of stride 2, down to 4 × 4 pixels, dropout after each pair,
    and two more, whose mean over the places is f: the paper's kind for CIFAR-10, without its weight norm."""

    kind: Literal["conv"] = "conv"
    width: int = Field(64, ge=1, description="channels of the first; they double with each halving, up to 8 times")
    noise: float = Field(0.2, ge=0, description="standard deviation on the pictures")
    dropout: float = Field(0.5, ge=0, lt=1)
    init: Init = "kaiming"

    def build(self, channels: int, size: int, classes: int) -> Classifier:
        """The network with its weights drawn from torch's global generator. UserError unless size is a power of two, 8
        or more."""
        maps = [channels, *pyramid(size, self.width)]
        layers: list[nn.Module] = [Noise(self.noise)]
        for above, below in pairwise(maps):
            layers += [nn.Conv2d(above, below, 3, padding=1), nn.LeakyReLU(0.2)]
            layers += [nn.Conv2d(below, below, 3, stride=2, padding=1), nn.LeakyReLU(0.2), nn.Dropout(self.dropout)]
        last = maps[-1]
        layers += [nn.Conv2d(last, last, 3, padding=1), nn.LeakyReLU(0.2), nn.Conv2d(last, last, 1), nn.LeakyReLU(0.2)]
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        return self.initialised(Classifier(nn.Sequential(*layers), last, channels, size, classes))


ClassifierSpec = Annotated[MLPClassifierSpec | ConvClassifierSpec, Field(discriminator="kind")]

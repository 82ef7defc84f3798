"""Pix2Pix: paired translation (Isola et al. 2017, arXiv 1611.07004).

    G* = arg min_G max_D  L_cGAN(G, D) + λ L1(G)        (equation 4)

D judges the pair (input, output), so an answer must be right for its question and not merely pretty.
Shapes: n batch, h w height and width, a b channels of the two sides, a with those of its conditions; values are in
[-1, 1].

The paper's own setting is `norm: batch, dropout: 0.5, dropout_at_test: true` with transposed convolutions; ours is
InstanceNorm without dropout, which gives the same answer in training, test and export. Released code prints half of
D's loss but descends the whole; here the half is in the gradient, as the paper writes it.
"""

from collections.abc import Iterator
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from i2i.data import PairedData
from i2i.data.looks import paired_rows
from i2i.engine.adversarial_loss import AdversarialLoss, AdversarialSettings
from i2i.engine.game import Game, Player
from i2i.engine.settings import Optimiser
from i2i.losses.reconstruction import l1
from i2i.metrics.perceptual import perceptual_loss
from i2i.nets import Discriminator, Generator, PatchGANSpec, UNetSpec
from i2i.spec import Spec


class Weights(Spec):
    adversarial: float = Field(1.0, ge=0, description="0 leaves L1 regression, without a discriminator")
    l1: float = Field(100.0, ge=0)
    perceptual: float = Field(0.0, ge=0, description="distance in EfficientNet-Lite0's features, of grey or colour")


class Players(Spec):
    generator: Optimiser = Optimiser()
    discriminator: Optimiser = Optimiser()


class Recipe(AdversarialSettings):
    model: Literal["pix2pix"]
    data: PairedData
    generator: Generator = UNetSpec()
    discriminator: Discriminator = PatchGANSpec()
    weights: Weights = Weights()
    players: Players = Players()

    @model_validator(mode="after")
    def _can_be_seen(self) -> Self:
        if self.weights.perceptual and self.data.crop < 32:
            raise ValueError(f"weights.perceptual sees nothing smaller than 32 pixels, got data.crop {self.data.crop}")
        if self.weights.perceptual and self.data.channels.b not in (1, 3):
            raise ValueError(
                "weights.perceptual needs grey or colour pictures on side b (channels 1 or 3), got "
                f"{self.data.channels.b}"
            )
        return self


class Pix2Pix(nn.Module):
    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.weights = recipe.weights
        self.loss = AdversarialLoss(recipe)
        self.data = recipe.data
        a, b = recipe.data.inputs, recipe.data.outputs
        self.generator = recipe.generator.build(a, b)
        self.judge = recipe.discriminator.build(a + b)

    def players(self, recipe: Recipe) -> dict[str, Player]:
        return {
            "generator": recipe.players.generator.player(self.generator.parameters()),
            "discriminator": recipe.players.discriminator.player(self.judge.parameters()),
        }

    def product(self) -> dict[str, nn.Module]:
        """What remains after training; the direction is the data's (`direction: b2a` swaps the sides there)."""
        return {"a2b": self.generator}

    def adversarial(self, batches: Iterator[Any], game: Game) -> None:
        a, b = next(batches)  # n a h w, n b h w
        fake = self.generator(a)  # n b h w, one pass serves both turns
        w = self.weights
        draws = self.loss.draws(a)  # true and made answers are augmented alike
        if w.adversarial:
            with game.turn("discriminator") as turn:
                turn.minimise(**self.loss.discriminator(self.judge, b, fake, question=a, draws=draws, scale=1 / 2))
        with game.turn("generator") as turn:
            losses = {"l1": w.l1 * l1(fake, b)}
            if w.perceptual:
                losses["perceptual"] = w.perceptual * perceptual_loss(fake, b)
            if w.adversarial:
                contest = self.loss.generator(self.judge, fake, b, question=a, draws=draws)
                losses |= {name: w.adversarial * loss for name, loss in contest.items()}
            turn.minimise(**losses)

    def show(self, pictures: tuple[Tensor, Tensor], product: dict[str, nn.Module]) -> dict[str, Tensor]:
        """The rows of the sample grid, by title: n 3 h w each."""
        a, b = pictures
        return paired_rows(self.data, a, product["a2b"](a), b)

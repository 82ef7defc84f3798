"""pix2pixHD: paired translation of large pictures, coarse to fine (Wang et al. 2018, arXiv 1711.11585).

    min_G ( ( max_{D_1, D_2, D_3} Σ_k L_GAN(G, D_k) ) + λ Σ_k L_FM(G, D_k) )        (equation 5)
    L_FM(G, D_k) = E Σ_i ‖D_k^(i)(a, b) - D_k^(i)(a, G(a))‖₁ / N_i                  (equation 4)

D_1, D_2 and D_3 are one design at three sizes of the picture, each with a least-squares loss. There is no L1: features
of the D's, on all layers but the logits, say where an answer differs from the truth. G is G1, which works at half the
size, and G2, which enhances it; they are trained one after the other and then together, each a phase of the schedule:

    coarse   G1 and the D's, on pictures of half the size
    fine     G2 and the D's, G1 fixed
    joint    all of them

Shapes: n batch, h w height and width, a b channels of the two sides, a with those of its conditions; values are in
[-1, 1]. Segmentation maps (`channels: {a: {labels: 35}}`) come one class a channel; the boundaries of instances, if
there are any, are a condition of one channel.

The authors' code divides the second term by the number of D's, has two of them unless told otherwise, halves pictures
by overlapping windows of 3×3 where ours are 2×2, and takes VGG19 for the perceptual loss that section 4 tries as an
addition; ours is EfficientNet-Lite0's, off unless its weight is set. The encoder of section 3.4, for several answers to
one question, is not here.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from i2i.data import PairedData
from i2i.data.looks import paired_rows
from i2i.engine.adversarial_loss import AdversarialLoss, AdversarialSettings
from i2i.engine.game import Game, Player
from i2i.engine.settings import Optimiser
from i2i.losses import adversarial, feature_matching
from i2i.metrics.perceptual import perceptual_loss
from i2i.nets import CoarseToFineSpec, MultiScaleSpec
from i2i.spec import Spec


class Weights(Spec):
    features: float = Field(10.0, ge=0, description="feature matching, λ of equation 5")
    perceptual: float = Field(0.0, ge=0, description="distance in EfficientNet-Lite0's features, of grey or colour")


class Players(Spec):
    generator: Optimiser = Optimiser()
    discriminator: Optimiser = Optimiser()


class Recipe(AdversarialSettings):
    model: Literal["pix2pixhd"]
    data: PairedData
    generator: CoarseToFineSpec = CoarseToFineSpec()
    discriminator: MultiScaleSpec = MultiScaleSpec()
    loss: adversarial.Name = "least-squares"
    weights: Weights = Weights()
    players: Players = Players()

    @model_validator(mode="after")
    def _can_be_seen(self) -> Self:
        if self.weights.perceptual and self.data.channels.b not in (1, 3):
            raise ValueError(
                "weights.perceptual needs grey or colour pictures on side b (channels 1 or 3), got "
                f"{self.data.channels.b}"
            )
        return self

    @model_validator(mode="after")
    def _matches_features_once(self) -> Self:
        if self.feature_matching:
            raise ValueError(
                "pix2pixHD matches the features of each pair, weights.features; leave feature_matching, which matches "
                "their mean over a batch, at 0"
            )
        return self

    @model_validator(mode="after")
    def _fits_the_networks(self) -> Self:
        with torch.device("meta"):  # only to know the sizes: nothing is allocated, no random numbers are drawn
            generator, judge = self.generator.build(1, 1), self.discriminator.build(1)
        crop, least = self.data.crop, generator.minimum
        if crop % generator.multiple or crop < least:
            raise ValueError(
                f"generator.levels: {self.generator.levels} needs a data.crop that is a multiple of "
                f"{generator.multiple}, at least {least}; got {crop}"
            )
        smallest = crop // 2 if any(phase.phase == "coarse" for phase in self.schedule) else crop
        if smallest < judge.minimum:
            raise ValueError(
                f"discriminator.scales: {self.discriminator.scales} of layers: {self.discriminator.layers} need "
                f"pictures of {judge.minimum} px at least, and the smallest that they see (half of data.crop in phase "
                f"coarse) have {smallest}. Take fewer layers or scales"
            )
        return self


class Pix2PixHD(nn.Module):
    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.weights = recipe.weights
        self.loss = AdversarialLoss(recipe)
        self.data = recipe.data
        a, b = recipe.data.inputs, recipe.data.outputs
        self.generator = recipe.generator.build(a, b)
        self.judge = recipe.discriminator.build(a + b)

    def players(self, recipe: Recipe) -> dict[str, Player]:
        g = recipe.players.generator  # of three players: each phase begins with a new optimiser
        return {
            "coarse": g.player(self.generator.global_parameters()),
            "fine": g.player(self.generator.local_parameters()),
            "joint": g.player([*self.generator.global_parameters(), *self.generator.local_parameters()]),
            "discriminator": recipe.players.discriminator.player(self.judge.parameters()),
        }

    def product(self) -> dict[str, nn.Module]:
        """What remains after training; the direction is the data's (`direction: b2a` swaps the sides there)."""
        return {"a2b": self.generator}

    def coarse(self, batches: Iterator[Any], game: Game) -> None:
        a, b = (F.avg_pool2d(side, 2) for side in next(batches))  # n a h/2 w/2, n b h/2 w/2
        self.compete("coarse", a, b, self.generator.coarse, game)

    def fine(self, batches: Iterator[Any], game: Game) -> None:
        a, b = next(batches)  # n a h w, n b h w
        self.generator.enhanced.fill_(1)
        self.compete("fine", a, b, self.generator, game)

    def joint(self, batches: Iterator[Any], game: Game) -> None:
        a, b = next(batches)  # n a h w, n b h w
        self.generator.enhanced.fill_(1)
        self.compete("joint", a, b, self.generator, game)

    def compete(self, player: str, a: Tensor, b: Tensor, paint: Callable[[Tensor], Tensor], game: Game) -> None:
        """A step of equation 5 for some part of G. `paint` is called where the other part is frozen, and so keeps
        none of its activations."""
        w, draws = self.weights, self.loss.draws(a)  # true and made answers are augmented alike
        with game.turn(player) as turn:
            fake = paint(a)
            seen = self.judge.features(self.loss.seen(fake, a, draws))
            losses = {"adversarial": self.loss.rule.fool(logits(seen))}
            if w.features:
                with torch.no_grad():
                    wanted = self.judge.features(self.loss.seen(b, a, draws))
                losses["features"] = w.features * matching(seen, wanted)
            if w.perceptual:
                losses["perceptual"] = w.perceptual * perceptual_loss(fake, b)
            turn.minimise(**losses)
        with game.turn("discriminator") as turn:
            turn.minimise(**self.loss.discriminator(self.judge, b, fake, question=a, draws=draws, scale=1 / 2))

    def show(self, pictures: tuple[Tensor, Tensor], product: dict[str, nn.Module]) -> dict[str, Tensor]:
        """The rows of the sample grid, by title: n 3 h w each."""
        a, b = pictures
        return paired_rows(self.data, a, product["a2b"](a), b)


Features = Sequence[Sequence[Tensor]]  # of each D_k, by layer; the last are its logits


def logits(seen: Features) -> list[Tensor]:
    return [layers[-1] for layers in seen]


def matching(seen: Features, wanted: Features) -> Tensor:
    """Σ_k L_FM(G, D_k): the sum over all layers of all scales."""
    fake, real = ([layer for layers in each for layer in layers[:-1]] for each in (seen, wanted))
    return len(fake) * feature_matching(fake, real)

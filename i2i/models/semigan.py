"""The semi-supervised GAN (Salimans et al. 2016, arXiv 1606.03498, section 5): a classifier learns from few labels and
many pictures, by also telling the real ones from those of a generator.

    L_D = -E log p(y | x, y < K + 1) - w (E log D(x) + E log(1 - D(G(z))))           D(x) = Z(x) / (Z(x) + 1)
    L_G = ‖E f(x) - E f(G(z))‖²                                                  (section 3.1: feature matching)

Z is the sum of the exponentials of D's K logits, f its last hidden layer. G is not asked to deceive D: matching
features makes worse pictures and the better classifier. Minibatch discrimination does the opposite, and the two should
not be combined for classification, the authors found: so this D has none.

From the authors' code it differs by w, 1 as in the paper's equations and ½ there; the square in L_G, where the code has
an absolute difference for CIFAR-10; no weight normalisation in D, and no batch of its own for G's turn. As there, L_G
is a mean over features: G has no other term, so Adam cannot tell it from the sum. What the authors test is an
exponential average of D's weights: `ema`.
Shapes: n pictures, half of them with a label y, c channels, s size, f features, k classes.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from i2i.data import PartlyLabelledData
from i2i.engine.game import Game, Player
from i2i.engine.settings import Optimiser, Settings
from i2i.losses import semisupervised
from i2i.losses.reconstruction import mean_matching
from i2i.nets import ClassifierSpec, DCGANGeneratorSpec, MLPClassifierSpec, MLPGeneratorSpec
from i2i.spec import Spec

GeneratorSpec = Annotated[DCGANGeneratorSpec | MLPGeneratorSpec, Field(discriminator="kind")]


class Weights(Spec):
    unlabelled: float = Field(1.0, gt=0, description="w: real and made pictures are told apart")


class Players(Spec):
    generator: Optimiser = Optimiser(lr=3e-4)
    discriminator: Optimiser = Optimiser(lr=3e-4)


class Recipe(Settings):
    model: Literal["semigan"]
    data: PartlyLabelledData
    classes: int = Field(ge=2, description="class folders")
    generator: GeneratorSpec = DCGANGeneratorSpec()
    discriminator: ClassifierSpec = MLPClassifierSpec()
    weights: Weights = Weights()
    players: Players = Players()


class SemiGAN(nn.Module):
    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe, self.weights = recipe, recipe.weights
        channels, size = recipe.data.channels, recipe.data.crop
        self.generator = recipe.generator.build(channels, size)
        self.judge = recipe.discriminator.build(channels, size, recipe.classes)

    def players(self, recipe: Recipe) -> dict[str, Player]:
        return {
            "generator": recipe.players.generator.player(self.generator.parameters()),
            "discriminator": recipe.players.discriminator.player(self.judge.parameters()),
        }

    def product(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "classifier": self.judge}

    @staticmethod
    def latent(recipe: Recipe, n: int) -> tuple[Tensor, ...]:
        """The generator's arguments for n samples, from torch's global random numbers."""
        return (torch.randn(n, recipe.generator.noise),)

    def adversarial(self, batches: Iterator[Any], game: Game) -> None:
        x, y = next(batches)  # n c s s, and n: -1 where the class is not known
        d, known = self.judge, y >= 0
        u = x if known.all() else x[~known]  # all, where a share of the batch is a single picture
        with game.turn("discriminator") as turn:
            turn.minimise(
                classes=semisupervised.classes(d(x[known]), y[known], over=len(x) / 2),
                real=self.weights.unlabelled * semisupervised.real(d(u)),
                fake=self.weights.unlabelled * semisupervised.fake(d(self.draw(u))),
            )
        with game.turn("generator") as turn:
            turn.minimise(matching=mean_matching(d.hidden(self.draw(u)), d.hidden(u)))

    def draw(self, like: Tensor) -> Tensor:
        """As many fakes as there are pictures in `like`, on its device."""
        fakes: Tensor = self.generator(*(t.to(like.device) for t in self.latent(self.recipe, len(like))))
        return fakes

    def show(self, batch: tuple[Tensor, Tensor], product: dict[str, nn.Module]) -> dict[str, Tensor]:
        """The rows of the sample grid, by title."""
        real, _ = batch
        z = (t.to(real.device) for t in self.latent(self.recipe, len(real)))
        return {"real": real, "generated": product["generator"](*z)}

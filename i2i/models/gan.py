"""The GAN (Goodfellow et al. 2014, arXiv 1406.2661): Algorithm 1 on points or small pictures, with MLPs.

    min_G max_D  E_x log D(x) + E_z log(1 - D(G(z)))        (equation 1)

For a fixed G the best D is p_data / (p_data + p_g); the game ends where D = 1/2 everywhere. The default generator loss
is the non-saturating one of section 3, which has the same fixed point and a gradient when G is still bad.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from i2i.data import MixtureData, UnlabelledData
from i2i.engine.adversarial_loss import AdversarialLoss, AdversarialSettings
from i2i.engine.game import Game, Player
from i2i.engine.settings import Optimiser
from i2i.nets import MLP, MLPDiscriminator, MLPDiscriminatorSpec, MLPGeneratorSpec
from i2i.spec import Spec


class Players(Spec):
    generator: Optimiser = Optimiser()
    discriminator: Optimiser = Optimiser()


class Recipe(AdversarialSettings):
    model: Literal["gan"]
    data: Annotated[MixtureData | UnlabelledData, Field(discriminator="layout")]
    generator: MLPGeneratorSpec = MLPGeneratorSpec()
    discriminator: MLPDiscriminatorSpec = MLPDiscriminatorSpec()
    k: int = Field(1, ge=1, description="discriminator steps per generator step")
    simultaneous: bool = Field(False, description="both gradients at one point, as the authors' own code does")
    players: Players = Players()

    @model_validator(mode="after")
    def _one_point_one_move(self) -> Self:
        if self.simultaneous and self.k != 1:
            raise ValueError(f"simultaneous play takes one step each, so k must be 1, got {self.k}")
        return self

    @model_validator(mode="after")
    def _points_are_not_augmented(self) -> Self:
        if self.diffaugment and isinstance(self.data, MixtureData):
            raise ValueError("diffaugment is for pictures, and data.layout: mixture draws points; leave it out")
        return self


class GAN(nn.Module):
    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.loss = AdversarialLoss(recipe)
        g, d, data = recipe.generator, recipe.discriminator, recipe.data
        if isinstance(data, MixtureData):  # points in the plane
            self.generator: nn.Module = g.initialised(MLP(g.noise, 2, g.width, g.depth, g.activation))
            self.judge: MLP | MLPDiscriminator = d.initialised(MLP(2, 1, d.width, d.depth, d.activation, d.minibatch))
        else:
            self.generator, self.judge = g.build(data.channels, data.crop), d.build(data.channels, data.crop)

    def players(self, recipe: Recipe) -> dict[str, Player]:
        return {
            "generator": recipe.players.generator.player(self.generator.parameters()),
            "discriminator": recipe.players.discriminator.player(self.judge.parameters()),
        }

    def product(self) -> dict[str, nn.Module]:
        return {"generator": self.generator}

    @staticmethod
    def latent(recipe: Recipe, n: int) -> tuple[Tensor, ...]:
        """The generator's arguments for n samples, from torch's global random numbers."""
        return (torch.randn(n, recipe.generator.noise),)

    def adversarial(self, batches: Iterator[Any], game: Game) -> None:
        moves: AbstractContextManager[None] = game.simultaneously() if self.recipe.simultaneous else nullcontext()
        with moves:
            for _ in range(self.recipe.k):
                x = next(batches)
                with game.turn("discriminator") as turn:
                    turn.minimise(**self.loss.discriminator(self.judge, x, self.draw(x)))
            with game.turn("generator") as turn:
                turn.minimise(**self.loss.generator(self.judge, self.draw(x), x))  # fresh noise

    def draw(self, like: Tensor) -> Tensor:
        """As many fakes as there are samples in `like`, on its device."""
        fakes: Tensor = self.generator(*(t.to(like.device) for t in self.latent(self.recipe, len(like))))
        return fakes

    def show(self, real: Tensor, product: dict[str, nn.Module]) -> dict[str, Tensor]:
        """The rows of the sample grid, by title."""
        z = (t.to(real.device) for t in self.latent(self.recipe, len(real)))
        return {"real": real, "generated": product["generator"](*z)}

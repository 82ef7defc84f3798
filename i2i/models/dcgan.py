"""DCGAN (Radford et al. 2015, arXiv 1511.06434), with the labels of Mirza & Osindero 2014 (arXiv 1411.1784) on demand.

Both play the game of `gan.py` with convolutions: strides instead of pooling, batch norm except at G's output and D's
input, Adam at 2e-4 with β₁ 0.5. Real and fake batches pass D separately: batch norm must not see them mixed.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from i2i.data import LabelledData, UnlabelledData
from i2i.engine.adversarial_loss import AdversarialLoss, AdversarialSettings
from i2i.engine.game import Game, Player
from i2i.engine.settings import Optimiser
from i2i.nets import DCGANDiscriminatorSpec, DCGANGeneratorSpec
from i2i.spec import Spec


class Players(Spec):
    generator: Optimiser = Optimiser()
    discriminator: Optimiser = Optimiser()


class Recipe(AdversarialSettings):
    model: Literal["dcgan"]
    data: Annotated[UnlabelledData | LabelledData, Field(discriminator="layout")]
    generator: DCGANGeneratorSpec = DCGANGeneratorSpec()
    discriminator: DCGANDiscriminatorSpec = DCGANDiscriminatorSpec()
    classes: int = Field(0, ge=0, description="number of classes to condition on; 0 ignores labels")
    players: Players = Players()

    @model_validator(mode="after")
    def _labels_for_classes(self) -> Self:
        if self.classes and not isinstance(self.data, LabelledData):
            raise ValueError(f"classes: {self.classes} needs `data.layout: labelled` (a folder per class)")
        return self


class DCGAN(nn.Module):
    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        self.loss = AdversarialLoss(recipe)
        channels, size, classes = recipe.data.channels, recipe.data.crop, recipe.classes
        self.generator = recipe.generator.build(channels, size, classes)
        self.judge = recipe.discriminator.build(channels, size, classes)

    def players(self, recipe: Recipe) -> dict[str, Player]:
        return {
            "generator": recipe.players.generator.player(self.generator.parameters()),
            "discriminator": recipe.players.discriminator.player(self.judge.parameters()),
        }

    def product(self) -> dict[str, nn.Module]:
        return {"generator": self.generator}

    @staticmethod
    def latent(recipe: Recipe, n: int) -> tuple[Tensor, ...]:
        """The generator's arguments for n samples: noise, and if conditional the classes in turn."""
        z = torch.randn(n, recipe.generator.noise)
        return (z, torch.arange(n) % recipe.classes) if recipe.classes else (z,)

    def adversarial(self, batches: Iterator[Any], game: Game) -> None:
        x, y = self.split(next(batches))  # n c h w, and labels (n,) if conditional
        with game.turn("discriminator") as turn:
            fake = self.generator(self.noise(x), *y)  # n c h w
            turn.minimise(**self.loss.discriminator(self.judge, x, fake, labels=y))
        with game.turn("generator") as turn:
            fake = self.generator(self.noise(x), *y)  # of fresh noise
            turn.minimise(**self.loss.generator(self.judge, fake, x, labels=y))

    def split(self, batch: Any) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Pictures, and what both networks are conditioned on: (labels,) or nothing."""
        if isinstance(batch, Tensor):
            return batch, ()
        x, y = batch
        return x, (y,) if self.recipe.classes else ()

    def noise(self, like: Tensor) -> Tensor:
        return torch.randn(len(like), self.recipe.generator.noise).to(like.device)

    def show(self, batch: Any, product: dict[str, nn.Module]) -> dict[str, Tensor]:
        """The rows of the sample grid, by title."""
        real, _ = self.split(batch)
        z = (t.to(real.device) for t in self.latent(self.recipe, len(real)))
        return {"real": real, "generated": product["generator"](*z)}

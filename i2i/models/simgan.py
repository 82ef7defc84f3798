"""SimGAN: a simulator's pictures are made real and keep what is known of them (Shrivastava et al. 2017, 1612.07828).

    L_R = -E_x log(1 - D(R(x))) + λ |ψ(R(x)) - ψ(x)|₁                                   (equation 4, ψ the identity)
    L_D = -E_x log D(R(x)) - E_y log(1 - D(y))                       D the probability of being refined (equation 2)

Algorithm 1: R is moved K_g times, then D K_d times, each time on a new batch. Before, R alone learns to leave pictures
as they are (`regularise`), and D alone to tell them (`discriminate`). D judges patches, and half of what it is shown
as refined is from a history (section 2.3).
The paper sums over pixels and patches; here all losses are means, so λ is the paper's times pixels over patches: 16 for
its D. Our D has the one logit of being real in place of a softmax over two, which is the same function. Released
reimplementations differ from the paper: one adds the loss on the history instead of replacing half of the batch, the
other cuts D's logits off below zero.
Shapes: n batch, c channels, h w size, p q patches; pictures are in [-1, 1]. A is the simulator's side, B the real one.
"""

from collections.abc import Iterator
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from i2i.data import UnpairedData
from i2i.data.looks import shown
from i2i.data.spec import depth
from i2i.engine.adversarial_loss import AdversarialLoss, AdversarialSettings
from i2i.engine.game import Game, Player
from i2i.engine.history import History
from i2i.engine.settings import Optimiser
from i2i.losses.reconstruction import l1
from i2i.nets import Discriminator, Generator, LocalDiscriminatorSpec, RefinerSpec
from i2i.spec import Spec


class Weights(Spec):
    regularisation: float = Field(1.0, ge=0, description="λ, for means over pixels and patches")


class Players(Spec):
    refiner: Optimiser = Optimiser()
    discriminator: Optimiser = Optimiser()


class Recipe(AdversarialSettings):
    model: Literal["simgan"]
    data: UnpairedData
    generator: Generator = RefinerSpec()
    discriminator: Discriminator = LocalDiscriminatorSpec()
    weights: Weights = Weights()
    k_g: int = Field(2, ge=1, description="K_g: refiner steps before the discriminator's")
    k_d: int = Field(1, ge=1, description="K_d: discriminator steps")
    history: int = Field(1000, ge=0, description="refined pictures kept for the discriminator")
    players: Players = Players()

    @model_validator(mode="after")
    def _stays_on_its_pixels(self) -> Self:
        channels = self.data.channels
        if channels.a != channels.b or not isinstance(channels.a, int):
            raise ValueError(
                "a refined picture is compared with its own input, which needs the same number of channels on both "
                f"sides; got a: {channels.a}, b: {channels.b}"
            )
        return self


class SimGAN(nn.Module):
    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe, self.weights = recipe, recipe.weights
        self.loss = AdversarialLoss(recipe)
        self.look = recipe.data.channels.a
        channels = depth(self.look)
        self.refiner = recipe.generator.build(channels, channels)
        self.judge = recipe.discriminator.build(channels)
        self.past = History(recipe.history)

    def players(self, recipe: Recipe) -> dict[str, Player]:
        return {
            "refiner": recipe.players.refiner.player(self.refiner.parameters()),
            "discriminator": recipe.players.discriminator.player(self.judge.parameters()),
        }

    def product(self) -> dict[str, nn.Module]:
        return {"a2b": self.refiner}

    def regularise(self, batches: Iterator[Any], game: Game) -> None:
        """R alone: it begins by changing nothing."""
        x, _ = next(batches)  # n c h w
        with game.turn("refiner") as turn:
            turn.minimise(regularisation=l1(self.refiner(x), x))

    def discriminate(self, batches: Iterator[Any], game: Game) -> None:
        """D alone: it learns what is real from pictures that are still as the simulator made them."""
        x, y = next(batches)  # n c h w both
        with game.turn("discriminator") as turn:
            refined = self.past.half(self.refiner(x))  # detached
            turn.minimise(**self.loss.discriminator(self.judge, y, refined))

    def adversarial(self, batches: Iterator[Any], game: Game) -> None:
        for _ in range(self.recipe.k_g):
            x, y = next(batches)
            with game.turn("refiner") as turn:
                refined = self.refiner(x)
                losses = self.loss.generator(self.judge, refined, y)
                if self.weights.regularisation:
                    losses["regularisation"] = self.weights.regularisation * l1(refined, x)
                turn.minimise(**losses)
        for _ in range(self.recipe.k_d):
            self.discriminate(batches, game)

    def show(self, pictures: tuple[Tensor, ...], product: dict[str, nn.Module]) -> dict[str, Tensor]:
        """The rows of the sample grid, by title: n 3 h w each."""
        a, b = pictures[:2]
        rows = {"a": a, "a to b": product["a2b"](a), "b": b}
        return {title: shown(row, [self.look]) for title, row in rows.items()}

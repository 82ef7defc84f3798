"""CycleGAN: translation without pairs (Zhu et al. 2017, arXiv 1703.10593).

    L = L_GAN(G, D_B) + L_GAN(F, D_A) + λ E|F(G(a)) - a|₁ + λ E|G(F(b)) - b|₁        (equation 3)

with least squares in place of the logarithm (section 4) and the identity term of section 5.2: the paper uses it for
paintings and flowers, its code for everything (λ/2). Without it nothing forbids an inverted mapping, since a cycle
through two wrong translations is still closed.
Shapes: n batch, h w height and width, a b channels of the two sides; pictures are in [-1, 1].
"""

from collections.abc import Iterator
from itertools import chain
from typing import Any, Literal, Self

from pydantic import Field, model_validator
from torch import Tensor, nn

from i2i.data import UnpairedData
from i2i.data.looks import shown
from i2i.data.spec import Look, depth
from i2i.engine.adversarial_loss import AdversarialLoss, AdversarialSettings, added, total
from i2i.engine.game import Game, Player
from i2i.engine.history import History
from i2i.engine.settings import Optimiser
from i2i.losses import adversarial
from i2i.losses.reconstruction import l1
from i2i.nets import Discriminator, Generator, PatchGANSpec, ResnetSpec
from i2i.spec import Spec


class Weights(Spec):
    cycle: float = Field(10.0, ge=0)
    identity: float = Field(5.0, ge=0)


class Players(Spec):
    generators: Optimiser = Optimiser()
    discriminators: Optimiser = Optimiser()


class Recipe(AdversarialSettings):
    model: Literal["cyclegan"]
    data: UnpairedData
    generator: Generator = ResnetSpec()
    discriminator: Discriminator = PatchGANSpec()
    loss: adversarial.Name = "least-squares"
    weights: Weights = Weights()
    history: int = Field(50, ge=0)
    players: Players = Players()

    @model_validator(mode="after")
    def _identity_needs_equal_channels(self) -> Self:
        channels = self.data.channels
        if self.weights.identity and channels.a != channels.b:
            raise ValueError(
                f"the identity term compares a picture with its own translation, which needs equal channels on both "
                f"sides; got a: {_said(channels.a)}, b: {_said(channels.b)}. Set weights.identity to 0 or "
                f"make the channels equal."
            )
        return self


def _said(look: Look) -> str:
    return str(look) if isinstance(look, int) else f"{look.classes} classes"


class CycleGAN(nn.Module):
    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.weights = recipe.weights
        self.loss_a, self.loss_b = AdversarialLoss(recipe), AdversarialLoss(recipe)
        self.looks = recipe.data.channels
        a, b = depth(recipe.data.channels.a), depth(recipe.data.channels.b)
        self.ab, self.ba = recipe.generator.build(a, b), recipe.generator.build(b, a)
        self.judge_a, self.judge_b = recipe.discriminator.build(a), recipe.discriminator.build(b)
        self.past_a, self.past_b = History(recipe.history), History(recipe.history)

    def players(self, recipe: Recipe) -> dict[str, Player]:
        generators = chain(self.ab.parameters(), self.ba.parameters())
        judges = chain(self.judge_a.parameters(), self.judge_b.parameters())
        return {
            "generators": recipe.players.generators.player(generators),
            "discriminators": recipe.players.discriminators.player(judges),
        }

    def product(self) -> dict[str, nn.Module]:
        return {"a2b": self.ab, "b2a": self.ba}

    def adversarial(self, batches: Iterator[Any], game: Game) -> None:
        a, b = next(batches)  # n a h w, n b h w
        w = self.weights
        with game.turn("generators") as turn:
            fake_b, fake_a = self.ab(a), self.ba(b)
            losses = added(
                self.loss_b.generator(self.judge_b, fake_b, b), self.loss_a.generator(self.judge_a, fake_a, a)
            )
            losses["cycle"] = w.cycle * (l1(self.ba(fake_b), a) + l1(self.ab(fake_a), b))
            if w.identity:
                losses["identity"] = w.identity * (l1(self.ba(a), a) + l1(self.ab(b), b))
            turn.minimise(**losses)
        with game.turn("discriminators") as turn:
            old_a, old_b = self.past_a.mix(fake_a), self.past_b.mix(fake_b)  # detached
            turn.minimise(
                a=total(self.loss_a.discriminator(self.judge_a, a, old_a, scale=1 / 2)),
                b=total(self.loss_b.discriminator(self.judge_b, b, old_b, scale=1 / 2)),
            )

    def show(self, pictures: tuple[Tensor, Tensor], product: dict[str, nn.Module]) -> dict[str, Tensor]:
        """The rows of the sample grid, by title: n 3 h w each."""
        a, b = pictures
        ab, ba = product["a2b"], product["b2a"]
        fake_b, fake_a = ab(a), ba(b)
        of_a = {"a": a, "a to b to a": ba(fake_b), "b to a": fake_a}
        of_b = {"a to b": fake_b, "b": b, "b to a to b": ab(fake_a)}
        rows = {title: shown(row, [self.looks.a]) for title, row in of_a.items()}
        rows |= {title: shown(row, [self.looks.b]) for title, row in of_b.items()}
        return {title: rows[title] for title in ("a", "a to b", "a to b to a", "b", "b to a", "b to a to b")}

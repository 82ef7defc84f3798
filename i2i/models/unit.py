"""UNIT: translation without pairs through a code that two sides share (Liu et al. 2017, arXiv 1703.00848).

    Σ over both sides of  λ1 KL(q(z|x) ‖ p(z)) - λ2 E log p(x|z)                             a VAE
                          + λ0 (E log D(x) + E log(1 - D(x')))                               a GAN
                          + λ3 KL(q(z|x) ‖ p(z)) + λ3 KL(q(z'|x') ‖ p(z)) - λ4 E log p(x|z')     there and back

(section 3.) In a side's GAN x' is the translation of the other side's picture, on the way back that of its own x, and
z' the code of that. q(z|x) is a Gaussian around the encoder's output μ with unit variance, so z = μ + η and the
divergence from N(0, 1) is μ²/2; p(x|z) is a Laplacian, whose -log is L1. Both sides have one code because the deepest
layers are the same modules (`shared`), and every code is decoded to both sides.
Only translations are judged (section 3): reconstructions have a truth. Translating takes z = μ.
Shapes: n batch, h w height and width, a b channels of the two sides, c those of the code; pictures are in [-1, 1].

Divergences and L1 are means over their tensors, as in the authors' code. What differs there: μ² without the half; the
equation's λ0 also scales D's loss, which moves no optimum and is left out here. Their later releases are another method
under the same name, without shared weights. Nothing in the equation forbids a swapped mapping, land for sea:
`generator: {alike: true}` starts both sides' own layers as equals, which is ours and not the paper's.
"""

from collections.abc import Iterator
from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from i2i.data import UnpairedData
from i2i.data.looks import shown
from i2i.data.spec import depth
from i2i.engine.adversarial_loss import AdversarialLoss, AdversarialSettings, added, total
from i2i.engine.game import Game, Player
from i2i.engine.settings import Optimiser
from i2i.losses.reconstruction import l1
from i2i.nets import Discriminator, PatchGANSpec, UNITSpec
from i2i.nets.unit import Through
from i2i.spec import Spec


class Weights(Spec):
    adversarial: float = Field(10.0, ge=0, description="λ0")
    kl: float = Field(0.1, ge=0, description="λ1: of the code of a picture")
    reconstruction: float = Field(100.0, ge=0, description="λ2: of a picture from its own code")
    cycle_kl: float = Field(0.1, ge=0, description="λ3: of the codes of a picture and of its translation")
    cycle: float = Field(100.0, ge=0, description="λ4: of a picture from the code of its translation")


class Players(Spec):
    generators: Optimiser = Optimiser(lr=1e-4, weight_decay=1e-4)
    discriminators: Optimiser = Optimiser(lr=1e-4, weight_decay=1e-4)


class Recipe(AdversarialSettings):
    model: Literal["unit"]
    data: UnpairedData
    generator: UNITSpec = UNITSpec()
    discriminator: Discriminator = PatchGANSpec()
    weights: Weights = Weights()
    players: Players = Players()


class UNIT(nn.Module):
    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.weights = recipe.weights
        self.loss_a, self.loss_b = AdversarialLoss(recipe), AdversarialLoss(recipe)
        self.looks = recipe.data.channels
        a, b = depth(recipe.data.channels.a), depth(recipe.data.channels.b)
        self.encode_a, self.encode_b, self.decode_a, self.decode_b = recipe.generator.build(a, b)
        self.judge_a, self.judge_b = recipe.discriminator.build(a), recipe.discriminator.build(b)

    def players(self, recipe: Recipe) -> dict[str, Player]:
        coders = nn.ModuleList(
            [self.encode_a, self.encode_b, self.decode_a, self.decode_b]
        )  # what is shared is in once
        judges = nn.ModuleList([self.judge_a, self.judge_b])
        return {
            "generators": recipe.players.generators.player(coders.parameters()),
            "discriminators": recipe.players.discriminators.player(judges.parameters()),
        }

    def product(self) -> dict[str, nn.Module]:
        return {"a2b": Through(self.encode_a, self.decode_b), "b2a": Through(self.encode_b, self.decode_a)}

    def adversarial(self, batches: Iterator[Any], game: Game) -> None:
        a, b = next(batches)  # n a h w, n b h w
        w = self.weights
        with game.turn("generators") as turn:
            mean_a, mean_b = self.encode_a(a), self.encode_b(b)  # n c h/4 w/4
            code_a, code_b = drawn(mean_a), drawn(mean_b)
            fake_b, fake_a = self.decode_b(code_a), self.decode_a(code_b)
            mean_of_b, mean_of_a = self.encode_b(fake_b), self.encode_a(fake_a)  # of a's translation, of b's
            contest = added(
                self.loss_b.generator(self.judge_b, fake_b, b), self.loss_a.generator(self.judge_a, fake_a, a)
            )
            own = divergence(mean_a) + divergence(mean_b)
            turn.minimise(
                kl=w.kl * own,
                reconstruction=w.reconstruction * (l1(self.decode_a(code_a), a) + l1(self.decode_b(code_b), b)),
                **{name: w.adversarial * loss for name, loss in contest.items()},
                cycle_kl=w.cycle_kl * (own + divergence(mean_of_b) + divergence(mean_of_a)),
                cycle=w.cycle * (l1(self.decode_a(drawn(mean_of_b)), a) + l1(self.decode_b(drawn(mean_of_a)), b)),
            )
        with game.turn("discriminators") as turn:
            turn.minimise(
                a=total(self.loss_a.discriminator(self.judge_a, a, fake_a)),
                b=total(self.loss_b.discriminator(self.judge_b, b, fake_b)),
            )

    def show(self, pictures: tuple[Tensor, Tensor], product: dict[str, nn.Module]) -> dict[str, Tensor]:
        """The rows of the sample grid, by title: n 3 h w each."""
        a, b = pictures
        fake_b, fake_a = product["a2b"](a), product["b2a"](b)
        of_a = {"a": a, "a to b to a": product["b2a"](fake_b), "b to a": fake_a}
        of_b = {"a to b": fake_b, "b": b, "b to a to b": product["a2b"](fake_a)}
        rows = {title: shown(row, [self.looks.a]) for title, row in of_a.items()}
        rows |= {title: shown(row, [self.looks.b]) for title, row in of_b.items()}
        return {title: rows[title] for title in ("a", "a to b", "a to b to a", "b", "b to a", "b to a to b")}


def drawn(mean: Tensor) -> Tensor:
    """z ~ q(z|x) = N(μ, 1): the code with its noise, from torch's global random numbers."""
    return mean + torch.randn(mean.shape).to(mean)


def divergence(mean: Tensor) -> Tensor:
    """KL(N(μ, 1) ‖ N(0, 1)) = μ²/2, the mean over the elements of the code."""
    return mean.float().square().mean() / 2

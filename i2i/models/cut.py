"""CUT and FastCUT: one-sided translation without pairs (Park et al. 2020, arXiv 2007.15651).

    L = L_GAN(G, D, X, Y) + λ_X L_PatchNCE(G, H, X) + λ_Y L_PatchNCE(G, H, Y)         (section 3)

A patch of the output shall be recognised, among the other patches of its picture, as the one at the same place of the
input (L_PatchNCE): by the features of G's own encoder, seen through heads H that are trained with G and dropped
afterwards. So there is one generator, no way back and no cycle. The third term asks the same of a picture that is
already in Y and keeps G from changing what needs no change. CUT is λ_X = λ_Y = 1; FastCUT is λ_X = 10, λ_Y = 0 and
`flip_equivariance`: the pictures of X are mirrored at random, and the features of the answer mirrored back.
Shapes: n batch, h w height and width, c channels of both sides; pictures are in [-1, 1].

The sums of L_PatchNCE over layers and places are means, as in the authors' code: λ 1 beside a sum of 1280 terms would
leave nothing of L_GAN. Their code differs from the paper in λ_X = λ_Y = 1/2 where both terms are on; here the weights
are the paper's. Like their code, all pictures of a batch are asked at the same random places, and compared with places
of the same picture only. Their initial weights are Xavier's times 0.02, ours N(0, 0.02²).
"""

from collections.abc import Iterator
from itertools import chain
from typing import Annotated, Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from i2i.data import UnpairedData
from i2i.data.looks import shown
from i2i.data.spec import depth
from i2i.engine.adversarial_loss import AdversarialLoss, AdversarialSettings
from i2i.engine.game import Game, Player
from i2i.engine.settings import Optimiser
from i2i.losses import adversarial, patch_nce
from i2i.nets import CompactSpec, Discriminator, PatchGANSpec, ProjectionSpec, ResnetSpec
from i2i.nets.stations import CONVOLUTIONS, stations, usual, widths
from i2i.spec import Spec


class Weights(Spec):
    nce: float = Field(1.0, ge=0, description="λ_X: patches of the answer beside those of its input")
    identity: float = Field(1.0, ge=0, description="λ_Y: the same of pictures that are already on side b")


class Players(Spec):
    generator: Optimiser = Optimiser()
    discriminator: Optimiser = Optimiser()


class Recipe(AdversarialSettings):
    model: Literal["cut"]
    data: UnpairedData
    generator: Annotated[ResnetSpec | CompactSpec, Field(discriminator="kind")] = ResnetSpec()
    discriminator: Discriminator = PatchGANSpec()
    head: ProjectionSpec = ProjectionSpec()
    loss: adversarial.Name = "least-squares"
    weights: Weights = Weights()
    layers: tuple[int, ...] | None = Field(
        None, description="stations of the encoder: 0 pixels, 1 to 3 convolutions, 4 ... blocks; null: the paper's"
    )
    patches: int = Field(256, ge=2, description="places of a picture that are told apart, at each layer")
    temperature: float = Field(0.07, gt=0)
    flip_equivariance: bool = Field(False, description="inputs are mirrored at random, features mirrored back")
    players: Players = Players()

    @model_validator(mode="after")
    def _one_encoder_sees_both_sides(self) -> Self:
        a, b = self.data.channels.a, self.data.channels.b
        if a != b:
            raise ValueError(
                f"CUT's encoder sees its input and its own output, which needs the same channels on both sides; got "
                f"a: {depth(a)}, b: {depth(b)}. Make them equal, or take model: cyclegan with weights.identity 0."
            )
        return self

    @model_validator(mode="after")
    def _there_are_such_layers(self) -> Self:
        last = CONVOLUTIONS + self.generator.blocks
        at = self.layers
        if at is not None and (not at or list(at) != sorted(set(at)) or at[0] < 0 or at[-1] > last):
            raise ValueError(
                f"layers: expected numbers in ascending order, each once, from 0 to {last} with "
                f"{self.generator.blocks} blocks, such as {list(usual(self.generator.blocks))}; got {list(at)}"
            )
        return self


class CUT(nn.Module):
    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.weights, self.patches, self.temperature = recipe.weights, recipe.patches, recipe.temperature
        self.equivariance, self.looks = recipe.flip_equivariance, recipe.data.channels
        self.loss = AdversarialLoss(recipe)
        self.layers = recipe.layers or usual(recipe.generator.blocks)
        c = depth(recipe.data.channels.a)
        self.generator = recipe.generator.build(c, c)
        self.judge = recipe.discriminator.build(c)
        self.head = recipe.head.build(widths(self.generator, self.layers))

    def players(self, recipe: Recipe) -> dict[str, Player]:
        moved_together = chain(self.generator.parameters(), self.head.parameters())
        return {
            "generator": recipe.players.generator.player(moved_together),
            "discriminator": recipe.players.discriminator.player(self.judge.parameters()),
        }

    def product(self) -> dict[str, nn.Module]:
        """The heads are not among it: they have only taught."""
        return {"a2b": self.generator}

    def adversarial(self, batches: Iterator[Any], game: Game) -> None:
        a, b = next(batches)  # n c h w each
        w = self.weights
        turned = (torch.rand(len(a)) < 0.5).to(a.device) if self.equivariance else None  # n: which are mirrored
        fake_b = self.generator(mirrored(a, turned))  # n c h w, one pass serves both turns
        with game.turn("discriminator") as turn:
            turn.minimise(**self.loss.discriminator(self.judge, b, fake_b, scale=1 / 2))
        with game.turn("generator") as turn:
            losses = self.loss.generator(self.judge, fake_b, b)
            if w.nce:
                losses["nce"] = w.nce * self.patch_nce(fake_b, a, turned)
            if w.identity:
                same_b = self.generator(mirrored(b, turned))
                losses["identity"] = w.identity * self.patch_nce(same_b, b, turned)
            turn.minimise(**losses)

    def patch_nce(self, output: Tensor, input: Tensor, turned: Tensor | None) -> Tensor:
        """L_PatchNCE: output n c h w, mirrored where `turned` (n) is, beside the input that it is of."""
        seen = [mirrored(each, turned) for each in stations(self.generator, output, self.layers)]
        places = [torch.randperm(each[0, 0].numel())[: self.patches].to(each.device) for each in seen]
        query = self.head(seen, places)
        with torch.no_grad():  # keys are constants, so nothing of their pass is kept
            key = self.head(stations(self.generator, input, self.layers), places)
        losses = [patch_nce(q, k, self.temperature) for q, k in zip(query, key, strict=True)]
        return torch.stack(losses).mean()

    def show(self, pictures: tuple[Tensor, Tensor], product: dict[str, nn.Module]) -> dict[str, Tensor]:
        """The rows of the sample grid, by title: n 3 h w each."""
        a, b = pictures
        rows = {"a": a, "a to b": product["a2b"](a), "b": b, "b to b": product["a2b"](b)}
        return {title: shown(row, [self.looks.b]) for title, row in rows.items()}


def mirrored(x: Tensor, which: Tensor | None) -> Tensor:
    """n c h w, left and right exchanged in those that `which` (n) names."""
    return x if which is None else torch.where(which[:, None, None, None], x.flip(3), x)

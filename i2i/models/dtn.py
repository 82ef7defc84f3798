"""DTN, the Domain Transfer Network (Taigman, Polyak, Wolf 2016, arXiv 1611.02200): a picture of S becomes one of T that
f sees the same in.

    G = g ∘ f                                                                       with f trained on S, then fixed
    L_D = -E_s log D₁(G(s)) - E_t log D₂(G(t)) - E_t log D₃(t)
    L_GANG = -E_s log D₃(G(s)) - E_t log D₃(G(t))
    L_CONST = E_s d(f(s), f(G(s)))      L_TID = E_t d₂(t, G(t))
    L_G = L_GANG + α L_CONST + β L_TID + γ L_TV                                                        (section 4)

d and d₂ are mean squares, as the paper has them for digits; L_TV is of all that is made. The known reimplementation
(yunjey/domain-transfer-network) differs: its D has two verdicts instead of three, f goes on learning every 15th step,
and the two domains take turns, six steps of G on S, four on T. Here f stays as its own phase has left it, its norms
included, D is ternary, and each player moves once for a batch of both domains.
Shapes: n batch, a b channels of the two sides, h w size, d dimensions of a code, k classes; pictures are in [-1, 1].
A is the source S, whose pictures lie in class folders, B the target T; if B is grey, f sees it with its one channel
repeated, as the paper's f sees MNIST.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from i2i.data import UnpairedData
from i2i.data.looks import shown
from i2i.data.spec import depth
from i2i.engine.game import Game, Player
from i2i.engine.settings import Optimiser, Settings
from i2i.losses.reconstruction import l2
from i2i.losses.ternary import VERDICTS, ternary
from i2i.losses.variation import total_variation
from i2i.nets import Coder, DecoderSpec, EncoderSpec, PatchGANSpec, initialise
from i2i.spec import Spec


class Weights(Spec):
    constancy: float = Field(15.0, ge=0, description="α: f sees the same in a picture and its translation")
    identity: float = Field(15.0, ge=0, description="β: a picture of the target stays as it is")
    variation: float = Field(0.0, ge=0, description="γ: total variation; .05 for the paper's faces")


class Players(Spec):
    encoder: Optimiser = Optimiser(lr=1e-3, betas=(0.9, 0.999))
    generator: Optimiser = Optimiser()
    discriminator: Optimiser = Optimiser()


class Recipe(Settings):
    model: Literal["dtn"]
    data: UnpairedData
    classes: int = Field(ge=2, description="class folders of side a, which the encoder learns to tell apart")
    encoder: EncoderSpec = EncoderSpec()
    generator: DecoderSpec = DecoderSpec()
    discriminator: PatchGANSpec = PatchGANSpec(norm="batch")
    weights: Weights = Weights()
    players: Players = Players()

    @model_validator(mode="after")
    def _has_what_f_learns_from(self) -> Self:
        if self.data.labels != "a":
            raise ValueError(
                "the encoder is trained on the classes of side a: put its pictures into trainA/<class>/ and write "
                "`data: {layout: unpaired, labels: a, ...}`"
            )
        if self.schedule[0].phase != "classify":
            raise ValueError(
                "the schedule must begin with `phase: classify`, which trains the encoder; all that follows takes it "
                f"as it is. Got {self.schedule[0].phase!r}"
            )
        return self

    @model_validator(mode="after")
    def _f_sees_both_sides(self) -> Self:
        a, b = self.data.channels.a, self.data.channels.b
        if a != b and not (b == 1 and isinstance(a, int)):
            raise ValueError(
                f"one encoder sees both sides, so b needs the channels of a, or 1 that is repeated; got {a} and {b}"
            )
        return self


class DTN(nn.Module):
    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.weights = recipe.weights
        self.looks = recipe.data.channels
        a, b, size = depth(recipe.data.channels.a), depth(recipe.data.channels.b), recipe.data.crop
        code = recipe.encoder.code
        self.translator = Coder(recipe.encoder.build(a, size), recipe.generator.build(b, size, code))
        self.classifier = initialise(nn.Linear(code, recipe.classes), "kaiming")
        self.judge = recipe.discriminator.build(b, logits=len(VERDICTS))

    def players(self, recipe: Recipe) -> dict[str, Player]:
        f, g = self.translator.encoder, self.translator.decoder
        return {
            "encoder": recipe.players.encoder.player(chain(f.parameters(), self.classifier.parameters())),
            "generator": recipe.players.generator.player(g.parameters()),
            "discriminator": recipe.players.discriminator.player(self.judge.parameters()),
        }

    def product(self) -> dict[str, nn.Module]:
        return {"a2b": self.translator}

    def classify(self, batches: Iterator[Any], game: Game) -> None:
        """f learns the source's classes; nothing of it moves again after this phase."""
        s, _, y = next(batches)  # n a h w, n b h w, n
        f = self.translator.encoder.train()
        with game.turn("encoder") as turn:
            logits = self.classifier(f(s).mean((2, 3)))  # n k
            turn.minimise(classes=F.cross_entropy(logits.float(), y))

    def transfer(self, batches: Iterator[Any], game: Game) -> None:
        s, t, _ = next(batches)  # n a h w, n b h w
        w, d, g = self.weights, self.judge, self.translator.decoder
        f = self.translator.encoder.eval()  # fixed, with its norms and dropout
        with torch.no_grad():
            code_s, code_t = f(s), f(self.seen(t))  # n d 1 1
        made_s, made_t = g(code_s), g(code_t)  # n b h w, one pass serves both turns
        with game.turn("discriminator") as turn:
            turn.minimise(
                source=ternary(d(made_s.detach()), "from source"),
                target=ternary(d(made_t.detach()), "from target"),
                real=ternary(d(t), "real"),
            )
        with game.turn("generator") as turn:
            losses = {"adversarial": ternary(d(made_s), "real") + ternary(d(made_t), "real")}
            if w.constancy:
                losses["constancy"] = w.constancy * l2(f(self.seen(made_s)), code_s)
            if w.identity:
                losses["identity"] = w.identity * l2(made_t, t)
            if w.variation:
                losses["variation"] = w.variation * (total_variation(made_s) + total_variation(made_t))
            turn.minimise(**losses)

    def seen(self, picture: Tensor) -> Tensor:  # n b h w
        """A picture of side b as f takes it: n a h w."""
        return picture.expand(-1, self.translator.inputs, -1, -1) if picture.shape[1] == 1 else picture

    def show(self, pictures: tuple[Tensor, ...], product: dict[str, nn.Module]) -> dict[str, Tensor]:
        """The rows of the sample grid, by title: n 3 h w each."""
        a, b = pictures[:2]
        ab = product["a2b"]
        rows = {"a": (a, self.looks.a), "a to b": (ab(a), self.looks.b)}
        rows |= {"b": (b, self.looks.b), "b to b": (ab(self.seen(b)), self.looks.b)}
        return {title: shown(row, [look]) for title, (row, look) in rows.items()}

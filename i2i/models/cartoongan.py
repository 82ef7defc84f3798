"""CartoonGAN: photographs → cartoons, without pairs (Chen, Lai and Liu, CVPR 2018).

    (G*, D*) = arg min_G max_D  L_adv(G, D) + ω L_con(G, D)                                   (section 3.2)
    L_adv = E_c log D(c) + E_e log(1 - D(e)) + E_p log(1 - D(G(p)))                         (section 3.2.1)
    L_con = E ‖F(G(p)) - F(p)‖₁                                                             (section 3.2.2)

p are photographs (side a), c cartoons (side b), and e the same cartoons with blurred edges: a generator that has the
colours of a cartoon without its clear edges does not pass. F are features of a network that knows photographs, so that
what a picture shows stays while every pixel may change. The game begins with a phase of its own, in which G only learns
to keep what there is (section 3.3): from there it reaches the cartoons sooner, and in better places.

Shapes: n batch, h w height and width, a b channels of the two sides, grey or colour; pictures are in [-1, 1].

F is VGG19's conv4_4 in the paper, `content: vgg19` here, with ω = 10; its weights are downloaded once. The default is
EfficientNet-Lite0, which is always there, at the same eighth of the size. The paper's equation has a logarithm; the
authors' code has least squares, a history of 50 fakes, lets G's gradient in the adversarial term come from D's verdict
on an old fake, and takes ω E|·| as a mean, as we do. e is made from the cartoons of the batch while training; the
authors make it beforehand, and so does `i2i data make smooth`, by the same code.
"""

from collections.abc import Callable, Iterator
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from i2i.data import UnpairedData
from i2i.data.edges import softened
from i2i.data.looks import shown
from i2i.data.make.smooth import Brush
from i2i.data.spec import depth
from i2i.engine.adversarial_loss import AdversarialLoss, AdversarialSettings
from i2i.engine.game import Game, Player
from i2i.engine.settings import Optimiser
from i2i.errors import UserError
from i2i.losses.reconstruction import l1
from i2i.metrics.content import content
from i2i.nets import CartoonDiscriminatorSpec, CartoonGeneratorSpec, Discriminator, Generator
from i2i.spec import Spec


class Weights(Spec):
    content: float = Field(10.0, ge=0, description="ω")
    edges: float = Field(1.0, ge=0, description="of the cartoons with blurred edges; 0 leaves them out")


class Blur(Spec):
    """How the edges of cartoons are blurred (section 3.2.1). The defaults are the authors', for pictures of 256 px."""

    low: float = Field(100.0, gt=0, description="Canny's thresholds, of 8-bit Sobel gradients")
    high: float = 200.0
    dilate: int = Field(5, description="side of the region around an edge, pixels, odd")
    blur: int = Field(5, description="side of the Gaussian's kernel, pixels, odd")

    @model_validator(mode="after")
    def _is_a_brush(self) -> Self:
        try:
            self.brush()
        except UserError as problem:
            raise ValueError(str(problem)) from None
        return self

    def brush(self) -> Brush:
        return Brush(self.low, self.high, self.dilate, self.blur)


class Players(Spec):
    generator: Optimiser = Optimiser()
    discriminator: Optimiser = Optimiser()


class Recipe(AdversarialSettings):
    model: Literal["cartoongan"]
    data: UnpairedData
    generator: Generator = CartoonGeneratorSpec()
    discriminator: Discriminator = CartoonDiscriminatorSpec()
    content: Literal["efflite0", "vgg19"] = "efflite0"
    edges: Blur = Blur()
    weights: Weights = Weights()
    players: Players = Players()

    @model_validator(mode="after")
    def _can_be_seen(self) -> Self:
        a, b = self.data.channels.a, self.data.channels.b
        if a not in (1, 3) or b not in (1, 3):
            raise ValueError(
                f"the content term looks at grey or colour pictures: data.channels must be 1 or 3 on both sides, got "
                f"a: {a}, b: {b}"
            )
        return self


class CartoonGAN(nn.Module):
    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.weights = recipe.weights
        self.loss = AdversarialLoss(recipe)
        self.brush = recipe.edges.brush()
        self.content = recipe.content
        self.looks = recipe.data.channels
        a, b = depth(self.looks.a), depth(self.looks.b)
        self.generator = recipe.generator.build(a, b)
        self.judge = recipe.discriminator.build(b)

    def players(self, recipe: Recipe) -> dict[str, Player]:
        """Raises UserError where the network of the content term cannot be had: before training, not in it."""
        content(recipe.content)
        return {
            "generator": recipe.players.generator.player(self.generator.parameters()),
            "discriminator": recipe.players.discriminator.player(self.judge.parameters()),
        }

    def product(self) -> dict[str, nn.Module]:
        """What remains after training."""
        return {"a2b": self.generator}

    def initialisation(self, batches: Iterator[Any], game: Game) -> None:
        photos, _ = next(batches)  # n a h w
        with game.turn("generator") as turn:
            turn.minimise(content=self.weights.content * self.kept(self.generator(photos), photos))

    def adversarial(self, batches: Iterator[Any], game: Game) -> None:
        photos, cartoons = next(batches)  # n a h w, n b h w
        fake = self.generator(photos)  # n b h w, one pass serves both turns
        w = self.weights
        with game.turn("discriminator") as turn:
            losses = self.loss.discriminator(self.judge, cartoons, fake)
            if w.edges:
                blurred = self.loss.seen(softened(cartoons, self.brush))
                losses["edges"] = w.edges * self.loss.rule.fake(self.judge(blurred))
            turn.minimise(**losses)
        with game.turn("generator") as turn:
            turn.minimise(
                **self.loss.generator(self.judge, fake, cartoons),
                content=w.content * self.kept(fake, photos),
            )

    def kept(self, fake: Tensor, photos: Tensor) -> Tensor:
        """L_con, with gradients to `fake`."""
        see: Callable[[Tensor], Tensor] = content(self.content, photos.device)
        with torch.no_grad():
            wanted = see(photos)
        return l1(see(fake), wanted)

    def show(self, pictures: tuple[Tensor, Tensor], product: dict[str, nn.Module]) -> dict[str, Tensor]:
        """The rows of the sample grid, by title: n 3 h w each."""
        photos, cartoons = pictures
        rows = {"photo": (photos, self.looks.a), "as a cartoon": (product["a2b"](photos), self.looks.b)}
        rows["cartoons"] = (cartoons, self.looks.b)
        return {title: shown(row, [look]) for title, (row, look) in rows.items()}

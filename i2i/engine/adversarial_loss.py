"""What discriminator and generator pay each other, with every technique that a recipe may switch on by a line.

The rule of the game (`losses.adversarial`), label smoothing, what D sees (DiffAugment, ADA), how smooth D must be (R1,
WGAN-GP) and Salimans' feature matching are the same whatever the networks are, so a model says only who judges what.
Shapes: n samples, c channels, h w size; pictures are in [-1, 1].
"""

from collections.abc import Callable, Mapping
from typing import Literal, Protocol, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from i2i.engine.settings import Settings
from i2i.losses import DRAWS, Augmentation, Logits, adversarial, diffaugment, geometric, gradient_penalty, r1
from i2i.losses.reconstruction import mean_matching
from i2i.spec import Spec


class Penalty(Spec):
    """A price on D's gradient in its input, without which D may become as steep as it likes."""

    kind: Literal["r1", "gradient"] = Field("r1", description="gradient: that of WGAN-GP, between real and fake")
    weight: float = Field(10.0, gt=0, description="γ of R1, λ of WGAN-GP")


class ADA(Spec):
    """Adaptive discriminator augmentation (Karras et al. 2020, arXiv 2006.06676, section 3)."""

    target: float = Field(0.6, gt=-1, lt=1, description="E sign D(x) on real pictures that D shall not exceed")
    pictures: int = Field(500_000, ge=1, description="that a process judges while the chance goes from 0 to 1")


class AdversarialSettings(Settings):
    """The recipe of any model with a discriminator that tells real from made."""

    loss: adversarial.Name = "non-saturating"
    smooth: float = Field(1.0, gt=0, le=1, description="D's target for what is real: one-sided label smoothing below 1")
    diffaugment: tuple[Augmentation, ...] = Field((), description="of what D sees, where training pictures are few")
    ada: ADA | None = Field(None, description="`diffaugment` only as often as D would overfit without it")
    penalty: Penalty | None = None
    feature_matching: float = Field(0.0, ge=0, description="weight of Salimans' term in G's loss")

    @model_validator(mode="after")
    def _augments_something(self) -> Self:
        if self.ada and not self.diffaugment:
            raise ValueError(
                "ada chooses how often D's pictures are augmented, and diffaugment says how: add "
                "`diffaugment: [translation, cutout]`"
            )
        return self

    @model_validator(mode="after")
    def _judges_each_by_itself(self) -> Self:
        if self.penalty and getattr(getattr(self, "discriminator", None), "norm", None) == "batch":
            raise ValueError(
                "a penalty on D's gradient is meant for each picture by itself, and batch norm mixes them: set "
                "discriminator.norm to instance, group or none"
            )
        return self


class Judge(Protocol):
    """A discriminator of pictures (and their labels). `verdict(hidden(x, y), y)` is the same as `forward(x, y)`."""

    def __call__(self, *args: Tensor) -> Logits: ...

    @property
    def hidden(self) -> Callable[..., Logits]: ...

    @property
    def verdict(self) -> Callable[..., Logits]: ...


class AdversarialLoss(nn.Module):
    """The loss terms of both players for one discriminator. A module, since ADA's chance is saved with the model.

    `question`: a picture that D sees in front of each answer, n q h w; `labels`: (n,) if the networks are conditioned
    on a class; `draws`: from `self.draws`, where several calls shall see the same augmentation.
    """

    def __init__(self, recipe: AdversarialSettings) -> None:
        super().__init__()
        self.rule = adversarial.rule(recipe.loss, recipe.smooth)
        self.level = adversarial.UNDECIDED[recipe.loss]
        self.policy, self.ada, self.penalty = recipe.diffaugment, recipe.ada, recipe.penalty
        self.feature_matching = recipe.feature_matching
        self.mixes_batch = recipe.feature_matching > 0  # means over a batch, which then cannot be played in parts
        if self.ada:
            self.register_buffer("chance", torch.zeros(()))
            self.register_buffer("trust", torch.zeros(()))
        self.chance: Tensor
        self.trust: Tensor

    def draws(self, like: Tensor) -> Tensor | None:
        """Random numbers for `len(like)` pictures, on their device: n × 7, with ADA one more for each augmentation."""
        if not self.policy:
            return None
        return torch.rand(len(like), DRAWS + (len(self.policy) if self.ada else 0)).to(like.device)

    def seen(self, x: Tensor, question: Tensor | None = None, draws: Tensor | None = None) -> Tensor:
        """x as D sees it: augmented, behind its question, which moves with it but keeps its colours."""
        if self.policy and draws is None:
            draws = self.draws(x)
        answer = self.augmented(x, self.policy, draws)
        if question is None:
            return answer
        return torch.cat([self.augmented(question, geometric(self.policy), draws), answer], dim=1)

    def augmented(self, x: Tensor, policy: tuple[Augmentation, ...], draws: Tensor | None) -> Tensor:
        if draws is None or not self.ada:
            return diffaugment(x, policy, draws)
        for name in policy:
            chosen = draws[:, DRAWS + self.policy.index(name)] < self.chance  # n
            x = torch.where(chosen[:, None, None, None], diffaugment(x, [name], draws[:, :DRAWS]), x)
        return x

    def discriminator(
        self,
        judge: Judge,
        real: Tensor,
        fake: Tensor,
        *,
        question: Tensor | None = None,
        labels: tuple[Tensor, ...] = (),
        draws: Tensor | None = None,
        scale: float = 1.0,
    ) -> dict[str, Tensor]:
        """D's terms `real` and `fake`, times `scale`, and `penalty` if the recipe has one. Fakes are detached here."""
        true, made = self.seen(real, question, draws), self.seen(fake.detach(), question, draws)
        verdict = judge(true, *labels)
        losses = {"real": scale * self.rule.real(verdict), "fake": scale * self.rule.fake(judge(made, *labels))}
        if self.penalty:
            losses["penalty"] = self.penalty.weight * self.steepness(lambda x: judge(x, *labels), true, made)
        if self.ada:
            self.adapt(verdict, self.ada)
        return losses

    def generator(
        self,
        judge: Judge,
        fake: Tensor,
        real: Tensor,
        *,
        question: Tensor | None = None,
        labels: tuple[Tensor, ...] = (),
        draws: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """G's terms: `adversarial`, and `features` if the recipe matches them, for which `real` is needed."""
        made = self.seen(fake, question, draws)
        if not self.feature_matching:
            return {"adversarial": self.rule.fool(judge(made, *labels))}
        hidden = judge.hidden(made, *labels)
        with torch.no_grad():
            wanted = judge.hidden(self.seen(real, question, draws), *labels)
        return {
            "adversarial": self.rule.fool(judge.verdict(hidden, *labels)),
            "features": self.feature_matching * mean_matching(hidden, wanted),
        }

    def steepness(self, judge: Callable[[Tensor], Logits], real: Tensor, fake: Tensor) -> Tensor:
        """The recipe's penalty, without its weight. With autocast off: the gradient of a gradient needs the digits."""
        with torch.autocast(real.device.type, enabled=False):
            if self.penalty and self.penalty.kind == "gradient":
                return gradient_penalty(judge, real, fake)
            return r1(judge, real)

    @torch.no_grad()
    def adapt(self, verdict: Logits, ada: ADA) -> None:
        """Moves the chance of an augmentation by one batch: up while D is sure of what is real, else down.

        `trust` is r_t of the paper, E sign D on real pictures, averaged over about four batches as there.
        """
        maps = [verdict] if isinstance(verdict, Tensor) else verdict
        sure = torch.stack([(scale - self.level).sign().float().mean() for scale in maps]).mean()
        self.trust += (sure - self.trust) / 4
        self.chance += (self.trust - ada.target).sign() * len(maps[0]) / ada.pictures
        self.chance.clamp_(0, 1)


def total(losses: Mapping[str, Tensor]) -> Tensor:
    """One term of all: what a judge among several pays."""
    return torch.stack([loss.reshape(()) for loss in losses.values()]).sum()


def added(*players: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Terms of the same name, added up: what a generator pays to several judges."""
    return {name: total({str(i): losses[name] for i, losses in enumerate(players)}) for name in players[0]}

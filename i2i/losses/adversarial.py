"""Adversarial rules: what each player of a GAN pays for the discriminator's logits.

d: the discriminator's logits, of any shape; the mean is taken over all of it. A list of them, one per scale, is summed
over its members.
Everything is computed in float32, so half-precision logits are safe, and in forms that stay finite at any logit.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from i2i.errors import UserError, suggest

Name = Literal["non-saturating", "minimax", "least-squares", "hinge", "wasserstein"]
Logits = Tensor | Sequence[Tensor]
Loss = Callable[[Logits], Tensor]


class Rule(NamedTuple):
    """The three terms of a game. The discriminator minimises real(d) + fake(d), the generator minimises fool(d)."""

    real: Loss
    fake: Loss
    fool: Loss


def rule(name: str, smooth: float = 1.0) -> Rule:
    """The rule of that name; `smooth` is the discriminator's target on real pictures, .9 in Salimans et al. 2016.

    Only the real side is smoothed: a target above 0 on fakes would move the optimum towards where the fakes are
    (ibid., section 3.4). At the optimum the verdict, sigmoid(d) or for least squares d itself, is
    smooth · p_data / (p_data + p_fake).
    Raises UserError for an unknown name, a target outside (0, 1], or a rule that has no target to smooth.
    """
    if name not in RULES:
        raise UserError(f"unknown adversarial rule {name!r}.{suggest(name, RULES)}")
    if not 0 < smooth <= 1:
        raise UserError(f"label smoothing expected a real target above 0 and at most 1, such as 0.9; got {smooth}")
    if smooth == 1:
        return RULES[name]
    if name not in SMOOTHED:
        raise UserError(
            f"the {name} rule has no real label to smooth: expected one of {', '.join(SMOOTHED)}, or smooth 1"
        )
    return RULES[name]._replace(real=over_scales(SMOOTHED[name](smooth)))


def over_scales(score: Callable[[Tensor], Tensor]) -> Loss:
    """Lift an elementwise score to logits or lists of them: mean within a scale, sum over scales, in float32."""

    def loss(logits: Logits) -> Tensor:
        scales = [logits] if isinstance(logits, Tensor) else logits
        return torch.stack([score(scale.float()).mean() for scale in scales]).sum()

    return loss


RULES: dict[str, Rule] = {
    # -log D on real, -log(1 - D) on fake; the generator pays -log D: Goodfellow et al. 2014, the end of section 3
    "non-saturating": Rule(
        real=over_scales(lambda d: F.softplus(-d)),
        fake=over_scales(F.softplus),
        fool=over_scales(lambda d: F.softplus(-d)),
    ),
    # the same discriminator; the generator minimises log(1 - D), equation 1: zero-sum, but flat where D is sure
    "minimax": Rule(
        real=over_scales(lambda d: F.softplus(-d)),
        fake=over_scales(F.softplus),
        fool=over_scales(lambda d: -F.softplus(d)),
    ),
    # Mao et al. 2017, targets 1 and 0, without their factor of 1/2
    "least-squares": Rule(
        real=over_scales(lambda d: (d - 1).square()),
        fake=over_scales(lambda d: d.square()),
        fool=over_scales(lambda d: (d - 1).square()),
    ),
    # Lim & Ye 2017
    "hinge": Rule(
        real=over_scales(lambda d: F.relu(1 - d)),
        fake=over_scales(lambda d: F.relu(1 + d)),
        fool=over_scales(lambda d: -d),
    ),
    # Arjovsky et al. 2017; the critic must be kept 1-Lipschitz, see penalties.gradient_penalty
    "wasserstein": Rule(
        real=over_scales(lambda d: -d),
        fake=over_scales(lambda d: d),
        fool=over_scales(lambda d: -d),
    ),
}


# the logit at which D cannot tell: ADA asks on which side of it the real pictures are
UNDECIDED: dict[str, float] = {name: 0.5 if name == "least-squares" else 0.0 for name in RULES}


def smoothed_log(target: float) -> Callable[[Tensor], Tensor]:
    """Cross-entropy to a soft target t: -t log D - (1 - t) log(1 - D) = softplus(-d) + (1 - t) d."""
    return lambda d: F.softplus(-d) + (1 - target) * d


def smoothed_square(target: float) -> Callable[[Tensor], Tensor]:
    return lambda d: (d - target).square()


# the discriminator's real term as a function of its target, for the rules that have one
SMOOTHED: dict[str, Callable[[float], Callable[[Tensor], Tensor]]] = {
    "non-saturating": smoothed_log,
    "minimax": smoothed_log,
    "least-squares": smoothed_square,
}

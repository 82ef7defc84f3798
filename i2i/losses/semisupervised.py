"""Losses of a discriminator that also classifies: K classes and, as class K + 1, what is made (Salimans et al. 2016,
section 5).

The logit of class K + 1 is 0, since a softmax does not change when all of its logits move together. With
Z(x) = Σ_k exp l_k(x) a picture is real with probability D(x) = Z / (Z + 1), so log Z is the usual logit of a
discriminator; and if it is real, it is of class k with probability exp l_k / Z.

Shapes: n pictures, k classes. Everything is computed in float32, in forms that stay finite.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def classes(logits: Tensor, labels: Tensor, over: float | None = None) -> Tensor:  # n k, and n int64 in [0, k)
    """-log p(y | x, y < K + 1): the sum over the pictures divided by `over`, their mean without it."""
    _check(logits)
    total = F.cross_entropy(logits.float(), labels, reduction="sum")
    return total / (len(labels) if over is None else over)


def real(logits: Tensor) -> Tensor:  # n k
    """-log D(x), the mean: what D pays for real pictures, of whatever class."""
    return F.softplus(-verdict(logits)).mean()


def fake(logits: Tensor) -> Tensor:  # n k
    """-log (1 - D(G(z))), the mean: what D pays for pictures that are made."""
    return F.softplus(verdict(logits)).mean()


def verdict(logits: Tensor) -> Tensor:  # n k
    """log Z, n: D's logit that a picture is real."""
    _check(logits)
    return logits.float().logsumexp(1)


def _check(logits: Tensor) -> None:
    if logits.ndim != 2 or not torch.is_floating_point(logits):
        raise ValueError(f"expected the logits of classes, n × k; got {tuple(logits.shape)}")

"""Distances between two sets of pictures, from their features: does the generator's output look like the real pictures?

Shapes: x and y are feature matrices n d and m d of `features.network`; n and m may differ. Everything is computed in
float64, and draws no random numbers.
"""

import torch
from torch import Tensor

from i2i.errors import UserError
from i2i.metrics.intervals import Interval, jackknife

ROWS = 4096  # of a kernel matrix that are in memory at once


def fid(x: Tensor, y: Tensor) -> float:
    """Fréchet distance of two Gaussians fitted to the features (Heusel et al. 2017, arXiv 1706.08500), ≥ 0.

        ‖μ_x - μ_y‖² + Tr Σ_x + Tr Σ_y - 2 Tr (Σ_x Σ_y)^½

    Biased: it shrinks as n and m grow, and far below a few thousand pictures it is mostly bias. So compare only values
    of equal n and m, and put the value of real pictures against real ones beside them; `kid` has no such bias.
    Raises UserError for fewer than 2 pictures.
    """
    x, y = _at_least_two(x, y)
    # With Σ_x = AᵀA and Σ_y = BᵀB the eigenvalues of Σ_x Σ_y are the squared singular values of ABᵀ: no square root of
    # a d × d matrix, which is nearly singular, has to be taken, and at small n the matrix is only n × m.
    a, b = _root(x), _root(y)
    means = (x.mean(0) - y.mean(0)).square().sum()
    value = means + a.square().sum() + b.square().sum() - 2 * torch.linalg.svdvals(a @ b.T).sum()
    return max(0.0, value.item())  # equal sets may round to -1e-12


def kid(x: Tensor, y: Tensor) -> float:
    """Squared maximum mean discrepancy with the kernel (xᵀy / d + 1)³ (Bińkowski et al. 2018, arXiv 1801.01401).

    Unbiased, so it may be slightly negative. All pictures are used at once: averages over random subsets, as published
    KIDs mostly are, have the same expectation and more noise. Raises UserError for fewer than 2 pictures.
    """
    x, y = _at_least_two(x, y)
    n, m = len(x), len(y)
    within_x = (_kernel_sum(x, x) - _kernel_diagonal(x)) / (n * (n - 1))
    within_y = (_kernel_sum(y, y) - _kernel_diagonal(y)) / (m * (m - 1))
    return (within_x + within_y - 2 * _kernel_sum(x, y) / (n * m)).item()


def diversity(x: Tensor) -> float:
    """Mean cosine distance over all pairs of pictures, from 0 (all the same: a collapsed generator) to 1.

    To 1 and not 2, because features are never negative. Raises UserError for fewer than 2 pictures.
    """
    (x,) = _at_least_two(x)
    n = len(x)
    total = torch.nn.functional.normalize(x, dim=1).sum(0).square().sum()  # n ones, and each pair's cosine twice
    return max(0.0, 1 - ((total - n) / (n * (n - 1))).item())


def relative_diversity(x: Tensor, y: Tensor) -> float:
    """`diversity` of x as a share of that of y, the real pictures: 1 is as it should be; 0 where y has none."""
    of_real = diversity(y)
    return diversity(x) / of_real if of_real else 0.0


def compare(x: Tensor, y: Tensor, suffix: str) -> dict[str, Interval]:
    """All of the above for generated x against real y, with 95 % intervals; `suffix` tells whose features they are."""
    return {
        f"fid{suffix}": jackknife(fid, x, y),
        f"kid{suffix}": jackknife(kid, x, y),
        "diversity": jackknife(relative_diversity, x, y),
    }


def _at_least_two(*sets: Tensor) -> tuple[Tensor, ...]:
    if min(len(x) for x in sets) < 2:
        got = " and ".join(str(len(x)) for x in sets)
        raise UserError(f"Scores of whole sets of pictures need at least 2 on each side, got {got}.")
    return tuple(x.double() for x in sets)


def _root(x: Tensor) -> Tensor:
    """A with AᵀA = Σ, the unbiased covariance of the rows of x; at most d rows."""
    a = (x - x.mean(0)) / (len(x) - 1) ** 0.5
    return torch.linalg.qr(a, mode="r").R if len(a) > a.shape[1] else a


def _kernel_sum(x: Tensor, y: Tensor) -> Tensor:
    parts = [(rows @ y.T / x.shape[1] + 1).pow(3).sum() for rows in x.split(ROWS)]
    return torch.stack(parts).sum()


def _kernel_diagonal(x: Tensor) -> Tensor:
    return (x.square().sum(1) / x.shape[1] + 1).pow(3).sum()

"""95 % intervals: how far a score would move with other pictures of the same kind. No random numbers are drawn."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from scipy.special import stdtrit
from torch import Tensor

GROUPS = 10


class Interval(NamedTuple):
    """value ± half, a 95 % interval; half is nan where there are too few pictures to tell."""

    value: float
    half: float


def mean(values: Tensor) -> Interval:
    """The mean of one value a picture, by Student's t: wider than 1.96 standard errors where pictures are few."""
    n = len(values)
    values = values.double()
    half = _quantile(n - 1) * values.std().item() / n**0.5 if n > 1 else math.nan
    return Interval(values.mean().item(), half)


def jackknife(statistic: Callable[..., float], *sets: Tensor) -> Interval:
    """A score of whole sets of pictures, such as FID: by leaving out every tenth picture, ten times (Tukey 1958).

    Not a bootstrap: its resamples hold pictures twice, which FID and KID take for a narrower distribution. Item i of
    one set and item i of another are left out together, for they may belong to one picture and its translation.
    A bias that comes with the number of pictures (FID's) is not in the interval.
    """
    value = statistic(*sets)
    fewest = min(len(x) for x in sets)
    groups = min(GROUPS, fewest)
    if fewest - math.ceil(fewest / groups) < 2:
        return Interval(value, math.nan)
    places = [torch.arange(len(x), device=x.device) % groups for x in sets]
    without = [statistic(*(x[place != g] for x, place in zip(sets, places, strict=True))) for g in range(groups)]
    spread = torch.tensor(without, dtype=torch.float64)
    error = math.sqrt((groups - 1) * spread.var(correction=0).item())
    return Interval(value, _quantile(groups - 1) * error)


def _quantile(freedom: int) -> float:
    return float(stdtrit(freedom, 0.975))

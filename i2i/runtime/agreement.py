"""The statistics of a picture's norms, when the picture is too large to be in memory at once.

Each norm's statistics depend on those of all norms before it, so what one pass over the tiles has seen is wrong as soon
as it is used: errors grow from norm to norm, and passes that feed each other move away from the truth before they come
to it. A smaller picture, on the other hand, is seen at once, and its statistics fit together, but they are others. So
the two are joined as the coarse and the fine grid are in defect correction (Brandt 1977; Stetter 1978):

    1. The smaller picture gives statistics s that fit together.
    2. All tiles, normalised with s, tell what the norms of the large picture see: t.
    3. The smaller picture again: each norm corrects what it sees by what t differed from it, and all fit together.

2 and 3 are repeated until nothing moves: each round leaves a small part of the error, as measured in
benchmarks/translate.py. Shapes: c channels of a norm.
"""

from collections.abc import Callable, Sequence

import numpy as np

Statistics = tuple[np.ndarray, np.ndarray]  # of one norm: mean and variance, c each
ROUNDS = 3
STILL = 2e-3  # standard deviations; less is not seen in the picture
TINY = 1e-12  # variance of a flat channel, which no correction should divide by
MOST = 16.0  # a variance is corrected by no larger factor


def agreed(
    small: Callable[[Sequence[Statistics]], list[Statistics]],
    large: Callable[[Sequence[Statistics]], list[Statistics]],
    norms: int,
    rounds: int = ROUNDS,
) -> list[Statistics]:
    """The statistics that a large picture's norms agree on.

    `small`: (shift, ratio) of each norm → the statistics of the smaller picture when each norm takes
    mean + shift · √variance and ratio · variance of what it sees. `large`: statistics → what the norms of the large
    picture see when they take these.
    """
    corrections: list[Statistics] = [(np.zeros(1), np.ones(1))] * norms
    used = small(corrections)
    for _ in range(rounds):
        seen = large(used)
        corrections = [_correction(*each) for each in zip(used, seen, corrections, strict=True)]
        last, used = used, small(corrections)
        if max(_moved(*pair) for pair in zip(last, used, strict=True)) < STILL:
            break
    return used


def pooled(statistics: Sequence[Statistics], areas: Sequence[float], around: np.ndarray) -> Statistics:
    """Of all tiles: from each tile's E[x - around] and E[(x - around)²], and its area."""
    weights = np.asarray(areas, np.float64) / np.sum(areas)
    first, second = (np.tensordot(weights, np.asarray([each[k] for each in statistics], np.float64), 1) for k in (0, 1))
    return around + first, np.maximum(second - first**2, 0)


def _correction(used: Statistics, seen: Statistics, before: Statistics) -> Statistics:
    """From what the small picture's norm has taken, and with which correction, to what the large picture's has seen."""
    shift, ratio = before
    variance = np.maximum(used[1] / ratio, TINY)
    deviation = np.sqrt(variance)
    mean = used[0] - shift * deviation
    return (seen[0] - mean) / deviation, np.clip(seen[1] / variance, 1 / MOST, MOST)


def _moved(last: Statistics, now: Statistics) -> float:
    """The largest change of a mean or a deviation, in deviations."""
    deviation = np.sqrt(np.maximum(now[1], TINY))
    return float(max(np.max(np.abs(now[0] - last[0]) / deviation), np.max(np.abs(np.sqrt(last[1]) / deviation - 1))))

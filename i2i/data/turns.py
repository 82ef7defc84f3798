"""Several sets as one stream: each part goes its own way, and the ratios say whose turn it is."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from i2i.data.walks import Slot, Walk

PERIOD = 10_000  # samples after which all parts have had their shares to the last one, where ratios are odd numbers


@dataclass(frozen=True, eq=False)
class Mixed:
    """After any number of samples, each part has had its share of them, rounded down or up."""

    parts: tuple[Walk, ...]
    ratios: tuple[float, ...]
    even: bool = False  # over the ranks, too: each is given the turns that its own places have

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def reach(self) -> int:
        return sum(part.reach for part in self.parts)

    @functools.cached_property
    def starts(self) -> np.ndarray:
        """The number of each part's first picture, and at the end that of all pictures."""
        return np.cumsum([0, *(len(part) for part in self.parts)])

    def slot(self, seed: int, stream: int, at: int) -> Slot:
        order, before = turns(self.ratios)
        whole, rest = divmod(at, len(order))
        number = int(order[rest])
        own = self.parts[number].slot(seed, stream, whole * int(before[-1, number]) + int(before[rest, number]))
        start = int(self.starts[number])
        return Slot(stream, own.epoch, start + own.item, start + own.draw)

    def replacement(self, item: int, rng: np.random.Generator, near: bool) -> int:
        if not near:
            item = int(rng.integers(len(self)))
        number = int(np.searchsorted(self.starts, item, side="right")) - 1
        start = int(self.starts[number])
        return start + self.parts[number].replacement(item - start, rng, near)

    def coming(self, seed: int, stream: int, at: int) -> list[int]:
        order, before = turns(self.ratios)
        whole, rest = divmod(at, len(order))
        had = whole * before[-1] + before[rest]
        return [
            int(start) + item
            for part, start, own in zip(self.parts, self.starts[:-1], had.tolist(), strict=True)
            for item in part.coming(seed, stream, own)
        ]

    def spread(self, count: int) -> list[int]:
        """As many from each part as fall into it when they are spread over all."""
        count = min(count, len(self))
        ends = np.linspace(0, len(self), count, endpoint=False) + len(self) / count / 2
        counts = np.diff(np.searchsorted(ends, self.starts))
        return [
            int(start) + item
            for part, start, own in zip(self.parts, self.starts[:-1], counts.tolist(), strict=True)
            for item in part.spread(own)
        ]

    def part(self, number: int) -> Walk:
        raise NotImplementedError("a mix has no mixes in it")


def mixed(walks: Sequence[Walk], ratios: Sequence[float], even: bool = False) -> Mixed:
    """One stream of several, in the given ratios."""
    return Mixed(tuple(walk.part(number) for number, walk in enumerate(walks, 1)), tuple(ratios), even)


@functools.lru_cache(maxsize=8)
def turns(ratios: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Whose turn it is at each place of a period, (t,), and how many each part has had before it, (t + 1, parts).

    Balinski and Young's quota method (1975): the next turn is that of the part which has the fewest for its ratio, of
    those which stay within their share rounded up. It is the one rule that keeps all within rounding at every place.
    """
    seats = _seats(ratios)
    period, had = sum(seats), [0] * len(seats)
    order, before = np.empty(period, np.int32), np.empty((period + 1, len(seats)), np.int64)
    for place in range(period):
        before[place] = had
        open_to = [i for i, own in enumerate(seats) if had[i] * period < own * (place + 1)]
        turn = max(open_to, key=lambda i: (Fraction(seats[i], had[i] + 1), -i))
        order[place] = turn
        had[turn] += 1
    before[period] = had
    return order, before


def _seats(ratios: tuple[float, ...]) -> list[int]:
    """The ratios as the smallest whole numbers; those with a sum beyond PERIOD by the largest remainder, 1 at least."""
    exact = [Fraction(str(ratio)) for ratio in ratios]
    scale = math.lcm(*(ratio.denominator for ratio in exact))
    whole = [int(ratio * scale) for ratio in exact]
    whole = [number // math.gcd(*whole) for number in whole]
    total = sum(whole)
    if total <= PERIOD:
        return whole
    seats = [max(1, number * PERIOD // total) for number in whole]
    by_remainder = sorted(range(len(whole)), key=lambda i: -(whole[i] * PERIOD % total))
    for i in by_remainder[: max(0, PERIOD - sum(seats))]:
        seats[i] += 1
    return seats

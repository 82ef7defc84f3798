"""The ways through a stream of pictures: what is its s-th sample? Each is a pure function of the keys and of s."""

import functools
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from i2i.data import keys
from i2i.data.tables.columns import Sums

GOLDEN = (5**0.5 - 1) / 2
FEW = 8  # shards that are opened to look at some pictures of a stream


class Slot(NamedTuple):
    """One sample's place in the order: its stream (the side of unpaired data), epoch and picture.

    `draw` is what tells it from the others of its epoch: the picture's own number, unless one may be drawn twice.
    """

    stream: int
    epoch: int
    item: int
    draw: int


class Walk(Protocol):
    """A way through the pictures 0..len-1 of a stream."""

    def __len__(self) -> int: ...

    @property
    def reach(self) -> int:
        """How many of the pictures can be drawn at all."""

    def slot(self, seed: int, stream: int, at: int) -> Slot:
        """Sample `at` since the start."""

    def replacement(self, item: int, rng: np.random.Generator, near: bool) -> int:
        """A picture that may stand where `item` cannot be used; `near`: from the same shard, part."""

    def coming(self, seed: int, stream: int, at: int) -> list[int]:
        """A picture of each shard that sample `at` and those soon after it need; [] where there are no shards."""

    def spread(self, count: int) -> list[int]:
        """Up to `count` different pictures, evenly spread: always the same ones."""

    def part(self, number: int) -> "Walk":
        """The same way with randomness of its own, for part `number` >= 1 of a mix."""


def evenly(length: int, count: int) -> list[int]:
    """Up to `count` of 0..length-1, the first and the last among them."""
    return np.linspace(0, length - 1, min(count, length)).round().astype(int).tolist()


@dataclass(frozen=True)
class Plain:
    """Every picture once an epoch, each epoch in an order of its own."""

    length: int
    key: tuple[int, ...] = ()

    def __len__(self) -> int:
        return self.length

    @property
    def reach(self) -> int:
        return self.length

    def slot(self, seed: int, stream: int, at: int) -> Slot:
        epoch, at = divmod(at, self.length)
        item = keys.place(at, self.length, seed, epoch, stream, *self.key)
        return Slot(stream, epoch, item, item)

    def replacement(self, item: int, rng: np.random.Generator, near: bool) -> int:
        return int(rng.integers(self.length))

    def coming(self, seed: int, stream: int, at: int) -> list[int]:
        return []

    def spread(self, count: int) -> list[int]:
        return evenly(self.length, count)

    def part(self, number: int) -> Walk:
        return Plain(self.length, (number,))


@dataclass(frozen=True)
class Weighted:
    """Pictures in proportion to their weights, as many an epoch as there are pictures.

    Systematic sampling (Madow 1949): n points at equal distances on the line of all weights end to end, moved by one
    number for the epoch; a picture of the expected count c comes floor(c) or ceil(c) times. That number goes on by the
    golden section from epoch to epoch (a Kronecker sequence), so that counts are even over the epochs as well. `sums`
    holds the pictures in a shuffled order, or neighbours in the table would share their epochs.
    """

    sums: Sums
    key: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.sums)

    @property
    def reach(self) -> int:
        return self.sums.drawn

    def slot(self, seed: int, stream: int, at: int) -> Slot:
        n = len(self)
        epoch, at = divmod(at, n)
        draw = keys.place(at, n, seed, epoch, stream, *self.key)
        move = (_start(seed, stream, self.key) + epoch * GOLDEN) % 1
        return Slot(stream, epoch, self.sums.item((draw + move) / n), draw)

    def replacement(self, item: int, rng: np.random.Generator, near: bool) -> int:
        return self.sums.item(rng.random())

    def coming(self, seed: int, stream: int, at: int) -> list[int]:
        return []

    def spread(self, count: int) -> list[int]:
        return evenly(len(self), count)

    def part(self, number: int) -> Walk:
        return Weighted(self.sums, (number,))


@dataclass(frozen=True, eq=False)
class Sharded:
    """Shards one after the other, in an order of its own each epoch; pictures are shuffled within a window of `buffer`.

    `starts`: the number of each shard's first picture, and at the end that of all pictures; (shards + 1,) int64. The
    first window of an epoch is shortened by chance, so that the edges of the windows do not stay where they are.
    """

    starts: np.ndarray
    buffer: int
    key: tuple[int, ...] = ()

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def reach(self) -> int:
        return len(self)

    def slot(self, seed: int, stream: int, at: int) -> Slot:
        epoch, at = divmod(at, len(self))
        number, first, last = self._window(seed, stream, epoch, at)
        inside = keys.place(at - first, last - first, seed, epoch, stream, number, *self.key, 0)  # 0: no part's key
        order, ends = _in_order(self, seed, stream, epoch)
        nth = int(np.searchsorted(ends, first + inside, side="right"))
        item = int(self.starts[order[nth] + 1] - ends[nth]) + first + inside
        return Slot(stream, epoch, item, item)

    def replacement(self, item: int, rng: np.random.Generator, near: bool) -> int:
        if not near:
            return int(rng.integers(len(self)))
        shard = int(np.searchsorted(self.starts, item, side="right")) - 1
        return int(rng.integers(self.starts[shard], self.starts[shard + 1]))

    def coming(self, seed: int, stream: int, at: int) -> list[int]:
        epoch, at = divmod(at, len(self))
        _, first, last = self._window(seed, stream, epoch, at)
        found = self._needed(seed, stream, epoch, first, last)
        if last == len(self):
            epoch, last = epoch + 1, 0
        _, first, last = self._window(seed, stream, epoch, last)
        return list(dict.fromkeys([*found, *self._needed(seed, stream, epoch, first, last)]))

    def spread(self, count: int) -> list[int]:
        """From a few shards if they hold as many: the others need not be fetched for it."""
        lengths = np.diff(self.starts)
        few = evenly(len(lengths), FEW)
        while lengths[few].sum() < count and len(few) < len(lengths):
            few = evenly(len(lengths), 2 * len(few))
        there = np.concatenate([np.arange(self.starts[shard], self.starts[shard + 1]) for shard in few])
        return there[evenly(len(there), count)].tolist()

    def part(self, number: int) -> Walk:
        return Sharded(self.starts, self.buffer, (number,))

    def _window(self, seed: int, stream: int, epoch: int, at: int) -> tuple[int, int, int]:
        """(number, first place, end) of the window that holds place `at` of an epoch."""
        move = _shift(self.buffer, seed, stream, epoch, self.key)
        number = (at + move) // self.buffer
        edge = number * self.buffer - move
        return number, max(0, edge), min(edge + self.buffer, len(self))

    def _needed(self, seed: int, stream: int, epoch: int, first: int, last: int) -> list[int]:
        order, ends = _in_order(self, seed, stream, epoch)
        near = np.searchsorted(ends, (first, last - 1), side="right")
        shards = order[near[0] : near[1] + 1]
        return self.starts[shards[self.starts[shards] < self.starts[shards + 1]]].tolist()


@functools.lru_cache(maxsize=64)
def _start(seed: int, stream: int, key: tuple[int, ...]) -> float:
    return keys.generator(keys.DRAW, seed, stream, *key).random()


@functools.lru_cache(maxsize=64)
def _shift(buffer: int, seed: int, stream: int, epoch: int, key: tuple[int, ...]) -> int:
    return int(keys.generator(keys.SHARDS, seed, epoch, stream, *key).integers(buffer))


@functools.lru_cache(maxsize=16)
def _in_order(walk: Sharded, seed: int, stream: int, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """The shards in an epoch's order, and where in the epoch each of them ends."""
    order = keys.generator(keys.SHARDS, seed, epoch, stream, *walk.key, 0).permutation(len(walk.starts) - 1)
    return order, np.diff(walk.starts)[order].cumsum()

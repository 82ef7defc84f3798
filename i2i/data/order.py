"""Which pictures a batch is made of, from keys alone: nothing is read, nothing is remembered.

Sample j of batch p has the global position s = p·n + j, the epoch e = s // N and the index permutation(seed, e)[s % N],
for n samples in a batch over all ranks and N pictures in a stream.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from i2i.data import keys


class Slot(NamedTuple):
    """One sample's place in the order: its stream (the side of unpaired data), epoch and picture."""

    stream: int
    epoch: int
    item: int


@dataclass(frozen=True)
class Order:
    """`lengths` of the streams, `batch` over all ranks, and the `share` of it that this rank is given."""

    lengths: tuple[int, ...]
    batch: int
    seed: int
    share: range

    def slots(self, position: int) -> list[list[Slot]]:
        """This rank's samples of batch `position`, for each stream."""
        return [[self._slot(stream, position * self.batch + j) for j in self.share] for stream in self._streams()]

    def candidates(self, slot: Slot) -> Iterator[int]:
        """The pictures that may fill a slot: its own, then endlessly those that replace it where it is unusable.

        A replacement is drawn for the slot alone, so that the place of every other picture stays as it was.
        """
        yield slot.item
        attempt = 0
        while True:
            attempt += 1
            rng = keys.generator(keys.REPLACE, self.seed, slot.epoch, slot.item, slot.stream, attempt)
            yield int(rng.integers(self.lengths[slot.stream]))

    def _streams(self) -> range:
        return range(len(self.lengths))

    def _slot(self, stream: int, position: int) -> Slot:
        epoch, at = divmod(position, self.lengths[stream])
        return Slot(stream, epoch, int(keys.permutation(self.lengths[stream], self.seed, epoch, stream)[at]))

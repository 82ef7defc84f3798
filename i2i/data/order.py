"""Which pictures a batch is made of, from keys alone: nothing is read, nothing is remembered.

Sample j of batch p has the global position s = p·n + j, for n samples in a batch over all ranks. Each stream has a
walk, which says what its sample s is: of a folder, say, picture permutation(seed, e)[s % N] of epoch e = s // N.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

from i2i.data import keys
from i2i.data.turns import Mixed
from i2i.data.walks import Slot, Walk

NEAR = 100  # replacements that are looked for in the same part or shard, before any other will do


@dataclass(frozen=True)
class Order:
    """The `walks` of the streams, `batch` over all ranks, and the `share` of it that this rank is given."""

    walks: tuple[Walk, ...]
    batch: int
    seed: int
    share: range

    @property
    def lengths(self) -> tuple[int, ...]:
        """Pictures of each stream."""
        return tuple(len(walk) for walk in self.walks)

    def slots(self, position: int) -> list[list[Slot]]:
        """This rank's samples of batch `position`, for each stream."""
        return [
            [walk.slot(self.seed, stream, position * self.batch + j) for j in self._places(stream, position)]
            for stream, walk in enumerate(self.walks)
        ]

    def candidates(self, slot: Slot) -> Iterator[int]:
        """The pictures that may fill a slot: its own, then endlessly those that replace it where it is unusable.

        A replacement is drawn for the slot alone, so that the place of every other picture stays as it was.
        """
        yield slot.item
        walk = self.walks[slot.stream]
        for attempt in count(1):
            rng = keys.generator(keys.REPLACE, self.seed, slot.epoch, slot.draw, slot.stream, attempt)
            yield walk.replacement(slot.item, rng, near=attempt <= NEAR)

    def coming(self, position: int) -> list[tuple[int, int]]:
        """(stream, item) of a picture from each shard that batches soon after `position` will need."""
        at = (position + 1) * self.batch
        return [(s, item) for s, walk in enumerate(self.walks) for item in walk.coming(self.seed, s, at)]

    def _places(self, stream: int, position: int) -> list[int]:
        walk = self.walks[stream]
        if not isinstance(walk, Mixed) or walk.even:
            return list(self.share)
        # The parts take turns; no rank shall always have the same one's.
        order = keys.generator(keys.TURNS, self.seed, position, stream).permutation(self.batch)
        return order[self.share.start : self.share.stop].tolist()

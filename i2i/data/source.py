"""Batch number p → its samples. A function of the keys and the files, run in the main process or in any worker."""

from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from i2i.data import gaussians, keys
from i2i.data.augment import augmented, pipeline
from i2i.data.cache import open_cache
from i2i.data.drawing import with_sketch
from i2i.data.order import Order, Slot
from i2i.data.reading import Unusable, files, fitting, item
from i2i.data.spec import Data, MixtureData, Pictures
from i2i.data.split import Split
from i2i.data.tables.columns import Column
from i2i.errors import UserError

# What travels from a worker: pictures as uint8 n h w c (and labels), or None where too few are usable; the reason
# why of every unusable picture met, by its path; and why nothing is cached, if so. Plain types: a loader pins them.
Made = tuple[list[torch.Tensor] | None, dict[str, str], str | None]


class Source(Dataset[Any]):
    """`source[p]` is batch p, or the UserError met on the way: a loader would wrap what a worker raises."""

    def __init__(self, spec: Data, split: Split, order: Order, allowed: int) -> None:
        self.spec, self.split, self.order, self.allowed = spec, split, order, allowed
        self.unusable: list[dict[int, Unusable]] = [{} for _ in order.walks]  # by stream and index: each is tried once
        if not isinstance(spec, MixtureData):
            self.cache = open_cache(spec, split)
            self.compose = pipeline(spec)

    def __getitem__(self, position: int) -> Made | UserError:
        try:
            if isinstance(self.spec, MixtureData):
                share, n = self.order.share, self.order.batch
                points = gaussians.points(self.spec, self.split.name, n, self.order.seed, position)
                return [points[share.start : share.stop]], {}, None
            self._prefetch(position)
            return self._pictures(self.spec, position)
        except UserError as problem:
            return problem

    def _pictures(self, spec: Pictures, position: int) -> Made:
        columns = []
        labels: list[int] | None = [] if spec.labelled else None
        met: dict[str, str] = {}
        for slots in self.order.slots(position):
            rows = []
            for slot in slots:
                index, pictures = self._first_usable(spec, slot, met)
                if pictures is None:
                    return None, met, None
                # The slot's own key, also for a replacement: it gets another window than at its own place.
                rng = keys.generator(keys.AUGMENT, self.order.seed, slot.epoch, slot.draw, slot.stream)
                pictures = augmented(pictures, spec, self.compose, rng, slot.stream)
                key = (self.order.seed, slot.epoch, slot.draw)
                rows.append(with_sketch(pictures, spec, keys.generator(keys.SKETCH, *key)))
                if labels is not None and slot.stream == 0:
                    labels.append(self.split.labels[index])
            columns += [np.stack(column) for column in zip(*rows, strict=True)]
        return tensors(columns, labels), met, self.cache.trouble if self.cache else None

    def _prefetch(self, position: int) -> None:
        """Bring the shards that are needed next onto this machine, in the background."""
        for stream, index in self.order.coming(position):
            column = self.split.files[stream]  # of paired data, any: what belongs together lies in one shard
            if isinstance(column, Column):
                column.ahead(index)

    def _first_usable(self, spec: Pictures, slot: Slot, met: dict[str, str]) -> tuple[int, list[np.ndarray] | None]:
        """The first candidate that can be used; None once more are unusable than may be, or all of the stream are."""
        unusable = self.unusable[slot.stream]
        for index in self.order.candidates(slot):
            if index not in unusable:
                try:
                    return index, self._item(spec, slot.stream, index)
                except Unusable as problem:
                    unusable[index] = problem
            met[str(unusable[index].path)] = unusable[index].reason
            if len(met) > self.allowed or len(unusable) == self.order.walks[slot.stream].reach:
                break
        return slot.item, None

    def _item(self, spec: Pictures, stream: int, index: int) -> list[np.ndarray]:
        """The item as `load` and `fit` say, from the cache if it is there."""
        path = files(spec, self.split, stream, index)[0]
        number = sum(self.order.lengths[:stream]) + index
        if self.cache and (kept := self.cache.get(number)) is not None:
            return fitting(kept, spec, path)
        pictures = fitting(item(spec, self.split, stream, index, spec.load), spec, path)
        if self.cache:
            self.cache.put(number, pictures)
        return pictures


def tensors(columns: list[np.ndarray], labels: list[int] | None) -> list[torch.Tensor]:
    """A batch of bytes: pictures n h w c for each side, and labels (n,) unless they are None."""
    made = [torch.from_numpy(column) for column in columns]
    return made if labels is None else [*made, torch.tensor(labels, dtype=torch.int64)]

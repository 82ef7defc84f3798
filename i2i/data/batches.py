"""An endless stream of batches that is a pure function of (seed, position).

Legend: n batch, c channels, h height, w width, N length of a side. Sample j of batch p has the global position
s = p·n + j, the epoch e = s // N and the index permutation(seed, e)[s % N]; its crop, mirror and augmentations are
drawn from the key (seed, e, index). So a run resumed at position p sees bit for bit what the uninterrupted one saw.
"""

import atexit
import itertools
import os
import signal
import time
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from i2i.data import keys, mixture
from i2i.data.augment import augmented, centred, pipeline
from i2i.data.edges import edges
from i2i.data.layouts import Split, open_split
from i2i.data.reading import Memory, item, same_size, streams
from i2i.data.spec import Data, LabelledData, MixtureData, PairedData, Pictures, UnpairedData
from i2i.errors import UserError

Batch = torch.Tensor | tuple[torch.Tensor, torch.Tensor]

CACHE = 2**28  # bytes of decoded pictures held in memory, by all workers together


class Batches(Iterator[Any]):
    """Endless: paired and unpaired give (a, b), unlabelled x, labelled (x, y), mixture x of shape (n, 2).

    Pictures are float32 n c h w in [-1, 1] on `device`, labels int64 (n,). `position` is the number of batches given
    so far; start from it and the stream goes on bit for bit, with any number of workers. With `world` ranks, `batch`
    is what all of them see in one step and each gets its share of it: the order is the same for any number of ranks.
    """

    def __init__(
        self,
        spec: Data,
        split: str = "train",
        batch: int = 16,
        seed: int = 0,
        device: torch.device | str = "cpu",
        position: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if batch < 1 or batch % world:
            raise UserError(f"batch: expected a positive multiple of the {world} processes, got {batch}.")
        self.spec, self.device, self.position = spec, torch.device(device), position
        self.split = open_split(spec, split)
        self.epoch_length = max(1, len(self.split) // batch)
        self.waited = 0.0  # seconds that `next` spent until the data was there
        workers = _workers(spec, self.device)
        share = range(rank * (batch // world), (rank + 1) * (batch // world))
        source = _Source(spec, self.split, batch, seed, share, CACHE // max(1, workers))
        _OPEN.add(self)
        self._raw: Iterator[Any] = map(source.__getitem__, itertools.count(position))
        if workers:
            self._raw = iter(
                DataLoader(
                    source,
                    batch_size=None,  # an item of the source is a whole batch
                    sampler=_From(position),
                    num_workers=workers,
                    worker_init_fn=_start_worker,
                    generator=torch.Generator().manual_seed(seed),  # or it would draw from the global one
                    pin_memory=self.device.type == "cuda",
                )
            )

    def __next__(self) -> Batch:
        began = time.perf_counter()
        raw = next(self._raw)
        self.waited += time.perf_counter() - began
        if isinstance(raw, UserError):
            self.close()  # or the workers would live on in the exception's traceback
            raise raw
        self.position += 1
        return _finish(self.spec, raw, self.device)

    def close(self) -> None:
        """Stop the workers. The stream ends here; another one may start at `position`."""
        self._raw = iter(())  # dropping the loader's iterator joins its processes


def fixed(spec: Data, split: str, count: int, device: torch.device | str = "cpu") -> Batch:
    """Up to `count` items spread evenly over a split, always the same ones, as they are tested (see `centred`)."""
    opened = open_split(spec, split)
    if isinstance(spec, MixtureData):
        return mixture.points(spec, split, count, 0).to(device)
    lengths = streams(spec, opened)
    count = min(count, *lengths)
    chosen = [np.linspace(0, length - 1, count).round().astype(int).tolist() for length in lengths]
    return _finish(spec, _still(spec, opened, chosen), torch.device(device))


def in_order(spec: Data, split: str, batch: int, device: torch.device | str = "cpu") -> Iterator[Any]:
    """A split once from its first item to its last, as it is tested; the last batch may be smaller.

    Where unpaired sides differ in length the shorter one runs out first: its last batches hold fewer or 0 pictures.
    """
    opened = open_split(spec, split)
    for start in range(0, len(opened), batch):
        if isinstance(spec, MixtureData):
            yield mixture.points(spec, split, min(batch, len(opened) - start), 0, start).to(device)
        else:
            chosen = [list(range(start, min(start + batch, length))) for length in streams(spec, opened)]
            yield _finish(spec, _still(spec, opened, chosen), torch.device(device))


_OPEN: weakref.WeakSet[Batches] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Before multiprocessing's own exit, which waits for workers that nobody has told to stop."""
    for batches in list(_OPEN):
        batches.close()


class _Source(Dataset[Any]):
    """Batch number p → its pictures as uint8 n h w c tensors (and labels), or the UserError met on the way.

    An error is returned, not raised: a loader would wrap what a worker raises into its own traceback.
    """

    def __init__(self, spec: Data, split: Split, batch: int, seed: int, share: range, room: int) -> None:
        self.spec, self.split, self.batch, self.seed, self.share = spec, split, batch, seed, share
        if not isinstance(spec, MixtureData):
            self.memory = Memory(spec, split, room)
            self.compose = pipeline(spec)

    def __getitem__(self, position: int) -> list[torch.Tensor] | UserError:
        try:
            if isinstance(self.spec, MixtureData):
                points = mixture.points(self.spec, self.split.name, self.batch, self.seed, position)
                return [points[self.share.start : self.share.stop]]
            return self._pictures(self.spec, position)
        except UserError as problem:
            return problem

    def _pictures(self, spec: Pictures, position: int) -> list[torch.Tensor]:
        columns = []
        labels = []
        for stream, length in enumerate(streams(spec, self.split)):
            rows = []
            for j in self.share:
                epoch, at = divmod(position * self.batch + j, length)
                index = int(keys.permutation(length, self.seed, epoch, stream)[at])
                rng = keys.generator(keys.AUGMENT, self.seed, epoch, index, stream)
                rows.append(augmented(self.memory.resized(stream, index), spec, self.compose, rng))
                labels += [self.split.labels[index]] if self.split.labels else []
            columns += [np.stack(column) for column in zip(*rows, strict=True)]
        return _tensors(columns, labels)


class _From:
    """A sampler without state: p, p + 1, ..."""

    def __init__(self, position: int) -> None:
        self.position = position

    def __iter__(self) -> Iterator[int]:
        return itertools.count(self.position)


def _still(spec: Pictures, split: Split, chosen: list[list[int]]) -> list[torch.Tensor]:
    """The chosen indices of each stream, prepared for a test: no augmentation."""
    columns = []
    for stream, indices in enumerate(chosen):
        rows = [same_size(item(spec, split, stream, index), split, index) for index in indices]
        columns += [np.stack([centred(picture, spec) for picture in column]) for column in zip(*rows, strict=True)]
        if not rows:  # the shorter of two unpaired sides has run out
            assert isinstance(spec, UnpairedData)
            depth = spec.channels.b if stream else spec.channels.a
            columns.append(np.empty((0, spec.crop, spec.crop, depth), np.uint8))
    return _tensors(columns, [split.labels[index] for index in chosen[0]] if split.labels else [])


def _tensors(columns: list[np.ndarray], labels: list[int]) -> list[torch.Tensor]:
    tensors = [torch.from_numpy(column) for column in columns]
    return [*tensors, torch.tensor(labels)] if labels else tensors


def _finish(spec: Data, raw: list[torch.Tensor], device: torch.device) -> Batch:
    """Bytes travel to the device, a quarter of what floats would take; there they become [-1, 1] and drawings."""
    on_device = [part.to(device, non_blocking=True) for part in raw]
    if isinstance(spec, MixtureData):
        return on_device[0]
    if isinstance(spec, LabelledData):
        return _scaled(on_device[0]), on_device[1]
    pictures = [_scaled(part) for part in on_device]
    if isinstance(spec, PairedData) and spec.derive is not None:
        pictures = [edges(pictures[0], spec.derive.a, spec.channels.a), *pictures]
    return (pictures[0], pictures[1]) if len(pictures) == 2 else pictures[0]


def _scaled(pictures: torch.Tensor) -> torch.Tensor:
    """uint8 n h w c in [0, 255] → float32 n c h w in [-1, 1]."""
    return pictures.permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1


def _workers(spec: Data, device: torch.device) -> int:
    if isinstance(spec, MixtureData):
        return 0
    if spec.workers != "auto":
        return spec.workers
    return min(8, len(os.sched_getaffinity(0))) if device.type == "cuda" else 0


def _start_worker(_: int) -> None:
    # Ctrl-C and SIGTERM reach the whole process group; the run must be able to save before its loader is gone.
    # A second SIGTERM ends the worker, so that nothing which stops its children that way can wait for ever.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL))
    import cv2

    cv2.setNumThreads(0)  # a thread pool does not survive the fork that made this process

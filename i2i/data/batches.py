"""An endless stream of batches that is a pure function of (seed, position).

Legend: n batch, c channels, h height, w width. Which pictures batch p holds is told by `order`; the crop, mirror and
augmentations of each are drawn from the key (seed, epoch, index). So a run resumed at position p sees bit for bit what
the uninterrupted one saw.
"""

import atexit
import itertools
import signal
import sys
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from i2i.data import gaussians, keys
from i2i.data.augment import crop
from i2i.data.augment_batch import change
from i2i.data.crew import cores
from i2i.data.drawing import with_sketch
from i2i.data.finish import Batch, finish
from i2i.data.layouts import open_split
from i2i.data.order import NEAR, Order
from i2i.data.reading import files, fitting, item, nothing, streams
from i2i.data.reference import Reference
from i2i.data.source import Source, tensors
from i2i.data.spec import MOST, Data, MixtureData, Pictures
from i2i.data.split import Split
from i2i.data.walks import Plain, Walk
from i2i.errors import UserError


class Batches(Iterator[Any]):
    """Endless: paired and unpaired give (a, b), unlabelled x, labelled (x, y), mixture x of shape (n, 2); unpaired with
    `labels: a` gives (a, b, y).

    Pictures are float32 n c h w in [-1, 1] on `device`, labels int64 (n,). `position` is the number of batches given
    so far; start from it and the stream goes on bit for bit, with any number of workers. With `world` ranks, `batch`
    is what all of them see in one step and each gets its share of it: the order is the same for any number of ranks.

    A picture that cannot be used is replaced by another, its reason noted in `skipped` by its path, and `warn` told
    once in a line. `next` raises UserError when more of them have been met than the recipe's `skip` allows (which this
    rank counts, since its start).
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
        warn: Callable[[str], None] = warnings.warn,
    ) -> None:
        if batch < 1 or batch % world:
            raise UserError(f"batch: expected a positive multiple of the {world} processes, got {batch}.")
        self.spec, self.device, self.position, self.warn = spec, torch.device(device), position, warn
        self.split = open_split(spec, split)
        self.epoch_length = max(1, len(self.split) // batch)
        self.waited = 0.0  # seconds that `next` spent until the data was there
        self.skipped: dict[str, str] = {}
        self._trouble: str | None = None
        share = range(rank * (batch // world), (rank + 1) * (batch // world))
        self._order = Order(_walks(spec, self.split), batch, seed, share)
        self._change = None if isinstance(spec, MixtureData) else change(spec, seed, rank)
        source = Source(spec, self.split, self._order, self._allowed)
        _OPEN.add(self)
        self._raw: Iterator[Any] = map(source.__getitem__, itertools.count(position))
        if workers := _workers(spec, self.device):
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
        parts, unusable, trouble = raw
        new = {path: reason for path, reason in unusable.items() if path not in self.skipped}
        self.skipped |= new
        if parts is None or len(self.skipped) > self._allowed:
            self.close()
            raise UserError(self._too_many())
        self._tell(new, trouble)
        self.position += 1
        return finish(self.spec, parts, self.device, self.position - 1, self._change)

    def files(self, first: int, last: int) -> list[Reference]:
        """The files that batches first, ..., last - 1 are made from on this rank, as far as `skipped` is known."""
        if isinstance(self.spec, MixtureData):
            return []
        found: list[Reference] = []
        for slot in itertools.chain(*(s for p in range(first, last) for s in self._order.slots(p))):
            sources = (files(self.spec, self.split, slot.stream, i) for i in self._order.candidates(slot))
            few = itertools.islice(sources, 2 * NEAR)  # at most half may be unusable, so the chance to miss is 2^-99
            found += next((some for some in few if not any(str(path) in self.skipped for path in some)), [])
        return found

    def close(self) -> None:
        """Stop the workers. The stream ends here; another one may start at `position`."""
        self._raw = iter(())  # dropping the loader's iterator joins its processes

    @property
    def _allowed(self) -> int:
        return 0 if isinstance(self.spec, MixtureData) else self.spec.allowance(sum(self._order.lengths))

    def _tell(self, new: dict[str, str], trouble: str | None) -> None:
        for count, (path, reason) in enumerate(new.items(), start=len(self.skipped) - len(new) + 1):
            self.warn(
                f"{path}: {reason.rstrip('.')}. "
                f"Skipped: another picture takes its place ({count} of at most {self._allowed})."
            )
        if trouble and trouble != self._trouble:
            self._trouble = trouble
            self.warn(trouble)

    def _too_many(self) -> str:
        assert isinstance(self.spec, Pictures)
        total, met = sum(self._order.lengths), [f"{path}: {reason}" for path, reason in self.skipped.items()]
        over = len(met) > self._allowed
        if len(met) == 1:
            rest = ", or let a few be skipped: --set data.skip=0.01" if over else "; there is none to take its place."
            return f"{met[0].rstrip('.')}. Repair or remove it{rest}"
        listed = "\n".join(f"  {line}" for line in met[:5]) + ("\n  ..." if len(met) > 5 else "")
        why = f"`skip: {self.spec.skip:g}` allows {self._allowed}" if over else "none is left to take their place"
        share = min(MOST, 2 * len(met) / total)
        more = f", or let more be skipped: --set data.skip={share:.2g}" if over and share > self.spec.skip else "."
        return f"{len(met)} of {total:,} pictures cannot be used so far; {why}:\n{listed}\nRepair or remove them{more}"


def fixed(spec: Data, split: str, count: int, device: torch.device | str = "cpu") -> Batch:
    """Up to `count` items spread evenly over a split (of shards, over a few), always the same ones: as they are tested,
    without augmentation, and with an error for a picture that cannot be used."""
    opened = open_split(spec, split)
    if isinstance(spec, MixtureData):
        return gaussians.points(spec, split, count, 0).to(device)
    count = min(count, *streams(spec, opened))
    chosen = [walk.spread(count) for walk in _walks(spec, opened)]
    return finish(spec, _still(spec, opened, chosen), torch.device(device))


def in_order(spec: Data, split: str, batch: int, device: torch.device | str = "cpu") -> Iterator[Any]:
    """A split once from its first item to its last, as it is tested; the last batch may be smaller.

    Where unpaired sides differ in length the shorter one runs out first: its last batches hold fewer or 0 pictures.
    """
    opened = open_split(spec, split)
    for start in range(0, len(opened), batch):
        if isinstance(spec, MixtureData):
            yield gaussians.points(spec, split, min(batch, len(opened) - start), 0, start).to(device)
        else:
            chosen = [list(range(start, min(start + batch, length))) for length in streams(spec, opened)]
            yield finish(spec, _still(spec, opened, chosen), torch.device(device))


_OPEN: weakref.WeakSet[Batches] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Before multiprocessing's own exit, which waits for workers that nobody has told to stop."""
    for batches in list(_OPEN):
        batches.close()


class _From:
    """A sampler without state: p, p + 1, ..."""

    def __init__(self, position: int) -> None:
        self.position = position

    def __iter__(self) -> Iterator[int]:
        return itertools.count(self.position)


def _walks(spec: Data, split: Split) -> tuple[Walk, ...]:
    lengths = (len(split),) if isinstance(spec, MixtureData) else streams(spec, split)
    return split.walks or tuple(Plain(length) for length in lengths)


def _still(spec: Pictures, split: Split, chosen: list[list[int]]) -> list[torch.Tensor]:
    """The chosen indices of each stream, as they are tested: without augmentation, and all of them or an error.

    Resized to crop where `load` is set (the field's way), else the centre.
    """
    size = None if spec.load is None else spec.crop
    columns = []
    for stream, indices in enumerate(chosen):
        rows = []
        for i in indices:
            sides = fitting(item(spec, split, stream, i, size), spec, files(spec, split, stream, i)[0])
            sides = [crop(side, spec.crop, 0.5, 0.5) for side in sides]
            rows.append(with_sketch(sides, spec, keys.generator(keys.SKETCH, i)))
        columns += [np.stack(column) for column in zip(*rows, strict=True)]
        if not rows:  # the shorter of two unpaired sides has run out
            columns += nothing(spec, stream)
    return tensors(columns, [split.labels[index] for index in chosen[0]] if spec.labelled else None)


def _workers(spec: Data, device: torch.device) -> int:
    if isinstance(spec, MixtureData):
        return 0
    if spec.workers != "auto":
        return spec.workers
    return min(8, cores()) if device.type == "cuda" else 0


def _start_worker(_: int) -> None:
    # Ctrl-C and SIGTERM reach the whole process group; the run must be able to save before its loader is gone.
    # A second SIGTERM ends the worker, so that nothing which stops its children that way can wait for ever.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL))
    if cv2 := sys.modules.get("cv2"):  # loaded where there are augmentations, and slow to load for nothing
        cv2.setNumThreads(0)  # a thread pool does not survive the fork that made this process

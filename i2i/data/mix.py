"""Several sets of one layout → one split, gone through in the ratios that the recipe gives them."""

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

from i2i.data.spec import Part, Pictures, UnpairedData
from i2i.data.split import Split
from i2i.data.tables.columns import Joined, Renumbered
from i2i.data.turns import mixed
from i2i.data.walks import Plain, Walk
from i2i.errors import UserError


def list_mix(spec: Pictures, split: str, open_split: Callable[[Any, str], Split]) -> Split:
    """The parts' own splits, one after the other; in training each has its share of every batch.

    Classes are the names of all parts together. Raises UserError that names the part.
    """
    opened = [_open(spec, number, split, open_split) for number in range(len(spec.mix))]
    for number, found in enumerate(opened):
        if found.side_by_side != opened[0].side_by_side:
            kinds = ("in two files", "side by side in one")
            raise UserError(
                f"{_named(spec, number)} keeps its pairs {kinds[found.side_by_side]}, "
                f"and {_named(spec, 0)} {kinds[opened[0].side_by_side]}. They must be kept alike."
            )
    classes = tuple(sorted({name for found in opened for name in found.classes}))
    number_of = {name: number for number, name in enumerate(classes)}
    ratios = [part.ratio for part in spec.mix]
    streams = 2 if isinstance(spec, UnpairedData) else 1
    told = [[found.fingerprint, ratio] for found, ratio in zip(opened, ratios, strict=True)]
    stamps = [found.stamp for found in opened]
    return Split(
        name=split,
        root=None,
        files=tuple(Joined(sides) for sides in zip(*(found.files for found in opened), strict=True)),
        labels=Joined([Renumbered(f.labels, [number_of[name] for name in f.classes]) for f in opened])
        if classes
        else (),
        classes=classes,
        registered=all(found.registered for found in opened),
        side_by_side=opened[0].side_by_side,
        fingerprint=_sum(told),
        stamp=None if None in stamps else _sum(stamps),
        walks=tuple(mixed([_walk(found, stream) for found in opened], ratios) for stream in range(streams)),
    )


def _open(spec: Pictures, number: int, split: str, open_split: Callable[[Any, str], Split]) -> Split:
    own = spec.model_copy(update={"mix": (), **spec.mix[number].model_dump(exclude={"ratio"})})
    try:
        return open_split(own, split)
    except UserError as problem:
        raise UserError(f"{_named(spec, number)}: {problem}") from None


def _named(spec: Pictures, number: int) -> str:
    part: Part = spec.mix[number]
    return f"data.mix[{number}] ({part.dataset or part.root or part.manifest or part.shards})"


def _walk(split: Split, stream: int) -> Walk:
    return split.walks[stream] if split.walks else Plain(len(split.files[stream]))


def _sum(told: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()

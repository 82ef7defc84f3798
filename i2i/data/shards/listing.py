"""WebDataset tar files → the pictures of a split. Members are read where they lie; nothing is unpacked."""

import hashlib
import json
from collections.abc import Sequence

import numpy as np

from i2i.data.reference import Reference
from i2i.data.shards.index import Labels, Members, Shards
from i2i.data.shards.places import Found, Shard, find
from i2i.data.shards.remote import is_remote, local
from i2i.data.shards.tars import ANY, Picks, fields
from i2i.data.spec import Fractions, LabelledData, PairedData, Pictures, UnlabelledData, UnpairedData
from i2i.data.split import SPLITS, Split
from i2i.data.tables.columns import Column, Picked
from i2i.data.tables.shares import shares
from i2i.data.walks import Sharded
from i2i.errors import UserError, suggest


def list_shards(spec: Pictures, where: str, split: str) -> Split:
    """The pictures of `split` of WebDataset shards, in the order in which they lie there.

    A split's shards are those that the listing or their names give it. Without any, a share of those of train is held
    out: whole shards where there are enough of them, else single samples. Raises UserError.
    """
    found = find(where)
    group = split if split in found.splits else "train"
    if group not in found.splits:
        raise UserError(f"data.shards: {where} has no train shards.")
    own, share = _held_out(spec.split, found, group, split)
    if not own:
        raise UserError(_none_of(split, where, spec.split))
    picks, side_by_side = _picks(spec, found, own[0])
    known = all(shard.pictures if picks.alone else shard.samples for shard in own)
    known = known and bool(found.classes or not picks.label)
    shards = Shards(own, picks, known)
    files: list[Sequence[Reference]] = []
    walks = []
    chosen: dict[str, np.ndarray] = {}
    for name in picks.pictures:
        column: Column = Members(shards, name)
        starts = shards.starts[name]
        if share:
            chosen[name] = np.flatnonzero(shares(0, len(column), spec.split) == SPLITS.index(split))
            column, starts = Picked(column, chosen[name]), np.searchsorted(chosen[name], starts)
        if not len(column):
            raise UserError(_none_of(split, where, spec.split))
        files.append(column)
        walks.append(Sharded(starts, spec.buffer))
    classes = _classes(spec, found, shards)
    labels: Sequence[int] = Labels(shards, len(classes)) if picks.label else ()
    told = [[[shard.name, shard.version] for shard in own], vars(picks), split, spec.split.model_dump() if share else 0]
    return Split(
        name=split,
        root=None,
        files=tuple(files),
        labels=Picked(labels, chosen["a"]) if picks.label and share else labels,
        classes=classes,
        registered=isinstance(spec, PairedData) or (picks.alone and shards.together),
        side_by_side=side_by_side,
        fingerprint=hashlib.sha256(json.dumps(told).encode()).hexdigest(),
        stamp=None,
        walks=tuple(walks if isinstance(spec, UnpairedData) else walks[:1]),
    )


def _held_out(asked: Fractions, found: Found, group: str, split: str) -> tuple[tuple[Shard, ...], bool]:
    """(the shards of a split, whether it has only a share of their samples)."""
    shards = found.splits[group]
    if split in found.splits and split != "train":
        return shards, False
    wanted = {name: getattr(asked, name) for name in ("test", "val") if name not in found.splits}
    wanted = {name: share for name, share in wanted.items() if share}
    if split != "train" and split not in wanted:
        return (), False
    if not wanted:
        return shards, False
    if any(share * len(shards) < 1 for share in wanted.values()):
        return shards, True
    # Ordered by hash of the name: a shard added later does not reshuffle the others between the splits.
    shuffled = sorted(shards, key=lambda shard: hashlib.sha256(f"{asked.seed}/{shard.name}".encode()).digest())
    given: dict[str, set[Shard]] = {}
    for name, share in wanted.items():
        count = round(share * len(shards))
        given[name], shuffled = set(shuffled[:count]), shuffled[count:]
    given["train"] = set(shuffled)
    return tuple(shard for shard in shards if shard in given[split]), False


def _picks(spec: Pictures, found: Found, first: Shard) -> tuple[Picks, bool]:
    """What is read from each sample, and whether a picture holds both sides."""
    conditions = [each.name for each in spec.condition] if isinstance(spec, PairedData) else []
    known = ["a", "b", *conditions, "label"]
    for name in spec.columns:
        if name not in known:
            raise UserError(f"data.columns: shards have no {name!r} to be named.{suggest(name, known)}")

    def field(name: str, otherwise: str) -> str:
        return spec.columns.get(name, otherwise)

    if isinstance(spec, UnlabelledData | LabelledData):
        return Picks({"a": field("a", ANY)}, field("label", "cls") if isinstance(spec, LabelledData) else None), False
    if isinstance(spec, PairedData) and spec.derive is not None:
        return Picks({"b": field("b", ANY)}), False
    if isinstance(spec, PairedData) and not {"b", *conditions} & spec.columns.keys() and _in_one(found, first):
        return Picks({"a": field("a", ANY)}), True
    names = ["a", "b", *conditions]
    return Picks({name: field(name, name) for name in names}, alone=isinstance(spec, UnpairedData)), False


def _in_one(found: Found, shard: Shard) -> bool:
    """Whether pairs are kept as one picture that holds both sides: as the listing says, or the first sample shows."""
    if found.side_by_side is not None or (shard.samples and is_remote(shard.place)):
        return bool(found.side_by_side)
    return not any(field.startswith("b.") for field in fields(local(shard.place, shard.version), shard.place))


def _classes(spec: Pictures, found: Found, shards: Shards) -> tuple[str, ...]:
    """The listing's; without one, as many as the labels of train tell of."""
    if not isinstance(spec, LabelledData):
        return ()
    if found.classes:
        return found.classes
    of_train = found.splits["train"]
    shards = shards if shards.shards == of_train else Shards(of_train, shards.picks, known=False)
    return tuple(str(number) for number in range(shards.classes))


def _none_of(split: str, where: str, asked: Fractions) -> str:
    if split != "train" and not getattr(asked, split):
        return f"data.shards: {where} has no '{split}' shards, and data.split.{split} is 0. Set it to 0.1, say."
    return f"data.shards: {where} has no '{split}' pictures: no shards of that name, and too few samples to share."

"""Training pictures of which few have a label: what semi-supervised models learn from."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from i2i.data import keys
from i2i.data.spec import PartlyLabelledData
from i2i.data.split import Split
from i2i.data.tables.columns import Joined
from i2i.data.turns import mixed
from i2i.data.walks import Plain, Walk
from i2i.errors import UserError

UNKNOWN = -1  # the label of a picture whose class is not known


def partly_labelled(spec: PartlyLabelledData, split: Split) -> Split:
    """The split without the labels that are not to be known.

    For training it becomes two parts that take turns, so that of any even number of samples in a row half are of each:
    the pictures that have a label, and all pictures without theirs. Raises UserError for a class that lacks pictures.
    """
    split = _without(spec.unlabelled, split) if spec.unlabelled else split
    if split.name != "train":  # held-out pictures have labels, or tell nothing of a classifier
        return _of_known_classes(split) if spec.unlabelled else split
    labels = np.fromiter(split.labels, np.int64, len(split))
    chosen = [index for number in range(len(split.classes)) for index in _chosen(spec, split, labels, number)]
    chosen.sort()
    (pictures,) = split.files
    everyone: Walk = split.walks[0] if split.walks else Plain(len(split))
    told = [spec.labels, spec.split.seed]
    return replace(
        split,
        files=(Joined([[pictures[index] for index in chosen], pictures]),),
        labels=Joined([labels[chosen].tolist(), _Constant(UNKNOWN, len(split))]),
        fingerprint=_sum(split.fingerprint, told),
        stamp=None if split.stamp is None else _sum(split.stamp, told),
        walks=(mixed([Plain(len(chosen)), everyone], [1, 1], even=True),),
    )


def _chosen(spec: PartlyLabelledData, split: Split, labels: np.ndarray, number: int) -> list[int]:
    """The pictures of a class that keep their label."""
    own = np.flatnonzero(labels == number)
    wanted = spec.labels if spec.labels is not None else max(1, len(own))
    if len(own) < wanted:
        raise UserError(
            f"data.labels: {wanted} pictures of class {split.classes[number]!r} should keep their label, but only "
            f"{len(own)} are there to train on. Type --set data.labels={max(1, len(own))}, or add pictures."
        )
    order = keys.generator(keys.FEW, spec.split.seed, number).permutation(len(own))
    return own[order[:wanted]].tolist()


def _without(name: str, split: Split) -> Split:
    """The split with a class less, whose pictures have no label."""
    if name not in split.classes:
        raise UserError(f"data.unlabelled: there is no class folder {name!r}, only {', '.join(split.classes)}.")
    classes = tuple(each for each in split.classes if each != name)
    numbers = [classes.index(each) if each != name else UNKNOWN for each in split.classes]
    labels = [numbers[label] for label in split.labels]
    return replace(split, classes=classes, labels=labels, fingerprint=_sum(split.fingerprint, name))


def _of_known_classes(split: Split) -> Split:
    (pictures,) = split.files
    known = [index for index, label in enumerate(split.labels) if label != UNKNOWN]
    if not known:
        raise UserError(f"The {split.name} split has no pictures of a known class.")
    return replace(
        split,
        files=([pictures[index] for index in known],),
        labels=[split.labels[index] for index in known],
        stamp=None if split.stamp is None else _sum(split.stamp, len(known)),
    )


class _Constant(Sequence[int]):
    """The same number many times, without room for it."""

    def __init__(self, value: int, length: int) -> None:
        self._value, self._length = value, length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> int:  # type: ignore[override]
        if not 0 <= index < self._length:
            raise IndexError(index)
        return self._value


def _sum(told: str, more: object) -> str:
    return hashlib.sha256(json.dumps([told, more]).encode()).hexdigest()

"""What every source of pictures gives: the items of one split, in a stable order."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from i2i.data.reference import Reference
from i2i.data.spec import POINTS
from i2i.data.walks import Walk

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Split:
    """The pictures of one split, in a stable order.

    files: one sequence for each picture on disk of an item: (A, B, *conditions) from folders of sides, one for photos,
    classes and side-by-side files. Sequences may be lazy: ask for what you need, never for all of a large one.
    labels: the class index of each picture, for the labelled layout.
    classes: class names, label 0 first. registered: item i of one side belongs to item i of the other.
    fingerprint: sha256 over what the split holds; two equal ones have equal fingerprints, wherever they are.
    stamp: sha256 over this very place, names, sizes and times: a change of any picture changes it. None: decoded
    pictures are not to be kept.
    walks: how each stream is gone through in training; () where each picture comes once an epoch.
    """

    name: str
    root: Path | None
    files: tuple[Sequence[Reference], ...]
    labels: Sequence[int]
    classes: tuple[str, ...]
    registered: bool
    side_by_side: bool
    fingerprint: str
    stamp: str | None
    walks: tuple[Walk, ...] = ()

    def __len__(self) -> int:
        return max(len(side) for side in self.files) if self.files else POINTS

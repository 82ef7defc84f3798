"""What a place turned out to be: a layout of pictures, and the items in it."""

from collections import Counter
from collections.abc import Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from i2i.data.check.finding import Finding, printable
from i2i.data.reference import Member, Reference
from i2i.data.split import SPLITS

Source = Literal["folder", "manifest", "shards"]
Reading = Literal["paired", "unpaired", "labelled", "unlabelled"]  # a recipe's `layout`


@dataclass(frozen=True, slots=True)
class Item:
    """What belongs together: a picture, a pair with its conditions, or a file that holds a pair."""

    split: str
    side: str  # "ab" a pair of files, "both" one file with both halves, "a", "b", or "" where there are no sides
    files: tuple[Reference, ...]
    label: str = ""  # its class


@dataclass(frozen=True)
class Layout:
    """How a place is read. `why`: the evidence, in a few words. `root`: what the recipe names."""

    place: Path
    root: Path
    source: Source
    reading: Reading
    why: str
    items: tuple[Item, ...]
    classes: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    columns: dict[str, str] = field(default_factory=dict)  # of a manifest or shards, where they need to be told
    derivable: bool = False  # photos alone, of which side a can be drawn
    findings: tuple[Finding, ...] = ()
    rows: int = 0  # items there are, where `items` is a sample of them

    @property
    def side_by_side(self) -> bool:
        return any(item.side == "both" for item in self.items)

    def counts(self) -> dict[str, int]:
        """Items by split and side: train, or trainA and trainB of unpaired sets."""
        tally = Counter(item.split + ("" if item.side in ("ab", "both") else item.side.upper()) for item in self.items)
        order = {name: number for number, name in enumerate(SPLITS)}
        return dict(sorted(tally.items(), key=lambda each: (order.get(each[0].rstrip("AB"), 9), each[0])))

    def name(self, reference: Reference) -> str:
        """What findings call a file: its name seen from the set."""
        if isinstance(reference, Member):
            return printable(f"{Path(reference.shard).name}!{reference.name}")
        return relative(reference, self.root.parent if self.source == "manifest" else self.root)

    def understood(self) -> str:
        """One line or two for people."""
        what = {
            "paired": "pairs, side by side in each file" if self.side_by_side else "pairs",
            "unpaired": "two sides without pairs" + (f", a in {len(self.classes)} classes" if self.classes else ""),
            "labelled": f"{len(self.classes)} classes",
            "unlabelled": "pictures without labels",
        }[self.reading]
        where = {"folder": "a folder", "manifest": "a table", "shards": "WebDataset shards"}[self.source]
        tally = ", ".join(f"{name} {count:,}" for name, count in self.counts().items()) or "no pictures"
        more = f"; {self.rows:,} rows in all, of which a spread sample was taken" if self.rows > len(self.items) else ""
        conditions = f" with {', '.join(self.conditions)}" if self.conditions else ""
        return f"{where} of {what}{conditions} ({tally}{more}).\n{self.why}"


def relative(path: Path, root: Path) -> str:
    """A path seen from `root`, if it is below it; printable."""
    told, base = str(path), f"{root}/"
    return printable(told.removeprefix(base))


def spread(sequence: Sized, most: int) -> list[int]:
    """Up to `most` positions of a sequence, evenly spread, the first and the last among them."""
    n = len(sequence)
    if n <= most:
        return list(range(n))
    return [round(i * (n - 1) / (most - 1)) for i in range(most)] if most > 1 else [0][:most]

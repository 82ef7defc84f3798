"""Where each sample of a set of shards lies: a table for each, made from its headers and kept on the disk."""

from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from i2i.data.reference import Member
from i2i.data.shards.places import Shard
from i2i.data.shards.remote import local, prefetch
from i2i.data.shards.tars import Picks, Table, scan
from i2i.data.tables.columns import Column, place
from i2i.data.tables.indexes import facts, index, progress
from i2i.errors import UserError
from i2i.files import atomically

TABLES = 64  # that are held in memory


class Shards:
    """Some shards, and where their samples lie.

    starts: for each picture, the number of each shard's first one and at the end that of all, (shards + 1,) int64.
    classes: how many the labels tell of. together: no sample lacks a picture.
    """

    def __init__(self, shards: Sequence[Shard], picks: Picks, known: bool) -> None:
        """`known`: the listing tells enough, so that a shard may wait until it is read."""
        self.shards, self.picks = tuple(shards), picks
        self._tables: OrderedDict[int, Table] = OrderedDict()
        self.folder = index(
            "\n".join(shard.place for shard in self.shards),
            [[shard.version, shard.changed] for shard in self.shards],
            [vars(picks), known],
            lambda folder: {} if known else self._scan_all(folder),
        )
        told = facts(self.folder)
        counts = {
            name: [shard.count(name) or 0 for shard in self.shards] if known else told["counts"][name]
            for name in picks.pictures
        }
        self.starts = {name: np.cumsum([0, *own]) for name, own in counts.items()}
        self.classes: int = told.get("classes", 0)
        self.together: bool = told.get("together", True)

    def table(self, number: int) -> Table:
        """Of one shard, which is fetched and looked through if nobody has done so yet."""
        if number in self._tables:
            self._tables.move_to_end(number)
            return self._tables[number]
        try:
            with np.load(self._file(self.folder, number), allow_pickle=False) as kept:
                table = dict(kept)
        except (OSError, ValueError):
            table = self._scan(number, self.folder)
        shard = self.shards[number]
        for name in self.picks.pictures:
            expected, found = shard.count(name), len(table[f"{name}.size"])
            if expected not in (None, found) and (shard.pictures or not self.picks.alone):
                raise UserError(f"{shard.place}: holds {found:,} pictures {name!r}, and {expected:,} are listed.")
        self._tables[number] = table
        if len(self._tables) > TABLES:
            self._tables.popitem(last=False)
        return table

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_tables": OrderedDict()}  # another process reads what it needs

    def _scan_all(self, folder: Path) -> dict[str, Any]:
        counts: dict[str, list[int]] = {name: [] for name in self.picks.pictures}
        most, together = -1, True
        with progress(f"reading the headers of {len(self.shards):,} shards", len(self.shards)) as at:
            for number in range(len(self.shards)):
                table = self._scan(number, folder)
                for name, own in counts.items():
                    own.append(len(table[f"{name}.size"]))
                most = max(most, int(table["label"].max(initial=-1))) if self.picks.label else most
                together = together and all(own[-1] == int(table["samples"]) for own in counts.values())
                at(number + 1)
        return {"counts": counts, "classes": most + 1, "together": together}

    def _scan(self, number: int, folder: Path) -> Table:
        shard = self.shards[number]
        table = scan(local(shard.place, shard.version), shard.place, self.picks)
        target = self._file(folder, number)
        with suppress(OSError):  # a disk that is full, or may only be read: the headers are read again
            atomically(target, lambda path: _save(path, table), alone=False)
        return table

    @staticmethod
    def _file(folder: Path, number: int) -> Path:
        return folder / f"{number:06}.npz"


class Members(Column):
    """One picture of every sample."""

    def __init__(self, shards: Shards, name: str) -> None:
        self._shards, self._name, self._starts = shards, name, shards.starts[name]

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: Any) -> Any:
        number, row = self._within(place(index, len(self)))
        table, shard = self._shards.table(number), self._shards.shards[number]
        name, offset, size = (table[f"{self._name}.{what}"][row] for what in ("name", "offset", "size"))
        return Member(shard.place, name.decode("utf-8", "replace"), int(offset), int(size), shard.version)

    def ahead(self, index: int) -> None:
        number, _ = self._within(index)
        prefetch(self._shards.shards[number].place, self._shards.shards[number].version)

    def _within(self, index: int) -> tuple[int, int]:
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        return number, index - int(self._starts[number])


class Labels(Sequence[int]):
    """The class of every sample, less than `classes`."""

    def __init__(self, shards: Shards, classes: int) -> None:
        self._shards, self._classes = shards, classes
        self._starts = next(iter(shards.starts.values()))

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: Any) -> Any:
        index = place(index, len(self))
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        label = int(self._shards.table(number)["label"][index - int(self._starts[number])])
        if label >= self._classes:
            shard = self._shards.shards[number].place
            raise UserError(f"{shard}: a sample of class {label}, where there are {self._classes} classes.")
        return label


def _save(path: Path, table: Table) -> None:
    with path.open("wb") as file:
        np.savez(file, **table)  # type: ignore[arg-type]  # of one dtype or another

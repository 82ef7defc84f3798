"""A table → the files of its index: a folder for each split, and in it the columns of its rows (see `columns`)."""

import hashlib
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from i2i.data import keys
from i2i.data.spec import Fractions
from i2i.data.split import SPLITS
from i2i.data.tables.cells import Cells, array
from i2i.data.tables.columns import STEP, TextColumn
from i2i.data.tables.indexes import progress
from i2i.data.tables.rows import blocks
from i2i.data.tables.shares import shares
from i2i.errors import UserError

MAX_CLASSES = 100_000
CHUNK = 2**20  # rows that are shuffled among themselves


@dataclass(frozen=True)
class Reading:
    """Which columns are read as what; all names are those of the table. `pictures`: by what they are to the recipe."""

    pictures: dict[str, str]
    label: str | None
    weight: str | None
    split: str | None
    layout: str
    side_by_side: bool
    shares: Fractions  # of the rows, where no column says their split

    @property
    def streams(self) -> list[str]:
        """The first picture of each stream: sides of unpaired data are streams of their own."""
        return list(self.pictures)[: 2 if self.layout == "unpaired" else 1]


class _Part:
    """One split in the making."""

    def __init__(self, folder: Path, reading: Reading, files: ExitStack) -> None:
        folder.mkdir()
        self.folder = folder
        self.pictures = {name: files.enter_context(TextColumn(folder / name)) for name in reading.pictures}
        self.weights: dict[str, BinaryIO] = {}
        if reading.weight:
            self.weights = {
                name: files.enter_context((folder / f"{name}.weights").open("wb")) for name in reading.streams
            }
        self.labels = files.enter_context((folder / "label").open("wb")) if reading.label else None
        self.alike = True  # a and b are called the same in every row


def build(path: Path, reading: Reading, folder: Path) -> dict[str, Any]:
    """Write the index of a table into a folder; returns its facts. UserError with the number of a row that is wrong."""
    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    wanted = [*reading.pictures.values(), reading.label, reading.weight, reading.split]
    parts: dict[str, _Part] = {}
    names: dict[str, int] = {}  # of the classes, in the order in which they come
    count = 0
    with ExitStack() as files, progress(f"indexing {path.name}", 1) as at:
        for block, done in blocks(path, list(dict.fromkeys(name for name in wanted if name))):
            cells = Cells(path, block, count)
            given = _splits(cells, reading)
            for number, split in enumerate(SPLITS):
                if (here := given == number).any():
                    if split not in parts:
                        parts[split] = _Part(folder / split, reading, files)
                    _add(parts[split], cells, reading, here, names)
            count += len(block)
            at(done)
    if not count:
        raise UserError(f"{path}: a table without rows.")
    splits = {
        split: {
            "weighted": [name for name in part.weights if _lay_out(path, split, part.folder / name)],
            "registered": part.alike if reading.layout == "unpaired" else reading.layout == "paired",
        }
        for split, part in parts.items()
    }
    classes = _number_classes(path, reading, names, [part.folder / "label" for part in parts.values()])
    return {"rows": count, "sha256": content, "classes": classes, "splits": splits}


def _splits(cells: Cells, reading: Reading) -> np.ndarray:
    """Each row's split, by its number in SPLITS."""
    import pyarrow
    import pyarrow.compute

    if not reading.split:
        return shares(cells.first, cells.first + len(cells), reading.shares)
    found = pyarrow.compute.index_in(cells.text(reading.split), pyarrow.array(SPLITS))
    given = array(pyarrow.compute.fill_null(found, -1))
    cells.refuse(given < 0, reading.split, "train, val or test")
    return given


def _add(part: _Part, cells: Cells, reading: Reading, here: np.ndarray, names: dict[str, int]) -> None:
    """Write the rows of a block for which `here` is true."""
    import pyarrow
    import pyarrow.compute

    empty = {name: cells.empty(column) & here for name, column in reading.pictures.items()}
    if reading.layout == "unpaired":
        cells.refuse(empty["a"] & empty["b"], reading.pictures["a"], "a file here or for side b")
        part.alike = part.alike and not (empty["a"] | empty["b"]).any() and _alike(cells, reading, here)
    weights = cells.weights(reading.weight) if reading.weight else None
    for name, column in reading.pictures.items():
        text = cells.text(column)
        if reading.layout != "unpaired":
            cells.refuse(empty[name], column, "a file")
        cells.refuse(array(pyarrow.compute.match_substring(text, "\0")), column, "a file's name without zero bytes")
        there = here & ~empty[name]
        part.pictures[name].add(text.filter(pyarrow.array(there)))
        if weights is not None and name in part.weights:
            part.weights[name].write(weights[there].astype("<f8").tobytes())
    if reading.label and part.labels:
        cells.refuse(cells.empty(reading.label) & here, reading.label, "a class")
        coded = cells.text(reading.label).filter(pyarrow.array(here)).dictionary_encode()
        numbers = np.array([names.setdefault(each, len(names)) for each in coded.dictionary.to_pylist()], "<i4")
        if len(names) > MAX_CLASSES:
            raise UserError(
                f"{cells.path}: the column {reading.label!r} holds more than {MAX_CLASSES:,} classes: "
                f"is it the right one? `columns: {{label: <name>}}` names another."
            )
        part.labels.write(numbers[array(coded.indices)].tobytes())


def _alike(cells: Cells, reading: Reading, here: np.ndarray) -> bool:
    """Whether a and b are called the same but for folder and suffix, in all rows."""
    import pyarrow
    import pyarrow.compute

    stems = [
        pyarrow.compute.replace_substring_regex(cells.text(reading.pictures[side]), r"^.*/|\.[^./]*$", "").filter(
            pyarrow.array(here)
        )
        for side in "ab"
    ]
    return bool(stems[0].equals(stems[1]))


def _lay_out(path: Path, split: str, stem: Path) -> bool:
    """Turn the weights of a stream into what `Sums` reads; False where all weights are equal and none is needed."""
    source = stem.with_suffix(".weights")
    weights = np.memmap(source, "<f8", "r") if source.stat().st_size else np.ones(0)
    most = weights.max(initial=0)
    if len(weights) and not most:
        raise UserError(f"{path}: all '{split}' rows have weight 0, so none of them can be drawn.")
    unequal = bool(len(weights)) and weights.min() < most
    if unequal:
        _write_sums(stem, weights)
    del weights
    source.unlink()
    return unequal


def _write_sums(stem: Path, weights: np.ndarray) -> None:
    whole, kept, heads = 0.0, 0, []
    with stem.with_suffix(".sums").open("wb") as sums, stem.with_suffix(".rows").open("wb") as numbers:
        for first in range(0, len(weights), CHUNK):
            last = min(first + CHUNK, len(weights))
            order = first + keys.generator(keys.ROWS, first).permutation(last - first)
            order = order[weights[order] > 0]
            ends = np.cumsum(np.concatenate([[whole], weights[order]]))[1:]
            sums.write(ends.astype("<f8").tobytes())
            numbers.write(order.astype("<i8").tobytes())
            heads.append(ends[STEP - 1 - kept % STEP :: STEP])
            whole, kept = float(ends[-1]) if len(ends) else whole, kept + len(ends)
    np.concatenate(heads).astype("<f8").tofile(stem.with_suffix(".heads"))


def _number_classes(path: Path, reading: Reading, names: dict[str, int], files: list[Path]) -> list[str]:
    """The classes, label 0 first; the labels in the files become their numbers."""
    if not reading.label:
        return []
    if all(name.isascii() and name.isdecimal() for name in names):
        wanted = [int(name) for name in names]
        if max(wanted) >= MAX_CLASSES:
            raise UserError(f"{path}: the label {max(wanted)} is no class number; expected less than {MAX_CLASSES:,}.")
        classes = [str(number) for number in range(max(wanted) + 1)]
    else:
        classes = sorted(names)
        rank = {name: number for number, name in enumerate(classes)}
        wanted = [rank[name] for name in names]
    table = np.array(wanted, "<i4")
    for file in files:
        labels = np.memmap(file, "<i4", "r+")
        for first in range(0, len(labels), CHUNK):
            labels[first : first + CHUNK] = table[labels[first : first + CHUNK]]
        labels.flush()
    return classes

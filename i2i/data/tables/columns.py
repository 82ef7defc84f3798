"""Columns of a table that stays on the disk: a cell is read when it is asked for, so memory does not grow with rows.

A column of text is two files, the cells' bytes end to end (`.text`) and where each of them ends (`.ends`, int64); one
of numbers is one file. They are read by position and not mapped: the pages of a map would count as ours, and a kernel
maps sixteen of them for every cell that is touched.
"""

import os
import weakref
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO, Self

import numpy as np

from i2i.data.reference import Reference

STEP = 1024  # numbers of a running sum that are read at once
BLOCK = 2**16  # cells that are read at once when all are asked for, one after the other


class File:
    """A file that is read at any place; it may be handed to another process, which opens it for itself."""

    def __init__(self, path: Path) -> None:
        self.path, self._file = path, os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        weakref.finalize(self, os.close, self._file)
        self.size = os.fstat(self._file).st_size
        self._turn = Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return File, (self.path,)

    def read(self, offset: int, size: int) -> bytes:
        if hasattr(os, "pread"):
            return os.pread(self._file, size, offset)
        with self._turn:  # Windows knows no reading by position; there no two processes share an open file
            os.lseek(self._file, offset, os.SEEK_SET)
            return os.read(self._file, size)

    def numbers(self, first: int, last: int, dtype: np.dtype[Any]) -> np.ndarray:
        """Numbers first, ..., last - 1 of a file of nothing else."""
        return np.frombuffer(self.read(first * dtype.itemsize, (last - first) * dtype.itemsize), dtype)


class Numbers(Sequence[int]):
    """A column of whole numbers."""

    def __init__(self, path: Path, dtype: str = "<i4") -> None:
        self._file, self._dtype = File(path), np.dtype(dtype)

    def __len__(self) -> int:
        return self._file.size // self._dtype.itemsize

    def __getitem__(self, index: Any) -> Any:
        index = place(index, len(self))
        return int(self._file.numbers(index, index + 1, self._dtype)[0])

    def __iter__(self) -> Iterator[int]:
        for first in range(0, len(self), BLOCK):
            yield from self._file.numbers(first, min(first + BLOCK, len(self)), self._dtype).tolist()


class Column(Sequence[Any]):
    """A column of pictures of which some may have to be fetched first."""

    def ahead(self, index: int) -> None:
        """Have what item `index` lies in fetched in the background, and return at once."""


class Paths(Column):
    """A column of files, named from a folder."""

    def __init__(self, stem: Path, folder: Path) -> None:
        self._text, self._ends, self._folder = File(stem.with_suffix(".text")), File(stem.with_suffix(".ends")), folder

    def __len__(self) -> int:
        return self._ends.size // 8

    def __getitem__(self, index: Any) -> Any:
        index = place(index, len(self))
        return self._some(index, index + 1)[0]

    def __iter__(self) -> Iterator[Reference]:
        for first in range(0, len(self), BLOCK):
            yield from self._some(first, min(first + BLOCK, len(self)))

    def _some(self, first: int, last: int) -> list[Path]:
        before = min(first, 1)  # the first cell starts at 0, any other where the one before it ends
        ends = self._ends.numbers(first - before, last, np.dtype("<i8")).tolist()
        ends = ends if before else [0, *ends]
        text = self._text.read(ends[0], ends[-1] - ends[0])
        return [self._folder / text[start - ends[0] : end - ends[0]].decode() for start, end in pairwise(ends)]


class Sums:
    """The rows of a table laid end to end, each as long as its weight, in a shuffled order; rows of weight 0 are not.

    `drawn`: how many rows that are. `.sums`: where each ends, float64; `.rows`: which row it is, int64; `.heads`: every
    STEP-th end, which are kept in memory.
    """

    def __init__(self, stem: Path, length: int) -> None:
        self._sums, self._rows = File(stem.with_suffix(".sums")), File(stem.with_suffix(".rows"))
        self._heads, self._length = np.fromfile(stem.with_suffix(".heads"), "<f8"), length
        self.drawn = self._sums.size // 8
        self._whole = float(self._sums.numbers(self.drawn - 1, self.drawn, np.dtype("<f8"))[0])

    def __len__(self) -> int:
        """Rows of the table, those of weight 0 among them."""
        return self._length

    def item(self, at: float) -> int:
        """The row that lies at the fraction `at` in [0, 1) of the whole length."""
        goal = at * self._whole
        first = int(np.searchsorted(self._heads, goal, side="right")) * STEP
        some = self._sums.numbers(first, min(first + STEP, self.drawn), np.dtype("<f8"))
        found = min(first + int(np.searchsorted(some, goal, side="right")), self.drawn - 1)
        return int(self._rows.numbers(found, found + 1, np.dtype("<i8"))[0])


class Joined(Column):
    """Several sequences, one after the other."""

    def __init__(self, parts: Sequence[Sequence[Any]]) -> None:
        self._parts, self._starts = tuple(parts), np.cumsum([0, *(len(part) for part in parts)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, index: Any) -> Any:
        index = place(index, len(self))
        part, own = self._within(index)
        return part[own]

    def ahead(self, index: int) -> None:
        part, own = self._within(index)
        if isinstance(part, Column):
            part.ahead(own)

    def _within(self, index: int) -> tuple[Sequence[Any], int]:
        number = int(np.searchsorted(self._starts, index, side="right")) - 1
        return self._parts[number], index - int(self._starts[number])

    def __iter__(self) -> Iterator[Any]:
        for part in self._parts:
            yield from part


class Picked(Column):
    """Some items of a sequence, by their numbers."""

    def __init__(self, source: Sequence[Any], chosen: np.ndarray) -> None:
        self._source, self._chosen = source, chosen

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, index: Any) -> Any:
        return self._source[int(self._chosen[place(index, len(self))])]

    def ahead(self, index: int) -> None:
        if isinstance(self._source, Column):
            self._source.ahead(int(self._chosen[index]))


class Renumbered(Sequence[int]):
    """Labels under other numbers: `numbers[label]`."""

    def __init__(self, labels: Sequence[int], numbers: Sequence[int]) -> None:
        self._labels, self._numbers = labels, tuple(numbers)

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: Any) -> Any:
        return self._numbers[self._labels[index]]

    def __iter__(self) -> Iterator[int]:
        return (self._numbers[label] for label in self._labels)


def place(index: Any, length: int) -> int:
    """An index that may count from the end, as one that counts from the start."""
    if not isinstance(index, int | np.integer):
        raise TypeError(f"expected a whole number, got {index!r}; these are read one by one")
    if not -length <= index < length:
        raise IndexError(f"expected an index of {length}, got {index}")
    return int(index) % length


class TextColumn:
    """Writes what `Paths` reads."""

    def __init__(self, stem: Path) -> None:
        self._text: BinaryIO = open(stem.with_suffix(".text"), "wb")  # noqa: SIM115, `close` closes both
        self._ends: BinaryIO = open(stem.with_suffix(".ends"), "wb")  # noqa: SIM115
        self._size = 0

    def add(self, cells: Any) -> None:
        """An arrow array of strings without nulls."""
        import pyarrow

        cells = cells.cast(pyarrow.large_string())
        if not len(cells):
            return
        _, starts, content = cells.buffers()
        ends = np.frombuffer(starts, np.int64)[cells.offset : cells.offset + len(cells) + 1]
        self._text.write(memoryview(content)[ends[0] : ends[-1]] if content else b"")
        self._ends.write((ends[1:] - ends[0] + self._size).astype("<i8").tobytes())
        self._size += int(ends[-1] - ends[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._text.close()
        self._ends.close()

"""A table of files → the pictures of a split. The table is read once, into an index from which single rows are read."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from i2i.data.reference import Reference
from i2i.data.spec import Fractions, LabelledData, PairedData, Pictures, UnlabelledData
from i2i.data.split import Split
from i2i.data.tables.columns import Numbers, Paths, Sums
from i2i.data.tables.index import Reading, build
from i2i.data.tables.indexes import facts, index
from i2i.data.tables.rows import names
from i2i.data.walks import Plain, Weighted
from i2i.errors import UserError, suggest

PHOTO = ("image", "path", "file")  # other names for the only picture of a row
STAMPED = 100_000  # up to so many rows all files are looked at, so that their decoded pictures can be kept


def list_manifest(spec: Pictures, path: Path, split: str) -> Split:
    """The pictures of `split` of a table, in its order. A file that is missing is met when it is to be read.

    A table says a row's split in a column; without one, every row is given to a split by its number alone, so that rows
    which are appended move none. Rows are drawn in proportion to `weight`. Raises UserError with the row's number.
    """
    found = names(path)
    path = path.absolute()  # through a link, too, files are named from where the recipe's manifest lies
    reading = _reading(spec, path, found)
    state = path.stat()
    settings = vars(reading) | {"shares": reading.shares.model_dump()}
    folder = index(
        str(path),
        [state.st_size, state.st_mtime_ns, state.st_ctime_ns],
        settings,
        lambda place: build(path, reading, place),
    )
    told = facts(folder)
    if split not in told["splits"]:
        raise UserError(_none_of(split, path, reading, told["rows"]))
    own = told["splits"][split]
    files = [Paths(folder / split / name, path.parent) for name in reading.pictures]
    for name, column in zip(reading.streams, files, strict=False):
        if not len(column):
            raise UserError(f"{path} has no '{split}' row with a file in the column {reading.pictures[name]!r}.")
    fingerprint = hashlib.sha256(json.dumps([told["sha256"], split, settings]).encode()).hexdigest()
    return Split(
        name=split,
        root=path.parent,
        files=tuple(files),
        labels=Numbers(folder / split / "label") if reading.label else (),
        classes=tuple(told["classes"]),
        registered=own["registered"],
        side_by_side=reading.side_by_side,
        fingerprint=fingerprint,
        stamp=_stamp(files, fingerprint),
        walks=tuple(
            Weighted(Sums(folder / split / name, len(column))) if name in own["weighted"] else Plain(len(column))
            for name, column in zip(reading.streams, files, strict=False)
        ),
    )


def _reading(spec: Pictures, path: Path, found: list[str]) -> Reading:
    """Which columns are read, by what the recipe and the table say."""
    conditions = [each.name for each in spec.condition] if isinstance(spec, PairedData) else []
    known = ["a", "b", *conditions, "label", "weight", "split"]
    for name in spec.columns:
        if name not in known:
            raise UserError(f"data.columns: there is no {name!r} to be named.{suggest(name, known)}")

    def column(name: str, *others: str) -> str:
        wanted = [spec.columns[name]] if name in spec.columns else [name, *others]
        there = next((each for each in wanted if each in found), None)
        if there is None:
            raise UserError(
                f"{path}: no column {' or '.join(wanted)}; there is {', '.join(found)}. "
                f"Say which it is: `columns: {{{name}: {found[0] if found else '...'}}}`."
            )
        return there

    def optional(name: str) -> str | None:
        return column(name) if name in spec.columns or name in found else None

    photo = next((name for name in PHOTO if name in found), None)
    side_by_side = False
    if isinstance(spec, PairedData) and spec.derive is not None:
        pictures = {"b": column("b", *PHOTO, "a")}
    elif isinstance(spec, UnlabelledData | LabelledData):
        pictures = {"a": column("a", *PHOTO)}
    elif isinstance(spec, PairedData) and photo and not {"a", "b"} & {*found, *spec.columns} and not conditions:
        pictures, side_by_side = {"a": photo}, True
    else:
        pictures = {name: column(name) for name in ("a", "b", *conditions)}
    label = column("label") if isinstance(spec, LabelledData) else None
    weight, split = optional("weight"), optional("split")
    layout: str = spec.layout  # type: ignore[attr-defined]  # every collection has one
    return Reading(pictures, label, weight, split, layout, side_by_side, Fractions() if split else spec.split)


def _stamp(files: Sequence[Sequence[Reference]], fingerprint: str) -> str | None:
    """Changes with any of the files; None where there are too many to look at."""
    if sum(len(column) for column in files) > STAMPED:
        return None
    told = hashlib.sha256(fingerprint.encode())
    for column in files:
        for file in column:
            assert isinstance(file, Path)
            try:
                state = file.stat()
                told.update(f"{file}\0{state.st_size} {state.st_mtime_ns} {state.st_ctime_ns}\n".encode())
            except OSError:
                told.update(f"{file}\0\n".encode())
    return told.hexdigest()


def _none_of(split: str, path: Path, reading: Reading, count: int) -> str:
    if reading.split:
        return f"{path} has no '{split}' rows: none has {split!r} in the column {reading.split!r}."
    if split != "train" and not getattr(reading.shares, split):
        return f"{path} has no '{split}' rows: no column `split`, and data.split.{split} is 0. Set it to 0.1, say."
    return (
        f"{path} has no '{split}' rows: no column `split`, and {count} rows are too few to hold out a share. "
        f"Add a column `split` with train, val and test."
    )

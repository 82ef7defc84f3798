"""Folders → a table of their files, which training reads in place of the folders."""

import csv
import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from i2i.data.crew import QUIET
from i2i.data.make.listing import Listing, listing
from i2i.data.make.work import Made
from i2i.data.tables.rows import SUFFIXES
from i2i.errors import UserError
from i2i.files import atomically

STEP = 100_000  # rows of a row group

Row = dict[str, str | None]


def manifest(
    root: Path, out: Path, *, layout: str | None = None, force: bool = False, console: Console = QUIET
) -> Made:
    """Writes `out`, .csv, .jsonl or .parquet, with a row for each sample below `root`.

    Columns: a, b and conditions (of files side by side, image), label with the class's name, and split if there is
    more than train. Paths are relative to the table's folder. Raises UserError when nothing can start.
    """
    begin = time.monotonic()
    if out.suffix.lower() not in SUFFIXES:
        raise UserError(f"--out {out}: expected a file called {', '.join(f'*{suffix}' for suffix in SUFFIXES)}.")
    if out.exists() and not force:
        raise UserError(f"{out} exists already. Choose another name, or allow replacing it with --force.")
    if not root.is_dir():
        raise UserError(f"{root} is no folder.")
    found = listing(root, layout)
    columns = ["image"] if found.side_by_side else list(found.names)
    columns += ["label"] if found.classes else []
    columns += ["split"] if len(found.splits) > 1 else []
    rows = list(_rows(found, columns, out.parent))
    write = {".csv": _csv, ".jsonl": _jsonl, ".parquet": _parquet}[out.suffix.lower()]
    atomically(out, lambda path: write(path, columns, rows))
    counts = ", ".join(f"{split} {count:,}" for split, (count, _) in found.splits.items())
    return Made(out, len(rows), 1, (), time.monotonic() - begin, f"{found.layout}: {counts}")


def _rows(found: Listing, columns: list[str], home: Path) -> Iterator[Row]:
    for split, (count, pick) in found.splits.items():
        for index in range(count):
            sample = pick(index)
            row: Row = {role: _relative(Path(str(file)), home) for role, file in sample.files.items()}
            if found.side_by_side:
                row = {"image": row["a"]}
            if sample.label is not None:
                row["label"] = found.classes[sample.label]
            yield {name: split if name == "split" else row.get(name) for name in columns}


def _relative(path: Path, home: Path) -> str:
    """With slashes, on any system. A path that no table can hold is refused."""
    try:
        told = Path(os.path.relpath(path.resolve(), home.resolve())).as_posix()
    except ValueError:  # another drive
        told = path.resolve().as_posix()
    try:
        told.encode("utf-8")
    except UnicodeEncodeError:
        raise UserError(f"{path!r}: its name is no UTF-8, which a table cannot hold. Rename it.") from None
    if "\n" in told or "\r" in told:
        raise UserError(f"{path!r}: its name has a line break, which a table cannot hold. Rename it.")
    return told


def _csv(path: Path, columns: list[str], rows: Iterable[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _jsonl(path: Path, columns: list[str], rows: Iterable[Row]) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _parquet(path: Path, columns: list[str], rows: list[Row]) -> None:
    import pyarrow
    import pyarrow.parquet

    schema: Any = pyarrow.schema([(name, pyarrow.string()) for name in columns])
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for first in range(0, len(rows), STEP):
            writer.write_table(pyarrow.Table.from_pylist(rows[first : first + STEP], schema))

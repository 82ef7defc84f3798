"""The rows of a table, block by block: .csv with a header, .jsonl or .parquet. Memory holds one block."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from i2i.errors import UserError

SUFFIXES = (".csv", ".jsonl", ".parquet")
BLOCK = 2**21  # bytes of text that are parsed at once
ROWS = 2**15  # rows of a Parquet file that are read at once


def names(path: Path) -> list[str]:
    """The columns there are. Raises UserError for what is no such table."""
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"data.manifest: {path} is none of {', '.join(SUFFIXES)}.")
    if not path.is_file():
        raise UserError(f"data.manifest: {path} is no file (seen from {Path.cwd()}).")
    with _clear(path):
        found: list[str] = _parquet(path).schema_arrow.names if _is_parquet(path) else _text(path, None)[0].schema.names
    for name in found:
        if found.count(name) > 1:
            raise UserError(f"{path}: two columns are called {name!r}. Rename one of them.")
    return found


def blocks(path: Path, columns: list[str]) -> Iterator[tuple[Any, float]]:
    """Arrow record batches of the chosen columns, and with each how much of the file is read, from 0 to 1.

    Cells of .csv are text, empty where nothing is told. Raises UserError for what cannot be parsed.
    """
    rows = 0
    with _clear(path) as at:
        if _is_parquet(path):
            table = _parquet(path)
            for batch in table.iter_batches(ROWS, columns=columns, use_threads=False):
                at[0] = rows = rows + len(batch)
                yield batch.select(columns), rows / table.metadata.num_rows
            return
        reader, file = _text(path, columns)
        size = path.stat().st_size
        for batch in reader:
            at[0] = rows = rows + len(batch)
            yield batch.select(columns), file.tell() / size


def _is_parquet(path: Path) -> bool:
    return path.suffix.lower() == ".parquet"


def _parquet(path: Path) -> Any:
    import pyarrow.parquet

    return pyarrow.parquet.ParquetFile(path)


def _text(path: Path, columns: list[str] | None) -> tuple[Any, Any]:
    """(a reader of record batches, the file it reads)."""
    import pyarrow
    from pyarrow import csv, json

    file = pyarrow.OSFile(str(path))
    if path.suffix.lower() == ".csv":
        chosen = csv.ConvertOptions(
            include_columns=columns or [], column_types={name: pyarrow.string() for name in columns or []}
        )
        return csv.open_csv(file, csv.ReadOptions(use_threads=False, block_size=BLOCK), convert_options=chosen), file
    return json.open_json(file, json.ReadOptions(use_threads=False, block_size=BLOCK)), file


@contextmanager
def _clear(path: Path) -> Iterator[list[int]]:
    """What arrow says of a broken file becomes a UserError, with the rows that were whole: yields [their number]."""
    import pyarrow

    read = [0]
    try:
        yield read
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as problem:
        after = f", after row {read[0]:,}" if read[0] else ""
        raise UserError(f"{path}{after}: not a table that can be read ({problem}).") from None

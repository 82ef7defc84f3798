"""A table of pictures (CSV, JSON lines, Parquet): read in parts, checked row by row, kept as a spread sample."""

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from i2i.data.check.finding import Finding, found
from i2i.data.check.layout import Item, Layout, Reading
from i2i.data.spec import PLAIN_NAME
from i2i.data.split import SPLITS
from i2i.data.tables.manifest import PHOTO
from i2i.errors import UserError
from i2i.images import is_picture

FIRST = ("a", *PHOTO)  # names that i2i takes for the first picture by itself
ALIKE = {
    "a": ("filename", "file_name", "input", "source", "photo", "picture", "img", "image_path", "x"),
    "b": ("target", "output", "ground_truth", "gt", "y"),
    "label": ("class", "category", "target_class"),
}
BATCH = 50_000  # rows that are read together
NAMED_ROWS = 1000


def table(path: Path, most: int) -> Layout:
    """Understand a table; of more than `most` rows a spread sample is kept. Raises UserError for what is no table."""
    columns: dict[str, str] = {}
    tally: Counter[str] = Counter()
    wrong: dict[str, list[str]] = {}
    labels: Counter[str] = Counter()
    kept: list[Item] = []
    step = 1
    names: list[str] = []
    conditions: tuple[str, ...] = ()
    for start, names, batch in _batches(path):
        if batch and not columns:
            columns, conditions = _columns(names, {name: values[0] for name, values in batch.items()})
            if "a" not in columns:
                return _without(path, names)
        for offset, row in enumerate(_rows(batch, columns, conditions)):
            number = start + offset
            item = _item(path, row, number, conditions, wrong)
            if item is None:
                continue
            tally["rows"] += 1
            if item.label:
                labels[item.label] += 1
            if (tally["rows"] - 1) % step == 0:
                kept.append(item)
                if len(kept) > most:
                    kept, step = kept[::2], step * 2
    if not columns:
        return _without(path, names, "the table has no rows")
    reading: Reading = "paired" if "b" in columns else "labelled" if "label" in columns else "unlabelled"
    if reading == "paired" and kept and not any(item.side == "ab" for item in kept):
        reading = "unpaired"  # every row has one of the two
    elif alone := wrong.pop("alone", []):
        wrong["empty_cell"] = [*wrong.get("empty_cell", []), *alone]
        kept = [item for item in kept if item.side not in ("a", "b")]
    wrong.pop("alone", None)
    renamed = {key: name for key, name in columns.items() if name != key and not (key == "a" and name in FIRST)}
    told = ", ".join(f"{name} → {key}" if name != key else key for key, name in columns.items())
    kept, missing = _there(path, kept, step)
    findings = [*_findings(wrong), *_labels(labels), *missing]
    return Layout(
        path,
        path,
        "manifest",
        reading,
        f"Its columns: {told}.",
        tuple(kept),
        classes=_classes(labels),
        conditions=conditions if reading == "paired" else (),
        columns=renamed,
        findings=tuple(findings),
        rows=tally["rows"],
    )


def _batches(path: Path) -> Iterator[tuple[int, list[str], dict[str, list[Any]]]]:
    """(number of the first row, the columns' names, the columns) of each part. Rows count from 1."""
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.json
    import pyarrow.parquet

    start = 1
    try:
        if path.suffix.lower() == ".parquet":
            file = pa.parquet.ParquetFile(path)
            yield 1, list(file.schema_arrow.names), {}
            parts = file.iter_batches(BATCH)
        elif path.suffix.lower() == ".csv":
            names = pa.csv.open_csv(path).schema.names
            words = pa.csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))  # no guessing: 007 is a name
            reader = pa.csv.open_csv(path, convert_options=words)
            yield 1, list(names), {}
            parts = iter(reader)
        else:
            lines = pa.json.open_json(path)
            yield 1, list(lines.schema.names), {}
            parts = iter(lines)
        for part in parts:
            yield start, list(part.schema.names), part.to_pydict()
            start += part.num_rows
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OSError, UnicodeDecodeError) as problem:
        raise UserError(f"{path}: row {start:,} or later cannot be read ({str(problem).splitlines()[0]}).") from None


def _columns(names: list[str], first: dict[str, Any]) -> tuple[dict[str, str], tuple[str, ...]]:
    """i2i's column → the table's; and the conditions: what else names pictures in the first row."""
    columns: dict[str, str] = {}
    for key, words in (
        ("a", FIRST),
        ("b", ("b",)),
        ("label", ("label",)),
        ("weight", ("weight",)),
        ("split", ("split",)),
    ):
        exact = next((word for word in words if word in names), None)
        folded = next((n for n in names if n.strip().casefold() in (*words, *ALIKE.get(key, ()))), None)
        if exact or folded:
            columns[key] = exact or folded or ""
    rest = [n for n in names if n not in columns.values() and PLAIN_NAME.fullmatch(n) and is_picture(str(first[n]))]
    return columns, tuple(rest) if "b" in columns else ()


def _rows(
    batch: dict[str, list[Any]], columns: dict[str, str], conditions: tuple[str, ...]
) -> Iterator[dict[str, Any]]:
    wanted = {**columns, **{name: name for name in conditions}}
    length = len(next(iter(batch.values()))) if batch else 0
    for i in range(length):
        yield {key: batch[name][i] for key, name in wanted.items()}


def _item(
    path: Path, row: dict[str, Any], number: int, conditions: tuple[str, ...], wrong: dict[str, list[str]]
) -> Item | None:
    """A row's item; what is wrong with it is entered under the code of its finding."""

    def bad(code: str, told: str) -> None:
        if len(wrong.setdefault(code, [])) < NAMED_ROWS:
            wrong[code].append(told)

    empty = [key for key in ("a", "b", "label", *conditions) if key in row and row[key] in (None, "")]
    side = "ab" if "b" in row else ""
    if side and len({"a", "b"} & set(empty)) == 1:
        side = "a" if "b" in empty else "b"
        bad("alone", f"row {number:,} ({'b' if side == 'a' else 'a'})")
    elif empty:
        bad("empty_cell", f"row {number:,} ({', '.join(empty)})")
        return None
    split = str(row.get("split") or "train")
    if split not in SPLITS:
        bad("split_word", f"row {number:,} ({split})")
        return None
    weight = row.get("weight")
    if "weight" in row and not _is_weight(weight):
        bad("weight", f"row {number:,} ({weight})")
    home = path.parent
    files = tuple(home / str(row[key]) for key in ("a", "b", *conditions) if key in row and key not in empty)
    return Item(split, side, files, str(row["label"]) if "label" in row and not side else "")


def _is_weight(value: Any) -> bool:
    try:
        return math.isfinite(float(value)) and float(value) >= 0
    except (TypeError, ValueError):
        return False


def _findings(wrong: dict[str, list[str]]) -> Iterator[Finding]:
    said = {
        "empty_cell": ("{n} row{s} with an empty cell", "Fill them or remove the rows."),
        "split_word": ("{n} row{s} with a split that is not train, val or test", "Write train, val or test."),
        "weight": ("{n} row{s} with a weight that is no number of at least 0", "Write 1 for an ordinary row."),
    }
    for code, rows in wrong.items():
        yield found("error", code, said[code][0], rows, said[code][1])


def _labels(labels: Counter[str]) -> Iterator[Finding]:
    """Numbers or names, not both."""
    numbers = [name for name in labels if name.lstrip("-").isdigit()]
    if numbers and len(numbers) < len(labels):
        words = [name for name in labels if name not in set(numbers)]
        yield found(
            "error",
            "labels",
            "{n} label{s} that are no integers, among others that are",
            words,
            "Write integers from 0, or a name for every class.",
        )
    elif any(int(name) < 0 for name in numbers):
        yield found("error", "labels", "{n} negative label{s}", [n for n in numbers if int(n) < 0], "Count from 0.")


def _classes(labels: Counter[str]) -> tuple[str, ...]:
    integers = all(name.lstrip("-").isdigit() for name in labels)
    return tuple(sorted(labels, key=int) if integers else sorted(labels))


def _there(path: Path, items: list[Item], step: int) -> tuple[list[Item], list[Finding]]:
    """The items whose files exist, and what the others lack."""
    there: list[Item] = []
    gone: list[str] = []
    for item in items:
        lacking = [file for file in item.files if isinstance(file, Path) and not file.is_file()]
        gone += [
            str(file.relative_to(path.parent)) if file.is_relative_to(path.parent) else str(file) for file in lacking
        ]
        there += [] if lacking else [item]
    if not gone:
        return there, []
    sample = " (of a sample of the rows)" if step > 1 else ""
    said = f"{{n}} file{{s}} named in the table are not there{sample}"
    do = f"Paths are seen from the table's folder, {path.parent}. Correct them, or bring the files."
    return there, [found("error", "no_such_file", said, gone, do)]


def _without(path: Path, names: list[str], problem: str = "no column names pictures") -> Layout:
    finding = found(
        "error",
        "columns",
        f"{problem}; its columns: {', '.join(names) or 'none'}",
        (),
        "Expected `a` (and `b` for pairs, `label` for classes); other names: `columns: {a: yours}`.",
    )
    return Layout(path, path, "manifest", "unlabelled", "No pictures could be found in it.", (), findings=(finding,))

"""Tables of pictures: what their columns mean, and which rows are wrong."""

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter
from ruamel.yaml import YAML

from i2i.data import Data, open_split
from i2i.data.check import check, tables, understand
from i2i.errors import UserError

from .scenes import Findings, save, scene

Rows = list[dict[str, Any]]


def table(path: Path, rows: Rows) -> Path:
    """Written as its suffix says."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return path


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    """60 pairs, the last ten of them val; the files are there."""
    made: Rows = []
    for i in range(60):
        for side, picture in zip("ab", scene(i), strict=True):
            save(tmp_path / side / f"{i}.png", picture)
        made.append({"a": f"a/{i}.png", "b": f"b/{i}.png", "split": "val" if i >= 50 else "train", "weight": 1.5})
    return made


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_table_of_pairs_is_understood_and_clean(rows: Rows, tmp_path: Path, suffix: str) -> None:
    path = table(tmp_path / f"rows{suffix}", rows)
    report = check(path, workers=1)
    assert (report.layout, report.counts) == ("paired", {"train": 50, "val": 10})
    assert report.data.data["manifest"] == str(path)
    assert [finding for finding in report.findings if finding.severity != "note"] == []


@pytest.mark.parametrize(
    ("change", "code", "files"),
    [
        ({"b": ""}, "empty_cell", "row 8 (b)"),
        ({"split": "holdout"}, "split_word", "row 8 (holdout)"),
        ({"weight": -1}, "weight", "row 8 (-1)"),
        ({"weight": "nan"}, "weight", "row 8 (nan)"),
        ({"weight": "much"}, "weight", "row 8 (much)"),
        ({"a": "a/nothing.png"}, "no_such_file", "a/nothing.png"),
    ],
)
def test_a_wrong_row_is_named(
    rows: Rows, tmp_path: Path, findings: Findings, change: dict[str, Any], code: str, files: str
) -> None:
    rows[7] |= change
    found = findings(table(tmp_path / "rows.csv", rows))[code]
    assert (found.severity, found.files) == ("error", (files,))


def test_rows_are_counted_through_all_parts_of_a_table(
    rows: Rows, tmp_path: Path, findings: Findings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "BATCH", 10)
    rows[37]["b"] = ""
    assert findings(table(tmp_path / "rows.parquet", rows))["empty_cell"].files == ("row 38 (b)",)


def test_one_missing_file_is_one_finding(rows: Rows, tmp_path: Path, findings: Findings) -> None:
    rows[7]["a"] = "a/nothing.png"
    found = findings(table(tmp_path / "rows.csv", rows))
    assert {code for code, finding in found.items() if finding.severity == "error"} == {"no_such_file"}


def test_rows_with_one_side_each_are_unpaired(rows: Rows, tmp_path: Path) -> None:
    for i, row in enumerate(rows):
        row["b" if i % 2 else "a"] = ""
    layout = understand(table(tmp_path / "rows.csv", rows))
    assert (layout.reading, layout.findings) == ("unpaired", ())
    assert layout.counts() == {"trainA": 25, "trainB": 25, "valA": 5, "valB": 5}


def test_columns_of_other_names_are_told_in_the_block(rows: Rows, tmp_path: Path) -> None:
    renamed = [{"input": row["a"], "target": row["b"]} for row in rows]
    data = check(table(tmp_path / "rows.csv", renamed), workers=1).data
    assert data.data["columns"] == {"a": "input", "b": "target"}
    assert "columns: {a: input, b: target}" in data.text()


def test_further_columns_of_pictures_are_conditions(rows: Rows, tmp_path: Path) -> None:
    layout = understand(table(tmp_path / "rows.csv", [row | {"mask": row["a"]} for row in rows]))
    assert layout.conditions == ("mask",)


def test_a_column_of_something_else_is_no_condition(rows: Rows, tmp_path: Path) -> None:
    layout = understand(table(tmp_path / "rows.csv", [row | {"author": "Ada"} for row in rows]))
    assert layout.conditions == ()


def test_labels_are_integers_or_names_but_not_both(rows: Rows, tmp_path: Path, findings: Findings) -> None:
    labelled = [{"image": row["a"], "label": i % 3} for i, row in enumerate(rows)]
    path = table(tmp_path / "rows.csv", labelled)
    assert (check(path, workers=1).layout, findings(path).get("labels")) == ("labelled", None)
    labelled[4]["label"] = "three"
    found = findings(table(tmp_path / "rows.csv", labelled))["labels"]
    assert (found.severity, found.files) == ("error", ("three",))


def test_a_table_without_a_column_of_pictures_is_an_error_that_names_its_columns(tmp_path: Path) -> None:
    report = check(table(tmp_path / "rows.csv", [{"id": 1, "title": "x"}]))
    assert report.exit_code == 1
    assert "its columns: id, title" in report.text()


def test_a_table_without_rows_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n")
    assert "no rows" in check(tmp_path / "rows.csv").text()


def test_a_leak_between_rows_is_found(rows: Rows, tmp_path: Path, findings: Findings) -> None:
    rows[55] |= {"a": "a/3.png", "b": "b/3.png"}
    assert findings(table(tmp_path / "rows.csv", rows))["leak_exact"].count == 1


@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl", "rows.parquet"])
def test_what_is_no_table_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x00\xff{{{\n1,2,3\n" * 3)
    with pytest.raises(UserError, match="rows"):
        understand(tmp_path / name)


def test_of_many_rows_a_spread_sample_is_kept_and_all_are_counted(rows: Rows, tmp_path: Path) -> None:
    path = table(tmp_path / "rows.csv", [rows[i // 20] | {"split": "train"} for i in range(1000)])
    layout = tables.table(path, 100)
    assert layout.rows == 1000
    assert 50 <= len(layout.items) <= 100
    tally = Counter(item.files for item in layout.items)
    assert len(tally) == 50
    assert max(tally.values()) - min(tally.values()) <= 1
    assert "1,000 rows in all" in layout.understood()


@pytest.mark.parametrize("names", [("a", "b"), ("input", "target")])
def test_the_block_to_paste_opens_the_table(rows: Rows, tmp_path: Path, names: tuple[str, str]) -> None:
    made = [{names[0]: row["a"], names[1]: row["b"], "split": row["split"]} for row in rows]
    told = YAML(typ="safe", pure=True).load(check(table(tmp_path / "rows.csv", made), workers=1).data.text())["data"]
    split = open_split(TypeAdapter(Data).validate_python(told), "val")
    assert [len(side) for side in split.files] == [10, 10]

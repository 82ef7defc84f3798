"""A table of files is a data set: read once, drawn by weight, split by column or number, and clear when wrong."""

import csv
import itertools
import json
import multiprocessing
import os
import pickle
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import torch

from i2i.data import Batches, Data, fixed, in_order, open_split
from i2i.data.spec import Fractions
from i2i.data.tables import index, indexes
from i2i.data.tables.columns import STEP
from i2i.data.tables.shares import shares
from i2i.errors import UserError
from i2i.images import read

Make = Callable[..., Data]
Fill = Callable[..., None]
Row = dict[str, Any]

WHOLE = {"val": 0, "test": 0}


@pytest.fixture(autouse=True)
def _own_home(fresh_home: Path) -> None:
    """No test finds another's index."""


@pytest.fixture
def folder(tmp_path: Path, fill: Fill) -> Path:
    """Eight pictures in each of a, b and mask."""
    for number, name in enumerate(("a", "b", "mask")):
        fill(tmp_path / name, 8, first=100 * number)
    return tmp_path


def table(path: Path, rows: Sequence[Row]) -> Path:
    """Write rows as the suffix says."""
    if path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    elif path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), path)
    return path


def pairs(n: int, **more: Callable[[int], Any]) -> list[Row]:
    """n rows over the eight pictures; `more`: further columns, by the number of the row."""
    rows = [{"a": f"a/{i % 8:03}.png", "b": f"b/{i % 8:03}.png"} for i in range(n)]
    return [row | {name: make(i) for name, make in more.items()} for i, row in enumerate(rows)]


def paired(spec: Make, manifest: Path, **more: Any) -> Data:
    return spec(**{"layout": "paired", "manifest": manifest, "crop": 8, "split": WHOLE} | more)


def drawn(spec: Data, n: int, batch: int = 1, **more: Any) -> list[Any]:
    """The a of every sample of the first n batches."""
    batches = Batches(spec, batch=batch, **more)
    found = [batches.files(p, p + 1) for p in range(n)]
    batches.close()
    return [path.relative_to(path.parent.parent) for files in found for path in files[::2]]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_every_kind_of_table_gives_the_same_pairs(suffix: str, folder: Path, spec: Make) -> None:
    told = paired(spec, table(folder / f"rows{suffix}", pairs(8)), crop=16)
    split = open_split(told, "train")
    assert [str(path.relative_to(folder)) for path in split.files[1]] == [f"b/{i:03}.png" for i in range(8)]
    assert split.files[0][-1] == folder / "a/007.png"
    assert split.registered
    a, b = fixed(told, "train", 8)
    assert torch.equal(a[3], as_batch(folder / "a/003.png"))
    assert torch.equal(b[3], as_batch(folder / "b/003.png"))
    assert torch.equal(torch.cat([x for x, _ in in_order(told, "train", 3)]), a)


def test_paths_are_relative_to_the_table_or_absolute(folder: Path, spec: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"a": str(folder / "a/000.png"), "b": "../b/000.png"}, {"a": "../a/ä 1.png", "b": "../b/001.png"}]
    (folder / "a/001.png").rename(folder / "a/ä 1.png")
    (folder / "tables").mkdir()
    path = table(folder / "tables/rows.csv", rows)
    (folder / "b/link.csv").symlink_to(path)
    assert open_split(paired(spec, folder / "b/link.csv"), "train").files[1][0] == folder / "b/../b/000.png"
    monkeypatch.chdir(folder)
    a, _ = fixed(paired(spec, path.relative_to(folder), crop=16), "train", 2)
    assert torch.equal(a[1], as_batch(folder / "a/ä 1.png"))


def test_columns_can_be_renamed_and_conditions_are_columns(folder: Path, spec: Make) -> None:
    rows = [{"x": f"b/{i:03}.png", "y": f"a/{i:03}.png", "m": f"mask/{i:03}.png"} for i in range(8)]
    columns = {"a": "y", "b": "x", "mask": "m"}
    told = paired(spec, table(folder / "rows.csv", rows), columns=columns, condition=["mask"])
    assert [path.parent.name for path in (side[5] for side in open_split(told, "train").files)] == ["a", "b", "mask"]


@pytest.mark.parametrize("column", ["a", "image", "path", "file"])
def test_one_picture_a_row_has_the_names_of_the_field(column: str, folder: Path, spec: Make) -> None:
    path = table(folder / "rows.jsonl", [{column: f"a/{i:03}.png", "caption": "x"} for i in range(8)])
    split = open_split(spec(layout="unlabelled", manifest=path, crop=8, split=WHOLE), "train")
    assert [file.name for file in split.files[0]] == [f"{i:03}.png" for i in range(8)]


def test_a_single_column_of_pairs_holds_both_side_by_side(folder: Path, spec: Make) -> None:
    path = table(folder / "rows.csv", [{"image": f"a/{i:03}.png"} for i in range(8)])
    assert open_split(paired(spec, path), "train").side_by_side
    derived = spec(layout="paired", manifest=path, crop=8, split=WHOLE, derive={"a": "edges"})
    assert not open_split(derived, "train").side_by_side


@pytest.mark.parametrize(
    ("labels", "classes", "numbers"),
    [
        (["zebra", "ant", "zebra", "cow"], ("ant", "cow", "zebra"), [2, 0, 2, 1]),
        ([2, 0, 2, 1], ("0", "1", "2"), [2, 0, 2, 1]),
        (["10", "3", "3", "10"], tuple(map(str, range(11))), [10, 3, 3, 10]),
    ],
)
def test_labels_are_names_or_numbers(
    labels: list[Any], classes: tuple[str, ...], numbers: list[int], folder: Path, spec: Make
) -> None:
    rows = [{"a": f"a/{i:03}.png", "label": label} for i, label in enumerate(labels)]
    told = spec(layout="labelled", manifest=table(folder / "rows.csv", rows), crop=8, split=WHOLE)
    split = open_split(told, "train")
    assert (split.classes, list(split.labels), split.labels[-1]) == (classes, numbers, numbers[-1])
    assert fixed(told, "train", 4)[1].tolist() == numbers


def test_classes_are_those_of_all_splits(folder: Path, spec: Make) -> None:
    rows = [{"a": f"a/{i:03}.png", "label": "xyz"[i % 3], "split": ["train", "val"][i == 2]} for i in range(8)]
    told = spec(layout="labelled", manifest=table(folder / "rows.csv", rows), crop=8)
    assert open_split(told, "val").classes == ("x", "y", "z") == open_split(told, "train").classes
    assert list(open_split(told, "val").labels) == [2]


def test_unpaired_rows_may_hold_one_side_only(folder: Path, spec: Make) -> None:
    rows = [{"a": f"a/{i:03}.png" if i < 5 else "", "b": f"b/{i:03}.png"} for i in range(8)]
    split = open_split(spec(layout="unpaired", manifest=table(folder / "x.csv", rows), crop=8, split=WHOLE), "train")
    assert [len(side) for side in split.files] == [5, 8]
    assert not split.registered
    none = table(folder / "z.csv", [row | {"b": ""} for row in rows[:5]])
    with pytest.raises(UserError, match=r"no 'train' row with a file in the column 'b'"):
        open_split(spec(layout="unpaired", manifest=none, crop=8, split=WHOLE), "train")
    alike = table(folder / "y.csv", pairs(8))
    assert open_split(spec(layout="unpaired", manifest=alike, crop=8, split=WHOLE), "train").registered


def test_a_split_column_decides(folder: Path, spec: Make) -> None:
    rows = pairs(8, split=lambda i: ["train", "train", "val", "test"][i % 4])
    told = paired(spec, table(folder / "rows.csv", rows), split={"val": 0.5, "test": 0.3})
    found = {split: [path.stem for path in open_split(told, split).files[0]] for split in ("train", "val", "test")}
    assert found == {"train": ["000", "001", "004", "005"], "val": ["002", "006"], "test": ["003", "007"]}
    rows = pairs(8, split=lambda i: "train")
    with pytest.raises(UserError, match=r"no 'val' rows: none has 'val' in the column 'split'"):
        open_split(paired(spec, table(folder / "rows.csv", rows)), "val")


def test_shares_are_exact_disjoint_and_unmoved_by_appended_rows() -> None:
    asked = Fractions(val=0.1, test=0.2)
    given = shares(0, 10_000, asked)
    assert np.bincount(given).tolist() == [7000, 1000, 2000]
    assert np.array_equal(shares(0, 10_007, asked)[:10_000], given)
    assert np.array_equal(np.concatenate([shares(0, 33, asked), shares(33, 10_000, asked)]), given)
    counts = np.stack([np.cumsum(given == split) for split in (1, 2)])
    expected = np.arange(1, 10_001) * np.array([[0.1], [0.2]])
    assert np.abs(counts - expected).max() < 3
    assert not np.array_equal(shares(0, 10_000, Fractions(val=0.1, test=0.2, seed=1)), given)
    held = np.flatnonzero(given)
    assert set(np.diff(held)) > {1, 2, 5}  # and not every third row
    for val, test in ((0.5, 0.4), (0.001, 0), (0, 0.37), (0.29, 0.31)):
        counts = np.bincount(shares(0, 100_000, Fractions(val=val, test=test)), minlength=3)
        assert np.abs(counts[1:] - [val * 1e5, test * 1e5]).max() <= 1


def test_rows_without_a_split_column_are_shared_out(folder: Path, spec: Make) -> None:
    def found(n: int, split: str) -> list[int]:
        told = paired(spec, table(folder / "rows.csv", pairs(n, id=str)), split={"val": 0.1, "test": 0.1})
        opened = open_split(told, split)
        given = np.flatnonzero(shares(0, n, Fractions()) == ["train", "val", "test"].index(split))
        assert [path.stem for path in opened.files[0]] == [f"{i % 8:03}" for i in given]
        return given.tolist()

    rows = {split: found(100, split) for split in ("train", "val", "test")}
    assert [len(own) for own in rows.values()] == [80, 10, 10]
    assert sorted(itertools.chain(*rows.values())) == list(range(100))
    assert found(120, "val")[:10] == rows["val"]


def test_the_fingerprint_follows_the_content_and_not_the_place(folder: Path, tmp_path: Path, spec: Make) -> None:
    def told(path: Path, of: str = "train", **more: Any) -> str:
        return open_split(paired(spec, path, **more), of).fingerprint

    one = table(folder / "rows.csv", pairs(40))
    two = table(folder / "a" / "others.csv", pairs(40))
    assert told(one) == told(two)
    assert told(one, split={"val": 0.2, "test": 0}) not in (told(one), told(one, "val", split={"val": 0.2, "test": 0}))
    table(two, pairs(41))
    assert told(one) != told(two)


def test_the_stamp_follows_the_pictures_of_a_small_table(
    folder: Path, spec: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = paired(spec, table(folder / "rows.csv", pairs(8)))
    before = open_split(told, "train")
    (folder / "b/003.png").write_bytes((folder / "b/004.png").read_bytes())
    after = open_split(told, "train")
    assert before.stamp != after.stamp
    assert before.fingerprint == after.fingerprint
    (folder / "b/003.png").unlink()
    assert open_split(told, "train").stamp not in (None, after.stamp)
    monkeypatch.setattr("i2i.data.tables.manifest.STAMPED", 15)
    assert open_split(told, "train").stamp is None


def test_a_missing_file_costs_its_place_and_is_named(folder: Path, spec: Make) -> None:
    rows = pairs(40)
    rows[7]["b"] = "b/gone.png"
    said: list[str] = []
    batches = Batches(paired(spec, table(folder / "rows.csv", rows)), batch=10, warn=said.append)
    list(islice(batches, 8))
    batches.close()
    assert list(batches.skipped) == [str(folder / "b/gone.png")]
    assert "no such file" in said[0]


@pytest.mark.parametrize(
    ("rows", "more", "said"),
    [
        ([{"a": "x", "c": "y"}], {}, r"rows\.csv: no column b; there is a, c\. Say which it is: `columns: \{b: a\}`"),
        ([{"c": "x"}], {"layout": "unlabelled"}, "no column a or image or path or file"),
        ([{"a": "x"}], {"layout": "labelled"}, "no column label"),
        (pairs(9), {"columns": {"a": "aa"}}, "no column aa"),
        (pairs(9), {"columns": {"weigth": "w"}}, "no 'weigth' to be named.*Did you mean weight"),
        (pairs(9), {"condition": ["mask"]}, "no column mask"),
        ([*pairs(7), {"a": "x", "b": ""}], {}, r"row 8: expected a file in the column 'b', got ''"),
        (pairs(9, weight=lambda i: -1 if i == 3 else 1), {}, r"row 4: expected a weight >= 0 .*'weight', got '-1'"),
        (pairs(9, weight=lambda i: "nan" if i == 8 else 1), {}, r"row 9: expected a weight >= 0"),
        (pairs(9, weight=lambda i: "" if i == 8 else 1), {}, r"row 9: expected a weight >= 0"),
        (pairs(9, weight=lambda i: "much" if i == 2 else 1), {}, r"row 3: expected a weight >= 0.*'much'"),
        (pairs(9, weight=lambda i: 0), {}, "all 'train' rows have weight 0"),
        (pairs(9, split=lambda i: "vaI" if i == 4 else "train"), {}, r"row 5: expected train, val or test.*'vaI'"),
        (pairs(9, label=lambda i: 10**9 if i else 0), {"layout": "labelled"}, "label 1000000000 is no class number"),
        (pairs(9, label=lambda i: "" if i == 1 else "x"), {"layout": "labelled"}, "row 2: expected a class"),
        ([{"a": "", "b": ""}], {"layout": "unpaired"}, "row 1: expected a file here or for side b"),
        ([{"a": "x\0y", "b": "x"}], {}, "row 1: expected a file's name without zero bytes"),
    ],
)
def test_what_is_wrong_is_named_with_its_row(
    rows: list[Row], more: dict[str, Any], said: str, folder: Path, spec: Make
) -> None:
    path = table(folder / "rows.csv", rows)
    for _ in range(2):  # a failed index is not kept
        with pytest.raises(UserError, match=said):
            open_split(paired(spec, path, **more), "train")
    assert not [each for each in (indexes.home() / "manifests").glob("*") if not each.name.endswith(".lock")]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("rows.csv", b"", r"rows\.csv: not a table.*[Ee]mpty"),
        ("rows.csv", b"a,b\n", "a table without rows"),
        ("rows.csv", b"a,b\nx,y\nx,y,z\n", r"Row #3: Expected 2 columns, got 3"),
        ("rows.csv", b"a,b,a\nx,y,z\n", "two columns are called 'a'"),
        ("rows.csv", b"a,b\n\xff\xfe,x\n", "rows.csv.*(UTF|utf)"),
        ("rows.jsonl", b'{"a": "x", "b": "y"}\n{"a": ["x"], "b": "y"}\n', "changed from string to array"),
        ("rows.jsonl", b'{"a": ["x"], "b": "y"}\n', "'a' holds list<item: string>, where text is expected"),
        ("rows.jsonl", b'{"a": "x", "b": "y"}\n{"a":', "not a table"),
        ("rows.jsonl", b'{"a": "x", "b": null}\n', "row 1: expected a file in the column 'b'"),
        ("rows.parquet", b"PAR1 nothing", "not a table"),
        ("rows.txt", b"a,b\n", r"is none of \.csv, \.jsonl, \.parquet"),
    ],
)
def test_a_broken_table_says_so(name: str, content: bytes, said: str, tmp_path: Path, spec: Make) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=said):
        open_split(paired(spec, tmp_path / name), "train")
    with pytest.raises(UserError, match="no file"):
        open_split(paired(spec, tmp_path / "nowhere.csv"), "train")


def test_rows_come_floor_or_ceil_of_their_expected_count(folder: Path, spec: Make) -> None:
    weights = [0, 0.3, 1, 1, 2.5, 3.2, 0, 8]
    rows = [{"a": f"a/{i:03}.png", "b": f"b/{i:03}.png", "weight": w} for i, w in enumerate(weights)]
    told = paired(spec, table(folder / "rows.csv", rows))
    whole = drawn(told, 8 * 200)
    expected = 8 * np.array(weights) / sum(weights)
    total = np.zeros(8)
    for epoch in range(200):
        counts = np.bincount([int(path.stem) for path in whole[8 * epoch : 8 * epoch + 8]], minlength=8)
        assert (np.floor(expected) <= counts).all()
        assert (counts <= np.ceil(expected)).all()
        total += counts
        assert np.abs(total - (epoch + 1) * expected).max() < 3  # golden section: even over the epochs, too
    assert drawn(told, 8, seed=1) != whole[:8]
    assert len({tuple(whole[i : i + 8]) for i in range(0, 1600, 8)}) > 150


def test_many_rows_are_drawn_by_weight(folder: Path, spec: Make) -> None:
    n = 5 * STEP // 2
    rows = pairs(n, weight=lambda i: i % 4)
    rows = [row | {"a": f"a/{i}.png"} for i, row in enumerate(rows)]
    told = paired(spec, table(folder / "rows.parquet", rows))
    counts = Counter(int(path.stem) for path in drawn(told, 1, batch=n))
    expected = np.arange(n) % 4 / 1.5
    found = np.array([counts[i] for i in range(n)])
    assert (np.floor(expected) <= found).all()
    assert (found <= np.ceil(expected)).all()
    neighbours = [(counts[i] == 1) == (counts[i + 4] == 1) for i in range(1, n - 4, 4)]
    assert 0.3 < np.mean(neighbours) < 0.7  # rows that stand together do not come together


def test_the_samples_of_a_row_drawn_twice_differ(folder: Path, spec: Make) -> None:
    rows = [{"a": "a/000.png", "b": "b/000.png", "weight": 1000 if i == 0 else 0.001} for i in range(20)]
    told = paired(spec, table(folder / "rows.csv", rows), crop=4)
    batches = Batches(told, batch=20)
    a, _ = next(batches)  # one epoch, and one row nearly all of it
    assert len({x.numpy().tobytes() for x in a}) > 15


def test_equal_weights_are_no_weights(folder: Path, spec: Make) -> None:
    plain = paired(spec, table(folder / "rows.csv", pairs(8)))
    equal = paired(spec, table(folder / "equal.csv", pairs(8, weight=lambda i: 0.7)))
    assert drawn(plain, 24) == drawn(equal, 24)


def test_unusable_rows_are_replaced_by_weight(folder: Path, spec: Make) -> None:
    rows = pairs(8, weight=lambda i: [1, 0][i > 3] + (i == 0))
    (folder / "a/000.png").write_bytes(b"")
    told = paired(spec, table(folder / "rows.csv", rows), crop=16, flip=False)
    batches = Batches(told, batch=8, warn=lambda _: None)
    seen = torch.cat([a for a, _ in islice(batches, 10)])
    drawable = {as_batch(folder / f"a/00{i}.png").numpy().tobytes() for i in (1, 2, 3)}
    assert {x.numpy().tobytes() for x in seen} == drawable


@pytest.mark.parametrize("layout", ["paired", "unpaired"])
def test_a_weighted_stream_resumes_at_every_position(layout: str, folder: Path, spec: Make) -> None:
    rows = pairs(30, weight=lambda i: i % 5)
    told = paired(spec, table(folder / "rows.csv", rows), layout=layout, load=14, augment=["VerticalFlip"], skip=0)
    whole = taken(told, 0, 12)
    for position in range(1, 12):
        assert equal(taken(told, position, 12), whole[position:])
    for workers, world in ((2, 1), (0, 2), (2, 2)):
        many = paired(spec, told.manifest, layout=layout, load=14, augment=["VerticalFlip"], skip=0, workers=workers)  # type: ignore[union-attr]
        assert equal(taken(many, 5, 12, world), whole[5:]), (workers, world)


def taken(spec: Data, first: int, last: int, world: int = 1) -> list[Any]:
    """Batches first, ..., last - 1 of six samples, those of all ranks put together."""
    ranks = []
    for rank in range(world):
        batches = Batches(spec, batch=6, seed=5, position=first, rank=rank, world=world)
        ranks.append(list(islice(batches, last - first)))
        batches.close()
    return [[torch.cat(sides) for sides in zip(*batch, strict=True)] for batch in zip(*ranks, strict=True)]


def equal(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(x, y) for xs, ys in zip(one, other, strict=True) for x, y in zip(xs, ys, strict=True)
    )


def test_the_index_is_made_once_and_anew_for_a_changed_table(
    folder: Path, spec: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[Path] = []
    build = index.build
    monkeypatch.setattr("i2i.data.tables.manifest.build", lambda *told: built.append(told[0]) or build(*told))
    path = table(folder / "rows.csv", pairs(40))
    for split in ("train", "val", "test", "train"):
        open_split(paired(spec, path, split={}), split)
    assert len(built) == 1
    old = open_split(paired(spec, path), "train")  # other shares, another index
    assert len(built) == 2
    kept = [each for each in (indexes.home() / "manifests").iterdir() if each.is_dir()]
    assert len(kept) == 2
    table(path, pairs(41))
    assert len(open_split(paired(spec, path), "train")) == 41
    kept = [each for each in (indexes.home() / "manifests").iterdir() if each.is_dir()]
    assert len(kept) == 1  # what told of the old table is gone
    assert old.files[0][39] == folder / "a/007.png"  # but still there for those who have it open
    os.utime(kept[0] / "index.json", (0, time.time() - indexes.UNUSED - 9))
    open_split(paired(spec, table(folder / "new.csv", pairs(3))), "train")
    assert not kept[0].exists()


def test_processes_that_start_together_make_one_index(
    folder: Path, spec: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = paired(spec, table(folder / "rows.csv", pairs(20_000)))
    build = index.build

    def slow(*args: Any) -> dict[str, Any]:
        (folder / f"built by {os.getpid()}").touch()
        time.sleep(0.5)
        return build(*args)

    def work() -> None:
        os._exit(len(open_split(told, "train")) != 20_000)

    monkeypatch.setattr("i2i.data.tables.manifest.build", slow)
    children = [multiprocessing.get_context("fork").Process(target=work) for _ in range(3)]
    for child in children:
        child.start()
    for child in children:
        child.join(60)
    assert [child.exitcode for child in children] == [0, 0, 0]
    assert len(list(folder.glob("built by *"))) == 1


def test_a_killed_build_leaves_nothing_that_is_taken_for_whole(
    folder: Path, spec: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = paired(spec, table(folder / "rows.csv", pairs(40)))

    def dies(*_: Any) -> None:
        (_[2] / "train").mkdir()
        (_[2] / "train" / "a.text").write_bytes(b"a/0")
        os._exit(1)

    with monkeypatch.context() as patch:
        patch.setattr("i2i.data.tables.manifest.build", dies)
        child = multiprocessing.get_context("fork").Process(target=open_split, args=(told, "train"))
        child.start()
        child.join(60)
    assert child.exitcode == 1
    assert list((indexes.home() / "manifests").glob(".*.tmp/train"))
    assert len(open_split(told, "train")) == 40
    assert not list((indexes.home() / "manifests").glob(".*.tmp"))


def test_a_split_travels_to_another_process_as_names(folder: Path, spec: Make) -> None:
    rows = pairs(5000, weight=lambda i: i % 3, label=lambda i: i % 7)
    told = spec(layout="labelled", manifest=table(folder / "rows.csv", rows), crop=8, split=WHOLE)
    split = open_split(told, "train")
    packed = pickle.dumps(split)
    assert len(packed) < 5000
    back = pickle.loads(packed)
    assert (back.files[0][4321], back.labels[4321]) == (split.files[0][4321], split.labels[4321])
    assert back.walks[0].slot(0, 0, 777) == split.walks[0].slot(0, 0, 777)


def test_cells_are_read_one_by_one_like_a_list(folder: Path, spec: Make) -> None:
    split = open_split(paired(spec, table(folder / "rows.csv", pairs(20))), "train")
    cells = split.files[0]
    assert [cells[i] for i in range(-20, 20)] == [*cells, *cells]
    for place in (20, -21):
        with pytest.raises(IndexError):
            cells[place]
    with pytest.raises(TypeError):
        cells[1:3]  # type: ignore[index]


def as_batch(path: Path) -> torch.Tensor:
    return torch.from_numpy(read(path).copy()).permute(2, 0, 1).float() / 127.5 - 1

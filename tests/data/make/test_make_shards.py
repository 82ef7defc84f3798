"""Shards that webdataset reads, with untouched bytes, equal on every machine; and tables of files."""

import csv
import hashlib
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from i2i.data import Data, open_split
from i2i.data.make.listing import guess, listing
from i2i.data.make.manifest import manifest
from i2i.data.make.shards import Bounds, bytes_of, shards
from i2i.errors import UserError
from i2i.images import write

Scene = Callable[..., np.ndarray]
Tree = Callable[[Path], dict[str, bytes]]
Spec = Callable[..., Data]


@pytest.fixture
def pairs(tmp_path: Path, scene: Scene) -> Path:
    """trainA, trainB, trainmask of 12; val of 3."""
    for split, count in (("train", 12), ("val", 3)):
        for i in range(count):
            write(tmp_path / "pairs" / f"{split}A" / f"{i:02}.x.png", scene(i, 16))
            write(tmp_path / "pairs" / f"{split}B" / f"{i:02}.x.JPG", scene(100 + i, 16))
            write(tmp_path / "pairs" / f"{split}mask" / f"{i:02}.x.png", scene(200 + i, 16)[:, :, :1])
    return tmp_path / "pairs"


@pytest.fixture
def classes(tmp_path: Path, scene: Scene) -> Path:
    for i in range(9):
        write(tmp_path / "classes" / "train" / ("dog", "ant", "cat")[i % 3] / f"{i}.png", scene(i, 16))
    return tmp_path / "classes"


def contents(folder: Path) -> dict[str, dict[str, bytes]]:
    """Shard → its members, in their order."""
    found = {}
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            found[path.name] = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    return found


def test_files_of_a_sample_are_neighbours_and_untouched(pairs: Path, tmp_path: Path) -> None:
    made = shards(pairs, tmp_path / "out", Bounds(count=5))
    packed = contents(tmp_path / "out")
    assert list(packed) == [f"train-00000{i}.tar" for i in range(3)] + ["val-000000.tar"]
    assert [len(members) // 3 for members in packed.values()] == [5, 5, 2, 3]
    assert (made.sources, made.files, made.skipped) == (15, 5, ())
    seen = []
    for shard, members in packed.items():
        names = list(members)
        for a, b, mask in zip(names[::3], names[1::3], names[2::3], strict=True):
            key = a.removesuffix(".a.png")
            assert (b, mask) == (f"{key}.b.jpg", f"{key}.mask.png")
            stem, split = key.replace("_", "."), shard.split("-")[0]
            assert members[a] == (pairs / f"{split}A" / f"{stem}.png").read_bytes()
            assert members[b] == (pairs / f"{split}B" / f"{stem}.JPG").read_bytes()
            assert members[mask] == (pairs / f"{split}mask" / f"{stem}.png").read_bytes()
            seen.append((split, key))
    assert len(set(seen)) == 15
    assert seen[:12] != sorted(seen[:12])  # mixed


def test_the_index_tells_what_is_there(pairs: Path, tmp_path: Path) -> None:
    shards(pairs, tmp_path / "out", Bounds(count=5))
    told = json.loads((tmp_path / "out" / "index.json").read_text("utf-8"))
    assert (told["format"], told["layout"], told["classes"]) == (1, "paired", [])
    assert [shard["samples"] for shard in told["splits"]["train"]] == [5, 5, 2]
    for part in told["splits"].values():
        for shard in part:
            content = (tmp_path / "out" / shard["file"]).read_bytes()
            assert shard["bytes"] == len(content)
            assert shard["sha256"] == hashlib.sha256(content).hexdigest()


def test_equal_seeds_give_equal_bytes_and_others_another_order(pairs: Path, tmp_path: Path, tree: Tree) -> None:
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        shards(pairs, tmp_path / name, seed=seed)
    one, same, other = (tree(tmp_path / name) for name in ("one", "same", "other"))
    assert one == same
    assert one["train-000000.tar"] != other["train-000000.tar"]
    assert sorted(contents(tmp_path / "one")["train-000000.tar"]) == sorted(
        contents(tmp_path / "other")["train-000000.tar"]
    )
    with tarfile.open(tmp_path / "one" / "train-000000.tar") as tar:
        assert all((member.mtime, member.uid, member.gid, member.uname) == (0, 0, 0, "") for member in tar)


def test_webdataset_reads_them(pairs: Path, classes: Path, tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    shards(pairs, tmp_path / "p", Bounds(count=5))
    read = list(
        webdataset.WebDataset([str(path) for path in sorted((tmp_path / "p").glob("train*"))], shardshuffle=False)
    )
    assert len(read) == 12
    for sample in read:
        stem = sample["__key__"].replace("_", ".")
        assert sample["a.png"] == (pairs / "trainA" / f"{stem}.png").read_bytes()
        assert {"a.png", "b.jpg", "mask.png"} <= sample.keys()
    shards(classes, tmp_path / "c")
    decoded = webdataset.WebDataset(str(tmp_path / "c" / "train-000000.tar"), shardshuffle=False).decode("rgb8")
    labels = {sample["__key__"]: sample["cls"] for sample in decoded}
    assert labels == {f"{('dog', 'ant', 'cat')[i % 3]}/{i}": (2, 0, 1)[i % 3] for i in range(9)}


def test_shards_stay_within_their_size(pairs: Path, tmp_path: Path) -> None:
    shards(pairs, tmp_path / "out", Bounds(size=12_000))
    sizes = [path.stat().st_size for path in (tmp_path / "out").glob("train*.tar")]
    assert len(sizes) > 3
    assert max(sizes) <= 12_000 + tarfile.RECORDSIZE + 1024  # the end of a tar file fills its last record
    shards(pairs, tmp_path / "tiny", Bounds(size=1))
    assert len(contents(tmp_path / "tiny")) == 15


def test_a_missing_or_broken_picture_leaves_its_sample_out(pairs: Path, tmp_path: Path) -> None:
    (pairs / "trainB" / "03.x.JPG").write_bytes(b"")
    (pairs / "trainB" / "04.x.JPG").write_bytes(b"<html>404</html>")
    made = shards(pairs, tmp_path / "out")
    assert sorted(path.name for path, _ in made.skipped) == ["03.x.png", "04.x.png"]
    assert made.sources == 13
    assert not any(name.startswith(("03", "04")) for name in contents(tmp_path / "out")["train-000000.tar"])


def test_shards_of_before_do_not_stay_among_new_ones(pairs: Path, tmp_path: Path) -> None:
    shards(pairs, tmp_path / "out", Bounds(count=2))
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="--force"):
        shards(pairs, tmp_path / "out")
    assert len(contents(tmp_path / "out")) == 8
    shards(pairs, tmp_path / "out", force=True)
    assert list(contents(tmp_path / "out")) == ["train-000000.tar", "val-000000.tar"]
    assert (tmp_path / "out" / "notes.txt").exists()


def test_two_names_that_make_one_key_are_refused(tmp_path: Path, scene: Scene) -> None:
    for name in ("a.1.png", "a_1.png"):
        write(tmp_path / "in" / name, scene(0, 8))
    with pytest.raises(UserError, match="but for dots"):
        shards(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out" / "index.json").exists()


def test_unpaired_sides_are_samples_of_their_own(tmp_path: Path, scene: Scene, spec: Spec) -> None:
    for i in range(5):
        if i < 2:
            write(tmp_path / "in" / "trainA" / f"{i}.png", scene(i, 8))
        write(tmp_path / "in" / "trainB" / f"{i + 1}.png", scene(i, 8))
    shards(tmp_path / "in", tmp_path / "out")
    data = spec(layout="unpaired", shards=str(tmp_path / "out"), crop=8, split={"val": 0, "test": 0})
    assert [len(side) for side in open_split(data, "train").files] == [2, 5]
    names = sorted(contents(tmp_path / "out")["train-000000.tar"])
    assert names == [f"A/{i}.a.png" for i in range(2)] + [f"B/{i}.b.png" for i in range(1, 6)]


def test_pairs_side_by_side_are_sent_to_be_separated(tmp_path: Path, scene: Scene) -> None:
    write(tmp_path / "in" / "train" / "1.png", scene(0, 8, 16))
    with pytest.raises(UserError, match="make separate"):
        shards(tmp_path / "in", tmp_path / "out", layout="paired")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_table_lists_what_its_folder_holds(pairs: Path, tmp_path: Path, spec: Spec, suffix: str) -> None:
    table = tmp_path / "tables" / f"rows{suffix}"
    made = manifest(pairs, table)
    assert (made.sources, made.note) == (15, "paired: train 12, val 3")
    none = {"val": 0, "test": 0}
    folder = spec(layout="paired", root=pairs, crop=8, condition=["mask"], split=none)
    rows = spec(layout="paired", manifest=table, crop=8, condition=["mask"], split=none)
    for name in ("train", "val"):
        theirs, ours = open_split(folder, name), open_split(rows, name)
        assert [[Path(str(file)).resolve() for file in side] for side in ours.files] == [
            [Path(str(file)).resolve() for file in side] for side in theirs.files
        ]


def test_labels_of_a_table_are_class_names(classes: Path, tmp_path: Path, spec: Spec) -> None:
    manifest(classes, tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == {"a": "classes/train/ant/1.png", "label": "ant"}
    none = {"val": 0, "test": 0}
    ours = open_split(spec(layout="labelled", manifest=tmp_path / "t.csv", crop=8, split=none), "train")
    theirs = open_split(spec(layout="labelled", root=classes, crop=8, split=none), "train")
    assert (ours.classes, list(ours.labels)) == (theirs.classes, list(theirs.labels))


def test_unpaired_sides_share_a_table(tmp_path: Path, scene: Scene, spec: Spec) -> None:
    for i in range(4):
        write(tmp_path / "in" / "trainA" / f"h{i}.png", scene(i, 8))
    for i in range(2):
        write(tmp_path / "in" / "trainB" / f"z{i}, 'q' \"q\" é.png", scene(i, 8))
    manifest(tmp_path / "in", tmp_path / "t.csv")
    split = open_split(
        spec(layout="unpaired", manifest=tmp_path / "t.csv", crop=8, split={"val": 0, "test": 0}), "train"
    )
    assert [len(side) for side in split.files] == [4, 2]
    assert all(Path(str(file)).is_file() for side in split.files for file in side)


def test_shards_are_made_from_a_table(pairs: Path, tmp_path: Path) -> None:
    manifest(pairs, tmp_path / "t.parquet")
    shards(tmp_path / "t.parquet", tmp_path / "out", conditions=["mask"])
    packed = contents(tmp_path / "out")
    assert {split: len(members) for split, members in packed.items()} == {"train-000000.tar": 36, "val-000000.tar": 9}
    assert packed["val-000000.tar"]["000000001.b.jpg"] == (pairs / "valB" / "01.x.JPG").read_bytes()


def test_i2i_reads_its_own_shards(pairs: Path, classes: Path, tmp_path: Path, spec: Spec) -> None:
    shards(pairs, tmp_path / "p", Bounds(count=5))
    none = {"val": 0, "test": 0}
    data = spec(layout="paired", shards=str(tmp_path / "p"), crop=8, condition=["mask"], split=none)
    split = open_split(data, "train")
    assert (len(split), len(open_split(data, "val"))) == (12, 3)
    packed = {content for members in contents(tmp_path / "p").values() for content in members.values()}
    assert all(file.read() in packed for side in split.files for file in side)  # type: ignore[union-attr]
    shards(classes, tmp_path / "c")
    split = open_split(spec(layout="labelled", shards=str(tmp_path / "c"), crop=8, split=none), "train")
    assert split.classes == ("ant", "cat", "dog")
    assert sorted(split.labels) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_the_layout_is_found_out(pairs: Path, classes: Path, tmp_path: Path, scene: Scene) -> None:
    write(tmp_path / "plain" / "x.png", scene(0, 8))
    write(tmp_path / "plain" / "below" / "y.png", scene(0, 8))
    assert [guess(place) for place in (pairs, classes, tmp_path / "plain")] == ["paired", "labelled", "unlabelled"]
    (pairs / "trainA" / "00.x.png").unlink()
    assert guess(pairs) == "unpaired"
    with pytest.raises(UserError, match="no layout is called 'pared'"):
        listing(pairs, "pared")


def test_tables_are_not_overwritten_and_called_what_they_are(classes: Path, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("mine")
    with pytest.raises(UserError, match="exists already"):
        manifest(classes, tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == "mine"
    with pytest.raises(UserError, match=r"\*\.parquet"):
        manifest(classes, tmp_path / "t.xlsx")


@pytest.mark.parametrize(
    ("text", "size"), [("512MB", 512_000_000), ("1.5 GiB", 1_610_612_736), ("1000", 1000), ("64k", 64_000)]
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert bytes_of(text) == size


def test_sizes_that_are_none_are_refused() -> None:
    for text in ("big", "12XB", "-3MB"):
        with pytest.raises(UserError, match="expected bytes"):
            bytes_of(text)
    with pytest.raises(UserError, match="above 0"):
        Bounds(size=0)

"""WebDataset shards, by the headers of their members."""

import io
import tarfile
from pathlib import Path

import pytest
from pydantic import TypeAdapter
from ruamel.yaml import YAML

from i2i.data import Data, open_split
from i2i.data.check import check

from .scenes import Findings, scene


def png(key: int, side: int = 1) -> bytes:
    held = io.BytesIO()
    scene(key)[side].save(held, "PNG")
    return held.getvalue()


def shard(path: Path, members: dict[str, bytes]) -> Path:
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            told = tarfile.TarInfo(name)
            told.size = len(content)
            archive.addfile(told, io.BytesIO(content))
    return path


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Two train shards of 30 pairs, and one val shard of 10."""
    for number, (split, first, count) in enumerate((("train", 0, 30), ("train", 30, 30), ("val", 100, 10))):
        members = {f"{i:04}.{side}.png": png(i, "ab".index(side)) for i in range(first, first + count) for side in "ab"}
        shard(tmp_path / "shards" / f"{split}-{number:06}.tar", members)
    return tmp_path / "shards"


def test_shards_of_pairs_are_understood_and_clean(shards: Path) -> None:
    report = check(shards, workers=1)
    assert (report.layout, report.counts) == ("paired", {"train": 60, "val": 10})
    assert report.data.data["shards"] == str(shards)
    assert [finding for finding in report.findings if finding.severity != "note"] == []


def test_members_are_looked_at_like_files(shards: Path, findings: Findings) -> None:
    content = {f"{i}.{side}.png": png(i, "ab".index(side)) for i in range(200, 210) for side in "ab"}
    content["203.b.png"] = content["203.b.png"][:-200]
    shard(shards / "train-000009.tar", content)
    assert findings(shards)["damaged"].files == ("train-000009.tar!203.b.png",)


def test_a_sample_without_its_partner_is_named(shards: Path, findings: Findings) -> None:
    shard(shards / "train-000009.tar", {"lonely.a.png": png(5, 0)})
    assert findings(shards)["incomplete_sample"].files == ("lonely",)


def test_a_cut_shard_is_named_and_the_others_are_checked(shards: Path, findings: Findings) -> None:
    path = shards / "train-000001.tar"
    path.write_bytes(path.read_bytes()[:30000])
    found = findings(shards)["broken_shard"]
    assert found.severity == "error"
    assert found.files[0].startswith("train-000001.tar")
    assert check(shards, workers=1).counts == {"train": 30, "val": 10}


def test_labels_must_be_integers(tmp_path: Path, findings: Findings) -> None:
    members = {f"{i}.png": png(i) for i in range(60)} | {f"{i}.cls": str(i % 4).encode() for i in range(60)}
    path = shard(tmp_path / "set" / "train-0.tar", members)
    report = check(path, workers=1)
    assert (report.layout, report.counts, report.data.data["columns"]) == ("labelled", {"train": 60}, {"a": "png"})
    assert "labels" not in findings(report)
    shard(path, members | {"7.cls": b"cat"})
    assert findings(path)["labels"].files == ("cat",)


def test_a_picture_in_two_shards_of_two_splits_is_a_leak(shards: Path, findings: Findings) -> None:
    shard(shards / "test-000000.tar", {"x.a.png": png(4, 0), "x.b.png": png(4, 1)})
    assert findings(shards)["leak_exact"].files == ("test-000000.tar!x.a.png = train-000000.tar!0004.a.png",)


def test_the_block_to_paste_opens_the_shards(shards: Path) -> None:
    told = YAML(typ="safe", pure=True).load(check(shards, workers=1).data.text())["data"]
    split = open_split(TypeAdapter(Data).validate_python(told), "val")
    assert [len(side) for side in split.files] == [10, 10]

"""The glance before a training: it finds what matters to the recipe, and touches nothing else."""

import importlib
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter

from i2i.data import Data, open_split
from i2i.data.check import Finding, look, quick
from i2i.data.layouts import Split
from i2i.data.reference import Member, Reference

from .scenes import save, scene

Glance = Callable[..., dict[str, Finding]]
module = importlib.import_module("i2i.data.check.quick")


@pytest.fixture
def glance() -> Glance:
    """glance(layout=..., root=..., crop=...): what is found, by code."""
    adapter: TypeAdapter[Data] = TypeAdapter(Data)
    return lambda **told: {finding.code: finding for finding in quick(adapter.validate_python(told))}


def test_a_good_set_yields_nothing(pairs: Path, photos: Path, classes: Path, glance: Glance) -> None:
    assert glance(layout="paired", root=pairs, crop=64) == {}
    assert glance(layout="labelled", root=classes, crop=64) == {}
    assert glance(layout="unlabelled", root=photos, crop=64, split={"val": 0, "test": 0}) == {}
    assert glance(layout="mixture") == {}


def test_pictures_smaller_than_the_crop_matter_without_load(photos: Path, glance: Glance) -> None:
    found = glance(layout="unlabelled", root=photos, crop=65, split={"val": 0, "test": 0})["too_small"]
    assert (found.severity, found.count) == ("error", 60)
    assert "too_small" not in glance(layout="unlabelled", root=photos, crop=65, load=70)


def test_unreadable_and_damaged_pictures_are_named(photos: Path, glance: Glance) -> None:
    (photos / "005.png").write_bytes(b"")
    for i in range(20, 60):
        (photos / f"{i:03}.png").unlink()
        path = save(photos / f"{i:03}.jpg", scene(i)[1])
        path.write_bytes(path.read_bytes()[:-300])  # the header is whole
    found = glance(layout="unlabelled", root=photos, crop=32, split={"val": 0, "test": 0})
    assert found["unreadable"].files == ("005.png",)
    assert found["unreadable"].severity == "warning"  # training leaves out one
    assert found["unusable"].severity == "error"
    assert found["unusable"].count >= 10


def test_pairs_of_two_sizes_matter_unless_they_are_stretched(pairs: Path, glance: Glance) -> None:
    save(pairs / "trainB" / "p0001.png", scene(1)[1].resize((96, 96)))
    save(pairs / "trainB" / "p0002.png", scene(2)[1].resize((96, 64)))
    keep = {"layout": "paired", "root": pairs, "crop": 32, "split": {"val": 0}}
    assert glance(**keep)["pair_sizes"].count == 2
    assert glance(**keep, load=64, fit="shorter")["pair_sizes"].count == 1
    assert "pair_sizes" not in glance(**keep, load=64)


def test_depth_that_the_recipe_gives_away_is_said(tmp_path: Path, glance: Glance) -> None:
    for i in range(60):
        deep = np.random.default_rng(i).integers(0, 65536, (32, 32), dtype=np.uint16)
        save(tmp_path / f"{i}.png", Image.fromarray(deep))
    told = {"layout": "unlabelled", "root": tmp_path, "crop": 32, "channels": 1}
    assert glance(**told)["depth_lost"].severity == "warning"
    assert "depth_lost" not in glance(**told, bits=16)


def test_what_the_recipe_does_not_expect_is_found_as_training_would_find_it(
    tmp_path: Path, pairs: Path, glance: Glance
) -> None:
    found = glance(layout="paired", root=pairs, crop=32, channels={"a": {"labels": 4}, "b": 3})["unusable"]
    assert found.severity == "error"
    assert found.files[0].startswith("trainA/")
    five = tmp_path / "five"
    five.mkdir()
    for i in range(60):
        np.save(five / f"{i}.npy", np.random.default_rng(i).integers(0, 256, (40, 40, 5), dtype=np.uint8))
    assert glance(layout="unlabelled", root=five, crop=32)["unusable"].count >= 10
    assert "unusable" not in glance(layout="unlabelled", root=five, crop=32, channels=5)


def test_too_few_pictures_are_said(tmp_path: Path, glance: Glance) -> None:
    for i in range(20):
        save(tmp_path / f"{i}.png", scene(i)[1])
    assert glance(layout="unlabelled", root=tmp_path, crop=32)["too_few"].severity == "warning"


def test_equal_content_in_train_and_test_is_said(pairs: Path, glance: Glance) -> None:
    for side in "AB":
        shutil.copy(pairs / f"train{side}" / "p0003.png", pairs / f"test{side}" / "x.png")
    found = glance(layout="paired", root=pairs, crop=64, split={"val": 0})["leak_exact"]
    assert found.files == ("testA/x.png",)


def test_both_sides_of_an_unpaired_set_are_looked_at_whatever_their_lengths(tmp_path: Path, glance: Glance) -> None:
    for i in range(400):
        save(tmp_path / "trainA" / f"a{i}.png", Image.new("RGB", (40, 40), (i % 256, i // 256, 0)))
    for i in range(60):
        save(tmp_path / "trainB" / f"b{i}.png", Image.new("RGB", (20, 20), (i, 9, 9)))
    shutil.copytree(tmp_path / "trainA", tmp_path / "testA")
    save(tmp_path / "testB" / "t.png", Image.new("RGB", (20, 20), (3, 9, 9)))
    found = glance(layout="unpaired", root=tmp_path, crop=32, split={"val": 0})
    assert found["too_small"].count == 60
    assert "testB/t.png" in found["leak_exact"].files


class Rows(Sequence[Reference]):
    """Ten million rows that share 60 files; it counts how often it is asked."""

    def __init__(self, files: list[Path]) -> None:
        self.files, self.asked = files, 0

    def __len__(self) -> int:
        return 10_000_000

    def __getitem__(self, index: Any) -> Any:
        self.asked += 1
        return self.files[index % len(self.files)]

    def __iter__(self) -> Iterator[Reference]:
        raise AssertionError("nobody walks over ten million rows")


def test_ten_million_rows_take_a_second(photos: Path, glance: Glance, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = Rows(sorted(photos.iterdir()))
    split = open_split(TypeAdapter(Data).validate_python({"layout": "unlabelled", "root": photos, "crop": 32}), "train")
    monkeypatch.setattr(module, "open_split", lambda spec, name: replace(split, name=name, files=(rows,)))
    began = time.monotonic()
    assert "leak_exact" in glance(layout="unlabelled", root=photos, crop=32)  # the rows are the same in all splits
    assert time.monotonic() - began < 2 * module.SECONDS
    assert rows.asked < 2000


def test_slow_disks_cost_samples_and_not_time(photos: Path, glance: Glance, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = look.header

    def slow(*how: Any) -> Any:
        time.sleep(0.1)
        return headers(*how)

    monkeypatch.setattr(module, "header", slow)
    began = time.monotonic()
    glance(layout="unlabelled", root=photos, crop=32)
    assert time.monotonic() - began < 1.5 * module.SECONDS


def test_what_is_on_another_machine_is_not_fetched(
    photos: Path, glance: Glance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Member) -> bytes:
        raise AssertionError("a shard was fetched")

    monkeypatch.setattr(Member, "read", refuse)
    members = [Member("https://example.org/train-000.tar", f"{i}.a.png", 512 * i, 400) for i in range(100)]
    far = Split("train", None, (members,), (), (), False, False, "", None)
    monkeypatch.setattr(module, "open_split", lambda spec, name: replace(far, name=name))
    assert glance(layout="unlabelled", root=photos, crop=32, split={"val": 0.1}).keys() == {"leak_exact"}

"""Unpaired sides of which one has classes: each picture of side a keeps its own label, whatever b is."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from i2i.data import Batches, Data, fixed, in_order, open_split
from i2i.errors import UserError
from i2i.images import write

Make = Callable[..., Data]
CLASSES = {"cat": 10, "dog": 120, "emu": 240}  # the grey that tells a picture's class


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for split, count in (("train", 4), ("test", 2)):
        for name, grey in CLASSES.items():
            for i in range(count):
                write(tmp_path / f"{split}A" / name / f"{i}.png", np.full((8, 8, 3), grey + i, np.uint8))
    for i in range(7):
        write(tmp_path / "trainB" / f"{i}.png", np.full((8, 8, 3), 60 + i, np.uint8))
    for name in CLASSES:
        write(tmp_path / "testB" / name / "0.png", np.full((8, 8, 3), 61, np.uint8))
    return tmp_path


def right(a: torch.Tensor, y: torch.Tensor) -> bool:
    """Whether labels are those of their pictures, by the grey."""
    grey = (a.mean((1, 2, 3)) + 1) * 127.5
    return bool((torch.tensor([*CLASSES.values()])[y] - grey).abs().max() < 5)


def told(root: Path, spec: Make, **changes: object) -> Data:
    common = {"layout": "unpaired", "labels": "a", "crop": 8, "flip": False, "split": {"val": 0, "test": 0}}
    return spec(**{**common, **({} if "mix" in changes else {"root": root}), **changes})


@pytest.mark.parametrize("workers", [0, 1])
def test_a_batch_ends_with_the_classes_of_side_a(root: Path, spec: Make, workers: int) -> None:
    batches = Batches(told(root, spec, workers=workers), batch=4, seed=3)
    met = set()
    for _ in range(6):
        a, b, y = next(batches)
        assert a.shape == b.shape == (4, 3, 8, 8)
        assert y.dtype == torch.int64
        assert right(a, y)
        assert not right(b, y)
        met |= set(y.tolist())
    batches.close()
    assert met == {0, 1, 2}


def test_a_split_in_order_and_fixed_pictures_have_their_labels_also_when_a_side_runs_out(
    root: Path, spec: Make
) -> None:
    data = told(root, spec)
    assert open_split(data, "train").classes == tuple(CLASSES)
    a, _, y = fixed(data, "train", 6)
    assert right(a, y)
    parts = list(in_order(data, "train", 5))
    assert [(len(a), len(b), len(y)) for a, b, y in parts] == [(5, 5, 5), (5, 2, 5), (2, 0, 2)]
    for i in range(7, 20):
        write(root / "trainB" / f"{i:02}.png", np.full((8, 8, 3), 60, np.uint8))
    parts = list(in_order(data, "train", 8))
    assert [(len(a), len(b), len(y)) for a, b, y in parts] == [(8, 8, 8), (4, 8, 4), (0, 4, 0)]
    assert parts[-1][2].dtype == torch.int64


def test_equal_names_in_class_folders_of_both_sides_are_registered(root: Path, spec: Make) -> None:
    assert not open_split(told(root, spec), "test").registered
    for name in CLASSES:
        write(root / "testB" / name / "1.png", np.full((8, 8, 3), 62, np.uint8))
    assert open_split(told(root, spec), "test").registered


def test_without_labels_the_same_folders_are_two_plain_sides(root: Path, spec: Make) -> None:
    a, b = fixed(told(root, spec, labels=None), "train", 2)
    assert a.shape == b.shape
    assert open_split(told(root, spec, labels=None), "train").labels == ()


def test_sets_that_are_mixed_share_their_classes(root: Path, spec: Make, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for name in ("dog", "yak"):
        write(other / "trainA" / name / "0.png", np.full((8, 8, 3), CLASSES.get(name, 0), np.uint8))
        write(other / "trainB" / f"{name}.png", np.full((8, 8, 3), 9, np.uint8))
    data = told(root, spec, mix=[{"root": root}, {"root": other}])
    split = open_split(data, "train")
    assert split.classes == ("cat", "dog", "emu", "yak")
    assert [split.labels[i] for i in range(len(split.files[0]))] == [0] * 4 + [1] * 4 + [2] * 4 + [1, 3]


def test_a_side_without_class_folders_says_what_was_expected(
    tmp_path: Path, spec: Make, fill: Callable[..., None]
) -> None:
    fill(tmp_path / "trainA", 3)
    fill(tmp_path / "trainB", 3)
    with pytest.raises(UserError, match=r"trainA: no class folders.*\n.*trainA/<class>/\*\.png"):
        open_split(told(tmp_path, spec), "train")


def test_tables_and_shards_have_no_classes_of_a_side(spec: Make) -> None:
    for place in ({"manifest": "x.csv"}, {"shards": "x.tar"}, {"mix": [{"manifest": "x.csv"}, {"root": "y"}]}):
        with pytest.raises(ValidationError, match="reads the classes from folders"):
            spec(layout="unpaired", crop=8, labels="a", **place)

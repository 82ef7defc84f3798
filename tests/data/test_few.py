"""Training pictures of which few have a label: which, how often, and what of it stays when anything else changes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from i2i import images
from i2i.data import Batches, PartlyLabelledData, fixed, in_order, open_split
from i2i.errors import UserError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three classes of 8 pictures each, a folder of unknown ones, and a test split; each picture is one grey."""
    for split, count in (("train", 8), ("test", 2)):
        for number, name in enumerate(("x", "y", "z", "unknown")):
            if split == "test" and name == "unknown":
                continue
            for i in range(count):
                grey = np.full((8, 8, 1), 60 * number + 2 * i, np.uint8)
                images.write(tmp_path / "few" / split / name / f"{i}.png", grey)
    return tmp_path / "few"


def spec(root: Path, **changes: Any) -> PartlyLabelledData:
    tree = {"layout": "labelled", "root": str(root), "channels": 1, "crop": 8, "split": {"val": 0}, **changes}
    return PartlyLabelledData.model_validate(tree)


def greys(x: torch.Tensor) -> list[int]:
    return ((x[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()


def known(data: PartlyLabelledData) -> dict[int, list[int]]:
    """The pictures that keep their label, by it."""
    found: dict[int, list[int]] = {}
    for x, y in in_order(data, "train", 7):
        for grey, label in zip(greys(x), y.tolist(), strict=True):
            found.setdefault(label, []).append(grey)
    everyone = found.pop(-1)
    assert len(everyone) == len(set(everyone))
    return found


def test_so_many_of_each_class_keep_the_label_that_they_have(root: Path) -> None:
    found = known(spec(root, labels=3, unlabelled="unknown"))
    assert {label: len(pictures) for label, pictures in found.items()} == {0: 3, 1: 3, 2: 3}
    order = ["x", "y", "z"]  # `unknown` is sorted first and is no class
    assert open_split(spec(root, labels=3, unlabelled="unknown"), "train").classes == tuple(order)
    for label, pictures in found.items():
        assert all(grey // 60 == label for grey in pictures)
        assert len(set(pictures)) == 3


def test_all_pictures_are_there_without_their_labels_those_that_keep_it_too(root: Path) -> None:
    rows = [(g, y) for x, ys in in_order(spec(root, labels=1), "train", 5) for g, y in zip(greys(x), ys, strict=True)]
    assert sorted(g for g, y in rows if y == -1) == [60 * number + 2 * i for number in range(4) for i in range(8)]
    assert sum(bool(y >= 0) for _, y in rows) == 4


def test_the_draw_is_that_of_the_splits_seed_alone(root: Path) -> None:
    draws = [known(spec(root, labels=3, split={"val": 0, "seed": seed})) for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]
    prints = [open_split(spec(root, labels=n, split={"val": 0, "seed": seed}), "train").fingerprint
              for n, seed in ((3, 0), (3, 1), (2, 0))]  # fmt: skip
    assert len(set(prints)) == 3


@pytest.mark.parametrize("world", [1, 2, 4])
def test_half_of_every_batch_is_labelled_on_every_rank(root: Path, world: int) -> None:
    data, seen = spec(root, labels=2), []
    streams = [Batches(data, "train", 8, seed=3, rank=rank, world=world) for rank in range(world)]
    alone = Batches(data, "train", 8, seed=3)
    for _ in range(9):
        parts = [next(stream) for stream in streams]
        for _, y in parts:
            assert (y >= 0).sum() == len(y) / 2
        x, y = (torch.cat(side) for side in zip(*parts, strict=True))
        one = next(alone)
        assert torch.equal(x, one[0])
        assert torch.equal(y, one[1])
        seen += [(grey, label) for grey, label in zip(greys(x), y.tolist(), strict=True)]
    unlabelled = [grey for grey, label in seen if label < 0]
    assert len(set(unlabelled[:32])) == 32  # each once, before any comes again
    assert len({grey for grey, label in seen if label >= 0}) == 8


def test_a_stream_goes_on_where_it_was(root: Path) -> None:
    data = spec(root, labels=2)
    whole = Batches(data, "train", 6, seed=1)
    batches = [next(whole) for _ in range(8)]
    rest = Batches(data, "train", 6, seed=1, position=5)
    for wanted in batches[5:]:
        for a, b in zip(wanted, next(rest), strict=True):
            assert torch.equal(a, b)


def test_held_out_pictures_keep_their_labels(root: Path) -> None:
    _, y = fixed(spec(root, labels=1, unlabelled="unknown"), "test", 10)
    assert sorted(y.tolist()) == [0, 0, 1, 1, 2, 2]
    held = spec(root, labels=1, unlabelled="unknown", split={"val": 0.4, "test": 0})
    for part in in_order(held, "val", 4):
        assert (part[1] >= 0).all()
        assert [grey // 60 for grey in greys(part[0])] == part[1].tolist()


def test_a_manifest_can_be_thinned_too(root: Path) -> None:
    rows = [f"{name}/{i}.png,{name}" for name in ("x", "y", "z") for i in range(8)]
    (root / "train" / "table.csv").write_text("file,label\n" + "\n".join(rows) + "\n", "utf-8")
    data = PartlyLabelledData.model_validate(
        {"layout": "labelled", "manifest": str(root / "train" / "table.csv"), "labels": 2, "channels": 1, "crop": 8,
         "split": {"val": 0, "test": 0}}
    )  # fmt: skip
    assert {label: len(pictures) for label, pictures in known(data).items()} == {0: 2, 1: 2, 2: 2}


def test_what_cannot_be_is_refused(root: Path) -> None:
    with pytest.raises(UserError, match=r"9 pictures of class 'unknown'.*only 8.*--set data.labels=8"):
        open_split(spec(root, labels=9), "train")
    with pytest.raises(UserError, match=r"no class folder 'rest', only unknown, x, y, z"):
        open_split(spec(root, unlabelled="rest"), "train")
    with pytest.raises(ValidationError, match="say which labels are known"):
        spec(root)
    tree = {"layout": "labelled", "labels": 1, "crop": 8, "mix": [{"root": str(root)}, {"root": str(root)}]}
    with pytest.raises(ValidationError, match="not from `mix` or `shards`"):
        PartlyLabelledData.model_validate(tree)

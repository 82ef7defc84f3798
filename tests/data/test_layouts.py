"""Every layout of the field is found; what is missing is named; held-out shares are disjoint and stable."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from i2i.data import Data, Split, fixed, open_split
from i2i.errors import UserError
from i2i.images import read, write

Make = Callable[..., Data]
Fill = Callable[..., None]


@pytest.mark.parametrize(("a", "b"), [("trainA", "trainB"), ("train/A", "train/B"), ("A/train", "B/train"), ("A", "B")])
def test_every_two_folder_layout_gives_the_same_pairs(a: str, b: str, tmp_path: Path, spec: Make, fill: Fill) -> None:
    fill(tmp_path / a, 5)
    fill(tmp_path / b, 5, first=100)
    told = spec(layout="paired", root=tmp_path, crop=16, split={"val": 0, "test": 0})
    split = open_split(told, "train")
    assert len(split) == 5
    assert split.registered
    x, y = fixed(told, "train", 5)
    assert torch.equal(x[3], as_batch(split.files[0][3]))
    assert torch.equal(y[3], as_batch(split.files[1][3]))


@pytest.mark.parametrize("folder", ["train", "."])
def test_side_by_side_files_are_split_a_left(folder: str, tmp_path: Path, spec: Make) -> None:
    left, right = np.full((8, 8, 3), 255, np.uint8), np.zeros((8, 8, 3), np.uint8)
    write(tmp_path / folder / "x.png", np.concatenate([left, right], 1))
    a, b = fixed(spec(layout="paired", root=tmp_path, crop=8), "train", 1)
    assert (a == 1).all()
    assert (b == -1).all()


def test_b2a_swaps_the_sides_of_both_kinds_of_pairs(tmp_path: Path, spec: Make, fill: Fill) -> None:
    fill(tmp_path / "two/trainA", 2)
    fill(tmp_path / "two/trainB", 2, first=9)
    write(tmp_path / "one/train/x.png", np.random.default_rng(0).integers(0, 256, (8, 16, 3), dtype=np.uint8))
    for root, crop in ((tmp_path / "two", 16), (tmp_path / "one", 8)):
        a, b = fixed(spec(layout="paired", root=root, crop=crop), "train", 1)
        x, y = fixed(spec(layout="paired", root=root, crop=crop, direction="b2a"), "train", 1)
        assert torch.equal(a, y)
        assert torch.equal(b, x)


@pytest.mark.parametrize(
    ("sides", "masks"),
    [
        ("train{}", "trainmask"),
        ("train/{}", "train/mask"),
        ("{}/train", "mask/train"),
        ("train{}", "train_mask"),
        ("train{}", "train/mask"),
        ("{}", "mask"),
    ],
)
def test_a_condition_lies_in_a_folder_like_the_sides(
    sides: str, masks: str, tmp_path: Path, spec: Make, fill: Fill
) -> None:
    for folder, first in ((sides.format("A"), 0), (sides.format("B"), 100), (masks, 200)):
        fill(tmp_path / folder, 6, first=first)
    told = spec(layout="paired", root=tmp_path, crop=16, condition=["mask"], split={"val": 0.2, "test": 0})
    split = open_split(told, "train")
    assert [{path.parent for path in files} for files in split.files] == [
        {tmp_path / sides.format("A")},
        {tmp_path / sides.format("B")},
        {tmp_path / masks},
    ]
    names = [[path.name for path in files] for files in split.files]
    assert names[0] == names[1] == names[2]
    assert len(names[0]) == 5
    assert split.registered


def test_a_condition_without_folder_or_partner_is_named(tmp_path: Path, spec: Make, fill: Fill) -> None:
    fill(tmp_path / "trainA", 3)
    fill(tmp_path / "trainB", 3)
    told = spec(layout="paired", root=tmp_path, crop=16, condition=["mask"])
    with pytest.raises(UserError, match=r"'mask'.*Expected trainmask/, train_mask/, train/mask/, mask/train/"):
        open_split(told, "train")
    fill(tmp_path / "trainmask", 2)
    with pytest.raises(UserError, match=r"1 pictures in .*trainA have no partner of equal name in .*trainmask: 002"):
        open_split(told, "train")
    fill(tmp_path / "flat/train", 2)
    with pytest.raises(UserError, match="conditions need folders for the sides"):
        open_split(spec(layout="paired", root=tmp_path / "flat", crop=8, condition=["mask"]), "train")


def test_a_single_picture_among_side_by_side_files_is_named(tmp_path: Path, spec: Make, fill: Fill) -> None:
    fill(tmp_path / "train", 1)
    with pytest.raises(UserError, match=r"000\.png: expected a and b side by side.*got 16×16"):
        fixed(spec(layout="paired", root=tmp_path, crop=8), "train", 1)


def test_channels_follow_the_recipe(tmp_path: Path, spec: Make, fill: Fill) -> None:
    fill(tmp_path / "trainA", 2)
    fill(tmp_path / "trainB", 2)
    for layout in ("paired", "unpaired"):
        a, b = fixed(spec(layout=layout, root=tmp_path, crop=8, channels={"a": 1, "b": 3}), "train", 2)
        assert (a.shape[1], b.shape[1]) == (1, 3)
    fill(tmp_path / "photos", 2)
    assert fixed(spec(layout="unlabelled", root=tmp_path / "photos", crop=8, channels=1), "train", 1).shape[1] == 1


def test_unpaired_sides_may_differ_and_equal_names_are_registered(tmp_path: Path, spec: Make, fill: Fill) -> None:
    for folder, n in (("trainA", 3), ("trainB", 7), ("testA", 4), ("testB", 4)):
        fill(tmp_path / folder, n)
    told = spec(layout="unpaired", root=tmp_path, crop=8, split={"val": 0})
    assert len(open_split(told, "train")) == 7
    assert not open_split(told, "train").registered
    assert open_split(told, "test").registered
    a, b = fixed(told, "test", 4)
    assert torch.equal(a, b)  # the same pictures under the same names, in the same order


def test_unlabelled_pictures_lie_at_any_depth(tmp_path: Path, spec: Make, fill: Fill) -> None:
    fill(tmp_path / "train/x/y", 2)
    fill(tmp_path / "train", 3)
    assert len(open_split(spec(layout="unlabelled", root=tmp_path, crop=8, split={"val": 0, "test": 0}), "train")) == 5


@pytest.mark.parametrize("below", ["train", "."])
def test_classes_are_the_sorted_folders(below: str, tmp_path: Path, spec: Make, fill: Fill) -> None:
    fill(tmp_path / below / "zebra", 2)
    fill(tmp_path / below / "horse", 3)
    told = spec(layout="labelled", root=tmp_path, crop=8, split={"val": 0, "test": 0})
    split = open_split(told, "train")
    assert split.classes == ("horse", "zebra")
    assert split.labels == (0, 0, 0, 1, 1)
    x, y = fixed(told, "train", 5)
    assert (x.shape[0], y.tolist()) == (5, [0, 0, 0, 1, 1])


def test_a_class_may_be_called_train(tmp_path: Path, spec: Make, fill: Fill) -> None:
    fill(tmp_path / "train", 2)
    fill(tmp_path / "tram", 2)
    told = spec(layout="labelled", root=tmp_path, crop=8, split={"val": 0, "test": 0})
    assert open_split(told, "train").classes == ("train", "tram")


def test_a_class_that_train_lacks_is_named(tmp_path: Path, spec: Make, fill: Fill) -> None:
    fill(tmp_path / "train/horse", 2)
    fill(tmp_path / "test/horze", 2)
    with pytest.raises(UserError, match="horze"):
        open_split(spec(layout="labelled", root=tmp_path, crop=8), "train")


def test_held_out_shares_are_disjoint_complete_and_keyed(tmp_path: Path, spec: Make, fill: Fill) -> None:
    fill(tmp_path / "A", 40)
    fill(tmp_path / "B", 40)

    def names(split: str, seed: int = 0, layout: str = "paired") -> list[str]:
        told = spec(layout=layout, root=tmp_path, crop=8, split={"val": 0.1, "test": 0.2, "seed": seed})
        opened = open_split(told, split)
        assert opened.registered
        return [path.name for path in opened.files[0]]

    train, val, test = (names(split) for split in ("train", "val", "test"))
    assert (len(train), len(val), len(test)) == (28, 4, 8)
    assert sorted(train + val + test) == [f"{i:03}.png" for i in range(40)]
    assert names("val") == val == names("val", layout="unpaired")
    assert names("val", seed=1) != val
    for side in "AB":
        write(tmp_path / side / "new.png", np.zeros((16, 16, 3), np.uint8))
    assert len(set(names("test")) & set(test)) >= 7  # one more picture does not reshuffle the rest


def test_a_folder_s_own_split_wins_over_fractions(tmp_path: Path, spec: Make, fill: Fill) -> None:
    fill(tmp_path / "train", 10)
    fill(tmp_path / "val", 3, first=50)
    told = spec(layout="unlabelled", root=tmp_path, crop=8, split={"val": 0.5, "test": 0})
    assert len(open_split(told, "val")) == 3
    assert len(open_split(told, "train")) == 10
    with pytest.raises(UserError, match=r"no 'test' pictures.*data\.split\.test is 0"):
        open_split(told, "test")


def test_the_fingerprint_follows_names_and_sizes_not_the_place(tmp_path: Path, spec: Make, fill: Fill) -> None:
    def told(root: str) -> Split:
        return open_split(spec(layout="unlabelled", root=tmp_path / root, crop=8), "train")

    fill(tmp_path / "x", 10)
    fill(tmp_path / "y", 10)
    fill(tmp_path / "z", 11)
    assert told("x").fingerprint == told("y").fingerprint != told("z").fingerprint
    assert len(told("x").fingerprint) == 64
    rings = [spec(layout="mixture", modes=modes) for modes in (8, 9)]
    assert open_split(rings[0], "train").fingerprint != open_split(rings[1], "train").fingerprint


def test_a_missing_root_says_what_was_expected(tmp_path: Path, spec: Make) -> None:
    with pytest.raises(UserError, match=r"nowhere is no folder(.|\n)*trainA/\*\.png and trainB"):
        open_split(spec(layout="paired", root=tmp_path / "nowhere", crop=8), "train")


def test_an_unfitting_folder_says_what_is_there(tmp_path: Path, spec: Make, fill: Fill) -> None:
    fill(tmp_path / "pics", 1)
    for layout in ("paired", "unpaired"):
        with pytest.raises(UserError, match=f"`layout: {layout}`(.|\n)*Found: pics/"):
            open_split(spec(layout=layout, root=tmp_path, crop=8), "train")
    (tmp_path / "bare").mkdir()
    with pytest.raises(UserError, match="Found: nothing"):
        open_split(spec(layout="unlabelled", root=tmp_path / "bare", crop=8), "train")


def test_sides_of_a_pair_are_not_taken_for_one_collection(tmp_path: Path, spec: Make, fill: Fill) -> None:
    fill(tmp_path / "trainA", 1)
    fill(tmp_path / "trainB", 1)
    with pytest.raises(UserError, match="trainA/, trainB/"):
        open_split(spec(layout="unlabelled", root=tmp_path, crop=8), "train")


def test_missing_partners_are_named(tmp_path: Path, spec: Make, fill: Fill) -> None:
    fill(tmp_path / "trainA", 9)
    fill(tmp_path / "trainB", 2)
    with pytest.raises(UserError, match=r"7 pictures in .*trainA have no partner.*002, 003, 004, 005, 006, \.\.\."):
        open_split(spec(layout="paired", root=tmp_path, crop=8), "train")


def test_two_pictures_of_one_name_are_refused(tmp_path: Path, spec: Make, fill: Fill) -> None:
    fill(tmp_path / "trainA", 1)
    fill(tmp_path / "trainB", 1)
    write(tmp_path / "trainA/000.jpg", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(UserError, match="two pictures of one name"):
        open_split(spec(layout="paired", root=tmp_path, crop=8), "train")


def test_an_empty_split_folder_is_an_error(tmp_path: Path, spec: Make, fill: Fill) -> None:
    fill(tmp_path / "train", 3)
    (tmp_path / "test").mkdir()
    with pytest.raises(UserError, match="'test' holds no pictures"):
        open_split(spec(layout="unlabelled", root=tmp_path, crop=8), "test")


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"layout": "paired", "crop": 8}, "exactly one of `dataset"),
        ({"layout": "paired", "crop": 8, "root": "x", "dataset": "y"}, "exactly one of `dataset"),
        ({"layout": "paired", "crop": 16, "load": 8, "root": "x"}, "crop must fit into load"),
        ({"layout": "paired", "crop": 8, "root": "x", "channels": {"a": 0}}, "greater than or equal to 1"),
        (
            {"layout": "paired", "crop": 8, "root": "x", "derive": {"a": "edges"}, "direction": "b2a"},
            "no other direction",
        ),
        ({"layout": "paired", "crop": 8, "root": "x", "derive": {"a": {"kind": "edges", "low": 0.5}}}, "low <= high"),
        ({"layout": "paired", "crop": 8, "root": "x", "split": {"val": 0.5, "test": 0.5}}, "leave pictures"),
        ({"layout": "paired", "crop": 8, "root": "x", "flipp": True}, "Extra inputs"),
        ({"layout": "paired", "crop": 8, "root": "x", "skip": 0.6}, "less than or equal to 0.5"),
        ({"layout": "paired", "crop": 8, "root": "x", "cache": "on"}, "'auto' or 'off'"),
        ({"layout": "pairs", "crop": 8, "root": "x"}, "paired"),
        ({"layout": "paired", "crop": 8, "root": "x", "augment": ["ColourJitter"]}, "mean ColorJitter"),
        (
            {"layout": "paired", "crop": 8, "root": "x", "augment": [{"ColorJitter": {"brigtness": 1}}]},
            "mean brightness",
        ),
    ],
)
def test_a_wrong_setting_says_what_fits(told: dict[str, object], said: str, spec: Make) -> None:
    with pytest.raises(ValidationError, match=said):
        spec(**told)


def as_batch(path: Path) -> torch.Tensor:
    return torch.from_numpy(read(path).copy()).permute(2, 0, 1).float() / 127.5 - 1

"""A place is read as a person would read it, and the reason is said."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter
from ruamel.yaml import YAML

from i2i.data import Data, open_split
from i2i.data.check import check, understand
from i2i.data.check.suggest import Suggestion
from i2i.errors import UserError

from .scenes import save, scene


def test_a_clean_set_of_pairs_yields_nothing_above_a_note(paired_set: Path) -> None:
    report = check(paired_set, workers=1)
    assert report.layout == "paired"
    assert report.counts == {"train": 60, "test": 20}
    assert [finding for finding in report.findings if finding.severity != "note"] == []


@pytest.mark.parametrize(
    "folders", [("train/A", "train/B", "test/A", "test/B"), ("A/train", "B/train", "A/test", "B/test")]
)
def test_every_arrangement_of_sides_is_understood(pairs: Path, folders: tuple[str, ...]) -> None:
    for had, to in zip(("trainA", "trainB", "testA", "testB"), folders, strict=True):
        (pairs / to).parent.mkdir(exist_ok=True)
        (pairs / had).rename(pairs / to)
    layout = understand(pairs)
    assert (layout.reading, layout.counts()) == ("paired", {"train": 60, "test": 20})


def test_different_names_on_both_sides_are_no_pairs(tmp_path: Path) -> None:
    for i in range(12):
        save(tmp_path / "trainA" / f"n{i}.png", scene(i)[0])
        save(tmp_path / "trainB" / f"m{i}.png", scene(50 + i)[1])
    layout = understand(tmp_path)
    assert (layout.reading, layout.counts()) == ("unpaired", {"trainA": 12, "trainB": 12})
    assert "No picture of trainA" in layout.why


def test_class_folders_on_side_a_are_told_and_the_suggested_lines_open_them(tmp_path: Path) -> None:
    for i in range(12):
        save(tmp_path / "trainA" / ("cat", "dog")[i % 2] / f"{i}.png", scene(i)[0])
        save(tmp_path / "trainB" / f"{i}.png", scene(50 + i)[1])
    report = check(tmp_path, workers=1)
    assert [finding for finding in report.findings if finding.severity == "error"] == []
    layout = understand(tmp_path)
    assert (layout.reading, layout.classes) == ("unpaired", ("cat", "dog"))
    assert layout.counts() == {"trainA": 12, "trainB": 12}
    assert "a in 2 classes" in layout.understood()
    told = report.data.data
    assert told["labels"] == "a"
    split = open_split(TypeAdapter(Data).validate_python({**told, "crop": 8, "load": 8}), "train")
    assert split.classes == ("cat", "dog")
    save(tmp_path / "testA" / "emu" / "0.png", scene(0)[0])
    save(tmp_path / "testB" / "0.png", scene(0)[1])
    assert "strange_class" in {finding.code for finding in understand(tmp_path).findings}


def test_half_of_the_names_on_both_sides_are_pairs_if_the_pixels_agree(tmp_path: Path) -> None:
    for i in range(30):
        drawing, picture = scene(i)
        if i < 20:
            save(tmp_path / "trainA" / f"{i}.png", drawing)
        if i >= 10:
            save(tmp_path / "trainB" / f"{i}.png", picture)
    layout = understand(tmp_path)
    assert layout.reading == "paired"
    assert "outlines" in layout.why
    lonely = [finding for finding in layout.findings if finding.code == "missing_partner"]
    assert [finding.count for finding in lonely] == [10, 10]
    assert lonely[0].files[:2] == ("trainA/0.png", "trainA/1.png")


def test_counted_names_of_pictures_that_do_not_agree_are_no_pairs(tmp_path: Path) -> None:
    for i in range(40):
        save(tmp_path / "trainA" / f"{i}.png", scene(i)[1])
    for i in range(30):
        save(tmp_path / "trainB" / f"{i}.png", scene(100 + i)[1])
    layout = understand(tmp_path)
    assert layout.reading == "unpaired"
    assert "30 of 40 names" in layout.why


def test_pairs_side_by_side_are_known_by_their_halves(tmp_path: Path) -> None:
    for i in range(20):
        both = Image.new("RGB", (128, 64))
        for x, half in zip((0, 64), scene(i), strict=True):
            both.paste(half, (x, 0))
        save(tmp_path / "train" / f"{i}.png", both)
    report = check(tmp_path, workers=1)
    assert (report.layout, report.sizes) == ("paired", ((64, 64, 40),))
    assert report.data.data["channels"] == {"a": 1, "b": 3}
    assert "side by side" in report.understood


def test_panoramas_are_not_pairs(tmp_path: Path) -> None:
    for i in range(20):
        save(tmp_path / f"{i}.png", scene(i, 128)[1].crop((0, 32, 128, 96)))
    layout = understand(tmp_path)
    assert layout.reading == "unlabelled"
    assert "panoramas" in layout.why


def test_folders_of_equal_standing_are_classes(classes: Path) -> None:
    report = check(classes, workers=1)
    assert (report.layout, report.counts) == ("labelled", {"train": 80, "test": 20})
    assert [finding for finding in report.findings if finding.severity != "note"] == []


def test_classes_with_equal_file_names_are_not_pairs(tmp_path: Path) -> None:
    for i in range(12):
        save(tmp_path / "cat" / f"{i}.png", scene(i)[1])
        save(tmp_path / "dog" / f"{i}.png", scene(100 + i)[1])
    assert understand(tmp_path).reading == "labelled"


def test_two_folders_of_equal_names_that_register_are_pairs_under_wrong_names(pairs: Path) -> None:
    shutil.rmtree(pairs / "testA")
    shutil.rmtree(pairs / "testB")
    (pairs / "trainA").rename(pairs / "drawing")
    (pairs / "trainB").rename(pairs / "picture")
    layout = understand(pairs)
    assert layout.reading == "paired"
    (finding,) = (each for each in layout.findings if each.code == "folder_names")
    assert finding.severity == "error"
    assert "mv 'drawing' 'trainA' && mv 'picture' 'trainB'" in finding.do


def test_sides_named_a_little_differently_come_with_the_command_that_renames_them(pairs: Path) -> None:
    for had, to in (("trainA", "train_a"), ("trainB", "train_b"), ("testA", "Testing_A"), ("testB", "Testing_B")):
        (pairs / had).rename(pairs / to)
    layout = understand(pairs)
    assert layout.counts() == {"train": 60, "test": 20}
    (finding,) = (each for each in layout.findings if each.code == "folder_names")
    for move in finding.do.removeprefix("In the folder: ").split(" && "):
        had, to = (word.strip("'") for word in move.split()[1:])
        (pairs / had).rename(pairs / to)
    assert not any(each.code == "folder_names" for each in understand(pairs).findings)


def test_a_folder_named_validation_is_no_class(classes: Path) -> None:
    (classes / "test").rename(classes / "validation")
    layout = understand(classes)
    assert layout.counts() == {"train": 80, "val": 20}
    assert any(each.code == "folder_names" and "mv 'validation' 'val'" in each.do for each in layout.findings)


def test_an_archives_own_folder_is_entered(pairs: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    pairs.rename(outer / "facades")
    layout = understand(outer)
    assert layout.root == outer / "facades"
    assert any(each.code == "inner_folder" for each in layout.findings)


def test_a_folder_beside_the_sides_with_the_same_names_is_a_condition(pairs: Path) -> None:
    for split in ("train", "test"):
        shutil.copytree(pairs / f"{split}A", pairs / f"{split}mask")
    layout = understand(pairs)
    assert layout.conditions == ("mask",)
    assert {len(item.files) for item in layout.items} == {3}


def test_the_block_to_paste_opens_the_set(pairs: Path, classes: Path, photos: Path) -> None:
    for place, count in ((pairs, 54), (classes, 72), (photos, 48)):
        text = check(place, workers=1).data.text()
        told = YAML(typ="safe", pure=True).load(text)["data"]
        spec = TypeAdapter(Data).validate_python(told)
        assert len(open_split(spec, "train")) == count  # a tenth is held out where there is no val


@pytest.mark.parametrize(
    "name",
    [
        "a",
        "/a/b.c",
        "../x",
        "007",
        "1e5",
        ".5",
        ".inf",
        "yes",
        "Null",
        "a: b",
        "#x",
        " a",
        "-x",
        "C:\\x",
        "~",
        "é ü",
        '"',
    ],
)
def test_the_block_is_yaml_whatever_a_folder_is_called(name: str) -> None:
    told = Suggestion(
        {"root": name, "columns": {"a": name}, "names": [name, 1, True]}, {"root": "a remark: yes"}
    ).text()
    read = YAML(typ="safe", pure=True).load(told)["data"]
    assert read == {"root": name, "columns": {"a": name}, "names": [name, 1, True]}


def test_the_block_says_channels_depth_and_a_fitting_crop(tmp_path: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (140, 140), dtype=np.uint16)
    for i in range(3):
        save(tmp_path / f"{i}.png", Image.fromarray(deep + np.uint16(i)))
    data = check(tmp_path, workers=1).data.data
    assert (data["channels"], data["bits"], data["crop"]) == (1, 16, 128)


def test_the_drawing_is_suggested_as_the_input(pairs: Path) -> None:
    assert check(pairs, workers=1).data.data["direction"] == "a2b"
    for split in ("train", "test"):
        (pairs / f"{split}A").rename(pairs / "held")
        (pairs / f"{split}B").rename(pairs / f"{split}A")
        (pairs / "held").rename(pairs / f"{split}B")
    data = check(pairs, workers=1).data.data
    assert (data["direction"], data["channels"]) == ("b2a", {"a": 1, "b": 3})  # sides of a batch, not of the folder


def test_a_side_of_class_numbers_is_recognised(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for i in range(10):
        labels = np.kron(rng.integers(0, 5, (8, 8), dtype=np.uint8), np.ones((8, 8), np.uint8))
        labels[0, 0] = 4
        save(tmp_path / "trainA" / f"{i}.png", Image.fromarray(labels))
        save(tmp_path / "trainB" / f"{i}.png", scene(i)[1])
    assert check(tmp_path, workers=1).data.data["channels"]["a"] == {"labels": 5}


def test_a_side_of_few_flat_colours_is_suggested_as_a_palette(tmp_path: Path) -> None:
    palette = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    rng = np.random.default_rng(0)
    for i in range(10):
        drawn = np.kron(rng.integers(0, 3, (8, 8)), np.ones((8, 8), np.int64))
        save(tmp_path / "trainA" / f"{i}.png", Image.fromarray(palette[drawn]))
        save(tmp_path / "trainB" / f"{i}.png", scene(i)[1])
    channels = check(tmp_path, workers=1).data.data["channels"]
    assert channels["a"] == {"palette": ["#0000ff", "#00ff00", "#ff0000"]}


@pytest.mark.parametrize("name", ["set.zip", "one.png", "notes.txt", "nowhere"])
def test_what_is_no_set_is_refused_with_advice(tmp_path: Path, name: str) -> None:
    if name != "nowhere":
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UserError, match=r"nowhere: no such|Unpack it|give the folder|Expected a folder"):
        understand(tmp_path / name)


def test_a_folder_without_pictures_says_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").write_text("hello")
    with pytest.raises(UserError, match=r"no pictures .* 1 × \.txt"):
        check(tmp_path)

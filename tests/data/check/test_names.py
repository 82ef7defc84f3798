"""Names that some system cannot keep, that nobody meant, or that mean two files."""

import os
import shutil
from pathlib import Path

import pytest

from i2i.data.check import check
from i2i.data.sets.datasets import RECORD, STAMP

from .scenes import Findings, save, scene


@pytest.mark.parametrize(
    ("name", "code", "severity"),
    [
        (b"caf\xe9.png", "not_utf8", "error"),
        (b"a\nb.png", "control_characters", "warning"),
        (b"a.png ", "trailing_space", "warning"),
        (b" a.png", "trailing_space", "warning"),
        (b"why?.png", "windows_names", "warning"),
        (b"NUL.png", "windows_names", "warning"),
        (b"com1.png", "windows_names", "warning"),
        (b"photo.heic", "other_formats", "warning"),
        (b"clip.mp4", "videos", "note"),
        (b"notes.txt", "other_files", "note"),
        (b"._a.jpg", "hidden", "note"),
        (b"Thumbs.db", "hidden", "note"),
        (b"000.PNG", "case_only", "warning"),
    ],
)
def test_a_bad_name_is_found(photos: Path, findings: Findings, name: bytes, code: str, severity: str) -> None:
    shutil.copy(photos / "001.png", os.fsencode(photos) + b"/" + name)
    found = findings(photos)
    assert found[code].severity == severity
    assert found[code].count == (2 if code == "case_only" else 1)


def test_what_is_printed_is_one_line_of_utf8_whatever_the_names_are(photos: Path) -> None:
    for name in (b"caf\xe9.png", b"a\nb.png", b"\x1b[31mred.png"):
        shutil.copy(photos / "001.png", os.fsencode(photos) + b"/" + name)
    report = check(photos, workers=1)
    text = report.text()
    text.encode()
    report.json().encode()
    assert "\x1b" not in text
    assert r"caf\xe9.png" in text
    assert r"a\nb.png" in text


def test_what_i2i_leaves_in_the_sets_it_makes_and_fetches_is_no_surprise(photos: Path, findings: Findings) -> None:
    for name in (STAMP, RECORD):
        (photos / name).write_text("ours")
    assert "hidden" not in findings(photos)


def test_a_link_to_nothing_is_found(photos: Path, findings: Findings) -> None:
    (photos / "gone.png").symlink_to("nowhere.png")
    assert findings(photos)["dead_link"].files == ("gone.png",)


def test_two_files_of_one_stem_are_an_error_in_every_layout(
    pairs: Path, classes: Path, photos: Path, findings: Findings
) -> None:
    for root, folder, stem in ((pairs, "trainA", "p0000"), (classes, "train/cat", "000"), (photos, "", "000")):
        save(root / folder / f"{stem}.jpg", scene(7)[1])
        found = findings(root)["equal_stems"]
        assert (found.severity, found.count) == ("error", 2)


def test_missing_partners_are_named_for_each_side(pairs: Path) -> None:
    (pairs / "trainA" / "p0003.png").unlink()
    (pairs / "testB" / "p1004.png").unlink()
    lonely = [f for f in check(pairs, workers=1).findings if f.code == "missing_partner"]
    assert [f.files for f in lonely] == [("trainB/p0003.png",), ("testA/p1004.png",)]
    assert all(f.severity == "error" for f in lonely)


def test_pictures_below_a_side_or_beside_the_sides_are_told(pairs: Path, findings: Findings) -> None:
    save(pairs / "trainA" / "more" / "x.png", scene(7)[0])
    save(pairs / "extra" / "y.png", scene(8)[0])
    found = findings(pairs)
    assert found["too_deep"].files == ("trainA/more/x.png",)
    assert found["outside"].files == ("extra/y.png",)


def test_pictures_outside_the_classes_are_told(classes: Path, findings: Findings) -> None:
    save(classes / "train" / "loose.png", scene(7)[1])
    assert findings(classes)["outside"].files == ("train/loose.png",)


def test_links_are_followed_as_i2i_follows_them(pairs: Path, classes: Path, tmp_path: Path, findings: Findings) -> None:
    (pairs / "trainA").rename(tmp_path / "elsewhere")
    (pairs / "trainA").symlink_to(tmp_path / "elsewhere")
    assert check(pairs, workers=1).counts == {"train": 60, "test": 20}
    (classes / "train" / "dog").rename(tmp_path / "dogs")
    (classes / "train" / "dog").symlink_to(tmp_path / "dogs")
    (classes / "test" / "dog" / "round").symlink_to(classes)
    found = findings(classes)["linked_folder"]
    assert (found.severity, found.files) == ("error", ("test/dog/round", "train/dog"))

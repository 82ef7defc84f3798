"""The set as a whole: copies, leaks, numbers, classes."""

import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from i2i.data.check import check
from i2i.data.check.about_sets import near
from i2i.data.check.layout import Item
from i2i.data.check.look import Facts, Look, Seen
from i2i.data.likeness import NEAR, fingerprint

from .scenes import Findings, save, scene


def reencoded(path: Path, source: Path, quality: int = 85) -> None:
    with Image.open(source) as picture:
        save(path, picture.convert("RGB").resize((128, 128), Image.Resampling.BICUBIC), quality=quality)


def test_copies_are_found_by_content(photos: Path, findings: Findings) -> None:
    for i in range(4):
        shutil.copy(photos / f"{i:03}.png", photos / f"copy{i}.png")
    found = findings(photos)["duplicates_exact"]
    assert (found.severity, found.count) == ("warning", 4)
    assert found.files[0] == "000.png = copy0.png"


def test_one_copy_among_many_is_a_note(photos: Path, findings: Findings) -> None:
    shutil.copy(photos / "000.png", photos / "copy.png")
    assert findings(photos)["duplicates_exact"].severity == "note"


def test_a_rescaled_and_recompressed_copy_is_a_near_copy(photos: Path, findings: Findings) -> None:
    reencoded(photos / "again.jpg", photos / "007.png")
    found = findings(photos)
    assert found["duplicates_near"].files == ("007.png = again.jpg",)
    assert "duplicates_exact" not in found


def test_a_recoloured_picture_is_no_copy(photos: Path, findings: Findings) -> None:
    """The fingerprint alone does not know colours; icons often differ in nothing else."""
    with Image.open(photos / "007.png") as picture:
        other = picture.convert("L").convert("RGB")
        prints = [fingerprint(np.asarray(each)) for each in (picture, other)]
    assert (prints[0] ^ prints[1]).bit_count() <= NEAR
    save(photos / "other.png", other)
    assert "duplicates_near" not in findings(photos)


@pytest.mark.parametrize("late", ["val", "test"])
def test_a_training_picture_in_a_held_out_split_is_a_leak(classes: Path, findings: Findings, late: str) -> None:
    for name in ("cat", "dog"):
        for i in range(10):
            save(classes / late / name / f"{i:03}.png", scene(9000 + i + 50 * (name == "cat"))[1])
    shutil.copy(classes / "train" / "cat" / "003.png", classes / late / "cat" / "x.png")
    found = findings(classes)["leak_exact"]
    assert (found.severity, found.files) == ("warning", (f"{late}/cat/x.png = train/cat/003.png",))


def test_a_near_copy_leaks_too(classes: Path, findings: Findings) -> None:
    reencoded(classes / "test" / "dog" / "x.jpg", classes / "train" / "dog" / "003.png")
    assert findings(classes)["leak_near"].files == ("test/dog/x.jpg = train/dog/003.png",)


def test_a_leaked_pair_is_found_by_both_sides(pairs: Path, findings: Findings) -> None:
    shutil.copy(pairs / "trainA" / "p0003.png", pairs / "testA" / "x.png")
    shutil.copy(pairs / "trainB" / "p0003.png", pairs / "testB" / "x.png")
    shutil.copy(pairs / "trainA" / "p0004.png", pairs / "testA" / "y.png")  # another picture of the same drawing
    save(pairs / "testB" / "y.png", scene(4444)[1])
    assert findings(pairs)["leak_exact"].files == ("testA/x.png = trainA/p0003.png",)


def test_a_near_copy_of_a_pair_needs_both_sides(pairs: Path, findings: Findings) -> None:
    for side in "AB":
        reencoded(pairs / f"train{side}" / "again.jpg", pairs / f"train{side}" / "p0003.png", 95)
    reencoded(pairs / "trainA" / "other.jpg", pairs / "trainA" / "p0004.png", 95)
    save(pairs / "trainB" / "other.jpg", scene(4444)[1])
    assert findings(pairs)["duplicates_near"].files == ("trainA/again.jpg = trainA/p0003.png",)


def test_one_picture_in_two_classes_is_a_contradiction(classes: Path, findings: Findings) -> None:
    shutil.copy(classes / "train" / "cat" / "003.png", classes / "train" / "dog" / "x.png")
    found = findings(classes)["label_conflict_exact"]
    assert found.files == ("train/cat/003.png = train/dog/x.png",)


def test_too_few_pictures_are_a_warning_and_few_a_note(photos: Path, findings: Findings) -> None:
    assert findings(photos)["few"].severity == "note"
    for path in sorted(photos.iterdir())[:20]:
        path.unlink()
    assert findings(photos)["too_few"].severity == "warning"


def test_classes_are_counted(classes: Path, findings: Findings) -> None:
    (classes / "train" / "empty").mkdir()
    save(classes / "train" / "one" / "a.png", scene(4)[1])
    found = findings(classes)
    assert found["empty_class"].files == ("empty",)
    assert found["single_picture_class"].files == ("one",)
    assert "40 times" in found["imbalance"].message
    assert found["class_not_in_split"].files == ("empty", "one")


def test_a_class_that_train_does_not_have_is_an_error(classes: Path, findings: Findings) -> None:
    save(classes / "test" / "bird" / "a.png", scene(4)[1])
    assert (findings(classes)["strange_class"].severity, findings(classes)["strange_class"].files) == (
        "error",
        ("test/bird",),
    )


def test_near_copies_of_100_000_pictures_are_found_in_seconds() -> None:
    rng = np.random.default_rng(0)
    n = 100_000
    prints = rng.integers(0, 2**63, n).tolist()
    thumbs = rng.integers(0, 256, (n, 12 * 12 * 3), dtype=np.uint8)
    for i in range(0, 2000, 2):  # 1000 copies, two bits off
        prints[i + 1], thumbs[i + 1] = prints[i] ^ 0b1001, thumbs[i]
    fact = Facts(Path("x"))
    item = Item("train", "", (Path("x"),))
    seen = [
        Seen(item, (fact,), (Look(128, 60, 20, 30, 90, False, prints[i], thumbs[i].tobytes(), ()),)) for i in range(n)
    ]
    began = time.process_time()
    assert near(seen) == [[i, i + 1] for i in range(0, 2000, 2)]
    assert time.process_time() - began < 10


def test_a_sample_is_spread_and_said(photos: Path) -> None:
    (photos / "059.png").write_bytes((photos / "059.png").read_bytes()[:-300])
    report = check(photos, limit=10, workers=1)
    assert (report.headers, report.pixels) == (60, 10)
    assert "the pixels of 10, spread over the set" in report.text()
    assert any(finding.code == "damaged" for finding in report.findings)  # the last is always among them

"""Files that cannot be used, and files unlike the rest."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from i2i.data.check import Finding, Item, check, look, understand
from i2i.data.check.about_files import about_files
from i2i.images import MAX_PIXELS

from .scenes import Findings, save, scene

PICTURE = scene(77)[1]


def truncated(path: Path) -> None:
    save(path, PICTURE)
    path.write_bytes(path.read_bytes()[:-400])


def cut_jpeg(path: Path) -> None:
    PICTURE.save(path, "JPEG")
    path.write_bytes(path.read_bytes()[:-300])


def page(path: Path) -> None:
    path.write_text("<!doctype html><title>404</title>")


def huge(path: Path) -> None:
    Image.new("1", (MAX_PIXELS // 2**13 + 1, 2**13)).save(path)


def rotated(path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    PICTURE.save(path, exif=exif)


def animated(path: Path) -> None:
    PICTURE.save(path, "PNG", save_all=True, append_images=[scene(5)[1]])


def deep(path: Path) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 65536, (64, 64), dtype=np.uint16)).save(path)


def with_profile(path: Path) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()
    PICTURE.save(path, icc_profile=profile)


def with_srgb(path: Path) -> None:
    PICTURE.save(path, icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())


@pytest.mark.parametrize(
    ("name", "make", "code", "severity"),
    [
        ("x.png", lambda path: path.write_bytes(b""), "empty_file", "error"),
        ("x.png", page, "not_a_picture", "error"),
        ("x.png", truncated, "damaged", "error"),
        ("x.jpg", cut_jpeg, "damaged", "error"),
        ("x.png", huge, "too_large", "error"),
        ("x.png", lambda path: PICTURE.save(path, "JPEG"), "renamed", "note"),
        ("x.png", animated, "animated", "warning"),
        ("x.jpg", rotated, "turned", "note"),
        ("x.png", deep, "deep", "note"),
        ("x.png", lambda path: PICTURE.convert("RGBA").save(path), "alpha", "note"),
        ("x.jpg", lambda path: PICTURE.convert("CMYK").save(path), "cmyk", "note"),
        ("x.png", lambda path: PICTURE.quantize(8).save(path), "palette", "note"),
        ("x.png", with_profile, "profile", "note"),
        ("x.png", lambda path: Image.new("RGB", (64, 64), (9, 9, 9)).save(path), "constant", "warning"),
        ("x.png", lambda path: PICTURE.convert("L").save(path), "grey_among_colour", "note"),
        ("x.jpg", lambda path: PICTURE.convert("L").convert("RGB").save(path), "grey_among_colour", "note"),
    ],
)
def test_an_odd_file_is_found_and_no_other(
    photos: Path, findings: Findings, name: str, make: Callable[[Path], object], code: str, severity: str
) -> None:
    make(photos / name)
    found = findings(photos)
    assert (found[code].severity, found[code].files) == (severity, (name,))
    assert findings_at(found, "error") == ({code} if severity == "error" else set())


def findings_at(found: dict[str, Finding], severity: str) -> set[str]:
    return {code for code, finding in found.items() if finding.severity == severity}


def test_an_srgb_profile_is_not_worth_a_word(photos: Path, findings: Findings) -> None:
    with_srgb(photos / "x.png")
    assert "profile" not in findings(photos)


def test_many_grey_pictures_among_coloured_ones_are_a_warning(photos: Path, findings: Findings) -> None:
    for i in range(6):
        save(photos / f"g{i}.png", scene(300 + i)[1].convert("L"))
    assert findings(photos)["grey_among_colour"].severity == "warning"


def test_a_grey_side_is_no_finding_and_is_suggested_as_one_channel(pairs: Path, findings: Findings) -> None:
    report = check(pairs, workers=1)
    assert "grey_among_colour" not in findings(report)
    assert report.data.data["channels"] == {"a": 1, "b": 3}


def test_one_channel_count_is_needed_where_there_are_more_than_colours(tmp_path: Path, findings: Findings) -> None:
    for i in range(5):
        np.save(tmp_path / f"{i}.npy", np.random.default_rng(i).integers(0, 256, (64, 64, 5 + (i == 3)), np.uint8))
    found = findings(tmp_path)
    assert found["channels"].files == ("3.npy",)


def test_a_picture_smaller_than_the_crop_is_an_error_only_without_load(photos: Path, findings: Findings) -> None:
    save(photos / "small.png", scene(9, 20)[1])
    found = findings(photos)  # a load is suggested
    assert "too_small" not in found
    assert found["enlarged"].files == ("small.png",)
    facts = [look.see(item, False, False) for item in check_items(photos)]
    rules = {f.code: f for f in about_files(understand(photos), facts, 32, None)}
    assert (rules["too_small"].severity, rules["too_small"].files) == ("error", ("small.png",))


def check_items(place: Path) -> tuple[Item, ...]:
    return understand(place).items


def test_the_crop_of_the_user_is_kept(photos: Path) -> None:
    assert check(photos, crop=48, workers=1).data.data["crop"] == 48


def test_a_huge_claim_is_refused_by_the_header_alone(photos: Path, findings: Findings) -> None:
    huge(photos / "bomb.png")
    bomb = next(item for item in check_items(photos) if item.files[0].name == "bomb.png")
    assert "pixels of a training picture" in look.see(bomb, False, False).facts[0].error
    assert findings(photos, limit=1)["too_large"].count == 1

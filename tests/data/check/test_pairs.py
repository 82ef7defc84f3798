"""Pairs that are not what they should be: other sizes, swapped, shifted, or no pairs at all."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageChops

from i2i.data.check import check
from i2i.data.check.about_pairs import strangers, swapped
from i2i.data.check.look import look
from i2i.data.check.outlines import Fit, Fits, fit, fits, outline

from .scenes import Findings, save, scene


def opened(path: Path) -> Image.Image:
    with Image.open(path) as picture:
        picture.load()
    return picture


def swap(a: Path, b: Path) -> None:
    a_bytes, b_bytes = a.read_bytes(), b.read_bytes()
    a.write_bytes(b_bytes)
    b.write_bytes(a_bytes)


@pytest.mark.parametrize("every", [2, 3, 10])
def test_swapped_pairs_are_found_and_only_these(pairs: Path, findings: Findings, every: int) -> None:
    names = sorted(path.name for path in (pairs / "trainA").iterdir())[::every]
    for name in names:
        swap(pairs / "trainA" / name, pairs / "trainB" / name)
    found = findings(pairs)["swapped"]
    assert found.severity == "warning"
    if every > 2:  # of two halves, nobody can say which is the right one
        assert set(found.files) <= {f"trainA/{name}" for name in names}
    assert found.count >= 0.8 * len(names)


def test_the_swapped_ones_are_the_fewer_whichever_side_is_called_a() -> None:
    looks = [tuple(look(np.asarray(side))[0] for side in scene(i)) for i in range(50)]
    turned = [(b, a) if i % 10 == 0 else (a, b) for i, (a, b) in enumerate(looks)]
    for pairs in (turned, [(b, a) for a, b in turned]):
        assert set(swapped(pairs)) <= set(range(0, 50, 10))
        assert len(swapped(pairs)) >= 4


def test_swapped_halves_side_by_side_are_found(tmp_path: Path, findings: Findings) -> None:
    for i in range(60):
        both = Image.new("RGB", (128, 64))
        for x, half in zip((64, 0) if i % 5 == 0 else (0, 64), scene(i), strict=True):
            both.paste(half, (x, 0))
        save(tmp_path / "train" / f"{i:03}.png", both)
    found = findings(tmp_path)["swapped"]
    assert set(found.files) <= {f"train/{i:03}.png" for i in range(0, 60, 5)}
    assert found.count >= 10


def test_sides_of_one_kind_are_never_called_swapped(tmp_path: Path, findings: Findings) -> None:
    for i in range(60):
        picture = scene(i)[1]
        save(tmp_path / "trainA" / f"{i}.png", picture)
        save(tmp_path / "trainB" / f"{i}.png", ImageChops.offset(picture, 1, 0))
    assert "swapped" not in findings(tmp_path)


def test_a_shift_of_all_pairs_is_measured(pairs: Path, findings: Findings) -> None:
    for split in ("trainB", "testB"):
        for path in (pairs / split).iterdir():
            save(path, ImageChops.offset(opened(path), 9, -6))
    found = findings(pairs)["shifted"]
    assert found.severity == "warning"
    assert "(-9, +6) pixels" in found.message


def test_a_few_shifted_pairs_are_named_with_their_shifts(pairs: Path, findings: Findings) -> None:
    for i in (3, 10, 20):
        path = pairs / "trainB" / f"p{i:04}.png"
        save(path, ImageChops.offset(opened(path), -8, 0))
    found = findings(pairs)["shifted"]
    assert found.count >= 2
    for told in found.files:
        name, _, shift = told.partition(" ")
        assert name in {f"trainA/p{i:04}.png" for i in (3, 10, 20)}
        assert shift in {"(+7, +0)", "(+8, +0)", "(+9, +0)"}  # a drawn line is a pixel wide


def test_pairs_of_strangers_are_said_not_to_register(pairs: Path, findings: Findings) -> None:
    files = sorted((pairs / "trainB").iterdir())
    held = [path.read_bytes() for path in files]
    for path, content in zip(files, held[5:] + held[:5], strict=True):
        path.write_bytes(content)
    shutil.rmtree(pairs / "testA")
    found = findings(pairs)["misaligned"]
    assert "layout: unpaired" in found.do


def test_some_wrong_partners_are_found_among_right_ones(pairs: Path, findings: Findings) -> None:
    files = sorted((pairs / "trainB").iterdir())[:12]
    held = [path.read_bytes() for path in files]
    for path, content in zip(files, held[1:] + held[:1], strict=True):
        path.write_bytes(content)
    found = findings(pairs)["strangers"]
    wrong = {f"trainA/{path.name}" for path in files}
    assert len(wrong & set(found.files)) >= 4
    assert len(set(found.files) - wrong) <= 1


def test_only_pairs_that_fit_like_the_usual_stranger_are_doubted() -> None:
    lost, doubtful, good = (Fit(near, near, (0, 0)) for near in (0.1, 0.3, 0.9))
    others = [Fit(near, near, (0, 0)) for near in np.linspace(0, 0.4, 101)]
    assert strangers(Fits((*[good] * 40, doubtful, lost), tuple(others))) == [41]
    assert strangers(Fits((*[doubtful] * 40, lost), tuple(others))) == []  # the whole set fits badly


def test_both_sides_being_one_picture_is_found(pairs: Path, findings: Findings) -> None:
    shutil.copy(pairs / "trainB" / "p0004.png", pairs / "trainA" / "p0004.png")
    assert findings(pairs)["same_sides"].files == ("trainA/p0004.png",)


def test_other_sizes_are_a_warning_and_other_shapes_an_error(pairs: Path, findings: Findings) -> None:
    path = pairs / "trainB" / "p0001.png"
    save(path, opened(path).resize((96, 96)))
    path = pairs / "trainB" / "p0002.png"
    save(path, opened(path).resize((96, 64)))
    found = findings(pairs)
    assert (found["pair_sizes"].severity, found["pair_sizes"].files) == (
        "warning",
        ("trainA/p0001.png (64×64 and 96×96)",),
    )
    assert (found["pair_shapes"].severity, found["pair_shapes"].count) == ("error", 1)


def test_a_file_of_both_halves_must_be_twice_as_wide_as_high(tmp_path: Path, findings: Findings) -> None:
    for i in range(30):
        both = Image.new("RGB", (130 if i == 4 else 128, 64))
        for x, half in zip((0, 64), scene(i), strict=True):
            both.paste(half, (x, 0))
        save(tmp_path / f"{i:02}.png", both)
    assert findings(tmp_path)["not_twice_as_wide"].files == ("04.png",)


def test_a_few_pairs_are_not_judged_by_statistics(tmp_path: Path) -> None:
    for i in range(8):
        drawing, picture = scene(i)
        save(tmp_path / "trainA" / f"{i}.png", picture if i % 2 else drawing)
        save(tmp_path / "trainB" / f"{i}.png", drawing if i % 2 else picture)
    codes = {finding.code for finding in check(tmp_path, workers=1).findings}
    assert not codes & {"swapped", "shifted", "misaligned", "strangers"}


def test_the_fit_of_a_shifted_outline_is_its_shift() -> None:
    drawn = outline(np.asarray(scene(3, 96)[1]))
    moved = np.roll(drawn, (5, -12), (0, 1))  # down, left
    measured = fit(drawn, moved)
    assert np.allclose(np.array(measured.shift) * 96, (12, -5))
    assert measured.best == pytest.approx(1, abs=1e-4)
    assert measured.near < 0.9
    assert fit(drawn, drawn).near == pytest.approx(1, abs=1e-4)


def test_correlation_agrees_with_numpys() -> None:
    a, b = (outline(np.asarray(scene(key, 96)[1])).astype(float) for key in (1, 2))
    expected = max(
        np.corrcoef(a.ravel(), np.roll(b, (y, x), (0, 1)).ravel())[0, 1] for y in range(-3, 4) for x in range(-3, 4)
    )
    assert fit(a, b).near == pytest.approx(expected, abs=1e-4)


def test_certainty_is_the_share_of_comparisons_that_pairs_win() -> None:
    outlines = [(outline(np.asarray(scene(i)[0])), outline(np.asarray(scene(i)[1]))) for i in range(25)]
    measured = fits(outlines)
    wins = [p.near > s.near for p in measured.pairs for s in measured.strangers]
    assert measured.certainty == pytest.approx(np.mean(wins))
    assert measured.certainty > 0.95

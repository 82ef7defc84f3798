"""What the examination says, to people, to programs and to the eye."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from i2i.data.check import check, contact_sheet
from i2i.errors import UserError

from .scenes import save, scene


@pytest.fixture
def spoilt(pairs: Path) -> Path:
    """Pairs with an error, a warning and a note."""
    (pairs / "trainA" / "p0000.png").unlink()
    (pairs / "trainB" / "p0001.png").write_bytes(b"")
    shutil.copy(pairs / "trainA" / "p0003.png", pairs / "testA" / "x.png")
    shutil.copy(pairs / "trainB" / "p0003.png", pairs / "testB" / "x.png")
    for i in range(10, 18):
        save(pairs / "trainB" / f"p{i:04}.png", scene(900 + i)[1])
        save(pairs / "trainA" / f"p{i:04}.png", scene(900 + i)[1].rotate(180))
    (pairs / "Thumbs.db").write_bytes(b"x")
    return pairs


def test_each_finding_is_a_line_with_names_and_a_line_with_what_to_do(spoilt: Path) -> None:
    text = check(spoilt, workers=1).text()
    assert "error    1 picture of trainB without a partner in trainA: trainB/p0000.png\n         → Add the" in text
    assert "error    1 file of 0 bytes: trainB/p0001.png" in text
    assert text.index("error ") < text.index("warning ") < text.index("note ")
    assert "data:\n  layout: paired\n" in text


def test_a_line_names_five_files_and_the_count_of_all(photos: Path) -> None:
    for i in range(8):
        (photos / f"{i:03}.png").write_bytes(b"")
    text = check(photos, workers=1).text()
    assert "8 files of 0 bytes: 000.png, 001.png, 002.png, 003.png, 004.png, ...\n" in text


def test_the_exit_code_is_1_for_errors_alone(photos: Path) -> None:
    Image.new("RGB", (64, 64)).save(photos / "flat.png")
    report = check(photos, workers=1)
    assert {finding.severity for finding in report.findings} == {"warning", "note"}
    assert report.exit_code == 0
    (photos / "empty.png").write_bytes(b"")
    assert check(photos, workers=1).exit_code == 1


def test_the_json_has_a_schema_that_stays(spoilt: Path) -> None:
    told = json.loads(check(spoilt, workers=1).json())
    assert list(told) == [
        "format", "place", "layout", "understood", "data", "counts", "sizes", "items", "headers", "pixels", "seconds",
        "exit_code", "findings",
    ]  # fmt: skip
    assert told["format"] == 1
    assert all(list(each) == ["severity", "code", "message", "do", "count", "files"] for each in told["findings"])
    partner = next(each for each in told["findings"] if each["code"] == "missing_partner")
    assert (partner["count"], partner["files"]) == (1, ["trainB/p0000.png"])
    assert told["sizes"] == [{"width": 64, "height": 64, "pictures": 160}]


def test_the_contact_sheet_shows_examples_and_the_worst_findings(spoilt: Path, tmp_path: Path) -> None:
    report = check(spoilt, workers=1)
    path = contact_sheet(report, tmp_path / "sheet.png")
    pixels = np.asarray(Image.open(path))
    for colour in ((200, 30, 30), (220, 140, 0)):  # the frames of an error and of a warning
        assert (pixels == colour).all(2).sum() > 1500
    with Image.open(spoilt / "trainB" / "p0002.png") as picture:
        enlarged = np.asarray(picture.convert("RGB").resize((128, 128), Image.Resampling.NEAREST))
    assert any(
        (pixels[y : y + 128, x : x + 128] == enlarged).all() for y in range(pixels.shape[0] - 128) for x in (8 + 128,)
    )


def test_the_contact_sheet_replaces_nothing(photos: Path, tmp_path: Path) -> None:
    report = check(photos, workers=1)
    path = tmp_path / "sheet.png"
    path.write_text("mine")
    with pytest.raises(UserError, match="--force"):
        contact_sheet(report, path)
    assert path.read_text() == "mine"
    contact_sheet(report, path, force=True)
    assert Image.open(path).format == "PNG"


def test_progress_with_the_time_left_is_shown_in_a_terminal_alone(photos: Path) -> None:
    import io

    shown, silent = io.StringIO(), io.StringIO()
    check(photos, workers=1, console=Console(file=shown, force_terminal=True, width=100))
    check(photos, workers=1, console=Console(file=silent))
    assert "60/60" in shown.getvalue()
    assert silent.getvalue() == ""


def test_any_number_of_threads_finds_the_same(spoilt: Path) -> None:
    one, many = check(spoilt, workers=1), check(spoilt, workers=5)
    assert one.findings == many.findings
    assert one.data == many.data

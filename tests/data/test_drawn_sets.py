"""Sets that are computed: eyes whose gaze is what the table says, digits that are the same on both sides of a pair."""

import csv
from pathlib import Path

import numpy as np
import pytest

from i2i.data.sets.composites import Composites, ground, laid_over, moved, plain
from i2i.data.sets.eyes import EYEBALL, GAZE, SIZE, Eyes, camera, clean, drawn_shapes
from i2i.images import read
from i2i.paths import shared


@pytest.fixture(scope="module")
def eyes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets") / "eyes"
    folders = {"trainA": 6, "trainB": 6, "testA": 6, "testB": 6}
    Eyes(kind="eyes", folders=folders).prepare(Path(), folder)
    return folder


def table(folder: Path) -> dict[str, tuple[float, float]]:
    with (folder / GAZE).open() as file:
        return {row["file"]: (float(row["yaw"]), float(row["pitch"])) for row in csv.DictReader(file)}


def test_every_eye_has_its_gaze_and_pairs_of_test_have_the_same(eyes: Path) -> None:
    known = table(eyes)
    assert known.keys() == {path.relative_to(eyes).as_posix() for path in eyes.rglob("*.png")}
    for i in range(6):
        assert known[f"testA/{i:05}.png"] == known[f"testB/{i:05}.png"]
        assert known[f"trainA/{i:05}.png"] != known[f"trainB/{i:05}.png"]


def test_the_pupil_of_a_clean_eye_is_where_its_gaze_says() -> None:
    shapes = drawn_shapes(40, [5])
    shapes["pitch"], shapes["upper"], shapes["lower"] = shapes["pitch"] / 3, shapes["upper"] + 3, shapes["lower"] + 3
    light = clean(shapes, SIZE, np.random.default_rng(0))
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    dark = (light < 0.2).astype(float)
    count = dark.sum((1, 2))
    x, y = ((dark * axis).sum((1, 2)) / count - SIZE / 2 for axis in (columns, rows))
    shift = EYEBALL * np.sin(np.radians(shapes["yaw"][:, 0, 0]))
    lift = EYEBALL * np.sin(np.radians(shapes["pitch"][:, 0, 0]))
    assert np.abs(x - shapes["across"][:, 0, 0] - shift).max() < 0.4
    assert np.abs(y - shapes["down"][:, 0, 0] + lift).max() < 0.4


def test_a_camera_sees_the_same_eye_in_another_light() -> None:
    """In other colours, but the parts are where they were: the two agree more than with another eye."""
    shapes = drawn_shapes(30, [6])
    a, b = (draw(shapes, SIZE, np.random.default_rng(1)).reshape(30, -1) for draw in (clean, camera))
    assert abs(a.mean() - b.mean()) > 0.1
    own = [np.corrcoef(a[i], b[i])[0, 1] for i in range(30)]
    other = [np.corrcoef(a[i], b[i - 1])[0, 1] for i in range(30)]
    assert np.mean(own) > np.mean(other) + 0.15


def test_eyes_are_the_same_every_time(eyes: Path, tmp_path: Path) -> None:
    Eyes(kind="eyes", folders={"trainA": 6}).prepare(Path(), tmp_path / "again")
    for path in (tmp_path / "again/trainA").iterdir():
        assert path.read_bytes() == (eyes / "trainA" / path.name).read_bytes()


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    told = tmp_path_factory.mktemp("cards")
    rng = np.random.default_rng(0)
    glyphs = np.zeros((12, 8, 8), np.uint8)
    glyphs[:, 2:6, 3:5] = rng.integers(150, 256, (12, 4, 2))
    labels = np.arange(12) % 2
    np.savez(told / "glyphs.npz", train_images=glyphs, train_labels=labels, test_images=glyphs[:2], test_labels=[0, 1])
    folder = tmp_path_factory.mktemp("sets") / "digits"
    Composites(
        kind="composites", glyphs=str(told / "glyphs.npz"), photo=str(shared("datasets") / "earth/day_2048.jpg"),
        water=str(shared("datasets") / "earth/water_1024.png"), classes=["x", "y"], each=2, held_out=1,
    ).prepare(Path(), folder)  # fmt: skip
    return folder


def test_no_glyph_is_on_both_sides_of_train_nor_in_val(digits: Path) -> None:
    a = {path.stem.split("_")[0] for path in (digits / "trainA").rglob("*.png")}
    b = {path.stem for path in (digits / "trainB").glob("*.png")}
    val = {path.stem for path in (digits / "valA").rglob("*.png")}
    assert len(a) == len(b) == 5  # halves of the 6 and 6 that there are, without one of each for val
    assert len(val) == 2
    assert not (a & b) | (a & val) | (b & val)
    assert len(list((digits / "trainA").rglob("*.png"))) == 2 * len(a)


def test_both_sides_of_a_test_pair_have_one_name_and_one_digit(digits: Path) -> None:
    a, b = ({path.relative_to(digits / side).as_posix() for path in (digits / side).rglob("*.png")}
            for side in ("testA", "testB"))  # fmt: skip
    assert a == b == {"x/00000.png", "y/00001.png"}
    assert read(digits / "testA/x/00000.png").shape == (16, 16, 3)
    assert read(digits / "testB/x/00000.png", 1).shape == (16, 16, 1)


def test_a_glyph_stands_out_from_any_ground() -> None:
    photo, water = (read(shared("datasets") / f"earth/{name}") / 255 for name in ("day_2048.jpg", "water_1024.png"))
    glyph, rng = np.zeros((8, 8)), np.random.default_rng(2)
    glyph[1:7, 3:5] = 1
    for _ in range(20):
        below, share = ground(photo, water[:, :, 0], 16, rng), moved(glyph, 16, rng)
        picture = laid_over(below, share, rng)
        under = (below.mean(2) * share).sum() / share.sum()
        assert abs((picture.mean(2)[share > 0.99]).mean() - under) > 0.2
        assert np.array_equal(picture[share == 0], below[share == 0])
    assert plain(glyph, 16).shape == (16, 16)
    assert plain(glyph, 16)[7, 7] == 1

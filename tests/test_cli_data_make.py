"""`i2i data make ...`: every command makes what training takes, says what it did, and returns 1 for what it skipped."""

import csv
import os
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from pydantic import TypeAdapter
from typer.testing import CliRunner, Result

from i2i.cli.make import app
from i2i.data import Data, open_split
from i2i.errors import UserError
from i2i.images import write

Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    """run("split", ...): the command's result; what a user can mend is raised."""

    def call(*words: object) -> Result:
        result = CliRunner().invoke(app, [str(word) for word in words])
        if isinstance(result.exception, UserError):
            raise result.exception
        return result

    return call


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """12 photos of 40 px."""
    for i in range(12):
        coarse = np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        write(tmp_path / "photos" / f"{i:02}.png", np.asarray(cv2.resize(coarse, (40, 40))))
    return tmp_path / "photos"


def opened(root: Path, layout: str, **told: object) -> int:
    """How many training samples there are."""
    spec: Data = TypeAdapter(Data).validate_python(
        {"layout": layout, "root": root, "crop": 8, "split": {"val": 0, "test": 0}, **told}
    )
    return len(open_split(spec, "train"))


@pytest.mark.parametrize(
    ("words", "layout", "count"),
    [
        (["split", "--val", "0.25", "--test", "0.25"], "unlabelled", 6),
        (["resize", "--size", "20", "--fit", "crop"], "unlabelled", 12),
        (["sketches", "--style", "soft", "--jitter", "1"], "paired", 12),
        (["smooth"], "unlabelled", 12),
        (["tiles", "--size", "20"], "unlabelled", 48),
        (["degrade", "--kind", "blur:1", "--kind", "noise:5:9"], "paired", 12),
        (["degrade", "--kind", "mask", "--link"], "paired", 12),
    ],
    ids=lambda words: words[0] if isinstance(words, list) else "",
)
def test_every_command_makes_what_training_takes(
    run: Run, photos: Path, tmp_path: Path, words: list[str], layout: str, count: int
) -> None:
    result = run(words[0], photos, "-o", tmp_path / "out", *words[1:])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("12 pictures → ")
    assert opened(tmp_path / "out", layout) == count


def test_pairs_are_joined_and_separated(run: Run, photos: Path, tmp_path: Path) -> None:
    run("degrade", photos, "-o", tmp_path / "ab", "--kind", "grey")
    assert run("join", tmp_path / "ab", "-o", tmp_path / "joined").exit_code == 0
    assert run("separate", tmp_path / "joined", "-o", tmp_path / "back").exit_code == 0
    assert opened(tmp_path / "back", "paired") == 12


def test_shards_and_tables(run: Run, photos: Path, tmp_path: Path) -> None:
    assert "unlabelled: train 12" in run("shards", photos, "-o", tmp_path / "s", "--count", "5").stdout
    assert len(list((tmp_path / "s").glob("train-*.tar"))) == 3
    run("manifest", photos, "-o", tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(encoding="utf-8", newline="") as file:
        assert next(csv.DictReader(file)) == {"a": "photos/00.png"}


def test_frames_of_an_animation(run: Run, tmp_path: Path) -> None:
    from PIL import Image

    first, *others = (Image.fromarray(np.full((8, 8, 3), level, np.uint8)) for level in (0, 100, 200))
    first.save(tmp_path / "x.gif", save_all=True, append_images=others, duration=100)
    result = run("frames", tmp_path / "x.gif", "-o", tmp_path / "out", "--every", "2", "--as", ".jpg")
    assert result.exit_code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["x_000000.jpg", "x_000002.jpg"]


def test_what_is_skipped_is_named_and_returns_1(run: Run, photos: Path, tmp_path: Path) -> None:
    (photos / "00.png").write_bytes(b"not a picture")
    result = run("resize", photos, "-o", tmp_path / "out", "--size", "8")
    assert result.exit_code == 1
    assert "skipped" in result.stderr
    assert "00.png" in result.stderr
    assert "11 pictures" in result.stdout


def test_names_that_are_no_text_are_worked_on_and_told(run: Run, photos: Path, tmp_path: Path) -> None:
    strange = os.fsdecode(b"caf\xe9 [b].png")
    (photos / strange).write_bytes((photos / "01.png").read_bytes())
    (photos / os.fsdecode(b"bad\xe9.png")).write_bytes(b"")
    result = run("sketches", photos, "-o", tmp_path / "out")
    assert "bad\\udce9.png" in result.stderr
    assert (tmp_path / "out" / "trainB" / strange).exists()
    assert run("split", photos, "-o", tmp_path / "divided").exit_code == 1


def test_nothing_is_overwritten_without_force(run: Run, photos: Path, tmp_path: Path) -> None:
    run("resize", photos, "-o", tmp_path / "out", "--size", "8")
    with pytest.raises(UserError, match="--force"):
        run("resize", photos, "-o", tmp_path / "out", "--size", "9")
    assert run("resize", photos, "-o", tmp_path / "out", "--size", "9", "--force").exit_code == 0


def test_help_needs_no_heavy_library() -> None:
    import subprocess
    import sys

    code = "import sys, i2i.cli.make; print({'torch', 'cv2', 'numpy', 'pyarrow'} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

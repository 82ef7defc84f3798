"""What people install is the wheel and not the clone: build it, look inside, and work with nothing else."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image

import i2i
from i2i.paths import shared

CLONE = Path(i2i.__file__).parent.parent
MODELS = ("day2night", "line2color", "map2satellite", "night2day", "sketch2photo")  # that ship
SETS = ("schedule.0.steps=1", "batch=2", "generator.width=4", "discriminator.width=4", "samples=2", "ema=")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(CLONE)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile",
               "--disable-pip-version-check", "--target", str(target), str(wheel)]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    return target


def test_the_wheel_holds_all_that_the_commands_need(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("recipes", "datasets", "models"):
        files = {path for path in shared(folder).rglob("*") if path.is_file() and not path.name.startswith(".")}
        assert len(files) > 5
        assert {f"i2i/share/{folder}/{path.relative_to(shared(folder)).as_posix()}" for path in files} <= inside
    assert "i2i/share/datasets/LICENCES.md" in inside
    assert "i2i/engine/report.html" in inside
    assert any(name.endswith("licenses/LICENSE") for name in inside)
    assert any(name.endswith("entry_points.txt") for name in inside)


def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    strange = [name for name in zipfile.ZipFile(wheel).namelist() if not name.startswith(("i2i/", "i2i-"))]
    assert strange == []
    assert not [name for name in zipfile.ZipFile(wheel).namelist() if "__pycache__" in name or "/tests/" in name]


def test_the_installed_package_trains_and_translates_without_the_clone(installed: Path, tmp_path: Path) -> None:
    code = f"""
import sys, i2i
from i2i.paths import shared
assert i2i.__file__.startswith({str(installed)!r}), i2i.__file__
assert str(shared("recipes")).startswith({str(installed)!r})
from i2i.cli import app
app("train quickstart {" ".join(f"--set {change}" for change in SETS)}".split(), standalone_mode=False)
app("translate drawing.png --model quickstart -o out.png".split(), standalone_mode=False)
"""
    Image.new("RGB", (37, 21), "white").save(tmp_path / "drawing.png")
    told = {"PYTHONPATH": str(installed), "I2I_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, **told}, capture_output=True, text=True
    )
    assert "1 of 1 translated" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0
    with Image.open(tmp_path / "out.png") as picture:
        assert picture.size == (37, 21)
    assert (tmp_path / "runs" / "quickstart" / "report.html").is_file()


def test_the_models_that_ship_translate_at_once_without_torch_and_without_a_network(
    installed: Path, tmp_path: Path
) -> None:
    Image.radial_gradient("L").resize((150, 101)).save(tmp_path / "drawing.png")
    code = f"""
import socket, sys
def refused(*_, **__):
    raise OSError("no network")
socket.socket.connect = socket.getaddrinfo = refused
sys.modules["torch"] = None
from i2i.cli import app
for model in {MODELS}:
    app(["translate", "drawing.png", "--model", model, "-o", model + ".png"], standalone_mode=False)
"""
    told = {"PYTHONPATH": str(installed), "I2I_HOME": str(tmp_path / "home")}
    before = {path: path.stat().st_mtime_ns for path in (installed / "i2i" / "share").rglob("*")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, **told}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for model in MODELS:
        with Image.open(tmp_path / f"{model}.png") as picture:
            assert picture.size == (150, 101)
            assert picture.getextrema() != ((0, 0),) * 3
    assert {path: path.stat().st_mtime_ns for path in (installed / "i2i" / "share").rglob("*")} == before

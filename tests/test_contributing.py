"""CONTRIBUTING.md promises that a paper is one file, one entry and one recipe. This follows its walk word for word."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import i2i

CLONE = Path(i2i.__file__).parent.parent
GUIDE = CLONE / "CONTRIBUTING.md"
SETS = ("schedule.0.steps=2", "batch=8", "samples=4", "generator.width=4", "critic.width=4")


def blocks() -> dict[str, str]:
    """The guide's code blocks that name a file, by that name."""
    found = re.findall(r"^```\w+ (\S+)\n(.*?)^```$", GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return dict(found)


def enter(path: Path, told: str) -> None:
    """What the guide says of models/__init__.py: one line ends the import, the other the dict."""
    imported, entry = told.splitlines()
    head, rest = path.read_text("utf-8").split("\n)\n", 1)
    path.write_text(f"{head}\n{imported}\n)\n{rest[: rest.rindex('}')]}{entry}\n}}\n")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project after the walk."""
    copy = tmp_path_factory.mktemp("house")
    unread = shutil.ignore_patterns("__pycache__", ".*")
    for folder in ("i2i", "recipes", "datasets"):
        shutil.copytree(CLONE / folder, copy / folder, ignore=unread)
    shutil.copy(CLONE / "pyproject.toml", copy)
    for name, code in blocks().items():
        path = copy / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            enter(path, code)
        else:
            path.write_text(code)
    return copy


def run(house: Path, *words: str) -> str:
    told = {"PYTHONPATH": str(house), "I2I_HOME": str(house / "home")}
    done = subprocess.run(
        [sys.executable, *words], cwd=house, env={**os.environ, **told}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_walk_adds_one_file_one_entry_one_recipe_and_one_test() -> None:
    assert list(blocks()) == [
        "i2i/models/wgan.py",
        "i2i/models/__init__.py",
        "recipes/wgan_fashion.yaml",
        "tests/models/test_wgan.py",
    ]


def test_after_the_walk_the_new_model_trains_samples_and_passes_its_test(house: Path, pictures: Path) -> None:
    changes = [*SETS, "data.dataset=null", f"data.root={pictures / 'classes'}"]
    code = f"""
import pytest, i2i
from i2i.cli import app
assert i2i.__file__.startswith({str(house)!r})
app("train wgan_fashion {" ".join(f"--set {change}" for change in changes)}".split(), standalone_mode=False)
app("sample --model wgan_fashion -o clothes.png --count 4".split(), standalone_mode=False)
assert pytest.main(["tests/models/test_wgan.py", "-p", "no:cacheprovider"]) == 0
"""
    assert "1 passed" in run(house, "-c", code)
    (line,) = (house / "runs" / "wgan_fashion" / "metrics.jsonl").read_text().splitlines()
    assert set(json.loads(line)["losses"]) == {"critic/real", "critic/fake", "generator/adversarial"}
    assert (house / "clothes.png").stat().st_size > 100


def test_after_the_walk_the_code_is_clean(house: Path) -> None:
    run(house, "-m", "ruff", "check", "--no-cache", "i2i/models", "tests/models")
    run(house, "-m", "ruff", "format", "--no-cache", "--check", "i2i/models", "tests/models")


def test_the_commands_of_the_guide_exist() -> None:
    makefile = (CLONE / "Makefile").read_text("utf-8")
    targets = re.findall(r"^make (\w+)", GUIDE.read_text("utf-8"), re.MULTILINE)
    assert set(targets) == {"test", "lint", "slow"}
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)

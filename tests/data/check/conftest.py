"""Small sets made in code, with nothing wrong in them, for tests to spoil."""

import shutil
from pathlib import Path

import pytest

from i2i.data.check import Finding, Report, check

from .scenes import Findings, save, scene


@pytest.fixture(scope="session")
def paired_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 train and 20 test pairs, line drawing → picture, with nothing wrong."""
    root = tmp_path_factory.mktemp("paired")
    for split, first, count in (("train", 0, 60), ("test", 1000, 20)):
        for i in range(count):
            drawing, picture = scene(first + i)
            save(root / f"{split}A" / f"p{first + i:04}.png", drawing)
            save(root / f"{split}B" / f"p{first + i:04}.png", picture)
    return root


@pytest.fixture
def pairs(paired_set: Path, tmp_path: Path) -> Path:
    """A copy of the paired set, to be spoilt."""
    return Path(shutil.copytree(paired_set, tmp_path / "pairs"))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """60 pictures in one folder, to be spoilt."""
    for i in range(60):
        save(tmp_path / "photos" / f"{i:03}.png", scene(i)[1])
    return tmp_path / "photos"


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    """Two classes, 40 train and 10 test pictures each."""
    for number, name in enumerate(("cat", "dog")):
        for split, first, count in (("train", 0, 40), ("test", 500, 10)):
            for i in range(count):
                save(tmp_path / "classes" / split / name / f"{i:03}.png", scene(5000 * (number + 1) + first + i)[1])
    return tmp_path / "classes"


@pytest.fixture
def findings() -> Findings:
    """findings(place, ...): what `check` finds, by code."""

    def of(place: Path | Report, **how: object) -> dict[str, Finding]:
        report = place if isinstance(place, Report) else check(place, workers=1, **how)
        return {finding.code: finding for finding in report.findings}

    return of

"""Thousands of damaged files, read under a memory limit: each gives pixels or a UserError, and none a crash."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("mutants.py")
ROOT = Path(__file__).parents[2]


def survive(first: int, count: int) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(first), str(count)],
        capture_output=True, text=True, errors="replace", timeout=1800, cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},  # threads take address space
    )  # fmt: skip
    assert done.returncode == 0, f"crashed with {done.returncode} at: {done.stderr.strip().splitlines()[-1:]}"
    told: dict[str, object] = json.loads(done.stdout)
    assert told["failures"] == []
    assert told["read"] + told["refused"] == count  # type: ignore[operator]
    assert told["read"] > count / 20  # type: ignore[operator]  # else nothing but headers would have been tried
    return told


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_300_damaged_files_are_read_or_refused() -> None:
    survive(0, 300)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_10_000_damaged_files_are_read_or_refused() -> None:
    print(survive(1000, 10_000))

"""Translating starts at once and runs on machines that have never seen torch."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ABSENT = ("torch", "torchvision", "kornia", "albumentations", "pydantic", "onnx", "onnxscript", "scipy", "matplotlib")
BLOCK = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
"""


def run(code: str, *arguments: object, but: str = "") -> str:
    """What a fresh Python prints in which these modules cannot be imported. `but`: one that can: files from elsewhere
    are looked at with onnx before they are opened."""
    absent = f"ABSENT = {set(ABSENT) - {but}!r}\n"
    command = [sys.executable, "-c", absent + BLOCK + code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_block_blocks() -> None:
    with pytest.raises(AssertionError, match="No module named 'torch'"):
        run("import torch")


@pytest.mark.parametrize("module", ["i2i", "i2i.runtime", "i2i.images", "i2i.store", "i2i.translation", "i2i.checkup"])
def test_it_imports_without_torch(module: str) -> None:
    run(f"import {module}")


@pytest.mark.parametrize("module", ["i2i.runtime", "i2i.translation"])
def test_it_would_not_import_torch_if_it_were_there(module: str) -> None:
    """A `try: import torch` somewhere on the way would pass unseen above, and cost seconds."""
    code = f"import sys, {module}; print(*sorted(set(name.partition('.')[0] for name in sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    loaded = set(done.stdout.split())
    assert {"numpy", "onnxruntime"} <= loaded
    assert not loaded & set(ABSENT)


def test_a_picture_is_translated_without_torch(
    exported: Path, noise: Callable[..., np.ndarray], tmp_path: Path
) -> None:
    Image.fromarray(noise(1, 37, 29)).save(tmp_path / "in.png")
    code = """
from i2i import translation
(done,) = translation.translate([sys.argv[1]], sys.argv[2], sys.argv[3])
assert done.target, done.error
"""
    run(code, tmp_path / "in.png", exported, tmp_path / "out.png", but="onnx")
    out = np.asarray(Image.open(tmp_path / "out.png"))
    assert out.shape == (37, 29, 3)

    from i2i.runtime import Exported

    assert np.array_equal(out, Exported(exported, "cpu")(noise(1, 37, 29)))


def test_without_torch_python_offers_the_same_words(exported: Path) -> None:
    """`i2i.load` is the door that people know."""
    code = "import i2i, numpy\nprint(i2i.load(sys.argv[1])(numpy.zeros((8, 9, 3), numpy.uint8)).shape)"
    told = run(code, exported, but="onnx")
    assert told.strip() == "(8, 9, 3)"

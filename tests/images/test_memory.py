"""Large pictures take little more memory than their pixels, by what the operating system says of the whole process."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from i2i import images
from i2i.images import Frame, Kind

WALK = """
import json, re, sys
from i2i import images
import cv2, tifffile
# not ru_maxrss: that of a new process begins with its parent's
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) * 1024
before, told = peak(), {}
with images.opened(sys.argv[1]) as reader, images.writer(sys.argv[2], reader.kind) as writer:
    told["opened"] = peak() - before
    for frame in reader.frames(3, min(reader.kind.bits, 16)):
        told["read"], told["pixels"] = peak() - before, frame.pixels.nbytes
        writer.add(frame)
print(json.dumps(told | {"written": peak() - before}))
"""
# times its pixels. 8 bits: Pillow holds colour in four bytes and we in three; then alpha; 16: decoder's copy and ours
MOST = {"x.jpg": 2.5, "x.png": 2.5, "x.tif": 2.5, "alpha.png": 4.0, "deep.png": 2.2, "deep.tif": 1.3}
MARGIN = 18 * 2**20


def use(folder: Path, name: str, side: int) -> dict[str, int]:
    y, x = np.mgrid[0:side, 0:side].astype(np.uint16)
    deep = name.startswith("deep")
    pixels = np.dstack([x * 7, y * 5, x + y])
    alpha = np.full((side, side), 200, np.uint8) if name.startswith("alpha") else None
    info = {"compression": "tiff_lzw"} if name == "x.tif" else {}
    kind = Kind("PNG", side, side, bits=16 if deep else 8, alpha=alpha is not None, info=info)
    with images.writer(folder / name, kind) as writer:
        writer.add(Frame(pixels if deep else pixels.astype(np.uint8), alpha))
    arguments = [sys.executable, "-c", WALK, str(folder / name), str(folder / f"out_{name}")]
    told: dict[str, int] = json.loads(subprocess.run(arguments, capture_output=True, check=True, text=True).stdout)
    return told


def check(told: dict[str, int], name: str) -> None:
    print(name, {key: f"{value / 2**20:.0f} MB" for key, value in told.items()})
    assert told["opened"] < MARGIN
    assert told["read"] > told["pixels"]  # else something is wrong with the measure
    assert told["read"] < MOST[name] * told["pixels"] + MARGIN
    assert told["written"] < MOST[name] * told["pixels"] + MARGIN


pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts memory as Linux does")


@pytest.mark.parametrize("name", ["x.jpg", "x.tif"])
def test_a_picture_takes_little_more_memory_than_its_pixels(name: str, tmp_path: Path) -> None:
    check(use(tmp_path, name, 3072), name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(MOST))
def test_a_picture_of_8192_squared_does_too(name: str, tmp_path: Path) -> None:
    check(use(tmp_path, name, 8192), name)

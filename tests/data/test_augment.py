"""Resizing is a well-antialiased bicubic, the same on every machine; a window and a mirror are what they say."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from i2i.data.augment import crop, mirrored, resize

SMOOTH = np.asarray(
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)).resize((320, 240), 2)
)
NOISE = np.random.default_rng(1).integers(0, 256, (240, 320, 3), dtype=np.uint8)
DIGEST = (
    "import hashlib, numpy as np; from i2i.data.augment import resize;"
    "x = np.random.default_rng(1).integers(0, 256, (240, 320, 3), dtype=np.uint8);"
    "print(hashlib.sha256(b''.join(resize(x, s, 'shorter').tobytes() for s in (64, 143, 300))).hexdigest())"
)
GOLDEN = "6ae2811c3865bb5a864f8e855a5af950ee5df845992cd2c9f76b74ad44c77b8b"


@pytest.mark.parametrize("size", [32, 100, 143, 240, 286, 500])
@pytest.mark.parametrize("channels", [1, 3])
def test_resizing_is_pillow_s_bicubic(size: int, channels: int) -> None:
    for picture in (SMOOTH, NOISE):
        shown = picture[:, :, 0] if channels == 1 else picture
        expected = np.asarray(Image.fromarray(shown).resize((size, size), Image.Resampling.BICUBIC))
        got = resize(picture[:, :, :channels], size, "stretch")
        apart = np.abs(got.astype(int) - expected.reshape(got.shape))
        assert apart.max() <= 2
        assert (apart > 1).mean() < 1e-4
        assert (apart > 0).mean() < 0.02
        assert got.flags.c_contiguous


def test_resizing_gives_the_same_bytes_on_every_machine() -> None:
    made = b"".join(resize(NOISE, size, "shorter").tobytes() for size in (64, 143, 300))
    assert hashlib.sha256(made).hexdigest() == GOLDEN


@pytest.mark.slow
@pytest.mark.parametrize("processor", ["default", "avx2"])
def test_resizing_needs_no_instruction_of_a_new_processor(processor: str) -> None:
    told = {**os.environ, "ATEN_CPU_CAPABILITY": processor}
    said = subprocess.run([sys.executable, "-c", DIGEST], env=told, check=True, capture_output=True, text=True)
    assert said.stdout.strip() == GOLDEN


def test_fine_lines_do_not_turn_into_dots() -> None:
    lines = np.zeros((256, 256, 3), np.uint8)
    lines[::2] = 255
    assert np.abs(resize(lines, 64, "stretch").astype(int) - 128)[2:-2].max() <= 2


def test_a_window_reaches_every_place() -> None:
    picture = np.arange(16, dtype=np.uint8).reshape(4, 4, 1)
    corners = {crop(picture, 3, y, x)[0, 0, 0].item() for y in (0, 0.49, 0.51, 1) for x in (0, 0.49, 0.51, 1)}
    assert corners == {0, 1, 4, 5}


@pytest.mark.parametrize("shape", [(8, 8, 1), (9, 7, 3), (64, 50, 3), (200, 100, 1)])
def test_a_mirror_swaps_left_and_right_alone(shape: tuple[int, int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    picture.setflags(write=False)  # as the cache gives it
    assert np.array_equal(mirrored(picture), picture[:, ::-1])

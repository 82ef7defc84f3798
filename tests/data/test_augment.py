"""Resizing is a well-antialiased bicubic, the same on every machine; a window and a mirror are what they say.

Augmentations keep the depth of pictures and the classes of maps, or say why they cannot.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from i2i.data import Data
from i2i.data.augment import augmented, crop, mirrored, pipeline, resize
from i2i.errors import UserError

Make = Callable[..., Data]

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


@pytest.mark.parametrize("shape", [(8, 8, 1), (9, 7, 3), (64, 50, 3), (200, 100, 1), (90, 80, 7)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_mirror_swaps_left_and_right_alone(kind: Any, shape: tuple[int, int, int]) -> None:
    picture = np.random.default_rng(0).integers(0, np.iinfo(kind).max + 1, shape, dtype=kind)
    picture.setflags(write=False)  # as the cache gives it
    assert np.array_equal(mirrored(picture), picture[:, ::-1])


def deep(channels: int = 3, size: int = 24) -> np.ndarray:
    """Smooth light with a little noise, uint16, neither black nor white."""
    rng = np.random.default_rng(0)
    rough = rng.integers(5000, 60000, (channels, 6, 6)).astype(np.float32)
    smooth = [np.asarray(Image.fromarray(each).resize((size, size), Image.Resampling.BILINEAR)) for each in rough]
    return (np.stack(smooth, axis=2) + rng.normal(0, 500, (size, size, channels))).clip(1000, 64000).astype(np.uint16)


@pytest.fixture
def changed(spec: Make) -> Callable[..., np.ndarray]:
    """changed(picture, *steps, **channels): after the steps alone."""

    def change(picture: np.ndarray, *steps: Any, key: int = 0, channels: Any = None, bits: int = 8) -> np.ndarray:
        looks = {"a": picture.shape[2] if channels is None else channels, "b": 3}
        told = spec(
            layout="unpaired", root="x", crop=len(picture), flip=False, channels=looks, bits=bits, augment=steps
        )
        (done,) = augmented([picture], told, pipeline(told), np.random.default_rng(key))
        return done

    return change


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_moved_pixels_keep_all_their_bits(channels: int, changed: Callable[..., np.ndarray]) -> None:
    picture = np.random.default_rng(0).integers(0, 65536, (24, 24, channels), dtype=np.uint16)
    once = {"p": 1.0}
    given = changed(picture, {"HorizontalFlip": once}, {"Transpose": once}, {"VerticalFlip": once}, bits=16)
    assert given.dtype == np.uint16
    assert np.array_equal(given, picture[:, ::-1].swapaxes(0, 1)[::-1])


def test_light_of_sixteen_bits_is_rounded_and_not_cut(changed: Callable[..., np.ndarray]) -> None:
    picture = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    assert np.array_equal(changed(picture, {"InvertImg": {"p": 1.0}}, bits=16), 65535 - picture)


def test_changed_light_has_sixteen_bits(changed: Callable[..., np.ndarray]) -> None:
    given = changed(deep(), {"RandomGamma": {"p": 1.0}}, {"Affine": {"rotate": 20, "p": 1.0}}, bits=16)
    assert given.dtype == np.uint16
    assert (given % 257 == 0).mean() < 0.3  # outside is black


SHALLOW = [
    "AutoContrast", "CLAHE", "ChromaticAberration", "Downscale", "Equalize", "HueSaturationValue", "ImageCompression",
    "MedianBlur", "Posterize", "RandomFog", "RandomGravel", "RandomRain", "RandomShadow", "RandomSnow",
    "RandomSunFlare", "RandomToneCurve", "Superpixels", {"CoarseDropout": {"fill": "inpaint_ns", "p": 0.01}},
]  # fmt: skip
DEEP = [
    "AdditiveNoise", "AdvancedBlur", "Affine", "Blur", "CoarseDropout", "ColorJitter", "D4", "Defocus", "Emboss",
    "ElasticTransform", "FancyPCA", "GaussNoise", "GaussianBlur", "GlassBlur", "GridDropout", "HorizontalFlip",
    "ISONoise", "Illumination", "InvertImg", "MotionBlur", "Perspective", "PixelDropout", "PlanckianJitter", "RGBShift",
    "RandomBrightnessContrast", "RandomGamma", "SaltAndPepper", "Sharpen", "Solarize", "ToGray", "ZoomBlur",
]  # fmt: skip


@pytest.mark.parametrize("step", SHALLOW, ids=str)
def test_a_transform_of_eight_bits_is_refused_for_sixteen(step: Any, changed: Callable[..., np.ndarray]) -> None:
    with pytest.raises(UserError, match="works in 8 bits and would round off"):
        changed(deep(), "Blur", step, bits=16)
    assert changed((deep() // 257).astype(np.uint8), "Blur", step).dtype == np.uint8


@pytest.mark.parametrize("step", DEEP)
def test_other_transforms_keep_sixteen_bits(step: str, changed: Callable[..., np.ndarray]) -> None:
    given = changed(deep(), {step: {"p": 1.0}}, bits=16)
    assert given.dtype == np.uint16
    assert len(np.unique(given[(given > 0) & (given < 65535)])) > 256


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [2, 4, 7])
def test_a_transform_that_needs_colour_is_named(channels: int, bits: int, changed: Callable[..., np.ndarray]) -> None:
    picture = deep(channels) if bits == 16 else (deep(channels) // 257).astype(np.uint8)
    with pytest.raises(UserError, match=rf"augment: ToSepia cannot be applied.*\({channels} × {bits} bits\)"):
        changed(picture, "HorizontalFlip", {"ToSepia": {"p": 1.0}}, bits=bits)
    for name in ("GaussianBlur", "RandomBrightnessContrast", "Affine", "GridDistortion", "CoarseDropout"):
        assert changed(picture, {name: {"p": 1.0}}, bits=bits).shape == picture.shape


def test_what_is_no_picture_any_more_is_refused(changed: Callable[..., np.ndarray]) -> None:
    for step in ("Normalize", {"Resize": {"height": 9, "width": 9}}, {"FromFloat": {"dtype": "uint8"}}):
        with pytest.raises(UserError, match=r"must return pictures of \(24, 24, 3\) uint16"):
            changed(deep(), step, bits=16)


def test_what_needs_equal_channels_is_named(spec: Make) -> None:
    for name, said in (("GaussNoise", "GaussNoise cannot be applied"), ("PixelDropout", "equally many channels")):
        told = spec(
            layout="paired",
            root="x",
            crop=8,
            channels={"a": 3, "b": 1},
            augment=[{name: {"p": 1.0, "per_channel": True}}],
        )
        with pytest.raises(UserError, match=said):
            augmented([np.ones((8, 8, c), np.uint8) for c in (3, 1)], told, pipeline(told), np.random.default_rng(0))


def test_a_filled_gap_is_of_a_class_there_is(changed: Callable[..., np.ndarray]) -> None:
    numbers = np.full((24, 24, 1), 2, np.uint8)
    for fill, classes in ((3, 4), (255, 256)):
        step = {"Affine": {"translate_px": 9, "fill_mask": fill, "p": 1.0}}
        given = changed(numbers, step, channels={"labels": classes})
        assert set(np.unique(given)) == {2, fill}
    with pytest.raises(UserError, match="classes from 0 to 3, got 255; a `fill_mask`"):
        changed(numbers, step, channels={"labels": 4})


def test_maps_are_moved_to_the_nearest_pixel_whatever_is_asked(changed: Callable[..., np.ndarray]) -> None:
    numbers = np.zeros((24, 24, 1), np.uint8)
    numbers[:, 12:] = 200
    step = {"Affine": {"rotate": [30, 30], "mask_interpolation": 1, "p": 1.0}}
    assert set(np.unique(changed(numbers, step, channels={"labels": 256}))) == {0, 200}

"""Fingerprints that survive copying, and groups that equal those of comparing everything with everything."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from i2i.data.likeness import MOST, NEAR, fingerprint, groups, is_flat


def scene(key: int, size: int = 128) -> np.ndarray:
    """Coarse random shapes: as much structure at low frequencies as a photo has."""
    coarse = np.random.default_rng(key).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC))


def apart(a: np.ndarray, b: np.ndarray) -> int:
    return (fingerprint(a) ^ fingerprint(b)).bit_count()


@pytest.mark.parametrize("key", range(6))
def test_recompressed_rescaled_and_brightened_copies_are_near(key: int) -> None:
    picture = scene(key)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=60)
    brighter = np.clip(picture * 0.9 + 10, 0, 255).astype(np.uint8)
    for copy in (np.asarray(Image.open(file)), cv2.resize(picture, (70, 90), interpolation=cv2.INTER_AREA), brighter):
        assert apart(picture, np.asarray(copy)) <= NEAR


def test_other_pictures_differ_in_about_half_of_the_bits() -> None:
    codes = [fingerprint(scene(key)) for key in range(40)]
    distances = [(a ^ b).bit_count() for i, a in enumerate(codes) for b in codes[:i]]
    assert min(distances) > 11
    assert 28 < np.mean(distances) < 36


def test_blank_pictures_are_alike_only_if_they_are_equal() -> None:
    blank = [np.full((40, 40, 3), value, np.uint8) for value in (0, 1, 128, 255)]
    assert all(is_flat(picture) for picture in blank)
    assert groups([fingerprint(picture) for picture in [*blank, blank[2]]], MOST) == [[2, 4]]


def test_maps_of_few_class_numbers_are_told_apart() -> None:
    first, second = np.zeros((2, 64, 64, 1), np.uint8)
    first[:20, :20] = 1
    second[40:, 40:] = 1
    assert fingerprint(first) != fingerprint(second)


def test_grey_and_colour_of_one_picture_are_alike_and_more_channels_are_read() -> None:
    grey = scene(1)[:, :, :1]
    assert apart(grey, np.repeat(grey, 3, axis=2)) == 0
    assert fingerprint(np.concatenate([scene(2), scene(3)], axis=2)) == fingerprint(scene(2))


@pytest.mark.parametrize("distance", range(MOST + 1))
def test_groups_equal_those_of_comparing_all_with_all(distance: int) -> None:
    rng = np.random.default_rng(distance)
    codes = rng.integers(0, 2**64, 400, dtype=np.uint64)
    for i in range(150):  # relatives at all distances, bits anywhere
        flips = rng.choice(64, rng.integers(0, MOST + 3), replace=False)
        codes[i + 200] = codes[i] ^ np.bitwise_or.reduce(np.uint64(1) << flips.astype(np.uint64), initial=np.uint64(0))
    near = np.bitwise_count(codes[:, None] ^ codes[None]) <= distance
    top = np.arange(400)
    while True:  # the smallest position that can be reached
        better = np.where(near, top[None], 400).min(axis=1)
        if (better == top).all():
            break
        top = better
    expected = [np.flatnonzero(top == first).tolist() for first in sorted(set(top.tolist()))]
    assert groups(codes.tolist(), distance) == [group for group in expected if len(group) > 1]


def test_groups_join_through_others_and_keep_the_order_of_their_first() -> None:
    chain = [0b1111 << 40, 0b111, 0, 0b11 << 40]  # the first and the third differ in 4 bits, each in 2 from the last
    assert groups(chain, 2) == [[0, 2, 3]]
    assert groups([6 << 50, *chain, 6 << 50, 0b110], 1) == [[0, 5], [2, 6]]
    assert groups([], 3) == []
    assert groups([9], 3) == []


def test_many_fingerprints_take_seconds() -> None:
    codes = np.random.default_rng(0).integers(0, 2**64, 50_000, dtype=np.uint64)
    codes[40_000:40_010] = codes[:10] ^ np.uint64(1 << 33)
    assert groups(codes.tolist()) == [[i, 40_000 + i] for i in range(10)]
    assert groups([77] * 50_000) == [list(range(50_000))]


def test_what_is_no_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="uint8 h w c"):
        fingerprint(np.zeros((4, 4, 3), np.uint16))
    with pytest.raises(ValueError, match="0 to 11"):
        groups([1, 2], 12)

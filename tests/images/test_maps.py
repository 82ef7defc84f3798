"""A segmentation map is read as its file stores it, whatever the file: classes are never scaled, coloured or mixed."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from i2i.errors import UserError
from i2i.images import maps, png

MAP = np.array([[0, 1, 2, 3], [3, 2, 1, 0], [1, 1, 2, 2]], np.uint8)  # three rows of four
COLOURS = np.array([[10, 20, 30], [200, 0, 0], [0, 200, 0], [0, 0, 200]], np.uint8)


def packed_png(values: np.ndarray, bits: int) -> bytes:
    """A grey PNG of 1, 2 or 4 bits."""
    rows = [np.packbits(np.unpackbits(row[:, None], axis=1)[:, 8 - bits :].reshape(-1)).tobytes() for row in values]
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, 0, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    return png.SIGNATURE + png.chunk(b"IHDR", head) + png.chunk(b"IDAT", data) + png.chunk(b"IEND", b"")


def encoded(picture: Image.Image, form: str, **more: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **more)
    return file.getvalue()


def deep_png(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    png.encode_deep(file, values.astype(np.uint16), [])
    return file.getvalue()


def tiff(values: np.ndarray, **more: Any) -> bytes:
    file = io.BytesIO()
    tifffile.imwrite(file, values, **more)
    return file.getvalue()


def array(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def indexed() -> Image.Image:
    picture = Image.fromarray(MAP, "P")
    picture.putpalette(COLOURS.tobytes())
    return picture


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    return encoded(Image.fromarray(np.rot90(MAP)), "PNG", exif=exif)


PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
NUMBERS = {
    "grey PNG": lambda: encoded(Image.fromarray(MAP), "PNG"),
    "grey PNG with a transparent value": lambda: encoded(Image.fromarray(MAP), "PNG", transparency=2),
    "grey PNG with alpha": lambda: encoded(Image.fromarray(np.dstack([MAP, MAP * 0 + 9]), "LA"), "PNG"),
    "grey PNG with a profile": lambda: encoded(Image.fromarray(MAP), "PNG", icc_profile=PROFILE),
    "grey PNG of 2 bits": lambda: packed_png(MAP, 2),
    "grey PNG of 4 bits": lambda: packed_png(MAP, 4),
    "grey PNG of 16 bits": lambda: deep_png(MAP[:, :, None]),
    "colour PNG of 16 bits": lambda: deep_png(np.dstack([MAP] * 3)),
    "PNG of equal channels": lambda: encoded(Image.fromarray(np.dstack([MAP] * 3)), "PNG"),
    "PNG of equal channels with alpha": lambda: encoded(Image.fromarray(np.dstack([MAP] * 3 + [MAP * 0])), "PNG"),
    "palette PNG": lambda: encoded(indexed(), "PNG"),
    "palette PNG with a transparent colour": lambda: encoded(indexed(), "PNG", transparency=1),
    "turned PNG": turned,
    "palette GIF": lambda: encoded(indexed(), "GIF"),
    "BMP": lambda: encoded(Image.fromarray(MAP), "BMP"),
    "lossless WebP": lambda: encoded(Image.fromarray(np.dstack([MAP] * 3)), "WEBP", lossless=True, exact=True),
    "PGM with a white of 3": lambda: b"P5\n# a comment\n4 3 3\n" + MAP.tobytes(),
    "PGM with a white of 300": lambda: b"P5 4 3 300\n" + MAP.astype(">u2").tobytes(),
    "plain PGM": lambda: b"P2 4 3 3\n" + " ".join(map(str, MAP.ravel())).encode(),
    "TIFF": lambda: tiff(MAP),
    "array": lambda: array(MAP),
    "array of 64 bits": lambda: array(MAP.astype(">i8")),
    "array of one channel": lambda: array(MAP[:, :, None]),
    "TIFF of 16 bits": lambda: tiff(MAP.astype(np.uint16)),
    "TIFF of 32 bits": lambda: tiff(MAP.astype(np.int32)),
    "TIFF of 4 bits": lambda: encoded(Image.fromarray(MAP), "TIFF"),
    "palette TIFF": lambda: encoded(indexed(), "TIFF"),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_in_a_file_is_a_class(name: str, tmp_path: Path) -> None:
    content = NUMBERS[name]()
    (tmp_path / "x").write_bytes(content)
    for source in (content, tmp_path / "x"):
        pixels = maps.as_stored(source, coloured=False)
        assert maps.class_numbers(pixels, None, 4).tolist() == MAP.tolist()


DRAWN = Image.fromarray(COLOURS[MAP])
OPAQUE = np.full((3, 4, 1), 7, np.uint8)
DRAWINGS = {
    "PNG": lambda: encoded(DRAWN, "PNG"),
    "PNG with alpha": lambda: encoded(Image.fromarray(np.dstack([DRAWN, OPAQUE])), "PNG"),
    "PNG with a profile": lambda: encoded(DRAWN, "PNG", icc_profile=PROFILE),
    "palette PNG": lambda: encoded(indexed(), "PNG"),
    "palette PNG with a transparent colour": lambda: encoded(indexed(), "PNG", transparency=1),
    "palette PNG with half transparent colours": lambda: encoded(indexed(), "PNG", transparency=bytes([255, 128, 0])),
    "palette GIF": lambda: encoded(indexed(), "GIF"),
    "PNG of 16 bits": lambda: deep_png(COLOURS[MAP].astype(np.uint16) * 257),
    "TIFF": lambda: tiff(COLOURS[MAP]),
    "TIFF of 16 bits": lambda: tiff(COLOURS[MAP].astype(np.uint16) * 257, photometric="rgb"),
    "JPEG": lambda: encoded(DRAWN.resize((64, 48), 0), "JPEG", quality=90),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", DRAWINGS)
def test_a_colour_in_a_file_is_a_class(name: str) -> None:
    pixels = maps.as_stored(DRAWINGS[name](), coloured=True)
    numbers = maps.class_numbers(pixels, COLOURS, 4)
    if name == "JPEG":
        numbers = numbers[8::16, 8::16]
    assert numbers.tolist() == MAP.tolist()


def test_a_mask_of_one_bit_is_class_0_and_1() -> None:
    mask = Image.fromarray(MAP > 1)
    for content in (encoded(mask, "PNG"), encoded(mask, "TIFF"), encoded(mask, "BMP"), array(MAP > 1)):
        assert maps.as_stored(content, coloured=False)[:, :, 0].tolist() == (MAP > 1).astype(int).tolist()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda: tiff(MAP.astype(np.float32)), "expected a map of integers, got float32"),
        (lambda: array(MAP.astype(float)), "expected a map of integers, got float64"),
        (lambda: b"rubbish", "not a picture"),
        (lambda: encoded(Image.fromarray(MAP), "PNG")[:50], "damaged or cut short"),
        (lambda: tiff(np.zeros((8200, 8200), np.uint16), compression="zlib"), "more than the 67,108,864 pixels"),
    ],
)
def test_what_is_no_map_says_so(content: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        maps.as_stored(content(), coloured=False)


def test_the_nearest_colour_is_the_one_by_brute_force() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (130, 150, 3), dtype=np.uint8)  # more colours than are compared at a time
    palette = rng.integers(0, 256, (37, 3), dtype=np.uint8)
    pixels[:20] = palette[rng.integers(0, 37, (20, 150))]
    apart = ((pixels[:, :, None].astype(int) - palette.astype(int)) ** 2).sum(-1)
    assert np.array_equal(maps.class_numbers(pixels, palette, 37), apart.argmin(-1))


def test_the_first_of_equally_near_colours_wins() -> None:
    palette = np.array([[0, 0, 0], [10, 0, 0], [20, 0, 0], [10, 0, 0]], np.uint8)
    pixels = np.array([[[5, 0, 0], [15, 0, 0], [10, 0, 0]]], np.uint8)
    assert maps.class_numbers(pixels, palette, 4).tolist() == [[0, 1, 1]]


def test_bands_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    pixels, scores = rng.integers(0, 256, (50, 9, 3), dtype=np.uint8), rng.random((50, 9, 4))
    whole = maps.class_numbers(pixels, COLOURS, 4), maps.drawn(scores, COLOURS)
    monkeypatch.setattr(maps, "BAND", 63)
    assert np.array_equal(maps.class_numbers(pixels, COLOURS, 4), whole[0])
    assert np.array_equal(maps.drawn(scores, COLOURS), whole[1])


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (np.array([[[0], [4]], [[9], [1]]], np.uint8), "from 0 to 3, got 4 at x 1, y 0, and 9 is the highest"),
        (np.array([[[0], [1]], [[-1], [1]]], np.int32), "from 0 to 3, got -1 at x 0, y 1"),
        (np.array([[[0], [300]]], np.uint16), "from 0 to 3, got 300 at x 1, y 0"),
        (np.zeros((1, 1, 5), np.uint8), "got 5 channels"),
        (np.array([[[1, 1, 1], [1, 2, 1]]], np.uint8), r"got the colour \[1, 2, 1\] at x 1, y 0"),
    ],
)
def test_a_value_that_is_no_class_is_named_with_its_place(pixels: np.ndarray, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        maps.class_numbers(pixels, None, 4)


def test_default_colours_are_pascal_voc_s_and_all_different() -> None:
    known = {0: [0, 0, 0], 1: [128, 0, 0], 15: [192, 128, 128], 20: [0, 64, 128], 255: [224, 224, 192]}
    colours = maps.colours(256)
    assert {number: colours[number].tolist() for number in known} == known
    assert len(np.unique(colours, axis=0)) == 256
    assert np.array_equal(maps.colours(5), colours[:5])


def test_colours_are_read_as_in_css() -> None:
    assert maps.rgb("#0a141e", "#FF0080").tolist() == [[10, 20, 30], [255, 0, 128]]


@pytest.mark.parametrize("classes", [2, 4, 256])
def test_one_channel_per_class_and_back(classes: int) -> None:
    numbers = np.random.default_rng(0).integers(0, classes, (9, 7)).astype(np.uint8)
    apart = maps.one_hot(numbers, classes)
    assert (apart.shape, apart.dtype) == ((9, 7, classes), np.uint8)
    assert np.array_equal(apart.argmax(2), numbers)
    assert set(np.unique(apart.astype(int).sum(2))) == {255}
    palette = maps.colours(classes)
    assert np.array_equal(maps.drawn(apart, palette), palette[numbers])
    assert np.array_equal(maps.class_numbers(maps.drawn(apart, palette), palette, classes), numbers)

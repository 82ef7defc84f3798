"""Arrays, transparency as a channel, and class numbers: what is in a file comes out of it, and goes back the same."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from i2i import images
from i2i.errors import UserError
from i2i.images import Frame, Kind, maps

from .corpus import HEIGHT, WIDTH, Translate, deep_png, encoded, frames_of, npy, tiff

RNG = np.random.default_rng(0)
EIGHT = RNG.integers(0, 256, (HEIGHT, WIDTH, 5), dtype=np.uint8)
SIXTEEN = RNG.integers(0, 65536, (HEIGHT, WIDTH, 5), dtype=np.uint16)
LEVELS = (SIXTEEN / np.float32(65535)).astype(np.float32)  # floats that 16 bits hold
ARRAYS = {
    "grey": EIGHT[..., 0],
    "rank 3": EIGHT[..., :1],
    "two": EIGHT[..., :2],
    "four": SIXTEEN[..., :4],
    "big-endian": SIXTEEN.astype(">u2"),
    "by columns": np.asfortranarray(SIXTEEN[..., :3]),
    "floats": LEVELS,
    "floats by columns, big-endian": np.asfortranarray(LEVELS[..., 0].astype(">f4")),
    "doubles": LEVELS[..., :2].astype(np.float64),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_comes_back_in_its_type_shape_and_values(name: str, same: Translate) -> None:
    array = ARRAYS[name]
    back = np.load(same(npy(array), "x.npy"), allow_pickle=False)
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert np.abs(back.astype(np.float64) - array).max() <= (1e-7 if array.dtype.kind == "f" else 0)


def test_an_array_is_seen_as_the_numbers_in_it() -> None:
    kind, (frame,) = frames_of(npy(np.asfortranarray(SIXTEEN.astype(">u2"))))
    assert (kind.format, kind.height, kind.width, kind.channels, kind.bits) == ("NPY", HEIGHT, WIDTH, 5, 16)
    assert np.array_equal(frame.pixels, SIXTEEN)
    assert np.array_equal(frames_of(npy(EIGHT[..., 0]), channels=3)[1][0].pixels, EIGHT[..., [0, 0, 0]])
    assert np.array_equal(frames_of(npy(EIGHT[..., 0] > 99))[1][0].pixels[..., 0], (EIGHT[..., 0] > 99) * 255)


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.array([[1.0, np.nan]], np.float32), "values go from nan to nan"),
        (np.array([[0, 255.0]], np.float32), "values go from 0 to 255, expected floats from 0"),
        (np.zeros((2, 2), np.int32), "expected an array of uint8, uint16, or floats .* got int32"),
        (np.zeros((2, 2), np.complex64), "got complex64"),
        (np.zeros((2, 2), [("x", "u1")]), "got"),
        (np.zeros(4, np.uint8), r"height × width .* got shape \(4,\)"),
        (np.zeros((1, 2, 2, 3), np.uint8), r"got shape \(1, 2, 2, 3\)"),
        (np.zeros((3, 2, 513), np.uint8), "512 of these at most"),
        (np.zeros((0, 2), np.uint8), "2×0 pixels are no picture"),
    ],
)
def test_an_array_that_is_no_picture_is_refused_with_its_reason(array: np.ndarray, told: str) -> None:
    with pytest.raises(UserError, match=told):
        frames_of(npy(array))


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("a pickle was run",))


def test_no_array_of_objects_is_opened() -> None:
    file = io.BytesIO()
    np.save(file, np.array([Trap()], object), allow_pickle=True)
    with pytest.raises(UserError, match="expected an array of uint8"):
        frames_of(file.getvalue())


def test_an_array_that_promises_too_much_is_refused_before_it_is_read() -> None:
    file = io.BytesIO()
    told = {"descr": "|u1", "fortran_order": False, "shape": (2**20, 2**20)}
    np.lib.format.write_array_header_1_0(file, told)
    with pytest.raises(UserError, match=r"more than the .* pixels that are read"):
        images.opened(file.getvalue())
    with pytest.raises(UserError, match="pixels are missing"):
        images.opened(npy(EIGHT)[:-1])
    with pytest.raises(UserError, match="damaged"):
        images.opened(npy(EIGHT)[:30])


def test_a_data_set_reads_and_writes_arrays(tmp_path: Path) -> None:
    images.write(tmp_path / "x.npy", EIGHT[..., :3])
    assert images.is_picture(tmp_path / "x.npy")
    assert np.array_equal(images.read(tmp_path / "x.npy"), EIGHT[..., :3])
    assert np.array_equal(np.load(tmp_path / "x.npy"), EIGHT[..., :3])


CLEAR = {
    "png": lambda a: encoded(Image.fromarray(a)),
    "webp": lambda a: encoded(Image.fromarray(a), "WEBP", lossless=True, exact=True),
    "tif": lambda a: encoded(Image.fromarray(a), "TIFF"),
}


@pytest.mark.parametrize("form", CLEAR)
def test_a_model_of_four_channels_gets_and_gives_transparency(form: str, same: Translate, tmp_path: Path) -> None:
    stored = EIGHT[..., :4]
    kind, (frame,) = frames_of(CLEAR[form](stored), channels=4)
    assert frame.alpha is None
    assert np.array_equal(frame.pixels, stored)  # also the colours of what is not seen
    with images.writer(tmp_path / f"x.{form}", kind) as writer:
        writer.add(frame)
    with Image.open(tmp_path / f"x.{form}") as back:
        assert back.mode == "RGBA"
        if form != "webp":  # a lossy one; its alpha is exact
            assert np.array_equal(np.asarray(back), stored)
        assert np.array_equal(np.asarray(back)[..., 3], stored[..., 3])


def test_a_model_of_two_channels_gets_and_gives_grey_with_transparency(tmp_path: Path) -> None:
    for stored, data in ((EIGHT[..., :2], encoded(Image.fromarray(EIGHT[..., :2]))), (SIXTEEN[..., :2], None)):
        kind, (frame,) = frames_of(data or deep_png(stored), channels=2)
        assert np.array_equal(frame.pixels, stored)
        path = tmp_path / f"{kind.bits}.png"
        with images.writer(path, kind) as writer:
            writer.add(frame)
        assert np.array_equal(frames_of(path, channels=2)[1][0].pixels, stored)
        assert frames_of(path)[0].alpha


def test_what_knows_no_transparency_is_opaque_but_a_fourth_channel_is_not_made_up() -> None:
    (frame,) = frames_of(encoded(Image.fromarray(EIGHT[..., :3])), channels=4)[1]
    assert np.array_equal(frame.pixels, np.dstack([EIGHT[..., :3], np.full((HEIGHT, WIDTH), 255, np.uint8)]))
    (frame,) = frames_of(deep_png(SIXTEEN[..., :1]), channels=4)[1]
    assert np.array_equal(frame.pixels[..., :3], SIXTEEN[..., [0, 0, 0]])
    assert (frame.pixels[..., 3] == 65535).all()
    for data in (tiff(EIGHT[..., :3], "rgb"), tiff(SIXTEEN[..., :3], "rgb"), npy(EIGHT[..., :3])):
        with pytest.raises(UserError, match="takes 4 channels, and the file has 3"):
            frames_of(data, channels=4)


def test_premultiplied_colours_are_divided_by_their_alpha() -> None:
    array = np.zeros((2, 1, 4), np.uint16)
    array[0], array[1] = (10000, 20000, 30000, 32768), (0, 0, 0, 0)
    (frame,) = frames_of(tiff(array, "rgb", extrasamples=["assocalpha"]), channels=4)[1]
    assert np.abs(frame.pixels[0, 0].astype(int) - (20000, 39999, 59999, 32768)).max() <= 1
    assert frame.pixels[1, 0].tolist() == [0, 0, 0, 0]


def test_four_channels_without_a_meaning_keep_having_none(same: Translate) -> None:
    data = tiff(SIXTEEN[..., :4], planarconfig="contig")
    path = same(data, "x.tif")
    assert np.array_equal(tifffile.imread(path), SIXTEEN[..., :4])
    with tifffile.TiffFile(path) as opened:
        assert opened.pages[0].photometric == 1
    assert not frames_of(path)[0].alpha


@pytest.mark.parametrize(
    ("suffix", "channels", "told"),
    [
        (".jpg", 4, "JPEG cannot hold 4 channels, the last of which is transparency. Use one of: .bmp .gif .npy .png"),
        (".ppm", 2, "PPM cannot hold 2 channels"),
        (".png", 5, "PNG cannot hold 5 channels. Use one of: .npy .tif .tiff"),
    ],
)
def test_what_a_format_cannot_hold_names_those_that_can(suffix: str, channels: int, told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=told), images.writer(tmp_path / f"x{suffix}", Kind("PNG", 4, 4)) as writer:
        writer.add(Frame(np.zeros((4, 4, channels), np.uint8)))
    assert not list(tmp_path.iterdir())


NUMBERS = RNG.integers(0, 5, (HEIGHT, WIDTH), dtype=np.uint8)
COLOURS = maps.rgb("#ff0000", "#00ff00", "#0000ff", "#000000", "#ffffff")


def indexed(numbers: np.ndarray, palette: np.ndarray) -> Image.Image:
    picture = Image.fromarray(numbers)
    picture.putpalette(palette.tobytes())
    return picture


@pytest.mark.parametrize(
    "data",
    {
        "grey.png": encoded(Image.fromarray(NUMBERS)),
        "deep.png": deep_png(NUMBERS[..., None].astype(np.uint16)),
        "index.png": encoded(indexed(NUMBERS, COLOURS[::-1])),
        "index.tif": encoded(indexed(NUMBERS, COLOURS[::-1]), "TIFF"),
        "index.gif": encoded(indexed(NUMBERS, COLOURS[::-1]), "GIF", optimize=False),
        "equal.png": encoded(Image.fromarray(NUMBERS).convert("RGB")),
        "deep.tif": tiff(NUMBERS.astype(np.uint16)),
        "long.npy": npy(NUMBERS.astype(np.int64)),
        "pgm": encoded(Image.fromarray(NUMBERS), "PPM"),
    }.items(),
    ids=lambda data: data[0],
)
def test_class_numbers_are_what_the_file_stores(data: tuple[str, bytes]) -> None:
    assert np.array_equal(images.read_classes(data[1], 5), NUMBERS)


def test_one_bit_is_two_classes() -> None:
    mask = NUMBERS > 2
    assert np.array_equal(images.read_classes(encoded(Image.fromarray(mask)), 2), mask)
    assert np.array_equal(images.read_classes(npy(mask), 2), mask)


def test_colours_are_the_class_whose_colour_is_nearest() -> None:
    drawn = COLOURS[NUMBERS]
    near = np.clip(drawn.astype(int) + RNG.integers(-20, 21, drawn.shape), 0, 255).astype(np.uint8)
    rotated = Image.Exif()
    rotated[0x0112] = 6
    for array, data in (
        (drawn, encoded(Image.fromarray(drawn))),
        (near, encoded(Image.fromarray(near))),
        (drawn, encoded(indexed(NUMBERS, COLOURS))),
        (drawn, deep_png(drawn.astype(np.uint16) * 257)),
        (drawn, npy(drawn)),
        (drawn, encoded(Image.fromarray(np.ascontiguousarray(np.rot90(drawn))), exif=rotated.tobytes())),
    ):
        assert array.shape == drawn.shape
        assert np.array_equal(images.read_classes(data, 5, COLOURS), NUMBERS)


def test_a_map_that_has_no_such_class_is_refused() -> None:
    with pytest.raises(UserError, match="expected class numbers from 0 to 3, got 4 at"):
        images.read_classes(encoded(Image.fromarray(NUMBERS)), 4)
    with pytest.raises(UserError, match="expected class numbers from 0 to 4, got -1"):
        images.read_classes(npy(NUMBERS.astype(np.int32) - 1), 5)
    with pytest.raises(UserError, match="JPEG changes values"):
        images.read_classes(encoded(Image.fromarray(NUMBERS), "JPEG"), 5)
    with pytest.raises(UserError, match="expected a map of integers"):
        images.read_classes(npy(LEVELS[..., 0]), 5)
    with pytest.raises(UserError, match="one picture of classes, got 5 frames"):
        images.read_classes(tiff(SIXTEEN.transpose(2, 0, 1)), 5)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".gif"])
def test_a_map_is_saved_with_its_numbers_and_their_colours(suffix: str, tmp_path: Path) -> None:
    numbers = np.where(NUMBERS == 1, 3, NUMBERS).astype(np.uint8)  # one class is nowhere in it
    kind = Kind("JPEG", WIDTH, HEIGHT, 1, palette=COLOURS.tobytes())
    with images.writer(path := tmp_path / f"x{suffix}", kind) as writer:
        writer.add(Frame(numbers[..., None]))
    with Image.open(path) as back:
        assert back.mode == "P"
        assert np.array_equal(np.asarray(back), numbers)
        assert np.array_equal(np.asarray(back.convert("RGB")), COLOURS[numbers])
    assert np.array_equal(images.read_classes(path, 5), numbers)
    assert np.array_equal(images.read_classes(path, 5, COLOURS), numbers)


def test_a_map_cannot_become_a_photograph(tmp_path: Path) -> None:
    kind = Kind("PNG", WIDTH, HEIGHT, 1, palette=COLOURS.tobytes())
    with (
        pytest.raises(UserError, match=r"JPEG cannot hold the class numbers .* Use one of: .bmp .gif .npy .png"),
        images.writer(tmp_path / "x.jpg", kind) as writer,
    ):
        writer.add(Frame(NUMBERS[..., None]))

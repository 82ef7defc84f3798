"""Between depths, numbers of channels, transparency and paper: what a model is shown, and what a file can hold."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from i2i import images
from i2i.errors import UserError
from i2i.images import Frame, Kind

from .corpus import HEIGHT, WIDTH, Translate, corpus, deep_png, encoded, frames_of, tiff

CORPUS = corpus()


def test_sixteen_bits_are_rounded_to_eight_and_spread_from_eight() -> None:
    values = np.array([[[0], [128], [129], [257], [40000], [65535]]], np.uint16)
    assert frames_of(deep_png(values), bits=8)[1][0].pixels.ravel().tolist() == [0, 0, 1, 1, 156, 255]
    ramp = np.arange(256, dtype=np.uint8)[None]
    spread = frames_of(encoded(Image.fromarray(ramp)), bits=16)[1][0].pixels
    assert np.array_equal(spread[0, :, 0], ramp[0].astype(np.uint16) * 257)


def test_deep_luma_is_that_of_pillow() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    (deep,) = frames_of(deep_png(colours.astype(np.uint16) * 257), channels=1, bits=8)[1]
    assert np.abs(deep.pixels[..., 0].astype(int) - np.asarray(Image.fromarray(colours).convert("L"))).max() <= 1
    (grey,) = frames_of(deep_png(np.full((2, 2, 3), 12345, np.uint16)), channels=1)[1]
    assert grey.pixels.tolist() == [[[12345], [12345]]] * 2


def test_floats_from_0_to_1_come_back_as_floats(same: Translate) -> None:
    values = np.linspace(0, 1, HEIGHT * WIDTH, dtype=np.float32).reshape(HEIGHT, WIDTH)
    back = tifffile.imread(same(tiff(values), "x.tif"))
    assert back.dtype == np.float32
    assert np.abs(back - values).max() <= 0.5 / 65535 + 1e-7


@pytest.mark.parametrize("wrong", [-0.1, 255.0, np.nan, np.inf])
def test_other_floats_are_refused_with_their_range(wrong: float) -> None:
    values = np.full((4, 4), 0.5, np.float32)
    values[1, 1] = wrong
    with pytest.raises(UserError, match=r"values go from .* to .*expected floats from 0 \(black\) to 1"):
        frames_of(tiff(values))


def test_any_number_of_channels_is_kept_and_none_is_invented(same: Translate, tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (HEIGHT, WIDTH, 5), dtype=np.uint16)
    data = tiff(values, planarconfig="contig")
    assert np.array_equal(tifffile.imread(same(data, "x.tif")), values)
    with pytest.raises(UserError, match="takes 3 channels, and the file has 5"):
        frames_of(data, channels=3)
    with pytest.raises(UserError, match=r"cannot hold 5 channels. Use one of: .npy .tif"):
        same(data, "x.png")
    assert not (tmp_path / "x.png").exists()


def test_a_model_of_four_channels_takes_what_the_file_calls_alpha() -> None:
    values = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 4), dtype=np.uint8)
    for array in (values, values.astype(np.uint16) * 257):
        (frame,) = frames_of(tiff(array, "rgb", extrasamples=["unassalpha"]), channels=4)[1]
        assert np.array_equal(frame.pixels, array)
        assert frame.alpha is None


def test_what_is_half_there_looks_the_same_on_white(same: Translate) -> None:
    """The model saw the colours on white; under their alpha they must look on white as it left them."""
    rng = np.random.default_rng(0)
    clear = rng.integers(0, 256, (64, 64, 4), dtype=np.uint8)
    path = same(encoded(Image.fromarray(clear)), "x.png")
    assert np.abs(images.read(path).astype(int) - images.read(encoded(Image.fromarray(clear)))).max() <= 1
    back = np.asarray(Image.open(path))
    assert np.array_equal(back[..., 3], clear[..., 3])
    solid, opaque = clear[..., 3] > 128, clear[..., 3] == 255
    assert np.array_equal(back[opaque], clear[opaque])
    assert np.abs(back[solid].astype(int) - clear[solid]).max() <= 1  # and the hidden colours are found again


def test_premultiplied_alpha_is_understood() -> None:
    array = np.array([[[10000, 20000, 0, 32768], [0, 0, 0, 0], [1, 2, 3, 65535]]], np.uint16)
    (frame,) = frames_of(tiff(array, "rgb", extrasamples=["assocalpha"]))[1]
    assert frame.pixels.tolist() == [[[42767, 52767, 32767], [65535] * 3, [1, 2, 3]]]


@pytest.mark.parametrize("name", ["x.jpg", "x.ppm"])
def test_where_there_is_no_alpha_it_is_laid_on_white(name: str, same: Translate) -> None:
    clear = np.zeros((8, 8, 4), np.uint8)
    assert images.read(same(encoded(Image.fromarray(clear)), name)).min() > 250


def test_what_a_target_cannot_hold_is_reduced_or_refused(same: Translate, tmp_path: Path) -> None:
    deep = CORPUS["deep_colour.png"]
    assert frames_of(same(deep, "x.bmp"))[0].bits == 8
    expected = frames_of(deep, bits=8)[1][0].pixels
    assert np.array_equal(images.read(tmp_path / "x.bmp"), expected)
    assert frames_of(same(CORPUS["float.tif"], "f.png"))[0].bits == 16
    with pytest.raises(UserError, match=r"JPEG holds one picture, and this is 4 frames. Use one of: .gif .png"):
        same(CORPUS["moving.gif"], "y.jpg")
    with pytest.raises(UserError, match="WEBP can say"):
        same(encoded(Image.new("L", (17000, 1))), "wide.webp")
    assert {path.name for path in tmp_path.iterdir()} == {"x.bmp", "f.png"}


def test_the_writer_takes_other_channels_than_the_file_had(tmp_path: Path) -> None:
    for channels, name in ((1, "a.png"), (3, "b.jpg"), (1, "c.gif"), (3, "d.pgm"), (1, "e.webp"), (3, "f.tif")):
        kind = Kind("PNG", 4, 3, channels=4 - channels)
        with images.writer(tmp_path / name, kind) as writer:
            writer.add(Frame(np.full((3, 4, channels), 200, np.uint8)))
        assert np.abs(images.read(tmp_path / name, channels).astype(int) - 200).max() < 3


def test_pages_of_different_sizes_are_refused_and_previews_skipped() -> None:
    def two(kind: int) -> bytes:
        file = io.BytesIO()
        with tifffile.TiffWriter(file) as out:
            out.write(np.zeros((8, 8), np.uint8), photometric="minisblack")
            out.write(np.zeros((4, 4), np.uint8), photometric="minisblack", subfiletype=kind)
        return file.getvalue()

    assert images.opened(two(1)).kind.frames == 1
    with pytest.raises(UserError, match=r"its pages differ: the first is 8×8.*number 2 is 4×4"):
        images.opened(two(0))


def test_white_is_zero_is_turned_round(same: Translate) -> None:
    values = np.array([[0, 1000, 65535]], np.uint16)
    (frame,) = frames_of(tiff(values, "miniswhite"))[1]
    assert frame.pixels.ravel().tolist() == [65535, 64535, 0]


def test_deep_cmyk_is_read_at_8_bits_and_says_so() -> None:
    inks = np.zeros((4, 4, 4), np.uint16)
    inks[..., 1] = 65535
    with images.opened(tiff(inks, "separated")) as reader:
        assert (reader.kind.channels, reader.kind.bits) == (3, 8)
        magenta = next(reader.frames(3)).pixels[0, 0].tolist()
    assert magenta[0] > 200
    assert magenta[1] < 60


def test_a_tiff_that_no_library_at_hand_unpacks_says_what_to_do() -> None:
    whole = bytearray(CORPUS["five.tif"])
    at = whole.index(np.array([259, 3], "<u2").tobytes())
    whole[at + 8] = 5  # LZW
    with pytest.raises(UserError, match="compression number 5 are not read; save it without compression, or as def"):
        frames_of(bytes(whole))


@pytest.mark.parametrize("kind", [np.int16, np.uint32, np.int8])
def test_samples_without_an_agreed_white_are_refused(kind: type) -> None:
    with pytest.raises(UserError, match="have no agreed white; save it with 8 or 16 bits a channel"):
        images.opened(tiff(np.zeros((4, 4), kind)))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".bmp", ".gif", ".ppm", ".npy"])
def test_every_kind_goes_into_every_format_or_is_refused(suffix: str, same: Translate) -> None:
    """And what has gone in looks as before: exactly, or as near as JPEG and palettes can."""
    refused = {}
    for name, data in CORPUS.items():
        try:
            path = same(data, f"{name}{suffix}")
        except UserError as problem:
            refused[name] = str(problem)
            continue
        (_, before), (kind, after) = frames_of(data, bits=8), frames_of(path, bits=8)
        assert kind.format == images.WRITABLE[suffix]
        assert len(before) == len(after)
        if before[0].pixels.shape != after[0].pixels.shape:  # a GIF has no grey, an array no alpha beside its channels
            continue
        seen = after[0].alpha is None or after[0].alpha > 0
        difference = np.abs(before[0].pixels.astype(int) - after[0].pixels)[seen]
        assert difference.max() <= (1 if suffix in (".png", ".tif", ".bmp", ".ppm", ".npy") else 255), name
        if suffix in (
            ".jpg",
            ".gif",
        ):  # the corpus is noise, and WebP has half of JPEG's colour here: no use to compare
            assert difference.mean() < 40, name
    moving = {name for name in CORPUS if images.opened(CORPUS[name]).kind.frames != 1}
    many = {name for name in CORPUS if images.opened(CORPUS[name]).kind.channels == 5}
    holds = images.WRITABLE[suffix]
    assert all(re.search("cannot hold 5 channels|holds one picture", said) for said in refused.values())
    still = ("JPEG", "BMP", "PPM", "NPY")
    assert set(refused) == (set() if holds in ("TIFF", "NPY") else many) | (moving if holds in still else set())

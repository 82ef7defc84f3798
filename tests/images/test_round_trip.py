"""What goes through a translation that changes nothing comes back as it was: pixels, depth, alpha, frames, times."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from i2i import images
from i2i.errors import UserError
from i2i.images import Frame, Kind

from .corpus import HEIGHT, WIDTH, corpus, deep_png, encoded, tiff

CORPUS = corpus()
LOSSY = {"colour.jpg", "grey.jpg", "progressive.jpg", "cmyk.jpg", "phone.jpg", "lossy.webp"}
Translate = Callable[..., Path]


def frames_of(source: Path | bytes, channels: int | None = None, bits: int | None = None) -> tuple[Kind, list[Frame]]:
    with images.opened(source) as reader:
        kind = reader.kind
        return kind, list(reader.frames(channels or kind.channels, bits or (16 if kind.bits > 8 else 8)))


@pytest.fixture
def same(tmp_path: Path) -> Translate:
    """same(bytes, name): the file that a translation without changes makes of it."""

    def translate(data: bytes, name: str, channels: int | None = None, bits: int | None = None, **how: object) -> Path:
        with images.opened(data) as reader, images.writer(tmp_path / name, reader.kind, **how) as writer:
            kind = reader.kind
            for frame in reader.frames(channels or kind.channels, bits or (16 if kind.bits > 8 else 8)):
                writer.add(frame)
        return tmp_path / name

    return translate


def bare(kind: Kind) -> Kind:
    return replace(kind, info={})


@pytest.mark.parametrize("name", sorted(CORPUS))
def test_the_same_kind_comes_out(name: str, same: Translate) -> None:
    kind, before = frames_of(CORPUS[name])
    made, after = frames_of(same(CORPUS[name], name))
    assert bare(made) == bare(kind)
    assert [frame.duration for frame in after] == [frame.duration for frame in before]
    for one, other in zip(before, after, strict=True):
        difference = np.abs(one.pixels.astype(int) - other.pixels)
        assert difference.max() <= (40 if name in LOSSY else 0), f"{difference.max()} of {one.pixels.dtype}"
        assert (one.alpha is None) == (other.alpha is None)
        assert one.alpha is None or np.array_equal(one.alpha, other.alpha)


def test_the_corpus_has_every_format_and_the_name_never_decides() -> None:
    forms = {images.opened(data).kind.format for data in CORPUS.values()}
    assert forms == set(images.FORMATS) == set(images.WRITABLE.values())
    assert {images.opened(data).kind.bits for data in CORPUS.values()} == {8, 16, 32}


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("form", ["png", "tif"])
def test_every_one_of_sixteen_bits_survives(channels: int, form: str, same: Translate) -> None:
    values = np.random.default_rng(channels).integers(0, 65536, (HEIGHT, WIDTH, channels), dtype=np.uint16)
    opaque = values.copy()
    if channels in (2, 4):
        opaque[..., -1] = 65535
    others = ["unassalpha"] if channels in (2, 4) else None
    stored = opaque if channels > 1 else opaque[..., 0]
    data = deep_png(opaque) if form == "png" else tiff(
        stored, "rgb" if channels > 2 else "minisblack", extrasamples=others,
        planarconfig="contig" if channels > 1 else None)  # fmt: skip
    path = same(data, f"x.{form}")
    if form == "tif":
        assert np.array_equal(tifffile.imread(path), stored)
    else:
        read = cv2.imread(str(path), cv2.IMREAD_UNCHANGED).reshape(HEIGHT, WIDTH, -1)
        order = {1: [0], 2: [0, 3], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[channels]
        assert np.array_equal(read[..., order], opaque)


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
    with pytest.raises(UserError, match=r"holds 1 or 3 channels, and here are 5\. Use .tif"):
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


@pytest.mark.parametrize("form", ["gif", "png", "webp"])
def test_animations_change_into_each_other(form: str, same: Translate) -> None:
    """Frames, times and the number of rounds, as another decoder (OpenCV's; FFmpeg says the same of GIFs) sees them."""
    before = frames_of(CORPUS["moving_alpha.webp"])[1]
    path = same(CORPUS["moving_alpha.webp"], f"x.{form}")
    kind, after = frames_of(path)
    assert (kind.frames, kind.loop) == (4, 3)
    for one, other in zip(before, after, strict=True):
        assert np.array_equal(one.pixels, other.pixels)
        assert np.array_equal(one.alpha, other.alpha)
        assert one.duration == other.duration
    if form != "gif":  # OpenCV does not clear a GIF's canvas that has no palette for all frames
        seen = cv2.imdecodeanimation(np.frombuffer(path.read_bytes(), np.uint8))[1]
        for one, other in zip(before, seen.frames, strict=True):
            assert np.array_equal(one.alpha, other[..., 3])
            assert np.array_equal(one.pixels[one.alpha > 0], other[..., 2::-1][one.alpha > 0])
        assert [int(time) for time in seen.durations] == [50, 100, 200, 40]


def test_frames_are_composited_as_the_file_says() -> None:
    """A red canvas; then a blue dot on it; then the dot is taken back and a green one put elsewhere."""
    red, blue, green = (Image.new("RGBA", (4, 4), c) for c in ((255, 0, 0, 255), (0, 0, 0, 0), (0, 0, 0, 0)))
    blue.putpixel((0, 0), (0, 0, 255, 255))
    green.putpixel((3, 3), (0, 255, 0, 255))
    told = {"save_all": True, "append_images": [blue, green], "duration": 50}
    data = encoded(red, "PNG", disposal=[0, 2, 0], blend=1, **told)
    first, second, third = (frame.pixels for frame in frames_of(data)[1])
    assert (first == [255, 0, 0]).all()
    assert second[0, 0].tolist() == [0, 0, 255]
    assert (second[1:] == [255, 0, 0]).all()
    assert third[3, 3].tolist() == [0, 255, 0]
    assert third[1, 1].tolist() == [255, 0, 0]


def test_a_stand_in_picture_is_no_frame(same: Translate) -> None:
    frames = [Image.new("RGB", (4, 4), (value, 0, 0)) for value in (10, 20, 30)]
    data = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:], default_image=True)
    assert [int(frame.pixels[0, 0, 0]) for frame in frames_of(data)[1]] == [20, 30]


def test_a_gif_s_rounded_times_add_up(tmp_path: Path) -> None:
    """30 frames a second in hundredths of a second: 30, 40, 30 ms, not 30 each."""
    with images.writer(tmp_path / "x.gif", Kind("MP4", 2, 2, frames=None, fps=30)) as writer:
        for value in range(30):
            writer.add(Frame(np.full((2, 2, 3), value, np.uint8), duration=1000 / 30))
    kind, frames = frames_of(tmp_path / "x.gif")
    assert kind.loop == 0
    assert sum(frame.duration for frame in frames) == 1000
    assert {frame.duration for frame in frames} == {30, 40}


def test_a_gif_of_many_colours_keeps_them_near(tmp_path: Path) -> None:
    y, x = np.mgrid[0:64, 0:64].astype(np.uint8) * 4
    colours = np.dstack([x, y, x // 2 + y // 2])
    with images.writer(tmp_path / "x.gif", Kind("GIF", 64, 64)) as writer:
        writer.add(Frame(colours))
    assert np.abs(images.read(tmp_path / "x.gif").astype(int) - colours).mean() < 8


def test_pages_of_different_sizes_are_refused_and_previews_skipped() -> None:
    def two(kind: int) -> bytes:
        file = io.BytesIO()
        with tifffile.TiffWriter(file) as out:
            out.write(np.zeros((8, 8), np.uint8), photometric="minisblack")
            out.write(np.zeros((4, 4), np.uint8), photometric="minisblack", subfiletype=kind)
        return file.getvalue()

    assert images.opened(two(1)).kind.frames == 1
    with pytest.raises(UserError, match="its pages differ: the first is 8×8.*number 2 is 4×4"):
        images.opened(two(0))


def test_white_is_zero_is_turned_round(same: Translate) -> None:
    values = np.array([[0, 1000, 65535]], np.uint16)
    (frame,) = frames_of(tiff(values, "miniswhite"))[1]
    assert frame.pixels.ravel().tolist() == [65535, 64535, 0]


@pytest.mark.parametrize("name", ["a.tiff", "b.GIF", "c.pgm", "d.mp4", "sub/e.JPG"])
def test_a_target_is_called_like_its_source(name: str) -> None:
    assert images.target_name(name) == Path(name)
    assert images.target_name(Path(name).with_suffix(".xyz")).suffix == ".png"


def test_pictures_and_videos_are_media() -> None:
    assert images.is_media("a.mp4")
    assert images.is_media("a.gif")
    assert not images.is_picture("a.mp4")
    assert not images.is_media("._a.mp4")
    assert not images.is_media("a.txt")

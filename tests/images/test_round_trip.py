"""What goes through a translation that changes nothing comes back as it was: pixels, depth, alpha, frames, times."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from i2i import images
from i2i.images import Frame, Kind

from .corpus import HEIGHT, WIDTH, Translate, corpus, deep_png, encoded, frames_of, tiff

CORPUS = corpus()
LOSSY = {"colour.jpg", "grey.jpg", "progressive.jpg", "cmyk.jpg", "phone.jpg", "lossy.webp"}


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
        seen = cv2.imreadanimation(str(path))[1]
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

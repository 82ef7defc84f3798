"""Files that lie about what they are or how large they are get a message, in little time and little memory."""

import contextlib
import io
import struct
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from i2i import images
from i2i.errors import UserError
from i2i.images import Frame, formats, gif, png

from .corpus import corpus, deep_png, encoded, tiff

CORPUS = corpus()
BOMB = zlib.compress(bytes(2**27), 9)  # 128 MB in 130 kB


def walk(data: bytes | Path, **how: int) -> list[Frame]:
    with images.opened(data, **how) as reader:
        return list(reader.frames(reader.kind.channels))


@contextlib.contextmanager
def cheaply(megabytes: int = 40, seconds: float = 5.0) -> Iterator[None]:
    tracemalloc.start()
    began = time.process_time()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1] / 2**20
    finally:
        tracemalloc.stop()
    assert peak < megabytes, f"{peak:.0f} MB"
    assert time.process_time() - began < seconds


def header(width: int, height: int, bits: int = 8, colour: int = 2) -> bytes:
    return png.chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))


def png_of(*chunks: bytes) -> bytes:
    return png.SIGNATURE + b"".join(chunks) + png.chunk(b"IEND", b"")


PIXEL = png.chunk(b"IDAT", zlib.compress(bytes(4)))

HUGE = {
    "png": png_of(header(20000, 20000), PIXEL),
    "png 16": png_of(header(20000, 20000, 16), PIXEL),
    "png beyond all": png_of(header(2**31 - 1, 2**31 - 1), PIXEL),
    "jpeg": CORPUS["grey.jpg"].replace(struct.pack(">HH", 13, 17), struct.pack(">HH", 65000, 65000)),
    "bmp": CORPUS["colour.bmp"].replace(struct.pack("<ii", 17, 13), struct.pack("<ii", 30000, 30000)),
    "ppm": b"P6 60000 60000 255\n" + bytes(100),
    "ppm 16": b"P6 60000 60000 65535\n" + bytes(100),
    "gif": b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + CORPUS["still.gif"][13:],
    "gif frame": b"GIF89a\1\0\1\0\0\0\0," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\2\1\0\0;",
    "tiff": CORPUS["grey.tif"].replace(struct.pack("<HII", 4, 1, 17), struct.pack("<HII", 4, 1, 2**31)),
    "tiff 16": CORPUS["deep_grey.tif"].replace(struct.pack("<HII", 4, 1, 17), struct.pack("<HII", 4, 1, 2**31)),
}


@pytest.mark.parametrize("kind", sorted(HUGE))
def test_what_is_too_large_is_refused_before_it_is_decoded(kind: str) -> None:
    assert HUGE[kind] not in CORPUS.values()
    with cheaply(), pytest.raises(UserError, match=r"pixels that are read; .*max_pixels"):
        walk(HUGE[kind])


def test_the_canvas_of_a_webp_is_known_before_its_decoder_is_made() -> None:
    body = b"VP8X" + struct.pack("<IB3x", 10, 2) + (16382).to_bytes(3, "little") * 2
    bomb = b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body + CORPUS["lossless.webp"][12:]
    assert formats.webp_header(io.BytesIO(bomb))[:2] == (16383, 16383)
    with cheaply(), pytest.raises(UserError, match="16383×16383 is more than"):
        walk(bomb, max_pixels=2**27)
    for name in ("lossy", "lossless", "alpha", "moving"):
        with images.opened(CORPUS[f"{name}.webp"]) as reader:
            turned = (
                (reader.kind.height, reader.kind.width) if name == "lossy" else (reader.kind.width, reader.kind.height)
            )
            assert formats.webp_header(io.BytesIO(CORPUS[f"{name}.webp"]))[:2] == turned


def test_the_limit_counts_all_frames_and_can_be_raised_or_lowered() -> None:
    for name in ("moving.gif", "moving.png", "moving.webp", "stack.tif", "deep_stack.tif"):
        with images.opened(CORPUS[name]) as reader:
            pixels = reader.kind.width * reader.kind.height * (reader.kind.frames or 0)
        assert walk(CORPUS[name], max_pixels=pixels)
        with pytest.raises(UserError, match=r"17×13 in \d frames is more than the"):
            images.opened(CORPUS[name], max_pixels=pixels - 1)
    with images.opened(HUGE["png"], max_pixels=20000**2) as reader:
        assert reader.kind.width == 20000


def test_frames_without_end_are_refused() -> None:
    many = b"GIF89a\1\0\1\0\0\0\0" + (b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\2\1\0\0") * 100_000 + b";"
    claims = png.chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))
    whole = CORPUS["moving.png"]
    at = whole.index(b"acTL") - 4
    for data in (many, whole[:at] + claims + whole[at + 20 :]):
        with cheaply(), pytest.raises(UserError, match="frames are more than the 65,536 that are read"):
            walk(data)


def test_frames_that_were_promised_and_are_missing_are_told() -> None:
    whole = CORPUS["moving.png"]
    at = whole.index(b"acTL") - 4
    with pytest.raises(UserError, match="damaged or cut short"):
        walk(whole[:at] + png.chunk(b"acTL", struct.pack(">II", 9, 0)) + whole[at + 20 :])


def test_a_gif_is_counted_as_its_decoder_counts() -> None:
    for name in ("moving.gif", "moving_alpha.gif", "still.gif"):
        data = CORPUS[name]
        with Image.open(io.BytesIO(data)) as picture:
            assert gif.extent(io.BytesIO(data), 100) == (picture.n_frames, *picture.size)  # type: ignore[attr-defined]
            stray = data[:-1] + b"\0\0stray\0" + data[data.index(b",") :]
            again = Image.open(io.BytesIO(stray))
            assert gif.extent(io.BytesIO(stray), 100)[0] == again.n_frames  # type: ignore[attr-defined]


def test_a_frame_beyond_its_canvas_is_cut(tmp_path: Path) -> None:
    data = bytearray(CORPUS["moving.gif"])
    last = data.rindex(struct.pack("<HHHH", 0, 0, 17, 13))
    data[last : last + 4] = struct.pack("<HH", 5, 5)
    assert {frame.pixels.shape for frame in walk(bytes(data))} == {(13, 17, 3)}


@pytest.mark.parametrize("kind", [b"zTXt", b"iCCP", b"iTXt"])
@pytest.mark.parametrize("bits", [8, 16])
def test_words_and_profiles_that_unpack_to_gigabytes_do_not(kind: bytes, bits: int) -> None:
    words = b"x\0\1\0\0\0" + BOMB if kind == b"iTXt" else b"x\0\0" + BOMB
    whole = deep_png(np.zeros((4, 4, 3), np.uint16)) if bits == 16 else encoded(Image.new("RGB", (4, 4)))
    bomb = whole[:33] + png.chunk(kind, words) + whole[33:]
    with cheaply(), contextlib.suppress(UserError):
        walk(bomb)


@pytest.mark.parametrize("bits", [8, 16])
def test_pixels_that_unpack_to_more_than_the_picture_are_cut_off(bits: int) -> None:
    with cheaply(), contextlib.suppress(UserError):
        assert walk(png_of(header(1, 1, bits), png.chunk(b"IDAT", BOMB)))[0].pixels.shape == (1, 1, 3)


def test_a_strip_that_unpacks_to_more_than_its_pixels_is_refused() -> None:
    whole = tiff(np.zeros((8, 8, 5), np.uint8), planarconfig="contig", compression="zlib")
    with tifffile.TiffFile(io.BytesIO(whole)) as opened:
        tags = opened.pages[0].tags
        offset, count = tags["StripOffsets"].valueoffset, tags["StripByteCounts"].valueoffset
    bomb = bytearray(whole) + BOMB
    struct.pack_into("<I", bomb, offset, len(whole))
    struct.pack_into("<I", bomb, count, len(BOMB))
    with cheaply(), pytest.raises(UserError, match="unpacks to more than its pixels"):
        walk(bytes(bomb))


def test_a_tiff_whose_pages_go_round_in_circles_ends() -> None:
    whole = bytearray(CORPUS["deep_grey.tif"])
    first = struct.unpack_from("<I", whole, 4)[0]
    count = struct.unpack_from("<H", whole, first)[0]
    struct.pack_into("<I", whole, first + 2 + 12 * count, first)
    with cheaply():
        assert len(walk(bytes(whole))) == 1


def test_a_tiff_without_all_of_its_strips_is_told_and_not_painted_black() -> None:
    whole = bytearray(CORPUS["grey.tif"])
    at = whole.index(struct.pack("<HHI", 257, 4, 1))
    struct.pack_into("<I", whole, at + 8, 5000)
    with pytest.raises(UserError, match="pixels are missing"):
        walk(bytes(whole))


def test_a_wrong_checksum_of_a_deep_png_is_named() -> None:
    whole = bytearray(CORPUS["deep_colour.png"])
    whole[whole.index(b"IDAT") + 20] ^= 1
    with pytest.raises(UserError, match="wrong checksum in IDAT"):
        walk(bytes(whole))


@pytest.mark.parametrize("name", sorted(CORPUS))
def test_half_a_file_is_told(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(CORPUS[name][: len(CORPUS[name]) // 2])
    with pytest.raises(UserError, match=f"{name}: .*(damaged or cut short|no picture|pixels that are read)"):
        walk(path)


def test_what_is_no_picture_is_named(tmp_path: Path) -> None:
    for name, data, said in (
        ("empty.png", b"", "got 0 bytes"),
        ("text.png", b"<svg>", "not a picture"),
        ("script.png", b"%!PS-Adobe-3.0 EPSF-3.0", "not a picture"),
        ("layers.png", b"8BPS\0\1" + bytes(20), "not a picture"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=f"{name}: .*{said}"):
            images.opened(tmp_path / name)
    for name, said in (("absent.png", "no such file"), (".", "a folder"), ("a\0b.png", "NUL|null|no such file")):
        with pytest.raises(UserError, match=said):
            images.opened(tmp_path / name)


def test_a_wrong_suffix_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").write_bytes(CORPUS["deep_colour.png"])
    with images.opened(tmp_path / "x.jpg") as reader:
        assert (reader.kind.format, reader.kind.bits) == ("PNG", 16)


def test_the_process_s_own_limits_and_log_levels_are_left_alone() -> None:
    logging = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging  # OpenCV 4, and 5
    before = Image.MAX_IMAGE_PIXELS, logging.getLogLevel()
    walk(CORPUS["deep_lzw.tif"])
    walk(CORPUS["deep_colour.png"])
    assert (Image.MAX_IMAGE_PIXELS, logging.getLogLevel()) == before


def test_want_of_memory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("i2i.images.reading.seen", none)
    with pytest.raises(UserError, match="not enough memory"):
        walk(CORPUS["colour.png"])

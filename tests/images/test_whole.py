"""Whatever a camera, a scanner or a stranger saved, `read` gives the pixels a person sees, or says what is wrong."""

import contextlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from i2i import images
from i2i.errors import UserError

ROTATIONS = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.transpose(1, 0, 2),
    6: lambda x: np.rot90(x, 1),
    7: lambda x: x[::-1, ::-1].transpose(1, 0, 2),
    8: lambda x: np.rot90(x, -1),
}


def encoded(picture: Image.Image, form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


@pytest.fixture
def colours() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_comes_out_upright(orientation: int, colours: np.ndarray) -> None:
    stored = np.ascontiguousarray(ROTATIONS[orientation](colours))
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(images.read(encoded(Image.fromarray(stored), exif=exif)), colours)


def test_deep_grey_is_rescaled_not_clipped() -> None:
    values = np.array([[0, 257, 40000, 65535]], np.uint16)
    assert images.read(encoded(Image.fromarray(values)), 1)[0, :, 0].tolist() == [0, 1, 156, 255]
    assert images.read(encoded(Image.fromarray(values)), 3).shape == (1, 4, 3)


def test_grey_beyond_sixteen_bits_is_refused() -> None:
    with pytest.raises(UserError, match="16 bits"):
        images.read(encoded(Image.fromarray(np.array([[0.5, 1e6]], np.float32)), "TIFF"))


def test_palette_and_one_bit_pictures_keep_their_colours() -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 200, 100, 50])
    palette.putpixel((1, 0), 1)
    assert images.read(encoded(palette)).tolist() == [[[10, 20, 30], [200, 100, 50]]]
    assert images.read(encoded(Image.new("1", (2, 1), 1)), 1).tolist() == [[[255], [255]]]


def test_transparency_lies_on_white() -> None:
    alpha = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 128]]], np.uint8)
    assert images.read(encoded(Image.fromarray(alpha))).tolist() == [[[255, 0, 0], [255, 255, 255], [127, 127, 127]]]
    assert images.read(encoded(Image.fromarray(alpha).convert("LA")))[0, 1].tolist() == [255, 255, 255]
    keyed = encoded(Image.new("RGB", (1, 1), (1, 2, 3)), transparency=(1, 2, 3))
    assert images.read(keyed).tolist() == [[[255, 255, 255]]]


def test_cmyk_becomes_rgb() -> None:
    assert images.read(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100))[4, 4, 0] > 240


def test_a_colour_profile_is_applied_and_a_broken_one_ignored() -> None:
    swapped = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()  # made for another mode
    picture = Image.new("RGB", (1, 1), (90, 120, 30))
    for profile in (b"rubbish", swapped, ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()):
        assert np.abs(images.read(encoded(picture, icc_profile=profile)).astype(int) - [[[90, 120, 30]]]).max() <= 1
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")  # exchange the primaries red and green
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    turned = images.read(encoded(Image.new("RGB", (1, 1), (200, 0, 0)), icc_profile=bytes(profile)))[0, 0]
    assert turned[1] > 150 > turned[0]


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_an_animation_gives_its_first_frame(form: str) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ((255, 0, 0), (0, 0, 255))]
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:])
    assert np.abs(images.read(data).astype(int) - [255, 0, 0]).max() < 12


def test_a_phone_s_two_picture_jpeg_is_read() -> None:
    data = encoded(Image.new("RGB", (8, 8), (9, 9, 9)), "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))])
    assert images.read(data).shape == (8, 8, 3)


def test_grey_of_a_grey_picture_is_exact() -> None:
    ramp = np.arange(256, dtype=np.uint8)[None]
    assert np.array_equal(images.read(encoded(Image.fromarray(ramp)), 3), np.repeat(ramp[:, :, None], 3, 2))
    assert np.array_equal(images.read(encoded(Image.fromarray(ramp)), 1)[:, :, 0], ramp)


def test_what_is_no_picture_is_named(tmp_path: Path, colours: np.ndarray) -> None:
    whole = encoded(Image.fromarray(colours))
    for name, data, said in (
        ("cut.png", whole[: len(whole) // 2], "damaged or cut short"),
        ("empty.png", b"", "0 bytes"),
        ("text.png", b"not pixels", "not a picture"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=f"{name}.*{said}"):
            images.read(tmp_path / name)
    with pytest.raises(UserError, match="no such file"):
        images.read(tmp_path / "absent.png")
    with pytest.raises(UserError, match="a folder"):
        images.read(tmp_path)


def test_a_format_outside_the_list_stays_shut() -> None:
    with pytest.raises(UserError, match="not a picture"):
        images.read(encoded(Image.new("RGB", (4, 4)), "PCX"))


@pytest.mark.parametrize("size", [(9000, 9000), (60000, 60000)])
def test_a_bomb_is_refused_before_it_is_decoded(size: tuple[int, int]) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    with pytest.raises(UserError, match="67,108,864 pixels"):
        images.read(bomb)


@pytest.mark.filterwarnings("ignore")
def test_mutated_files_never_raise_anything_else(colours: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    for form in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"):
        whole = np.frombuffer(encoded(Image.fromarray(colours), form), np.uint8)
        for _ in range(60):
            data = whole.copy()
            data[rng.integers(len(data), size=3)] = rng.integers(256, size=3)
            with contextlib.suppress(UserError):
                assert images.read(data.tobytes()).dtype == np.uint8


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (5, 7, 3)])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_lossless_files_give_back_what_was_written(suffix: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    array = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    images.write(tmp_path / "new" / f"x{suffix}", array)
    channels = shape[2] if len(shape) == 3 else 1
    assert np.array_equal(images.read(tmp_path / "new" / f"x{suffix}", channels), array.reshape(5, 7, channels))


def test_jpeg_quality_is_obeyed(tmp_path: Path, colours: np.ndarray) -> None:
    images.write(tmp_path / "good.jpg", colours)
    images.write(tmp_path / "poor.jpg", colours, quality=10)
    good, poor = (
        np.abs(images.read(tmp_path / name).astype(int) - colours).mean() for name in ("good.jpg", "poor.jpg")
    )
    assert good < 10 < poor


def test_nothing_is_overwritten_without_force(tmp_path: Path, colours: np.ndarray) -> None:
    images.write(tmp_path / "x.png", colours)
    with pytest.raises(UserError, match="exists already"):
        images.write(tmp_path / "x.png", 255 - colours)
    assert np.array_equal(images.read(tmp_path / "x.png"), colours)
    images.write(tmp_path / "x.png", 255 - colours, force=True)
    assert np.array_equal(images.read(tmp_path / "x.png"), 255 - colours)


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(
    tmp_path: Path, colours: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    images.write(tmp_path / "x.png", colours)

    def fails(self: Image.Image, file: io.BytesIO, *args: object, **options: object) -> None:
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fails)
    with pytest.raises(OSError, match="disk full"):
        images.write(tmp_path / "x.png", colours, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]
    assert np.array_equal(images.read(tmp_path / "x.png"), colours)


def test_wrong_suffix_or_array_is_refused(tmp_path: Path, colours: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"cannot write '\.txt'"):
        images.write(tmp_path / "x.txt", colours)
    with pytest.raises(ValueError, match="float64"):
        images.write(tmp_path / "x.png", colours / 255)


def test_hidden_and_foreign_files_are_no_pictures() -> None:
    assert images.is_picture("a/b.JPG")
    assert not images.is_picture("a/._b.jpg")
    assert not images.is_picture("notes.txt")

"""Upright pixels, and of what a file says besides only what may go along."""

import io
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from i2i import images
from i2i.images import png

from .corpus import corpus, deep_png, encoded, tiff
from .test_whole import ROTATIONS

CORPUS = corpus()
XMP = b'<x:xmpmeta><rdf:Description tiff:Orientation="6" dc:creator="Ada"/></x:xmpmeta>'


def translated(data: bytes, path: Path, **how: object) -> bytes:
    with images.opened(data) as reader, images.writer(path, reader.kind, force=True, **how) as writer:
        for frame in reader.frames(reader.kind.channels, 16 if reader.kind.bits > 8 else 8):
            writer.add(frame)
    return path.read_bytes()


def stored_as(form: str, array: np.ndarray, orientation: int) -> bytes:
    """Pixels with an EXIF orientation, in one of the ways that files say it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    if form == "deep.png":
        return deep_png(array.astype(np.uint16) * 257, (png.chunk(b"eXIf", exif.tobytes()[6:]),))
    if form == "deep.tif":
        return tiff(array.astype(np.uint16) * 257, "rgb", extratags=[(0x0112, 3, 1, orientation, True)])
    if form == "late.png":  # behind the pixels
        whole = encoded(Image.fromarray(array))
        return whole[:-12] + png.chunk(b"eXIf", exif.tobytes()[6:]) + whole[-12:]
    if form == "xmp.png":
        notes = PngInfo()
        notes.add_itxt("XML:com.adobe.xmp", XMP.decode().replace("6", str(orientation)))
        return encoded(Image.fromarray(array), pnginfo=notes)
    options = {"lossless": True} if form == "WEBP" else {}
    return encoded(Image.fromarray(array), form, exif=exif, **options)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP", "deep.png", "deep.tif", "late.png", "xmp.png"])
def test_upright_pixels_come_out_and_go_in_once(form: str, orientation: int, tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    data = stored_as(form, np.ascontiguousarray(ROTATIONS[orientation](colours)), orientation)
    with images.opened(data) as reader:
        (frame,) = reader.frames(3)
        assert np.array_equal(frame.pixels, colours)
        assert (reader.kind.width, reader.kind.height) == (7, 5)
        suffix = {"TIFF": "tif", "deep.tif": "tif", "WEBP": "webp"}.get(form, "png")
    for choice in ("drop", "keep"):
        again = images.opened(translated(data, tmp_path / f"x.{suffix}", metadata=choice))
        assert np.array_equal(next(again.frames(3)).pixels, colours)


def test_by_default_nothing_is_told_about_person_or_camera(tmp_path: Path) -> None:
    for name in ("colour.jpg", "colour.png", "colour.tif", "lossy.webp", "still.gif"):
        whole = translated(CORPUS[name], tmp_path / name)
        picture = Image.open(io.BytesIO(whole))
        assert 0x010E not in picture.getexif(), name
        assert not picture.getexif().get_ifd(0x8825), name
        for words in (b"a picture", b"by hand", b"words", "Überschrift".encode()):
            assert words not in whole, (name, words)


@pytest.mark.parametrize("name", ["colour.jpg", "colour.png", "colour.tif", "lossy.webp"])
def test_what_is_kept_is_kept_but_for_orientation_and_preview(name: str, tmp_path: Path) -> None:
    picture = Image.open(io.BytesIO(translated(CORPUS[name], tmp_path / name, metadata="keep")))
    exif = picture.getexif()
    assert exif[0x010E] == "a picture"
    assert exif[0x0112] == 1
    assert exif.get_ifd(0x8825)[1] == "N"
    if name.endswith("jpg"):
        assert picture.info["comment"] == b"by hand"
    if name.endswith("png"):
        assert picture.info["Title"] == "Überschrift"
        assert picture.info["Comment"].startswith("words")


def test_a_compressed_tiff_keeps_its_place_on_earth(tmp_path: Path) -> None:
    exif = Image.open(io.BytesIO(CORPUS["colour.jpg"])).info["exif"]
    data = encoded(Image.new("RGB", (4, 4)), "TIFF", exif=exif)
    with images.opened(data) as reader:
        kind = replace(reader.kind, info=reader.kind.info | {"compression": "tiff_lzw"})
        with images.writer(tmp_path / "x.tif", kind, metadata="keep") as writer:
            writer.add(next(reader.frames(3)))
    assert Image.open(tmp_path / "x.tif").getexif().get_ifd(0x8825)[1] == "N"


def test_the_preview_inside_exif_does_not_show_the_untranslated_picture(tmp_path: Path) -> None:
    preview = encoded(Image.new("RGB", (8, 8), (1, 2, 3)), "JPEG")
    first = struct.pack("<HHHI4s", 1, 0x010E, 2, 4, b"abc\0") + struct.pack("<I", 26)
    second = struct.pack("<HHHIIHHIII", 2, 0x0201, 4, 1, 56, 0x0202, 4, 1, len(preview), 0)
    data = encoded(Image.new("RGB", (8, 8)), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0" + first + second + preview)
    assert preview in data
    whole = translated(data, tmp_path / "x.jpg", metadata="keep")
    assert preview not in whole
    assert Image.open(io.BytesIO(whole)).getexif()[0x010E] == "abc"


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_xmp_is_kept_upright(form: str, tmp_path: Path) -> None:
    options: dict[str, object] = {"xmp": XMP}
    if form == "PNG":
        notes = PngInfo()
        notes.add_itxt("XML:com.adobe.xmp", XMP.decode())
        options = {"pnginfo": notes}
    if form == "TIFF":
        options = {"tiffinfo": {700: XMP}}
    data = encoded(Image.new("RGB", (8, 8)), form, **options)
    suffix = {"JPEG": "jpg", "TIFF": "tif"}.get(form, form.lower())
    kept = translated(data, tmp_path / f"x.{suffix}", metadata="keep")
    assert b'tiff:Orientation="1" dc:creator="Ada"' in kept
    assert b"Ada" not in translated(data, tmp_path / f"x.{suffix}")


@pytest.mark.parametrize("name", ["colour.jpg", "colour.png", "colour.tif", "colour.bmp"])
def test_the_size_on_paper_is_always_kept_and_turned_with_the_picture(name: str, tmp_path: Path) -> None:
    translated(CORPUS[name], tmp_path / name)
    across, down = Image.open(tmp_path / name).info["dpi"]
    turned = name != "colour.bmp"  # which has no EXIF
    assert (round(across), round(down)) == ((144, 72) if turned else (72, 144))


def strange_profile() -> bytes:
    """sRGB with red and green exchanged: what applies it is seen at once."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, green = profile.index(b"rXYZ"), profile.index(b"gXYZ")
    profile[red : red + 4], profile[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(profile)


def test_at_8_bits_a_profile_is_applied_and_gone(tmp_path: Path) -> None:
    data = encoded(Image.new("RGB", (4, 4), (200, 0, 0)), icc_profile=strange_profile())
    whole = translated(data, tmp_path / "x.png", metadata="keep")
    picture = Image.open(io.BytesIO(whole))
    assert "icc_profile" not in picture.info
    assert picture.getpixel((0, 0))[1] > 150 > picture.getpixel((0, 0))[0]


def test_at_16_bits_a_profile_is_not_applied_and_stays(tmp_path: Path) -> None:
    values, profile = np.full((4, 4, 3), [50000, 0, 0], np.uint16), strange_profile()
    deep = deep_png(values, (png.chunk(b"iCCP", b"icc\0\0" + zlib.compress(profile)),))
    for data, name in ((deep, "x.png"), (tiff(values, "rgb", iccprofile=profile), "x.tif"), (deep, "y.tif")):
        translated(data, tmp_path / name)
        assert Image.open(tmp_path / name).info["icc_profile"] == profile
        assert next(images.opened(tmp_path / name).frames(3, 16)).pixels[0, 0].tolist() == [50000, 0, 0]
    with images.opened(deep) as reader, images.writer(tmp_path / "grey.png", reader.kind) as writer:
        writer.add(next(reader.frames(1, 16)))  # a profile of three colours would be wrong for one
    assert "icc_profile" not in Image.open(tmp_path / "grey.png").info


def test_notes_of_deep_files_are_kept_or_dropped(tmp_path: Path) -> None:
    data = tiff(np.zeros((4, 4, 3), np.uint16), "rgb", description="a scan", resolution=(300, 200), resolutionunit=2)
    for choice in ("drop", "keep"):
        translated(data, tmp_path / "x.tif", metadata=choice)
        with tifffile.TiffFile(tmp_path / "x.tif") as opened:
            tags = opened.pages[0].tags
            assert tags["ImageDescription"].value == "a scan" if choice == "keep" else "ImageDescription" not in tags
            assert "Software" not in tags or choice == "keep"
            assert [tags[name].value[0] / tags[name].value[1] for name in ("XResolution", "YResolution")] == [300, 200]


def test_broken_notes_do_not_make_the_pixels_wrong(tmp_path: Path) -> None:
    data = encoded(Image.new("RGB", (4, 4), (9, 9, 9)), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff", quality=100)
    whole = translated(data, tmp_path / "x.jpg", metadata="keep", quality=100)
    assert Image.open(io.BytesIO(whole)).getpixel((0, 0)) == (9, 9, 9)

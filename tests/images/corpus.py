"""One small file of each kind that can be read, made on the spot: name → bytes."""

import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import tifffile
from PIL import Image, ImageCms
from PIL.PngImagePlugin import PngInfo

from i2i import images
from i2i.images import Frame, Kind, png

HEIGHT, WIDTH = 13, 17  # both odd, and not the same


Translate = Callable[..., Path]


def frames_of(source: Path | bytes, channels: int | None = None, bits: int | None = None) -> tuple[Kind, list[Frame]]:
    """What it is, and all its frames, in its own channels and depth unless told."""
    with images.opened(source) as reader:
        kind = reader.kind
        return kind, list(reader.frames(channels or kind.channels, bits or (16 if kind.bits > 8 else 8)))


def encoded(picture: Image.Image, form: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def tiff(array: np.ndarray, photometric: str = "minisblack", **options: object) -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file, byteorder=options.pop("byteorder", None), bigtiff=options.pop("big", False)) as out:
        out.write(array, photometric=photometric, **options)
    return file.getvalue()


def deep_png(array: np.ndarray, notes: tuple[bytes, ...] = ()) -> bytes:
    file = io.BytesIO()
    png.encode_deep(file, array, list(notes))
    return file.getvalue()


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def animation(rng: np.random.Generator, alpha: bool = True) -> list[Image.Image]:
    """Four frames that differ, of few colours and no half transparency, so that a GIF holds them."""
    frames = []
    for _ in range(4):
        colours = rng.choice(np.array([0, 90, 255], np.uint8), (HEIGHT, WIDTH, 3))
        mask = rng.choice(np.array([0, 255], np.uint8), (HEIGHT, WIDTH, 1))
        frames.append(Image.fromarray(np.dstack([colours, mask]) if alpha else colours))
    return frames


def corpus() -> dict[str, bytes]:
    """Every kind; the same bytes each time."""
    rng = np.random.default_rng(0)
    shallow = rng.integers(0, 256, (HEIGHT, WIDTH, 4), dtype=np.uint8)
    deep = rng.integers(0, 65536, (HEIGHT, WIDTH, 5), dtype=np.uint16)
    real = rng.random((HEIGHT, WIDTH, 3), dtype=np.float32)
    grey, colour, clear = (Image.fromarray(shallow[..., part]) for part in (0, slice(3), slice(4)))
    shades, cmyk = clear.convert("LA"), colour.convert("CMYK")
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a picture"
    exif.get_ifd(0x8825)[1] = "N"
    words = PngInfo()
    words.add_text("Comment", "words " * 40, zip=True)
    words.add_itxt("Title", "Überschrift")
    notes = {"icc_profile": profile, "exif": exif.tobytes(), "dpi": (72, 144)}

    made = {
        "grey.png": encoded(grey),
        "colour.png": encoded(colour, pnginfo=words, **notes),
        "grey_alpha.png": encoded(shades),
        "alpha.png": encoded(clear),
        "keyed.png": encoded(colour, transparency=tuple(int(v) for v in shallow[0, 0, :3])),
        "palette.png": encoded(colour.quantize(7)),
        "palette_alpha.png": encoded(clear.quantize(7)),
        "one_bit.png": encoded(grey.convert("1")),
        "deep_grey.png": deep_png(deep[..., :1]),
        "deep_grey_alpha.png": deep_png(deep[..., :2]),
        "deep_colour.png": deep_png(deep[..., :3]),
        "deep_alpha.png": deep_png(deep[..., :4]),
        "deep_keyed.png": deep_png(deep[..., :3], (png.chunk(b"tRNS", deep[0, 0, :3].astype(">u2").tobytes()),)),
        "colour.jpg": encoded(colour, "JPEG", quality=95, comment=b"by hand", **notes),
        "grey.jpg": encoded(grey, "JPEG", quality=95),
        "progressive.jpg": encoded(colour, "JPEG", progressive=True),
        "cmyk.jpg": encoded(cmyk, "JPEG", quality=95),
        "phone.jpg": encoded(colour, "MPO", save_all=True, append_images=[grey.convert("RGB")]),
        "lossy.webp": encoded(colour, "WEBP", **notes),
        "lossless.webp": encoded(colour, "WEBP", lossless=True),
        "alpha.webp": encoded(clear, "WEBP", lossless=True, exact=True),
        "grey.tif": encoded(grey, "TIFF"),
        "colour.tif": encoded(colour, "TIFF", **notes),
        "lzw.tif": encoded(colour, "TIFF", compression="tiff_lzw"),
        "packbits.tif": encoded(colour, "TIFF", compression="packbits"),
        "fax.tif": encoded(grey.convert("1"), "TIFF", compression="group4"),
        "jpeg.tif": encoded(colour, "TIFF", compression="jpeg"),
        "alpha.tif": encoded(clear, "TIFF"),
        "cmyk.tif": encoded(cmyk, "TIFF"),
        "palette.tif": encoded(colour.quantize(7), "TIFF"),
        "lab.tif": encoded(Image.fromarray(shallow[..., :3], "LAB"), "TIFF"),
        "deep_grey.tif": tiff(deep[..., 0]),
        "deep_grey_alpha.tif": tiff(deep[..., :2], planarconfig="contig", extrasamples=["unassalpha"]),
        "deep_colour.tif": tiff(deep[..., :3], "rgb", compression="zlib", predictor=2, rowsperstrip=4),
        "deep_alpha.tif": tiff(deep[..., :4], "rgb", byteorder=">", extrasamples=["unassalpha"]),
        "deep_tiles.tif": tiff(deep[..., :3], "rgb", tile=(16, 16), compression="zlib"),
        "deep_planes.tif": tiff(np.moveaxis(deep[..., :3], -1, 0), "rgb", planarconfig="separate"),
        "deep_big.tif": tiff(deep[..., :3], "rgb", big=True),
        "deep_lzw.tif": cv2.imencode(".tif", deep[..., :3])[1].tobytes(),
        "five.tif": tiff(deep, planarconfig="contig", compression="zlib"),
        "five_shallow.tif": tiff((deep >> 8).astype(np.uint8), planarconfig="contig"),
        "float.tif": tiff(real, "rgb"),
        "float_grey.tif": tiff(real[..., 0].astype(np.float64), compression="zlib"),
        "float_lzw.tif": cv2.imencode(".tif", real, [cv2.IMWRITE_TIFF_COMPRESSION, 5])[1].tobytes(),
        "stack.tif": tiff(shallow.transpose(2, 0, 1)),
        "deep_stack.tif": tiff(deep.transpose(2, 0, 1)),
        "colour.bmp": encoded(colour, "BMP", dpi=(72, 144)),
        "grey.bmp": encoded(grey, "BMP"),
        "alpha.bmp": cv2.imencode(".bmp", shallow)[1].tobytes(),
        "still.gif": encoded(colour.quantize(7), "GIF", comment=b"by hand"),
        "grey.npy": npy(shallow[..., 0]),
        "grey_of_rank_3.npy": npy(shallow[..., :1]),
        "colour.npy": npy(shallow[..., :3]),
        "deep_colour.npy": npy(deep[..., :3].astype(">u2")),
        "five.npy": npy(deep),
        "float.npy": npy(np.asfortranarray(real)),
        "float_grey.npy": npy(real[..., 0].astype(np.float64)),
        "colour.ppm": encoded(colour, "PPM"),
        "grey.pgm": encoded(grey, "PPM"),
        "plain.ppm": b"P3 2 2 255 " + b" ".join(b"%d" % value for value in range(12)),
        "deep.ppm": b"P6\n# made by hand\n17 13\n65535\n" + deep[..., :3].astype(">u2").tobytes(),
        "deep.pgm": b"P5 17 13 65535\n" + deep[..., 0].astype(">u2").tobytes(),
    }
    told = {"save_all": True, "duration": [50, 100, 200, 40]}
    for name, alpha in (("moving", False), ("moving_alpha", True)):
        first, *others = animation(rng, alpha)
        made[f"{name}.gif"] = encoded(first, "GIF", append_images=others, disposal=2 if alpha else 1, loop=2, **told)
        made[f"{name}.png"] = encoded(first, "PNG", append_images=others, loop=3, **told)
        made[f"{name}.webp"] = encoded(first, "WEBP", append_images=others, loop=3, lossless=True, **told)
    return made


if __name__ == "__main__":
    for name, data in corpus().items():
        print(name, len(data), images.opened(data).kind)

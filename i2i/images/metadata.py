"""What a file says beside its pixels, and which of it goes into the translation.

The resolution (dpi) always does: it is the picture's size on paper. Everything else tells about a person or a camera
and goes along only if it is asked for. Two things never do: the preview inside EXIF, for it shows the untranslated
picture, and a colour profile that has been applied. Orientation is reset, for the pixels are upright.
"""

import re
import struct
import zlib
from typing import IO, Any

from PIL import ExifTags, Image, PngImagePlugin

from i2i.images.colour import ORIENTATION
from i2i.images.formats import dots
from i2i.images.png import chunk

# TIFF's own tags that say how pixels are stored: in another file they would be lies.
STRUCTURE = {*range(254, 270), 273, 277, 278, 279, 280, 281, 282, 283, 284, 288, 289, 290, 291, 292, 293, 296, 297, 301}
STRUCTURE |= {*range(317, 348), *range(512, 533), 700, 33421, 33422, 34675, 50838, 50839}
TEXTS = (269, 270, 271, 272, 285, 305, 306, 315, 316, 33432)  # title, camera, software, date, artist, copyright
MOST = 2**24  # bytes of one note that are taken along


def gather(picture: Image.Image, orientation: int = 1) -> dict[str, object]:
    """What is known of an opened picture: `dpi`, `exif`, `xmp`, `text`, `comment`, `icc_profile`, each if it is there.

    Broken notes are left out. The EXIF is ready to be written beside upright pixels.
    """
    info = picture.info
    found: dict[str, object] = {"dpi": dots(info.get("dpi")), "exif": _exif(picture)}
    if orientation >= 5 and found["dpi"]:
        found["dpi"] = dots(info["dpi"])[::-1]  # type: ignore[index]
    xmp = info.get("xmp", info.get("XML:com.adobe.xmp"))
    xmp = xmp.encode("utf-8", "replace") if isinstance(xmp, str) else xmp
    if isinstance(xmp, bytes):
        found["xmp"] = re.sub(rb'(tiff:Orientation(?:="|>))\d', rb"\g<1>1", xmp.rstrip(b"\0"))
    comment = info.get("comment")
    found["comment"] = comment.encode("utf-8", "replace") if isinstance(comment, str) else comment
    if picture.format == "PNG":
        hidden = ("XML:com.adobe.xmp", "Raw profile type exif")
        found["text"] = {k: str(v) for k, v in info.items() if isinstance(v, str) and k not in hidden}
    found["icc_profile"] = info.get("icc_profile")
    return {k: v for k, v in found.items() if v and not (isinstance(v, bytes) and len(v) > MOST)}


def gather_tiff(file: IO[bytes], orientation: int = 1) -> dict[str, object]:
    """`dpi`, `icc_profile`, `xmp` and `tags` (lines of text by number) of a TIFF that Pillow does not open."""
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    try:
        file.seek(0)
        head = file.read(16)
        tags = ImageFileDirectory_v2(head[:8] if head[2:3] != b"+" and head[3:4] != b"+" else head)
        file.seek(tags.next)
        tags.load(file)
        unit = {2: 1.0, 3: 2.54}.get(tags.get(296, 2))
        resolution = [float(tags[number]) * unit for number in (282, 283)] if unit and 282 in tags else None
        found: dict[str, object] = {"dpi": dots(resolution[::-1] if resolution and orientation >= 5 else resolution)}
        found |= {
            name: bytes(tags[number]) for name, number in (("icc_profile", 34675), ("xmp", 700)) if number in tags
        }
        found["tags"] = {number: tags[number] for number in TEXTS if isinstance(tags.get(number), str)}
    except Exception:  # as in `_exif`
        return {}
    return {k: v for k, v in found.items() if v and (not isinstance(v, bytes) or len(v) <= MOST)}


def _exif(picture: Image.Image) -> bytes | None:
    """EXIF whose pixels are upright, without the preview and without what only describes a TIFF."""
    try:
        stored, kept = Image.Image.getexif(picture), Image.Exif()
        for tag, value in stored.items():
            if tag not in STRUCTURE and tag not in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
                kept[tag] = value
        for part in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            if inner := stored.get_ifd(part):
                kept.get_ifd(part).update(inner)
        if not kept and not any(kept.get_ifd(part) for part in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo)):
            return None
        kept[ORIENTATION] = 1
        return kept.tobytes()
    except Exception:  # strangers' EXIF is broken in many ways, and none is worth a picture
        return None


def options(form: str, info: dict[str, Any], keep: bool) -> dict[str, Any]:
    """Options for Pillow to save a picture of this format with its notes. A profile in `info` is not yet applied."""
    told: dict[str, Any] = {}
    if "dpi" in info and form in ("PNG", "JPEG", "TIFF", "BMP"):
        told["dpi"] = info["dpi"]
    if "icc_profile" in info and form in ("PNG", "JPEG", "TIFF", "WEBP"):
        told["icc_profile"] = info["icc_profile"]
    if not keep:
        return told
    exif, xmp = info.get("exif"), info.get("xmp")
    if (exif and form in ("PNG", "WEBP", "TIFF")) or (exif and form == "JPEG" and len(exif) < 65500):
        told["exif"] = exif
    if exif and form == "TIFF":
        inner = Image.Exif()
        inner.load(exif)
        if ExifTags.IFD.Exif in inner or ExifTags.IFD.GPSInfo in inner:
            told["compression"] = "raw"  # libtiff, which compresses, cannot be given these
    if (xmp and form == "WEBP") or (xmp and form == "JPEG" and len(xmp) < 65500):
        told["xmp"] = xmp
    if xmp and form == "TIFF":
        told["tiffinfo"] = {700: xmp}
    if "comment" in info and form == "JPEG" and len(info["comment"]) < 65500:
        told["comment"] = info["comment"]
    if form == "PNG" and (xmp or info.get("text")):
        notes = PngImagePlugin.PngInfo()
        for key, value in info.get("text", {}).items():
            notes.add_itxt(key, value)
        if xmp:
            notes.add_itxt("XML:com.adobe.xmp", xmp.decode("utf-8", "replace"))
        told["pnginfo"] = notes
    return told


def png_chunks(info: dict[str, Any], keep: bool) -> list[bytes]:
    """The same as ready PNG chunks, for pictures that Pillow cannot write."""
    told, notes = options("PNG", info, keep), []
    if "icc_profile" in told:
        notes.append(chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(told["icc_profile"])))
    if "dpi" in told:
        x, y = (round(dots_per_inch / 0.0254) for dots_per_inch in told["dpi"])  # pixels per metre
        notes.append(chunk(b"pHYs", struct.pack(">IIB", x, y, 1)))
    if "exif" in told:
        notes.append(chunk(b"eXIf", told["exif"].removeprefix(b"Exif\0\0")))
    return notes + [chunk(kind, data) for kind, data, *_ in (told["pnginfo"].chunks if "pnginfo" in told else [])]


def ascii_tags(info: dict[str, Any]) -> list[tuple[int, int, int, object, bool]]:
    """The notes of a deep TIFF as tifffile takes them: (number, type, count, value, once)."""
    found: list[tuple[int, int, int, object, bool]] = [
        (number, 2, 0, text.encode("ascii", "replace").decode("ascii"), True)
        for number, text in info.get("tags", {}).items()
    ]
    if "xmp" in info:
        found.append((700, 1, len(info["xmp"]), info["xmp"], True))
    return found

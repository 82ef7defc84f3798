"""GIF: how many frames there are, without decoding any; and animations written frame by frame in their exact colours.

The blocks are those of the GIF89a specification (CompuServe 1990).
"""

import struct
from typing import IO, Any

import numpy as np
from PIL import GifImagePlugin, Image

STRAY = 2**16  # bytes between blocks, which belong to none, before a file is taken to be at its end
OPAQUE = 128  # GIF's transparency is all or nothing: what is at least half there is there


def extent(file: IO[bytes], most: int) -> tuple[int, int, int]:
    """(frames, width, height) over all frames, by walking from block to block; it stops at `most` + 1 frames.

    Whatever is cut short counts as far as it goes. The file is wound back.
    """
    file.seek(0)
    head = file.read(13)
    frames, width, height = 0, *struct.unpack("<HH", head[6:10].ljust(4, b"\0"))
    if head[10:11] and head[10] & 0x80:
        file.seek(3 << (head[10] & 7) + 1, 1)  # the palette
    stray = 0
    while frames <= most and stray < STRAY and (lead := file.read(1)) not in (b"", b";"):
        if lead not in (b",", b"!"):  # decoders pass over what is between the blocks
            stray += 1
            continue
        if lead == b",":
            block = file.read(9)
            if len(block) < 9:
                break
            left, top, across, down, flags = struct.unpack("<HHHHB", block)
            frames, width, height = frames + 1, max(width, left + across), max(height, top + down)
            if flags & 0x80:
                file.seek(3 << (flags & 7) + 1, 1)
        file.seek(1, 1)  # an extension's kind, or the code size of a frame's pixels
        while (size := file.read(1)) not in (b"", b"\0"):
            file.seek(size[0], 1)
    file.seek(0)
    return frames, width, height


def indexed(pixels: np.ndarray, alpha: np.ndarray | None) -> tuple[Image.Image, int | None]:
    """(h, w, 1 or 3) uint8 → a palette picture, and which of its colours is transparent.

    Exact where the opaque colours are few enough for one palette, else the nearest of a median cut, dithered.
    """
    clear = None if alpha is None or alpha.min() >= OPAQUE else alpha < OPAQUE
    if clear is not None:  # what is not seen takes no place in the palette
        pixels = pixels.copy()
        pixels[clear] = pixels[~clear][0] if not clear.all() else 255
    picture = Image.fromarray(np.repeat(pixels, 3, axis=2) if pixels.shape[2] == 1 else pixels)
    most = 256 if clear is None else 255
    if (counted := picture.getcolors(most)) is not None:
        colours = np.array([colour for _, colour in counted], np.uint32)
        packed = np.sort(colours @ np.array([65536, 256, 1], np.uint32))
        values = np.asarray(picture).astype(np.uint32) @ np.array([65536, 256, 1], np.uint32)
        result = Image.fromarray(np.searchsorted(packed, values).astype(np.uint8))
        palette = np.stack([packed >> 16, packed >> 8 & 255, packed & 255], 1).astype(np.uint8).tobytes()
    else:
        result = picture.quantize(palette=picture.quantize(most, Image.Quantize.MEDIANCUT))
        palette = bytes(result.getpalette() or [])
        result = Image.frombytes("L", result.size, result.tobytes())
    transparent = None
    if clear is not None:
        transparent = len(palette) // 3
        values = np.asarray(result).copy()
        values[clear] = transparent
        result, palette = Image.fromarray(values), palette + bytes(3)
    result.putpalette(palette)
    return result, transparent


class Animation:
    """A GIF in the making: whole frames with palettes of their own, written as they come, one late.

    A frame says what becomes of it afterwards, which depends on the next: only a transparent one needs a clean ground.
    """

    def __init__(self, file: IO[bytes], plays: int, comment: bytes = b"") -> None:
        """`plays`: how often, 0 for ever."""
        self.file, self.plays, self.comment = file, plays, comment
        self.waiting: tuple[Image.Image, int | None, int] | None = None
        self.first_is_clear = False
        self.shown = self.told = 0.0  # milliseconds until now, and in the hundredths of a second of the file

    def add(self, pixels: np.ndarray, alpha: np.ndarray | None, duration: float) -> None:
        """(h, w, 1 or 3) uint8 under alpha h w, shown for that many milliseconds."""
        picture, transparent = indexed(pixels, alpha)
        if self.waiting is None:
            self._begin(*picture.size)
            self.first_is_clear = transparent is not None
        else:
            self._write(clean=transparent is not None)
        self.shown += duration
        rounded = round((self.shown - self.told) / 10) * 10  # what is rounded off is not lost but carried on
        self.told += rounded
        self.waiting = picture, transparent, min(rounded, 655350)

    def finish(self) -> None:
        """The last frame, and the end."""
        self._write(clean=self.first_is_clear)
        self.file.write(b";")

    def _begin(self, width: int, height: int) -> None:
        self.file.write(b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0))
        if self.plays != 1:  # the file counts repetitions after the first time
            repeats = min(self.plays - 1, 65535) if self.plays else 0
            self.file.write(b"!\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<HB", repeats, 0))
        if self.comment:
            parts = [self.comment[i : i + 255] for i in range(0, len(self.comment), 255)]
            self.file.write(b"!\xfe" + b"".join(bytes([len(part)]) + part for part in parts) + b"\0")

    def _write(self, clean: bool) -> None:
        assert self.waiting is not None
        picture, transparent, duration = self.waiting
        told: dict[str, Any] = {} if transparent is None else {"transparency": transparent}
        told |= {"disposal": 2 if clean else 1, "duration": duration, "include_color_table": True}
        for part in GifImagePlugin.getdata(picture, **told):
            self.file.write(part)

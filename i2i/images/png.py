"""What Pillow cannot do with PNG: colour of 16 bits in and out, and animations written frame by frame.

The chunks are those of the PNG specification, third edition (W3C 2025), which includes APNG.
Legend: h height, w width, k samples of a pixel: 1 grey, 2 with alpha, 3 colour, 4 with alpha.
"""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import IO, Any

import numpy as np
from PIL import Image

from i2i.errors import UserError
from i2i.images.colour import red_first

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type; 3 is a palette
COLOUR_TYPE = {1: 0, 2: 4, 3: 2, 4: 6}
ROWS = 64  # compressed at a time


@dataclass(frozen=True)
class Header:
    """What has to be known of a PNG before its pixels are decoded."""

    width: int
    height: int
    bits: int
    colour_type: int
    animated: bool
    exif: bytes | None  # also if it stands behind the pixels, where Pillow finds it only once they are decoded


def chunks(file: IO[bytes]) -> Iterator[tuple[bytes, int, int]]:
    """(type, position of its data, length) of each chunk, up to the end or to where the file is cut."""
    file.seek(0, io.SEEK_END)
    end, position = file.tell(), 8
    while position + 12 <= end:
        file.seek(position)
        length, kind = struct.unpack(">I4s", file.read(8))
        if position + 12 + length > end:
            return
        yield kind, position + 8, length
        if kind == b"IEND":
            return
        position += 12 + length


def header(file: IO[bytes]) -> Header:
    """Read without decoding; the file is wound back. UserError if it does not begin as a PNG must."""
    found, animated, exif = b"", False, None
    for number, (kind, position, length) in enumerate(chunks(file)):
        if number == 0 and (kind, length) != (b"IHDR", 13):
            break
        if kind in (b"IHDR", b"eXIf") and length < 2**24:
            file.seek(position)
            data = file.read(length)
            found, exif = (data, exif) if kind == b"IHDR" else (found, data)
        animated = animated or kind == b"acTL"
    file.seek(0)
    if not found:
        raise UserError("the picture is damaged or cut short (no header)")
    width, height, bits, colour_type = struct.unpack(">IIBB", found[:10])
    return Header(width, height, bits, colour_type, animated, exif)


def decode_deep(file: IO[bytes]) -> np.ndarray:
    """A PNG of 16 bits a sample → (h, w, k) uint16 as stored, a transparent colour turned into alpha.

    OpenCV decodes it, shown nothing but the pixels: sums are checked and other chunks removed before.
    """
    import cv2

    pixels, key, samples, ended = [SIGNATURE], None, 0, False
    for kind, position, length in chunks(file):
        if kind not in (b"IHDR", b"tRNS", b"IDAT", b"IEND"):
            continue
        file.seek(position - 8)
        whole = file.read(length + 12)
        if zlib.crc32(whole[4:-4]) != struct.unpack(">I", whole[-4:])[0]:
            raise ValueError(f"wrong checksum in {kind.decode()}")
        if kind == b"tRNS":  # the one colour that is transparent
            key = np.frombuffer(whole[8:-4], ">u2")
            continue
        if kind == b"IHDR":
            samples = SAMPLES[whole[17]]
        ended = ended or kind == b"IEND"
        pixels.append(whole)
    if not ended:
        raise ValueError("its end is missing")
    data = np.frombuffer(b"".join(pixels), np.uint8)
    pixels.clear()
    decoded = quietly(lambda: cv2.imdecode(data, cv2.IMREAD_UNCHANGED))
    if decoded is None or decoded.dtype != np.uint16:
        raise ValueError("the pixels do not decode")
    array: np.ndarray = red_first(decoded)
    if samples == 2:  # OpenCV has no grey with alpha: it repeats the grey
        array = np.ascontiguousarray(array[:, :, [0, 3]])
    if array.shape[2] != samples:
        raise ValueError(f"{samples} samples of a pixel were promised, {array.shape[2]} decoded")
    if key is not None and len(key) == samples:
        alpha = np.where((array == key.astype(np.uint16)).all(axis=2), 0, 65535)
        array = np.dstack([array, alpha.astype(np.uint16)])
    return array


def quietly(decode: Callable[[], Any]) -> Any:
    """Call an OpenCV decoder without its warnings: what is wrong is told by us, once."""
    import cv2

    logging = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging  # OpenCV 4, and 5
    level = logging.getLogLevel()
    logging.setLogLevel(0)  # silent
    try:
        return decode()
    finally:
        logging.setLogLevel(level)


def chunk(kind: bytes, data: bytes) -> bytes:
    """Length, type, data, checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


def encode_deep(file: IO[bytes], array: np.ndarray, notes: list[bytes]) -> None:
    """(h, w, k) uint16 → a PNG. `notes`: ready chunks, such as a colour profile, for its beginning."""
    height, width, k = array.shape
    file.write(SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, COLOUR_TYPE[k], 0, 0, 0)))
    file.writelines(notes)
    packer = zlib.compressobj(4)
    above = np.zeros((1, width * k * 2), np.uint8)
    for start in range(0, height, ROWS):
        rows = array[start : start + ROWS].astype(">u2").view(np.uint8).reshape(-1, width * k * 2)
        file.write(chunk(b"IDAT", packer.compress(_filtered(rows, above, 2 * k))))
        above = rows[-1:]
    file.write(chunk(b"IDAT", packer.flush()) + chunk(b"IEND", b""))


def _filtered(rows: np.ndarray, above: np.ndarray, step: int) -> bytes:
    """Bytes as differences from what the Paeth predictor expects (section 9.4), each row led by the filter's number."""
    up = np.concatenate([above, rows[:-1]]).astype(np.int16)
    left, corner = np.zeros_like(up), np.zeros_like(up)
    left[:, step:], corner[:, step:] = rows[:, :-step], up[:, :-step]
    to_left, to_up = np.abs(up - corner), np.abs(left - corner)
    to_corner = np.abs(left + up - 2 * corner)
    expected = np.where(to_up <= to_corner, up, corner)
    expected = np.where((to_left <= to_up) & (to_left <= to_corner), left, expected)
    result = np.empty((len(rows), rows.shape[1] + 1), np.uint8)
    result[:, 0] = 4
    np.subtract(rows, expected.astype(np.uint8), out=result[:, 1:])
    return result.tobytes()


class Animation:
    """An APNG in the making: whole frames, each replacing the one before, written as they come."""

    def __init__(self, file: IO[bytes], plays: int, notes: dict[str, object]) -> None:
        """`plays`: how often, 0 for ever. `notes`: options of Pillow's PNG for the first frame."""
        self.file, self.plays, self.notes = file, plays, notes
        self.count = self.sequence = self.counted_at = 0

    def add(self, array: np.ndarray, duration: float) -> None:
        """(h, w, k) uint8, of the first one's shape, shown for that many milliseconds."""
        height, width, k = array.shape
        whole = io.BytesIO()
        Image.fromarray(array[:, :, 0] if k == 1 else array).save(whole, "PNG", **({} if self.count else self.notes))
        first = self.count == 0
        controlled = False
        for kind, position, length in list(chunks(whole)):
            data = bytes(whole.getbuffer()[position : position + length])
            if kind == b"IDAT":
                if not controlled:
                    self._control(width, height, duration)
                    controlled = True
                self.file.write(chunk(b"IDAT", data) if first else chunk(b"fdAT", self._number() + data))
            elif kind == b"IHDR" and first:
                self.file.write(SIGNATURE + chunk(b"IHDR", data))
                self.counted_at = self.file.tell()
                self.file.write(chunk(b"acTL", bytes(8)))  # filled in when the frames are counted
            elif kind != b"IEND" and first:
                self.file.write(chunk(kind, data))
        self.count += 1

    def _number(self) -> bytes:
        self.sequence += 1
        return struct.pack(">I", self.sequence - 1)

    def _control(self, width: int, height: int, duration: float) -> None:
        seconds = Fraction(duration / 1000).limit_denominator(10000)  # 33.3 ms are 1 / 30
        above, below = seconds.numerator, seconds.denominator
        if above > 65535:
            above, below = min(round(duration / 1000), 65535), 1
        # at the corner 0, 0; left standing afterwards; replacing what was there
        shown = struct.pack(">IIIIHHBB", width, height, 0, 0, above, below, 0, 0)
        self.file.write(chunk(b"fcTL", self._number() + shown))

    def finish(self) -> None:
        """The number of frames, and the end."""
        self.file.write(chunk(b"IEND", b""))
        self.file.seek(self.counted_at)
        self.file.write(chunk(b"acTL", struct.pack(">II", self.count, self.plays)))

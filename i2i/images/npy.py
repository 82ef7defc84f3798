"""NumPy's .npy files as pictures: h w or h w c of uint8, uint16, bool or floats in [0, 1], and the same back.

Nothing in them is ever unpickled: the header is read first, and only plain numbers pass it.
Legend: h height, w width, c channels.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from i2i.errors import UserError
from i2i.images.deep import Deep
from i2i.images.formats import check_size
from i2i.images.media import Kind
from i2i.images.tiff import MOST_SAMPLES

PICTURES = {"b": (1,), "u": (1, 2), "f": (2, 4, 8)}  # kind of number → bytes of one
NUMBERS = PICTURES | {"u": (1, 2, 4, 8), "i": (1, 2, 4, 8)}  # also what class numbers are kept in
DEPTHS: dict[int, np.dtype[Any]] = {8: np.dtype("u1"), 16: np.dtype("u2"), 32: np.dtype("f4")}
HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def opened(
    source: str | Path | bytes,
    file: IO[bytes],
    max_pixels: int,
    advice: str,
    known: dict[str, tuple[int, ...]] = PICTURES,
) -> Deep:
    """What an .npy file holds, by its header alone; truth values are black and white. `known`: numbers that may be in
    it. UserError for arrays that are no picture."""
    shape, fortran, dtype = _header(file)
    if dtype.kind not in known or dtype.itemsize not in known[dtype.kind]:
        raise UserError(f"expected an array of uint8, uint16, or floats from 0 (black) to 1 (white), got {dtype}")
    height, width, channels = shape if len(shape) == 3 else (*shape, 1) if len(shape) == 2 else (0, 0, 0)
    if not 1 <= channels <= MOST_SAMPLES:
        raise UserError(
            f"expected an array of height × width, or of height × width × channels with {MOST_SAMPLES} of these at "
            f"most, got shape {shape}"
        )
    check_size(width, height, 1, max_pixels, advice, channels * dtype.itemsize)
    start = file.tell()
    length = math.prod(shape) * dtype.itemsize
    if file.seek(0, 2) < start + length:
        raise ValueError("pixels are missing")

    def pages(file: IO[bytes]) -> Iterator[np.ndarray]:
        file.seek(start)
        array = np.frombuffer(file.read(length), dtype).reshape(shape, order="F" if fortran else "C")
        array = array.astype(dtype.newbyteorder("="), order="C", copy=False).reshape(height, width, channels)
        yield array.view(np.uint8) * np.uint8(255) if dtype.kind == "b" and known is PICTURES else array

    bits = 32 if dtype.kind == "f" else 8 if dtype.itemsize == 1 else 16
    info: dict[str, object] = {"dtype": dtype.str, "rank": len(shape)}
    kind = Kind("NPY", width, height, channels, bits=bits, info=info)
    return Deep(source, kind, pages, base=channels)


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether columns lie together, and type; the file is then at its first number."""
    file.seek(0)
    version = np.lib.format.read_magic(file)
    if version not in HEADERS:
        raise UserError(f"version {version} of .npy is not read; save it again as uint8, uint16 or float32")
    shape, fortran, dtype = HEADERS[version](file)
    if any(side < 0 for side in shape):
        raise ValueError(f"its shape is {shape}")
    return shape, fortran, dtype


class Array:
    """One picture as an array: of the source's type and rank where that was an array too."""

    def __init__(self, file: IO[bytes], bits: int, info: dict[str, Any]) -> None:
        """`bits`: 8, 16, or 32 for floats, which are made from 16 bits."""
        stored: np.dtype[Any] = np.dtype(info.get("dtype", DEPTHS[bits]))
        alike = stored.kind == DEPTHS[bits].kind and (stored.kind == "f" or stored.itemsize == DEPTHS[bits].itemsize)
        self.file, self.dtype, self.rank = file, stored if alike else DEPTHS[bits], info.get("rank", 2)

    def add(self, pixels: np.ndarray, alpha: np.ndarray | None, duration: float) -> None:
        """Written at once: h w c, alpha as one more channel."""
        array = pixels if alpha is None else np.dstack([pixels, alpha])
        if self.dtype.kind == "f":
            array = array.astype(np.float32) / np.float32(65535)
        if array.shape[2] == 1 and self.rank == 2:
            array = array[:, :, 0]
        np.lib.format.write_array(self.file, np.ascontiguousarray(array, self.dtype), allow_pickle=False)

    def finish(self) -> None:
        """Nothing is left to do."""

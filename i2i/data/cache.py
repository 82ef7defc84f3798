"""Decoded pictures on disk, so that each is decoded once: by any process, in any run, for any recipe that fits.

A cache is two files. `<key>.data` holds pixels one item after the other, mapped into memory to be read; `<key>.index`
holds for each item a record: checksum, offset, and for each of its planes h, w, c and the bytes of a sample. Records
are written after their pixels, and the checksum covers both, so that nobody takes an item for whole which a killed
process or a power cut left halved. What has no record yet takes no disk: the index is a sparse file.

Who writes holds the index's lock for the moment; who uses a cache holds a shared lock on its data for as long, so that
another process which needs room does not remove it. The key names everything that decides the pixels.
"""

import contextlib
import hashlib
import json
import mmap
import os
import shutil
import struct
import weakref
import zlib
from pathlib import Path

import numpy as np
import torch
from PIL import __version__ as pillow

from i2i.data.looks import planes_of
from i2i.data.reading import streams
from i2i.data.spec import Pictures
from i2i.data.split import Split
from i2i.paths import home

try:
    import fcntl
except ImportError:  # Windows; nothing is kept there
    fcntl = None  # type: ignore[assignment]

BUDGET = 2**32  # bytes that all caches together may take, where the recipe names no number
SPARE = 2**30  # bytes of the disk that are always left to saved states
STRIDE = 2**25  # bytes that a cache grows by before it looks again how much room there is
FORMAT = 2  # of the files, and of what their pixels mean


def open_cache(spec: Pictures, split: Split) -> "Cache | None":
    """The cache of what `spec` reads of a split. It touches no file until used.

    None where the recipe wants none, and for a split that cannot tell when a picture changes.
    """
    if spec.cache == "off" or split.stamp is None or fcntl is None:
        return None
    budget = BUDGET if spec.cache == "auto" else spec.cache
    items, planes = sum(streams(spec, split)), len(planes_of(spec, 0))
    return Cache(home() / "cache", key(spec, split), items, budget, planes)


def key(spec: Pictures, split: Split) -> str:
    """A name for the pixels: the files with their times, how they are read and resized, and by which libraries."""
    told = spec.model_dump(mode="json", include={"layout", "load", "fit", "channels", "condition", "bits", "direction"})
    derived = getattr(spec, "derive", None) is not None
    parts = [FORMAT, split.stamp, told, derived, split.side_by_side, pillow, torch.__version__]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def record(planes: int) -> struct.Struct:
    """How the index tells of an item of up to so many planes."""
    return struct.Struct("<IQ" + "IIHB" * planes)


class Cache:
    """Items by number, each of up to `planes` pictures. `trouble` says in one line why nothing more is kept.

    It goes through a fork: each process opens the files for itself, when it first asks.
    """

    def __init__(self, folder: Path, key: str, items: int, budget: int, planes: int = 1) -> None:
        self.folder, self.key, self.items, self.budget, self.planes = folder, key, items, budget, planes
        self.record = record(planes)
        self.trouble: str | None = None
        self._process = 0  # whose files are open
        self._index: mmap.mmap | None = None
        self._data: mmap.mmap | None = None
        self._growing = True
        self._granted = 0  # the size that the data may grow to without another look at the disk

    def get(self, number: int) -> list[np.ndarray] | None:
        """Pictures, uint8 or uint16 h w c, read-only; None where there are none yet."""
        return self._find(number) if self._ready() else None

    def put(self, number: int, pictures: list[np.ndarray]) -> None:
        """Keep an item, if there is room. Never raises for what a disk can do."""
        if not self._ready() or not self._growing:
            return
        try:
            fcntl.flock(self._index_file, fcntl.LOCK_EX)
            try:
                if self._find(number) is None:  # else another process was quicker
                    self._append(number, pictures)
            finally:
                fcntl.flock(self._index_file, fcntl.LOCK_UN)
        except OSError as problem:
            self._stop(problem)

    def _ready(self) -> bool:
        if self._process != os.getpid():
            self._process, self._index, self._data = os.getpid(), None, None
            self._checked = bytearray(self.items)
            try:
                self._open()
            except OSError as problem:
                self._growing = False
                self._stop(problem)
        return self._index is not None

    def _open(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        index, data = (self.folder / f"{self.key}.{kind}" for kind in ("index", "data"))
        while True:
            files = [os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600) for path in (index, data)]
            closing = weakref.finalize(self, _close, files)
            fcntl.flock(files[1], fcntl.LOCK_SH)
            if all(os.fstat(file).st_nlink for file in files):
                break
            closing()  # somebody removed the cache between our opening and our locking it
        self._index_file, self._data_file = files
        size = self.items * self.record.size
        if os.fstat(self._index_file).st_size < size:
            os.ftruncate(self._index_file, size)  # zeros: no record
        os.utime(self._data_file)  # the least recently used cache is the first to go
        self._index = mmap.mmap(self._index_file, size, access=mmap.ACCESS_READ)

    def _find(self, number: int) -> list[np.ndarray] | None:
        assert self._index is not None
        told = self._index[number * self.record.size : (number + 1) * self.record.size]
        checksum, start, *rest = self.record.unpack(told)
        end, places = start, []
        for first in range(0, len(rest), 4):
            h, w, c, wide = rest[first : first + 4]
            if h:
                places.append((end, (h, w, c), f"<u{wide}"))
                end += h * w * c * wide
        if end == start or not self._mapped(end):
            return None
        assert self._data is not None
        if not self._checked[number]:  # once for each process: what is whole stays so
            if zlib.crc32(memoryview(self._data)[start:end], zlib.crc32(told[4:])) != checksum:
                return None
            self._checked[number] = True
        return [np.ndarray(shape, kind, self._data, offset) for offset, shape, kind in places]

    def _mapped(self, end: int) -> bool:
        """Whether the data reaches up to `end`. Its map is made anew when the file has grown beyond it."""
        if self._data is None or len(self._data) < end:
            size = os.fstat(self._data_file).st_size
            if size < end:
                return False
            self._data = mmap.mmap(self._data_file, size, access=mmap.ACCESS_READ)  # pictures given keep the old map
        return True

    def _append(self, number: int, pictures: list[np.ndarray]) -> None:
        pixels = b"".join(picture.tobytes() for picture in pictures)
        end = os.fstat(self._data_file).st_size
        if end + len(pixels) > self._granted:
            self._granted = self._room(end, len(pixels))
            if end + len(pixels) > self._granted:
                self._growing = False  # what does not fit is decoded each time
                return
        shapes = [number for picture in pictures for number in (*picture.shape, picture.itemsize)]
        told = self.record.pack(0, end, *shapes, *[0] * (4 * self.planes - len(shapes)))[4:]
        record = zlib.crc32(pixels, zlib.crc32(told)).to_bytes(4, "little") + told
        try:
            _write(self._data_file, pixels, end)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._data_file, end)
            raise
        _write(self._index_file, record, number * self.record.size)

    def _room(self, end: int, more: int) -> int:
        """The size that the data may have; the least recently used caches are removed for it, if nobody has them open.

        `end` is its size now, and `more` what it is about to grow by.
        """
        others: dict[Path, os.stat_result] = {}
        for path in self.folder.glob("*.data"):
            with contextlib.suppress(FileNotFoundError):  # another process may be making room as well
                others |= {path: path.stat()} if path.stem != self.key else {}
        taken = sum(state.st_size for state in others.values())

        def allowed() -> int:
            return min(self.budget - taken, end + shutil.disk_usage(self.folder).free - SPARE)

        for path in sorted(others, key=lambda path: others[path].st_mtime_ns):
            if end + more <= allowed():
                break
            taken -= others[path].st_size if _remove(path) else 0
        return min(allowed(), end + more + STRIDE)

    def _stop(self, problem: OSError) -> None:
        self._growing = False
        self.trouble = (
            f"{self.folder}: decoded pictures cannot be kept there ({problem.strerror or problem}), so they are "
            f"decoded again in every epoch. --set data.cache=off does without and says nothing."
        )


def _remove(data: Path) -> bool:
    """Remove a cache, unless somebody has it open."""
    try:
        file = os.open(data, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            data.with_suffix(".index").unlink(missing_ok=True)
            data.unlink(missing_ok=True)
        finally:
            os.close(file)
    except OSError:
        return False
    return True


def _write(file: int, content: bytes, offset: int) -> None:
    """All of it: a disk that is nearly full takes a part and says so only when it is asked to take the rest."""
    view = memoryview(content)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written


def _close(files: list[int]) -> None:
    for file in files:
        os.close(file)

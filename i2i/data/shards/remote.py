"""Shards that lie elsewhere: whatever fsspec opens, fetched whole, once for a machine, and kept while there is room."""

import hashlib
import os
import shutil
import threading
import time
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from filelock import FileLock

from i2i.errors import UserError
from i2i.paths import home

BUDGET = 2**34  # bytes of disk that fetched shards may take together
SPARE = 2**30  # bytes of disk that are always left to saved states
CHUNK = 2**23  # bytes that are asked for at once
TRIES = 5  # of one shard, without a byte of progress between two
WAIT = 1.0  # seconds before the second try, doubled before each further one
SILENCE = 60  # seconds without a byte after which an http connection counts as broken
ABANDONED = 86400  # seconds after which a half-fetched shard is nobody's any more


def is_remote(place: str) -> bool:
    """Whether `place` is a URL of another machine, or of another kind of storage."""
    return "://" in place


def filesystem(url: str) -> tuple[Any, str]:
    """(fsspec's file system, the path in it). Raises UserError that names the package which is missing."""
    import fsspec

    scheme = url.split("://")[0]
    options: dict[str, Any] = {}
    if scheme in ("http", "https"):
        import aiohttp

        # The library's own limit of 5 minutes for a whole answer would cut large shards on slow lines.
        patience = aiohttp.ClientTimeout(total=None, sock_connect=SILENCE, sock_read=SILENCE)
        options = {"client_kwargs": {"timeout": patience, "trust_env": True}}  # proxies, as other programs find them
    try:
        fs, path = fsspec.core.url_to_fs(url, **options)
    except ImportError as problem:
        raise UserError(f"{url}: reading {scheme}:// needs one more package. {problem} (with pip).") from None
    except ValueError as problem:
        raise UserError(f"{url}: {problem}. fsspec knows: file, http, https, s3, gs, az, hf, ...") from None
    return fs, path


def local(shard: str, version: str) -> Path:
    """The file of a shard on this machine: it is fetched if it is not there.

    `version` is `<bytes>:<sha256>`; either may be empty, both are checked. Raises UserError that names the URL.
    """
    if not is_remote(shard):
        return Path(shard)
    path = _kept(shard, version)
    if _touched(path):
        return path
    size, _, checksum = version.partition(":")
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not _touched(path):
            _make_room(shard, path.parent, int(size or 0))
            half = path.with_suffix(".part")
            _fetch(shard, half, int(size) if size else None, checksum)
            half.replace(path)
    return path


def prefetch(shard: str, version: str) -> None:
    """Have a shard fetched in the background; what goes wrong is met again by whoever reads it."""
    if is_remote(shard) and not _kept(shard, version).exists():
        _Fetcher.here().ask(shard, version)


class _Fetcher:
    """A thread of this process that fetches one shard after the other."""

    _by_process: dict[int, "_Fetcher"] = {}  # noqa: RUF012, a fork takes it along but not its threads

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[str, str]] = SimpleQueue()
        self._asked: set[tuple[str, str]] = set()
        threading.Thread(target=self._run, daemon=True).start()

    @classmethod
    def here(cls) -> "_Fetcher":
        if os.getpid() not in cls._by_process:
            cls._by_process = {os.getpid(): cls()}
        return cls._by_process[os.getpid()]

    def ask(self, shard: str, version: str) -> None:
        if (shard, version) not in self._asked:
            self._asked.add((shard, version))
            self._queue.put((shard, version))

    def _run(self) -> None:
        while True:
            wanted = self._queue.get()
            with suppress(UserError, OSError):
                local(*wanted)
            self._asked.discard(wanted)


def _kept(shard: str, version: str) -> Path:
    name = hashlib.sha256(f"{shard}\0{version}".encode()).hexdigest()[:32]
    return home() / "cache" / "shards" / f"{name}.tar"


def _touched(path: Path) -> bool:
    """Whether it is there; it is now the last to go."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return True


def _make_room(shard: str, folder: Path, size: int) -> None:
    """Remove the least recently used shards until `size` bytes more fit. An open file stays readable."""
    there: list[tuple[float, int, Path]] = []
    for path in folder.iterdir():
        with suppress(FileNotFoundError):  # another process may be making room as well
            state = path.stat()
            if path.suffix == ".part" and state.st_mtime < time.time() - ABANDONED:
                path.unlink()
            elif path.suffix == ".tar":
                there.append((state.st_mtime, state.st_size, path))
    taken = sum(length for _, length, _ in there)
    for _, length, path in sorted(there):
        if taken + size <= BUDGET and shutil.disk_usage(folder).free >= size + SPARE:
            return
        path.unlink(missing_ok=True)
        taken -= length
    free = shutil.disk_usage(folder).free
    if free < size + SPARE:
        raise UserError(
            f"{shard}: its {size:,} bytes do not fit on the disk of {folder}, which has {free:,} bytes free; "
            f"{SPARE:,} are left for other things. Make room, or set I2I_HOME to another disk."
        )


def _fetch(shard: str, target: Path, size: int | None, checksum: str) -> None:
    """Write all of a shard to `target`, going on where a connection broke if the server can."""
    fs, path = filesystem(shard)
    done, failed = 0, 0
    while True:
        before = done
        try:
            done = _go_on(fs, path, target, done)
            if size is None or done >= size:
                break
            raise ConnectionError(f"it ended after {done:,} of {size:,} bytes")
        except FileNotFoundError:
            raise UserError(f"{shard}: there is no such file.") from None
        except Exception as problem:  # each file system has errors of its own
            done = target.stat().st_size if target.exists() else 0
            failed = 1 if done > before else failed + 1
            if failed == TRIES:
                raise UserError(
                    f"{shard}: could not be read ({type(problem).__name__}: {problem}) in {TRIES} tries, "
                    f"{done:,} bytes came. Is the address right, and the server up? The run can be resumed."
                ) from None
            time.sleep(WAIT * 2 ** (failed - 1))
    _check(shard, target, size, checksum)


def _go_on(fs: Any, path: str, target: Path, done: int) -> int:
    """Read from byte `done` to the end; returns the size of what is there. A stream can only be read from its start."""
    with (
        fs.open(path, "rb", block_size=CHUNK, cache_type="none") as source,
        open(target, "r+b" if done else "wb") as file,
    ):
        if done:
            try:
                source.seek(done)
            except (ValueError, OSError, NotImplementedError):
                done = 0
        file.seek(done)
        file.truncate()
        while chunk := source.read(CHUNK):
            file.write(chunk)
            done += len(chunk)
    return done


def _check(shard: str, file: Path, size: int | None, checksum: str) -> None:
    found = file.stat().st_size
    if size is not None and found != size:
        file.unlink()
        raise UserError(f"{shard}: expected {size:,} bytes, got {found:,}: it is not the file that was listed.")
    if checksum:
        with file.open("rb") as opened:
            told = hashlib.file_digest(opened, "sha256").hexdigest()
        if told != checksum:
            file.unlink()
            raise UserError(f"{shard}: expected sha256 {checksum}, got {told}: it is not the file that was listed.")

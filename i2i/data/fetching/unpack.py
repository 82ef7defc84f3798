"""Zip and tar archives of strangers → files below one folder, and nothing anywhere else. Our own copy loop, since the
libraries' extraction trusts names, links and sizes; names and types are read by them."""

import gzip
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from i2i.data.fetching.disk import check_room, writing, written
from i2i.errors import UserError
from i2i.images import is_picture

COPY = 2**20  # bytes that are copied at a time
BLOCK = tarfile.BLOCKSIZE
MOST_HEADER = 2**16  # bytes of a tar file's extended header: some names, a few times
MOST_AFTER = 2**24  # bytes of a tar stream after its end: padding
LEAST_TOTAL = 2**26  # bytes that any archive may unpack to
# What the readers raise over damage; RuntimeError is also an encrypted zip. Trouble in writing never gets that far.
BROKEN = (
    zipfile.BadZipFile, tarfile.TarError, zlib.error, struct.error, OSError, EOFError, ValueError, IndexError,
    RuntimeError,
)  # fmt: skip


class BadArchive(UserError):
    """It is the archive's own fault: another attempt with the same file ends the same way."""


@dataclass(frozen=True)
class Caps:
    """What an archive may hold. Pictures are packed already: what grows twentyfold is no set of them."""

    members: int = 1_000_000
    member: int = 2**26  # bytes of one unpacked file
    total: int = 2**36  # bytes of all of them
    ratio: int = 20  # of all of them to the archive's own size


@dataclass(frozen=True)
class Unpacked:
    files: int
    bytes: int


class _Content(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True)
class _Member:
    """A file in an archive: `size` is what the archive claims."""

    name: str
    size: int
    content: _Content


def unpack(
    archive: Path,
    folder: Path,
    *,
    wanted: Callable[[str], bool] = is_picture,
    caps: Caps = Caps(),
    progress: Callable[[int, int | None], object] = lambda done, total: None,
) -> Unpacked:
    """Copies an archive's pictures, or what is `wanted` by its name, below `folder`; `progress` tells the bytes of the
    archive that are done, and of how many. BadArchive for what is no whole zip, tar or tar.gz archive, for one with
    links, devices, names that lead out of it or names that are one on some platforms, and for sizes beyond `caps`;
    UserError for a full disk. What was copied until then stays: give a folder that is thrown away."""
    size = archive.stat().st_size
    limit = min(caps.total, max(LEAST_TOTAL, caps.ratio * size))
    names: dict[str, str] = {}
    files = total = seen = claimed = 0
    kept = f"{archive} is left as it is."
    too_much = BadArchive(
        f"{archive}: unpacks to over {caps.member:,} bytes a file or {limit:,} in all, which no pictures do that are "
        f"{size:,} bytes when packed."
    )
    folder.mkdir(parents=True, exist_ok=True)
    with _readable(archive), _opened(archive, progress) as members:
        for member in members:
            seen += 1
            if seen > caps.members:
                raise BadArchive(f"{archive}: more than {caps.members:,} files, the most that are unpacked.")
            target = folder / _checked(archive, member.name, names)
            claimed += member.size
            if member.size > caps.member or claimed > limit:
                raise too_much
            if not wanted(member.name):
                continue
            with writing(folder, kept):
                target.parent.mkdir(parents=True, exist_ok=True)
            with written(target, "xb", kept) as file:
                copied = 0
                while piece := member.content.read(COPY):
                    copied += len(piece)
                    if copied > caps.member or total + copied > limit:  # headers only claim sizes
                        raise too_much
                    with writing(folder, kept):
                        file.write(piece)
            files, total = files + 1, total + copied
    progress(size, size)
    return Unpacked(files, total)


@contextmanager
def _readable(archive: Path) -> Iterator[None]:
    try:
        yield
    except BROKEN as problem:
        raise BadArchive(f"{archive}: not a whole zip, tar or tar.gz archive that can be read ({problem}).") from None


@contextmanager
def _opened(archive: Path, progress: Callable[[int, int | None], object]) -> Iterator[Iterator[_Member]]:
    """The members of an archive of whatever kind it is."""
    size = archive.stat().st_size
    with archive.open("rb") as raw:
        start = raw.read(BLOCK)
        raw.seek(0)
        if start[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=raw) as stream:
                yield _tar(archive, stream, lambda: progress(raw.tell(), size))
        elif start[257:262] == b"ustar":
            yield _tar(archive, raw, lambda: progress(raw.tell(), size))
        else:
            with zipfile.ZipFile(raw) as opened:
                yield _zip(archive, opened, progress)


def _zip(archive: Path, opened: zipfile.ZipFile, progress: Callable[[int, int | None], object]) -> Iterator[_Member]:
    size, done = archive.stat().st_size, 0
    for info in opened.infolist():
        mode = info.external_attr >> 16  # as Unix wrote it, 0 from elsewhere
        if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise _no_file(archive, info.filename)
        if not info.is_dir():
            with closing(opened.open(info)) as content:
                yield _Member(info.filename, info.file_size, content)
        done += info.compress_size
        progress(min(done, size), size)


def _tar(archive: Path, stream: _Content, advance: Callable[[], object]) -> Iterator[_Member]:
    """Read forwards only, a block at a time: nothing that a header claims is believed to fit into memory."""
    told: dict[str, str] = {}  # of the next file, by the headers before it
    while True:
        block = stream.read(BLOCK)
        if block == bytes(BLOCK):
            break
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
        if info.type in (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME):
            if not 0 <= info.size <= MOST_HEADER:
                raise tarfile.HeaderError(f"a header of {info.size:,} bytes")
            header = _exactly(stream, info.size)
            _exactly(stream, -info.size % BLOCK)
            if info.type == tarfile.GNUTYPE_LONGNAME:
                told["path"] = header.split(b"\0")[0].decode("utf-8", "surrogateescape")
            elif info.type != tarfile.XGLTYPE:  # that one speaks of all files: comments, mostly
                told |= _pax(header)
            continue
        name, size = told.get("path", info.name), int(told.get("size", info.size))
        sparse = info.type == tarfile.GNUTYPE_SPARSE or any(key.startswith("GNU.sparse") for key in told)
        if sparse or not (info.isreg() or info.isdir()):
            raise _no_file(archive, name)
        if size < 0:
            raise tarfile.HeaderError("a header that does not add up")
        told = {}
        if info.isdir():
            continue
        content = _Slice(stream, size)
        yield _Member(name, size, content)
        content.skip()
        _exactly(stream, -size % BLOCK)
        advance()
    if len(stream.read(MOST_AFTER)) == MOST_AFTER:  # also checks the sum at the end of a gz
        raise tarfile.ReadError("it goes on after its end")


class _Slice:
    """The next `size` bytes of a stream."""

    def __init__(self, stream: _Content, size: int) -> None:
        self.stream, self.left = stream, size

    def read(self, size: int) -> bytes:
        piece = _exactly(self.stream, min(size, self.left))
        self.left -= len(piece)
        return piece

    def skip(self) -> None:
        while self.read(COPY):
            pass


def _exactly(stream: _Content, size: int) -> bytes:
    content = stream.read(size)
    if len(content) < size:
        raise EOFError("it ends within a file")
    return content


def _pax(content: bytes) -> dict[str, str]:
    """Records of a pax header, `LENGTH KEY=VALUE\\n` each."""
    found: dict[str, str] = {}
    while content:
        digits, _, _ = content.partition(b" ")
        if not digits.isdigit() or not len(digits) < int(digits) <= len(content):
            raise tarfile.HeaderError("a pax header that does not add up")
        key, _, value = content[len(digits) + 1 : int(digits) - 1].partition(b"=")
        found[key.decode("utf-8", "surrogateescape")] = value.decode("utf-8", "surrogateescape")
        content = content[int(digits) :]
    if not found.get("size", "0").isdecimal():
        raise tarfile.HeaderError("a pax header that does not add up")
    return found


def _checked(archive: Path, name: str, names: dict[str, str]) -> PurePosixPath:
    """The name as a path below a folder; `names` are those before it, as platforms that ignore case fold them."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or any(sign in name for sign in "\\:\0"):
        raise BadArchive(f"{archive}: the file name {name!r} leads out of the archive's own folder.")
    for depth in range(1, len(path.parts) + 1):
        upto = "/".join(path.parts[:depth])
        folded = unicodedata.normalize("NFC", upto).casefold()
        whole = depth == len(path.parts)
        if whole and folded in names:
            raise BadArchive(f"{archive}: {name!r} is there twice, perhaps but for capitals.")
        if names.setdefault(folded, f"{upto}/" if not whole else upto) != (f"{upto}/" if not whole else upto):
            raise BadArchive(f"{archive}: {name!r} and {names[folded]!r} are one name on some platforms.")
    return path


def _no_file(archive: Path, name: str) -> BadArchive:
    return BadArchive(f"{archive}: {name!r} is a link or a device, and only files are unpacked.")


def room_for(archive: Path, folder: Path) -> None:
    """UserError if what an archive claims to hold has no room below `folder`, which exists."""
    size = archive.stat().st_size
    if zipfile.is_zipfile(archive):
        with _readable(archive), zipfile.ZipFile(archive) as opened:
            size = min(sum(info.file_size for info in opened.infolist()), Caps.ratio * size)
    check_room(folder, size, f"unpacking {archive.name}")

"""The samples of one shard, found from the headers of the tar file: nothing is unpacked, nothing is trusted."""

import functools
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from i2i.errors import UserError
from i2i.images import is_picture

MAX_SAMPLES = 2**20  # of one shard
MAX_MEMBER = 2**31  # bytes of one file in it
MAX_NAME = 1024  # bytes
MAX_HEADER = 2**20  # bytes that are read at once: long names, attributes
MAX_CLASSES = 100_000
MAX_LABEL = 32  # bytes of a class number
ANY = "*"  # the one picture of a sample, whatever it is called


@dataclass(frozen=True)
class Picks:
    """What is taken from a sample `<key>.<field>`: `pictures` by what they are here, each a field `x` or `x.<suffix>`.

    `alone`: unpaired sides; a sample may have one of its pictures only.
    """

    pictures: dict[str, str]
    label: str | None = None
    alone: bool = False


Table = dict[str, np.ndarray]  # <picture>.name, .offset and .size of each sample; label; how many samples


def scan(file: Path, shard: str, picks: Picks) -> Table:
    """Where the chosen members of a shard lie. Raises UserError that names the shard and the sample that is wrong."""
    names: dict[str, list[tuple[bytes, int, int]]] = {name: [] for name in picks.pictures}
    labels: list[int] = []
    key, fields, samples = None, dict[str, tuple[int, int]](), 0
    try:
        with file.open("rb") as opened:
            for name, offset, size in _members(opened, shard):
                of, field = _parted(name)
                if of != key:
                    if key is not None:
                        samples += _enter(shard, key, fields, picks, names, labels, opened)
                    key, fields = of, {}
                if field in fields:
                    raise UserError(f"{shard}: the sample {key!r} has two files {field!r}.")
                fields[field] = (offset, size)
                if samples > MAX_SAMPLES:
                    raise UserError(f"{shard}: more than {MAX_SAMPLES:,} samples in one shard. Make smaller shards.")
            if key is not None:
                samples += _enter(shard, key, fields, picks, names, labels, opened)
    except OSError as problem:
        raise UserError(f"{shard}: the shard cannot be read ({problem.strerror or problem}).") from None
    if not samples:
        raise UserError(f"{shard}: no samples in it; expected files <key>.<field>, as WebDataset has them.")
    table: Table = {"label": np.array(labels, np.int32), "samples": np.array(samples)}
    for name, rows in names.items():
        table[f"{name}.name"] = np.array([row[0] for row in rows], "S")
        table[f"{name}.offset"] = np.array([row[1] for row in rows], np.int64)
        table[f"{name}.size"] = np.array([row[2] for row in rows], np.int64)
    return table


def fields(file: Path, shard: str) -> set[str]:
    """The fields of the first sample. Raises UserError."""
    key, found = None, set()
    with file.open("rb") as opened:
        for name, _, _ in _members(opened, shard):
            of, field = _parted(name)
            if key not in (None, of):
                break
            key = of
            found.add(field)
    return found


class _Headers:
    """A tar file of which only headers are read: a member that claims to be one of gigabytes is not believed."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.seek, self.tell = file, file.seek, file.tell

    def read(self, size: int) -> bytes:
        if not 0 <= size <= MAX_HEADER:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self._file.read(size)


def _members(file: BinaryIO, shard: str) -> Any:
    """(name, offset, size) of each visible file. A tar file ends with zeros; one that does not was cut short."""
    whole = file.seek(0, 2)
    file.seek(0)
    try:
        archive = tarfile.open(fileobj=_Headers(file), mode="r:")  # type: ignore[call-overload]  # noqa: SIM115
        before = -1
        while (member := archive.next()) is not None:
            archive.members = []  # or it would keep them all
            if not before < archive.offset or member.size < 0:
                raise tarfile.ReadError("headers that lead backwards")
            before = archive.offset
            if member.isdir():
                continue
            if not member.isreg() or member.issparse():
                raise UserError(f"{shard}: {member.name!r} is a link or a device; shards hold plain files.")
            if member.offset_data + member.size > whole:
                raise tarfile.ReadError(f"{member.name!r} ends beyond its end")
            if member.size > MAX_MEMBER or len(member.name) > MAX_NAME:
                raise UserError(f"{shard}: {member.name[:80]!r} is larger, or its name longer, than any picture's.")
            if not member.name.rpartition("/")[2].startswith("."):
                yield member.name, member.offset_data, member.size
        file.seek(archive.offset)
        last = file.read(512)
    except (tarfile.TarError, ValueError, UnicodeError) as problem:
        packed = " It may be compressed: unpack it first." if _is_packed(file) else ""
        raise UserError(f"{shard}: not a whole tar file ({problem}).{packed}") from None
    if len(last) < 512 or any(last):
        what = "a damaged header" if any(last) else "no end mark: it is cut short"
        raise UserError(f"{shard}: not a whole tar file (at byte {archive.offset:,} there is {what}).")


def _is_packed(file: BinaryIO) -> bool:
    file.seek(0)
    return file.read(6).startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd"))


def _parted(name: str) -> tuple[str, str]:
    """`dir/0001.a.png` → (`dir/0001`, `a.png`): the key ends at the first dot of the file's own name."""
    folder, slash, own = name.rpartition("/")
    key, _, field = own.partition(".")
    return f"{folder}{slash}{key}", field


def _enter(
    shard: str,
    key: str,
    fields: dict[str, tuple[int, int]],
    picks: Picks,
    names: dict[str, list[tuple[bytes, int, int]]],
    labels: list[int],
    file: BinaryIO,
) -> int:
    """Add one sample; returns 1."""
    found = {name: _field(shard, key, fields, wanted) for name, wanted in picks.pictures.items()}
    lacking = [name for name, field in found.items() if field is None]
    if lacking and (not picks.alone or len(lacking) == len(found)):
        wanted = picks.pictures[lacking[0]]
        raise UserError(
            f"{shard}: the sample {key!r} has no picture {lacking[0]!r} ({key}.{wanted}.<png, jpg, ...>); "
            f"it has {', '.join(sorted(fields))}. Say which it is: `columns: {{{lacking[0]}: ...}}`."
        )
    for name, field in found.items():
        if field is not None:
            names[name].append((f"{key}.{field}".encode("utf-8", "surrogateescape"), *fields[field]))
    if picks.label:
        labels.append(_label(shard, key, fields, picks.label, file))
    return 1


def _field(shard: str, key: str, fields: dict[str, tuple[int, int]], wanted: str) -> str | None:
    pictures = [field for field in fields if _is_picture(field)]
    if wanted == ANY:
        found = [field for field in pictures if field.startswith("a.")] or pictures
    else:
        found = [field for field in pictures if field == wanted or field.startswith(f"{wanted}.")]
    if len(found) > 1:
        raise UserError(
            f"{shard}: the sample {key!r} has several pictures for one: {', '.join(sorted(found))}. "
            f"Say which it is: `columns: {{a: {found[0]}}}`."
        )
    return found[0] if found else None


@functools.lru_cache(maxsize=256)
def _is_picture(field: str) -> bool:
    return is_picture(f"x.{field}")


def _label(shard: str, key: str, fields: dict[str, tuple[int, int]], wanted: str, file: BinaryIO) -> int:
    offset, size = fields.get(wanted, (0, 0))
    file.seek(offset)
    told = file.read(size) if 0 < size <= MAX_LABEL else b""
    if not told.strip().isdigit() or int(told) >= MAX_CLASSES:
        raise UserError(f"{shard}: expected a class number in {key}.{wanted}, got {told[:40]!r}.")
    return int(told)

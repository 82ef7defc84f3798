"""Which shards there are, and to which split each belongs: by `index.json` beside them, or by their names."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field, ValidationError, field_validator

from i2i.data.shards.remote import filesystem, is_remote
from i2i.data.split import SPLITS
from i2i.errors import UserError
from i2i.spec import Spec

LISTING = "index.json"
MAX_LISTING = 2**26  # bytes
MAX_SHARDS = 10**6
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}|\{([^{}]*,[^{}]*)\}")  # {000..099} or {train,val}


@dataclass(frozen=True)
class Shard:
    """A tar file: a path, or a URL. `version` is `<bytes>:<sha256>` as far as known, and `changed` a file's time."""

    place: str
    version: str
    samples: int | None = None
    changed: int = 0
    pictures: tuple[tuple[str, int], ...] = ()  # how many of a, b, ..., where samples may lack one

    def count(self, picture: str) -> int | None:
        """How many of a, b, ... are listed."""
        return dict(self.pictures).get(picture, 0) if self.pictures else self.samples

    @property
    def name(self) -> str:
        return self.place.rpartition("/")[2]


@dataclass(frozen=True)
class Found:
    """Shards by split, in the order of their names; `classes` and `side_by_side` where the listing tells."""

    splits: dict[str, tuple[Shard, ...]]
    classes: tuple[str, ...] = ()
    side_by_side: bool | None = None


class Entry(Spec):
    """One shard of the listing; its file lies beside it."""

    model_config = ConfigDict(extra="ignore")
    file: str
    bytes: int = Field(ge=1)
    samples: int = Field(ge=1)
    pictures: dict[str, int] = Field(default_factory=dict)  # of unpaired sides, how many of a and of b
    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")

    @field_validator("file")
    @classmethod
    def _lies_beside(cls, value: str) -> str:
        if value in ("", ".", "..") or re.search(r"[/\\\0]", value):
            raise ValueError(f"expected the name of a file beside the listing, got {value!r}")
        return value


class Listing(Spec):
    """`index.json`, as `i2i data make shards` writes it."""

    model_config = ConfigDict(extra="ignore")
    format: Literal[1]
    classes: tuple[str, ...] = ()
    side_by_side: bool | None = None
    splits: dict[Literal["train", "val", "test"], tuple[Entry, ...]]


def find(where: str) -> Found:
    """The shards of a folder, of a pattern with {000..099} or *, a single one, or a URL of these. Raises UserError."""
    where = where.removeprefix("file://")
    where = where if is_remote(where) else Path(where).expanduser().absolute().as_posix()
    base = where if not (where.endswith(".tar") or "{" in where or "*" in where) else where.rpartition("/")[0]
    base = base.rstrip("/")
    listing = _listing(base)
    if base == where.rstrip("/"):
        wanted = None if listing else _glob(f"{base}/*.tar")
    else:
        wanted = [each for one in _expanded(where) for each in (_glob(one) if "*" in one else [one])]
    if listing is None:
        return Found(_by_name(where, [_seen(place) for place in sorted(wanted or [])]))
    splits = {
        split: tuple(_listed(base, entry) for entry in entries if wanted is None or f"{base}/{entry.file}" in wanted)
        for split, entries in listing.splits.items()
        if entries
    }
    if not any(splits.values()):
        raise UserError(f"data.shards: {where}: none of the shards that {base}/{LISTING} lists.")
    return Found({k: v for k, v in splits.items() if v}, listing.classes, listing.side_by_side)


def _by_name(where: str, shards: list[Shard]) -> dict[str, tuple[Shard, ...]]:
    """`train-0001.tar` belongs to train; where no name tells, all do."""
    if not shards:
        raise UserError(
            f"data.shards: nothing at {where}. Expected train-000000.tar, ... (with val-*.tar, test-*.tar), made by "
            f"`i2i data make shards`, say; or name them: 'https://host/train-{{000000..000099}}.tar'."
        )
    told = {split: tuple(s for s in shards if re.match(rf"{split}[-_.]", s.name)) for split in SPLITS}
    rest = [shard for shard in shards if not any(shard in own for own in told.values())]
    if rest and any(told.values()):
        raise UserError(
            f"data.shards: {where}: which split is {rest[0].name}? Some names begin with train-, val- or test-, and "
            f"{len(rest)} of {len(shards)} do not."
        )
    return {split: own for split, own in told.items() if own} or {"train": tuple(rest)}


def _expanded(pattern: str) -> Iterator[str]:
    """Braces as a shell has them."""
    choices, size = [], 1
    for found in RANGE.finditer(pattern):
        first, last, names = found.groups()
        choices.append(
            names.split(",") if names else [f"{n:0{len(first)}}" for n in range(int(first), int(last) + 1)][:MAX_SHARDS]
        )
        size *= len(choices[-1])
    if not 0 < size <= MAX_SHARDS:
        raise UserError(f"data.shards: {pattern} stands for {size:,} files; expected 1 to {MAX_SHARDS:,}.")
    parts = re.split(r"\{[^{}]*\}", pattern)
    if len(parts) != len(choices) + 1:
        raise UserError(f"data.shards: {pattern}: expected braces like {{000..099}} or {{a,b}}.")
    for chosen in product(*choices):
        yield parts[0] + "".join(f"{value}{part}" for value, part in zip(chosen, parts[1:], strict=True))


def _glob(pattern: str) -> list[str]:
    if not is_remote(pattern):
        path = Path(pattern)
        return [each.as_posix() for each in path.parent.glob(path.name)] if path.parent.is_dir() else []
    fs, path_there = filesystem(pattern)
    try:
        return [fs.unstrip_protocol(each) for each in fs.glob(path_there)]
    except FileNotFoundError:
        return []
    except Exception as problem:  # each file system has errors of its own
        raise UserError(f"data.shards: {pattern} cannot be listed ({type(problem).__name__}: {problem}).") from None


def _listing(base: str) -> Listing | None:
    place = f"{base}/{LISTING}"
    try:
        if is_remote(base):
            fs, path = filesystem(place)
            content = fs.cat_file(path)
        elif Path(place).is_file():
            content = Path(place).read_bytes()
        else:
            return None
    except FileNotFoundError:
        return None
    except UserError:
        raise
    except Exception as problem:  # each file system has errors of its own
        raise UserError(f"data.shards: {place} cannot be read ({type(problem).__name__}: {problem}).") from None
    try:
        if len(content) > MAX_LISTING:
            raise ValueError(f"{len(content):,} bytes are more than {MAX_LISTING:,}")
        return Listing.model_validate_json(content)
    except ValidationError as problem:
        first = problem.errors()[0]
        told = f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
        raise UserError(f"{place} is no list of shards that this i2i reads ({told}).") from None
    except ValueError as problem:
        raise UserError(f"{place} is no list of shards that this i2i reads ({problem}).") from None


def _listed(base: str, entry: Entry) -> Shard:
    place = f"{base}/{entry.file}"
    if is_remote(base):
        return Shard(place, f"{entry.bytes}:{entry.sha256}", entry.samples, pictures=tuple(entry.pictures.items()))
    seen = _seen(place)
    if seen.version != f"{entry.bytes}:":
        raise UserError(
            f"{place}: expected {entry.bytes:,} bytes as {LISTING} says, got {seen.version[:-1]}. "
            f"Copy the shard again, or make the shards again."
        )
    return Shard(place, seen.version, entry.samples, seen.changed, tuple(entry.pictures.items()))


def _seen(place: str) -> Shard:
    """What the file system tells of a shard."""
    if is_remote(place):
        fs, path = filesystem(place)
        try:
            size = fs.info(path).get("size")
        except FileNotFoundError:
            raise UserError(f"data.shards: {place}: there is no such file.") from None
        except Exception as problem:  # each file system has errors of its own
            raise UserError(f"data.shards: {place} cannot be read ({type(problem).__name__}: {problem}).") from None
        return Shard(place, f"{size or ''}:")
    try:
        state = Path(place).stat()
    except OSError as problem:
        raise UserError(f"data.shards: {place}: {problem.strerror or problem}.") from None
    return Shard(place, f"{state.st_size}:", changed=max(state.st_mtime_ns, state.st_ctime_ns))

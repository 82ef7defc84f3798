"""Folders or manifests → WebDataset shards: tar files that are read from one end to the other, from any storage.

A sample's files are neighbours called <key>.a.<ext>, <key>.b.<ext>, <key>.<condition>.<ext>, and <key>.cls with its
class number. Pictures are copied as they are, not decoded. Equal inputs and seeds give equal bytes.
"""

import hashlib
import io
import json
import re
import tarfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from rich.console import Console

from i2i.data.crew import QUIET, each
from i2i.data.layouts import SPLITS
from i2i.data.make.listing import Listing, Sample, listing
from i2i.data.make.work import Made, fresh
from i2i.errors import UserError
from i2i.files import atomically
from i2i.images.atomic import Atomic
from i2i.images.formats import guarded, sniff

BLOCK = tarfile.BLOCKSIZE
OURS = re.compile(rf"({'|'.join(SPLITS)})-\d{{6,}}\.tar")
DOT = "_"  # in place of the dots of a name, for a key ends at the first


@dataclass(frozen=True)
class Bounds:
    """How large a shard may get: `size` bytes, and `count` samples if that is given. One sample always fits."""

    size: int = 512 * 10**6
    count: int | None = None

    def __post_init__(self) -> None:
        if self.size < 1 or (self.count is not None and self.count < 1):
            raise UserError(f"expected a size and a count above 0, got {self.size} bytes and {self.count} samples.")


@dataclass(frozen=True)
class Packed:
    """A sample as it is stored: (name, content) of its members."""

    members: tuple[tuple[str, bytes], ...]

    @property
    def room(self) -> int:
        """Bytes in a tar file: a header, and content in whole blocks."""
        return sum(BLOCK * (1 + -(-len(content) // BLOCK)) for _, content in self.members)


class Summed:
    """A file that is written once, from the start, and knows its sha256."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.sum, self.size = file, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self.sum.update(data)
        self.size += len(data)
        return self.file.write(data)

    def tell(self) -> int:
        return self.size


def shards(
    place: Path,
    out: Path,
    bounds: Bounds | None = None,
    *,
    layout: str | None = None,
    conditions: Sequence[str] | None = None,
    seed: int = 0,
    force: bool = False,
    console: Console = QUIET,
) -> Made:
    """`out`/train-000000.tar, ... (val, test), their samples mixed once by the seed, and index.json, written last.

    `layout` and `conditions`: see `listing`. With `force`, shards that are there are replaced. Raises UserError when
    nothing can start.
    """
    begin = time.monotonic()
    fresh(out, force, place)
    found = listing(place, layout, conditions)
    if found.side_by_side:
        raise UserError(f"{place} holds pairs side by side. First type: i2i data make separate {place} -o FOLDER")
    _clear(out)
    used = 0
    skipped: list[tuple[Path, str]] = []
    splits: dict[str, list[dict[str, object]]] = {}
    for split, (count, pick) in found.splits.items():
        order = np.random.default_rng([seed, SPLITS.index(split)]).permutation(count)
        keys: set[str] | None = set() if place.is_dir() else None  # rows are numbered, so their keys differ
        samples = _read(f"{split} shards", (pick(int(index)) for index in order), count, keys, skipped, console)
        splits[split] = list(_written(split, samples, out, bounds or Bounds()))
        used += sum(int(str(shard["samples"])) for shard in splits[split])
        if not splits[split]:
            del splits[split]
    told = {"format": 1, "layout": found.layout, "classes": list(found.classes), "splits": splits}
    atomically(out / "index.json", lambda path: path.write_text(json.dumps(told, indent=1) + "\n", "utf-8"))
    files = sum(len(part) for part in splits.values()) + 1
    return Made(out, used, files, tuple(skipped), time.monotonic() - begin, _note(found, splits))


def bytes_of(text: str) -> int:
    """'512MB' → 512,000,000. Raises UserError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMGT]?)(i?)B?", text.strip(), re.IGNORECASE)
    if found is None:
        raise UserError(f"--size {text}: expected bytes, or a number with kB, MB, GB, or KiB, MiB, GiB.")
    return int(
        float(found[1]) * (1024 if found[3] else 1000) ** ("kmgt".index(found[2].lower()) + 1 if found[2] else 0)
    )


def pack(sample: Sample) -> Packed:
    """Reads a sample's files. Raises UserError for one that is missing, or whose first bytes are no picture's."""
    key = sample.name.replace(".", DOT)
    members = []
    for role, reference in sorted(sample.files.items()):
        with guarded(str(reference)):
            try:
                content = reference.read_bytes() if isinstance(reference, Path) else reference.read()
            except OSError as problem:
                raise UserError(f"cannot be opened ({problem.strerror})") from None
            sniff(io.BytesIO(content))
        members.append((f"{key}.{role}{reference.suffix.lower()}", content))
    if sample.label is not None:
        members.append((f"{key}.cls", str(sample.label).encode()))
    return Packed(tuple(members))


def _read(
    title: str,
    samples: Iterator[Sample],
    count: int,
    keys: set[str] | None,
    skipped: list[tuple[Path, str]],
    console: Console,
) -> Iterator[Packed]:
    """The samples that can be read, in their order; others are entered into `skipped`."""
    for sample, packed in each(title, samples, pack, console, count):
        path = next(iter(sample.files.values()))
        if isinstance(packed, str):
            skipped.append((Path(str(path)), packed.removeprefix(f"{path}: ")))
            continue
        if keys is not None:
            key = sample.name.replace(".", DOT)
            if key in keys:
                raise UserError(f"{path}: another picture is called '{key}' too, but for dots. Rename one of them.")
            keys.add(key)
        yield packed


def _written(split: str, samples: Iterator[Packed], out: Path, bounds: Bounds) -> Iterator[dict[str, object]]:
    """Fills shard after shard; yields what the index says of each."""
    number, waiting = 0, next(samples, None)
    while waiting is not None:
        path = out / f"{split}-{number:06}.tar"
        with Atomic(path, force=False) as file:
            summed, count, room = Summed(file), 0, 0
            with tarfile.open(fileobj=summed, mode="w", format=tarfile.GNU_FORMAT) as tar:  # type: ignore[call-overload]
                while waiting is not None and (not count or _fits(count, room + waiting.room, bounds)):
                    for name, content in waiting.members:
                        member = tarfile.TarInfo(name)  # of no one, from 1970, so that bytes are equal on any day
                        member.size = len(content)
                        tar.addfile(member, io.BytesIO(content))
                    count, room = count + 1, room + waiting.room
                    waiting = next(samples, None)
        yield {"file": path.name, "bytes": summed.size, "samples": count, "sha256": summed.sum.hexdigest()}
        number += 1


def _fits(count: int, room: int, bounds: Bounds) -> bool:
    return room <= bounds.size and (bounds.count is None or count < bounds.count)


def _clear(out: Path) -> None:
    """Shards that are there would be taken for new ones."""
    if out.is_dir():
        (out / "index.json").unlink(missing_ok=True)  # first: without it, nobody takes what is left for whole
        for path in out.iterdir():
            if OURS.fullmatch(path.name):
                path.unlink()


def _note(found: Listing, splits: dict[str, list[dict[str, object]]]) -> str:
    told = ", ".join(f"{split} {sum(int(str(shard['samples'])) for shard in part):,}" for split, part in splits.items())
    return f"{found.layout}: {told}"

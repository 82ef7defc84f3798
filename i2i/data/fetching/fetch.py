"""`i2i data fetch`: a data set from its publishers or from a file to its folder, which appears whole or not at all."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from pydantic import TypeAdapter
from rich.console import Console
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from i2i.data import layouts
from i2i.data.fetching import arrays, trust
from i2i.data.fetching.disk import writing
from i2i.data.fetching.http import Patience
from i2i.data.fetching.sources import Came, downloads, from_hand, from_network, line
from i2i.data.fetching.unpack import BadArchive, Unpacked, room_for, unpack
from i2i.data.sets.cards import Card, card
from i2i.data.sets.datasets import RECORD, here, how_to_get, place, root
from i2i.data.spec import Data
from i2i.errors import UserError
from i2i.images import is_picture

QUIET = Console(quiet=True)
COLUMNS = (
    TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(),
)  # fmt: skip
SIDES = {"a", "b", "train", "val", "test", *(f"{split}{side}" for split in ("train", "val", "test") for side in "ab")}


def fetch(
    name: str,
    *,
    archive: Path | None = None,
    base: str | None = None,
    trust_sha256: str | None = None,
    keep: bool = False,
    force: bool = False,
    patience: Patience = Patience(),
    console: Console = QUIET,
) -> Path:
    """Brings a data set into its folder, which is returned. A download that broke off is continued.

    `archive`: a file that was downloaded elsewhere, or the folder of such files; it is left as it is. `base`: the
    address of a mirror of your own, which has `<base>/<set>/<file>`, to ask in place of the publishers. `trust_sha256`:
    the file to accept although another one came the first time. `keep`: the downloaded files stay in
    `<I2I_HOME>/downloads/<set>`. `force`: download anew, and replace the folder if it is there. Raises UserError.
    """
    told = card(name)
    if told.archive is None:
        return root(name)
    if not told.fetchable:
        raise UserError(how_to_get(told))
    folder = place(name)
    with _alone(name, console):
        if here(name) and not force:
            _say(console, f"{name} is here: {folder}")
            return folder
        files = told.archive.files
        with Progress(*COLUMNS, console=console, disable=not console.is_terminal) as bar:
            if archive is not None:
                came = [from_hand(told, file, archive, bar) for file in files]
            else:
                came = [from_network(told, file, base, force, patience, bar) for file in files]
            for each in came:
                if each.file.sha256 is None:
                    _check_trust(name, each, archive, trust_sha256)
            try:
                unpacked = _unpack(told, came, line(bar, f"unpacking {name}"))
            except BadArchive:
                if archive is None and not all(file.sha256 for file in files):
                    # Perhaps what came was cut off: the next attempt shall not start with the same file.
                    shutil.rmtree(downloads(name), ignore_errors=True)
                raise
        for each in came:
            if each.file.sha256 is None:
                _remember(name, each, console)
        if archive is None and not keep:
            shutil.rmtree(downloads(name), ignore_errors=True)
    _say(console, f"{name}: {unpacked.files:,} pictures, {decimal(unpacked.bytes)}, in {folder}")
    if (promised := sum(told.counts.values())) not in (0, unpacked.files):
        _say(console, f"{name}: its card speaks of {promised:,} pictures.")
    return folder


@contextmanager
def _alone(name: str, console: Console) -> Iterator[None]:
    """One process at a time fetches a set; whoever comes second finds it there."""
    folder = downloads(name).parent
    with writing(folder, "Nothing was downloaded."):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f".{name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            _say(console, f"Another process fetches {name}; waiting for it.")
            lock.acquire()
    try:
        for left in place(name).parent.glob(f".{name}.*"):  # by a process that was killed while unpacking
            shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        lock.release()


def _check_trust(name: str, came: Came, archive: Path | None, trusted: str | None) -> None:
    """A file without a published checksum must be what came the first time, or what the user says."""
    before, got = trust.seen(name, came.file.name), came.sums
    if trusted is not None:
        if got.sha256 != trusted.lower():
            raise UserError(f"{name}: {came.file.name} has sha256 {got.sha256}, not the {trusted} to be trusted.")
    elif before is not None and before.sha256 != got.sha256:
        by = f" --archive {archive}" if archive else ""
        raise UserError(
            f"{name}: {came.file.name} is not what it was on {before.date}, when it came first from {before.url}.\n"
            f"  then {before.bytes:,} bytes, sha256 {before.sha256}\n"
            f"  now  {got.bytes:,} bytes, sha256 {got.sha256}\n"
            f"Find out why before you use it. To trust the new one from now on:\n"
            f"  i2i data fetch {name}{by} --trust {got.sha256}\n"
            f"To download it once more: --force. What is known is in {trust.lock_file()}"
        )


def _remember(name: str, came: Came, console: Console) -> None:
    before, got = trust.seen(name, came.file.name), came.sums
    if before is not None and before.sha256 == got.sha256:
        return
    trust.remember(name, came.file.name, url=came.url, size=got.bytes, sha256=got.sha256)
    _say(
        console,
        f"{came.file.name} has no published checksum. It is trusted as it came now, sha256 {got.sha256}; another file "
        f"will be refused from now on ({trust.lock_file()}).",
    )


def _unpack(told: Card, came: list[Came], progress: Callable[[int, int | None], None]) -> Unpacked:
    """The files → the folder of the set, moved to its place in one step."""
    assert told.archive is not None
    folder, kept = place(told.name), "What was downloaded is kept."
    with writing(folder.parent, kept):
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{told.name}."))
    try:
        made = temporary / "made"
        if told.archive.reader is None:
            (each,) = came
            room_for(each.path, temporary)
            unpacked = unpack(each.path, made, progress=progress)
            made = _inner(made)
            for theirs, ours in told.archive.rename.items():
                if (made / theirs).is_dir():
                    os.rename(made / theirs, made / ours)
        else:
            scratch = temporary / "scratch"
            scratch.mkdir()
            with writing(temporary, kept):
                unpacked = arrays.write_out(told.archive, [each.path for each in came], made, scratch, progress)
        _check_layout(told, made)
        record = {"from": [each.url for each in came], "pictures": unpacked.files, "bytes": unpacked.bytes}
        with writing(temporary, kept):
            (made / RECORD).write_text(f"{json.dumps(record, indent=2)}\n", "utf-8")
            if hasattr(os, "sync"):
                os.sync()  # the folder must not appear before what is in it, nor the archive go
            if folder.exists():
                os.rename(folder, temporary / "replaced")
            os.rename(made, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return unpacked


def _inner(folder: Path) -> Path:
    """Without the folders that hold but one folder, as most archives have: facades/train → train."""
    while True:
        below = [path for path in folder.iterdir() if not path.name.startswith(".")]
        if len(below) != 1 or not below[0].is_dir() or below[0].name.lower() in SIDES:
            return folder
        folder = below[0]


def _check_layout(told: Card, folder: Path) -> None:
    """BadArchive if the training pictures are not where the card's layout has them."""
    assert told.archive is not None
    spec: Data = TypeAdapter(Data).validate_python({"layout": told.layout, "root": str(folder), "crop": 1})
    try:
        layouts.open_split(spec, "train")
    except UserError as problem:
        there = sorted({path.parent.relative_to(folder).as_posix() for path in folder.rglob("*") if is_picture(path)})
        raise BadArchive(
            f"{told.name}: what was unpacked is not {told.archive.expects}; pictures are in {', '.join(there[:8])}"
            f"{', ...' if len(there) > 8 else ''}. {str(problem).replace(str(folder), told.name)}"
        ) from None


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True)

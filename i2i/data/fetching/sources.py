"""The files of a set, from the network or from the user's hand, checked against what is published of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress, TaskID

from i2i.data.fetching.download import MOST, Sums, Wanted, download, part_of, sums
from i2i.data.fetching.http import Patience, Refused
from i2i.data.sets.cards import Card, File
from i2i.data.sets.datasets import by_hand
from i2i.errors import UserError
from i2i.paths import home

SLACK = 4  # a file may be so many times as long as it is said to be about


@dataclass(frozen=True)
class Came:
    """A file that is here: `url` is the address, or the path, that it came from."""

    file: File
    path: Path
    url: str
    sums: Sums


def downloads(name: str) -> Path:
    """Where the files of a set are kept until they are unpacked."""
    return home() / "downloads" / name


def from_network(told: Card, file: File, base: str | None, force: bool, patience: Patience, bar: Progress) -> Came:
    """A file from its publishers, from a mirror of the user's own (`base`), or from an earlier attempt."""
    target = downloads(told.name) / file.name
    urls = file.urls if base is None else (f"{base.rstrip('/')}/{told.name}/{file.name}",)
    most = SLACK * file.about if file.about else MOST
    spare = file.bytes or file.about or 0  # pictures take as much room as when packed
    wanted = Wanted(urls, file.bytes, file.sha256, file.md5, most=most, spare=spare)
    checking = line(bar, f"checking {file.name}")
    if force and not wanted.known:  # else what is there is as good as what would come
        target.unlink(missing_ok=True)
        part_of(target).unlink(missing_ok=True)
    if target.is_file():  # by a process that was killed after the download
        got = sums(target, wanted, checking)
        if not got.differ(wanted):
            return Came(file, target, urls[0], got)
        target.unlink()
    if urls[0].startswith("http:") and not wanted.known:
        _say(bar, f"{urls[0]} is no https address and has no published checksum: nobody vouches for what comes.")
    try:
        url, got = download(
            wanted,
            target,
            patience=patience,
            progress=line(bar, f"fetching {file.name}"),
            checking=checking,
            note=lambda text: _say(bar, text),
        )
    except Refused as problem:
        raise UserError(f"{told.name}: {file.name} could not be fetched.\n  {problem}\n{by_hand(told)}") from None
    return Came(file, target, url, got)


def from_hand(told: Card, file: File, archive: Path, bar: Progress) -> Came:
    """A file that the user has downloaded elsewhere: `archive` is the file, or the folder that it is in."""
    assert told.archive is not None
    path = archive / file.name if archive.is_dir() else archive
    if not path.is_file() or (len(told.archive.files) > 1 and not archive.is_dir()):
        needed = ", ".join(each.name for each in told.archive.files)
        raise UserError(f"--archive {archive}: expected {needed}, or a folder with that in it.\n{by_hand(told)}")
    wanted = Wanted((), file.bytes, file.sha256, file.md5)
    try:
        got = sums(path, wanted, line(bar, f"checking {file.name}"))
    except OSError as problem:
        raise UserError(f"--archive {archive}: cannot be read ({problem}).") from None
    if difference := got.differ(wanted):
        raise UserError(f"--archive {archive}: not the file {file.name} of {told.name}: {difference}.\n{by_hand(told)}")
    return Came(file, path, str(path), got)


def line(bar: Progress, name: str) -> Callable[[int, int | None], None]:
    """A line of the progress bar, there from the first news on."""
    tasks: list[TaskID] = []

    def show(done: int, total: int | None) -> None:
        if not tasks:
            tasks.append(bar.add_task(name, total=total))
        bar.update(tasks[0], completed=done, total=total)

    return show


def _say(bar: Progress, text: str) -> None:
    bar.console.print(text, highlight=False, soft_wrap=True)

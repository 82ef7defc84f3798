"""The folder of a data set: where it is, made on first use where it ships with i2i, and what to type where not."""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from rich.filesize import decimal

from i2i.data.sets.cards import Card, File, card
from i2i.data.spec import Data, MixtureData
from i2i.errors import UserError
from i2i.paths import home, shared

RECORD = ".fetched"  # in a fetched folder: where it came from
STAMP = ".card"  # in a prepared folder: from which card and sources it was made


def place(name: str) -> Path:
    """Where the folder of a set is, or will be."""
    return home() / "datasets" / name


def here(name: str) -> bool:
    """Whether the folder of a set is there."""
    folder = place(name)
    return folder.is_dir() and any(folder.iterdir())


def missing(spec: Data) -> list[Card]:
    """The sets that a recipe's `data:` names, also in its mix, that are not here and that `fetch` can bring."""
    if isinstance(spec, MixtureData):
        return []
    named = dict.fromkeys(each.dataset for each in (spec, *spec.mix) if each.dataset is not None)
    return [told for told in map(card, named) if told.fetchable and not here(told.name)]


def root(name: str) -> Path:
    """The folder of a data set; one that ships with i2i is made on first use, and appears whole, also when two
    processes make it at once. Nothing is downloaded: UserError says how to get what is not here."""
    told = card(name)
    folder = place(name)
    if told.make is None:
        if here(name):
            return folder
        raise UserError(how_to_get(told))
    stamp = _stamp(told)
    if _stamped(folder) == stamp:
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{name}."))
    try:
        made = temporary / "made"
        told.make.prepare(shared("datasets"), made)
        (made / STAMP).write_text(stamp)
        if folder.is_dir() and _stamped(folder) != stamp:  # made from an older card
            os.rename(folder, temporary / "outdated")
        try:
            os.rename(made, folder)
        except OSError:
            if _stamped(folder) != stamp:  # else another process was quicker, with the same result
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def how_to_get(told: Card) -> str:
    """What to type for a set that is not here, with and without a network."""
    assert told.archive is not None
    folder, archive = place(told.name), told.archive
    if not told.fetchable:
        return (
            f"data set '{told.name}' does not ship with i2i, and it is yours to bring: {told.source.strip()}\n"
            f"Put it into\n  {folder}\nso that there is\n  {archive.expects}"
        )
    terms = f"licence: {told.licence}; commercial use: {told.commercial}"
    return (
        f"data set '{told.name}' is not here. Fetch it, {told.weight or 'of unknown size'} ({terms}):\n"
        f"  i2i data fetch {told.name}\n{by_hand(told)}\n"
        f"or unpack it to\n  {folder}\nso that there is\n  {archive.expects}"
    )


def by_hand(told: Card) -> str:
    """Which files to get elsewhere, what they should be, and the command that takes them."""
    assert told.archive is not None
    files = told.archive.files
    lines = "\n".join(_described(file) for file in files)
    what, it = ("this file", "it") if len(files) == 1 else ("these files", "the folder with them")
    return f"Without a network here, get {what} elsewhere:\n{lines}\nand bring {it}:\n  {archive_command(told)}"


def archive_command(told: Card) -> str:
    """What to type for files that were downloaded elsewhere."""
    assert told.archive is not None
    files = told.archive.files
    return f"i2i data fetch {told.name} --archive {files[0].name if len(files) == 1 else 'FOLDER'}"


def _described(file: File) -> str:
    or_from = "".join(f"\n  or  {mirror}" for mirror in file.mirrors)
    size = f"{file.bytes:,} bytes, " if file.bytes else f"about {decimal(file.about)}, " if file.about else ""
    if not file.sha256:
        return f"  {file.url}{or_from}\n  {size}its publishers state no checksum"
    return f"  {file.url}{or_from}\n  {size}sha256 {file.sha256}"


def _stamp(told: Card) -> str:
    """Changes with the card and with its source files' sizes; hashing the files would cost each start of a run."""
    assert told.make is not None
    sizes = [(shared("datasets") / source).stat().st_size for source in told.make.sources()]
    return hashlib.sha256(f"{told.make.model_dump_json()} {sizes}".encode()).hexdigest()


def _stamped(folder: Path) -> str | None:
    path = folder / STAMP
    return path.read_text() if path.is_file() else None

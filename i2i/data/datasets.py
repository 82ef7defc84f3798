"""Data set cards (`datasets/<name>.yaml`): what a set is, whose it is, and how its folder comes to be."""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from i2i.data.prepare import Npz, Tiles, Zip
from i2i.errors import UserError, suggest
from i2i.paths import home, shared
from i2i.spec import Spec

STAMP = ".card"  # in a prepared folder: from which card and sources it was made


class Archive(Spec):
    """A set that is fetched by hand: where it is, what it should weigh, and what it should look like unpacked."""

    url: str | None = None
    mirror: str | None = None
    bytes: int | None = None
    sha256: str | None = None  # None: its publishers state none
    expects: str  # the layout that the unpacked folder must have


class Card(Spec):
    """One data set. It is either made from files that ship with i2i (`make`) or unpacked by the user (`archive`)."""

    name: str
    title: str
    layout: Literal["paired", "unpaired", "unlabelled", "labelled"]
    licence: str
    attribution: str
    source: str
    counts: dict[str, int] = Field(default_factory=dict)
    notes: str | None = None
    make: Annotated[Zip | Tiles | Npz, Field(discriminator="kind")] | None = None
    archive: Archive | None = None


def names() -> list[str]:
    """All data sets that have a card, sorted."""
    return sorted(path.stem for path in shared("datasets").glob("*.yaml"))


def card(name: str) -> Card:
    """The card of a data set."""
    if name not in names():
        raise UserError(f"no data set is called '{name}'.{suggest(name, names())}")
    path = shared("datasets") / f"{name}.yaml"
    try:
        return Card.model_validate(YAML(typ="safe", pure=True).load(path.read_text("utf-8")))
    except (YAMLError, ValidationError) as problem:
        raise UserError(f"{path}: this data set card cannot be used: {problem}") from None


def root(name: str) -> Path:
    """The folder of a data set, made on first use. It appears whole, also when two processes make it at once."""
    told = card(name)
    folder = home() / "datasets" / name
    if told.make is None:
        if folder.is_dir() and any(folder.iterdir()):
            return folder
        raise UserError(_where_to_get(told, folder))
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


def _stamp(told: Card) -> str:
    """Changes with the card and with its source files' sizes; hashing the files would cost each start of a run."""
    assert told.make is not None
    sizes = [(shared("datasets") / source).stat().st_size for source in told.make.sources()]
    return hashlib.sha256(f"{told.make.model_dump_json()} {sizes}".encode()).hexdigest()


def _stamped(folder: Path) -> str | None:
    path = folder / STAMP
    return path.read_text() if path.is_file() else None


def _where_to_get(told: Card, folder: Path) -> str:
    archive = told.archive
    if archive is None or archive.url is None:
        where = f"It is yours to bring: {told.source}"
    else:
        mirror = f"\n  or  {archive.mirror}" if archive.mirror else ""
        size = f"  ({archive.bytes:,} bytes)" if archive.bytes else ""
        check = f"\n  sha256 {archive.sha256}" if archive.sha256 else "\n  (its publishers state no checksum)"
        where = f"Download{size}\n  {archive.url}{mirror}{check}"
    expects = archive.expects if archive else told.layout
    return (
        f"data set '{told.name}' does not ship with i2i.\n{where}\n"
        f"and unpack it to\n  {folder}\nso that there is\n  {expects}"
    )

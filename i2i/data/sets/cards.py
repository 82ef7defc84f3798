"""Data set cards (`datasets/<name>.yaml`): what a set is, whose it is, and how its folder comes to be."""

from pathlib import PurePosixPath
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, model_validator
from rich.filesize import decimal
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from i2i.data.sets.composites import Composites
from i2i.data.sets.eyes import Eyes
from i2i.data.sets.prepare import Npz, Tiles, Zip
from i2i.errors import UserError, suggest
from i2i.paths import shared
from i2i.spec import Spec


class File(Spec):
    """One file to download, and what is published of it."""

    url: str
    mirrors: tuple[str, ...] = ()  # addresses of the same bytes, in the order in which they are tried
    bytes: int | None = Field(default=None, ge=1)
    about: int | None = Field(default=None, ge=1)  # bytes, as far as known where nobody publishes them
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")  # None: its publishers state none
    md5: str | None = Field(default=None, pattern=r"^[0-9a-f]{32}$")

    @property
    def name(self) -> str:
        return PurePosixPath(urlsplit(self.url).path).name

    @property
    def urls(self) -> tuple[str, ...]:
        return (self.url, *self.mirrors)


class Archive(Spec):
    """A set that does not ship with i2i: its files, and what they are unpacked to."""

    files: tuple[File, ...] = ()  # none: the user brings the pictures
    reader: Literal["MNIST", "FashionMNIST", "CIFAR10"] | None = None  # of torchvision, for what are no pictures yet
    classes: tuple[str, ...] = ()  # of what `reader` reads: the folders of the labels 0, 1, ...
    rename: dict[str, str] = Field(default_factory=dict)  # its folder → what i2i calls it: {validation: val}
    expects: str  # what is then in the folder

    @model_validator(mode="after")
    def _one_file_or_a_reader(self) -> Self:
        if len(self.files) > 1 and self.reader is None:
            raise ValueError("an archive of pictures is one file; several are for a `reader`")
        return self

    @property
    def url(self) -> str | None:
        return self.files[0].url if self.files else None

    @property
    def size(self) -> int | None:
        """Bytes to download, roughly where that is all that is known."""
        sizes = [file.bytes or file.about for file in self.files]
        return sum(size or 0 for size in sizes) if sizes and all(sizes) else None

    @property
    def exact(self) -> bool:
        """Whether `size` is published."""
        return all(file.bytes for file in self.files)


class Card(Spec):
    """One data set. It is made from files that ship with i2i (`make`), or fetched or brought (`archive`)."""

    name: str
    title: str
    layout: Literal["paired", "unpaired", "unlabelled", "labelled"]
    licence: str
    commercial: Literal["yes", "no", "unknown"]  # whether its terms allow commercial use
    attribution: str
    citation: str | None = None
    # Shipped recipes that do not name the set, but take a folder of such pictures → which one of it, `.` for the whole.
    recipes: dict[str, str] = Field(default_factory=dict)
    source: str
    counts: dict[str, int] = Field(default_factory=dict)  # pictures in each folder
    direction: str | None = None  # which side is a, and what to write to translate to it
    notes: str | None = None
    make: Annotated[Zip | Tiles | Npz | Composites | Eyes, Field(discriminator="kind")] | None = None
    archive: Archive | None = None

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.make is None) == (self.archive is None):
            raise ValueError("a card has either `make` or `archive`")
        return self

    @property
    def size(self) -> int | None:
        """Bytes to download; None for what ships with i2i, what is yours to bring, and where nobody says."""
        return self.archive.size if self.archive else None

    @property
    def weight(self) -> str:
        """The size in words, '' where there is none."""
        if self.archive is None or self.size is None:
            return ""
        return f"{'' if self.archive.exact else 'about '}{decimal(self.size)}"

    @property
    def fetchable(self) -> bool:
        return self.archive is not None and bool(self.archive.files)


def names() -> list[str]:
    """All data sets that have a card, sorted."""
    return sorted(path.stem for path in shared("datasets").glob("*.yaml"))


def card(name: str) -> Card:
    """The card of a data set. Raises UserError."""
    if name not in names():
        raise UserError(f"no data set is called '{name}'.{suggest(name, names())}")
    path = shared("datasets") / f"{name}.yaml"
    try:
        return Card.model_validate(YAML(typ="safe", pure=True).load(path.read_text("utf-8")))
    except (YAMLError, ValidationError) as problem:
        raise UserError(f"{path}: this data set card cannot be used: {problem}") from None

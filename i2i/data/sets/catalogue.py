"""What `i2i data list` and `i2i data info NAME` tell."""

import json
import textwrap
from dataclasses import asdict, dataclass
from pathlib import Path
from shlex import quote
from typing import Any, Literal

from rich.filesize import decimal
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from i2i.data.fetching import trust
from i2i.data.sets.cards import Card, File, card, names
from i2i.data.sets.datasets import RECORD, archive_command, here, place
from i2i.paths import shared

State = Literal["embedded", "here", "to fetch", "bring your own"]


@dataclass(frozen=True)
class Row:
    """One data set in the list. `pictures` and `size` (bytes to download) are None where nobody says."""

    name: str
    title: str
    layout: str
    pictures: int | None
    size: int | None
    exact: bool  # whether `size` is published; else it is about that
    weight: str  # `size` in words
    licence: str
    commercial: str
    state: State


def rows() -> list[Row]:
    """All data sets, by name."""
    return [_row(card(name)) for name in names()]


def _row(told: Card) -> Row:
    return Row(
        name=told.name,
        title=told.title,
        layout=told.layout,
        pictures=sum(told.counts.values()) or None,
        size=told.size,
        exact=told.archive is None or told.archive.exact,
        weight=told.weight,
        licence=told.licence,
        commercial=told.commercial,
        state=state(told),
    )


def as_json(listed: list[Row]) -> str:
    """The list for other programs: an object for each row."""
    return json.dumps([asdict(row) for row in listed], indent=2, ensure_ascii=False)


def table(listed: list[Row]) -> str:
    """The list for people, a line for each set, in columns."""
    head = ("name", "layout", "pictures", "download", "commercial", "state", "what it is")
    lines = [head, *(_cells(row) for row in listed)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head) - 1)]
    numbers = (2, 3)
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, (*widths, 0), strict=True))
        ).rstrip()
        for line in lines
    )


def _cells(row: Row) -> tuple[str, ...]:
    pictures = "" if row.pictures is None else f"{row.pictures:,}"
    return (row.name, row.layout, pictures, row.weight, row.commercial, row.state, row.title)


def state(told: Card) -> State:
    if told.make is not None:
        return "embedded"
    if here(told.name):
        return "here"
    return "to fetch" if told.fetchable else "bring your own"


def recipes(name: str) -> list[str]:
    """The shipped recipes whose `data:` names a set, also in a mix, and those that its card tells; sorted."""
    found = list(card(name).recipes)
    for path in sorted(shared("recipes").glob("*.yaml")):
        try:
            tree: Any = YAML(typ="safe", pure=True).load(path.read_text("utf-8"))
        except YAMLError:  # somebody is writing it
            continue
        data = tree.get("data") if isinstance(tree, dict) else None
        parts = [data, *(data.get("mix") or ())] if isinstance(data, dict) else []
        if any(isinstance(part, dict) and part.get("dataset") == name for part in parts):
            found.append(path.stem)
    return sorted(set(found))


def describe(told: Card) -> str:
    """Everything that is known of a set, as text: what it is, whose, where it lies, how to get and to use it."""
    lines = [told.name, told.title, ""]
    told_of = {
        "layout": told.layout,
        "pictures": ", ".join(f"{key} {count:,}" for key, count in told.counts.items()),
        "direction": told.direction,
        "licence": told.licence,
        "commercial": {"yes": "allowed", "no": "not allowed", "unknown": "unknown; ask its makers"}[told.commercial],
        "attribution": told.attribution,
        "citation": told.citation,
        "source": told.source,
        "notes": told.notes,
        "state": _where(told),
        "recipes": ", ".join(recipes(told.name)) or "none of those that ship",
    }
    for key, text in told_of.items():
        if text:
            lines.append(f"{key + ':':<13}{_indented(text)}")
    if told.archive is not None:
        lines.append(f"{'expects:':<13}{_indented(told.archive.expects)}")
        if told.archive.files:
            lines += ["", *(_published(told.name, file) for file in told.archive.files)]
        if told.fetchable and not here(told.name):
            lines += ["", f"Fetch it, or bring what was downloaded elsewhere:\n  i2i data fetch {told.name}"]
            lines.append(f"  {archive_command(told)}")
    return "\n".join([*lines, *_use(told)])


def _use(told: Card) -> list[str]:
    """What to type to train on a set."""
    own = told.make is None and not told.fetchable and not here(told.name)
    given = "root: FOLDER" if own else f"dataset: {told.name}"
    lines = ["", f"In a recipe:\n  data: {{layout: {told.layout}, {given}, crop: ...}}"]
    if told.recipes:
        folder = Path("FOLDER") if own else place(told.name)
        commands = (
            f"  i2i train {name} --set {quote(f'data.root={folder / part}')}" for name, part in told.recipes.items()
        )
        lines += ["", "With a recipe that ships:", *commands]
    return lines


def _indented(text: str) -> str:
    lines = (textwrap.wrap(line, 100, break_long_words=False, break_on_hyphens=False) for line in text.splitlines())
    return f"\n{' ' * 13}".join(part for line in lines for part in line)


def _where(told: Card) -> str:
    folder = place(told.name)
    now = state(told)
    if now == "embedded":
        return f"embedded; its folder is made on first use: {folder}"
    if now == "bring your own":
        return f"{now}, in any folder; one in {folder} can be called by name"
    if now != "here":
        return f"{now}; its folder will be {folder}"
    record = _record(folder)
    if not record:
        return f"here: {folder}"
    came = ", ".join(str(url) for url in record.get("from", ()))
    return f"here: {folder}\n{record.get('pictures', 0):,} pictures, {decimal(record.get('bytes', 0))}, from {came}"


def _record(folder: Path) -> dict[str, Any]:
    try:
        record = json.loads((folder / RECORD).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _published(name: str, file: File) -> str:
    lines = [f"{file.name}"]
    lines += [f"  {'from' if url == file.url else '  or'}    {url}" for url in file.urls]
    if file.bytes:
        lines.append(f"  bytes   {file.bytes:,}")
    elif file.about:
        lines.append(f"  bytes   about {decimal(file.about)}; not published")
    seen = None if file.sha256 else trust.seen(name, file.name)
    if file.sha256:
        lines.append(f"  sha256  {file.sha256}")
    elif seen:
        lines.append(f"  sha256  {seen.sha256}, {seen.bytes:,} bytes, as it came first on {seen.date}")
    else:
        lines.append("  sha256  not published; what comes first is trusted and written down")
    return "\n".join(lines)

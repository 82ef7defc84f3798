"""What a folder or a manifest holds, sample by sample, whatever its layout: as training would list it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from i2i.data.layouts import SPLITS, Split, has, open_split
from i2i.data.make.places import SIDES, named, sides
from i2i.data.make.work import pictures
from i2i.data.reference import Reference
from i2i.data.spec import Data, Fractions
from i2i.errors import UserError

LAYOUTS = ("paired", "unpaired", "labelled", "unlabelled")


@dataclass(frozen=True)
class Sample:
    """One sample: its files by what they are (a, b, or a condition's name), and its class."""

    name: str  # of its file below the split's folder, without suffix; of a table's row, its number
    files: dict[str, Reference]
    label: int | None = None


@dataclass(frozen=True)
class Listing:
    """The splits that are there, each a lazy sequence: how many samples, and the one at a position."""

    layout: str
    classes: tuple[str, ...]
    names: tuple[str, ...]  # of the pictures of a sample: a, b, conditions
    splits: dict[str, tuple[int, Callable[[int], Sample]]]
    side_by_side: bool


def listing(place: Path, layout: str | None = None, conditions: Sequence[str] | None = None) -> Listing:
    """What is at `place`, a folder or a manifest, with nothing held out of train.

    `layout`: paired, unpaired, labelled or unlabelled; found out if it is None. `conditions`: their names; None: those
    of a folder, and none of a table. Raises UserError for what has no pictures in such a layout.
    """
    chosen = layout or guess(place)
    if chosen not in LAYOUTS:
        raise UserError(f"no layout is called '{chosen}'. Known: {', '.join(LAYOUTS)}.")
    if conditions is None:
        conditions = _conditions(place) if chosen == "paired" else []
    spec = _spec(place, chosen, conditions)
    opened = {split: open_split(spec, split) for split in SPLITS if split == "train" or has(spec, split)}
    first = opened["train"]
    roles = ("a",) if len(first.files) == 1 else ("a", "b", *conditions)
    found = {}
    for name, split in opened.items():
        separate = chosen == "unpaired" and not split.registered
        count = sum(map(len, split.files)) if separate else len(split)
        found[name] = (count, _picker(split, roles, place, separate))
    return Listing(chosen, first.classes, roles, found, first.side_by_side)


def guess(place: Path) -> str:
    """The layout of a folder, by the names in it, or of a table, by its columns."""
    if place.is_file():
        columns = _columns(place)
        return "paired" if {"a", "b"} <= columns else "labelled" if "label" in columns else "unlabelled"
    if folders := sides(place):
        paired = all(named(at["A"]).keys() == named(at["B"]).keys() for at in folders.values())
        return "paired" if paired else "unpaired"
    home = place / "train" if (place / "train").is_dir() else place
    return "labelled" if all(path.parent.parent == home for path in pictures(home)) else "unlabelled"


def _spec(place: Path, layout: str, conditions: Sequence[str]) -> Data:
    where = {"manifest" if place.is_file() else "root": place}
    told: dict[str, object] = {"layout": layout, "crop": 1, "split": Fractions(val=0, test=0), **where}
    if conditions:
        told["condition"] = list(conditions)
    adapter: TypeAdapter[Data] = TypeAdapter(Data)
    try:
        return adapter.validate_python(told)
    except ValidationError as problem:
        raise UserError(f"{place}: {problem.errors()[0]['msg'].removeprefix('Value error, ')}.") from None


def _conditions(place: Path) -> list[str]:
    """Folders beside both sides."""
    folders = sides(place) if place.is_dir() else {}
    return sorted({side for at in folders.values() for side in at if side not in SIDES})


def _columns(table: Path) -> set[str]:
    from i2i.data.tables.rows import names

    return set(names(table))


def _picker(split: Split, roles: Sequence[str], place: Path, separate: bool) -> Callable[[int], Sample]:
    """Position → sample. `separate`: each side is a list of samples of its own."""

    def name(index: int, side: int) -> str:
        reference = split.files[side][index]
        if place.is_file() or not isinstance(reference, Path):
            return f"{index:09}"
        if len(roles) > 1:
            return reference.stem
        below = reference.relative_to(place).with_suffix("")
        return (below.relative_to(split.name) if below.parts[0] == split.name else below).as_posix()

    def pick(index: int) -> Sample:
        if separate:
            side = int(index >= len(split.files[0]))
            within = index - side * len(split.files[0])
            return Sample(f"{SIDES[side]}/{name(within, side)}", {roles[side]: split.files[side][within]})
        files = {role: column[index] for role, column in zip(roles, split.files, strict=True)}
        return Sample(name(index, 0), files, split.labels[index] if len(split.labels) else None)

    return pick

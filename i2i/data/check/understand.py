"""What a folder, a table or shards are: the reading i2i would use, and the evidence for it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from i2i.data.check.about_names import about_names
from i2i.data.check.evidence import halves_differ, twice_as_wide
from i2i.data.check.finding import Finding, found, printable
from i2i.data.check.layout import Item, Layout
from i2i.data.check.listing import Listing, listed
from i2i.data.check.sides import ALSO, equal_stems, join, sides_of
from i2i.data.split import SPLITS
from i2i.data.tables.rows import SUFFIXES as TABLES
from i2i.errors import UserError
from i2i.images import is_picture

ROWS = 200_000  # of a table or of shards; from more, a spread sample is taken
WIDE = 0.9  # share of pictures twice as wide as high, from which a folder may hold pairs side by side


def understand(place: str | Path) -> Layout:
    """Find out what a folder, a table (.csv, .jsonl, .parquet) or a shard (.tar) is.

    Raises UserError for what is none of them, or holds no pictures at all.
    """
    place = Path(place).expanduser()
    if place.is_dir():
        return _folder(place)
    suffix = place.suffix.lower()
    if not place.is_file():
        raise UserError(f"{place}: no such folder or file (seen from {Path.cwd()}).")
    if suffix in TABLES:
        from i2i.data.check.tables import table

        return table(place, ROWS)
    if suffix == ".tar":
        from i2i.data.check.shards import shards

        return shards([place], place, ROWS)
    if suffix in (".zip", ".gz", ".tgz", ".7z", ".rar"):
        raise UserError(f"{place} is an archive. Unpack it, and check the folder.")
    what = "a single picture; give the folder it is in" if is_picture(place) else f"a '{suffix}' file"
    raise UserError(f"{place} is {what}. Expected a folder, a table ({', '.join(TABLES)}) or shards (.tar).")


def _folder(place: Path) -> Layout:
    listing = listed(place)
    if not listing.pictures:
        return _without_pictures(place, listing)
    root, findings = place, list(about_names(listing))
    while not listing.by_folder.get("") and len(inside := listing.inside("")) == 1 and inside[0] not in SPLITS:
        root = root / inside[0]  # an archive's own folder
        listing = listed(root)
    if root != place:
        findings.append(found("note", "inner_folder", f"the set is in {printable(str(root))}; recipes must name it"))
    if tables := [name for name in listing.other if name.lower().endswith(TABLES) and "/" not in name]:
        findings.append(
            found(
                "note",
                "table_beside",
                "{n} table{s} beside the pictures; if a table says what belongs together, check that instead",
                tables,
                f"i2i data check {root / tables[0]}",
            )
        )
    layout = _sided(root, listing) or _classes(root, listing) or _photos(root, listing)
    return replace(layout, place=place, findings=(*findings, *layout.findings))


def _without_pictures(place: Path, listing: Listing) -> Layout:
    tars = [place / name for name in listing.other if name.lower().endswith(".tar")]
    if tars:
        from i2i.data.check.shards import shards

        return shards(tars, place, ROWS)
    tables = [name for name in listing.other if name.lower().endswith(TABLES)]
    if tables:
        from i2i.data.check.tables import table

        return table(place / tables[0], ROWS)
    kinds = Counter(PurePosixPath(name).suffix.lower() or "no suffix" for name in listing.other).most_common(3)
    there = ", ".join(f"{count:,} × {kind}" for kind, count in kinds) or "nothing"
    raise UserError(f"{place}: no pictures in it or below it. Found: {there}.")


def _sided(root: Path, listing: Listing) -> Layout | None:
    sides = sides_of(listing)
    if sides is None:
        return None
    joined = join(listing, sides)
    outside = {folder for pair in sides.folders.values() for folder in pair}
    unused = [f for f in listing.by_folder if f not in outside and not any(f.startswith(f"{o}/") for o in outside)]
    unused = [f for f in unused if not any(name in f for name in joined.conditions)]
    findings = list(joined.findings)
    if unused:
        files = [
            f"{folder}/{name}" if folder else name for folder in sorted(unused) for name in listing.by_folder[folder]
        ]
        findings.append(found("note", "outside", "{n} picture{s} outside the two sides: not read", files))
    return Layout(
        root,
        root,
        "folder",
        joined.reading,
        joined.why,
        joined.items,
        classes=joined.classes,
        conditions=joined.conditions,
        findings=tuple(findings),
    )


def _homes(listing: Listing) -> tuple[dict[str, str], list[Finding]]:
    """The folder of each split, {"train": ""} if there are none; and what to rename so that i2i finds them."""
    homes, moves = {}, []
    for folder in listing.inside(""):
        split = folder if folder in SPLITS else ALSO.get(folder.casefold(), folder.casefold())
        if split in SPLITS and split not in homes and listing.below(folder):
            homes[split] = folder
            moves += [(folder, split)] if folder != split else []
    if "train" not in homes:
        return {"train": ""}, []
    if not moves:
        return homes, []
    told = " && ".join(f"mv '{had}' '{to}'" for had, to in moves)
    return homes, [
        found(
            "error",
            "folder_names",
            "i2i does not find splits under these {n} names",
            [had for had, _ in moves],
            f"In the folder: {told}",
        )
    ]


def _classes(root: Path, listing: Listing) -> Layout | None:
    """A folder for each class."""
    homes, findings = _homes(listing)
    top = homes["train"]
    if top and not listing.inside(top):  # railway pictures, say
        homes, top = {"train": ""}, ""
        if len([f for f in listing.inside("") if listing.below(f)]) < 2 or set(listing.inside("")) <= {*SPLITS, *ALSO}:
            return None
    prefix = f"{top}/" if top else ""
    classes = sorted(folder for folder in listing.inside(top))
    sizes = {name: len(listing.below(prefix + name)) for name in classes}
    filled = [name for name in classes if sizes[name]]
    loose = listing.by_folder.get(top, [])
    if len(filled) < 2 or len(loose) > sum(sizes.values()):
        return None
    if sum(size == 1 for size in sizes.values()) > len(filled) / 2:
        return None  # a folder for each picture
    items, strange = [], []
    for split, home in homes.items():
        for name in listing.below(home):
            label, _, rest = name.partition("/")
            if not rest:
                continue
            path = root / home / name
            items.append(Item(split, "", (path,), label))
            strange += [f"{home}/{label}"] if label not in sizes else []
    if loose:
        findings.append(
            found(
                "warning",
                "outside",
                "{n} picture{s} in no class folder: not read",
                [prefix + name for name in loose],
                "Move them into the folders of their classes.",
            )
        )
    if strange:
        findings.append(
            found(
                "error",
                "strange_class",
                f"{{n}} class{{s}} that {top or 'train'} does not have",
                sorted(set(strange)),
                "Rename, remove, or add them to train.",
            )
        )
    findings += [*_twice(root, items), *_linked(listing, homes)]
    why = f"Pictures lie in {len(filled)} folders of equal standing, which are taken for classes."
    return Layout(root, root, "folder", "labelled", why, tuple(items), classes=tuple(classes), findings=tuple(findings))


def _photos(root: Path, listing: Listing) -> Layout:
    """One collection, or files that hold both sides."""
    homes, findings = _homes(listing)
    files = {split: [root / home / name for name in listing.below(home)] for split, home in homes.items()}
    train = files["train"]
    halves = ""
    wide = twice_as_wide(train)
    if wide >= WIDE:
        halves = halves_differ(train)
    side = "both" if halves else ""
    items = tuple(Item(split, side, (path,)) for split, paths in files.items() for path in paths)
    findings += [*_twice(root, items), *_linked(listing, homes)]
    if halves:
        why = f"{wide:.0%} of the pictures are twice as wide as high, and {halves}: a on the left, b on the right."
        return Layout(root, root, "folder", "paired", why, items, findings=tuple(findings))
    why = "There are neither two sides (trainA/ and trainB/, say) nor folders of classes."
    if wide >= WIDE:
        why = "The pictures are twice as wide as high, but nothing tells their halves apart: panoramas, not pairs."
    return Layout(root, root, "folder", "unlabelled", why, items, derivable=True, findings=tuple(findings))


def _linked(listing: Listing, homes: dict[str, str]) -> list[Finding]:
    """Below a split's own folder, i2i does not follow links to folders."""
    links = [name for name in listing.links if name not in homes.values()]
    message, do = "{n} linked folder{s}, whose pictures are not read", "Put the folders themselves there."
    return [found("error", "linked_folder", message, links, do)] if links else []


def _twice(root: Path, items: Sequence[Item]) -> list[Finding]:
    """Files of one stem; i2i refuses them in any layout."""
    held: dict[str, list[str]] = {}
    for item in items:
        path = item.files[0]
        if isinstance(path, Path):
            held.setdefault(str(path)[: -len(path.suffix)], []).append(path.relative_to(root).as_posix())
    twice = [name for names in held.values() if len(names) > 1 for name in names]
    return [equal_stems(twice)] if twice else []

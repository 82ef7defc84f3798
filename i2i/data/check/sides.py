"""Which folders hold the two sides of a set, also where they are not named as i2i reads them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from i2i.data.check.evidence import FITS, LEAST, STRANGE, pairs_fit
from i2i.data.check.finding import Finding, found, printable
from i2i.data.check.layout import Item, Reading
from i2i.data.check.listing import Listing
from i2i.data.folders import WHERE_SIDES
from i2i.data.spec import PLAIN_NAME
from i2i.data.split import SPLITS

ALSO = {"training": "train", "validation": "val", "valid": "val", "testing": "test"}
EQUAL = 0.8  # share of equal names from which two folders may be sides of pairs
TOKENS = ("A", "B")


@dataclass(frozen=True)
class Sides:
    """Folders by split, (a, b). `moves`: what to type so that i2i finds them."""

    folders: dict[str, tuple[str, str]]
    moves: tuple[tuple[str, str], ...] = ()


def sides_of(listing: Listing) -> Sides | None:
    """The folders of a and b; None if this is no set of two sides."""
    there = {folder: folder for folder in listing.folders}
    if exact := _match(there):
        return Sides(exact)
    close: dict[str, str] = {}
    for folder in listing.folders:
        close.setdefault(_normal(folder), folder)
    if folders := _match(close):
        wanted = {s: (f"{s}A", f"{s}B") for s in folders}
        moves = [(had, to) for s in folders for had, to in zip(folders[s], wanted[s], strict=True)]
        return Sides(folders, tuple(moves))
    return _by_equal_names(listing)


def _match(there: dict[str, str]) -> dict[str, tuple[str, str]]:
    for pattern in WHERE_SIDES:
        named = {s: tuple(there.get(pattern.format(split=s, side=side)) for side in TOKENS) for s in SPLITS}
        both = {s: (a, b) for s, (a, b) in named.items() if a is not None and b is not None}
        if "train" in both:
            return both
    letters = [folder for folder in there if len(folder) == 1]  # C/ beside A/ and B/: classes, of letters perhaps
    return {"train": (there["A"], there["B"])} if sorted(letters) == ["A", "B"] else {}


def _normal(folder: str) -> str:
    """train_a, Training/A, ... → trainA, train/A."""
    parts = []
    for part in folder.casefold().split("/"):
        plain = part.replace("_", "").replace("-", "").replace(" ", "")
        stem, side = (plain[:-1], plain[-1].upper()) if plain[-1:] in ("a", "b") else (plain, "")
        known = ALSO.get(stem, stem)
        parts.append(known + side if known in ("", *SPLITS) else plain)
    return "/".join(parts)


def _by_equal_names(listing: Listing) -> Sides | None:
    """Two folders whose files have the same names and show the same: sketch/ and photo/, say."""
    for base, prefix in (("", ""), ("train", "train/")):
        homes = [folder for folder in listing.inside(base) if listing.below(prefix + folder)]
        if len(homes) != 2 or listing.by_folder.get(base) or set(homes) & {*SPLITS, *ALSO}:
            continue
        a, b = (_stems(listing, prefix + home) for home in homes)
        equal = sorted(a.keys() & b.keys())
        if len(equal) < EQUAL * max(len(a), len(b)) or len(equal) < LEAST:
            continue
        pairs = [(listing.root / a[key], listing.root / b[key]) for key in equal]
        if (pairs_fit(pairs) or 0) < FITS:
            continue
        splits = [s for s in SPLITS if all(f"{s}/{home}" in listing.folders for home in homes)] if base else ["train"]
        folders = {s: (f"{s}/{homes[0]}", f"{s}/{homes[1]}") if base else (homes[0], homes[1]) for s in splits}
        moves = [(had, f"{s}{side}") for s in splits for had, side in zip(folders[s], TOKENS, strict=True)]
        return Sides(folders, tuple(moves))
    return None


@dataclass(frozen=True)
class Joined:
    """The items of two-sided folders, how they belong together, and why that is thought."""

    reading: Reading
    why: str
    items: tuple[Item, ...]
    conditions: tuple[str, ...]
    findings: tuple[Finding, ...]
    classes: tuple[str, ...] = ()  # of side a


def join(listing: Listing, sides: Sides) -> Joined:
    """Pairs by equal names, or two sides without pairs, of which a may lie in class folders."""
    findings = list(_moves(sides))
    if classes := _classes_of_a(listing, sides):
        return _in_classes(listing, sides, classes, findings)
    stems = {split: tuple(_stems(listing, f) for f in folders) for split, folders in sides.folders.items()}
    for folders in sides.folders.values():
        for folder in folders:
            findings += _hidden_from_view(listing, folder)
    paired, why = _paired(listing, sides.folders["train"], stems["train"])
    conditions = _conditions(listing, sides) if paired else {}
    items: list[Item] = []
    for split, (a, b) in stems.items():
        more = {name: _stems(listing, folders[split]) for name, folders in conditions.items()}
        for key in sorted(a.keys() | b.keys()):
            both = [side[key] for side in (a, b) if key in side]
            if paired and len(both) == 2:
                extra = [each[key] for each in more.values() if key in each]
                items.append(Item(split, "ab", tuple(listing.root / file for file in both + extra)))
            else:
                items += [Item(split, s, (listing.root / d[key],)) for s, d in (("a", a), ("b", b)) if key in d]
        if paired:
            findings += _lonely(sides.folders[split], a, b)
            for name, each in more.items():
                findings += _lonely((sides.folders[split][0], conditions[name][split]), a, each)
    return Joined("paired" if paired else "unpaired", why, tuple(items), tuple(conditions), tuple(findings))


def _classes_of_a(listing: Listing, sides: Sides) -> tuple[str, ...]:
    """The folders that all training pictures of side a lie in; () if these are not several."""
    home = sides.folders["train"][0]
    if listing.by_folder.get(home):
        return ()
    filled = tuple(name for name in listing.inside(home) if listing.below(f"{home}/{name}"))
    return filled if len(filled) > 1 else ()


def _in_classes(listing: Listing, sides: Sides, classes: tuple[str, ...], findings: list[Finding]) -> Joined:
    items, strange = [], []
    for split, (a, b) in sides.folders.items():
        for name in listing.below(a):
            label, _, rest = name.partition("/")
            items += [Item(split, "a", (listing.root / a / name,), label)] if rest else []
            strange += [f"{a}/{label}"] if rest and label not in classes else []
        items += [Item(split, "b", (listing.root / b / name,)) for name in listing.below(b)]
    if strange:
        findings.append(
            found(
                "error",
                "strange_class",
                f"{{n}} class{{s}} that {printable(sides.folders['train'][0])} does not have",
                sorted(set(strange)),
                "Rename, remove, or add them to train.",
            )
        )
    why = f"The pictures of {sides.folders['train'][0]} lie in {len(classes)} folders, which are taken for classes."
    return Joined("unpaired", why, tuple(items), (), tuple(findings), classes)


def _stems(listing: Listing, folder: str) -> dict[str, str]:
    """Name without suffix → file, of the pictures directly in a folder, as i2i pairs them."""
    return {str(PurePosixPath(n).with_suffix("")): f"{folder}/{n}" for n in listing.by_folder.get(folder, [])}


def _paired(listing: Listing, folders: tuple[str, str], sides: tuple[dict[str, str], ...]) -> tuple[bool, str]:
    a, b = sides
    equal, here = sorted(a.keys() & b.keys()), " and ".join(folders)
    if not equal:
        return False, f"No picture of {folders[0]} has a partner of equal name in {folders[1]}."
    if a.keys() == b.keys():
        return True, f"Every picture of {folders[0]} has its partner of equal name in {folders[1]}."
    share = len(equal) / max(len(a), len(b))
    sure = pairs_fit([(listing.root / a[key], listing.root / b[key]) for key in equal])
    told = f"{len(equal):,} of {max(len(a), len(b)):,} names are in both {here}, and"
    if sure is not None and sure >= FITS:
        return True, f"{told} these pictures show the same outlines."
    if sure is not None and sure <= STRANGE:
        return False, f"{told} these pictures have no outlines in common."
    return share >= 0.5, f"{told} pixels do not tell whether these belong together; most names being equal would."


def _conditions(listing: Listing, sides: Sides) -> dict[str, dict[str, str]]:
    """Further folders beside the sides with the same names: trainmask, train_mask, train/mask, mask/train, mask."""
    a, _ = sides.folders["train"]
    own = set(_stems(listing, a))
    taken = {folder for pair in sides.folders.values() for folder in pair}
    made: dict[str, dict[str, str]] = {}
    for folder in sorted(set(listing.by_folder) - taken):
        name = folder.replace("/train", "").replace("train/", "").removeprefix("train").strip("_-/")
        if not PLAIN_NAME.fullmatch(name) or ("train" not in folder and a != "A"):
            continue
        theirs = set(_stems(listing, folder))
        if len(own & theirs) >= EQUAL * len(own):
            named = {s: folder.replace("train", s) for s in sides.folders}
            if all(each in listing.by_folder for each in named.values()):
                made[name] = named
    return made


def _moves(sides: Sides) -> list[Finding]:
    if not sides.moves:
        return []
    told = " && ".join(f"mv '{had}' '{to}'" for had, to in sides.moves)
    return [
        found(
            "error",
            "folder_names",
            "i2i does not find the sides under these {n} names",
            [had for had, _ in sides.moves],
            f"In the folder: {told}",
        )
    ]


def _hidden_from_view(listing: Listing, folder: str) -> list[Finding]:
    """Two files of one stem, and pictures in folders below a side."""
    findings = []
    held: dict[str, list[str]] = {}
    for name in listing.by_folder.get(folder, []):
        held.setdefault(str(PurePosixPath(name).with_suffix("")), []).append(name)
    twice = [f"{folder}/{name}" for names in held.values() if len(names) > 1 for name in names]
    if twice:
        findings.append(equal_stems(twice))
    deep = [f"{folder}/{name}" for name in listing.below(folder) if "/" in name]
    if deep:
        findings.append(
            found(
                "warning",
                "too_deep",
                "{n} picture{s} in folders below a side are not read",
                deep,
                f"Move them up: `mv {printable(deep[0])} {printable(folder)}/`, and so on.",
            )
        )
    return findings


def equal_stems(files: Sequence[str]) -> Finding:
    """Several files of one name but for the suffix: which of them is meant?"""
    return found(
        "error",
        "equal_stems",
        "{n} files share their name but for the suffix",
        files,
        "Remove or rename all but one of each.",
    )


def _lonely(folders: tuple[str, str], a: dict[str, str], b: dict[str, str]) -> list[Finding]:
    findings = []
    for here, there, mine, theirs in ((*folders, a, b), (folders[1], folders[0], b, a)):
        lonely = [file for key, file in mine.items() if key not in theirs]
        if lonely:
            findings.append(
                found(
                    "error",
                    "missing_partner",
                    f"{{n}} picture{{s}} of {printable(here)} without a partner in {printable(there)}",
                    lonely,
                    f"Add the partners to {printable(there)}, or move these out of {Path(printable(here)).name}.",
                )
            )
    return findings

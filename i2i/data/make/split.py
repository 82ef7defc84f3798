"""Pictures shared out to train, val and test, without a picture that is known from one side showing up on another.

Duplicates and near-duplicates (`i2i.data.likeness`) are groups that stay together; so do the files of a pair. A group
is drawn by the hash of (seed, its smallest name), each class by itself, and val and test are exact shares of each.
What that means when pictures are added and the same seed is used: an added picture changes the split of at most two
others, those at the borders of the shares, except that look-alikes which it joins into one group end on one side.
"""

import hashlib
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from i2i.data.crew import QUIET, each
from i2i.data.layouts import SPLITS
from i2i.data.likeness import MOST, NEAR, components, fingerprint, groups, is_flat, joined
from i2i.data.make.pixels import eight
from i2i.data.make.places import SIDES, carried, named, sides, unique
from i2i.data.make.work import Made, fresh, pictures
from i2i.data.spec import Fractions
from i2i.errors import UserError

FEW = 4  # look-alikes are nothing to speak of, and
LARGE = 0.2  # share of the pictures in one group, above which the division is worth a word


@dataclass(frozen=True)
class Member:
    """One sample: the files that stay together, each with its place after `train`, `val` or `test`."""

    name: str
    kind: str  # whose share it counts to: its class, or the side of an unpaired set
    files: tuple[tuple[Path, str], ...]  # (file, "A/1.png" for trainA/1.png, "/cat/1.png" for train/cat/1.png)


def split(
    root: Path,
    out: Path,
    shares: Fractions | None = None,
    *,
    distance: int = NEAR,
    link: bool = False,
    again: bool = False,
    force: bool = False,
    console: Console = QUIET,
) -> Made:
    """Shares the pictures of `root` out to train, val and test below `out`: sides (trainA, valA, ...), classes
    (train/cat, ...) or a plain collection.

    `distance`: bits in which near-duplicates may differ, 0 to 11. `link`: hard links in place of copies. `again`: what
    is divided already is put together first. `force`: an earlier division of these pictures in `out` is replaced.
    Raises UserError when nothing can start.
    """
    begin = time.monotonic()
    if not 0 <= distance <= MOST:
        raise UserError(f"--distance {distance}: expected 0 to {MOST} bits.")
    fresh(out, force, root)
    if root.resolve().is_relative_to(out.resolve()):
        raise UserError(f"--out {out} holds {root}, which is read from; give another folder.")
    found = members(root, out, again)
    looked, skipped = _fingerprints(found, console)
    kept = [found[index] for index in looked]
    alike = together(list(looked.values()), distance)
    where = assigned(kept, alike, shares or Fractions())

    def place(member: Member) -> int:
        home = where[member.name]
        for path, target in member.files:
            for other in SPLITS:  # where an earlier division may have put it: it must not be on two sides
                if force and other != home:
                    (out / f"{other}{target}").unlink(missing_ok=True)
            carried(path, out / f"{home}{target}", force, link)
        return len(member.files)

    files = 0
    for _, result in each("linking" if link else "copying", kept, place, console):
        if isinstance(result, str):
            raise UserError(result)
        files += result
    note = _note(where, alike, len(kept))
    if others := len(pictures(root, without=out)) - sum(len(member.files) for member in found):
        note += f". {others:,} pictures in other folders were left out"
    return Made(out, len(kept), files, tuple(skipped), time.monotonic() - begin, note)


def fractions(val: float, test: float, seed: int = 0) -> Fractions:
    """The shares; UserError where nothing would be left to train on."""
    if not 0 <= val < 1 or not 0 <= test < 1 or val + test >= 1:
        raise UserError(f"--val {val:g} --test {test:g}: expected shares that leave pictures to train on.")
    return Fractions(val=val, test=test, seed=seed)


def members(root: Path, out: Path, again: bool) -> list[Member]:
    """The samples of a folder, whatever its layout. UserError if it is divided already, unless `again`; then samples
    of val and test are called val_NAME and test_NAME if another split has the same names."""
    folders = sides(root)
    homes = {name: root / name for name in SPLITS if (root / name).is_dir()} if (root / "train").is_dir() else {}
    divided = [name for name in SPLITS[1:] if name in (folders or homes)]
    if divided and not again:
        raise UserError(f"{root} has a split '{divided[0]}' already. To divide all of it anew, type --again.")
    parts = {name or "train": _sided(places) for name, places in folders.items()}
    if not folders:
        everything = pictures(root, without=out)
        parts = {name: _collected(home, everything) for name, home in (homes or {"train": root}).items()}
    names = [member.name for part in parts.values() for member in part]
    if len(set(names)) < len(names):
        parts = {
            name: part if name == "train" else [_renamed(each, name) for each in part] for name, part in parts.items()
        }
    found = [member for part in parts.values() for member in part]
    unique((member.name, member.files[0][0]) for member in found)
    return sorted(found, key=lambda member: member.name)


def together(codes: Sequence[tuple[int, ...]], distance: int) -> list[list[int]]:
    """Positions of samples that stay together, each in exactly one group; alone it is a group of its own. Samples are
    alike when any of their fingerprints are."""
    owner = [index for index, some in enumerate(codes) for _ in some]
    found = groups([code for some in codes for code in some], distance)
    left = [owner[group[0]] for group in found for _ in group]
    right = [owner[position] for group in found for position in group]
    return components(joined(len(codes), left, right)) if codes else []


def assigned(found: Sequence[Member], alike: Sequence[Sequence[int]], shares: Fractions) -> dict[str, str]:
    """name → split. A group goes where it still fits in, test before val, and to train otherwise."""
    classes: dict[str, list[Sequence[int]]] = defaultdict(list)
    for group in alike:
        classes[found[min(group, key=lambda index: found[index].name)].kind].append(group)
    where: dict[str, str] = {}
    for parts in classes.values():
        size = sum(map(len, parts))
        held = round(shares.test * size), round((shares.test + shares.val) * size)
        room = {"test": held[0], "val": held[1] - held[0]}
        if len(parts) > 2:  # the smallest of classes is seen in every split that is asked for
            room = {name: max(room[name], 1) if getattr(shares, name) else 0 for name in room}
        for group in sorted(parts, key=lambda group: _drawn(shares.seed, min(found[index].name for index in group))):
            home = next((name for name in room if room[name] >= len(group)), "train")
            if home != "train":
                room[home] -= len(group)
            where.update((found[index].name, home) for index in group)
    return where


def _sided(places: dict[str, Path]) -> list[Member]:
    """Pairs stay together if every name is on all sides; else each side is a collection of its own."""
    listed = {side: named(place) for side, place in sorted(places.items())}
    if len({frozenset(files) for files in listed.values()}) == 1:
        return [
            Member(name, "", tuple((files[name], f"{side}/{files[name].name}") for side, files in listed.items()))
            for name in listed["A"]
        ]
    return [
        Member(f"{side}/{name}", side, ((path, f"{side}/{path.name}"),))
        for side in SIDES
        for name, path in listed[side].items()
    ]


def _collected(home: Path, everything: Sequence[Path]) -> list[Member]:
    """What is below a folder: classes, if all pictures are in folders, else one collection."""
    below = [path for path in everything if path.is_relative_to(home)]
    names = unique((path.relative_to(home).with_suffix("").as_posix(), path) for path in below)
    classes = all("/" in name for name in names)
    return [
        Member(name, name.split("/")[0] if classes else "", ((path, f"/{path.relative_to(home).as_posix()}"),))
        for name, path in names.items()
    ]


def _renamed(member: Member, prefix: str) -> Member:
    """All of its files under another name."""

    def other(name: str) -> str:
        folder, slash, own = name.rpartition("/")
        return f"{folder}{slash}{prefix}_{own}"

    return Member(other(member.name), member.kind, tuple((path, other(target)) for path, target in member.files))


def _fingerprints(
    found: Sequence[Member], console: Console
) -> tuple[dict[int, tuple[int, ...]], list[tuple[Path, str]]]:
    """Position → the fingerprints of its files; and what cannot be read. Pictures of one colour, as empty masks are,
    tell nothing about a pair, and count only where all of its files are such."""

    def look(index: int) -> tuple[int, ...]:
        looked = [eight(path) for path, _ in found[index].files]
        telling = [picture for picture in looked if not is_flat(picture)]
        return tuple(fingerprint(picture) for picture in (telling or looked[-1:]))

    looked, skipped = {}, []
    for index, result in each("looking for duplicates", range(len(found)), look, console):
        if isinstance(result, str):
            path = found[index].files[0][0]
            skipped.append((path, result.removeprefix(f"{path}: ")))
        else:
            looked[index] = result
    return looked, skipped


def _drawn(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}/{name}".encode("utf-8", "surrogateescape")).digest()


def _note(where: dict[str, str], alike: Sequence[Sequence[int]], count: int) -> str:
    shares = ", ".join(f"{name} {list(where.values()).count(name):,}" for name in SPLITS)
    several = [group for group in alike if len(group) > 1]
    told = f"{shares}; {sum(map(len, several)):,} look-alikes in {len(several):,} groups" if several else shares
    largest = max(map(len, several), default=0)
    if largest > max(LARGE * count, FEW):
        told += f", the largest of {largest:,}: a smaller --distance would join fewer"
    return told

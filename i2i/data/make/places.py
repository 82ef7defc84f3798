"""Where pictures are in a folder, and where the made ones go: splits, sides, names."""

import hashlib
import os
import secrets
import shutil
import string
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from i2i.data.layouts import SPLITS, WHERE_SIDES
from i2i.data.make.work import pictures
from i2i.data.spec import PLAIN_NAME
from i2i.errors import UserError
from i2i.images import is_picture
from i2i.images.atomic import Atomic

SIDES = ("A", "B")


@dataclass(frozen=True)
class Photo:
    """One picture of a collection: train/cats/1.jpg is `cats/1` of the split train."""

    path: Path
    split: str  # train, val or test; what has no split is train
    name: str  # relative, without suffix

    @property
    def flat(self) -> str:
        """The name in a folder that has none below it."""
        return self.name.replace("/", "_")


@dataclass(frozen=True)
class Item:
    """The files of one sample, equal in name: {"A": ..., "B": ..., "mask": ...}."""

    split: str | None  # None in folders A and B that are not divided
    name: str
    files: dict[str, Path]


def sides(root: Path) -> dict[str | None, dict[str, Path]]:
    """The folders of each split, A, B and conditions: {"train": {"A": trainA, "B": trainB, "mask": trainmask}}; the
    split is None where they are plainly called A and B. {} if there are no two sides, or A and B are letters among
    others, which are classes."""
    for pattern in WHERE_SIDES:
        found = {split: _side_folders(root, pattern, split) for split in SPLITS}
        if any(found.values()):
            return {split: folders for split, folders in found.items() if folders}
    two = {side: root / side for side in SIDES}
    if not all(path.is_dir() for path in two.values()) or _letters(root):
        return {}
    return {None: two | _conditions(two["A"], {path.name: path for path in _folders(root)})}


def items(folders: dict[str | None, dict[str, Path]]) -> list[Item]:
    """The samples of `sides`, sorted by split and name. UserError if a picture lacks a partner on another side."""
    found = []
    for split, places in folders.items():
        listed = {side: named(place) for side, place in places.items()}
        for side, files in listed.items():
            if lonely := sorted(listed["A"].keys() ^ files.keys()):
                raise UserError(
                    f"{len(lonely)} pictures are in only one of {places['A']} and {places[side]}: "
                    f"{', '.join(lonely[:5])}{', ...' if len(lonely) > 5 else ''}. Add their partners, or remove them."
                )
        found += [Item(split, name, {side: listed[side][name] for side in listed}) for name in listed["A"]]
    return found


def named(folder: Path) -> dict[str, Path]:
    """The pictures directly in a folder, by name without suffix, sorted. UserError for two of one name."""
    return unique((path.stem, path) for path in sorted(folder.iterdir()) if is_picture(path) and path.is_file())


def unique(pairs: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    """name → file. UserError for two files of one name."""
    found: dict[str, Path] = {}
    for name, path in pairs:
        if name in found:
            raise UserError(f"{path} and {found[name]} would have one name, '{name}'. Rename or remove one of them.")
        found[name] = path
    return dict(sorted(found.items()))


def photos(root: Path, without: Path | None = None) -> list[Photo]:
    """A collection's pictures: of the splits train, val and test where there is a folder `train`, else all of them."""
    if folders := sides(root):
        place = next(iter(folders.values()))["B"]
        raise UserError(f"{root} holds pairs. Name the folder of one side, {place} say, to make others from it.")
    everything = pictures(root, without)
    homes = {split: root / split for split in SPLITS if (root / split).is_dir()}
    if "train" not in homes:
        homes = {"train": root}
    found = []
    for split, home in homes.items():
        below = [path for path in everything if path.is_relative_to(home)]
        names = unique((path.relative_to(home).with_suffix("").as_posix(), path) for path in below)
        unique((name.replace("/", "_"), path) for name, path in names.items())
        found += [Photo(path, split, name) for name, path in names.items()]
    return found


def seed_of(seed: int, name: str) -> int:
    """A seed of a file's own, 63 bits: equal on any machine, in any order, with any number of workers."""
    told = f"{seed}/{name}".encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.blake2b(told, digest_size=8).digest(), "little") >> 1


def carried(source: Path, target: Path, force: bool, link: bool = False) -> None:
    """The file's bytes, untouched: a copy, or with `link` a hard link, which takes no disk. Whole or not at all."""
    if target.exists():
        if target.resolve() == source.resolve():
            raise UserError(f"{target} is the file that is read; give another --out.")
        if not force:
            raise UserError(f"{target} exists already; --force replaces it.")
    target.parent.mkdir(parents=True, exist_ok=True)
    if not link:
        with Atomic(target, force) as file, source.open("rb") as content:
            shutil.copyfileobj(content, file, 1 << 20)
        return
    temporary = target.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        os.link(source.resolve(), temporary)
        os.replace(temporary, target)
    except OSError as problem:
        raise UserError(f"{target}: no link can be made ({problem.strerror}); copy instead with --copy.") from None
    finally:
        temporary.unlink(missing_ok=True)  # replacing a link by its like leaves both


def _side_folders(root: Path, pattern: str, split: str) -> dict[str, Path]:
    """A, B and whatever condition has a folder of the same pattern; {} without both sides."""
    two = {side: root / pattern.format(split=split, side=side) for side in SIDES}
    if not all(path.is_dir() for path in two.values()) or _letters(two["A"].parent):
        return {}
    others: dict[str, Path] = {}
    for path in _folders(root / split if pattern.startswith("{split}/") else root):
        if pattern != "{split}{side}":
            others[path.name] = path / split if pattern.endswith("/{split}") else path
        elif path.name.startswith(split):
            others[path.name.removeprefix(split).removeprefix("_")] = path
    return two | _conditions(two["A"], others)


def _conditions(a: Path, folders: dict[str, Path]) -> dict[str, Path]:
    """Those that can be named so and hold a picture for most of side A: not every folder beside it is a condition."""
    wanted = {path.stem for path in a.iterdir() if is_picture(path)}
    found = {}
    for name, folder in folders.items():
        if PLAIN_NAME.fullmatch(name) and name not in SPLITS and folder.is_dir():
            there = {path.stem for path in folder.iterdir() if is_picture(path)}
            if 2 * len(there & wanted) > len(wanted):
                found[name] = folder
    return found


def _letters(home: Path) -> bool:
    """Whether there are folders C, D, ... too."""
    return any((home / letter).is_dir() for letter in string.ascii_uppercase[2:])


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []

"""Every name below a folder: pictures, what else is there, and what nobody put there on purpose."""

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from i2i.data.sets.datasets import RECORD, STAMP
from i2i.errors import UserError
from i2i.images import is_picture

LITTER = {"thumbs.db", "desktop.ini", "ehthumbs.db", "icon\r"}
LITTER_FOLDERS = {"__macosx", "@eadir"}
KINDS = ("picture", "other", "hidden", "folder", "gone", "link")  # as in `Listing`
OWN = {STAMP, RECORD}  # what i2i itself leaves in a folder it has made


@dataclass(frozen=True)
class Listing:
    """Names below `root`, '/' between folders, sorted; bytes that are no UTF-8 as Python's surrogate escapes."""

    root: Path
    pictures: tuple[str, ...]
    other: tuple[str, ...]
    hidden: tuple[str, ...]  # files of systems, and whatever begins with a dot
    folders: tuple[str, ...]
    gone: tuple[str, ...]  # links that lead nowhere
    links: tuple[str, ...]  # folders that are links, which are among the folders too

    @cached_property
    def by_folder(self) -> dict[str, list[str]]:
        """Names of the pictures directly in each folder; '' is the root."""
        held: dict[str, list[str]] = defaultdict(list)
        for name in self.pictures:
            folder, _, file = name.rpartition("/")
            held[folder].append(file)
        return dict(held)

    def below(self, folder: str) -> list[str]:
        """Pictures at any depth below a folder ('' is all), seen from it."""
        start = f"{folder}/" if folder else ""
        return [name[len(start) :] for name in self.pictures if name.startswith(start)]

    def inside(self, folder: str) -> list[str]:
        """The names of the folders directly in a folder."""
        start = f"{folder}/" if folder else ""
        return [f[len(start) :] for f in self.folders if f.startswith(start) and "/" not in f[len(start) :]]


def listed(root: Path) -> Listing:
    """Walk all of `root`, and into linked folders but not in circles. Raises UserError for what is no folder."""
    if not root.is_dir():
        raise UserError(f"{root} is no folder (seen from {Path.cwd()}).")
    held: dict[str, list[str]] = {kind: [] for kind in KINDS}
    for name, kind in _walk(str(root), ""):
        held[kind].append(name)
    return Listing(root, *(tuple(sorted(held[kind])) for kind in KINDS))


def _walk(folder: str, prefix: str, above: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """(name, kind) of everything below. `above`: the real places of the folders on the way, where links end."""
    here = os.path.realpath(folder)
    if here in above:
        return
    try:
        entries = list(os.scandir(folder))
    except OSError as problem:
        raise UserError(f"{folder}: cannot be listed ({problem.strerror}).") from None
    for entry in entries:
        name = prefix + entry.name
        if os.path.isdir(entry.path):
            if entry.name.startswith(".") or entry.name.casefold() in LITTER_FOLDERS:
                yield from ((inner, "hidden") for inner, _ in _walk(entry.path, f"{name}/", (*above, here)))
                continue
            yield name, "folder"
            if entry.is_symlink():
                yield name, "link"
            yield from _walk(entry.path, f"{name}/", (*above, here))
        elif entry.name in OWN:
            continue
        elif entry.name.startswith(".") or entry.name.casefold() in LITTER:
            yield name, "hidden"
        else:
            yield name, "gone" if not os.path.isfile(entry.path) else "picture" if is_picture(entry.name) else "other"

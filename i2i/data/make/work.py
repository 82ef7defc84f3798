"""What every maker shares: the pictures of a folder, a folder for the results, a run over many of them, a summary."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rich.console import Console

from i2i.data.crew import QUIET, each
from i2i.errors import UserError
from i2i.images import SUFFIXES, is_picture

Job = TypeVar("Job")


@dataclass(frozen=True)
class Made:
    """What came of a run. `skipped`: (what could not be used, why)."""

    out: Path
    sources: int  # that became something
    files: int  # that were written
    skipped: tuple[tuple[Path, str], ...]
    seconds: float
    note: str = ""  # what else is worth knowing

    def line(self) -> str:
        """The summary, one line."""
        left = f", {len(self.skipped):,} skipped" if self.skipped else ""
        told = f"{_plural(self.sources, 'picture')} → {_plural(self.files, 'file')} in {self.out}"
        return f"{told} ({self.seconds:.1f} s{left}){f'. {self.note}' if self.note else ''}"


def pictures(root: Path, without: Path | None = None) -> list[Path]:
    """All pictures at any depth below a folder, sorted by relative name; none that are hidden, or below `without`."""
    if not root.is_dir():
        raise UserError(f"{root} is {'a file' if root.exists() else 'no such folder'}; expected a folder of pictures.")
    avoided = without.resolve() if without is not None else None
    found = []
    for folder, below, names in os.walk(root):
        at = Path(folder)
        below[:] = [name for name in below if not name.startswith(".") and (at / name).resolve() != avoided]
        found += [at / name for name in names if is_picture(name)]
    if not found:
        raise UserError(f"{root} holds no pictures ({' '.join(sorted(SUFFIXES))}).")
    return sorted(found, key=lambda path: path.relative_to(root).as_posix())


def fresh(out: Path, force: bool, *sources: Path) -> Path:
    """`out`, if it may be written into: no folder that is read from, and empty unless `force`. Raises UserError."""
    for source in sources:
        if out.resolve() == source.resolve():
            raise UserError(f"{out} is the folder that is read from; give the results another one with --out.")
    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out} is a file; expected a folder.")
    if not force and out.is_dir() and any(not path.name.startswith(".") for path in out.iterdir()):
        raise UserError(f"{out} is not empty. Give another --out, or --force to replace files of equal names in it.")
    return out


def run(
    title: str,
    jobs: Sequence[Job],
    work: Callable[[Job], int],
    source: Callable[[Job], Path],
    out: Path,
    console: Console = QUIET,
    note: str = "",
) -> Made:
    """Does all jobs; each returns how many files it has written, and is called by its `source` where it fails."""
    begin, files, skipped = time.monotonic(), 0, []
    for job, result in each(title, jobs, work, console):
        if isinstance(result, str):
            skipped.append((source(job), result.removeprefix(f"{source(job)}: ")))
        else:
            files += result
    return Made(out, len(jobs) - len(skipped), files, tuple(skipped), time.monotonic() - begin, note)


def _plural(count: int, word: str) -> str:
    return f"{count:,} {word}{'' if count == 1 else 's'}"

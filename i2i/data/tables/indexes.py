"""What was found out about a large set once is kept under <I2I_HOME>/manifests, one folder for each set and reading."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from i2i.errors import UserError
from i2i.files import atomically, durable
from i2i.paths import home

FORMAT = 1  # of what is written there
UNUSED = 60 * 86400  # seconds after which what nobody opens is removed
FACTS = "index.json"  # the last file to be written, and the one whose time says when it was used


def index(source: str, version: object, settings: object, build: Callable[[Path], dict[str, Any]]) -> Path:
    """The folder of what `build(folder)` writes there, made on first use, with the facts it returns in `index.json`.

    `source` names a set, `version` what changes when it does, and `settings` how it is read: all as plain data. Other
    processes wait while one builds. Older versions of the set are removed, and so is what was not used for long.
    """
    place = home() / "manifests"
    set_, version_, settings_ = (_short(part) for part in (source, version, settings))
    folder = place / f"{set_}-{version_}-{settings_}"
    if not _used(folder):
        try:
            place.mkdir(parents=True, exist_ok=True)
            with FileLock(place / f".{set_}.lock"):
                if not _used(folder):
                    _build(folder, build)
                    _sweep(place, f"{set_}-", f"{set_}-{version_}-")
        except OSError as problem:
            raise UserError(
                f"{source}: its index cannot be written to {place} ({problem.strerror or problem}). "
                f"Make room there, or set I2I_HOME to another folder."
            ) from None
    return folder


def facts(folder: Path) -> dict[str, Any]:
    """What `build` returned."""
    told: dict[str, Any] = json.loads((folder / FACTS).read_text("utf-8"))
    return told


@contextmanager
def progress(what: str, total: float, console: Console | None = None) -> Iterator[Callable[[float], None]]:
    """A bar with the time left, on stderr unless told otherwise, while the block calls `at(done)`; gone after it."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    console = console or Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


def _used(folder: Path) -> bool:
    """Whether it is there; its time of use is now."""
    try:
        os.utime(folder / FACTS)
    except FileNotFoundError:
        return False
    except OSError:  # a home that can only be read
        return True
    return True


def _build(folder: Path, build: Callable[[Path], dict[str, Any]]) -> None:
    making = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir()
    try:
        told = build(making)
        atomically(making / FACTS, lambda path: path.write_text(json.dumps(told), "utf-8"))
        for path in making.rglob("*"):
            durable(path)
        shutil.rmtree(folder, ignore_errors=True)  # what has lost its facts is no index
        making.rename(folder)
        durable(folder.parent)
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _sweep(place: Path, of_set: str, of_version: str) -> None:
    for folder in place.iterdir():
        if folder.name.startswith("."):
            continue
        with suppress(OSError):  # another process may be sweeping as well
            stale = folder.name.startswith(of_set) and not folder.name.startswith(of_version)
            used = folder / FACTS if (folder / FACTS).exists() else folder
            if stale or used.stat().st_mtime < time.time() - UNUSED:
                shutil.rmtree(folder, ignore_errors=True)


def _short(told: object) -> str:
    return hashlib.sha256(json.dumps([FORMAT, told]).encode()).hexdigest()[:16]

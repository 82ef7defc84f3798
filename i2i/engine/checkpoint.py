"""What a run needs to go on, on disk: written whole or not at all, checked before an older one goes, without code.

    state/0001000/state.pt         tensors, numbers and strings, read with weights_only
    state/0001000/...              copies of files that belong to it
    state/0001000/manifest.json    bytes and sha256 of each file beside it

A folder appears under its name by one rename, after everything in it is durable. One flipped byte would load in silence
from a .pt file: hence the sums.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from i2i.errors import UserError
from i2i.files import durable

State = dict[str, Any]  # nested dicts and lists of tensors, numbers and strings
STATE, MANIFEST = "state.pt", "manifest.json"


def save(folder: Path, step: int, state: State, keep: int, beside: Sequence[Path] = ()) -> None:
    """Adds the state of `step` to `folder`, and when it reads back as it was written removes all but `keep` of them.

    A copy of each file in `beside` is kept with it, see `copies`.
    Raises UserError when it cannot be written or reads back wrong; older states are then as they were.
    """
    target, temporary, old = folder / f"{step:07d}", folder / f".{step:07d}.tmp", folder / f".{step:07d}.old.tmp"
    _remove(temporary, old)
    try:
        temporary.mkdir(parents=True)
        torch.save(state, temporary / STATE)
        for path in beside:
            shutil.copyfile(path, temporary / path.name)
        files = [temporary / STATE, *(temporary / path.name for path in beside)]
        told = {path.name: {"bytes": path.stat().st_size, "sha256": _sha256(path)} for path in files}
        (temporary / MANIFEST).write_text(json.dumps({"step": step, "files": told}, indent=2), "utf-8")
        for path in (*files, temporary / MANIFEST, temporary):
            durable(path)
        if target.exists():  # a step that is played again after a return to an older state
            target.rename(old)  # at once: removed file by file it could be met half there, and would pass for damaged
        temporary.rename(target)
        durable(folder)
    except (OSError, RuntimeError) as error:  # torch calls a full disk a RuntimeError
        _remove(temporary)
        older = ", ".join(path.name for path in _states(folder)) or "none"
        raise UserError(
            f"The state of step {step} could not be saved in {folder} ({_why(folder, error)}). Older ones are intact: "
            f"steps {older}. Make room or the folder writable, then type the same command again: it goes on from there."
        ) from error
    if problem := damage(target):
        raise UserError(f"{target} does not read back as it was written ({problem}). Is the disk failing? Older states "
                        f"are intact; give the run another disk with --run after copying {folder.parent}.")  # fmt: skip
    newer = [path for path in _states(folder) if int(path.name) > step]  # damaged ones, passed over by a resume
    _remove(old, *_states(folder)[: -keep - len(newer)], *newer)


def newest(folder: Path, device: torch.device) -> tuple[State | None, list[str]]:
    """The newest state that is whole, or None, and a line about each damaged one that was passed over for it."""
    passed = []
    for path in reversed(_states(folder)):
        if problem := damage(path):
            passed.append(f"The saved state {path} is damaged ({problem}); taking the one before it.")
            continue
        try:
            state: State = torch.load(path / STATE, map_location=device, weights_only=True)
        except Exception as error:  # whole, but not written by us: torch raises half a dozen types here
            passed.append(f"{path} is no saved state of i2i ({type(error).__name__}); taking the one before it.")
            continue
        return state, passed
    return None, passed


def copies(folder: Path, name: str) -> list[Path]:
    """The copies of a file that the saved states keep, newest first."""
    return [path / name for path in reversed(_states(folder)) if (path / name).is_file()]


def damage(path: Path) -> str:
    """What is wrong with a saved state's folder; '' if every file has the length and the sum of its manifest."""
    try:
        files = json.loads((path / MANIFEST).read_text("utf-8"))["files"]
        for name in {STATE, *files}:
            if (size := (path / name).stat().st_size) != files[name]["bytes"]:
                return f"{name} has {size} bytes, not {files[name]['bytes']}"
            if _sha256(path / name, fresh=True) != files[name]["sha256"]:
                return f"{name} has changed since it was written"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{type(error).__name__}: {error}"
    return ""


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """The run's folder is this process's alone, until the block ends or the process does, however it ends.

    Raises UserError when another process has it, or when it cannot be written to.
    """
    lock = FileLock(run / ".lock", timeout=0)
    try:
        run.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise UserError(
            f"Another process is at work in {run}. Wait until it ends, or give this run its own folder with --run."
        ) from None
    except (OSError, NotImplementedError) as error:  # the latter from a file system without locks
        raise UserError(f"{run} cannot be written to ({error}). Give another folder with --run.") from None
    try:
        sweep(run)
        yield
    finally:
        lock.release()


def sweep(run: Path) -> None:
    """Removes what writers that were killed have left half done."""
    for left in [*run.glob(".*.tmp"), *run.glob("*/.*.tmp")]:
        if left.is_dir():
            _remove(left)
        else:
            left.unlink(missing_ok=True)


def _states(folder: Path) -> list[Path]:
    """The folders of saved states, oldest first."""
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted((path for path in found if path.name.isdecimal()), key=lambda path: int(path.name))


def _remove(*folders: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _sha256(path: Path, *, fresh: bool = False) -> str:
    """`fresh`: asks the system to forget its copy of the file, so that what is on the disk is read."""
    with path.open("rb") as file:
        if fresh and hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return hashlib.file_digest(file, "sha256").hexdigest()


def _why(folder: Path, error: Exception) -> str:
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    return f"{error}; {free / 2**20:,.0f} MiB free" if isinstance(error, OSError) or free < 2**30 else str(error)

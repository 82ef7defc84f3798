"""Files that appear whole or not at all."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path


def atomically(path: Path, write: Callable[[Path], object], *, alone: bool = True) -> None:
    """Calls `write(temporary)`, then makes the file durable and moves it to `path`: readers see old or new, whole.

    What a killed process has left is written over by the next one; `alone` is False where two may write at once.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}{'' if alone else f'.{secrets.token_hex(4)}'}.tmp")
    try:
        write(temporary)
        durable(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    durable(path.parent)  # the rename itself must survive a power cut


def durable(path: Path) -> None:
    """The file or folder is on the disk, not only on its way there."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)

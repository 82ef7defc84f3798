"""The state of a run on disk: all that a resume needs, without pickled code, written whole or not at all."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from i2i.errors import UserError


def atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Calls `write(temporary)`, then makes the file durable and moves it to `path`: readers see old or new, whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        write(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the rename itself must survive a power cut
    finally:
        os.close(folder)


def save(path: Path, state: dict[str, Any]) -> None:
    """`state`: nested dicts and lists of tensors, numbers and strings."""
    atomically(path, lambda temporary: torch.save(state, temporary))


def load(path: Path, device: torch.device) -> dict[str, Any]:
    """Raises UserError when the file cannot be read as a state of i2i."""
    try:
        with zipfile.ZipFile(path) as archive:  # torch writes checksums but does not look at them
            if damaged := archive.testzip():
                raise zipfile.BadZipFile(damaged)
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except Exception as error:  # torch raises half a dozen types here, depending on which byte is damaged
        raise UserError(
            f"{path} is damaged or is no saved state of i2i ({type(error).__name__}). "
            f"Move it away to start this run anew, or give another folder with --run."
        ) from error
    return state

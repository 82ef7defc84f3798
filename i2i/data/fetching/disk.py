"""Room on the disk, looked for before it is needed."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from rich.filesize import decimal

from i2i.errors import UserError

SPARE = 2**26  # bytes that are left to everybody else
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def check_room(folder: Path, needed: int, purpose: str) -> None:
    """UserError if there is no room for `needed` bytes below `folder`, which exists."""
    free = shutil.disk_usage(folder).free
    if free < needed + SPARE:
        raise UserError(
            f"{folder}: {purpose} needs {decimal(needed)}, and {decimal(free)} are free. Make room, or set I2I_HOME to "
            f"a folder on a larger disk."
        )


@contextmanager
def writing(folder: Path, left: str) -> Iterator[None]:
    """A disk that is full all the same, or that cannot be written to, in words; `left` says what becomes of it."""
    try:
        yield
    except OSError as problem:
        why = "the disk is full" if problem.errno in FULL else f"writing failed ({problem})"
        raise UserError(f"{folder}: {why}. {left}") from None


@contextmanager
def written(path: Path, mode: str, left: str, *, sync: bool = False) -> Iterator[IO[bytes]]:
    """A file to write to inside `writing`; `sync` also brings it to the disk at the end."""
    with writing(path.parent, left):
        file = path.open(mode)
    try:
        yield file
        with writing(path.parent, left):
            file.flush()
            if sync:
                os.fsync(file.fileno())
    finally:
        with suppress(OSError):  # of bytes that found no room, and that it tries to write once more
            file.close()

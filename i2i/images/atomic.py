"""A file that appears whole or not at all, and never in the place of another that nobody wanted replaced."""

import os
import secrets
from pathlib import Path
from types import TracebackType
from typing import IO

from i2i.errors import UserError


class Atomic:
    """`with Atomic(path, force) as file:` what is written to `file` becomes `path` when the block ends well.

    Missing folders are made. UserError if something has that name, at the beginning or by the end.
    """

    file: IO[bytes]

    def __init__(self, path: Path, force: bool) -> None:
        self.path, self.force = path, force
        self.temporary = path.parent / f".{secrets.token_hex(8)}.tmp"  # of its own, for the longest name leaves no room

    def __enter__(self) -> IO[bytes]:
        if self.path.exists() and not self.force:
            raise self._taken()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.file = self.temporary.open("x+b")
        return self.file

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.file.close()  # what it still held may find no room on the disk
            if kind is None:
                self._appear()
        finally:
            self.temporary.unlink(missing_ok=True)

    def _appear(self) -> None:
        if not self.force:
            try:  # a link never replaces; a rename would
                os.link(self.temporary, self.path)
                return
            except FileExistsError:
                raise self._taken() from None
            except OSError:  # a file system without hard links
                if self.path.exists():
                    raise self._taken() from None
        os.replace(self.temporary, self.path)

    def _taken(self) -> UserError:
        return UserError(f"{self.path} exists already. Choose another name, or allow replacing it with --force.")

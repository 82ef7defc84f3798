"""Where one picture is: a file, or a member of a shard."""

from dataclasses import dataclass
from pathlib import Path

from i2i.data.shards.remote import local
from i2i.errors import UserError


@dataclass(frozen=True, slots=True)
class Member:
    """A file inside a tar file; `str` tells both, and `suffix` is that of the inner one."""

    shard: str  # a path, or a URL that fsspec opens
    name: str
    offset: int  # of its content, bytes from the start of the shard
    size: int  # bytes
    version: str = ""  # of the shard, `<bytes>:<sha256>`: what a copy on this machine must be

    @property
    def suffix(self) -> str:
        return Path(self.name).suffix

    def read(self) -> bytes:
        """The member's content; the shard is fetched first if it lies elsewhere. Raises UserError for one that is gone,
        or shorter than it was."""
        try:
            try:
                content = self._bytes()
            except FileNotFoundError:  # the copy on this machine made room for another one, just now
                content = self._bytes()
        except OSError as problem:
            raise UserError(f"{self}: the shard cannot be read: {problem.strerror or problem}.") from None
        if len(content) < self.size:
            raise UserError(f"{self}: expected {self.size:,} bytes, got {len(content):,}: the shard is cut short.")
        return content

    def _bytes(self) -> bytes:
        with local(self.shard, self.version).open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)

    def __str__(self) -> str:
        return f"{self.shard}!{self.name}"


Reference = Path | Member

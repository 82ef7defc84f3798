"""Where one picture is: a file, or a member of a shard."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Member:
    """A file inside a tar file; `str` tells both, and `suffix` is that of the inner one."""

    shard: str  # a path, or a URL that fsspec opens
    name: str
    offset: int  # of its content, bytes from the start of the shard
    size: int  # bytes

    @property
    def suffix(self) -> str:
        return Path(self.name).suffix

    def __str__(self) -> str:
        return f"{self.shard}!{self.name}"


Reference = Path | Member

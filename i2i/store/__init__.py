"""Model names → files: the user's own models, those that ship with i2i, run folders, files, the Hugging Face hub."""

from i2i.store.headers import FORMAT, read_header
from i2i.store.names import (
    BEST,
    CARD,
    FILE,
    Entry,
    add,
    check_name,
    entries,
    exported,
    find,
    folder,
    register,
    remove,
)
from i2i.store.telling import describe

__all__ = [
    "BEST", "CARD", "FILE", "FORMAT", "Entry", "add", "check_name", "describe", "entries", "exported", "find", "folder",
    "read_header",
    "register", "remove",
]  # fmt: skip

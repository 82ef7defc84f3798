"""What came first of files without a published checksum (`datasets.lock`), so that another one is noticed later."""

import datetime
import json
from pathlib import Path

from filelock import FileLock
from pydantic import Field, ValidationError

from i2i.errors import UserError
from i2i.files import atomically
from i2i.paths import home
from i2i.spec import Spec


class Seen(Spec):
    """A file as it came the first time."""

    bytes: int = Field(ge=1)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    url: str  # where it came from
    date: datetime.date


class Seens(Spec):
    format: int = Field(default=1, ge=1, le=1)
    files: dict[str, Seen] = Field(default_factory=dict)  # by `<set>/<file>`


def lock_file() -> Path:
    return home() / "datasets.lock"


def seen(name: str, file: str) -> Seen | None:
    """What a file of a set was when it came first. Raises UserError if the lock file is damaged."""
    return _read().files.get(f"{name}/{file}")


def remember(name: str, file: str, *, url: str, size: int, sha256: str) -> None:
    """Enters a file, in place of what was known of it."""
    path = lock_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    entry = Seen(bytes=size, sha256=sha256, url=url, date=datetime.datetime.now(datetime.UTC).date())
    with FileLock(path.with_name(f".{path.name}.lock")):  # another set's fetch may write at the same time
        files = {**_read().files, f"{name}/{file}": entry}
        told = Seens(files=dict(sorted(files.items()))).model_dump(mode="json")
        atomically(path, lambda temporary: temporary.write_text(f"{json.dumps(told, indent=2)}\n", "utf-8"))


def _read() -> Seens:
    path = lock_file()
    if not path.is_file():
        return Seens()
    try:
        return Seens.model_validate_json(path.read_text("utf-8"))
    except (ValidationError, UnicodeDecodeError) as problem:
        why = " ".join(str(problem).split())[:200]
        raise UserError(
            f"{path} is damaged ({why}). It holds the checksums of what was fetched first: repair it, or remove it to "
            f"trust the next downloads anew."
        ) from None

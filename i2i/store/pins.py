"""What names of the hub mean on this machine: `<I2I_HOME>/hub.json`, a commit and the sums of its files for each."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock

from i2i.errors import UserError
from i2i.files import atomically
from i2i.paths import home

PREFIX = "hf:"
FILE = "model.safetensors"
CARD = "README.md"
FORMS = ("model.a2b.uint8.onnx", "model.b2a.uint8.onnx")  # fixed names: a header from elsewhere must not name files
WORD = r"[A-Za-z0-9_](?:[\w.-]{0,94}[A-Za-z0-9_])?"
REPOSITORY = re.compile(rf"hf:({WORD}/{WORD})(?:@([\w./-]{{1,96}}))?", re.ASCII)
COMMIT, SHA256 = re.compile(r"[0-9a-f]{40}"), re.compile(r"[0-9a-f]{64}")

Pin = dict[str, Any]  # {"commit": ..., "sha256": {file: sum}}


@contextmanager
def alone() -> Iterator[None]:
    """One process at a time fetches and pins."""
    home().mkdir(parents=True, exist_ok=True)
    with FileLock(home() / ".hub.lock"):
        yield


def parts(name: str) -> tuple[str, str]:
    """`hf:owner/name[@revision]` → owner/name, revision. Raises UserError for what cannot be one."""
    found = REPOSITORY.fullmatch(name)
    if found is None or ".." in name or "--" in found[1]:  # nor does the hub have such; and see `place`
        raise UserError(f"{name!r} names no model of the hub; expected hf:owner/name or hf:owner/name@revision.")
    return found[1], found[2] or "main"


def name_of(repository: str, revision: str) -> str:
    return f"{PREFIX}{repository}" + (f"@{revision}" if revision != "main" else "")


def place(repository: str, commit: str) -> Path:
    """The folder of a commit."""
    return home() / "hub" / repository.replace("/", "--") / commit


def pinned(repository: str, revision: str) -> Pin | None:
    """What a name was pinned to; None where it was not fetched yet."""
    return read().get(f"{repository}@{revision}")


def kept(repository: str, revision: str) -> Path | None:
    """The file that a name is pinned to, if it is here."""
    pin = pinned(repository, revision)
    file = place(repository, pin["commit"]) / FILE if pin else None
    return file if file and file.is_file() else None


def fetched() -> list[tuple[str, Path, str]]:
    """All that is pinned: its name, its file (which may be gone), its commit."""
    told = [(*parts(PREFIX + key), pin["commit"]) for key, pin in sorted(read().items())]
    return [(name_of(owned, revision), place(owned, commit) / FILE, commit) for owned, revision, commit in told]


def write(repository: str, revision: str, pin: Pin | None) -> None:
    """Pins a name, or with None forgets it; `alone`."""
    key = f"{repository}@{revision}"
    pins = {other: told for other, told in read().items() if other != key} | ({key: pin} if pin else {})
    text = json.dumps(pins, indent=1, sort_keys=True)
    atomically(home() / "hub.json", lambda temporary: temporary.write_text(text, "utf-8"))


def read() -> dict[str, Pin]:
    """All pins, by `owner/name@revision`; a damaged file is an error, since going on would forget what was trusted."""
    path = home() / "hub.json"
    try:
        told: dict[str, Pin] = json.loads(path.read_text("utf-8"))
        for key, pin in told.items():
            parts(PREFIX + key)
            sums = pin["sha256"]
            sound = COMMIT.fullmatch(pin["commit"]) and FILE in sums and sums.keys() <= {FILE, CARD, *FORMS}
            if not sound or not all(SHA256.fullmatch(each) for each in sums.values()):
                raise ValueError(key)
    except FileNotFoundError:
        return {}
    except (UserError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UserError(f"{path} is damaged. Delete it to fetch the models of the hub anew.") from None
    return told

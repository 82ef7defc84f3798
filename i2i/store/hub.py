"""Models on the Hugging Face hub, `hf:owner/name[@revision]`: fetched once, pinned, checked, and never run as code.

What was first fetched under a name is what that name means from then on: its commit and the sha256 of its files are
kept in `<I2I_HOME>/hub.json`, and no network is asked again. Only the weights and the exported forms are taken, whose
formats hold no code, and both are opened as carefully as any file from elsewhere.
"""

import hashlib
import json
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from i2i.errors import UserError
from i2i.files import atomically
from i2i.paths import home
from i2i.store.headers import read_header

PREFIX = "hf:"
FILE = "model.safetensors"
LARGEST = 4 * 2**30  # bytes of one file
REPOSITORY = re.compile(r"hf:([\w.-]{1,96}/[\w.-]{1,96})(?:@([\w./-]{1,96}))?", re.ASCII)


def find(name: str) -> Path:
    """The model file behind `hf:owner/name[@revision]`, fetched if it is not here yet.

    Raises UserError for a name that cannot be one, what is not on the hub or cannot be reached, and for files that are
    no longer what they were.
    """
    repository, revision = _parts(name)
    home().mkdir(parents=True, exist_ok=True)
    with FileLock(home() / ".hub.lock"):
        pinned = _pins().get(_key(repository, revision))
        if pinned is None:
            return _fetch(repository, revision)
        file = _place(repository, pinned["commit"]) / FILE
        if not file.is_file():
            return _fetch(repository, pinned["commit"], pinned, revision)
    return file


def update(name: str) -> tuple[Path, bool]:
    """Asks the hub what the name means today and takes that from now on: the file, and whether it has changed."""
    repository, revision = _parts(name)
    home().mkdir(parents=True, exist_ok=True)
    with FileLock(home() / ".hub.lock"):
        before = _pins().get(_key(repository, revision), {})
        file = _fetch(repository, revision)
        return file, _pins()[_key(repository, revision)]["commit"] != before.get("commit")


def pin(name: str) -> dict[str, Any] | None:
    """What a name was pinned to: {"commit": ..., "sha256": {file: sum}}; None where it was not fetched yet."""
    told: dict[str, Any] | None = _pins().get(_key(*_parts(name)))
    return told


def _fetch(repository: str, wanted: str, pinned: dict[str, Any] | None = None, revision: str | None = None) -> Path:
    """Downloads what i2i uses of a repository, checks it, and pins it."""
    try:
        import huggingface_hub as hf
        from huggingface_hub import errors
    except ImportError:
        raise UserError("Models of the hub need one more package: pip install 'i2i[hub]'") from None
    name = f"{PREFIX}{repository}" + (f"@{wanted}" if wanted != "main" else "")
    try:
        commit = _commit(hf, repository, wanted)
        place = _place(repository, commit)
        sums = {FILE: _take(hf, repository, commit, FILE, place)}
        header = read_header(place / FILE)
        for way in header["directions"].split(","):
            with suppress(errors.EntryNotFoundError):  # it is made here then
                each = f"model.{way}.uint8.onnx"
                sums[each] = _take(hf, repository, commit, each, place)
    except errors.RepositoryNotFoundError:
        raise UserError(
            f"{name}: there is no such repository on the hub, or it is private (huggingface-cli login)."
        ) from None
    except errors.RevisionNotFoundError:
        raise UserError(f"{name}: the repository has no revision {wanted!r}.") from None
    except errors.EntryNotFoundError:
        raise UserError(f"{name} holds no {FILE}: it is no model of i2i.") from None
    except UserError:
        raise
    except Exception as problem:  # of whichever HTTP library the client uses
        words = " ".join(str(problem).split())[:300]
        raise UserError(f"{name} cannot be fetched ({type(problem).__name__}): {words}") from None
    if pinned is not None and any(pinned["sha256"].get(file, told) != told for file, told in sums.items()):
        raise UserError(
            f"{name} is not what it was when it was first fetched: expected {pinned['sha256']}, got {sums}. "
            f"Somebody has changed it; to take it as it is now: i2i models add {name} --force"
        )
    pins = _pins() | {_key(repository, revision or wanted): {"commit": commit, "sha256": sums}}
    text = json.dumps(pins, indent=1, sort_keys=True)
    atomically(home() / "hub.json", lambda temporary: temporary.write_text(text, "utf-8"))
    return place / FILE


def _commit(hf: Any, repository: str, revision: str) -> str:
    """The commit that a revision is now."""
    told = hf.get_hf_file_metadata(hf.hf_hub_url(repository, FILE, revision=revision, endpoint=_endpoint()))
    if not told.commit_hash or not re.fullmatch(r"[0-9a-f]{40}", told.commit_hash):
        raise UserError(f"{PREFIX}{repository}: the hub names no commit for {revision!r}.")
    return str(told.commit_hash)


def _take(hf: Any, repository: str, commit: str, file: str, place: Path) -> str:
    """One file of a commit into `place`; returns its sha256."""
    told = hf.get_hf_file_metadata(hf.hf_hub_url(repository, file, revision=commit, endpoint=_endpoint()))
    if told.size is None or told.size > LARGEST:
        raise UserError(f"{PREFIX}{repository}: {file} claims {told.size} bytes; at most {LARGEST:,} are taken.")
    hf.hf_hub_download(repository, file, revision=commit, local_dir=place, endpoint=_endpoint())
    with (place / file).open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _endpoint() -> str | None:
    """Of a mirror or a hub of one's own; its client reads the variable only once, when it is imported."""
    return os.environ.get("HF_ENDPOINT") or None


def _parts(name: str) -> tuple[str, str]:
    found = REPOSITORY.fullmatch(name)
    if found is None or ".." in name:
        raise UserError(f"{name!r} names no model of the hub; expected hf:owner/name or hf:owner/name@revision.")
    return found[1], found[2] or "main"


def _key(repository: str, revision: str) -> str:
    return f"{repository}@{revision}"


def _place(repository: str, commit: str) -> Path:
    return home() / "hub" / repository.replace("/", "--") / commit


def _pins() -> dict[str, Any]:
    """What is pinned so far; a damaged file is an error, since going on would forget what was trusted."""
    path = home() / "hub.json"
    if not path.is_file():
        return {}
    try:
        told: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except ValueError:
        raise UserError(f"{path} is damaged. Delete it to fetch the models of the hub anew.") from None
    return told

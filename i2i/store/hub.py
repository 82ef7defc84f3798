"""Models on the Hugging Face hub, `hf:owner/name[@revision]`: fetched once, pinned, checked, and never run as code.

What was first fetched under a name is what that name means from then on: its commit and the sha256 of its files are
kept (`store.pins`), and no network is asked again. Only the weights, the exported forms and the model card are taken:
formats that hold no code, and the first two are opened as carefully as any file from elsewhere. Nothing reaches its
place before all of it is checked.
"""

import hashlib
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from i2i.errors import UserError, suggest
from i2i.files import durable
from i2i.store.headers import read_header
from i2i.store.pins import CARD, COMMIT, FILE, FORMS, PREFIX, SHA256, Pin, alone, fetched, kept, name_of, parts, write
from i2i.store.pins import pinned as pinned_to
from i2i.store.pins import place as place_of

LARGEST, LARGEST_CARD = 4 * 2**30, 2**20  # bytes


def find(name: str) -> Path:
    """The model file behind `hf:owner/name[@revision]`, fetched if it is not here yet.

    Raises UserError for a name that cannot be one, what is not on the hub or cannot be reached, and for files that are
    no longer what they were.
    """
    repository, revision = parts(name)
    if (file := kept(repository, revision)) is not None:
        return file
    with alone():
        if (file := kept(repository, revision)) is not None:  # another process has fetched it meanwhile
            return file
        return _fetch(repository, revision, pinned_to(repository, revision))


def update(name: str) -> tuple[Path, bool]:
    """Asks the hub what the name means today and takes that from now on: the file, and whether it has changed."""
    repository, revision = parts(name)
    with alone():
        before = (pinned_to(repository, revision) or {"commit": ""})["commit"]
        with _explained(repository, revision) as hf:
            now = _commit(hf, repository, revision)
        file = kept(repository, revision)
        return (file, False) if file and now == before else (_fetch(repository, revision), now != before)


def forget(name: str) -> Path:
    """Deletes what was fetched under a name, unless another name means the same commit; returns where it was."""
    repository, revision = parts(name)
    with alone():
        pin = pinned_to(repository, revision)
        if pin is None:
            raise UserError(f"{name} was not fetched.{suggest(name, [known for known, _, _ in fetched()])}")
        write(repository, revision, None)
        place = place_of(repository, pin["commit"])
        if place.is_dir() and not any(file.parent == place for _, file, _ in fetched()):
            shutil.rmtree(place)
    return place


def _fetch(repository: str, revision: str, pinned: Pin | None = None) -> Path:
    """Downloads what i2i uses of a repository beside its place, checks it, moves it there, and pins it."""
    name = name_of(repository, revision)
    with _explained(repository, revision) as hf:
        commit = pinned["commit"] if pinned else _commit(hf, repository, revision)
        place = place_of(repository, commit)
        part = place.with_name(f".{commit}.part")  # whole files that a cut one has left there are not asked for again
        sums = {FILE: _take(hf, repository, commit, FILE, part)}
        for file in pinned["sha256"].keys() - {FILE} if pinned else (CARD, *FORMS):
            with suppress(_Absent):  # a form is made here then
                sums[file] = _take(hf, repository, commit, file, part)
    if pinned and any(pinned["sha256"][file] != told for file, told in sums.items()):
        shutil.rmtree(part)
        raise UserError(
            f"{name} is not what it was when it was first fetched: expected {pinned['sha256']}, got {sums}. "
            f"Somebody has changed it; to take it as it is now: i2i models add {name} --as NAME --force"
        )
    try:
        read_header(part / FILE)
    except UserError as problem:
        shutil.rmtree(part)
        raise UserError(f"{name} is no model of i2i: {str(problem).replace(str(part / FILE), FILE)}") from None
    place.mkdir(parents=True, exist_ok=True)
    for file in reversed(sums):  # the weights last: where they are, all is
        durable(part / file)
        (part / file).replace(place / file)
    shutil.rmtree(part)
    write(repository, revision, {"commit": commit, "sha256": sums})
    return place / FILE


class _Absent(Exception):
    """The repository has no such file."""


@contextmanager
def _explained(repository: str, revision: str) -> Iterator[Any]:
    """Gives huggingface_hub; what it raises becomes a UserError that says what to do, and tells no secrets."""
    name = name_of(repository, revision)
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise UserError(f"{name} is not on this machine, and HF_HUB_OFFLINE is set: unset it once to fetch the model.")
    try:
        import huggingface_hub as hf
        from huggingface_hub import errors
    except ImportError:
        raise UserError("Models of the hub need one more package: pip install 'i2i[hub]'") from None
    try:
        yield hf
    except errors.GatedRepoError:
        raise UserError(
            f"{name}: its owner asks for terms to be accepted, on the model's page of the hub; then: hf auth login"
        ) from None
    except errors.RepositoryNotFoundError:
        raise UserError(f"{name}: there is no such repository on the hub, or it is private (hf auth login).") from None
    except errors.RevisionNotFoundError:
        raise UserError(f"{name}: the repository has no revision {revision!r}.") from None
    except _Absent:
        raise UserError(f"{name} holds no {FILE}: it is no model of i2i.") from None
    except UserError:
        raise
    except Exception as problem:  # of whichever HTTP library the client uses
        words = _without_secrets(" ".join(str(problem).split()), hf.get_token())[:300]
        raise UserError(f"{name} cannot be fetched ({type(problem).__name__}): {words}") from None


def _without_secrets(text: str, token: str | None) -> str:
    """Without tokens, passwords in addresses, and what stands behind an '=': the signatures of addresses do."""
    for secret in (*([re.escape(token)] if token else []), r"\bhf_\w+", r"(?<=://)[^/\s@]+(?=@)", r"(?<==)[^\s&'\")]+"):
        text = re.sub(secret, "***", text)
    return text


def _commit(hf: Any, repository: str, revision: str) -> str:
    """The commit that a revision is now."""
    told = _told(hf, repository, FILE, revision).commit_hash
    if not told or not COMMIT.fullmatch(told):
        raise UserError(f"{PREFIX}{repository}: the hub names no commit for {revision!r}.")
    if COMMIT.fullmatch(revision) and told != revision:
        raise UserError(f"{PREFIX}{repository}: asked for the commit {revision}, the hub answers with {told}.")
    return str(told)


def _take(hf: Any, repository: str, commit: str, file: str, part: Path) -> str:
    """One file of a commit into `part`; returns its sha256. _Absent where there is none."""
    name, most = f"{PREFIX}{repository}", LARGEST_CARD if file == CARD else LARGEST
    told = _told(hf, repository, file, commit)
    if told.commit_hash != commit:
        raise UserError(f"{name}: asked for the commit {commit}, the hub answers with {told.commit_hash}.")
    if told.size is None or told.size > most:
        raise UserError(f"{name}: {file} claims {told.size} bytes; at most {most:,} are taken.")
    try:
        hf.hf_hub_download(repository, file, revision=commit, local_dir=part, endpoint=_endpoint())
    except hf.errors.LocalEntryNotFoundError as problem:  # no word on the file: the connection is gone
        raise ConnectionError(problem) from problem
    except OSError as problem:
        if "Consistency check" in str(problem):  # more or less came than was promised: nothing to go on from
            shutil.rmtree(part)
        raise
    with (part / file).open("rb") as opened:
        found = hashlib.file_digest(opened, "sha256").hexdigest()
    promised = told.etag if SHA256.fullmatch(told.etag or "") else found  # small files have another sum there
    if found != promised or (part / file).stat().st_size != told.size:
        shutil.rmtree(part)
        raise UserError(f"{name}: {file} arrived damaged: expected the sha256 {promised}, got {found}. Try again.")
    return found


def _told(hf: Any, repository: str, file: str, revision: str) -> Any:
    """What the hub says of a file: commit_hash, size, etag. _Absent where there is none."""
    try:
        return hf.get_hf_file_metadata(hf.hf_hub_url(repository, file, revision=revision, endpoint=_endpoint()))
    except hf.errors.EntryNotFoundError:
        raise _Absent from None


def _endpoint() -> str | None:
    """Of a mirror or a hub of one's own; its client reads the variable only once, when it is imported."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or None

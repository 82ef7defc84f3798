"""A file from the first address that serves it: resumed where it broke off, and only the right one is kept."""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from i2i.data.fetching.disk import check_room, writing, written
from i2i.data.fetching.http import Answer, Broken, Patience, Refused, ask
from i2i.files import atomically, durable

if TYPE_CHECKING:
    from requests import Session

MOST = 2**36  # bytes of a file of which nobody says how long it is
GAIN = 2**20  # bytes that make an attempt worth counting anew
BLOCK = 2**20  # bytes that are hashed at a time

Progress = Callable[[int, int | None], object]  # bytes that are there, and of how many
Note = Callable[[str], object]


@dataclass(frozen=True)
class Wanted:
    """What a file must be, as far as anybody knows, and where it is."""

    urls: tuple[str, ...]
    bytes: int | None = None
    sha256: str | None = None
    md5: str | None = None
    most: int = MOST  # bytes, where `bytes` is None
    spare: int = 0  # bytes of disk that are needed besides it, for what is in it

    @property
    def known(self) -> bool:
        """Whether a wrong file would be noticed, wherever its parts come from."""
        return bool(self.sha256 or self.md5)


@dataclass(frozen=True)
class Sums:
    bytes: int
    sha256: str
    md5: str

    def differ(self, wanted: Wanted) -> str:
        """What is not as it should be, '' if nothing is."""
        for what, got, expected in (
            ("bytes", self.bytes, wanted.bytes),
            ("sha256", self.sha256, wanted.sha256),
            ("md5", self.md5, wanted.md5),
        ):
            if expected is not None and got != expected:
                return f"expected {what} {expected}, got {got}"
        return ""


class Wrong(Refused):
    """What came is whole, but not the file that was wanted."""

    def __init__(self, told: str, sums: Sums) -> None:
        super().__init__(told)
        self.sums = sums


def _silent(*_: object) -> None:
    pass


def sums(path: Path, wanted: Wanted, progress: Progress = _silent) -> Sums:
    """Length and checksums of a file; md5 only where that is wanted, since it takes as long as the other."""
    sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False) if wanted.md5 else None
    done, total = 0, path.stat().st_size
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            sha256.update(block)
            if md5:
                md5.update(block)
            done += len(block)
            progress(done, total)
    return Sums(done, sha256.hexdigest(), md5.hexdigest() if md5 else "")


def part_of(target: Path) -> Path:
    """Where a download that is not finished is kept."""
    return target.with_name(f"{target.name}.part")


def download(
    wanted: Wanted,
    target: Path,
    *,
    patience: Patience,
    progress: Progress = _silent,
    checking: Progress = _silent,
    note: Note = _silent,
) -> tuple[str, Sums]:
    """Brings a file to `target`; returns the address that served it and its sums. Refused, a line for each address, if
    none does; Wrong if the last that serves one serves another file. One process at a time may do this to a target."""
    import requests

    target.parent.mkdir(parents=True, exist_ok=True)
    part, failures = part_of(target), []
    wrong: Sums | None = None
    with requests.Session() as session:
        for url in wanted.urls:
            for _ in range(2):  # what was put together from parts gets a second chance, in one piece
                try:
                    pieced = _bring(session, url, wanted, part, patience, progress, note)
                except Refused as problem:
                    failures.append(f"{url}\n    {problem}")
                    break
                got = sums(part, wanted, checking)
                if not (difference := got.differ(wanted)):
                    _state(part).unlink(missing_ok=True)
                    part.replace(target)
                    durable(target.parent)
                    return url, got
                part.unlink()
                wrong = got
                if not pieced:
                    failures.append(f"{url}\n    serves another file: {difference}")
                    break
                note("What was put together from parts is not the file; once more, from the start.")
    told = "\n  ".join(failures)
    raise Wrong(told, wrong) if wrong else Refused(told)


def _bring(
    session: "Session", url: str, wanted: Wanted, part: Path, patience: Patience, progress: Progress, note: Note
) -> bool:
    """The whole file at `part`, from one address; whether it was put together from parts. Raises Refused."""
    tries, best, pieced = 0, _length(part), False
    while True:
        start, validator = _continued(part, url, wanted)
        if start and start == wanted.bytes:
            return True
        try:
            with ask(session, url, start, validator, patience) as answer:
                pieced = pieced or answer.start > 0
                _take(answer, url, wanted, part, progress)
            return pieced
        except Broken as problem:
            if problem.restart:
                part.unlink(missing_ok=True)
            if _length(part) >= best + GAIN:
                tries, best = 0, _length(part)
            tries += 1
            if tries >= patience.attempts:
                raise Refused(f"{problem}; tried {tries} times") from None
            wait = max(problem.wait, patience.backoff * 2 ** (tries - 1))
            note(f"{url}: {problem}. Again in {wait:g} s.")
            time.sleep(wait)


def _take(answer: Answer, url: str, wanted: Wanted, part: Path, progress: Progress) -> None:
    """Writes what comes. Raises Refused for what cannot be the file, Broken if not all of it came."""
    if None not in (answer.total, wanted.bytes) and answer.total != wanted.bytes:
        raise Refused(f"serves another file: expected {wanted.bytes:,} bytes, it has {answer.total:,}")
    total, most = wanted.bytes or answer.total, wanted.bytes or wanted.most
    if total and total > most:
        raise Refused(f"serves another file: it has {total:,} bytes, and no more than {most:,} are expected")
    check_room(part.parent, (total or 0) - answer.start + wanted.spare, "the download, unpacked,")
    told = json.dumps({"url": url, "validator": answer.validator})
    left = f"What has come is kept in {part.name}; the same command goes on from there."
    with writing(part.parent, left):
        if answer.start == 0:
            part.unlink(missing_ok=True)  # before the note: a note never tells of another version's part
        atomically(_state(part), lambda temporary: temporary.write_text(told))
    with written(part, "ab" if answer.start else "wb", left, sync=True) as file:  # `start` is 0 or where the part ends
        done = answer.start
        progress(done, total)
        for piece in answer.pieces:
            if done == 0 and piece.lstrip()[:1] == b"<":
                raise Refused("serves a web page in place of the file; the link is dead")
            done += len(piece)
            if done > (total or most):
                part.unlink()
                raise Refused(f"sends more than the {total or most:,} bytes it should have")
            with writing(part.parent, left):
                file.write(piece)
            progress(done, total)
    if total is not None and done < total:
        raise Broken(f"broke off after {done:,} of {total:,} bytes")
    if done == 0:
        raise Broken("sends nothing")


def _continued(part: Path, url: str, wanted: Wanted) -> tuple[int, str]:
    """From which byte to go on, and of which version: from 0 where parts of two files could be mixed unnoticed."""
    length = _length(part)
    if not length or (wanted.bytes is not None and length > wanted.bytes):
        return 0, ""
    try:
        state = json.loads(_state(part).read_text())
        validator = str(state["validator"]) if state["url"] == url else ""
    except (OSError, ValueError, KeyError, TypeError):
        validator = ""
    return (length, validator) if validator or wanted.known else (0, "")


def _state(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _length(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0

"""Faults for a run: processes that are forked off this warm one, and killed or signalled at a chosen place."""

import itertools
import mmap
import os
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from i2i import api, cli, selection, session, store, zoo
from i2i.engine import checkpoint, loop, monitor, report
from i2i.errors import Stopped, UserError

Work = Callable[[], object]
SIGKILL = signal.SIGKILL

# Where a run can be: its name for us → what is being called then.
PLACES: dict[str, tuple[Any, str]] = {
    "opening": (session.Session, "__init__"),
    "step": (loop, "in_parts"),
    "log line": (monitor.Lines, "write"),
    "log, cut to the state": (monitor.Lines, "__init__"),
    "sample grid": (monitor.Samples, "draw"),
    "validation": (selection, "validate"),
    "model file": (zoo, "save"),
    "saved state": (checkpoint, "save"),
    "report": (report, "write"),
    "test scoring": (api, "conclude"),
    "registering": (store, "register"),
}
NAMES = ["between", *PLACES]
LEAVING = 128  # added to a place's number in the notes when it is left


@dataclass
class Child:
    """A process at work. What it writes to the terminal goes to `told`; `notes` gets a byte at each place."""

    pid: int
    told: Path
    notes: int
    place: mmap.mmap
    seen: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)

    def until(self, name: str, times: int = 1) -> bool:
        """Waits until it is in the place of that name for so many times; False if it ended before."""
        began: dict[str, float] = {}
        while note := os.read(self.notes, 1):
            where, now = NAMES[note[0] % LEAVING], time.perf_counter()
            if note[0] >= LEAVING:
                self.seconds[where] += now - began.get(where, now)
                continue
            began[where] = now
            self.seen[where] += 1
            if where == name and self.seen[where] == times:
                return True
        return False

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def end(self, seconds: float = 60.0) -> tuple[int, str]:
        """Its exit status, negative for a signal, and what it said; TimeoutError if it does not end by itself."""
        late = time.monotonic() + seconds
        while True:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                os.close(self.notes)
                return os.waitstatus_to_exitcode(status), self.told.read_text("utf-8")
            if time.monotonic() > late:
                os.kill(self.pid, SIGKILL)
                os.waitpid(self.pid, 0)
                raise TimeoutError(f"still at work after {seconds} s: {self.told.read_text('utf-8')}")
            time.sleep(0.002)

    @property
    def where(self) -> str:
        """Where it is, or where it was when it died."""
        return NAMES[self.place[0]]


def start(work: Work, told: Path, slow: Mapping[str, float] | None = None) -> Child:
    """A process that does `work`; `slow`: seconds that it sleeps in a place each time it gets there."""
    told.parent.mkdir(parents=True, exist_ok=True)
    place = mmap.mmap(-1, 1)
    inner, outer = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        os.close(outer)
        return Child(pid, told, inner, place)
    status = 70
    try:
        os.close(inner)
        file = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number, (owner, attribute) in enumerate(PLACES.values(), start=1):
            _watch(owner, attribute, number, place, outer, (slow or {}).get(NAMES[number], 0.0))
        status = _status(work)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def _status(work: Work) -> int:
    """What the `i2i` command would exit with."""
    try:
        work()
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else 0
    except (Stopped, KeyboardInterrupt) as stopped:
        print(f"{type(stopped).__name__}: {stopped}", file=sys.stderr)
        return 130
    except UserError as error:
        print(f"UserError: {error}", file=sys.stderr)
        return 2
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _watch(owner: Any, attribute: str, number: int, place: mmap.mmap, notes: int, pause: float) -> None:
    inside = getattr(owner, attribute)

    def watched(*arguments: Any, **named: Any) -> Any:
        before, place[0] = place[0], number
        os.write(notes, bytes([number]))
        try:
            if pause:
                time.sleep(pause)
            return inside(*arguments, **named)
        finally:
            os.write(notes, bytes([number + LEAVING]))
            place[0] = before

    setattr(owner, attribute, watched)


def command(*words: str | Path) -> Work:
    """The `i2i` command with these words."""

    def work() -> None:
        sys.argv = ["i2i", *map(str, words)]
        cli.main()

    return work


def survey(work: Work, told: Path) -> tuple[Counter[str], dict[str, float]]:
    """How often `work`, left alone, is in each place, and the mean seconds that it stays."""
    child = start(work, told)
    child.until("nowhere")
    status, said = child.end()
    assert status == 0, said
    return child.seen, {name: child.seconds[name] / count for name, count in child.seen.items()}


def kill(work: Work, told: Path, name: str, times: int, delay: float) -> tuple[int, str]:
    """`kill -9`, `delay` seconds after it has come to a place so many times: its status, and where it was."""
    child = start(work, told)
    if child.until(name, times):
        time.sleep(delay)
        child.send(SIGKILL)
    status, said = child.end()
    assert status in (0, -SIGKILL), said
    return status, child.where


def kills(
    train: Callable[[Path], Work], folder: Path, count: int, places: Sequence[str] = tuple(PLACES), seed: int = 0
) -> Iterator[tuple[Path, Counter[str]]]:
    """Kills runs `count` times in all; each is started again by the same command until it comes to its end.

    `train(run)` is the work of training in that folder. Places take turns; the visit and the moment within it are
    random. Gives each run, and how often it died where. Raises AssertionError if a run does not go on.
    """
    draw = random.Random(seed)
    visits, lasting = survey(train(folder / "alone"), folder / "told")
    yield folder / "alone", Counter()
    done = 0
    for number in itertools.count(1):
        died: Counter[str] = Counter()
        status, run = 1, folder / f"{number}"
        while status and done < count:
            name = places[done % len(places)]
            # Most processes begin in the middle: an early visit comes about more often than a late one.
            times = 1 + min(draw.randrange(visits[name]) for _ in range(3))
            status, where = kill(train(run), folder / "told", name, times, draw.random() * lasting[name])
            if status:
                died[where] += 1
                done += 1
        if status:
            status, said = start(train(run), folder / "told").end()
            assert status == 0, said
        yield run, died
        if done == count:
            return


def damage(path: Path, how: str) -> None:
    """A bit of the file's middle is flipped, the file is cut in half, emptied, or removed."""
    data = bytearray(path.read_bytes())
    if how == "removed":
        path.unlink()
        return
    data[len(data) // 2] ^= 16
    path.write_bytes({"one bit": bytes(data), "half": bytes(data[: len(data) // 2]), "empty": b""}[how])

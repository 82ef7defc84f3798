"""What a run survives: each fault is tried many times, on a run of its own, which must come to the same as one alone.

    python benchmarks/survival.py [kills]

A tiny CycleGAN (16 px, width 4) with averaged weights, a history of fakes, validation, saved states and test scores,
on one thread, in processes that are forked off this one. The same means bit for bit: weights, optimisers, history,
averages, counters, losses of the log, validation scores, best model, test scores.
"""

import os
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import faults
import pytest
from faults import Work, command, start
from models.helpers import EVERY, assert_same, cheap, folder, outcome, tiny

from i2i import api, recipe, store

Check = Callable[[Path], None]
Train = Callable[[Path], Work]
ROW = "{:58} {:>6} {:>9}"
STATE = "state/0000006"
FILES = (f"{STATE}/state.pt", f"{STATE}/manifest.json", f"{STATE}/{store.BEST}", store.FILE, store.BEST)
HOW = ("one bit", "half", "removed")
STOPPED = ("step", "log line", "sample grid", "validation", "model file", "saved state", "test scoring")


def main(count: int) -> None:
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as here, pytest.MonkeyPatch.context() as patch:
        home = Path(here)
        patch.setenv("I2I_HOME", str(home / "home"))
        cheap(patch)  # scores and reports have their own tests; here they are places to be killed in
        settings = tiny("cyclegan", folder(home / "pictures", splits=("train", "val", "test")), ema=0.9, **EVERY)
        file = home / "own.yaml"
        file.write_text(recipe.dump(settings), "utf-8")
        api.train(settings, run=home / "expected", name="own")
        expected = outcome(home / "expected")

        def train(run: Path) -> Work:
            return command("train", file, "--run", run)

        def check(run: Path) -> None:
            found = outcome(run)
            found["samples"] = {name: found["samples"].get(name) for name in expected["samples"]}
            found["steps"] = expected["steps"]  # where a run was stopped there is another state
            assert_same(expected, found, run.name)
            shutil.rmtree(run)

        print(ROW.format("fault", "tried", "survived"), flush=True)
        died: Counter[str] = Counter()
        lived: Counter[str] = Counter()
        for run, where in faults.kills(train, home / "killed", count):
            died += where
            lived += where if survived(lambda run=run: check(run)) else Counter()
        for place, times in sorted(died.items()):
            print(ROW.format(f"kill -9, in: {place}", times, lived[place]))
        print(ROW.format("kill -9, in all", died.total(), lived.total()), flush=True)
        for name, attempts in (
            *damages(train, check, home), *full_disks(train, check, home), *signals(train, check, home)
        ):  # fmt: skip
            results = [survived(attempt) for attempt in attempts]
            print(ROW.format(name, len(results), sum(results)), flush=True)
    print(f"{(time.monotonic() - began) / 60:.1f} min")


def survived(attempt: Callable[[], None]) -> bool:
    try:
        attempt()
    except (AssertionError, TimeoutError) as error:
        print(f"not survived: {error}", file=sys.stderr)
        return False
    return True


def damages(train: Train, check: Check, home: Path) -> Iterator[tuple[str, list[Callable[[], None]]]]:
    """A run is killed in its last step, and a file of it damaged."""

    def attempt(file: str, how: str) -> None:
        run = home / "damaged"
        shutil.rmtree(run, ignore_errors=True)
        faults.kill(train(run), home / "told", "step", 8, 0.0)
        faults.damage(run / file, how)
        finish(train(run), home / "told")
        check(run)

    for file in FILES:
        yield (
            f"{file.replace(STATE, 'state/...')}: {', '.join(HOW)}",
            [lambda file=file, how=how: attempt(file, how) for how in HOW],
        )


def full_disks(train: Train, check: Check, home: Path) -> Iterator[tuple[str, list[Callable[[], None]]]]:
    """No file can grow beyond a part of the saved state: the run says so, and goes on when it can."""

    def attempt(share: float) -> None:
        run = home / "full"
        shutil.rmtree(run, ignore_errors=True)
        faults.kill(train(run), home / "told", "step", 5, 0.0)
        size = int(share * (run / "state" / "0000003" / "state.pt").stat().st_size)

        def limited() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            train(run)()

        status, said = start(limited, home / "told").end()
        assert status == 2, said
        assert "error: " in said, said
        finish(train(run), home / "told")
        check(run)

    shares = (0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99)
    yield "no room for more than 1 to 99 % of a state", [lambda share=share: attempt(share) for share in shares]


def signals(train: Train, check: Check, home: Path) -> Iterator[tuple[str, list[Callable[[], None]]]]:
    """A run is told to stop, leaves with code 130 within 10 s, and goes on by the same command."""
    visits, _ = faults.survey(train(home / "alone"), home / "told")

    def attempt(place: str, times: int, number: int) -> None:
        run = home / "stopped"
        shutil.rmtree(run, ignore_errors=True)
        child = start(train(run), home / "told", {place: 0.05})
        child.until(place, times)
        child.send(number)
        status, said = child.end(10)
        assert status == 130, said
        finish(train(run), home / "told")
        check(run)

    for place in STOPPED:
        yield (
            f"SIGINT and SIGTERM, in: {place}",
            [
                lambda place=place, times=times, number=number: attempt(place, times, number)
                for times in sorted({1, visits[place]})
                for number in (2, 15)
            ],
        )


def finish(work: Work, told: Path) -> None:
    status, said = start(work, told).end()
    assert status == 0, said


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)

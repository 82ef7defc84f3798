"""What can happen to a run from outside, each time by a process of its own, and that it still comes to the same."""

import ctypes
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import faults
import numpy as np
import pytest
from faults import command, start
from models.helpers import EVERY, assert_same, cheap, folder, outcome, tiny

from i2i import api, evaluation, images, recipe, selection, store, zoo
from i2i.engine import monitor
from i2i.engine.settings import Settings
from i2i.runtime import tiles

Train = Callable[[Path], faults.Work]
SECONDS = 5.0  # that a stopped command may take to leave


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder(tmp_path_factory.mktemp("data") / "pictures", splits=("train", "val", "test"))


@pytest.fixture(scope="module")
def settings(pictures: Path) -> Settings:
    return tiny("cyclegan", pictures, ema=0.9, **EVERY)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, fresh_home: Path) -> None:
    cheap(monkeypatch)


@pytest.fixture
def train(settings: Settings, tmp_path: Path) -> Train:
    """train(run): the work of `i2i train recipe.yaml --run run`, by its entry point."""
    file = tmp_path / "own.yaml"
    file.write_text(recipe.dump(settings), "utf-8")
    return lambda run: command("train", file, "--run", run)


@pytest.fixture(scope="module")
def expected(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the run comes to when nothing happens to it."""
    run = tmp_path_factory.mktemp("expected") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("I2I_HOME", str(run.parent / "home"))
        cheap(patch)
        api.train(settings, run=run, name="own")
    there = outcome(run)
    best = zoo.load(run / store.BEST, api.pick_device("cpu")).step
    assert best == 4  # older than all states that are kept, so that nobody could make it again
    assert len(there["validation"]) == 4
    assert there["test.json"]
    return there


@pytest.fixture
def the_same(expected: dict[str, Any]) -> Callable[[Path], None]:
    def check(run: Path) -> None:
        found = outcome(run)
        # A run that was stopped has a grid and a state of that step beside the ones of the whole run.
        found["samples"] = {name: found["samples"].get(name) for name in expected["samples"]}
        found["steps"] = expected["steps"]
        assert_same(expected, found, run.name)

    return check


# kill -9


def test_a_run_killed_again_and_again_comes_to_the_same(
    train: Train, tmp_path: Path, the_same: Callable[[Path], None]
) -> None:
    places = ["saved state", "step", "model file", "saved state", "test scoring"]
    died = []
    for run, where in faults.kills(train, tmp_path, 5, places):
        the_same(run)
        died += where.elements()
    assert len(died) == 5


@pytest.mark.slow
def test_a_hundred_kills_anywhere_come_to_the_same(
    train: Train, tmp_path: Path, the_same: Callable[[Path], None]
) -> None:
    died = []
    for run, where in faults.kills(train, tmp_path, 100, seed=1):
        the_same(run)
        died += where.elements()
    assert len(died) == 100
    assert {"step", "saved state", "validation", "log line"} <= set(died)


@pytest.mark.slow
def test_the_command_itself_killed_and_typed_again_comes_to_the_same(pictures: Path, tmp_path: Path) -> None:
    # With its real validation, estimate and report, in a process from the shell.
    file = tmp_path / "own.yaml"
    file.write_text(recipe.dump(tiny("pix2pix", pictures, ema=0.9, **{**EVERY, "log_every": 1})), "utf-8")

    def typed(run: Path) -> list[str]:
        return [sys.executable, "-m", "i2i", "train", str(file), "--run", str(run)]

    subprocess.run(typed(tmp_path / "whole"), check=True, capture_output=True)
    for step in (2, 5, 7):
        with subprocess.Popen(typed(tmp_path / "parts"), stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and step not in (line["step"] for line in monitor.read(tmp_path / "parts")):
                time.sleep(0.001)
            process.kill()
        assert process.returncode == -signal.SIGKILL
    subprocess.run(typed(tmp_path / "parts"), check=True, capture_output=True)
    assert_same(outcome(tmp_path / "whole"), outcome(tmp_path / "parts"))


def test_a_command_killed_while_it_works_with_loaders_is_not_refused_afterwards(
    pictures: Path, tmp_path: Path, the_same: Callable[[Path], None], settings: Settings
) -> None:
    working = settings.model_copy(update={"data": settings.data.model_copy(update={"workers": 2})})
    run = tmp_path / "run"
    status, _ = faults.kill(lambda: api.train(working, run=run, name="own"), tmp_path / "told", "step", 5, 0.0)
    assert status == -signal.SIGKILL
    status, said = start(lambda: api.train(working, run=run, name="own"), tmp_path / "told").end()
    assert status == 0, said
    found = outcome(run)  # but for the recipe, in which the number of workers is written
    assert found["losses"][-1][0] == 8


# SIGINT and SIGTERM

INT, TERM = signal.SIGINT, signal.SIGTERM
SLOW = pytest.mark.slow


def stops(child: faults.Child, number: int) -> str:
    """The signal ends it, soon, with the exit code that shells give, and without a traceback."""
    time.sleep(0.05)
    child.send(number)
    status, said = child.end(SECONDS)
    assert status == 130, said
    assert "Traceback" not in said
    return said


def goes_on(train: Train, run: Path, the_same: Callable[[Path], None]) -> str:
    status, said = start(train(run), run.parent / "told").end()
    assert status == 0, said
    the_same(run)
    return said


@pytest.mark.parametrize(
    ("place", "times", "number", "step"),
    [
        ("step", 1, TERM, 0),  # at rest: a first step that compiles can take minutes, so it is left on the spot
        ("step", 3, INT, 3),
        ("step", 8, TERM, 8),
        ("saved state", 1, INT, 0),
        ("saved state", 2, TERM, 3),
        pytest.param("model file", 3, INT, 3, marks=SLOW),  # the second was the best of step 2
        pytest.param("sample grid", 1, TERM, 1, marks=SLOW),
        pytest.param("report", 1, INT, 5, marks=SLOW),
    ],
)
def test_a_signal_ends_a_run_and_the_same_command_goes_on(
    place: str, times: int, number: signal.Signals, step: int,
    train: Train, tmp_path: Path, the_same: Callable[[Path], None],
) -> None:  # fmt: skip
    run = tmp_path / "run"
    pause = 60.0 if step == 0 else 0.15  # what is at rest must not be waited for
    child = start(train(run), tmp_path / "told", {place: pause})
    assert child.until(place, times)
    said = stops(child, number)
    assert f"Stopped at step {step} of 8" in said
    assert "The same command goes on" in said
    goes_on(train, run, the_same)


def long(*_: Any, watch: Callable[[], None], **__: Any) -> dict[str, float]:
    """A validation, or a scoring, of many batches."""
    for _ in range(600):
        time.sleep(0.1)
        watch()
    return {}


@pytest.mark.parametrize(("times", "number", "step"), [(1, INT, 2), (4, TERM, 8)])
def test_a_signal_in_a_validation_ends_it_and_it_is_made_up_for(
    times: int, number: signal.Signals, step: int, train: Train, tmp_path: Path, the_same: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    run, validate, calls = tmp_path / "run", selection.validate, iter(range(9))
    with monkeypatch.context() as patch:
        patch.setattr(selection, "validate", lambda *a, **k: (long if next(calls) == times - 1 else validate)(*a, **k))
        child = start(train(run), tmp_path / "told")
        assert child.until("validation", times)
        assert f"Stopped at step {step} of 8" in stops(child, number)
    goes_on(train, run, the_same)


@pytest.mark.parametrize("number", [INT, TERM])
def test_a_signal_in_the_final_scoring_ends_it_and_it_is_made_up_for(
    number: signal.Signals, train: Train, tmp_path: Path, the_same: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "of_model", long)
        child = start(train(run), tmp_path / "told")
        assert child.until("test scoring")
        stops(child, number)
    assert not (run / "test.json").exists()
    assert "already finished" in goes_on(train, run, the_same)


def test_a_second_signal_leaves_at_once(train: Train, tmp_path: Path, the_same: Callable[[Path], None]) -> None:
    run = tmp_path / "run"
    child = start(train(run), tmp_path / "told", {"sample grid": 60.0})  # at work, and nobody looks
    assert child.until("sample grid")
    time.sleep(0.05)
    child.send(INT)
    time.sleep(0.2)
    assert os.waitpid(child.pid, os.WNOHANG) == (0, 0)  # the first one waits for the end of the step
    stops(child, INT)
    goes_on(train, run, the_same)


@pytest.mark.parametrize("number", [INT, TERM])
@pytest.mark.parametrize("what", ["evaluate", "translate"])
def test_a_signal_ends_the_other_commands(
    what: str, number: signal.Signals, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    product = api.Session(settings, tmp_path / "run", api.pick_device("cpu")).product
    zoo.save(tmp_path / "model", product, settings, 1, "")
    inner, outer = os.pipe()

    def endless(*_: Any, **__: Any) -> None:
        os.write(outer, b"1")
        time.sleep(60)

    monkeypatch.setattr(evaluation, "of_model", endless)
    monkeypatch.setattr(tiles, "translate", endless)
    images.write(tmp_path / "a.png", np.zeros((9, 9, 3), np.uint8))
    images.write(tmp_path / "b.png", np.zeros((9, 9, 3), np.uint8))
    words = [tmp_path / "a.png", tmp_path / "b.png", "-o", tmp_path / "out"] if what == "translate" else []
    child = start(command(what, *words, "--model", tmp_path / "model"), tmp_path / "told")
    assert select.select([inner], [], [], 60)[0], child.end(0)
    stops(child, number)
    assert not list(tmp_path.glob("out/*"))


# Disks


def limited(work: faults.Work, size: int) -> faults.Work:
    """`work` where no file can grow beyond `size` bytes."""

    def inside() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        work()

    return inside


def test_a_state_that_finds_no_room_is_told_and_the_same_command_goes_on(
    train: Train, tmp_path: Path, the_same: Callable[[Path], None]
) -> None:
    run = tmp_path / "run"
    child = start(train(run), tmp_path / "told", {"step": 0.1})
    child.until("step", 6)
    child.send(signal.SIGKILL)
    child.end()
    size = max(path.stat().st_size for path in run.rglob("state.pt"))
    status, said = start(limited(train(run), size // 2), tmp_path / "told").end()
    assert status == 2, said
    assert said.count("\n") < 20
    for words in ("error: The state of step 6 could not be saved", "Older ones are intact: steps 0000000, 0000003"):
        assert words in said.replace("\n", " ")
    goes_on(train, run, the_same)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB in memory."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", disk], capture_output=True).returncode:
        pytest.skip("mounting a disk is not permitted here")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


@pytest.mark.parametrize(
    "shares", [(0.1, 0.5), pytest.param((0.0, 0.03, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9, 0.95), marks=SLOW)]
)
def test_a_full_disk_is_told_wherever_it_shows_and_the_same_command_goes_on(
    shares: tuple[float, ...], train: Train, tmp_path: Path, the_same: Callable[[Path], None], small_disk: Path
) -> None:
    run, filler = small_disk / "run", small_disk / "filler"
    status, said = start(train(run), tmp_path / "told").end()
    assert status == 0, said
    needed = sum(path.stat().st_blocks * 512 for path in run.rglob("*"))
    for share in shares:
        shutil.rmtree(run)
        filler.write_bytes(b"\0" * (shutil.disk_usage(small_disk).free - int(share * needed)))
        status, said = start(train(run), tmp_path / "told").end()
        assert status == 2, (share, said)
        assert "error: " in said
        assert "No space left" in said or "MiB free" in said
        assert "Traceback" not in said
        filler.unlink()
        goes_on(train, run, the_same)


def unprivileged(work: faults.Work) -> faults.Work:
    """`work` as an ordinary user: what is read-only is so for root as well."""

    def inside() -> None:
        header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()  # capset(2): no capability
        assert ctypes.CDLL(None).capset(header, none) == 0
        work()

    return inside


def test_a_folder_that_becomes_read_only_is_told_and_the_same_command_goes_on(
    train: Train, tmp_path: Path, the_same: Callable[[Path], None]
) -> None:
    run = tmp_path / "run"
    child = start(unprivileged(train(run)), tmp_path / "told", {"step": 0.1})
    assert child.until("step", 5)
    folders = [run, run / "state", run / "samples"]
    for path in folders:
        path.chmod(0o555)
    status, said = child.end()
    assert status == 2, said
    assert "Permission denied" in said
    assert "the same command goes on" in said.replace("\n", " ")
    status, said = start(unprivileged(train(run)), tmp_path / "told").end()
    assert status == 2, said
    assert "Permission denied" in said
    assert "the same command goes on" in said.replace("\n", " ")
    assert "Traceback" not in said
    for path in folders:
        path.chmod(0o755)
    goes_on(train, run, the_same)


def test_a_run_whose_folder_vanishes_saves_all_anew_and_stops(
    train: Train, tmp_path: Path, expected: dict[str, Any]
) -> None:
    run = tmp_path / "run"
    child = start(train(run), tmp_path / "told", {"step": 0.2})
    assert child.until("step", 5)
    shutil.rmtree(run)
    status, said = child.end()
    assert status == 130, said
    assert "has vanished" in said
    assert "Stopped at step 5 of 8" in said
    status, said = start(train(run), tmp_path / "told").end()
    assert status == 0, said
    found = outcome(run)
    assert_same(expected["state"], found["state"])  # nothing is lost but what was only in the folder
    assert found[store.FILE] == expected[store.FILE]
    assert [step for step, _, _ in found["losses"]] == [6, 8]


# Two at once


def test_a_second_process_is_refused_and_the_first_is_unharmed(
    train: Train, tmp_path: Path, the_same: Callable[[Path], None]
) -> None:
    run = tmp_path / "run"
    first = start(train(run), tmp_path / "first", {"step": 0.1})
    assert first.until("step", 2)
    status, said = start(train(run), tmp_path / "told").end(SECONDS)
    assert status == 2
    assert f"Another process is at work in {run}" in said.replace("\n", " ")
    status, said = first.end()
    assert status == 0, said
    the_same(run)


# Damage


HOW = ("one bit", "half", "removed")
FILES = ("state.pt", "manifest.json", "state/best", store.FILE, store.BEST)
NOW = {("state.pt", "one bit"), (store.BEST, "one bit")}


@pytest.mark.parametrize(
    ("file", "how"),
    [pytest.param(file, how, marks=() if (file, how) in NOW else SLOW) for file in FILES for how in HOW],
)
def test_a_damaged_file_of_a_run_is_noticed_and_the_run_comes_to_the_same(
    file: str, how: str, train: Train, tmp_path: Path, the_same: Callable[[Path], None]
) -> None:
    run = tmp_path / "run"
    child = start(train(run), tmp_path / "told", {"step": 0.05})
    child.until("step", 8)
    child.send(signal.SIGKILL)
    child.end()
    newest = run / "state" / "0000006"
    in_state = {"state.pt": newest / "state.pt", "manifest.json": newest / "manifest.json",
                "state/best": newest / store.BEST}  # fmt: skip
    faults.damage(in_state.get(file, run / file), how)
    said = goes_on(train, run, the_same).replace("\n", " ")
    if file in in_state:
        assert f"The saved state {newest} is damaged" in said
        assert said.count("taking the one before it") == 1
    elif file == store.BEST:
        assert f"{run / store.BEST} was missing or damaged; its copy" in said


@pytest.mark.parametrize(
    ("file", "how"),
    [
        (store.FILE, "one bit"),
        pytest.param(store.BEST, "removed", marks=SLOW),
        *(pytest.param(file, how, marks=SLOW) for file in (store.FILE, store.BEST) for how in ("half", "empty")),
    ],
)
def test_a_damaged_model_of_a_finished_run_is_made_whole(
    file: str, how: str, train: Train, tmp_path: Path, the_same: Callable[[Path], None]
) -> None:
    run = tmp_path / "run"
    goes_on(train, run, the_same)
    faults.damage(run / file, how)
    (run / "test.json").unlink()
    said = goes_on(train, run, the_same)
    assert "already finished" in said
    assert "missing" in said

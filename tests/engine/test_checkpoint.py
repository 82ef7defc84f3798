"""Saved states: whole or not at all, checked before an older one goes, and never code."""

import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from i2i.engine import checkpoint
from i2i.engine.checkpoint import MANIFEST, STATE
from i2i.errors import UserError
from i2i.files import atomically

CPU = torch.device("cpu")


def state(step: int) -> dict[str, Any]:
    return {"step": step, "w": torch.full((1000,), float(step))}


def states(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal())


def newest(folder: Path) -> int | None:
    """The step of the newest whole state, after a look at all of its content."""
    found, _ = checkpoint.newest(folder, CPU)
    assert found is None or torch.equal(found["w"], state(found["step"])["w"])
    return found and found["step"]


def in_a_child(work: Callable[[], object]) -> tuple[int, str]:
    """The exit status of a process that does `work`, negative for a signal, and what it raised."""
    inner, outer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            os.write(outer, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(1)
    os.close(outer)
    with os.fdopen(inner) as pipe:
        said = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said


def die_at(number: int) -> None:
    """This process is killed just before the file operation of that number."""
    seen = [0]

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        # What opens to read changes nothing; the rest does (torch writes by itself, see the limit on bytes for that).
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if writes or event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.copyfile"):
            seen[0] += 1
            if seen[0] == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


# One file


def test_a_file_is_new_or_old_but_never_half(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    atomically(path, lambda temporary: temporary.write_text("old"))  # makes the folder
    seen = []

    def fail(temporary: Path) -> None:
        temporary.write_text("ne")
        seen.append(path.read_text())
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        atomically(path, fail)
    assert seen == ["old"]
    assert path.read_text() == "old"
    assert os.listdir(path.parent) == ["file"]  # nothing left lying about
    atomically(path, lambda temporary: temporary.write_text("new"))
    assert path.read_text() == "new"


def test_a_process_killed_while_it_writes_leaves_the_old_file_and_the_next_write_works(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def die(temporary: Path) -> None:
        temporary.write_text("ne")
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_a_child(lambda: atomically(path, die))[0] == -signal.SIGKILL
    assert path.read_text() == "old"
    atomically(path, lambda temporary: temporary.write_text("new"))
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["file"]  # the dead process's remains were taken over


# Round trip


def test_a_state_survives_the_round_trip(tmp_path: Path) -> None:
    told = {
        "step": 3, "recipe": "{}", "ema": None, "pair": (1, 2.5),
        "model": {"w": torch.randn(2, 3), "past": [torch.randn(1), torch.randn(1)]},
    }  # fmt: skip
    checkpoint.save(tmp_path, 3, told, 2)
    loaded, passed = checkpoint.newest(tmp_path, CPU)
    assert loaded is not None
    assert passed == []
    assert (loaded["step"], loaded["recipe"], loaded["ema"], loaded["pair"]) == (3, "{}", None, (1, 2.5))
    assert torch.equal(loaded["model"]["w"], told["model"]["w"])
    assert all(torch.equal(a, b) for a, b in zip(loaded["model"]["past"], told["model"]["past"], strict=True))


@pytest.mark.parametrize("kind", ["adam", "adam, fused", "sgd"])
def test_an_optimisers_state_survives_the_restricted_load(tmp_path: Path, kind: str) -> None:
    net = torch.nn.Linear(2, 2)
    optimiser: torch.optim.Optimizer = (
        torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        if kind == "sgd"
        else torch.optim.Adam(net.parameters(), betas=(0.5, 0.999), fused=kind == "adam, fused")
    )
    net(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    checkpoint.save(tmp_path, 1, {"optimiser": optimiser.state_dict()}, 2)
    found, _ = checkpoint.newest(tmp_path, CPU)
    assert found is not None
    loaded = found["optimiser"]
    assert loaded["param_groups"] == optimiser.state_dict()["param_groups"]
    for i, moments in optimiser.state_dict()["state"].items():
        assert all(torch.equal(value, loaded["state"][i][key]) for key, value in moments.items())


def test_a_folder_without_states_is_a_run_that_has_not_begun(tmp_path: Path) -> None:
    assert checkpoint.newest(tmp_path / "nowhere", CPU) == (None, [])
    assert checkpoint.newest(tmp_path, CPU) == (None, [])


# How many are kept


def test_the_newest_states_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3, 10, 20):
        checkpoint.save(tmp_path, step, state(step), 3)
    assert states(tmp_path) == [3, 10, 20]
    checkpoint.save(tmp_path, 10_000_000, state(10_000_000), 2)  # one digit more than names are padded to
    assert states(tmp_path) == [20, 10_000_000]
    assert newest(tmp_path) == 10_000_000


def test_damaged_newer_states_go_when_a_new_one_is_whole(tmp_path: Path) -> None:
    for step in (2, 4, 6):
        checkpoint.save(tmp_path, step, state(step), 3)
    for step in (4, 6):
        (tmp_path / f"{step:07d}" / STATE).write_bytes(b"")
    assert newest(tmp_path) == 2
    checkpoint.save(tmp_path, 3, state(3), 2)
    assert states(tmp_path) == [2, 3]


def test_a_state_can_be_saved_again(tmp_path: Path) -> None:
    checkpoint.save(tmp_path, 0, state(0), 2)
    (tmp_path / "0000000" / STATE).write_bytes(b"")
    checkpoint.save(tmp_path, 0, state(0), 2)
    assert newest(tmp_path) == 0
    assert os.listdir(tmp_path) == ["0000000"]


def test_a_save_that_is_killed_before_any_of_its_file_operations_leaves_a_whole_state(tmp_path: Path) -> None:
    best = tmp_path / "best"
    best.write_bytes(b"best")
    number, statuses = 0, []
    while 0 not in statuses:
        number += 1
        folder = tmp_path / f"{number}"
        for step in (2, 4):
            checkpoint.save(folder, step, state(step), 2)
        (folder / "0000006").mkdir()  # damaged: it was passed over, and is written again

        def dies(folder: Path = folder, number: int = number) -> None:
            die_at(number)
            checkpoint.save(folder, 6, state(6), 2, [best])

        statuses.append(in_a_child(dies)[0])
        assert newest(folder) in (4, 6)
        checkpoint.save(folder, 6, state(6), 2, [best])  # the next process
        checkpoint.sweep(tmp_path)
        assert sorted(os.listdir(folder)) == ["0000004", "0000006"]
        assert newest(folder) == 6
    assert set(statuses[:-1]) == {-signal.SIGKILL}
    assert len(statuses) > 8  # folder, copy, manifest, two renames, and the removals, file by file


def test_the_only_state_is_replaced_in_one_stroke(tmp_path: Path) -> None:
    # Killed anywhere while the state of step 0 is written again, a run starts again or goes on; it is never refused.
    number, status = 0, -1
    while status:
        number += 1
        folder = tmp_path / f"{number}"
        checkpoint.save(folder, 0, state(0), 2)

        def dies(folder: Path = folder, number: int = number) -> None:
            die_at(number)
            checkpoint.save(folder, 0, state(0), 2)

        status, _ = in_a_child(dies)
        assert checkpoint.newest(folder, CPU)[1] == []
        assert newest(folder) in (0, None)
    assert number > 4


# A disk that is full


def limited(size: int, work: Callable[[], object], dies: bool = False) -> tuple[int, str]:
    """`work` in a process that cannot write a file beyond `size` bytes: it gets an error, or is killed there."""

    def inside() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL if dies else signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        work()

    return in_a_child(inside)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_full_disk_leaves_the_older_states_and_says_so(tmp_path: Path, share: float) -> None:
    checkpoint.save(tmp_path, 2, state(2), 2)
    before = (tmp_path / "0000002" / STATE).read_bytes()
    status, said = limited(int(share * len(before)), lambda: checkpoint.save(tmp_path, 4, state(4), 2))
    assert status == 1
    assert said.startswith("UserError: ")
    for words in ("step 4 could not be saved", "Older ones are intact", "steps 0000002", "same command again"):
        assert words in said
    assert os.listdir(tmp_path) == ["0000002"]
    assert (tmp_path / "0000002" / STATE).read_bytes() == before
    checkpoint.save(tmp_path, 4, state(4), 2)  # there is room again
    assert newest(tmp_path) == 4


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_process_killed_at_any_byte_of_a_state_leaves_the_older_ones(tmp_path: Path, share: float) -> None:
    checkpoint.save(tmp_path / "state", 2, state(2), 2)
    size = (tmp_path / "state" / "0000002" / STATE).stat().st_size
    died, _ = limited(int(share * size), lambda: checkpoint.save(tmp_path / "state", 4, state(4), 2), dies=True)
    assert died == -signal.SIGXFSZ
    assert newest(tmp_path / "state") == 2
    assert len(os.listdir(tmp_path / "state")) == 2  # and what it had begun
    checkpoint.sweep(tmp_path)
    assert os.listdir(tmp_path / "state") == ["0000002"]


# Damage


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "one bit": flip,
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "gone": Path.unlink,
    "something else": lambda path: path.write_bytes(b"not what was written"),
}


@pytest.mark.parametrize("file", [STATE, MANIFEST, "best.safetensors"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_state_is_passed_over_for_the_one_before_it_with_one_line(
    tmp_path: Path, file: str, damage: str
) -> None:
    best = tmp_path / "best.safetensors"
    best.write_bytes(b"the best")
    for step in (2, 4):
        checkpoint.save(tmp_path / "state", step, state(step), 2, [best])
    DAMAGES[damage](tmp_path / "state" / "0000004" / file)
    found, passed = checkpoint.newest(tmp_path / "state", CPU)
    assert found is not None
    assert found["step"] == 2
    (line,) = passed
    assert str(tmp_path / "state" / "0000004") in line
    assert "damaged" in line
    assert "\n" not in line


def test_when_all_are_damaged_there_is_none_and_a_line_for_each(tmp_path: Path) -> None:
    for step in (2, 4):
        checkpoint.save(tmp_path, step, state(step), 2)
        flip(tmp_path / f"{step:07d}" / STATE)
    found, passed = checkpoint.newest(tmp_path, CPU)
    assert found is None
    assert len(passed) == 2


def test_the_copies_of_a_file_are_found_newest_first(tmp_path: Path) -> None:
    best = tmp_path / "best"
    for step, content in ((2, None), (4, b"four"), (6, b"six")):
        if content:
            best.write_bytes(content)
        checkpoint.save(tmp_path / "state", step, state(step), 3, [best] if content else [])
    assert [path.read_bytes() for path in checkpoint.copies(tmp_path / "state", "best")] == [b"six", b"four"]


# Code


class Payload:
    def __init__(self, harm: Path) -> None:
        self.harm = harm

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.harm),)


@pytest.mark.parametrize("new_format", [True, False])
def test_code_in_a_state_is_never_run(tmp_path: Path, new_format: bool) -> None:
    checkpoint.save(tmp_path / "state", 2, state(2), 2)
    evil = tmp_path / "state" / "0000004"
    evil.mkdir()
    torch.save({"model": Payload(tmp_path / "harm")}, evil / STATE, _use_new_zipfile_serialization=new_format)
    told = {STATE: {"bytes": (evil / STATE).stat().st_size, "sha256": checkpoint._sha256(evil / STATE)}}
    (evil / MANIFEST).write_text(json.dumps({"step": 4, "files": told}))
    assert checkpoint.damage(evil) == ""  # its sums are right: it was made by somebody who knows them
    found, passed = checkpoint.newest(tmp_path / "state", CPU)
    assert found is not None
    assert found["step"] == 2
    assert len(passed) == 1
    assert "is no saved state of i2i" in passed[0]
    assert not (tmp_path / "harm").exists()
    torch.load(evil / STATE, weights_only=False)  # it is alive
    assert (tmp_path / "harm").exists()


# One process at a time


def test_a_folder_is_one_processs_alone_until_it_ends_however_it_ends(tmp_path: Path) -> None:
    ready = os.pipe()
    child = os.fork()
    if child == 0:
        with checkpoint.locked(tmp_path / "run"):
            os.write(ready[1], b"1")
            time.sleep(60)
        os._exit(0)
    os.read(ready[0], 1)
    try:
        with (
            pytest.raises(UserError, match=r"Another process is at work in .*run.*--run"),
            checkpoint.locked(tmp_path / "run"),
        ):
            pass
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    for _ in range(2):
        with checkpoint.locked(tmp_path / "run"):
            pass


def test_the_children_of_a_killed_process_do_not_hold_its_folder(tmp_path: Path) -> None:
    # Workers that load pictures outlive a killed run by seconds; the same command must not be refused for them.
    ready = os.pipe()
    child = os.fork()
    if child == 0:
        with checkpoint.locked(tmp_path / "run"):
            grandchild = os.fork()
            if grandchild == 0:
                time.sleep(60)
                os._exit(0)
            os.write(ready[1], str(grandchild).encode())
            time.sleep(60)
    grandchild = int(os.read(ready[0], 20))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    try:
        with checkpoint.locked(tmp_path / "run"):
            pass
    finally:
        os.kill(grandchild, signal.SIGKILL)


def test_what_killed_writers_have_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "state", 2, state(2), 2)
    (tmp_path / "state" / ".0000004.tmp").mkdir()
    (tmp_path / "state" / ".0000004.tmp" / STATE).touch()
    (tmp_path / ".model.safetensors.tmp").touch()
    (tmp_path / "notes.tmp").touch()  # somebody's own
    (tmp_path / "model.safetensors").touch()
    with checkpoint.locked(tmp_path):
        assert sorted(os.listdir(tmp_path)) == [".lock", "model.safetensors", "notes.tmp", "state"]
        assert os.listdir(tmp_path / "state") == ["0000002"]


def test_a_folder_that_cannot_be_made_is_an_error_with_words(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match=r"cannot be written to .*--run"),
        checkpoint.locked(tmp_path / "file" / "run"),
    ):
        pass

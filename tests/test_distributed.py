"""A run of several processes: it trains what one would, stops and goes on exactly, and ends when one of them does."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from together import Raised, together

from i2i import api, recipe, session, store, zoo
from i2i.data import check
from i2i.engine import checkpoint, monitor
from i2i.engine.loop import Tick
from i2i.engine.ranks import Ranks, digest
from i2i.errors import Stopped
from i2i.images import write
from i2i.session import Session

CPU = torch.device("cpu")
ALONE = Ranks()
Tree = dict[str, Any]  # a recipe
Told = dict[str, Any]  # what became of a rank


@pytest.fixture(scope="session")
def numbered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """7 pictures a side of noise, whose first pixel tells which they are."""
    root = tmp_path_factory.mktemp("numbered")
    for side in "AB":
        for i in range(7):
            picture = np.random.default_rng([i, ord(side)]).integers(0, 256, (16, 16, 3), dtype=np.uint8)
            picture[0, 0] = 30 * i
            write(root / f"train{side}" / f"{i}.png", picture)
    return root


@pytest.fixture(scope="session")
def tree(numbered: Path) -> Callable[..., Tree]:
    """A CycleGAN with all that a rank can have of its own: a history that is soon full, running statistics, noise."""

    def made(steps: int = 6, **changes: Any) -> Tree:
        return {
            "model": "cyclegan",
            "data": {
                "layout": "unpaired", "root": str(numbered), "crop": 16, "flip": False, "cache": "off",
                "split": {"val": 0, "test": 0},
            },
            "batch": 6,
            "generator": {"kind": "resnet", "blocks": 1, "width": 4, "norm": "batch", "dropout": 0.5},
            "discriminator": {"kind": "patch", "layers": 1, "width": 4, "norm": "batch"},
            "history": 4,
            "ema": 0.9,
            "schedule": [{"phase": "adversarial", "steps": steps, "lr": "flat-then-linear"}],
            "log": [],
            "save_every": 2,
            "sample_every": 100,
            "samples": 2,
            "timeout": 60,
            **changes,
        }  # fmt: skip

    return made


class Spy:
    """A session, and what it sees. `events[step]` is called in that step, 1 being the first; `poison`: the step in
    whose pictures this rank finds NaN, the first `times` it gets there."""

    def __init__(self, ranks: Ranks, tree: Tree, run: Path, poison: int = 0, times: int = 0) -> None:
        self.console = Console(file=StringIO(), width=10_000, quiet=not poison)  # quiet, it forecasts no costs
        self.session = Session(recipe.build(tree, "test"), run, CPU, ranks, self.console)
        self.seen: list[tuple[int, list[list[int]]]] = []
        self.events: dict[int, Callable[[], None]] = {}
        self.poison, self.times = poison, times
        self.phase = self.session.model.adversarial
        self.session.model.adversarial = self.adversarial

    def adversarial(self, batches: Any, game: Any) -> None:
        step = self.session.done + 1
        if event := self.events.pop(step, None):
            event()

        def watched() -> Any:
            for batch in batches:
                self.seen.append((step, [((side[:, 0, 0, 0] + 1) * 4.25).round().int().tolist() for side in batch]))
                if step == self.poison and self.times:
                    self.times -= 1
                    batch = tuple(side * torch.nan for side in batch)
                yield batch

        self.phase(watched(), game)

    def play(self) -> str:
        """To the end, or until it is stopped; then the words."""
        try:
            self.session.play()
        except Stopped as stopped:
            return str(stopped)
        return ""

    def result(self) -> Told:
        run = self.session
        future = [run.model.state_dict(), [p.optimiser.state_dict() for p in run.game.players.values()],
                  run.ema.state_dict() if run.ema else {}, run.batches.position]  # fmt: skip
        return {
            "done": run.done,
            "returns": run.returns,
            "seen": self.seen,
            "past": self.past(),
            "weights": digest(run.model.parameters()),
            "future": digest(flat(future)),  # all that this rank's next steps depend on
            "console": self.console.file.getvalue(),  # type: ignore[attr-defined]
        }

    def past(self) -> list[list[float]]:
        """The history of fakes, each by its mean."""
        return [[fake.mean().item() for fake in history.past]
                for history in (self.session.model.past_a, self.session.model.past_b)]  # fmt: skip


def flat(thing: Any) -> Iterator[torch.Tensor]:
    if isinstance(thing, torch.Tensor):
        yield thing
    elif isinstance(thing, dict):
        for key in sorted(thing, key=str):
            yield from flat(thing[key])
    elif isinstance(thing, list | tuple):
        for part in thing:
            yield from flat(part)
    elif isinstance(thing, int | float):
        yield torch.tensor(float(thing))


def played(ranks: Ranks, tree: Tree, run: Path, asked: tuple[int, ...] = (), step: int = 3) -> Told:
    """A run until its end, or until the ranks in `asked` get SIGTERM in `step` (0: right after the first saving)."""
    spy = Spy(ranks, tree, run)
    at_first, save = spy.past(), spy.session.save

    def interrupted() -> None:
        save()
        if spy.session.done == step:
            signal.raise_signal(signal.SIGTERM)

    report, reported = spy.session.report, [0.0]

    def slowly() -> Path:
        time.sleep(0.5)
        reported[0] = time.monotonic()
        return report()

    if asked:
        spy.session.report = slowly  # type: ignore[method-assign]
    if ranks.rank in asked:
        if step:
            spy.events[step] = lambda: signal.raise_signal(signal.SIGTERM)
        else:
            spy.session.save = interrupted  # type: ignore[method-assign]
    said = spy.play()
    return {
        "said": said, "past at first": at_first, "reported": reported[0], "left": time.monotonic(), **spy.result()
    }  # fmt: skip


def order_of(answers: Iterable[Told]) -> dict[int, list[list[int]]]:
    """For each step the pictures that the ranks saw together, side by side: rank after rank."""
    order: dict[int, list[list[int]]] = {}
    for answer in answers:
        for step, sides in answer["seen"]:
            for side, shown in zip(order.setdefault(step, [[], []]), sides, strict=True):
                side += shown
    return order


def states(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "state").iterdir())


@pytest.fixture(scope="session")
def whole(tree: Callable[..., Tree], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Told]]:
    """Two ranks that were never stopped: their folder, and what became of each."""
    run = tmp_path_factory.mktemp("whole") / "run"
    return run, together(2, played, tree(), run)


# Stopped and resumed


@pytest.mark.parametrize(
    ("asked", "step", "stop"),
    [((1,), 3, 4), ((0, 1), 3, 4), ((1,), 0, 2)],  # a wish that comes in a step travels with the next one's gradients
    ids=["one", "all", "while nothing is unsaved"],
)
def test_ranks_stop_together_and_go_on_bit_for_bit(
    tmp_path: Path, tree: Callable[..., Tree], whole: Any, asked: tuple[int, ...], step: int, stop: int
) -> None:
    one, other = whole[1]
    assert one["past"] != other["past"]  # each has a history of its own
    assert (one["weights"], one["done"]) == (other["weights"], 6)
    first = together(2, played, tree(), tmp_path / "run", asked, step)
    assert {answer["said"].split(";")[0] for answer in first} == {f"Stopped at step {stop} of 6"}
    assert states(tmp_path / "run")[-1] == f"{stop:07d}"
    assert first[1]["left"] > first[0]["reported"] > 0  # for torchrun ends all once one has left
    rest = together(2, played, tree(), tmp_path / "run")
    assert [answer["said"] for answer in rest] == ["", ""]
    assert [answer["past at first"] for answer in rest] == [answer["past"] for answer in first]
    assert [answer["future"] for answer in rest] == [answer["future"] for answer in whole[1]]
    assert (tmp_path / "run" / store.FILE).read_bytes() == (whole[0] / store.FILE).read_bytes()
    assert order_of([*first, *rest]) == order_of(whole[1])


def test_no_picture_is_doubled_or_left_out_when_the_number_of_processes_changes(
    tmp_path: Path, tree: Callable[..., Tree]
) -> None:
    alone = played(ALONE, tree(7), tmp_path / "alone")
    order = order_of([alone])
    for side in (0, 1):  # 7 steps of 6 are 6 epochs of 7 pictures: each picture once in each
        shown = [picture for step in sorted(order) for picture in order[step][side]]
        assert all(sorted(shown[i : i + 7]) == list(range(7)) for i in range(0, 42, 7))

    run = tmp_path / "changing"
    two = together(2, played, tree(7), run, (1,), 1)
    one = together(1, played, tree(7), run, (0,), 4)  # alone, it stops in the step itself
    three = together(3, played, tree(7), run)
    assert [answer["done"] for answer in (*two, *one, *three)] == [2, 2, 4, 7, 7, 7]
    assert order_of([*two, *one, *three]) == order
    assert one[0]["past at first"] == two[0]["past"]
    assert [answer["past at first"] for answer in three] == [one[0]["past"]] * 3


@pytest.mark.slow
def test_four_processes_become_two_and_one(tmp_path: Path, tree: Callable[..., Tree]) -> None:
    alone = played(ALONE, tree(7, batch=8), tmp_path / "alone")
    run = tmp_path / "changing"
    four = together(4, played, tree(7, batch=8), run, (3,), 1)
    two = together(2, played, tree(7, batch=8), run, (0,), 4)
    one = together(1, played, tree(7, batch=8), run)
    assert [answer["done"] for answer in (*four, *two, *one)] == [2, 2, 2, 2, 5, 5, 7]
    assert order_of([*four, *two, *one]) == order_of([alone])
    assert [answer["past at first"] for answer in two] == [answer["past"] for answer in four[:2]]


# What befalls one rank concerns all


def unlucky(ranks: Ranks, tree: Tree, run: Path, times: int) -> Told:
    spy = Spy(ranks, tree, run, poison=3, times=times if ranks.rank == 1 else 0)
    spy.play()
    return spy.result()


def test_nan_on_one_rank_brings_all_back_to_the_saved_state_and_they_go_on(
    tmp_path: Path, tree: Callable[..., Tree]
) -> None:
    one, other = together(2, unlucky, tree(), tmp_path / "run", 1)
    for answer in (one, other):
        assert [step for step, _ in answer["seen"]] == [1, 2, 3, 3, 4, 5, 6]  # the same turn for both
        assert answer["seen"][2] == answer["seen"][3]
        assert (answer["done"], answer["returns"]) == (6, 1)
    assert one["weights"] == other["weights"]
    (said,) = [line for line in one["console"].splitlines() if "not finite" in line]
    assert said.startswith("Step 3 was not finite")
    assert "back to step 2, at 0.5 of the learning rates" in said
    assert "not finite" not in other["console"]
    (alarm,) = monitor.read(tmp_path / "run", monitor.ALARMS)  # with the pictures of all ranks
    shown = order_of([answer | {"seen": answer["seen"][2:3]} for answer in (one, other)])[3]
    assert {path.split("numbered0/")[1] for path in alarm["files"]} == {
        f"train{name}/{i}.png" for name, side in zip("AB", shown, strict=True) for i in side
    }


def test_nan_that_stays_ends_all_ranks_with_the_same_words(tmp_path: Path, tree: Callable[..., Tree]) -> None:
    for raised in together(2, unlucky, tree(retries=1), tmp_path / "run", 9):
        assert raised.kind == "UserError"
        assert "Training stopped at step 3" in raised.text
        assert "was tried 1 times" in raised.text


def tampered(ranks: Ranks, tree: Tree, run: Path) -> None:
    spy = Spy(ranks, tree, run)

    def tamper() -> None:
        next(spy.session.model.ab.parameters()).data.view(-1)[0] += 1e-6

    if ranks.rank == 1:
        spy.events[3] = tamper
    spy.play()


def test_ranks_whose_weights_differ_are_found_at_the_next_saving_and_nothing_is_saved(
    tmp_path: Path, tree: Callable[..., Tree]
) -> None:
    for raised in together(2, tampered, tree(), tmp_path / "run"):
        assert raised.kind == "RuntimeError"
        assert "have diverged" in raised.text
    assert states(tmp_path / "run") == ["0000000", "0000002"]
    assert zoo.load(tmp_path / "run", CPU).step == 2


def killed(ranks: Ranks, tree: Tree, run: Path) -> None:
    spy = Spy(ranks, tree, run)
    if ranks.rank == 1:
        spy.events[4] = lambda: os.kill(os.getpid(), signal.SIGKILL)
    spy.play()


def test_a_rank_that_is_killed_ends_the_others_and_what_was_saved_leads_to_the_same_weights(
    tmp_path: Path, tree: Callable[..., Tree], whole: Any
) -> None:
    lost, dead = together(2, killed, tree(), tmp_path / "run")
    assert dead == Raised("died", "exit code -9")
    assert lost.kind == "UserError"
    assert "Process 0 of 2 (counted from 0) has lost another one" in lost.text
    assert states(tmp_path / "run") == ["0000000", "0000002"]
    rest = together(2, played, tree(), tmp_path / "run")
    assert [answer["future"] for answer in rest] == [answer["future"] for answer in whole[1]]


def after_step(step: int, act: Callable[[], object]) -> None:
    """From now on in this process, `act` is called after that step of a run."""
    played = session.play

    def play(*args: Any, after: Iterable[Callable[[Tick], None]], **named: Any) -> None:
        played(*args, after=(lambda tick: act() if tick.step == step else None, *after), **named)

    session.play = play


def by_api(tree: Tree, run: Path, hang: int = 0, checked: bool = True) -> list[str]:
    """What `i2i train` does; returns the files this process has changed. `hang`: the step after which rank 1 does.
    `checked`: the pictures are looked over before it begins."""
    changed: list[str] = []
    if not checked:
        check.quick = lambda _: []  # type: ignore[assignment]
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT

    def note(event: str, args: Any) -> None:
        if event == "open" and isinstance(args[0], str | os.PathLike) and args[2] & writing:
            changed.append(f"open {args[0]}")
        elif event in ("os.mkdir", "os.remove", "os.rename", "os.rmdir", "shutil.rmtree"):
            changed.append(f"{event} {args[0]}")

    settings = recipe.build(tree, "test")
    if hang and os.environ["RANK"] == "1":
        after_step(hang, lambda: time.sleep(600))
    sys.addaudithook(note)
    api.train(settings, run=run)
    return [line for line in changed if "__pycache__" not in line and "/dev/" not in line and "/proc/" not in line]


def test_rank_0_alone_writes(tmp_path: Path, tree: Callable[..., Tree]) -> None:
    first, other = together(2, by_api, tree(4, sample_every=2, log=["tensorboard"]), tmp_path / "run", timeout=None)
    assert any(store.FILE in line for line in first)
    assert other == []


def test_a_folder_at_which_somebody_is_at_work_is_refused_by_all(tmp_path: Path, tree: Callable[..., Tree]) -> None:
    with checkpoint.locked(tmp_path / "run"):
        refused, lost = together(2, by_api, tree(), tmp_path / "run", timeout=None)
    assert refused.kind == lost.kind == "UserError"
    assert "Another process is at work in" in refused.text
    assert "Process 1 of 2 (counted from 0) has lost another one" in lost.text
    assert not (tmp_path / "run" / "state").exists()


def test_an_error_that_one_rank_meets_ends_the_others(
    tmp_path: Path, tree: Callable[..., Tree], numbered: Path
) -> None:
    shutil.copytree(numbered, tmp_path / "data")
    (tmp_path / "data" / "trainA" / "3.png").write_bytes(b"no picture")
    told = tree()
    told["data"] |= {"root": str(tmp_path / "data"), "skip": 0}
    raised = together(2, by_api, told, tmp_path / "run", 0, False, timeout=None)
    assert [answer.kind for answer in raised] == ["UserError"] * 2
    met, lost = sorted(raised, key=lambda answer: "has lost another one" in answer.text)
    assert "trainA/3.png" in met.text
    assert "has lost another one" in lost.text


def test_a_rank_that_hangs_is_given_up_after_the_recipes_timeout(tmp_path: Path, tree: Callable[..., Tree]) -> None:
    gave_up, _ = together(2, by_api, tree(timeout=3), tmp_path / "run", 3, timeout=None, wait_for=[0])
    assert gave_up.kind == "UserError"
    assert "Process 0 of 2 (counted from 0) has waited for the others" in gave_up.text
    assert states(tmp_path / "run") == ["0000000", "0000002"]
    together(1, played, tree(), tmp_path / "run")  # and what is saved can be gone on from
    assert states(tmp_path / "run")[-1] == "0000006"


def apart(ranks: Ranks, tree: Tree, run: Path, what: str) -> None:
    if ranks.rank == 1:
        tree = tree | ({"seed": 1} if what == "recipe" else {})
        run = run if what == "recipe" else run.with_name("elsewhere")
    played(ranks, tree, run)


def test_processes_that_begin_with_different_things_are_told_what_differs(
    tmp_path: Path, tree: Callable[..., Tree]
) -> None:
    for raised in together(2, apart, tree(), tmp_path / "run", "recipe"):
        assert raised.kind == "UserError"
        assert "The 2 processes differ in their recipe (rank by rank: step 0, step 0)" in raised.text
    together(2, played, tree(), tmp_path / "run", (1,), 1)
    for raised in together(2, apart, tree(), tmp_path / "run", "folder"):  # as on machines that share no disk
        assert "The 2 processes differ in their saved state (rank by rank: step 2, step 0)" in raised.text
        assert "on a disk that they share" in raised.text


def test_a_batch_that_the_processes_cannot_share_is_refused_by_all_in_words(
    tmp_path: Path, tree: Callable[..., Tree]
) -> None:
    for raised in together(2, played, tree(batch=1), tmp_path / "run"):
        assert raised.kind == "UserError"
        assert "batch: 1 pictures cannot be shared by 2 processes. Type --set batch=2" in raised.text


def test_parts_are_checked_anew_when_the_number_of_processes_changes(tmp_path: Path, tree: Callable[..., Tree]) -> None:
    told = tree(accumulate=3)
    told["generator"]["norm"] = told["discriminator"]["norm"] = "instance"
    played(ALONE, told, tmp_path / "run", (0,), 1)
    for raised in together(2, played, told | {"accumulate": 2}, tmp_path / "run"):
        assert raised.kind == "UserError"
        assert "accumulate: 2 must divide the 3 pictures" in raised.text
    assert [answer["done"] for answer in together(2, played, told, tmp_path / "run")] == [6, 6]


# Under torchrun

SCRIPT = """
import os, signal, sys, time
sys.path.insert(0, {tests!r})
from i2i import cli
from i2i.engine.watch import Watch
from test_distributed import after_step

step, what, rank = int(sys.argv.pop(1)), sys.argv.pop(1), os.environ["RANK"]
heard, handle = [], Watch._handle
Watch._handle = lambda *args: (heard.append(args), handle(*args))

def kill():
    os.kill(os.getpid(), signal.SIGKILL)

def tell():
    os.kill(os.getppid(), signal.SIGTERM)  # torchrun itself, which tells all its processes
    while not heard:
        time.sleep(0.02)

if (what, rank) in (("kill", "1"), ("tell", "0")) and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
    after_step(step, globals()[what])
cli.main()
"""


@pytest.fixture
def torchrun(tmp_path: Path, tree: Callable[..., Tree]) -> Callable[..., tuple[int, str]]:
    """torchrun(step, what): two processes of `i2i train`, to whom after `step` something happens; exit code and stderr.

    `machines`: one torchrun for both, or one each, that find each other.
    """
    (tmp_path / "script.py").write_text(SCRIPT.format(tests=str(Path(__file__).parent)))
    (tmp_path / "own.yaml").write_text(recipe.dump(recipe.build(tree(), "test")))

    def run(step: int = 0, what: str = "nothing", restarts: int = 0, machines: int = 1) -> tuple[int, str]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        words = [
            "-m", "torch.distributed.run", "--nnodes", str(machines), "--nproc-per-node", str(2 // machines),
            "--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}", "--rdzv-id", "test",
            "--max-restarts", str(restarts), "script.py", str(step), what, "train", "own.yaml", "-o", "run",
        ]  # fmt: skip
        started = [
            subprocess.Popen([sys.executable, *words], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
            for _ in range(machines)
        ]
        try:
            said = [process.communicate(timeout=300)[1] for process in started]
        finally:
            for process in started:
                process.kill()
        return max(process.returncode for process in started), "".join(said)

    return run


@pytest.mark.slow
@pytest.mark.parametrize("machines", [1, 2])
def test_a_rank_that_is_killed_is_started_again_and_the_run_ends_with_the_same_weights(
    tmp_path: Path, torchrun: Any, whole: Any, machines: int
) -> None:
    code, said = torchrun(3, "kill", restarts=1, machines=machines)
    assert code == 0, said
    assert "failed (exitcode: -9)" in said
    assert (tmp_path / "run" / store.FILE).read_bytes() == (whole[0] / store.FILE).read_bytes()


@pytest.mark.slow
def test_torchrun_that_is_told_to_end_leaves_a_saved_run_and_the_same_command_goes_on(
    tmp_path: Path, torchrun: Any, whole: Any
) -> None:
    code, said = torchrun(3, "tell")
    assert code != 0
    assert said.count("Stopped at step 4 of 6") == 2
    assert states(tmp_path / "run")[-1] == "0000004"
    assert torchrun()[0] == 0
    assert (tmp_path / "run" / store.FILE).read_bytes() == (whole[0] / store.FILE).read_bytes()

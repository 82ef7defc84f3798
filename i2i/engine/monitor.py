"""What a run tells while it trains: lines of JSON, TensorBoard or Weights & Biases, sample grids on fixed pictures."""

import json
import os
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from i2i.engine.checkpoint import atomically
from i2i.engine.game import Game
from i2i.engine.loop import Tick
from i2i.engine.pictures import grid, scatter
from i2i.errors import UserError

METRICS, VALIDATION, ALARMS = "metrics.jsonl", "validation.jsonl", "alarms.jsonl"
PATIENCE = 30.0  # seconds that a run waits for Weights & Biases, at its start and at its end

Line = dict[str, Any]


def read(run: Path, file: str = METRICS) -> list[Line]:
    """The lines of a run's file, oldest first. A half-written last line (the machine went down) is left out."""
    path = run / file
    lines: list[Line] = []
    for text in path.read_text("utf-8").splitlines() if path.exists() else ():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines


class Lines:
    """A file that grows by a line of JSON at a time, each with its `step`; `lines` is what is in it.

    A resumed run repeats the steps after its state, so what was written after step `done` is cut off when it starts.
    """

    def __init__(self, path: Path, done: int) -> None:
        self.lines = [line for line in read(path.parent, path.name) if line["step"] <= done]
        text = "".join(json.dumps(line) + "\n" for line in self.lines)
        atomically(path, lambda temporary: temporary.write_text(text, "utf-8"))
        self.file = path.open("a", encoding="utf-8")

    def write(self, line: Line) -> None:
        self.lines.append(line)
        self.file.write(json.dumps(line) + "\n")
        self.file.flush()

    def close(self) -> None:
        self.file.close()


class TensorBoard:
    """Events in `tensorboard/`; `tensorboard --logdir runs` shows all runs side by side."""

    def __init__(self, run: Path, done: int) -> None:
        self.writer = SummaryWriter(str(run / "tensorboard"), purge_step=done + 1)

    def scalar(self, name: str, value: float, step: int) -> None:
        self.writer.add_scalar(name, value, step)

    def picture(self, name: str, picture: np.ndarray, step: int) -> None:
        self.writer.add_image(name, picture, step, dataformats="HWC")

    def alarm(self, name: str, text: str, step: int) -> None:
        self.writer.add_text(f"alarms/{name}", text, step)

    def close(self) -> None:
        self.writer.close()


class WeightsAndBiases:
    """A run of Weights & Biases, which a resumed run goes on with: its id is kept in `wandb.id`, its files in `wandb/`.

    Nothing that goes wrong there stops the training: without a connection it works offline, for `wandb sync` later,
    and after an error it is left alone. Raises UserError only if the package is not installed.
    """

    def __init__(self, run: Path, tell: Callable[[str], None]) -> None:
        try:
            import wandb
        except ImportError as error:
            raise UserError(
                "recipe.log names wandb, but the package is not installed. Type: pip install 'i2i[wandb]', or leave "
                "it out: --set log='[tensorboard]'"
            ) from error
        self.wandb, self.tell = wandb, tell
        self.handle: Any = None
        file = run / "wandb.id"
        if not file.exists():
            atomically(file, lambda temporary: temporary.write_text(uuid.uuid4().hex[:12], "utf-8"))
        settings: dict[str, Any] = {
            "run_id": file.read_text("utf-8").strip(),
            "run_name": run.name,
            "project": os.environ.get("WANDB_PROJECT", "i2i"),
            "root_dir": str(run),
            "resume": "allow",
            # Only the run itself goes there: no copy of the console, of code, or of the git state around it.
            "console": "off",
            "disable_code": True,
            "disable_git": True,
            "silent": True,
            "init_timeout": PATIENCE,
            "login_timeout": PATIENCE,
            "finish_timeout": PATIENCE,
        }
        try:
            self.handle = wandb.init(settings=wandb.Settings(**settings))  # online, unless WANDB_MODE says otherwise
        except Exception as error:
            tell(f"Weights & Biases cannot be reached ({_brief(error)}); going on offline, see `wandb sync`.")
            self._safely(wandb.teardown)  # or the run's id would count as in use
            self._safely(lambda: self._offline(settings))
        # Steps of our own: those of Weights & Biases cannot go back, and a resumed run repeats some.
        self._on_the_run(lambda run: run.define_metric("*", step_metric="step"))

    def _offline(self, settings: dict[str, Any]) -> None:
        self.handle = self.wandb.init(settings=self.wandb.Settings(**settings, mode="offline"))

    def scalar(self, name: str, value: float, step: int) -> None:
        self._on_the_run(lambda run: run.log({name: value, "step": step}))

    def picture(self, name: str, picture: np.ndarray, step: int) -> None:
        self._on_the_run(lambda run: run.log({name: self.wandb.Image(picture), "step": step}))

    def alarm(self, name: str, text: str, step: int) -> None:
        self._on_the_run(lambda run: run.alert(title=f"{name} at step {step}", text=text, wait_duration=0))

    def close(self) -> None:
        # In a thread, since an end without a network can take for ever, and this one must not hold up the program.
        thread = threading.Thread(target=lambda: self._on_the_run(lambda run: run.finish()), daemon=True)
        thread.start()
        thread.join(2 * PATIENCE)

    def _on_the_run(self, call: Callable[[Any], object]) -> None:
        if self.handle is not None:
            self._safely(lambda: call(self.handle))

    def _safely(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Exception as error:
            self.handle = None
            self.tell(f"Weights & Biases failed ({_brief(error)}); training goes on without it.")


def _brief(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"


class Boards:
    """The boards that a recipe's `log` names, as one."""

    def __init__(
        self, run: Path, names: Sequence[str] = ("tensorboard",), done: int = 0, console: Console | None = None
    ) -> None:
        """`done`: steps that the run has when it starts or is resumed. Raises UserError for a missing package."""

        def tell(text: str) -> None:
            if console:
                console.print(text, highlight=False, markup=False, soft_wrap=True)

        makers: dict[str, Callable[[], TensorBoard | WeightsAndBiases]] = {
            "tensorboard": lambda: TensorBoard(run, done),
            "wandb": lambda: WeightsAndBiases(run, tell),
        }
        self.boards = [makers[name]() for name in dict.fromkeys(names)]

    def scalar(self, name: str, value: float, step: int) -> None:
        for board in self.boards:
            board.scalar(name, value, step)

    def picture(self, name: str, picture: np.ndarray, step: int) -> None:
        """`picture`: h w c uint8."""
        for board in self.boards:
            board.picture(name, picture, step)

    def alarm(self, name: str, text: str, step: int) -> None:
        for board in self.boards:
            board.alarm(name, text, step)

    def close(self) -> None:
        for board in self.boards:
            board.close()


class Log:
    """Averages the game's losses between the lines it writes. `last` is the newest line."""

    def __init__(
        self, run: Path, game: Game, batches: Any, every: int, batch: int, done: int, boards: Boards | None = None
    ) -> None:
        """`boards`: where the losses are shown as well, closed with the log; TensorBoard alone unless given."""
        self.run, self.game, self.batches, self.every, self.batch = run, game, batches, every, batch
        self.lines = Lines(run / METRICS, done)
        self.boards = boards or Boards(run, done=done)
        self.last: Line = self.lines.lines[-1] if self.lines.lines else {}
        self.seconds: float = self.last.get("seconds", 0.0)
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = defaultdict(int)
        self._mark()

    def __call__(self, tick: Tick) -> None:
        for key, value in self.game.log.items():
            self.sums[key] = self.sums[key] + value if key in self.sums else value
            self.counts[key] += 1
        self.game.log = {}
        if not tick.due(self.every):
            return
        losses = {key: (total / self.counts[key]).item() for key, total in self.sums.items()}
        seconds = max(time.perf_counter() - self.clock, 1e-9)
        self.seconds += seconds
        pictures = (self.batches.position - self.position) * self.batch
        self.last = {
            "step": tick.step,
            "steps": tick.steps,
            "phase": tick.phase,
            "rate": tick.rate,
            "seconds": round(self.seconds, 3),
            "pictures_per_second": round(pictures / seconds, 3),
            "data_share": round((self.batches.waited - self.waited) / seconds, 4),  # of the time, spent on waiting
            "losses": losses,
        }
        self.lines.write(self.last)
        run = {f"run/{key}": self.last[key] for key in ("rate", "pictures_per_second", "data_share")}
        for key, number in (losses | run).items():
            self.boards.scalar(key, number, tick.step)
        self.sums, self.counts = {}, defaultdict(int)
        self._mark()

    def _mark(self) -> None:
        self.clock, self.position, self.waited = time.perf_counter(), self.batches.position, self.batches.waited

    def close(self) -> None:
        self.lines.close()
        self.boards.close()


class Samples:
    """Sample grids of the product on the same pictures and noise over time, in `samples/`."""

    def __init__(
        self, run: Path, model: Any, pictures: Any, product: Mapping[str, nn.Module], every: int, log: Log
    ) -> None:
        self.folder = run / "samples"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.model, self.pictures, self.product, self.every, self.log = model, pictures, dict(product), every, log

    def __call__(self, tick: Tick) -> None:
        if tick.step == 1 or tick.due(self.every):
            self.draw(tick.step)

    @torch.no_grad()
    def draw(self, step: int) -> Path:
        modes = [(net, net.training) for net in self.product.values()]
        with torch.random.fork_rng():
            torch.manual_seed(0)  # the same noise each time, and none of the run's own random numbers is used up
            try:
                for net, _ in modes:
                    net.eval()
                rows = self.model.show(self.pictures, self.product)
            finally:
                for net, training in modes:
                    net.train(training)
        path = self.folder / f"{step:07d}.png"
        points = all(row.ndim == 2 for row in rows.values())
        image = scatter(rows) if points else grid(rows)
        image.save(path)
        self.log.boards.picture("samples", np.asarray(image), step)
        return path

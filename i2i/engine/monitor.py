"""What a run tells while it trains: lines of JSON, and sample grids on fixed pictures."""

import json
import time
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from i2i.engine.boards import Boards
from i2i.engine.game import Game
from i2i.engine.loop import Tick
from i2i.engine.pictures import grid, scatter
from i2i.files import atomically

METRICS, VALIDATION, ALARMS = "metrics.jsonl", "validation.jsonl", "alarms.jsonl"

Line = dict[str, Any]


def read(run: Path, file: str = METRICS) -> list[Line]:
    """The lines of a run's file, oldest first. A half-written last line (the machine went down) is left out."""
    path = run / file
    lines: list[Line] = []
    for text in path.read_text("utf-8", errors="replace").splitlines() if path.exists() else ():
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

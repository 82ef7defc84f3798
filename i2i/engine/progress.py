"""The progress bar of a training run: step, losses, validation score, pictures a second, waiting, time left."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from i2i.engine.loop import Tick
from i2i.engine.monitor import Lines, Log


class Bar:
    """Drawn on a terminal; elsewhere (a log file, CI) one plain line each time about 5 % more is done."""

    def __init__(
        self,
        log: Log,
        done: int,
        steps: int,
        console: Console,
        validation: Lines | None = None,
        criterion: tuple[str, bool] | None = None,
    ) -> None:
        """`criterion`: the validation score to show, and whether larger is better."""
        self.log, self.console, self.validation, self.criterion = log, console, validation, criterion
        self.progress = Progress(
            TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"), TimeElapsedColumn(), TextColumn("<"), TimeRemainingColumn(),
            console=console, disable=not console.is_terminal, speed_estimate_period=60,
        )  # fmt: skip
        self.task = self.progress.add_task("training", total=steps, completed=done, text="")

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.progress.stop()

    def __call__(self, tick: Tick) -> None:
        self.progress.update(self.task, completed=tick.step, description=tick.phase, text=self.text())
        if not self.console.is_terminal and tick.due(max(1, tick.steps // 20)):
            line = f"{tick.phase} {tick.step}/{tick.steps}  {self.text()}".rstrip()
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)  # a log's lines are not wrapped

    def text(self) -> str:
        line = self.log.last
        if not line:
            return ""
        losses = "  ".join(f"{name.partition('/')[0][0]}/{name.partition('/')[2]} {value:.3f}"
                           for name, value in line["losses"].items())  # fmt: skip
        speed = f"{line['pictures_per_second']:.1f} pictures/s  data {100 * line['data_share']:.0f} %"
        return "  ".join(part for part in (losses, self.score(), speed) if part)

    def score(self) -> str:
        """The newest validation score, with an arrow if it is the best so far: `perceptual 0.412 ↓`."""
        if not self.validation or not self.criterion:
            return ""
        name, larger = self.criterion
        scores = [line["scores"][name] for line in self.validation.lines if name in line["scores"]]
        if not scores:
            return ""
        best = scores[-1] == (max if larger else min)(scores)
        return f"{name.split('_')[0]} {scores[-1]:.3g}" + ((" ↑" if larger else " ↓") if best else "")

"""The progress bar of a training run: step, losses, pictures a second, waiting for data, time left."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from i2i.engine.loop import Tick
from i2i.engine.monitor import Log


class Bar:
    """Drawn on a terminal; elsewhere (a log file, CI) one plain line each time about 5 % more is done."""

    def __init__(self, log: Log, done: int, steps: int, console: Console) -> None:
        self.log, self.console = log, console
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
        return f"{losses}  {line['pictures_per_second']:.1f} pictures/s  data {100 * line['data_share']:.0f} %"

"""The training doctor: it looks for symptoms while a run trains, and says what is wrong and what to change."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from i2i.engine.loop import Tick
from i2i.engine.monitor import ALARMS, Lines, Log
from i2i.engine.symptoms import PICTURES, WARM, Alarm, View, data_bound, learning, saturation, stalled


class Doctor:
    """Called after each step, after the log, the samples and the validation. Says an alarm once until it has gone away.

    It keeps nothing but `alarms.jsonl`, so that a resumed run goes on where it was: a line for each alarm that comes,
    and one with `"over": true` when it is no longer seen.
    """

    def __init__(
        self,
        run: Path,
        log: Log,
        views: Callable[[], Sequence[View]],
        *,
        done: int,
        every: int,
        rule: str | None = None,
        makers: Collection[str] = (),
        validation: Lines | None = None,
        criterion: tuple[str, bool] | None = None,
        console: Console | None = None,
    ) -> None:
        """`views` is called when sample grids are due, each `every` steps. `rule`: the adversarial rule, if there is
        one. `makers`: the players that make the pictures, see `symptoms.learning`; () for pictures that are judged at
        any time. `criterion`: the validation score that counts, and whether larger is better."""
        self.log, self.views, self.every, self.rule, self.console = log, views, every, rule, console
        self.makers = makers
        self.validation, self.criterion = validation, criterion
        self.alarms = Lines(run / ALARMS, done)

    def __call__(self, tick: Tick) -> None:
        lines = self.log.lines.lines
        if tick.due(self.log.every):
            self._judge(tick.step, "saturation", saturation(lines, self.rule))
            self._judge(tick.step, "data-bound", data_bound(lines))
        scores = self.validation.lines if self.validation else []
        if self.criterion and scores and scores[-1]["step"] == tick.step:
            self._judge(tick.step, "stalled", stalled(scores, self.criterion, tick.rate))
        if tick.due(self.every) and tick.step >= WARM and learning(lines, self.makers, tick):
            for view in (view for view in self.views() if view.output.ndim == 4):  # points have no such faults
                for name, check in PICTURES.items():
                    self._judge(tick.step, f"{view.name}/{name}", check(view))

    def say(self, step: int, alarm: Alarm) -> None:
        """Writes any alarm, whoever found it: to the file, the console and the boards."""
        self.alarms.write({"step": step, "alarm": alarm.name, **_without_name(alarm)})
        text = f"{alarm.seen} Look at {alarm.where}. {alarm.change}"
        self.log.boards.alarm(alarm.name, text, step)
        if self.console:
            told = f"ALARM {alarm.name} at step {step}: {text}"
            self.console.print(told, style="bold red", highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        self.alarms.close()

    def _judge(self, step: int, name: str, alarm: Alarm | None) -> None:
        last = next((line for line in reversed(self.alarms.lines) if line["alarm"] == name), None)
        active = last is not None and not last.get("over")
        if alarm and not active:
            self.say(step, alarm)
        elif active and not alarm:
            over = Alarm(name, "No longer seen.", "", "")
            self.alarms.write({"step": step, "alarm": name, "over": True, **_without_name(over)})
            self.log.boards.alarm(name, over.seen, step)


def _without_name(alarm: Alarm) -> dict[str, Any]:
    return {key: value for key, value in asdict(alarm).items() if key != "name"}

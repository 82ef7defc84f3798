"""A training run: everything a recipe names, built, resumed, played and left on disk."""

import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from rich.console import Console
from torch import nn

from i2i import recipe, zoo
from i2i.data import Batches, LabelledData, fixed
from i2i.engine import checkpoint, report
from i2i.engine.ema import Ema
from i2i.engine.game import Game, NonFinite
from i2i.engine.loop import Tick, play
from i2i.engine.monitor import Log, Samples
from i2i.engine.progress import Bar
from i2i.engine.settings import Settings
from i2i.errors import Stopped, UserError
from i2i.models import MODELS

STATE = "state.pt"


class Session:
    """A run of `settings` in the folder `run`, from its saved state where there is one."""

    def __init__(self, settings: Settings, run: Path, device: torch.device) -> None:
        self.settings, self.run, self.device = settings, run, device
        recipe.check_schedule(settings, "this")  # also settings that were made in Python, not read from a file
        saved = self._saved_state()
        torch.manual_seed(settings.seed)  # the initial weights
        self.model: Any = MODELS[type(settings)](settings).to(device)
        self.game = Game(self.model.players(settings), settings.precision, device)
        self.ema = Ema(self.model.product(), settings.ema) if settings.ema else None
        self.done = 0
        position = saved["position"] if saved else 0
        self.batches = Batches(settings.data, "train", settings.batch, settings.seed, device, position)
        self._check_classes()
        self.steps = sum(phase.length(self.batches.epoch_length) for phase in settings.schedule)
        if saved:
            self._restore(saved)

    @property
    def product(self) -> dict[str, nn.Module]:
        """The networks to translate or sample with: the averaged ones where averaging is on."""
        return self.ema.networks if self.ema else self.model.product()

    @property
    def finished(self) -> bool:
        return self.done >= self.steps

    def play(self, console: Console) -> None:
        """Trains from where the run stands to the end of its schedule.

        Raises Stopped, with the state saved, after SIGINT or SIGTERM, and UserError for a non-finite step or when
        the device's memory is too small.
        """
        settings = self.settings
        self.run.mkdir(parents=True, exist_ok=True)
        checkpoint.atomically(self.run / "recipe.yaml", lambda p: p.write_text(recipe.dump(settings), "utf-8"))
        log = Log(self.run, self.game, self.batches, settings.log_every, settings.batch, self.done)
        split = "val" if self._has("val") else "train"
        pictures = fixed(settings.data, split, settings.samples, self.device)
        samples = Samples(self.run, self.model, pictures, self.product, settings.sample_every, log)
        with ExitStack() as stack:
            stack.callback(self.batches.close)
            stack.callback(log.close)
            asked = stack.enter_context(_signals())
            bar = stack.enter_context(Bar(log, self.done, self.steps, console))

            def advance(tick: Tick) -> None:
                self.done = tick.step
                if self.ema:
                    self.ema.update()

            def save(tick: Tick) -> None:
                if tick.due(settings.save_every) or asked:
                    self.save()
                if tick.due(settings.sample_every) or asked:
                    self.report()
                if asked and not tick.last:
                    raise Stopped(
                        f"Stopped at step {tick.step} of {tick.steps}; all is saved in {self.run}. "
                        f"The same command goes on from there."
                    )

            try:
                play(
                    self.model,
                    self.game,
                    settings.schedule,
                    self.batches,
                    epoch_length=self.batches.epoch_length,
                    seed=settings.seed,
                    done=self.done,
                    after=(advance, log, samples, save, bar),
                )
            except NonFinite as error:
                raise UserError(
                    f"Training stopped at step {self.done + 1}: {error}. Nothing of that step is kept. "
                    f"Lower the learning rates (--set players...lr=...) or clip gradients (--set players...clip=1) and "
                    f"start again; {self.run} holds the last saved state."
                ) from error
            except torch.OutOfMemoryError as error:
                raise UserError(
                    f"The device has too little memory for batch {settings.batch}: "
                    f"try --set batch={max(1, settings.batch // 2)} or a smaller --set data.crop=..."
                ) from error

    def save(self) -> None:
        """The model as it is now, and the state to go on from."""
        fingerprint = self.batches.split.fingerprint
        zoo.save(self.run / zoo.FILE, self.product, self.settings, self.done, fingerprint)
        state = {
            "recipe": self.settings.model_dump_json(),
            "step": self.done,
            "position": self.batches.position,
            "data": fingerprint,
            "model": self.model.state_dict(),
            "optimisers": {name: player.optimiser.state_dict() for name, player in self.game.players.items()},
            "scalers": {name: scaler.state_dict() for name, scaler in self.game.scalers.items()},
            "ema": self.ema.state_dict() if self.ema else None,
        }
        checkpoint.save(self.run / STATE, state)

    def report(self) -> Path:
        where = "finished" if self.finished else f"at step {self.done:,} of {self.steps:,}"
        note = f"{self.settings.model} on {self.device.type}, {where}"
        return report.write(self.run, self.run.name, recipe.dump(self.settings), note)

    def _saved_state(self) -> dict[str, Any] | None:
        path = self.run / STATE
        if not path.exists():
            return None
        state = checkpoint.load(path, self.device)
        if state["recipe"] != self.settings.model_dump_json():
            raise UserError(
                f"{self.run} holds a run of another recipe (see {self.run / 'recipe.yaml'}). "
                f"Give this one its own folder with --run, or move the old one away."
            )
        return state

    def _restore(self, state: dict[str, Any]) -> None:
        if state["data"] != self.batches.split.fingerprint:
            raise UserError(
                f"The training pictures have changed since {self.run} was started. Restore them, or start a new run "
                f"with --run."
            )
        self.model.load_state_dict(state["model"])
        for name, player in self.game.players.items():
            player.optimiser.load_state_dict(state["optimisers"][name])
            self.game.scalers[name].load_state_dict(state["scalers"][name])
        if self.ema:
            self.ema.load_state_dict(state["ema"])
        self.done = state["step"]

    def _has(self, split: str) -> bool:
        try:
            return len(fixed(self.settings.data, split, 1)) > 0
        except UserError:
            return False

    def _check_classes(self) -> None:
        data, wanted = self.settings.data, getattr(self.settings, "classes", 0)
        found = self.batches.split.classes
        if wanted and isinstance(data, LabelledData) and wanted != len(found):
            raise UserError(f"recipe.classes is {wanted}, but the data has {len(found)} classes: {', '.join(found)}.")


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM instead of dying in the middle of a step; a second one leaves at once."""
    asked: list[int] = []

    def handle(number: int, _: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    try:
        before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not in the main thread: signals are somebody else's business
        yield asked
        return
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

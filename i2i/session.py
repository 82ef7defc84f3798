"""A training run: everything a recipe names, built, resumed, played and left on disk."""

import json
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from i2i import evaluation, recipe, zoo
from i2i.data import Batches, LabelledData, fixed
from i2i.engine import checkpoint, report
from i2i.engine.ema import Ema
from i2i.engine.game import ALONE, Game, NonFinite
from i2i.engine.loop import Tick, play
from i2i.engine.monitor import Lines, Log, Samples
from i2i.engine.progress import Bar
from i2i.engine.ranks import Ranks
from i2i.engine.settings import CHANGEABLE, Settings
from i2i.engine.watch import Watch
from i2i.errors import Stopped, UserError
from i2i.models import MODELS

STATES = "state"
QUIET = Console(quiet=True)


class Session:
    """A run of `settings` in the folder `run`, from its newest whole state where there is one."""

    def __init__(
        self, settings: Settings, run: Path, device: torch.device, ranks: Ranks = ALONE, console: Console = QUIET
    ) -> None:
        self.settings, self.run, self.device, self.ranks, self.console = settings, run, device, ranks, console
        recipe.check_schedule(settings, "this")  # also settings that were made in Python, not read from a file
        saved = self._saved()
        torch.manual_seed(settings.seed)  # the initial weights, the same on all ranks
        self.model: Any = MODELS[type(settings)](settings).to(device)
        self._check_parts()
        self.game = Game(self.model.players(settings), settings.precision, device, ranks)
        self.ema = Ema(self.model.product(), settings.ema) if settings.ema else None
        self.done = self.position = self.returns = 0
        self.batches = self._batches()
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

    def play(self) -> None:
        """Trains from where the run stands to the end of its schedule.

        Raises Stopped, with the state saved, after SIGINT or SIGTERM; UserError for non-finite steps that returning
        to older states did not cure, for a device whose memory is too small, and for a disk that is full.
        """
        self.run.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            stack.callback(lambda: self.batches.close())
            watch = stack.enter_context(Watch())
            try:
                if self.done == 0:
                    self.save()  # something to return to, and a full disk shows now rather than after hours
                while not self.finished:
                    try:
                        self._stretch(watch)
                    except NonFinite as error:
                        self._return(error)
            except Stopped:
                raise Stopped(
                    f"Stopped at step {self.done} of {self.steps}; all is saved in {self.run}. "
                    f"The same command goes on from there."
                ) from None
            except torch.OutOfMemoryError as error:
                raise UserError(
                    f"The device has too little memory for batch {self.settings.batch}: try --set memory=auto, "
                    f"--set batch={max(1, self.settings.batch // 2)} or a smaller --set data.crop=..."
                ) from error

    def _stretch(self, watch: Watch) -> None:
        """Plays until the schedule ends, somebody asks to stop, or a step is not finite."""
        settings = self.settings
        with ExitStack() as stack:

            def advance(tick: Tick) -> None:
                self.done, self.position = tick.step, self.batches.position
                watch.idle, self.game.stop = False, watch.asked
                if self.ema:
                    self.ema.update()

            def keep(tick: Tick) -> None:
                stopping = watch.asked if self.ranks.world == 1 else self.game.stopping
                if tick.due(settings.save_every) or stopping:
                    self.save()
                    watch.idle = True
                if self.ranks.first and (tick.due(settings.sample_every) or stopping):
                    self.report()
                if stopping and not tick.last:
                    raise Stopped

            play(
                self.model,
                self.game,
                settings.schedule,
                self.batches,
                epoch_length=self.batches.epoch_length,
                seed=settings.seed,
                done=self.done,
                parts=settings.accumulate,
                after=(advance, *(self._tellers(stack, watch) if self.ranks.first else ()), keep),
            )

    def _tellers(self, stack: ExitStack, watch: Watch) -> list[Callable[[Tick], None]]:
        """Those who log, draw, validate and show how far it is; `stack` closes them."""
        settings = self.settings
        checkpoint.atomically(self.run / "recipe.yaml", lambda p: p.write_text(recipe.dump(settings), "utf-8"))
        log = Log(self.run, self.game, self.batches, settings.log_every, settings.batch, self.done)
        stack.callback(log.close)
        pictures = fixed(settings.data, "val" if self._has("val") else "train", settings.samples, self.device)
        samples = Samples(self.run, self.model, pictures, self.product, settings.sample_every, log)
        scores = Lines(self.run / "validation.jsonl", self.done)
        stack.callback(scores.close)

        def validate(tick: Tick) -> None:
            if settings.validate_every and tick.due(settings.validate_every):
                try:
                    self._validate(scores, watch)
                except Stopped:
                    return  # `keep` is next, and saves; the resumed run begins with this validation

        due = settings.validate_every and self.done and self.done % settings.validate_every == 0
        if due and self.done not in (line["step"] for line in scores.lines):
            self._validate(scores, watch)
        bar = stack.enter_context(Bar(log, self.done, self.steps, self.console))
        return [log, samples, validate, bar]

    def _validate(self, scores: Lines, watch: Watch) -> None:
        """Scores the product on the val split, and keeps it as the best if it is."""
        if not self._has("val"):
            return
        check = watch.check if self.ranks.world == 1 else _go_on  # else the other ranks would wait in vain
        limit = self.settings.validate_pictures
        found = evaluation.validate(self.settings, self.product, self.device, limit=limit, watch=check)
        if not found:
            return
        name, larger = evaluation.criterion(self.settings)
        best = self.best_scores().get(name)
        if best is None or (found[name] > best if larger else found[name] < best):
            self._write(zoo.BEST, found)
        scores.write({"step": self.done, "scores": found})

    def best_scores(self) -> dict[str, float]:
        """The validation scores of the best model so far, from its own file: it cannot disagree with what is there."""
        try:
            scores: dict[str, float] = json.loads(zoo.read_header(self.run / zoo.BEST)["scores"])
        except UserError:
            return {}
        return scores

    def save(self) -> None:
        """The model as it is now, and the state to go on from. All ranks must call it."""
        values, shared = self.model.state_dict(), {n for n, _ in self.model.named_parameters(remove_duplicate=False)}
        self.ranks.check_equal(self.model.parameters())
        # Histories and running statistics are each rank's own.
        own = self.ranks.gathered({name: _on_cpu(value) for name, value in values.items() if name not in shared})
        if not self.ranks.first:
            return
        self._write(zoo.FILE, {})
        state = {
            "recipe": self.settings.model_dump_json(),
            "step": self.done,
            "position": self.batches.position,
            "data": self.batches.split.fingerprint,
            "model": {name: value for name, value in values.items() if name in shared},
            "ranks": own,
            "optimisers": {name: player.optimiser.state_dict() for name, player in self.game.players.items()},
            "scalers": {name: scaler.state_dict() for name, scaler in self.game.scalers.items()},
            "ema": self.ema.state_dict() if self.ema else None,
            "returns": self.returns,
        }
        checkpoint.save(self.run / STATES, self.done, state, self.settings.keep)

    def _write(self, file: str, scores: dict[str, float]) -> None:
        zoo.save(self.run / file, self.product, self.settings, self.done, self.batches.split.fingerprint, scores)

    def report(self) -> Path:
        where = "finished" if self.finished else f"at step {self.done:,} of {self.steps:,}"
        note = f"{self.settings.model} on {self.device.type}, {where}"
        return report.write(self.run, self.run.name, recipe.dump(self.settings), note)

    def _return(self, error: NonFinite) -> None:
        """To the newest saved state, with the rates halved; UserError when that has been done often enough."""
        files = [str(path) for own in self.ranks.gathered(self.batches.files(self.position, self.batches.position))
                 for path in own]  # fmt: skip
        state = self._saved()
        if self.returns >= self.settings.retries or state is None:
            raise UserError(
                f"Training stopped at step {self.done + 1}: {error}. Nothing of that step is kept, and going back at "
                f"lower rates was tried {self.returns} times. Lower the learning rates (--set players...lr=...) or "
                f"clip gradients (--set players...clip=1) and start again; {self.run} holds the last saved state."
                + (f" Look at the pictures of that step: {', '.join(files[:8])}" if files else "")
            ) from error
        returns, step = self.returns + 1, self.done + 1
        self._restore(state)
        self.returns, self.game.brake = returns, 0.5**returns
        told = f"Step {step} was not finite ({error}); back to step {self.done} at {self.game.brake:g} of the rates."
        self.console.print(told, highlight=False, markup=False, soft_wrap=True)

    def _saved(self) -> dict[str, Any] | None:
        state, passed = checkpoint.newest(self.run / STATES, self.device)
        for line in passed if self.ranks.first else ():
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)
        if state is None:
            if passed:
                raise UserError(f"No saved state in {self.run / STATES} is whole. Move {self.run} away to start anew.")
            return None
        before = recipe.build(json.loads(state["recipe"]), f"the recipe in {self.run / STATES}")
        if before.model_dump(exclude=set(CHANGEABLE)) != self.settings.model_dump(exclude=set(CHANGEABLE)):
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
        own = state["ranks"]
        self.model.load_state_dict({**state["model"], **own[self.ranks.rank % len(own)]})
        for name, player in self.game.players.items():
            player.optimiser.load_state_dict(state["optimisers"][name])
            self.game.scalers[name].load_state_dict(state["scalers"][name])
        if self.ema:
            self.ema.load_state_dict(state["ema"])
        self.done, self.position, self.returns = state["step"], state["position"], state["returns"]
        self.game.brake = 0.5**self.returns
        self.batches.close()
        self.batches = self._batches()

    def _batches(self) -> Batches:
        s, ranks = self.settings, self.ranks
        return Batches(s.data, "train", s.batch, s.seed, self.device, self.position, ranks.rank, ranks.world)

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

    def _check_parts(self) -> None:
        parts, share = self.settings.accumulate, self.settings.batch // self.ranks.world
        if share % parts:
            raise UserError(f"accumulate: {parts} must divide the {share} pictures that a process has in a step.")


def _on_cpu(value: Any) -> Any:
    """A buffer, or a module's extra state: a list of tensors."""
    return [part.cpu() for part in value] if isinstance(value, list) else value.cpu()


def _go_on() -> None:
    """A validation that other ranks wait for is not interrupted."""

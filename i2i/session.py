"""A training run: everything a recipe names, built, resumed, played and left on disk."""

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor, nn

from i2i import recipe, store, zoo
from i2i.cost import built, fitted, say
from i2i.data import Batches, fixed
from i2i.engine import checkpoint, report
from i2i.engine.boards import Boards
from i2i.engine.doctor import Doctor
from i2i.engine.ema import Ema
from i2i.engine.game import ALONE, NonFinite
from i2i.engine.loop import Tick, play
from i2i.engine.monitor import ALARMS, VALIDATION, Lines, Log, Samples
from i2i.engine.progress import Bar
from i2i.engine.ranks import Ranks
from i2i.engine.settings import CHANGEABLE, Settings
from i2i.engine.state import moved, pack, unpack
from i2i.engine.symptoms import returned
from i2i.engine.watch import Watch
from i2i.errors import Stopped, UserError
from i2i.files import atomically
from i2i.selection import Selection
from i2i.validation import criterion, nothing, views

STATES = "state"
QUIET = Console(quiet=True)


class Session:
    """A run of `settings` in the folder `run`, from its newest whole state where there is one."""

    def __init__(
        self, settings: Settings, run: Path, device: torch.device, ranks: Ranks = ALONE, console: Console = QUIET
    ) -> None:
        self.settings, self.run, self.device, self.ranks, self.console = settings, run, device, ranks, console
        saved = self._saved()
        # A resumed run computes as it began, bit for bit, whatever `memory: auto` would choose today.
        if saved and len(saved["ranks"]) == ranks.world:
            self.cost = saved["cost"]
        else:
            self._check_share()
            self.cost = _cost(fitted(settings, device, ranks, console))
        torch.manual_seed(settings.seed)  # the initial weights, the same on all ranks
        self.model, self.game = built(settings.model_copy(update=self.cost), device, ranks)
        self.ema = Ema(self.model.product(), settings.ema) if settings.ema else None
        self.done = self.position = self.returns = 0
        self.unlogged: tuple[dict[str, Tensor], dict[str, int]] = ({}, {})  # losses since the last line of the log
        self.batches = self._batches()
        self._check_classes()
        self.steps = sum(phase.length(self.batches.epoch_length) for phase in settings.schedule)
        if saved:
            self._restore(saved)
        self._agree()
        self.selection = Selection(settings, run, self.product, device, self._write, self._say)

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
        if self.ranks.first:
            self.run.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            stack.callback(lambda: self.batches.close())
            watch = stack.enter_context(Watch())
            watch.idle = self.ranks.world == 1  # else all of them leave together
            try:
                if self.ranks.first:
                    self.selection.mend(self.run / STATES)
                if self.done == 0:
                    self.save()  # something to return to, and a full disk shows now rather than after hours
                while not self.finished:
                    try:
                        self._stretch(watch)
                    except NonFinite as error:
                        self._return(error)
            except Stopped:
                self.ranks.everywhere(None)  # torchrun ends all once the first has left, and rank 0 may still write
                raise Stopped(
                    f"Stopped at step {self.done} of {self.steps}; all is saved in {self.run}. "
                    f"The same command goes on from there."
                ) from None
            except torch.OutOfMemoryError as error:
                raise UserError(
                    f"The device has too little memory for batch {self.settings.batch}: try --set memory=auto, "
                    f"--set batch={max(1, self.settings.batch // 2)} or a smaller --set data.crop=..."
                ) from error
            except OSError as error:  # the log, a sample grid or the model file; a state has its own words
                raise UserError(
                    f"Training stopped at step {self.done} of {self.steps}: {error}. The states saved in {self.run} "
                    f"are as they were. When that is mended, the same command goes on from the newest."
                ) from error

    def mend(self) -> None:
        """Makes good what a finished run lacks: a model file that is not what the state says, the last validation."""
        self.batches.close()  # nobody will play, and loaders that are forgotten are waited for when they are found
        self.selection.mend(self.run / STATES)
        try:
            whole = zoo.load(self.run / store.FILE, torch.device("cpu")).step == self.done
        except UserError:
            whole = False
        if not whole:
            self._write(store.FILE, {})
            self._say(f"{self.run / store.FILE} was missing, damaged or of another step; it is written anew.")
        with Watch() as watch, closing(Lines(self.run / VALIDATION, self.done)) as scores:
            if self.selection.due(self.done, last=True):
                self.selection.score(self.done, scores, watch.check)

    def _stretch(self, watch: Watch) -> None:
        """Plays until the schedule ends, somebody asks to stop, or a step is not finite."""
        settings = self.settings
        with ExitStack() as stack:

            def advance(tick: Tick) -> None:
                watch.idle = False
                self.done, self.position = tick.step, self.batches.position
                if self.ema:
                    self.ema.update()
                if self.ranks.first and not (self.run / STATES).is_dir():
                    self._begin_anew()
                    watch.asked = True
                self.game.stop = watch.asked
                if settings.compile == "graphs":
                    torch.compiler.cudagraph_mark_step_begin()  # outputs of the last step may be overwritten

            def keep(tick: Tick) -> None:
                stopping = watch.asked if self.ranks.world == 1 else self.game.stopping
                saving = tick.due(settings.save_every) or stopping
                if saving:
                    self.save()
                if self.ranks.first and (tick.due(settings.sample_every) or stopping):
                    self.report()
                if stopping:  # also after the last step: the test split is still to be scored
                    raise Stopped
                watch.idle = saving and self.ranks.world == 1
                if watch.idle:
                    watch.check()  # a signal that came while it saved

            play(
                self.model,
                self.game,
                settings.schedule,
                self.batches,
                epoch_length=self.batches.epoch_length,
                seed=settings.seed,
                done=self.done,
                parts=self.cost["accumulate"],
                after=(advance, *(self._tellers(stack, watch) if self.ranks.first else ()), keep),
            )

    def _tellers(self, stack: ExitStack, watch: Watch) -> list[Callable[[Tick], None]]:
        """Those who log, draw, validate and show how far it is; `stack` closes them."""
        settings = self.settings
        atomically(self.run / "recipe.yaml", lambda p: p.write_text(recipe.dump(settings), "utf-8"))
        boards = Boards(self.run, settings.log, self.done, self.console)
        log = Log(self.run, self.game, self.batches, settings.log_every, settings.batch, self.done, boards)
        stack.callback(log.close)
        log.sums.update(self.unlogged[0])
        log.counts.update(self.unlogged[1])
        split = "val" if self.selection.possible else "train"
        pictures = fixed(settings.data, split, settings.samples, self.device)
        samples = Samples(self.run, self.model, pictures, self.product, settings.sample_every, log)
        scores = Lines(self.run / VALIDATION, self.done)
        stack.callback(scores.close)

        chosen_by = criterion(settings) if settings.validate_every and self.selection.possible else None
        check = watch.check if self.ranks.world == 1 else nothing  # else the other ranks would wait in vain

        def validated(step: int) -> None:
            self.selection.score(step, scores, check)
            for name, value in scores.lines[-1]["scores"].items() if scores.lines else ():
                boards.scalar(f"validation/{name}", value, step)

        def score(tick: Tick) -> None:
            if self.selection.due(tick.step, tick.last):
                try:
                    validated(tick.step)
                except Stopped:
                    return  # `keep` is next, and saves; the resumed run begins with this validation

        doctor = Doctor(
            self.run,
            log,
            lambda: views(settings, self.product, pictures, self.device),
            done=self.done,
            every=settings.sample_every,
            rule=getattr(settings, "loss", None),
            makers=self._makers(),
            validation=scores,
            criterion=chosen_by,
            console=self.console,
        )
        stack.callback(doctor.close)
        if self.selection.due(self.done, last=False):
            validated(self.done)
        bar = stack.enter_context(Bar(log, self.done, self.steps, self.console, scores, chosen_by))

        def remember(tick: Tick) -> None:
            self.unlogged = dict(log.sums), dict(log.counts)

        return [log, remember, samples, score, doctor, bar]

    def _makers(self) -> list[str]:
        """The players that move a part of the product."""
        parts = {id(p) for net in self.model.product().values() for p in net.parameters()}
        return [name for name, player in self.game.players.items() if parts & {id(p) for p in player.parameters()}]

    def save(self) -> None:
        """The model as it is now, and the state to go on from. All ranks must call it."""
        game = pack(self.model, self.game, self.ema)
        if not self.ranks.first:
            return
        self._write(store.FILE, {})
        state = game | {
            "recipe": self.settings.model_dump_json(),
            "step": self.done,
            "position": self.batches.position,
            "data": self.batches.split.fingerprint,
            "returns": self.returns,
            "unlogged": self.unlogged,
            "cost": self.cost,
        }
        best = self.run / store.BEST
        checkpoint.save(self.run / STATES, self.done, state, self.settings.keep, [best] if best.is_file() else [])

    def _write(self, file: str, scores: Mapping[str, float]) -> None:
        zoo.save(self.run / file, self.product, self.settings, self.done, self.batches.split.fingerprint, scores)

    def _begin_anew(self) -> None:
        """Makes a run's folder again that was deleted, or whose disk has gone, while the run was at work."""
        for name in (STATES, "samples"):
            (self.run / name).mkdir(parents=True, exist_ok=True)
        self._say(
            f"{self.run} has vanished. It is made anew with the model and the state of step {self.done}, and the run "
            f"stops, for somebody must have wanted that; the log and the samples up to now are lost."
        )

    def report(self) -> Path:
        where = "finished" if self.finished else f"at step {self.done:,} of {self.steps:,}"
        note = f"{self.settings.model} on {self.device.type}, {where}"
        return report.write(self.run, self.run.name, recipe.dump(self.settings), note, criterion(self.settings))

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
        self._agree()
        self.returns, self.game.brake = returns, 0.5**returns
        alarm = returned(step, self.done, str(error), self.game.brake)
        self._say(alarm.seen + (f" Its pictures: {', '.join(files[:8])}" if files else ""))
        if self.ranks.first:
            with closing(Lines(self.run / ALARMS, self.done)) as alarms:
                told = asdict(alarm)
                alarms.write({"step": self.done, "alarm": told.pop("name"), **told, "files": files})

    def _saved(self) -> dict[str, Any] | None:
        state, passed = checkpoint.newest(self.run / STATES, torch.device("cpu"))  # it holds all ranks' histories
        for line in passed:
            self._say(line)
        if state is None:
            if passed:
                raise UserError(f"No saved state in {self.run / STATES} is whole. Move {self.run} away to start anew.")
            return None
        before = recipe.build(json.loads(state["recipe"]), f"the recipe in {self.run / STATES}")
        if _decisive(before) != _decisive(self.settings):
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
        unpack(state, self.model, self.game, self.ema)
        self.done, self.position, self.returns = state["step"], state["position"], state["returns"]
        self.game.brake, self.game.log = 0.5**self.returns, {}
        sums, counts = state["unlogged"]
        self.unlogged = {name: moved(value, self.device) for name, value in sums.items()}, counts
        self.batches.close()
        self.batches = self._batches()

    def _agree(self) -> None:
        """Raises UserError when the processes do not begin with the same: on machines that share no folder, say."""
        mine = {
            "recipe": self.settings.model_dump_json(exclude={"memory", "accumulate", "recompute", "channels_last"}),
            "precision": self.game.precision,  # of `auto`, on machines that differ
            "training pictures": self.batches.split.fingerprint,
            "saved state": f"step {self.done}",
        }
        told = self.ranks.everywhere(mine)
        if differing := [what for what in mine if any(each.get(what) != told[0].get(what) for each in told)]:
            steps = ", ".join(each.get("saved state", "none") for each in told)
            raise UserError(
                f"The {len(told)} processes differ in their {' and '.join(differing)} (rank by rank: {steps}). All "
                f"machines need the same recipe, the same pictures, and {self.run} on a disk that they share."
            )

    def _batches(self) -> Batches:
        s, ranks = self.settings, self.ranks
        return Batches(s.data, "train", s.batch, s.seed, self.device, self.position, ranks.rank, ranks.world, self._say)

    def _say(self, line: str) -> None:
        if self.ranks.first:
            say(self.console, line)

    def _check_share(self) -> None:
        batch, world = self.settings.batch, self.ranks.world
        if batch % world:
            raise UserError(
                f"batch: {batch} pictures cannot be shared by {world} processes. Type --set batch={world}, or another "
                f"multiple of {world}; see docs/distributed.md on learning rates."
            )

    def _check_classes(self) -> None:
        data, wanted = self.settings.data, getattr(self.settings, "classes", 0)
        found = self.batches.split.classes
        if wanted and getattr(data, "labelled", False) and wanted != len(found):
            raise UserError(f"recipe.classes is {wanted}, but the data has {len(found)} classes: {', '.join(found)}.")


def _decisive(settings: Settings) -> dict[str, Any]:
    """What of a recipe decides what is learnt."""
    loading: dict[str, Any] = {"data": {"workers": True, "cache": True}}
    return settings.model_dump(exclude=dict.fromkeys(CHANGEABLE, True) | loading)


def _cost(settings: Settings) -> dict[str, Any]:
    """What `memory: auto` may have chosen."""
    return settings.model_dump(include={"recompute", "accumulate"})

"""Where a run's figures and pictures are shown beside its report: TensorBoard, Weights & Biases."""

import os
import threading
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from torch.utils.tensorboard import SummaryWriter

from i2i.errors import UserError
from i2i.files import atomically

PATIENCE = 30.0  # seconds that a run waits for Weights & Biases, at its start and at its end


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

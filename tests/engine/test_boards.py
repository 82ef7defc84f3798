import sys
import time
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from i2i.engine.boards import Boards
from i2i.engine.monitor import Log
from i2i.errors import UserError

from .helpers import logged


def shown(run: Path) -> EventAccumulator:
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"images": 0, "scalars": 0})
    return events.Reload()


def test_tensorboard_shows_losses_pictures_and_alarms(tmp_path: Path, parts: tuple[Any, Any]) -> None:
    log = Log(tmp_path, *parts, every=1, batch=8, done=0)
    logged(log, *parts, {1: 5.0, 2: 4.0})
    log.boards.picture("samples", np.zeros((8, 8, 3), np.uint8), 2)
    log.boards.alarm("a2b/collapse", "All alike.", 2)
    log.close()
    events = shown(tmp_path)
    assert [(event.step, event.value) for event in events.Scalars("generator/l1")] == [(1, 5.0), (2, 4.0)]
    assert {"run/rate", "run/pictures_per_second", "run/data_share"} <= set(events.Tags()["scalars"])
    assert [event.step for event in events.Images("samples")] == [2]
    assert b"All alike." in events.Tensors("alarms/a2b/collapse/text_summary")[0].tensor_proto.string_val[0]


def test_a_resumed_run_takes_back_what_tensorboard_was_told_too_early(tmp_path: Path) -> None:
    for done, value in ((0, 1.0), (2, 7.0)):
        boards = Boards(tmp_path, done=done)
        for step in range(done + 1, 5):
            boards.scalar("l1", value, step)
        boards.close()
        time.sleep(1.1)  # TensorBoard reads files in the order of the seconds in their names
    assert [(event.step, event.value) for event in shown(tmp_path).Scalars("l1")] == [(1, 1), (2, 1), (3, 7), (4, 7)]


def test_weights_and_biases_offline_writes_below_the_run_and_a_resumed_run_is_the_same_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_MODE", "offline")
    run, paper = tmp_path / "my_run", StringIO()
    run.mkdir()
    for done in (0, 5):
        boards = Boards(run, ("wandb",), done, Console(file=paper))
        boards.scalar("validation/psnr", 21.5, done + 1)
        boards.picture("samples", np.full((8, 8, 3), done, np.uint8), done + 1)
        boards.alarm("a2b/collapse", "All alike.", done + 1)
        boards.close()
    name = (run / "wandb.id").read_text()
    written = sorted(run.glob("wandb/offline-run-*/*.wandb"))
    assert [path.name for path in written] == [f"run-{name}.wandb"] * 2
    assert all(b"validation/psnr" in path.read_bytes() and b"All alike." in path.read_bytes() for path in written)
    assert len(list(run.glob("wandb/offline-run-*/files/media/images/samples*.png"))) == 2
    assert not (run / "tensorboard").exists()
    assert paper.getvalue() == ""


def test_a_missing_package_is_told_before_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    Boards(tmp_path).close()  # nobody asked for it
    with pytest.raises(UserError, match=r"pip install 'i2i\[wandb\]'"):
        Boards(tmp_path, ("tensorboard", "wandb"))


class Broken:
    """A run of Weights & Biases whose every call fails."""

    def __getattr__(self, name: str) -> Any:
        def fail(*_: Any, **__: Any) -> None:
            raise BrokenPipeError(f"{name} got no answer\nand has more to say")

        return fail


@pytest.mark.parametrize(("reachable", "modes"), [(True, [None]), (False, [None, "offline"])])
def test_nothing_that_goes_wrong_with_weights_and_biases_stops_the_training(
    reachable: bool, modes: list[str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def init(settings: dict[str, Any]) -> Broken:
        asked.append(settings.get("mode"))
        if not reachable:
            raise ConnectionError("no route to host")
        return Broken()

    module = SimpleNamespace(init=init, Settings=dict, Image=Broken(), teardown=lambda: None)
    monkeypatch.setitem(sys.modules, "wandb", module)
    paper = StringIO()
    boards = Boards(tmp_path, ("tensorboard", "wandb"), console=Console(file=paper, width=60))
    for step in (1, 2, 3):
        boards.scalar("l1", 1.0, step)
        boards.picture("samples", np.zeros((8, 8, 3), np.uint8), step)
        boards.alarm("collapse", "All alike.", step)
    boards.close()
    assert asked == modes
    told = paper.getvalue()
    assert told.count("training goes on without it") == 1  # once, not at every step
    assert "more to say" not in told
    assert ("going on offline" in told) is not reachable
    assert [event.step for event in shown(tmp_path).Scalars("l1")] == [1, 2, 3]

import json
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import nn

from i2i.engine import monitor
from i2i.engine.loop import Tick
from i2i.engine.monitor import Lines, Log, Samples
from i2i.engine.progress import Bar

from .helpers import logged


def test_a_line_holds_the_mean_of_the_steps_since_the_line_before(tmp_path: Path, parts: tuple[Any, Any]) -> None:
    log = Log(tmp_path, *parts, every=2, batch=8, done=0)
    logged(log, *parts, {1: 1.0, 2: 3.0, 3: 10.0, 4: 20.0})
    log.close()
    lines = monitor.read(tmp_path)
    assert [line["step"] for line in lines] == [2, 4]
    assert [line["losses"]["generator/l1"] for line in lines] == [2.0, 15.0]
    assert all(line["pictures_per_second"] > 0 and line["rate"] == 0.5 for line in lines)


def test_the_last_step_is_logged_even_when_it_is_not_due(tmp_path: Path, parts: tuple[Any, Any]) -> None:
    log = Log(tmp_path, *parts, every=3, batch=8, done=0)
    logged(log, *parts, {1: 1.0, 2: 1.0, 3: 1.0, 4: 7.0})
    log.close()
    assert [line["step"] for line in monitor.read(tmp_path)] == [3, 4]


def test_a_resumed_run_forgets_the_lines_after_its_state_and_keeps_its_clock(
    tmp_path: Path, parts: tuple[Any, Any]
) -> None:
    kept = [{"step": step, "seconds": 10.0 * step, "losses": {}} for step in (1, 2, 3)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in kept))
    log = Log(tmp_path, *parts, every=1, batch=8, done=2)
    assert [line["step"] for line in monitor.read(tmp_path)] == [1, 2]
    logged(log, *parts, {3: 5.0})
    log.close()
    lines = monitor.read(tmp_path)
    assert [line["step"] for line in lines] == [1, 2, 3]
    assert lines[-1]["seconds"] >= 20.0


def test_a_resume_that_dies_while_it_tidies_the_log_loses_no_line(
    tmp_path: Path, parts: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "".join(json.dumps({"step": step, "seconds": 1.0, "losses": {}}) + "\n" for step in (1, 2, 3))
    (tmp_path / "metrics.jsonl").write_text(lines)

    def full(*_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="no space"):
        Log(tmp_path, *parts, every=1, batch=8, done=2)
    assert (tmp_path / "metrics.jsonl").read_text() == lines


def test_a_line_cut_short_by_a_power_cut_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "losses": {}}\n{"step": 2, "lo')
    assert [line["step"] for line in monitor.read(tmp_path)] == [1]


def test_lines_after_the_state_are_cut_off_and_what_is_written_next_follows(tmp_path: Path) -> None:
    file = tmp_path / "validation.jsonl"
    file.write_text('{"step": 1, "scores": {}}\n{"step": 2, "scores": {}}\n{"step": 3, "scores": {}}\n{"step": 4')
    lines = Lines(file, 2)
    assert [line["step"] for line in lines.lines] == [1, 2]
    lines.write({"step": 3, "scores": {"psnr": 20.5}})
    assert [line["step"] for line in monitor.read(tmp_path, file.name)] == [1, 2, 3]  # on disk before it is closed
    lines.close()
    assert lines.lines == monitor.read(tmp_path, file.name)


def test_the_bar_shows_the_newest_score_and_an_arrow_if_it_is_the_best(tmp_path: Path, parts: tuple[Any, Any]) -> None:
    log = Log(tmp_path, *parts, every=1, batch=8, done=0)
    scores = Lines(tmp_path / "validation.jsonl", 0)
    bar = Bar(log, 0, 4, Console(file=StringIO()), scores, ("perceptual_efflite0", False))
    assert bar.text() == ""
    logged(log, *parts, {1: 5.0})
    assert bar.text().startswith("g/l1 5.000  ")
    assert "perceptual" not in bar.text()
    told = []
    for step, score in enumerate((0.5, 0.4123, 0.45), 1):
        scores.write({"step": step, "scores": {"perceptual_efflite0": score}})
        told.append(bar.score())
    assert told == ["perceptual 0.5 ↓", "perceptual 0.412 ↓", "perceptual 0.45"]
    assert "g/l1 5.000  perceptual 0.45  " in bar.text()
    bar.criterion = ("perceptual_efflite0", True)
    scores.write({"step": 4, "scores": {"perceptual_efflite0": 0.9}})
    assert bar.score() == "perceptual 0.9 ↑"
    assert Bar(log, 0, 4, Console(file=StringIO())).score() == ""
    log.close()
    scores.close()


class Noisy(nn.Module):
    """A product that uses random numbers and behaves differently in training."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.rand_like(x) if self.training else torch.rand_like(x) - 1


def test_drawing_samples_changes_neither_random_numbers_nor_modes(tmp_path: Path, parts: tuple[Any, Any]) -> None:
    net, model = Noisy(), SimpleNamespace(show=lambda x, product: {"in": x, "out": product["a2b"](x)})
    log = Log(tmp_path, *parts, every=1, batch=8, done=0)
    samples = Samples(tmp_path, model, torch.zeros(2, 1, 8, 8), {"a2b": net}, every=2, log=log)
    before = torch.get_rng_state()
    first, second = samples.draw(1).read_bytes(), samples.draw(2).read_bytes()
    log.close()
    assert first == second
    assert torch.equal(before, torch.get_rng_state())
    assert net.training


def test_the_first_and_the_last_step_are_sampled_besides_those_that_are_due(
    tmp_path: Path, parts: tuple[Any, Any]
) -> None:
    model = SimpleNamespace(show=lambda x, product: {"in": x})
    log = Log(tmp_path, *parts, every=1, batch=8, done=0)
    samples = Samples(tmp_path, model, torch.zeros(2, 1, 8, 8), {"a2b": Noisy()}, every=3, log=log)
    for step in range(1, 8):
        samples(Tick(step, 7, "adversarial", 1.0))
    log.close()
    assert [path.stem for path in sorted((tmp_path / "samples").iterdir())] == [
        "0000001",
        "0000003",
        "0000006",
        "0000007",
    ]

"""N steps in one go equal k steps, a stop, and the rest in a new process's objects: bit for bit."""

import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from i2i.engine.settings import Settings
from i2i.errors import Stopped
from i2i.session import Session

from .helpers import EVERY, assert_same, cheap, everything, folder, outcome, session, tiny

STEPS = 8  # of 6 pictures in batches of 2: epochs end after steps 3 and 6


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder(tmp_path_factory.mktemp("data") / "pictures", splits=("train", "val"))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    cheap(monkeypatch)


def full(model: str, root: Path, **changes: Any) -> Settings:
    return tiny(model, root, **{"ema": 0.9, **EVERY, **changes})


def played(settings: Settings, run: Path) -> Session:
    whole = session(settings, run)
    whole.play()
    assert whole.finished
    return whole


def stopped(settings: Settings, run: Path, steps: int) -> Session:
    """Ctrl-C in the middle of the step after `steps - 1` more."""
    first = session(settings, run)
    phase, last = first.model.adversarial, first.done + steps - 1
    asked: list[int] = []

    def interrupted(batches: Any, game: Any) -> None:
        if first.done == last and not asked:  # once: a phase is called for each part of a batch
            asked.append(last)
            signal.raise_signal(signal.SIGINT)
        phase(batches, game)

    first.model.adversarial = interrupted
    with pytest.raises(Stopped, match=f"Stopped at step {last + 1} of {STEPS}"):
        first.play()
    return first


def not_idle(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal lets the step end, also right after a saved state, so that the stop is at the step that is named."""
    from i2i.engine.watch import Watch

    monkeypatch.setattr(Watch, "idle", property(lambda self: False, lambda self, value: None), raising=False)


@pytest.mark.parametrize("model", ["pix2pix", pytest.param("cyclegan", marks=pytest.mark.slow)])
def test_a_run_stopped_at_any_step_and_resumed_equals_the_whole_one_bit_for_bit(
    model: str, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    not_idle(monkeypatch)
    settings = full(model, pictures)
    whole = played(settings, tmp_path / "whole")
    start = session(settings, tmp_path / "untrained").model
    moved = zip(start.parameters(), whole.model.parameters(), strict=True)
    assert not any(torch.equal(before, after) for before, after in moved)
    expected, there = everything(whole), outcome(tmp_path / "whole")
    assert [line["step"] for line in there["validation"]] == [2, 4, 6, 8]
    assert [step for step, _, _ in there["losses"]] == [3, 6, 8]
    if model == "cyclegan":
        assert len(whole.model.past_a.past) == 4  # full
    for stop in range(1, STEPS + 1):
        run = tmp_path / f"stopped-at-{stop}"
        stopped(settings, run, stop)
        rest = session(settings, run)
        assert rest.done == stop
        if stop == STEPS:
            assert rest.finished
        else:
            rest.play()
        rest.mend()
        assert_same(expected, everything(rest), f"stopped at {stop}")
        found = outcome(run)
        found["samples"] = {name: picture for name, picture in found["samples"].items() if name in there["samples"]}
        found["steps"] = there["steps"]  # where it stopped there is another
        assert_same(there, found, f"stopped at {stop}")


def test_a_run_stopped_after_every_step_equals_the_whole_one(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    not_idle(monkeypatch)
    settings = full("cyclegan", pictures)
    expected = everything(played(settings, tmp_path / "whole"))
    for _ in range(STEPS):
        stopped(settings, tmp_path / "parts", 1)
    rest = session(settings, tmp_path / "parts")
    rest.mend()  # of the last step's validation, that the last stop has cut short
    assert_same(expected, everything(rest))
    there, found = outcome(tmp_path / "whole"), outcome(tmp_path / "parts")
    for key in ("losses", "validation", "model.safetensors", "best.safetensors"):
        assert_same(there[key], found[key], key)


VARIANTS: dict[str, dict[str, Any]] = {
    "bf16": {"precision": "bf16"},
    "in parts": {"accumulate": 2},
    "no average": {"ema": None},
    "cropped": {"data": {"load": 18}},
    "everything": {"precision": "bf16", "accumulate": 2, "data": {"load": 18}},
}
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in VARIANTS if name != "everything"]


@pytest.mark.parametrize("model", ["pix2pix", "cyclegan"])
@pytest.mark.parametrize("variant", [*SLOW, "everything"])
def test_a_resume_is_exact_with_any_number_of_workers_and_any_setting(
    model: str, variant: str, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    not_idle(monkeypatch)
    changes = VARIANTS[variant]

    def with_workers(count: int) -> Settings:
        return full(model, pictures, **{**changes, "data": {**changes.get("data", {}), "workers": count}})

    expected = everything(played(with_workers(0), tmp_path / "whole"))
    stopped(with_workers(2), tmp_path / "parts", 5)  # past the epoch's edge, and not where a state is due
    rest = session(with_workers(0), tmp_path / "parts")
    rest.play()
    assert_same(expected, everything(rest))


def test_what_workers_have_fetched_ahead_is_fetched_again(pictures: Path, tmp_path: Path) -> None:
    settings = full("cyclegan", pictures)
    expected = everything(played(settings, tmp_path / "whole"))
    working = full("cyclegan", pictures, data={"workers": 2})
    first = session(working, tmp_path / "parts")
    phase, calls = first.model.adversarial, iter(range(STEPS))

    def fails(batches: Any, game: Any) -> None:
        if next(calls) == 4:
            raise ZeroDivisionError
        phase(batches, game)

    first.model.adversarial = fails
    with pytest.raises(ZeroDivisionError):
        first.play()
    rest = session(working, tmp_path / "parts")
    assert rest.done == 3  # the newest saved state, in the middle of what the loader had fetched ahead
    rest.play()
    assert_same(expected, everything(rest))


def test_two_seeds_are_two_runs_and_one_seed_is_one(pictures: Path, tmp_path: Path) -> None:
    a, b, c = (
        played(full("pix2pix", pictures, seed=seed), tmp_path / name) for name, seed in [("a", 0), ("b", 0), ("c", 1)]
    )
    assert_same(everything(a), everything(b))
    for x, y in zip(a.model.parameters(), c.model.parameters(), strict=True):
        assert not torch.equal(x, y)

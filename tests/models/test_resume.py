"""N steps in one go equal k steps, a stop, and the rest in a new process's objects: bit for bit."""

import signal

import pytest
import torch

from i2i.errors import Stopped

from .helpers import folder, session, tiny


def everything(run):
    """All that a run's future depends on."""
    return {
        "model": run.model.state_dict(),
        "optimisers": {name: player.optimiser.state_dict() for name, player in run.game.players.items()},
        "ema": run.ema.state_dict(),
        "position": run.batches.position,
    }


def assert_same(a, b, path=""):
    assert type(a) is type(b), path
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), path
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), path
        for key in a:
            assert_same(a[key], b[key], f"{path}/{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{path}/{i}")
    else:
        assert a == b, path


def stop_after(run, steps: int) -> None:
    """Ctrl-C in the middle of a step."""
    phase, calls = run.model.adversarial, iter(range(steps))

    def interrupted(batches, game) -> None:
        if next(calls) == steps - 1:
            signal.raise_signal(signal.SIGINT)
        phase(batches, game)

    run.model.adversarial = interrupted


@pytest.mark.parametrize("model", ["pix2pix", "cyclegan"])
@pytest.mark.parametrize("stop", [2, 5])  # before and after the history is full; 5 is past the second epoch's start
def test_a_stopped_and_resumed_run_equals_the_whole_one_bit_for_bit(tmp_path, model, stop):
    root = folder(tmp_path / "data")
    schedule = [{"phase": "adversarial", "steps": 8, "lr": "flat-then-linear"}]
    settings = tiny(model, root, ema=0.9, schedule=schedule, save_every=100)

    whole = session(settings, tmp_path / "whole")
    start = {name: value.clone() for name, value in whole.model.named_parameters()}
    whole.play()
    assert not any(torch.equal(start[name], value) for name, value in whole.model.named_parameters())

    first = session(settings, tmp_path / "parts")
    stop_after(first, stop)
    with pytest.raises(Stopped, match=f"Stopped at step {stop} of 8"):
        first.play()
    rest = session(settings, tmp_path / "parts")
    assert rest.done == stop
    rest.play()

    assert rest.finished
    assert_same(everything(whole), everything(rest))
    if model == "cyclegan":
        assert len(rest.model.past_a.past) == 4  # full
        assert_same(whole.model.past_a.past, rest.model.past_a.past)


def test_two_seeds_are_two_runs_and_one_seed_is_one(tmp_path):
    root = folder(tmp_path / "data")
    runs = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run = session(tiny("pix2pix", root, seed=seed, ema=0.9), tmp_path / name)
        run.play()
        runs.append(run)
    assert_same(everything(runs[0]), everything(runs[1]))
    for x, y in zip(runs[0].model.parameters(), runs[2].model.parameters(), strict=True):
        assert not torch.equal(x, y)

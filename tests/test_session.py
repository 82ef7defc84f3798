"""What a run does about trouble of its own: steps that are not finite, states that are damaged, files that are gone."""

import json
import multiprocessing
import shutil
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from faults import damage
from models.helpers import CPU, EVERY, assert_same, cheap, everything, folder, outcome, session, tiny
from rich.console import Console
from torch import Tensor

from i2i import api, recipe, store, zoo
from i2i.engine import loop, monitor
from i2i.engine.game import NonFinite
from i2i.engine.settings import Settings
from i2i.errors import Stopped, UserError
from i2i.session import STATES, Session


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder(tmp_path_factory.mktemp("data") / "pictures", splits=("train", "val", "test"))


@pytest.fixture(scope="module")
def settings(pictures: Path) -> Settings:
    return tiny("pix2pix", pictures, ema=0.9, **EVERY)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, fresh_home: Path) -> None:
    cheap(monkeypatch)


def played(settings: Settings, run: Path) -> tuple[Session, str]:
    """A session that has played, and what it said."""
    said = StringIO()
    done = Session(settings, run, CPU, console=Console(file=said, width=10_000))
    done.play()
    return done, said.getvalue()


# Steps that are not finite

Trouble = Callable[[Any, Any], Any]


def poison(patch: pytest.MonkeyPatch, kind: str, at: int, brakes: tuple[float, ...]) -> list[int]:
    """The batch of position `at` makes a loss or a gradient infinite, as long as the brake on the rates is one of
    `brakes`. Returns a list that grows by the position each time; what moved in the failing turn is an error."""
    inner, met = loop.in_parts, []

    def in_parts(phase: Any, batches: Any, game: Any, parts: int) -> None:
        if batches.position != at or game.brake not in brakes:
            inner(phase, batches, game, parts)
            return
        player = game.players["generator"]
        before: list[Tensor] = []

        def spoil(gradient: Tensor) -> Tensor:
            before[:] = [p.detach().clone() for p in player.parameters()]
            return gradient * torch.inf if kind == "gradient" else gradient

        def spoilt() -> Any:
            a, b = next(batches)
            yield a, b * (torch.nan if kind == "loss" else 1)

        first = next(player.parameters())
        before[:] = [p.detach().clone() for p in player.parameters()]
        handle = first.register_hook(spoil)
        try:
            inner(phase, spoilt(), game, parts)
        except NonFinite:
            met.append(at)
            assert all(torch.equal(p, q) for p, q in zip(before, player.parameters(), strict=True))
            raise
        finally:
            handle.remove()

    patch.setattr(loop, "in_parts", in_parts)
    return met


@pytest.mark.parametrize("kind", ["loss", "gradient"])
def test_after_a_step_that_is_not_finite_a_run_goes_back_and_on_at_half_the_rates(
    kind: str, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What it should come to: the state of step 3, played on from there with the brake.
    other = session(settings, tmp_path / "by hand")
    with monkeypatch.context() as patch:
        poison(patch, "loss", 4, (1.0,))
        patch.setattr(Session, "_return", lambda *_: (_ for _ in ()).throw(ZeroDivisionError))
        with pytest.raises(ZeroDivisionError):
            other.play()
    other = session(settings, tmp_path / "by hand")
    assert other.done == 3
    other.returns, other.game.brake = 1, 0.5
    other.play()
    assert other.game.players["generator"].optimiser.param_groups[0]["lr"] == 2e-4 * 0.5 * 0.25  # 2 (1 - 7/8) = 1/4

    met = poison(monkeypatch, kind, 4, (1.0,))
    done, said = played(settings, tmp_path / "run")
    assert met == [4]
    assert_same(everything(other), everything(done))
    (told,) = [line for line in said.splitlines() if "not finite" in line]
    assert told.startswith("Step 5 was not finite (generator" if kind == "gradient" else "Step 5 was not finite")
    assert "back to step 3, at 0.5 of the learning rates" in told
    for path in done.batches.files(4, 5):
        assert str(path) in told
    assert monitor.read(tmp_path / "run", monitor.ALARMS)[-1]["alarm"] == "non-finite"
    losses = [value for line in monitor.read(tmp_path / "run") for value in line["losses"].values()]
    assert all(torch.isfinite(torch.tensor(losses)))

    again, _ = played(settings, tmp_path / "again")
    assert_same(everything(done), everything(again))
    assert_same(outcome(tmp_path / "run"), outcome(tmp_path / "again"))


def test_the_brake_stays_on_through_a_stop_and_a_resume(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, "loss", 4, (1.0,))
    whole, _ = played(settings, tmp_path / "whole")
    first = session(settings, tmp_path / "parts")
    saved = first.save

    def stop() -> None:
        saved()
        if first.done == 6:
            raise Stopped

    monkeypatch.setattr(first, "save", stop)
    with pytest.raises(Stopped):
        first.play()
    rest = session(settings, tmp_path / "parts")
    assert (rest.done, rest.returns, rest.game.brake) == (6, 1, 0.5)
    rest.play()
    assert_same(everything(whole), everything(rest))


def test_a_run_that_does_not_get_finite_stops_with_words_and_keeps_its_state(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    met = poison(monkeypatch, "loss", 4, (1.0, 0.5, 0.25, 0.125))
    with pytest.raises(UserError) as stopped:
        played(settings, tmp_path / "run")
    assert len(met) == 1 + settings.retries
    words = str(stopped.value)
    assert "stopped at step 5" in words
    assert f"tried {settings.retries} times" in words
    assert "--set players" in words
    rest = session(settings, tmp_path / "run")
    assert rest.done == 3
    for path in rest.batches.files(4, 5):
        assert str(path) in words
    assert all(bool(torch.isfinite(value).all()) for value in rest.model.state_dict().values())


def test_no_retries_means_none(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    met = poison(monkeypatch, "loss", 4, (1.0,))
    with pytest.raises(UserError, match="tried 0 times"):
        played(settings.model_copy(update={"retries": 0}), tmp_path / "run")
    assert met == [4]


# Damage


def test_where_all_states_are_damaged_nothing_is_trained_over_them(settings: Settings, tmp_path: Path) -> None:
    played(settings, tmp_path / "run")
    for path in (tmp_path / "run" / STATES).glob("*/state.pt"):
        damage(path, "one bit")
    before = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "run").rglob("*"))
    with pytest.raises(UserError, match=r"No saved state in .* is whole\. Move .*run away"):
        session(settings, tmp_path / "run")
    assert sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "run").rglob("*")) == before


def test_a_best_model_without_any_whole_copy_is_told_and_chosen_anew(settings: Settings, tmp_path: Path) -> None:
    run = tmp_path / "run"
    played(settings, run)
    for path in run.rglob(store.BEST):
        damage(path, "one bit")
    for path in (run / STATES).iterdir():  # as if those copies had been taken of the damaged file
        told = json.loads((path / "manifest.json").read_text())
        told["files"].pop(store.BEST)
        (path / "manifest.json").write_text(json.dumps(told))
    said = StringIO()
    Session(settings, run, CPU, console=Console(file=said, width=10_000)).mend()
    assert "there is no whole copy of it" in said.getvalue()
    assert not (run / store.BEST).exists()


def test_a_stale_model_of_a_finished_run_is_written_anew(settings: Settings, tmp_path: Path) -> None:
    done = api.train(settings, run=tmp_path / "run", name="own")
    right = (tmp_path / "run" / store.FILE).read_bytes()
    shutil.copy(tmp_path / "run" / store.BEST, tmp_path / "run" / store.FILE)  # whole, but of step 4
    again = api.train(settings, run=tmp_path / "run", name="own")
    assert (done.already_finished, again.already_finished) == (False, True)
    assert (tmp_path / "run" / store.FILE).read_bytes() == right


def test_a_finished_run_is_left_as_it_is(settings: Settings, tmp_path: Path) -> None:
    api.train(settings, run=tmp_path / "run", name="own")
    before = outcome(tmp_path / "run")
    assert api.train(settings, run=tmp_path / "run", name="own").already_finished
    assert_same(before, outcome(tmp_path / "run"))


def test_a_finished_run_without_its_test_scores_gets_them(settings: Settings, tmp_path: Path) -> None:
    api.train(settings, run=tmp_path / "run", name="own")
    told = (tmp_path / "run" / "test.json").read_text()
    (tmp_path / "run" / "test.json").unlink()
    api.train(settings, run=tmp_path / "run", name="own")
    assert (tmp_path / "run" / "test.json").read_text() == told


# What may change when a run goes on


@pytest.mark.parametrize(
    "change",
    [{"log_every": 1}, {"save_every": 2}, {"keep": 5}, {"data": {"workers": 2}}, {"data": {"cache": "off"}}],
)
def test_what_decides_nothing_may_change_when_a_run_goes_on(
    change: dict[str, Any], settings: Settings, pictures: Path, tmp_path: Path
) -> None:
    session(settings, tmp_path / "run").save()
    changed = tiny("pix2pix", pictures, ema=0.9, **{**EVERY, **change})
    again = session(changed, tmp_path / "run")
    assert again.done == 0
    again.batches.close()


def test_a_finished_run_keeps_no_loaders(pictures: Path, tmp_path: Path) -> None:
    settings = tiny("pix2pix", pictures, ema=0.9, **EVERY, data={"workers": 2})
    api.train(settings, run=tmp_path / "run", name="own")
    assert api.train(settings, run=tmp_path / "run", name="own").already_finished
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("change", [{"seed": 1}, {"batch": 1}, {"ema": 0.5}, {"data": {"load": 18}}])
def test_what_decides_what_is_learnt_may_not(
    change: dict[str, Any], settings: Settings, pictures: Path, tmp_path: Path
) -> None:
    session(settings, tmp_path / "run").save()
    changed = tiny("pix2pix", pictures, **{"ema": 0.9, **EVERY, **change})
    with pytest.raises(UserError, match="another recipe"):
        session(changed, tmp_path / "run")


# Runs of older versions

RELEASED = Path(__file__).parent / "released"


@pytest.mark.parametrize("version", sorted(path.name for path in RELEASED.iterdir() if path.is_dir()))
def test_a_run_of_every_released_version_goes_on_with_the_losses_it_had_then(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(RELEASED / version, tmp_path / version)
    monkeypatch.chdir(tmp_path / version)  # the recipe names its pictures from there
    told = json.loads(Path("told.json").read_text("utf-8"))
    rest = session(recipe.load("run/recipe.yaml"), Path("run"))
    assert rest.done == told["done"]
    rest.play()
    assert rest.finished
    lines = {line["step"]: line["losses"] for line in monitor.read(Path("run"))}
    for step, losses in told["losses"].items():
        # Equal but for the last bits, which differ from processor to processor.
        assert lines[int(step)] == pytest.approx(losses, rel=1e-4), step
    zoo.load("run", CPU)

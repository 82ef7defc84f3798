"""`weights.perceptual` of Pix2Pix: it moves the generator, and leaves everything else as it is."""

import itertools
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from i2i import recipe, zoo
from i2i.engine.game import Game
from i2i.errors import Stopped, UserError
from i2i.metrics.perceptual import perceptual_loss
from i2i.models import pix2pix
from i2i.models.pix2pix import Pix2Pix

from .helpers import assert_same, cheap, everything, folder, outcome, session, tiny

TREE = {
    "model": "pix2pix",
    "data": {"layout": "paired", "root": "unused", "crop": 64},
    "generator": {"kind": "unet", "levels": 2, "width": 4},
    "discriminator": {"kind": "patch", "layers": 1, "width": 4},
    "schedule": [{"phase": "adversarial", "steps": 1}],
}


def made(**changes: Any) -> tuple[Pix2Pix, Any]:
    torch.manual_seed(0)
    settings: Any = recipe.build({**TREE, **changes}, "test")
    return Pix2Pix(settings), settings


def step(precision: Any = "fp32", **changes: Any) -> tuple[Pix2Pix, Game]:
    """One step on two pairs of 64 pixels."""
    model, settings = made(**changes)
    a, b = torch.rand(2, 2, 3, 64, 64) * 2 - 1
    game = Game(model.players(settings), precision)
    with game.autocast():
        model.adversarial(itertools.repeat((a, b)), game)
    return model, game


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_generators_loss_has_one_term_more(precision: str) -> None:
    _, game = step(precision, weights={"perceptual": 3})
    model, _ = made()
    a, b = torch.rand(2, 2, 3, 64, 64) * 2 - 1
    expected = 3 * perceptual_loss(model.generator(a), b).item()
    losses = {name.rpartition("/")[2]: float(value) for name, value in game.log.items()}
    assert losses["perceptual"] == pytest.approx(expected, rel=0.02 if precision == "bf16" else 1e-4)


def test_it_moves_the_generator_and_nobody_else() -> None:
    (with_it, _), (without, _) = step(weights={"perceptual": 3}), step()
    assert_same(dict(with_it.judge.state_dict()), dict(without.judge.state_dict()))
    both = zip(with_it.generator.parameters(), without.generator.parameters(), strict=True)
    assert any(not torch.equal(one, other) for one, other in both)


def test_it_draws_no_random_numbers_and_without_it_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    step(weights={"perceptual": 3})
    state = torch.get_rng_state()
    monkeypatch.setattr(pix2pix, "perceptual_loss", lambda *_: pytest.fail("asked without weight"))
    named, _ = step(weights={"perceptual": 0})
    assert torch.equal(torch.get_rng_state(), state)
    plain, _ = step()
    assert_same(dict(named.state_dict()), dict(plain.state_dict()))


def test_its_network_is_in_no_file_and_no_optimiser(tmp_path: Path) -> None:
    (model, game), (plain, _) = step(weights={"perceptual": 3}), step()
    assert model.state_dict().keys() == plain.state_dict().keys()
    owned = {id(weight) for weight in model.parameters()}
    for player in game.players.values():
        assert {id(weight) for group in player.optimiser.param_groups for weight in group["params"]} <= owned
    _, settings = made(weights={"perceptual": 3})
    zoo.save(tmp_path / "model.safetensors", model.product(), settings, 1, "")
    assert {key.split(".")[0] for key in load_file(tmp_path / "model.safetensors")} == {"a2b"}


def test_a_run_with_it_resumes_bit_for_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cheap(monkeypatch)
    settings = tiny(
        "pix2pix", folder(tmp_path / "pictures", size=32), data={"crop": 32}, weights={"perceptual": 5},
        schedule=[{"phase": "adversarial", "steps": 4}], save_every=2, sample_every=4, samples=2,
    )  # fmt: skip
    whole = session(settings, tmp_path / "whole")
    whole.play()
    first = session(settings, tmp_path / "cut")
    phase = first.model.adversarial

    def interrupted(batches: Any, game: Any) -> None:
        if first.done == 1:
            signal.raise_signal(signal.SIGINT)
        phase(batches, game)

    first.model.adversarial = interrupted
    with pytest.raises(Stopped):
        first.play()
    rest = session(settings, tmp_path / "cut")
    assert 1 <= rest.done < 4
    rest.play()
    assert_same(everything(whole), everything(rest))
    assert_same(outcome(tmp_path / "whole")["state"], outcome(tmp_path / "cut")["state"])


@pytest.mark.parametrize("b", [2, 4, {"labels": 5}])
def test_what_it_cannot_see_is_refused(b: Any) -> None:
    data = {**TREE["data"], "channels": {"a": 3, "b": b}}
    with pytest.raises(UserError, match=r"weights\.perceptual needs grey or colour"):
        made(data=data, weights={"perceptual": 1})
    made(data=data)

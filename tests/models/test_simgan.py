"""SimGAN: Algorithm 1 against plain torch, a history that is half of what D sees, and all that a translator has."""

import copy
import itertools
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from together import together
from torch import Tensor
from torch.nn import functional as F

import i2i
from i2i import api, recipe, zoo
from i2i.engine.game import Game
from i2i.engine.ranks import Ranks
from i2i.errors import Stopped, UserError
from i2i.models.simgan import SimGAN
from i2i.session import Session
from i2i.translator import Translator

from .helpers import CPU, EVERY, assert_same, cheap, everything, folder

SGD = {"kind": "sgd", "lr": 0.05, "momentum": 0.5}
TREE: dict[str, Any] = {
    "model": "simgan",
    "data": {"layout": "unpaired", "root": "unused", "crop": 16},
    "batch": 4,
    "generator": {"kind": "refiner", "blocks": 1, "width": 4},
    "discriminator": {"kind": "local", "width": 6},
    "weights": {"regularisation": 3},
    "history": 6,
    "k_g": 2,
    "k_d": 2,
    "players": {"refiner": SGD, "discriminator": SGD},
    "schedule": [
        {"phase": "regularise", "steps": 2},
        {"phase": "discriminate", "steps": 2},
        {"phase": "adversarial", "steps": 2},
    ],
}
PHASES = ["regularise"] * 2 + ["discriminate"] * 2 + ["adversarial"] * 2


def built(**changes: Any) -> tuple[SimGAN, Game]:
    torch.manual_seed(0)
    settings: Any = recipe.build({**TREE, **changes}, "test")
    model = SimGAN(settings)
    return model, Game(model.players(settings))


def batches(n: int = 4) -> Iterator[tuple[Tensor, Tensor]]:
    draw = torch.Generator().manual_seed(1)
    while True:
        x, y = torch.rand(2, n, 3, 16, 16, generator=draw) * 2 - 1
        yield x, y


class Buffer:
    """Section 2.3: half of a batch is drawn from the buffer, then new pictures replace random ones in it."""

    def __init__(self, size: int) -> None:
        self.size, self.pictures = size, []

    def __call__(self, refined: Tensor) -> Tensor:
        refined, half = refined.detach(), len(refined) // 2
        shown = refined
        if len(self.pictures) >= half:
            drawn = torch.randperm(len(self.pictures))[:half]
            shown = torch.cat([refined[:half], torch.stack([self.pictures[i] for i in drawn])])
        for i in torch.randperm(len(refined))[:half]:
            if len(self.pictures) < self.size:
                self.pictures.append(refined[i])
            else:
                self.pictures[int(torch.randint(self.size, ()))] = refined[i]
        return shown


def bce(logits: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def test_its_steps_equal_plain_ones() -> None:
    """Every call of a phase, in the order and on the batches of Algorithm 1; the logit is of being real."""
    model, game = built()
    plain, data, own, buffer = copy.deepcopy(model), batches(), batches(), Buffer(6)
    r, d = plain.refiner, plain.judge
    of_r, of_d = (torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.5) for net in (r, d))

    def move_r(alone: bool) -> None:
        x, _ = next(data)
        of_r.zero_grad()
        loss = (r(x) - x).abs().mean() if alone else bce(d(r(x)), 1.0) + 3 * (r(x) - x).abs().mean()
        loss.backward()
        of_r.step()

    def move_d() -> None:
        x, y = next(data)
        of_d.zero_grad()
        (bce(d(y), 1.0) + bce(d(buffer(r(x))), 0.0)).backward()
        of_d.step()

    for step, name in enumerate(PHASES):
        torch.manual_seed(step)
        getattr(model, name)(own, game)
        torch.manual_seed(step)
        if name == "adversarial":
            for _ in range(2):
                move_r(alone=False)
        for _ in range(2 if name == "adversarial" else 1):
            move_r(alone=True) if name == "regularise" else move_d()
    assert len(buffer.pictures) == 6  # full, so old pictures have been overwritten
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(model.past.past, buffer.pictures, strict=True))
    for (name, a), b, c in zip(model.named_parameters(), plain.parameters(), built()[0].parameters(), strict=True):
        assert (a - b).abs().max() <= 1e-6, name
        assert (a - c).abs().max() > 1e-6, f"{name} did not train"


@pytest.mark.parametrize(
    ("phase", "drawn", "moved"),
    [("regularise", 1, (True, False)), ("discriminate", 1, (False, True)), ("adversarial", 4, (True, True))],
)
def test_each_phase_moves_its_own_players_on_batches_of_their_own(
    phase: str, drawn: int, moved: tuple[bool, bool]
) -> None:
    model, game = built()
    before = [[p.detach().clone() for p in net.parameters()] for net in (model.refiner, model.judge)]
    taken: list[int] = []
    stream = batches()
    getattr(model, phase)((taken.append(1) or next(stream) for _ in range(9)), game)
    assert len(taken) == drawn
    for old, net, wanted in zip(before, (model.refiner, model.judge), moved, strict=True):
        assert any(not torch.equal(a, b) for a, b in zip(old, net.parameters(), strict=True)) == wanted


def test_half_of_what_the_discriminator_is_shown_as_refined_is_old() -> None:
    model, game = built()
    stream, seen = batches(), []
    model.discriminate(stream, game)
    assert len(model.past.past) == 2  # half a batch is kept
    old = [picture.clone() for picture in model.past.past]
    model.judge.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    model.discriminate(stream, game)
    real, refined = seen
    assert len(real) == len(refined) == 4
    are_old = [any(torch.equal(picture, kept) for kept in old) for picture in refined]
    assert are_old == [False, False, True, True]


def test_without_regularisation_the_refiner_only_fools() -> None:
    model, game = built(weights={"regularisation": 0})
    model.adversarial(batches(), game)
    assert {"refiner/adversarial", "discriminator/real", "discriminator/fake"} == game.log.keys()


def test_sides_of_different_channels_are_refused() -> None:
    data = {**TREE["data"], "channels": {"a": 1, "b": 3}}
    with pytest.raises(UserError, match="same number of channels on both sides; got a: 1, b: 3"):
        recipe.build({**TREE, "data": data}, "test")


def settings(root: Path, **changes: Any) -> Any:
    return recipe.build({**TREE, **EVERY, "ema": 0.9, "data": {**TREE["data"], "root": str(root)}, **changes}, "test")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder(tmp_path_factory.mktemp("simgan") / "pictures", splits=("train", "val", "test"))


@pytest.mark.parametrize("stop", [3, 5])
def test_a_run_stopped_in_any_phase_and_resumed_is_the_whole_one(
    stop: int, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cheap(monkeypatch)
    from i2i.engine.watch import Watch

    monkeypatch.setattr(Watch, "idle", property(lambda self: False, lambda self, value: None), raising=False)
    whole = Session(settings(root), tmp_path / "whole", CPU)
    whole.play()
    assert len(whole.model.past.past) == 6
    first = Session(settings(root), tmp_path / "parts", CPU)
    phase = getattr(first.model, PHASES[stop - 1])

    def interrupted(data: Any, game: Any) -> None:
        if first.done == stop - 1:
            signal.raise_signal(signal.SIGINT)
        phase(data, game)

    setattr(first.model, PHASES[stop - 1], interrupted)
    with pytest.raises(Stopped):
        first.play()
    rest = Session(settings(root), tmp_path / "parts", CPU)
    assert rest.done == stop
    rest.play()
    assert_same(everything(whole), everything(rest))


def weights_of(ranks: Ranks) -> list[Tensor]:
    """After a step of each phase on this rank's share of a batch; the history's draws would be each rank's own."""
    torch.manual_seed(0)
    told: Any = recipe.build({**TREE, "history": 0}, "test")
    model = SimGAN(told)
    game, share = Game(model.players(told), ranks=ranks), 4 // ranks.world
    part = tuple(side[ranks.rank * share : (ranks.rank + 1) * share] for side in next(batches()))
    for phase in (model.regularise, model.discriminate, model.adversarial):
        phase(itertools.repeat(part), game)
    return [p.detach() for p in model.parameters()]


def test_two_processes_move_like_one() -> None:
    alone = weights_of(Ranks())
    for ours in together(2, weights_of):
        for a, b in zip(alone, ours, strict=True):
            assert (a - b).abs().max() <= 1e-6


def test_it_is_trained_scored_exported_and_translates(root: Path, tmp_path: Path) -> None:
    trained = api.train(settings(root), run=tmp_path / "run", name="simgan_test")
    assert {"model", "copy of the input"} <= api.evaluate("simgan_test").rows.keys()
    path, _ = api.export(trained.run, tmp_path / "model.onnx")
    picture = np.random.default_rng(3).integers(0, 256, (9, 23, 3), dtype=np.uint8)
    ours = Translator(zoo.load(trained.run, CPU).product["a2b"], CPU)(picture)
    assert ours.shape == picture.shape
    assert np.abs(ours.astype(int) - i2i.load(path)(picture).astype(int)).max() <= 1

"""The Domain Transfer Network: its equations against plain torch, an encoder that stays, and what a translator has."""

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
from i2i.images import write
from i2i.models.dtn import DTN
from i2i.session import Session
from i2i.translator import Translator

from .helpers import CPU, EVERY, assert_same, cheap, everything

SGD = {"kind": "sgd", "lr": 0.05, "momentum": 0.5}
TREE: dict[str, Any] = {
    "model": "dtn",
    "data": {"layout": "unpaired", "labels": "a", "root": "unused", "channels": {"a": 3, "b": 1}, "crop": 8},
    "classes": 3,
    "batch": 2,
    "encoder": {"code": 4, "width": 4},
    "generator": {"width": 4},
    "discriminator": {"layers": 1, "width": 4, "norm": "batch"},
    "players": {"encoder": SGD, "generator": SGD, "discriminator": SGD},
    "schedule": [{"phase": "classify", "steps": 3}, {"phase": "transfer", "steps": 3}],
}


def built(**changes: Any) -> tuple[DTN, Game]:
    torch.manual_seed(0)
    settings: Any = recipe.build({**TREE, **changes}, "test")
    model = DTN(settings)
    return model, Game(model.players(settings))


def batches(n: int = 4) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    draw = torch.Generator().manual_seed(1)
    while True:
        s, t = (torch.rand(n, c, 8, 8, generator=draw) * 2 - 1 for c in (3, 1))
        yield s, t, torch.randint(3, (n,), generator=draw)


def sgd(*nets: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(itertools.chain(*(net.parameters() for net in nets)), lr=0.05, momentum=0.5)


def said(logits: Tensor, verdict: int) -> Tensor:
    return F.cross_entropy(logits, torch.full((len(logits), *logits.shape[2:]), verdict))


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_its_steps_equal_plain_ones(norm: str) -> None:
    model, game = built(weights={"variation": 0.05}, encoder={"code": 4, "width": 4, "norm": norm})
    plain, data, own = copy.deepcopy(model), batches(), batches()
    f, g, d, head = plain.translator.encoder, plain.translator.decoder, plain.judge, plain.classifier
    of_f, of_g, of_d = sgd(f, head), sgd(g), sgd(d)
    for _ in range(3):
        model.classify(own, game)
        s, _, y = next(data)
        of_f.zero_grad()
        F.cross_entropy(head(f(s).flatten(1)), y).backward()
        of_f.step()
    f.eval()
    for _ in range(3):
        model.transfer(own, game)
        s, t, _ = next(data)
        code_s, code_t = f(s).detach(), f(torch.cat([t, t, t], 1)).detach()
        made_s, made_t = g(code_s), g(code_t)
        of_d.zero_grad()
        (said(d(made_s.detach()), 0) + said(d(made_t.detach()), 1) + said(d(t), 2)).backward()
        of_d.step()
        of_g.zero_grad()
        loss = said(d(made_s), 2) + said(d(made_t), 2)
        loss = loss + 15 * (f(torch.cat([made_s] * 3, 1)) - code_s).pow(2).mean() + 15 * (made_t - t).pow(2).mean()
        for made in (made_s, made_t):
            across, down = made[..., :-1, 1:] - made[..., :-1, :-1], made[..., 1:, :-1] - made[..., :-1, :-1]
            loss = loss + 0.05 * (across.pow(2) + down.pow(2) + 1e-8).sqrt().mean()
        loss.backward()
        of_g.step()
    start = built(weights={"variation": 0.05}, encoder={"code": 4, "width": 4, "norm": norm})[0]
    for (name, ours), theirs, first in zip(
        model.named_parameters(), plain.parameters(), start.parameters(), strict=True
    ):
        assert (ours - theirs).abs().max() <= 1e-6, name
        assert (ours - first).abs().max() > 1e-5, f"{name} did not train"


def kept(net: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in net.state_dict().items()}


def same(before: dict[str, Tensor], net: torch.nn.Module) -> bool:
    return all(torch.equal(value, net.state_dict()[name]) for name, value in before.items())


def test_the_encoder_moves_in_its_own_phase_and_never_again() -> None:
    model, game = built(encoder={"code": 4, "width": 4, "norm": "batch"})  # with running averages, which must stay too
    parts = (model.translator.encoder, model.classifier, model.translator.decoder, model.judge)
    before = [kept(part) for part in parts]
    model.classify(batches(), game)
    assert [same(old, part) for old, part in zip(before, parts, strict=True)] == [False, False, True, True]
    assert game.log.keys() == {"encoder/classes"}
    before = [kept(part) for part in parts]
    model.translator.train()  # as after a sample grid
    model.transfer(batches(), game)
    assert [same(old, part) for old, part in zip(before, parts, strict=True)] == [True, True, False, False]


def test_a_weight_of_nothing_leaves_its_term_out() -> None:
    terms = {"adversarial", "constancy", "identity", "variation"}
    for without in ("constancy", "identity", "variation"):
        weights = {"constancy": 1.0, "identity": 1.0, "variation": 1.0, without: 0.0}
        model, game = built(weights=weights)
        model.transfer(batches(), game)
        logged = {name.partition("/")[2] for name in game.log if name.startswith("generator/")}
        assert logged == terms - {without}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": {**TREE["data"], "labels": None}}, r"trainA/<class>/ and write `data: \{layout: unpaired, labels: a"),
        ({"schedule": [{"phase": "transfer", "steps": 1}]}, "must begin with `phase: classify`"),
        ({"data": {**TREE["data"], "channels": {"a": 1, "b": 3}}}, "b needs the channels of a.*got 1 and 3"),
        ({"generator": {"norm": "instance"}}, "recipe.dtn.generator.norm"),
        ({"classes": 1}, "recipe.dtn.classes"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        recipe.build({**TREE, **changes}, "test")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("dtn") / "pictures", np.random.default_rng(0)
    for split, count in (("train", 3), ("val", 1), ("test", 1)):
        for name in ("x", "y", "z"):
            for i in range(count):
                write(folder / f"{split}A" / name / f"{i}.png", rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
                write(folder / f"{split}B" / name / f"{i}.png", rng.integers(0, 256, (8, 8, 1), dtype=np.uint8))
    return folder


def settings(root: Path, **changes: Any) -> Any:
    return recipe.build({**TREE, **EVERY, "ema": 0.9, "data": {**TREE["data"], "root": str(root)}, **changes}, "test")


def test_as_many_classes_as_the_recipe_says(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"recipe\.classes is 4, but the data has 3 classes: x, y, z"):
        Session(settings(root, classes=4), tmp_path, CPU)


@pytest.mark.parametrize("stop", [2, 3, 4])
def test_a_run_stopped_in_either_phase_and_resumed_is_the_whole_one(
    stop: int, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cheap(monkeypatch)
    from i2i.engine.watch import Watch

    monkeypatch.setattr(Watch, "idle", property(lambda self: False, lambda self, value: None), raising=False)
    whole = Session(settings(root), tmp_path / "whole", CPU)
    whole.play()
    first = Session(settings(root), tmp_path / "parts", CPU)
    name = "classify" if stop <= 3 else "transfer"
    phase = getattr(first.model, name)

    def interrupted(data: Any, game: Any) -> None:
        if first.done == stop - 1:
            signal.raise_signal(signal.SIGINT)
        phase(data, game)

    setattr(first.model, name, interrupted)
    with pytest.raises(Stopped):
        first.play()
    rest = Session(settings(root), tmp_path / "parts", CPU)
    assert rest.done == stop
    rest.play()
    assert_same(everything(whole), everything(rest))


APART = {
    "encoder": {"code": 4, "width": 4},
    "generator": {"width": 4, "norm": "group"},
    "discriminator": {"layers": 1, "width": 4, "norm": "instance"},
}


def weights_of(ranks: Ranks) -> list[Tensor]:
    """After a step of each phase on this rank's share of a batch, without layers that mix the pictures of one."""
    torch.manual_seed(0)
    told: Any = recipe.build({**TREE, **APART}, "test")
    model = DTN(told)
    game, share = Game(model.players(told), ranks=ranks), 4 // ranks.world
    part = tuple(side[ranks.rank * share : (ranks.rank + 1) * share] for side in next(batches()))
    for phase in (model.classify, model.transfer):
        phase(itertools.repeat(part), game)
    return [p.detach() for p in model.parameters()]


def test_two_processes_move_like_one() -> None:
    alone = weights_of(Ranks())
    for ours in together(2, weights_of):
        for a, b in zip(alone, ours, strict=True):
            assert (a - b).abs().max() <= 1e-6


def test_it_is_trained_scored_exported_and_translates(root: Path, tmp_path: Path) -> None:
    trained = api.train(settings(root), run=tmp_path / "run", name="dtn_test")
    rows = api.evaluate("dtn_test").rows
    assert {"model", "constant colour"} <= rows.keys()
    assert "l1" in rows["model"]  # val and test are registered pairs
    flat, rng = tmp_path / "flat", np.random.default_rng(5)
    for i in range(4):
        write(flat / "testA" / f"{i}.png", rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        write(flat / "testB" / f"{i}.png", rng.integers(0, 256, (8, 8, 1), dtype=np.uint8))
        write(flat / "trainA" / f"{i}.png", rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        write(flat / "trainB" / f"{i}.png", rng.integers(0, 256, (8, 8, 1), dtype=np.uint8))
    assert "l1" in api.evaluate("dtn_test", data=flat).rows["model"]  # pictures that nobody has sorted
    path, _ = api.export(trained.run, tmp_path / "model.onnx")
    picture = np.random.default_rng(3).integers(0, 256, (21, 10, 3), dtype=np.uint8)
    ours = Translator(zoo.load(trained.run, CPU).product["a2b"], CPU)(picture)
    theirs = i2i.load(path)(picture)
    assert ours.shape[:2] == theirs.shape[:2] == (21, 10)
    assert np.abs(ours.astype(int).squeeze() - theirs.astype(int).squeeze()).max() <= 1

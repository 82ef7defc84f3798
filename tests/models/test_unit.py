"""UNIT: its step is the paper's, one code serves both sides, and a run of it is like any other."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from i2i import recipe
from i2i.engine.ema import Ema
from i2i.engine.game import Game
from i2i.errors import UserError
from i2i.models.unit import divergence, drawn

from .helpers import folder
from .translators import (
    assert_file_scores_and_export,
    assert_parts_and_ranks_move_like_one,
    assert_resume_is_exact,
    model_of,
    sides,
)

TREE: dict[str, Any] = {
    "model": "unit",
    "data": {"layout": "unpaired", "root": "unused", "crop": 16, "split": {"val": 0, "test": 0}},
    "generator": {"kind": "unit", "blocks": 2, "shared": 1, "width": 4},
    "discriminator": {"kind": "patch", "layers": 1, "width": 4},
    "batch": 2,
    "schedule": [{"phase": "adversarial", "steps": 6, "lr": "flat-then-linear"}],
}
CODERS = ("encode_a", "encode_b", "decode_a", "decode_b")
STEPS = 3
# So that a step shows each of them; beside the paper's 100 for L1 no divergence would be seen.
ALIKE = {"adversarial": 1.5, "kl": 0.5, "reconstruction": 2, "cycle_kl": 0.7, "cycle": 3}


def tree(**changes: Any) -> dict[str, Any]:
    return {**TREE, **changes, "data": {**TREE["data"], **changes.get("data", {})}}


def settings(**changes: Any) -> Any:
    return recipe.build(tree(**changes), "test")


# ---- the step


def bce(logits: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_a_step_equals_one_written_plainly(kind: str) -> None:
    player = {"kind": kind, "lr": 1e-4 if kind == "adam" else 1e-2, "weight_decay": 1e-4}
    told = settings(players={"generators": player, "discriminators": player}, weights=ALIKE)
    start, data = model_of(told), sides(STEPS)
    ours, plain = copy.deepcopy(start), copy.deepcopy(start)
    game = Game(ours.players(told))
    for step, batch in enumerate(data):
        torch.manual_seed(step)
        ours.adversarial(iter([batch]), game)

    def optimiser(*nets: nn.Module) -> torch.optim.Optimizer:
        weights = list(dict.fromkeys(p for net in nets for p in net.parameters()))  # what is shared, once
        if kind == "adam":
            return torch.optim.Adam(weights, lr=1e-4, betas=(0.5, 0.999), weight_decay=1e-4)
        return torch.optim.SGD(weights, lr=1e-2, weight_decay=1e-4)

    e_a, e_b, g_a, g_b = (getattr(plain, name) for name in CODERS)
    d_a, d_b = plain.judge_a, plain.judge_b
    g_optimiser, d_optimiser = optimiser(e_a, e_b, g_a, g_b), optimiser(d_a, d_b)

    def kl(mean: Tensor) -> Tensor:
        return 0.5 * mean.pow(2).mean()

    for step, (a, b) in enumerate(data):
        torch.manual_seed(step)
        m_a, m_b = e_a(a), e_b(b)
        z_a, z_b = m_a + torch.randn(m_a.shape), m_b + torch.randn(m_b.shape)
        x_ab, x_ba = g_b(z_a), g_a(z_b)
        m_ab, m_ba = e_b(x_ab), e_a(x_ba)
        x_aa, x_bb = g_a(z_a), g_b(z_b)
        x_aba = g_a(m_ab + torch.randn(m_ab.shape))
        x_bab = g_b(m_ba + torch.randn(m_ba.shape))
        loss = 0.5 * (kl(m_a) + kl(m_b)) + 2 * ((x_aa - a).abs().mean() + (x_bb - b).abs().mean())
        loss = loss + 1.5 * (bce(d_b(x_ab), 1.0) + bce(d_a(x_ba), 1.0))
        loss = loss + 0.7 * (kl(m_a) + kl(m_ab) + kl(m_b) + kl(m_ba))
        loss = loss + 3 * ((x_aba - a).abs().mean() + (x_bab - b).abs().mean())
        g_optimiser.zero_grad()
        loss.backward()
        g_optimiser.step()
        d_optimiser.zero_grad()
        d_loss = bce(d_a(a), 1.0) + bce(d_a(x_ba.detach()), 0.0) + bce(d_b(b), 1.0) + bce(d_b(x_ab.detach()), 0.0)
        d_loss.backward()
        d_optimiser.step()
    for (name, x), y, z in zip(ours.named_parameters(), plain.parameters(), start.parameters(), strict=True):
        assert (x - y).abs().max() <= 1e-5, name
        assert not torch.equal(x, z), f"{name} did not train"


def test_the_divergence_is_that_of_two_gaussians_and_its_gradient_draws_to_the_prior() -> None:
    mean = torch.randn(2, 3, 4, 4).requires_grad_()
    normal = torch.distributions.Normal
    by_hand = torch.distributions.kl_divergence(normal(mean, torch.ones(())), normal(torch.zeros(()), torch.ones(())))
    assert torch.allclose(divergence(mean), by_hand.mean())
    divergence(mean).backward()
    assert torch.allclose(mean.grad, mean / mean.numel())  # type: ignore[arg-type]


def test_a_code_is_drawn_around_its_mean_with_unit_variance() -> None:
    codes = drawn(torch.full((1, 100_000), 3.0))
    assert codes.mean().item() == pytest.approx(3, abs=0.02)
    assert codes.std().item() == pytest.approx(1, abs=0.02)


def test_each_turn_moves_its_player_and_what_is_shared_moves_once() -> None:
    told = settings(players={"generators": {"kind": "sgd", "lr": 1e-3}})
    model = model_of(told)
    players = model.players(told)
    owned = [id(p) for p in players["generators"].parameters()]
    assert len(owned) == len(set(owned))
    assert {id(p) for player in players.values() for p in player.parameters()} == {id(p) for p in model.parameters()}
    before, game = copy.deepcopy(model), Game(players)
    with game.turn("discriminators"):
        assert not any(p.requires_grad for name in CODERS for p in getattr(model, name).parameters())
    model.adversarial(iter(sides(1)), game)
    assert all(not torch.equal(x, y) for x, y in zip(model.parameters(), before.parameters(), strict=True))
    assert game.log.keys() == {
        "generators/kl", "generators/reconstruction", "generators/adversarial", "generators/cycle_kl",
        "generators/cycle", "discriminators/a", "discriminators/b",
    }  # fmt: skip


# ---- one code


def test_pictures_of_one_side_teach_the_shared_layers_of_the_other() -> None:
    model = model_of(settings())
    x = sides(1)[0][0]
    (model.decode_a(model.encode_a(x)) - x).abs().mean().backward()
    for shared in (model.encode_b.shared, model.decode_b.shared):
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in shared.parameters() if p.ndim == 4)
    assert all(p.grad is None for p in model.encode_b.own.parameters())


def test_averaged_directions_hold_the_same_shared_weights() -> None:
    told = settings()
    model = model_of(told)
    game, ema = Game(model.players(told)), Ema(model.product(), 0.9)
    for batch in sides(2):
        model.adversarial(iter([batch]), game)
        ema.update()
    there, back = ema.networks["a2b"], ema.networks["b2a"]
    for x, y in zip(there.encode.shared.parameters(), back.encode.shared.parameters(), strict=True):
        assert torch.equal(x, y)


def test_a_translation_has_no_noise_in_training_mode_or_out_of_it() -> None:
    way, x = model_of(settings()).product()["a2b"], sides(1)[0][0]
    assert torch.equal(way(x), way(x))
    assert torch.allclose(way(x), way.eval()(x), atol=1e-3)


# ---- the recipe and the run


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"generator": {"kind": "unit", "blocks": 1, "shared": 2}}, "shared: 2 of 1 blocks"),
        ({"generator": {"kind": "resnet"}}, "generator"),
        ({"weights": {"cycel": 1}}, "Did you mean cycle"),
        ({"data": {"layout": "paired"}}, "layout"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        settings(**changes)


def test_the_defaults_are_the_paper_s() -> None:
    """Liu et al. 2017, section 4; optimiser and depths as in the authors' code of that year."""
    told: Any = recipe.build({k: v for k, v in tree().items() if k not in ("generator", "discriminator")}, "test")
    w, g, p = told.weights, told.generator, told.players.generators
    assert (w.adversarial, w.kl, w.reconstruction, w.cycle_kl, w.cycle) == (10, 0.1, 100, 0.1, 100)
    assert (g.blocks, g.shared, g.width) == (4, 1, 64)
    assert (p.lr, p.betas, p.weight_decay, told.loss) == (1e-4, (0.5, 0.999), 1e-4, "non-saturating")


def test_sides_of_different_channels_are_translated() -> None:
    told = settings(data={"channels": {"a": 1, "b": 3}})
    model = model_of(told)
    model.adversarial(iter([(torch.rand(2, 1, 16, 16), torch.rand(2, 3, 16, 16))]), Game(model.players(told)))
    ways = model.product()
    assert [(way.inputs, way.outputs) for way in ways.values()] == [(1, 3), (3, 1)]
    assert ways["a2b"](torch.rand(1, 1, 16, 16)).shape == (1, 3, 16, 16)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder(tmp_path_factory.mktemp("data") / "pictures", splits=("train", "val", "test"))


def test_parts_of_a_batch_and_two_ranks_move_like_one() -> None:
    player = {"kind": "sgd", "lr": 1e-2}
    players = {"generators": player, "discriminators": player}
    assert_parts_and_ranks_move_like_one(tree(batch=4, players=players, weights=ALIKE))


def test_a_resumed_run_is_exact(pictures: Path, tmp_path: Path) -> None:
    changes = {"data": {"root": str(pictures)}, "ema": 0.9, "save_every": 1, "validate_every": None, "log": []}
    assert_resume_is_exact(settings(**changes), tmp_path)


def test_a_model_is_kept_scored_and_exported_in_both_directions(pictures: Path, tmp_path: Path) -> None:
    assert_file_scores_and_export(settings(data={"root": str(pictures)}), tmp_path, ["a2b", "b2a"])

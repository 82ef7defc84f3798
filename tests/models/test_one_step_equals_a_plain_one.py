"""Training steps of the shipped models against steps written plainly: own optimisers, zero_grad, backward, detach.

Three consecutive steps, so that optimiser state and history count. The plain side shares networks' code and initial
weights with ours, and nothing of the engine or of i2i's losses. Adam is the field's optimiser and has a state; SGD sees
what Adam hides, the scale of a loss.
"""

import copy
import itertools

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from i2i import recipe
from i2i.engine.game import Game
from i2i.models import MODELS

from .helpers import tiny

STEPS = 3


def model_of(settings) -> nn.Module:
    torch.manual_seed(0)
    return MODELS[type(settings)](settings)


def batches() -> list[tuple[Tensor, Tensor]]:
    return [(torch.rand(2, 3, 16, 16) * 2 - 1, torch.rand(2, 3, 16, 16) * 2 - 1) for _ in range(STEPS)]


def ours(settings, data) -> nn.Module:
    model = model_of(settings)
    game = Game(model.players(settings))
    stream = iter(data)
    for step in range(STEPS):
        torch.manual_seed(step)
        model.adversarial(stream, game)
    return model


OPTIMISERS = {
    "adam": ({"kind": "adam", "lr": 2e-4}, lambda p: torch.optim.Adam(p, lr=2e-4, betas=(0.5, 0.999))),
    "sgd": ({"kind": "sgd", "lr": 0.01, "momentum": 0.5}, lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.5)),
}


def optimiser(kind: str, *nets: nn.Module) -> torch.optim.Optimizer:
    return OPTIMISERS[kind][1](itertools.chain(*(net.parameters() for net in nets)))


def assert_equal(a: nn.Module, b: nn.Module, start: nn.Module) -> None:
    for (name, x), y, z in zip(a.named_parameters(), b.parameters(), start.parameters(), strict=True):
        assert (x - y).abs().max() <= 1e-6, name
        assert (x - z).abs().max() > 1e-5, f"{name} did not train"


def bce(logits: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


@pytest.mark.parametrize("kind", OPTIMISERS)
def test_pix2pix(tmp_path, kind):
    players = {"generator": OPTIMISERS[kind][0], "discriminator": OPTIMISERS[kind][0]}
    settings = tiny("pix2pix", tmp_path, players=players)
    data, start = batches(), model_of(settings)
    model = copy.deepcopy(start)
    g, d = model.generator, model.judge
    g_optimiser, d_optimiser = optimiser(kind, g), optimiser(kind, d)
    for step, (a, b) in enumerate(data):
        torch.manual_seed(step)  # the generator's dropout
        fake = g(a)
        d_optimiser.zero_grad()
        d_loss = 0.5 * (bce(d(torch.cat([a, b], 1)), 1.0) + bce(d(torch.cat([a, fake.detach()], 1)), 0.0))
        d_loss.backward()
        d_optimiser.step()
        g_optimiser.zero_grad()
        g_loss = bce(d(torch.cat([a, fake], 1)), 1.0) + 100 * (fake - b).abs().mean()
        g_loss.backward()
        g_optimiser.step()
    assert_equal(ours(settings, data), model, start)


class Pool:
    """Zhu et al. 2017, section 4, in the words of the paper's code."""

    def __init__(self, size: int) -> None:
        self.size, self.pictures = size, []

    def query(self, fakes: Tensor) -> Tensor:
        if self.size == 0:
            return fakes.detach()
        out = []
        for fake in fakes.detach():
            if len(self.pictures) < self.size:
                self.pictures.append(fake)
                out.append(fake)
            elif torch.rand(()).item() < 0.5:
                k = int(torch.randint(self.size, ()))
                out.append(self.pictures[k])
                self.pictures[k] = fake
            else:
                out.append(fake)
        return torch.stack(out)


@pytest.mark.parametrize("kind", OPTIMISERS)
@pytest.mark.parametrize("history", [0, 3])
def test_cyclegan(tmp_path, history, kind):
    players = {"generators": OPTIMISERS[kind][0], "discriminators": OPTIMISERS[kind][0]}
    settings = tiny("cyclegan", tmp_path, history=history, players=players)
    data, start = batches(), model_of(settings)
    model = copy.deepcopy(start)
    ab, ba, d_a, d_b = model.ab, model.ba, model.judge_a, model.judge_b
    g_optimiser, d_optimiser = optimiser(kind, ab, ba), optimiser(kind, d_a, d_b)
    pool_a, pool_b = Pool(history), Pool(history)
    used_the_past = 0
    for step, (a, b) in enumerate(data):
        torch.manual_seed(step)
        fake_b, fake_a = ab(a), ba(b)
        g_optimiser.zero_grad()
        g_loss = (d_b(fake_b) - 1).pow(2).mean() + (d_a(fake_a) - 1).pow(2).mean()
        g_loss = g_loss + 10 * ((ba(fake_b) - a).abs().mean() + (ab(fake_a) - b).abs().mean())
        g_loss = g_loss + 5 * ((ba(a) - a).abs().mean() + (ab(b) - b).abs().mean())
        g_loss.backward()
        g_optimiser.step()
        old_a, old_b = pool_a.query(fake_a), pool_b.query(fake_b)
        used_the_past += not torch.equal(old_a, fake_a) or not torch.equal(old_b, fake_b)
        d_optimiser.zero_grad()  # also of what G's backward has left there
        d_loss = 0.5 * ((d_a(a) - 1).pow(2).mean() + d_a(old_a).pow(2).mean())
        d_loss = d_loss + 0.5 * ((d_b(b) - 1).pow(2).mean() + d_b(old_b).pow(2).mean())
        d_loss.backward()
        d_optimiser.step()
    assert (used_the_past > 0) == (history > 0)
    assert_equal(ours(settings, data), model, start)


def test_a_gan_with_two_discriminator_steps():
    """The discriminator's batches, in their order, and fresh noise for every turn."""
    settings = recipe.build(
        {
            "model": "gan", "k": 2, "data": {"layout": "mixture"}, "schedule": [{"phase": "adversarial", "steps": 1}],
            "generator": {"kind": "mlp", "noise": 3, "width": 8}, "discriminator": {"kind": "mlp", "width": 8},
        },
        "test",
    )  # fmt: skip
    data, start = [torch.randn(16, 2) for _ in range(2 * STEPS)], model_of(settings)
    model = copy.deepcopy(start)
    g, d = model.generator, model.judge
    g_optimiser, d_optimiser = optimiser("adam", g), optimiser("adam", d)
    for step in range(STEPS):
        torch.manual_seed(step)
        for x in data[2 * step : 2 * step + 2]:
            d_optimiser.zero_grad()
            (bce(d(x), 1.0) + bce(d(g(torch.randn(16, 3)).detach()), 0.0)).backward()
            d_optimiser.step()
        g_optimiser.zero_grad()
        bce(d(g(torch.randn(16, 3))), 1.0).backward()
        g_optimiser.step()
    assert_equal(ours(settings, data), model, start)

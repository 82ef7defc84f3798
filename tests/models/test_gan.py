"""The theory of the first GAN (Goodfellow et al. 2014, section 4), as an experiment on the engine and the rules."""

import pytest
import torch
from torch import Tensor

from i2i import recipe
from i2i.engine.game import Game, Player
from i2i.engine.schedule import Phase
from i2i.losses import rule
from i2i.models import MODELS
from i2i.nets import MLP

DATA, FAKES = torch.distributions.Normal(0.0, 1.0), torch.distributions.Normal(1.0, 1.5)  # G is fixed: only D plays


def verdict(name: str, smooth: float, steps: int, flip: bool = False) -> Tensor:
    """How far D's verdict on [-3, 4] is from what it was shown: |D - smooth · p_data / (p_data + p_g)|."""
    judge = MLP(1, 1, 64, 2, "tanh")  # torch's own initial biases: with zeros every unit would turn at x = 0
    player = Player(torch.optim.Adam(judge.parameters(), lr=1e-2, betas=(0.9, 0.99), foreach=True))
    game, terms, cooling = Game({"judge": player}), rule(name, smooth), Phase(phase="x", steps=steps, lr="cosine")
    for step in range(steps):
        game.set_rate(cooling.rate(step, steps))
        real, fake = DATA.sample((1024, 1)), FAKES.sample((1024, 1))
        if flip:
            real, fake = fake, real
        with game.turn("judge") as turn:
            turn.minimise(real=terms.real(judge(real)), fake=terms.fake(judge(fake)))
    x = torch.linspace(-3, 4, 200)
    with torch.no_grad():
        logits = judge(x[:, None])[:, 0]
    share = DATA.log_prob(x).exp() / (DATA.log_prob(x).exp() + FAKES.log_prob(x).exp())
    return ((logits if name == "least-squares" else logits.sigmoid()) - smooth * share).abs()


# 4 s each on 1 thread of a shared 2-core machine. Measured mean and largest errors, in this order:
# .0025 .0178, .0022 .0159, .0021 .0087, .0018 .0069.
@pytest.mark.parametrize(
    ("name", "smooth"),
    [("non-saturating", 1.0), ("non-saturating", 0.9), ("least-squares", 1.0), ("least-squares", 0.9)],
)
def test_against_a_fixed_generator_the_discriminator_learns_the_share_of_real_data(name, smooth):
    """Proposition 1: D*(x) = p_data / (p_data + p_g); with a real target of .9 it is .9 of that; least squares too."""
    error = verdict(name, smooth, steps=1500)
    print(f"{name} {smooth}: mean {error.mean():.4f}, max {error.max():.4f}")
    assert error.mean() < 0.01
    assert error.max() < 0.04


def test_a_mistake_of_sign_or_label_would_miss_by_far():
    assert verdict("non-saturating", 1.0, steps=300, flip=True).max() > 0.3
    assert verdict("non-saturating", 1.0, steps=300).max() < 0.1


def gan(**changes):
    tree = {
        "model": "gan",
        "data": {"layout": "mixture"},
        "generator": {"kind": "mlp", "noise": 3, "width": 16},
        "discriminator": {"kind": "mlp", "width": 16},
        "schedule": [{"phase": "adversarial", "steps": 1}],
        **changes,
    }
    settings = recipe.build(tree, "test")
    model = MODELS[type(settings)](settings)
    return settings, model, Game(model.players(settings))


def steps_of(game: Game) -> dict[str, int]:
    return {name: int(next(iter(p.optimiser.state.values()))["step"]) for name, p in game.players.items()}


def test_k_is_the_number_of_discriminator_steps_each_on_a_batch_of_its_own():
    _, model, game = gan(k=3)
    batches = iter([torch.randn(8, 2) for _ in range(3)])
    model.adversarial(batches, game)
    assert steps_of(game) == {"generator": 1, "discriminator": 3}
    with pytest.raises(StopIteration):
        next(batches)


def test_simultaneous_play_gives_the_generator_the_discriminator_from_before_its_step():
    moves = {}
    for simultaneous in (False, True):
        torch.manual_seed(0)
        _, model, game = gan(simultaneous=simultaneous, players={"generator": {"kind": "sgd", "lr": 1.0}})
        before = [p.detach().clone() for p in model.generator.parameters()]
        model.adversarial(iter([torch.randn(8, 2)]), game)
        moves[simultaneous] = [a - b for a, b in zip(model.generator.parameters(), before, strict=True)]
        torch.manual_seed(0)
        _, twin, _ = gan()
        x = torch.randn(8, 2)
        twin.draw(x)  # the discriminator's noise
        loss = twin.loss.rule.fool(twin.judge(twin.draw(x)))  # D has not moved
        expected = torch.autograd.grad(loss, list(twin.generator.parameters()))
        close = all(torch.allclose(-g, m, atol=1e-7) for g, m in zip(expected, moves[simultaneous], strict=True))
        assert close == simultaneous


@pytest.mark.parametrize("loss", ["non-saturating", "minimax", "least-squares", "hinge", "wasserstein"])
def test_every_rule_plays(loss):
    _, model, game = gan(loss=loss)
    matrices = [p for p in model.parameters() if p.ndim == 2]  # a constant added to a Wasserstein critic is free
    before = [p.detach().clone() for p in matrices]
    for _ in range(2):
        model.adversarial(iter([torch.randn(8, 2)]), game)
    assert all(value.isfinite() for value in game.log.values())
    assert not any(torch.equal(a, b) for a, b in zip(before, matrices, strict=True))


def test_small_pictures_are_played_for_too():
    tree = {"data": {"layout": "unlabelled", "root": ".", "crop": 4, "channels": 1}}
    settings, model, game = gan(**tree)
    model.adversarial(iter([torch.rand(8, 1, 4, 4) * 2 - 1]), game)
    assert steps_of(game) == {"generator": 1, "discriminator": 1}
    drawn = model.product()["generator"](*model.latent(settings, 5))
    assert drawn.shape == (5, 1, 4, 4)

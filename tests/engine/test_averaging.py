"""Historical averaging: the step of a cost written out, whatever the optimiser, the precision and the play."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from i2i.engine.averaging import MEAN, TIMES, average_history
from i2i.engine.game import Game, Player
from i2i.engine.settings import Optimiser
from i2i.engine.state import pack, unpack
from i2i.errors import UserError
from i2i.spec import Spec

from .helpers import same


def bilinear(weight: float, rate: float = 0.1) -> tuple[dict[str, Tensor], Game]:
    """min over x, max over y of xy, from (1, 1)."""
    at = {name: torch.ones((), dtype=torch.float64, requires_grad=True) for name in "xy"}
    players = {}
    for name, p in at.items():
        optimiser = torch.optim.SGD([p], lr=rate)
        if weight:
            average_history(optimiser, weight)
        players[name] = Player(optimiser)
    return at, Game(players)


def play(at: dict[str, Tensor], game: Game, steps: int) -> float:
    """The radius after so many simultaneous steps."""
    for _ in range(steps):
        with game.simultaneously():
            for name, sign in (("x", 1), ("y", -1)):
                with game.turn(name) as turn:
                    turn.minimise(pays=sign * at["x"] * at["y"])
    return torch.stack(list(at.values())).norm().item()


def test_play_that_spirals_out_comes_home_with_its_history() -> None:
    """Measured: .0045 after 1000 and .0015 after 3000 steps; a weight of 1 is slower, since the mean drags: .47."""
    assert play(*bilinear(0.0), 200) == pytest.approx(2**0.5 * 1.01**100, rel=1e-9)
    assert play(*bilinear(0.1), 1000) < 0.01
    assert play(*bilinear(0.1), 3000) < 0.002
    assert play(*bilinear(1.0), 1000) > 0.1


def test_the_points_are_those_of_the_cost_written_out() -> None:
    """x and y move by gradients of xy ± w (θ - mean of θ[0] ... θ[t])², computed by hand."""
    at, game = bilinear(0.1)
    x = y = 1.0
    past = [(x, y)]
    for _ in range(50):
        play(at, game, 1)
        mean_x, mean_y = (sum(coordinate) / len(past) for coordinate in zip(*past, strict=True))
        x, y = x - 0.1 * (y + 0.2 * (x - mean_x)), y - 0.1 * (-x + 0.2 * (y - mean_y))
        past.append((x, y))
        assert at["x"].item() == pytest.approx(x, abs=1e-12)
        assert at["y"].item() == pytest.approx(y, abs=1e-12)


KINDS: dict[str, Optimiser] = {
    "adam": Optimiser(lr=0.01, historical=0.3),
    "adam, decayed": Optimiser(lr=0.01, historical=0.3, weight_decay=0.1),
    "sgd": Optimiser(kind="sgd", lr=0.05, momentum=0.5, historical=0.3),
}
PLAIN: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "adam": lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.5, 0.999)),
    "adam, decayed": lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.5, 0.999), weight_decay=0.1),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.5),
}


def net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


def data(step: int) -> Tensor:
    return torch.randn(8, 3, generator=torch.Generator().manual_seed(step))


def steps(own: nn.Module, game: Game, first: int, last: int) -> None:
    for step in range(first, last):
        with game.turn("one") as turn:
            turn.minimise(l2=own(data(step)).square().mean())


@pytest.mark.parametrize("kind", KINDS)
def test_a_players_steps_equal_those_of_a_loss_term(kind: str) -> None:
    own, plain = net(), net()
    game, optimiser = Game({"one": KINDS[kind].player(own.parameters())}), PLAIN[kind](plain.parameters())
    steps(own, game, 0, 6)
    means = [p.detach().clone() for p in plain.parameters()]
    for step in range(6):
        optimiser.zero_grad()
        loss = plain(data(step)).square().mean()
        for p, mean in zip(plain.parameters(), means, strict=True):
            loss = loss + 0.3 * (p - mean).square().sum()
        loss.backward()
        optimiser.step()
        for p, mean in zip(plain.parameters(), means, strict=True):
            mean += (p.detach() - mean) / (step + 2)
    for a, b, start in zip(own.parameters(), plain.parameters(), net().parameters(), strict=True):
        assert (a - b).abs().max() <= 1e-6
        assert (a - start).abs().max() > 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_a_resumed_player_remembers_all_of_its_past(kind: str) -> None:
    whole, parts, rest = net(), net(), net()
    games = [Game({"one": KINDS[kind].player(each.parameters())}) for each in (whole, parts, rest)]
    steps(whole, games[0], 0, 6)
    steps(parts, games[1], 0, 3)
    packed = copy.deepcopy(pack(parts, games[1], None))
    unpack(packed, rest, games[2], None)
    steps(rest, games[2], 3, 6)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), rest.parameters(), strict=True))
    assert same(pack(whole, games[0], None)["optimisers"], pack(rest, games[2], None)["optimisers"])


def test_the_average_is_that_of_every_point_from_the_first() -> None:
    own = net()
    player = KINDS["adam"].player(own.parameters())
    game, past = Game({"one": player}), [[p.detach().clone() for p in own.parameters()]]
    for step in range(5):
        steps(own, game, step, step + 1)
        past.append([p.detach().clone() for p in own.parameters()])
    for p, been in zip(own.parameters(), zip(*past, strict=True), strict=True):
        state = player.optimiser.state[p]
        assert torch.allclose(state[MEAN], torch.stack(been).mean(0), atol=1e-6)
        assert state[TIMES] == 6


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_a_step_that_a_scaler_skips_is_not_part_of_the_past(kind: str) -> None:
    own = net()
    player = KINDS[kind].player(own.parameters())
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    before = [p.detach().clone() for p in own.parameters()]
    for step, factor in enumerate((float("inf"), 1.0, float("inf"), 1.0)):  # the very first among them
        player.optimiser.zero_grad()
        scaler.scale(own(data(step)).square().mean() * factor).backward()
        scaler.unscale_(player.optimiser)
        scaler.step(player.optimiser)
        scaler.update()
    for p, start in zip(own.parameters(), before, strict=True):
        state = player.optimiser.state[p]
        assert p.isfinite().all()
        assert state[MEAN].isfinite().all()
        assert state[TIMES] == 3  # the start and two points
        assert not torch.equal(state[MEAN], start)


def test_a_clipped_gradient_is_clipped_before_the_past_pulls() -> None:
    """At rate 1 a step is the gradient: at most 1e-6 of the loss's, and 2w (θ - mean), which is not cut."""
    own = net()
    optimiser = Optimiser(kind="sgd", lr=1.0, clip=1e-6, historical=0.25)
    game = Game({"one": optimiser.player(own.parameters())})
    steps(own, game, 0, 1)
    with torch.no_grad():
        own[0].weight += 1
    moved = own[0].weight.detach().clone()
    steps(own, game, 1, 2)
    assert torch.allclose(moved - own[0].weight, torch.full((4, 3), 0.5), atol=1e-4)


def test_a_parameter_without_a_gradient_has_no_past() -> None:
    own = net()
    player = KINDS["adam"].player(own.parameters())
    game = Game({"one": player})
    own[0].requires_grad_(False)
    steps(own, game, 0, 3)
    assert MEAN not in player.optimiser.state.get(own[0].weight, {})
    own[0].requires_grad_(True)
    steps(own, game, 3, 5)
    assert player.optimiser.state[own[0].weight][TIMES] == 3
    assert player.optimiser.state[own[2].weight][TIMES] == 6


def test_without_a_weight_nothing_is_kept() -> None:
    own = net()
    player = Optimiser().player(own.parameters())
    steps(own, Game({"one": player}), 0, 2)
    assert all(set(state) == {"step", "exp_avg", "exp_avg_sq"} for state in player.optimiser.state.values())


class Asked(Spec):
    player: Optimiser


def test_a_weight_below_nothing_is_refused() -> None:
    with pytest.raises((UserError, ValueError), match="historical"):
        Asked.model_validate({"player": {"historical": -1}})

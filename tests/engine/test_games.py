"""Games with a known answer (Goodfellow et al. 2014 call a GAN one of them): the engine must play them exactly."""

import pytest
import torch
from torch import Tensor

from i2i.engine.game import Game, Player

# ---- min over x, max over y of xy: the equilibrium is the origin, and gradient steps circle it


def bilinear(rate: float = 0.1) -> tuple[dict[str, Tensor], Game]:
    at = {name: torch.ones((), dtype=torch.float64, requires_grad=True) for name in "xy"}
    return at, Game({name: Player(torch.optim.SGD([p], lr=rate)) for name, p in at.items()})


def radius(at: dict[str, Tensor]) -> float:
    return torch.stack(list(at.values())).norm().item()


def test_simultaneous_play_spirals_out_by_the_known_factor():
    """Each step multiplies the radius by √(1 + η²), exactly: (1.01)^100 after 200 steps of η = .1."""
    at, game = bilinear()
    start = radius(at)
    for _ in range(200):
        with game.simultaneously():
            for name, sign in (("x", 1), ("y", -1)):
                with game.turn(name) as turn:
                    turn.minimise(pays=sign * at["x"] * at["y"])
    # The engine sums losses in float32; a gradient of a bilinear loss does not depend on that sum's rounding.
    assert radius(at) / start == pytest.approx(1.01**100, rel=1e-9)


def test_alternating_play_circles_and_its_time_average_is_the_equilibrium():
    at, game = bilinear()
    radii, points = [], []
    for _ in range(1000):
        for name, sign in (("x", 1), ("y", -1)):
            with game.turn(name) as turn:
                turn.minimise(pays=sign * at["x"] * at["y"])
        radii.append(radius(at))
        points.append([p.item() for p in at.values()])
    assert max(radii) / min(radii) < 1.1
    assert torch.tensor(points).mean(dim=0).abs().max() < 0.02


def averaged(weight: float, steps: int) -> float:
    """The radius after play with historical averaging (Salimans et al. 2016, section 3.3): each cost gets
    weight · (θ - mean of all past θ)². A plain loss term; the engine knows nothing of it."""
    at, game = bilinear()
    mean = {name: p.detach().clone() for name, p in at.items()}
    for step in range(1, steps + 1):
        with game.simultaneously():
            for name, sign in (("x", 1), ("y", -1)):
                with game.turn(name) as turn:
                    history = weight * (at[name] - mean[name]).square()
                    turn.minimise(pays=sign * at["x"] * at["y"], history=history)
        for name, p in at.items():
            mean[name] += (p.detach() - mean[name]) / (step + 1)
    return radius(at)


def test_historical_averaging_converges_where_play_without_it_diverges():
    assert averaged(0.1, 1000) < 0.01
    assert averaged(1.0, 1000) > 0.1  # more of it is slower: the mean drags
    assert averaged(0.0, 1000) > 100


# ---- matrix games: players are logits of a mixed strategy

Payoffs = tuple[Tensor, Tensor]  # what row and column gain; (rows, columns) each
Strategies = tuple[Tensor, Tensor]  # probabilities; (rows,) and (columns,)

PENNIES = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
ROCK_PAPER_SCISSORS = torch.tensor([[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]])
# General-sum. Row works or shirks, column trusts or inspects. Work pays 1, unseen shirking 3; trust is worth 2 if row
# works and 0 if not, inspection 1 and 3. Each mixes so that the other is indifferent: 1 = 3q and 2p = p + 3(1 - p).
WORKER = torch.tensor([[1.0, 1.0], [3.0, 0.0]])
INSPECTOR = torch.tensor([[2.0, 1.0], [0.0, 3.0]])
GAMES: dict[str, tuple[Payoffs, Strategies]] = {
    "matching pennies": ((PENNIES, -PENNIES), (torch.tensor([1 / 2, 1 / 2]), torch.tensor([1 / 2, 1 / 2]))),
    "rock, paper, scissors": (
        (ROCK_PAPER_SCISSORS, -ROCK_PAPER_SCISSORS),
        (torch.full((3,), 1 / 3), torch.full((3,), 1 / 3)),
    ),
    "inspection": ((WORKER, INSPECTOR), (torch.tensor([3 / 4, 1 / 4]), torch.tensor([1 / 3, 2 / 3]))),
}


def gains(payoffs: Payoffs, strategies: Strategies) -> tuple[float, float]:
    """What each player would gain by moving alone to a best response."""
    (row, column), (p, q) = payoffs, strategies
    return ((row @ q).max() - p @ row @ q).item(), ((p @ column).max() - p @ column @ q).item()


def is_equilibrium(payoffs: Payoffs, strategies: Strategies, eps: float) -> bool:
    """Nash: nobody gains more than eps by moving alone."""
    return max(gains(payoffs, strategies)) <= eps


@pytest.mark.parametrize("name", GAMES)
def test_the_known_equilibria_are_equilibria_and_pure_play_is_not(name):
    payoffs, strategies = GAMES[name]
    assert is_equilibrium(payoffs, strategies, eps=1e-6)
    rows, columns = payoffs[0].shape
    for i in range(rows):
        for j in range(columns):
            assert not is_equilibrium(payoffs, (torch.eye(rows)[i], torch.eye(columns)[j]), eps=0.02)


@pytest.mark.parametrize("name", GAMES)
def test_averaged_multiplicative_weights_reach_the_known_equilibrium(name):
    """Multiplicative weights are gradient ascent on log-weights of the payoff that each pure strategy would have had.

    Any single moment circles the equilibrium, like xy above; the average over time is what converges.
    """
    (row, column), known = GAMES[name]
    p, q = ((0.5 * torch.arange(n)).requires_grad_() for n in row.shape)  # not the equilibrium itself
    game = Game({"row": Player(torch.optim.SGD([p], lr=0.05)), "column": Player(torch.optim.SGD([q], lr=0.05))})
    sums, steps = [torch.zeros_like(p), torch.zeros_like(q)], 3000
    for _ in range(steps):
        now = p.softmax(0).detach(), q.softmax(0).detach()
        sums = [total + strategy for total, strategy in zip(sums, now, strict=True)]
        with game.simultaneously():
            with game.turn("row") as turn:
                turn.minimise(pays=-(p @ (row @ now[1])))
            with game.turn("column") as turn:
                turn.minimise(pays=-(q @ (now[0] @ column)))
    average = (sums[0] / steps, sums[1] / steps)
    assert is_equilibrium((row, column), average, eps=0.02)
    for reached, true in zip(average, known, strict=True):
        assert (reached - true).abs().max() < 0.02

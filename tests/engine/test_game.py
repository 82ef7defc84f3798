import copy
import warnings

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from i2i.engine.game import Game, NonFinite, Player

from .helpers import adam, log, mlp, same, sgd, state, values, weights


class Pair:
    """A generator of points and its judge, with whatever optimisers a test wants."""

    def __init__(self, make=adam, precision="fp32", **settings) -> None:
        self.generator, self.judge = mlp(2, 8, 2), mlp(2, 8, 1)
        self.players = {"generator": make(self.generator, **settings), "judge": make(self.judge, **settings)}
        self.nets = {"generator": self.generator, "judge": self.judge}
        self.game = Game(self.players, precision)

    def judged(self) -> Tensor:
        return self.judge(self.generator(torch.randn(4, 2))).mean()

    def move(self, name: str) -> None:
        with self.game.turn(name) as turn:
            turn.minimise(loss=self.judged())


# ---- who moves


@pytest.mark.parametrize(("mover", "other"), [("generator", "judge"), ("judge", "generator")])
def test_a_turn_moves_only_its_player(mover, other):
    pair = Pair()
    pair.move("generator"), pair.move("judge")  # both optimisers have a state by now
    for p in pair.nets[other].parameters():
        p.grad = torch.randn_like(p)  # somebody's gradient, to be found as it was left
    before = [weights(pair.nets[other]), values(p.grad for p in pair.nets[other].parameters())]
    before_state, before_mover = state(pair.players[other]), weights(pair.nets[mover])
    pair.move(mover)
    assert same(before, [weights(pair.nets[other]), values(p.grad for p in pair.nets[other].parameters())])
    assert same(before_state, state(pair.players[other]))
    assert not any(torch.equal(b, a) for b, a in zip(before_mover, weights(pair.nets[mover]), strict=True))


def test_inside_a_turn_the_others_are_frozen_and_after_it_they_are_not():
    pair = Pair()
    with pair.game.turn("generator"):
        assert all(p.requires_grad for p in pair.generator.parameters())
        assert not any(p.requires_grad for p in pair.judge.parameters())
    assert all(p.requires_grad for net in pair.nets.values() for p in net.parameters())


class Counted(torch.autograd.Function):
    """The identity; counts how often gradients pass."""

    passes = 0

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        Counted.passes += 1
        return gradient


def test_a_forgotten_detach_leaks_nothing_and_costs_nothing():
    pair, Counted.passes = Pair(), 0
    fake = Counted.apply(pair.generator(torch.randn(4, 2)))  # before the turn, so its graph reaches the generator
    before = weights(pair.generator)
    with pair.game.turn("judge") as turn:
        turn.minimise(fake=pair.judge(fake).mean())
    assert same(before, weights(pair.generator))
    assert all(p.grad is None for p in pair.generator.parameters())
    assert Counted.passes == 0
    with pair.game.turn("generator") as turn:  # the same graph still serves the turn it was made for
        turn.minimise(adversarial=-pair.judge(fake).mean())
    assert Counted.passes == 1
    assert not same(before, weights(pair.generator))


def test_a_shared_parameter_moves_with_whoever_moves():
    shared, left, right = nn.Linear(2, 2), nn.Linear(2, 1), nn.Linear(2, 1)
    game = Game({"left": adam(shared, left), "right": adam(shared, right)})
    for name, mover, other in (("left", left, right), ("right", right, left)):
        before = [weights(shared), weights(mover)]
        still = weights(other)
        with game.turn(name) as turn:
            turn.minimise(loss=(left(shared(torch.ones(1, 2))) + right(shared(torch.ones(1, 2)))).sum())
        assert not same(before[0], weights(shared))
        assert not same(before[1], weights(mover))
        assert same(still, weights(other))


def test_a_network_frozen_on_purpose_stays_frozen_even_under_momentum_and_weight_decay():
    pair = Pair(sgd, lr=0.1, momentum=0.9, weight_decay=0.1)
    pair.move("judge"), pair.move("generator")  # momentum in store
    frozen = pair.judge[0]
    frozen.requires_grad_(False)
    before, others = weights(frozen), weights(pair.judge[2])
    for name in ("judge", "generator", "judge"):
        pair.move(name)
    assert same(before, weights(frozen))
    assert not any(p.requires_grad for p in frozen.parameters())
    assert not same(others, weights(pair.judge[2]))


def test_a_part_that_the_losses_do_not_reach_stays_where_it_is():
    used, idle = nn.Linear(2, 1), nn.Linear(2, 1)
    game = Game({"both": sgd(used, idle, momentum=0.9, weight_decay=0.1)})
    before = weights(idle)
    with game.turn("both") as turn:
        turn.minimise(loss=used(torch.ones(1, 2)).sum())
    assert same(before, weights(idle))


def test_everybody_can_move_again_after_an_exception():
    pair = Pair()
    with pytest.raises(KeyError), pair.game.turn("generator"):
        raise KeyError
    assert all(p.requires_grad for net in pair.nets.values() for p in net.parameters())


# ---- what is descended and what is printed


def test_a_loss_that_is_not_a_scalar_is_an_error_that_names_it_and_moves_nobody():
    pair = Pair()
    before = weights(pair.generator)
    wrong = r"generator\.minimise: loss 'cycle' must be a scalar, got shape \(4, 2\)"
    with pytest.raises(ValueError, match=wrong), pair.game.turn("generator") as turn:
        turn.minimise(fine=pair.judged(), cycle=pair.generator(torch.ones(4, 2)))
    assert same(before, weights(pair.generator))


def test_the_log_names_each_loss_by_its_player_and_holds_no_graph():
    pair = Pair()
    with pair.game.turn("generator") as turn:
        a, b = pair.judged(), 2 * pair.judged()
        turn.minimise(adversarial=a, cycle=b.reshape(1, 1))  # one number of any shape is a scalar
    assert log(pair.game) == {"generator/adversarial": a.item(), "generator/cycle": b.item()}
    assert all(value.shape == () and not value.requires_grad for value in pair.game.log.values())


def test_half_a_loss_is_half_its_gradient_as_well_as_half_its_print():
    """Released Pix2Pix and CycleGAN code prints D's loss / 2 and descends the whole; Adam hides it, SGD does not."""
    steps, prints = [], []
    for weight in (1.0, 0.5):
        torch.manual_seed(0)
        pair = Pair(sgd)
        before = weights(pair.judge)
        with pair.game.turn("judge") as turn:
            turn.minimise(real=weight * pair.judged())
        steps.append([b - a for b, a in zip(before, weights(pair.judge), strict=True)])
        prints.append(log(pair.game)["judge/real"])
    torch.testing.assert_close(steps[1], [step / 2 for step in steps[0]], atol=1e-7, rtol=1e-5)
    assert prints[1] == pytest.approx(prints[0] / 2)


def test_the_sum_of_the_losses_is_descended():
    x = torch.tensor([1.0, 1.0], requires_grad=True)
    game = Game({"x": Player(torch.optim.SGD([x], lr=0.1))})
    with game.turn("x") as turn:
        turn.minimise(first=3 * x[0], second=5 * x[1])
    torch.testing.assert_close(x.detach(), torch.tensor([0.7, 0.5]))


def test_clipping_is_torchs():
    for clip in (0.05, 1e6):  # one that bites, one that does not
        torch.manual_seed(0)
        pair = Pair(sgd)
        pair.players["judge"].clip = clip
        twin, x = copy.deepcopy(pair.judge), torch.randn(4, 2)
        optimiser = torch.optim.SGD(twin.parameters(), lr=1.0)
        twin(x).mean().backward()
        norm = nn.utils.clip_grad_norm_(twin.parameters(), clip)
        optimiser.step()
        with pair.game.turn("judge") as turn:
            turn.minimise(loss=pair.judge(x).mean())
        assert 0.05 < norm < 1e6
        assert same(weights(twin), weights(pair.judge))


def test_a_rate_scales_every_groups_own_base():
    a, b = nn.Linear(1, 1), nn.Linear(1, 1)
    player = Player(torch.optim.Adam([{"params": a.parameters(), "lr": 0.1}, {"params": b.parameters(), "lr": 0.4}]))
    for factor in (0.5, 0.25, 1.0):  # of the base, not of the rate before
        player.set_rate(factor)
        assert [group["lr"] for group in player.optimiser.param_groups] == [0.1 * factor, 0.4 * factor]


# ---- at the same time


def bilinear(start: float = 1.0) -> tuple[Tensor, Tensor, Game]:
    """min over x, max over y of xy."""
    x, y = (torch.tensor([start], dtype=torch.float64, requires_grad=True) for _ in range(2))
    return x, y, Game({"x": Player(torch.optim.SGD([x], lr=0.1)), "y": Player(torch.optim.SGD([y], lr=0.1))})


def test_simultaneous_turns_take_both_gradients_at_the_same_point():
    x, y, game = bilinear()
    with game.simultaneously():
        with game.turn("x") as turn:
            turn.minimise(pays=(x * y).sum())
        assert x.item() == 1.0  # not yet
        with game.turn("y") as turn:
            turn.minimise(pays=-(x * y).sum())
    assert (x.item(), y.item()) == pytest.approx((0.9, 1.1))


def test_alternating_turns_do_not():
    x, y, game = bilinear()
    with game.turn("x") as turn:
        turn.minimise(pays=(x * y).sum())
    with game.turn("y") as turn:
        turn.minimise(pays=-(x * y).sum())
    assert (x.item(), y.item()) == pytest.approx((0.9, 1.09))


def test_a_shared_parameter_gets_both_steps_of_simultaneous_turns():
    x = torch.tensor([1.0], requires_grad=True)
    game = Game({name: Player(torch.optim.SGD([x], lr=0.1)) for name in "ab"})
    with game.simultaneously():
        for name, factor in (("a", 1.0), ("b", 3.0)):
            with game.turn(name) as turn:
                turn.minimise(loss=factor * x)
    assert x.item() == pytest.approx(1 - 0.1 - 0.3)


def test_a_failed_simultaneous_block_moves_nobody_and_the_next_turn_is_an_ordinary_one():
    x, y, game = bilinear()
    with pytest.raises(NonFinite), game.simultaneously():  # noqa: PT012
        with game.turn("x") as turn:
            turn.minimise(pays=(x * y).sum())
        with game.turn("y") as turn:
            turn.minimise(pays=(y * float("nan")).sum())
    assert (x.item(), y.item()) == (1.0, 1.0)
    with game.turn("x") as turn:
        turn.minimise(pays=(x * y).sum())
    assert x.item() == pytest.approx(0.9)


# ---- numbers that are none


@pytest.mark.parametrize(
    ("broken", "named"),
    [
        (lambda x: x.sum() * float("nan"), "broken"),
        (lambda x: x.sum() + float("inf"), "broken"),  # with a finite gradient
        (lambda x: (0 * x).sum().sqrt(), "none"),  # a finite loss with an infinite gradient
    ],
)
def test_a_number_that_is_not_finite_moves_nothing_and_is_named(broken, named):
    pair = Pair()
    pair.move("generator")
    before, before_state = weights(pair.generator, pair.judge), state(pair.players["generator"])
    message = f"generator: .*non-finite losses: {named}"
    with pytest.raises(NonFinite, match=message), pair.game.turn("generator") as turn:
        turn.minimise(fine=pair.judged(), broken=broken(pair.generator(torch.ones(1, 2))))
    assert same(before, weights(pair.generator, pair.judge))
    assert same(before_state, state(pair.players["generator"]))
    assert all(p.grad is None and p.requires_grad for p in pair.generator.parameters())


# ---- half precision


def critic_twice(one_context: bool) -> tuple[list[float], list[Tensor]]:
    """Two turns of one player in bfloat16: in one autocast context, as a phase plays them, or in one each."""
    torch.manual_seed(0)
    critic, x = nn.Linear(4, 1), torch.randn(16, 4)
    game = Game({"critic": sgd(critic, lr=1.0)}, precision="bf16")
    losses = []

    def move() -> None:
        with game.turn("critic") as turn:
            turn.minimise(loss=softplus(critic(x)).mean())
        losses.append(game.log["critic/loss"].item())

    if one_context:
        with game.autocast():
            move(), move(), move()
    else:
        for _ in range(3):
            with game.autocast():
                move()
    return losses, weights(critic)


def test_a_second_turn_in_half_precision_sees_the_weights_of_the_first():
    """Autocast keeps half-precision copies of weights until its context ends, which here is the phase: n_critic 5
    would take five steps from one point."""
    together, apart = critic_twice(True), critic_twice(False)
    assert together[0] == apart[0]
    assert same(together[1], apart[1])
    assert together[0][0] > together[0][1] > together[0][2]


def test_weights_losses_and_steps_stay_float32_in_half_precision():
    pair = Pair(precision="bf16")
    with pair.game.autocast():
        assert pair.judged().dtype == torch.bfloat16
        pair.move("generator")
    assert all(p.dtype == torch.float32 for p in pair.generator.parameters())
    assert pair.game.log["generator/loss"].dtype == torch.float32


def test_scaled_gradients_give_the_unscaled_step():
    steps = []
    for precision in ("fp32", "fp16"):
        torch.manual_seed(0)
        pair = Pair(sgd, precision)  # no autocast around it: the arithmetic is the same, only the scaler is on
        pair.players["judge"].clip = 0.05
        before = weights(pair.judge)
        pair.move("judge")
        steps.append([b - a for b, a in zip(before, weights(pair.judge), strict=True)])
    torch.testing.assert_close(*steps)


def test_an_overflow_skips_that_players_step_and_lowers_that_players_scale_alone():
    pair = Pair(precision="fp16")
    scale = pair.game.scalers["judge"].get_scale()
    before = weights(pair.judge)
    with pair.game.turn("judge") as turn:
        turn.minimise(loss=1e34 * pair.judged())  # finite, but not times the scale
    assert same(before, weights(pair.judge))
    assert pair.game.scalers["judge"].get_scale() == scale / 2
    assert pair.game.scalers["generator"].get_scale() == scale
    pair.move("judge")
    assert not same(before, weights(pair.judge))


def test_a_scaler_does_not_hide_a_loss_that_is_not_a_number():
    pair = Pair(precision="fp16")
    with pytest.raises(NonFinite, match="loss"), pair.game.turn("judge") as turn:
        turn.minimise(loss=pair.judged() * float("nan"))


def test_a_step_in_half_precision_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for precision in ("bf16", "fp16"):
            pair = Pair(precision=precision)
            with pair.game.autocast():
                pair.move("judge"), pair.move("generator")

"""A batch in parts is the batch: the same turns, the same gradients, the same weights afterwards."""

import copy

import pytest
import torch
from torch import nn

from i2i import recipe
from i2i.engine.accumulate import cut, in_parts
from i2i.engine.game import Game, NonFinite
from i2i.models import MODELS

from .helpers import forever, log, mlp, sgd, weights


def settings_of(tiny, model):
    optimiser = {"kind": "sgd", "lr": 0.01}
    names = ("generator", "discriminator") if model == "pix2pix" else ("generators", "discriminators")
    history = {"history": 16} if model == "cyclegan" else {}  # not full: its coin falls in another order in parts
    return recipe.build(tiny(model, batch=4, players=dict.fromkeys(names, optimiser), **history), "test")


def stepped(settings, batch, parts, steps=2):
    torch.manual_seed(0)
    model = MODELS[type(settings)](settings)
    game = Game(model.players(settings))
    for step in range(steps):
        torch.manual_seed(step)
        in_parts(model.adversarial, forever(batch), game, parts)
    return model, log(game)


@pytest.mark.parametrize("parts", [2, 4])
@pytest.mark.parametrize("model", ["pix2pix", "cyclegan"])
def test_parts_of_a_batch_train_like_the_whole(tiny, model, parts):
    settings = settings_of(tiny, model)
    torch.manual_seed(7)
    batch = tuple(torch.rand(4, 3, 16, 16) * 2 - 1 for _ in "ab")
    whole, whole_log = stepped(settings, batch, 1)
    cut_up, cut_log = stepped(settings, batch, parts)
    assert whole_log.keys() == cut_log.keys()
    for name in whole_log:
        assert whole_log[name] == pytest.approx(cut_log[name], rel=1e-5)
    for a, b in zip(whole.parameters(), cut_up.parameters(), strict=True):
        assert (a - b).abs().max() <= 1e-6
    if model == "cyclegan":  # the history has met the same fakes in the same order
        for a, b in zip(whole.past_a.past, cut_up.past_a.past, strict=True):
            assert (a - b).abs().max() <= 1e-5


class Duel:
    """Two players; the second's loss sees the first as it is after its move, as in Pix2Pix."""

    def __init__(self, together=False):
        torch.manual_seed(0)
        self.g, self.d, self.together = mlp(3, 3), mlp(3, 1), together
        self.game = Game({"d": sgd(self.d, lr=0.1), "g": sgd(self.g, lr=0.1)})

    def phase(self, batches, game):
        x = next(batches)
        if self.together:
            with game.simultaneously():
                self.turns(x, game)
        else:
            self.turns(x, game)

    def turns(self, x, game):
        fake = self.g(x)
        with game.turn("d") as turn:
            turn.minimise(real=self.d(x).square().mean(), fake=(self.d(fake.detach()) - 1).square().mean())
        with game.turn("g") as turn:
            turn.minimise(fool=self.d(fake).square().mean())


@pytest.mark.parametrize("together", [False, True])
def test_the_second_turn_meets_a_player_that_has_moved_unless_they_move_together(together):
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(3))
    whole, cut_up, one_by_one = Duel(together), Duel(together), Duel(together)
    in_parts(whole.phase, forever(x), whole.game, 1)
    in_parts(cut_up.phase, forever(x), cut_up.game, 3)
    for part in x.chunk(3):
        one_by_one.phase(forever(part), one_by_one.game)
    ours, theirs, others = (torch.cat([w.flatten() for w in weights(duel.g, duel.d)]) for duel in
                            (cut_up, whole, one_by_one))  # fmt: skip
    assert torch.allclose(ours, theirs, atol=1e-7)
    assert not torch.allclose(ours, others, atol=1e-3)  # three small steps are something else


def test_a_phase_may_draw_several_batches_and_each_is_cut_once():
    drawn = []

    def batches():
        for i in range(99):
            drawn.append(i)
            yield torch.full((4, 1), float(i))

    net, seen = nn.Linear(1, 1), []
    game = Game({"g": sgd(net)})

    def phase(batches, game):
        for _ in range(2):
            x = next(batches)
            seen.append((game.part, x[0].item()))
            with game.turn("g") as turn:
                turn.minimise(loss=net(x).mean())

    in_parts(phase, batches(), game, 2)
    assert drawn == [0, 1]
    assert seen == [(0, 0.0), (1, 0.0), (0, 1.0), (1, 1.0)]
    assert (game.part, game.parts) == (0, 1)


def test_parts_that_take_different_turns_are_refused():
    duel = Duel()

    def uneven(batches, game):
        if next(batches).mean() > 0:
            with game.turn("g") as turn:
                turn.minimise(loss=duel.g(torch.ones(1, 3)).mean())

    with pytest.raises(RuntimeError, match="different turns"):
        in_parts(uneven, forever(torch.tensor([[1.0], [-1.0]])), duel.game, 2)

    def crossed(batches, game):
        name = "g" if next(batches).mean() > 0 else "d"
        with game.turn(name) as turn:
            turn.minimise(loss=getattr(duel, name)(torch.ones(1, 3)).mean())

    with pytest.raises(RuntimeError, match="moves g, another d"):
        in_parts(crossed, forever(torch.tensor([[1.0], [-1.0]])), duel.game, 2)
    assert duel.game.parts == 1
    assert all(p.requires_grad for net in (duel.g, duel.d) for p in net.parameters())


def test_a_part_that_is_not_finite_stops_the_whole_step():
    duel = Duel()
    before = copy.deepcopy(weights(duel.g, duel.d))
    x = torch.ones(4, 3)
    x[3] = torch.nan
    with pytest.raises(NonFinite, match=r"d: .*real, fake"):
        in_parts(duel.phase, forever(x), duel.game, 4)
    assert all(torch.equal(a, b) for a, b in zip(before, weights(duel.g, duel.d), strict=True))
    assert all(p.requires_grad for p in duel.g.parameters())


def test_batches_are_cut_in_equal_parts_or_not_at_all():
    parts = cut((torch.arange(4), torch.arange(4) * 10), 2)
    assert [[side.tolist() for side in part] for part in parts] == [[[0, 1], [0, 10]], [[2, 3], [20, 30]]]
    with pytest.raises(ValueError, match="a batch of 4 cannot be cut into 3"):
        cut(torch.arange(4), 3)

"""Between processes: the same gradients as one process has, the same decisions, and an end when one is lost."""

import os
import signal
import time
from itertools import count

import pytest
import torch
import torch.distributed as dist
from together import Raised, together
from torch import nn

from i2i import recipe
from i2i.engine.accumulate import in_parts
from i2i.engine.game import Game, NonFinite
from i2i.engine.loop import play
from i2i.engine.ranks import Ranks, digest, from_torchrun, join
from i2i.engine.schedule import Phase
from i2i.errors import UserError
from i2i.models import MODELS

from .helpers import adam, forever, log, sgd

ALONE = Ranks()
CPU = torch.device("cpu")


# One flat all-reduce a turn


def averaged(ranks):
    gradients = [torch.full((2, 2), float(ranks.rank)), torch.tensor(10.0 * ranks.rank)]
    (square, single), values = ranks.average(gradients, torch.tensor([1.0, ranks.rank * 4.0]))
    return square.tolist(), single.item(), values.tolist()


def test_the_average_is_the_mean_over_the_ranks_in_the_shapes_it_was_given():
    for answer in together(2, averaged):
        assert answer == ([[0.5, 0.5], [0.5, 0.5]], 5.0, [1.0, 2.0])
    assert averaged(ALONE) == ([[0.0, 0.0], [0.0, 0.0]], 0.0, [1.0, 0.0])


def tree_of(tiny, model, kind="sgd", **changes):
    names = ("generator", "discriminator") if model == "pix2pix" else ("generators", "discriminators")
    history = {"history": 16} if model == "cyclegan" else {}  # not full: its coin is each rank's own
    return tiny(model, batch=8, players={name: {"kind": kind, "lr": 0.01} for name in names}, **(history | changes))


def trained(ranks, tree, parts, steps):
    """The losses and weights after some steps on this rank's share of a batch, and what was reduced."""
    settings = recipe.build(tree, "test")
    torch.manual_seed(0)
    model = MODELS[type(settings)](settings)
    game = Game(model.players(settings), ranks=ranks)
    whole = torch.rand(2, 8, 3, 16, 16, generator=torch.Generator().manual_seed(7)) * 2 - 1
    share = 8 // ranks.world
    batch = tuple(side[ranks.rank * share : (ranks.rank + 1) * share] for side in whole)
    sizes, reduce = [], dist.all_reduce

    def counted(tensor):
        sizes.append(tensor.numel())
        return reduce(tensor)

    dist.all_reduce = counted
    try:
        for _ in range(steps):
            in_parts(model.adversarial, forever(batch), game, parts)
    finally:
        dist.all_reduce = reduce
    movers = [sum(p.numel() for p in player.parameters()) for player in game.players.values()]
    return log(game), [p.detach() for p in model.parameters()], sizes, movers


def assert_like_one_process(tree, world, parts, model):
    whole_log, whole, _, _ = trained(ALONE, tree, 1, 2)
    for ours_log, ours, sizes, movers in together(world, trained, tree, parts, 2):
        assert ours_log.keys() == whole_log.keys()
        for name in whole_log:
            assert ours_log[name] == pytest.approx(whole_log[name], rel=1e-5, abs=1e-6)
        for a, b in zip(ours, whole, strict=True):
            assert (a - b).abs().max() <= 1e-6
        # A turn is one all-reduce: its gradients, its losses, a wish to stop.
        losses = {"pix2pix": [2, 2], "cyclegan": [3, 2]}[model]
        turns = [gradients + k + 1 for gradients, k in zip(movers, losses, strict=True)]
        assert sorted(sizes) == sorted(turns * 2)


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("model", ["pix2pix", "cyclegan"])
def test_two_processes_move_like_one_by_one_all_reduce_a_turn(tiny, model, parts):
    assert_like_one_process(tree_of(tiny, model), 2, parts, model)


@pytest.mark.slow
@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("model", ["pix2pix", "cyclegan"])
def test_four_processes_move_like_one(tiny, model, parts):
    assert_like_one_process(tree_of(tiny, model), 4, parts, model)


def fingerprint(ranks, tree, steps):
    _, weights, _, _ = trained(ranks, tree, 1, steps)
    ranks.check_equal(weights)
    return digest(weights)


@pytest.mark.parametrize("model", ["pix2pix", "cyclegan"])
def test_ranks_hold_the_same_weights_bit_for_bit_whatever_they_were_shown(tiny, model):
    changes = {"history": 2} if model == "cyclegan" else {}  # full: each rank's discriminators see another past
    tree = tree_of(tiny, model, "adam", **changes)
    tree["discriminator"]["norm"] = "batch"  # running statistics are each rank's own, and no weights
    first, second = together(2, fingerprint, tree, 4)
    assert first == second
    assert isinstance(first, str)


# Noise


class Noise:
    def __init__(self):
        self.net, self.drawn = nn.Linear(1, 1), []

    def adversarial(self, batches, game):
        self.drawn.append(torch.rand(4).tolist())


def noise(ranks, seed, done):
    model = Noise()
    game = Game({"g": sgd(model.net)}, ranks=ranks)
    play(model, game, [Phase(phase="adversarial", steps=4)], count(), epoch_length=1, seed=seed, done=done)
    return model.drawn


def test_each_rank_draws_its_own_noise_and_the_same_at_the_same_step():
    one, other = together(2, noise, 0, 0)
    assert not {tuple(drawn) for drawn in one} & {tuple(drawn) for drawn in other}
    assert [drawn[2:] for drawn in (one, other)] == together(2, noise, 0, 2)  # resumed at step 2
    assert noise(ALONE, 0, 0) == one
    assert noise(ALONE, 1, 0) != one


# Not finite


def poisoned(ranks, case, precision):
    """Four turns; in the second, rank 1 (and in `infinities` rank 0 too) has what is not finite."""
    torch.manual_seed(0)
    net = nn.Linear(3, 1)
    game = Game({"g": adam(net)}, precision, ranks=ranks)
    told = []
    for turn_number in range(4):
        before = digest(net.parameters())
        loss = net(torch.randn(2, 3)).square().mean()
        if turn_number == 1 and (ranks.rank == 1 or case == "infinities"):
            loss = (
                loss
                + {
                    "loss": torch.tensor(torch.nan),
                    "infinities": torch.tensor(torch.inf) * (1 - 2 * ranks.rank),  # +∞ and -∞
                    "infinity": torch.tensor(torch.inf),
                    "gradient": (loss * 0).sqrt(),  # 0, but its gradient is ∞ · 0
                }[case]
            )
        said = ""
        try:
            with game.turn("g") as turn:
                turn.minimise(fit=loss)
        except NonFinite as error:
            said = str(error)
        told.append((said, digest(net.parameters()) != before))
    return told, digest(net.parameters()), game.scalers["g"].get_scale()


@pytest.mark.parametrize("case", ["loss", "infinity", "infinities", "gradient"])
def test_what_is_not_finite_on_one_rank_moves_none_and_all_say_so_in_the_same_turn(case):
    for told, weights, _ in (answers := together(2, poisoned, case, "fp32")):
        assert [bool(said) for said, _ in told] == [False, True, False, False]
        assert [moved for _, moved in told] == [True, False, True, True]
        assert told[1][0].startswith("g: gradient norm")
        assert ("none" if case == "gradient" else "fit") in told[1][0].split("losses: ")[1]
        assert weights == answers[0][1]


def test_an_overflow_of_one_ranks_half_precision_gradients_is_skipped_by_all_alike():
    for told, weights, scale in (answers := together(2, poisoned, "gradient", "fp16")):
        assert [said for said, _ in told] == [""] * 4
        assert [moved for _, moved in told] == [True, False, True, True]
        assert (weights, scale) == answers[0][1:]


# Decisions


def wishing(ranks):
    net = nn.Linear(1, 1)
    game, seen = Game({"g": sgd(net)}, ranks=ranks), []
    for turn_number in range(4):
        game.stop = ranks.rank == 1 and turn_number == 2
        with game.turn("g") as turn:
            turn.minimise(loss=net(torch.ones(1, 1)).mean())
        seen.append(game.stopping)
    return seen


def test_a_wish_of_one_rank_to_stop_is_known_to_all_in_the_same_turn():
    assert together(2, wishing) == [[False, False, True, False]] * 2


def compared(ranks, change):
    weights = [torch.zeros(3), torch.ones(2, 2)]
    weights[1][0, 1] += change * ranks.rank
    ranks.check_equal(weights)


def test_weights_that_differ_in_one_bit_are_found_by_every_rank():
    assert together(2, compared, 0.0) == [None, None]
    for raised in together(2, compared, 2**-23):
        assert raised.kind == "RuntimeError"
        assert "have diverged" in raised.text


def exchanged(ranks):
    return ranks.gathered({"rank": ranks.rank, "past": [torch.ones(2)] * ranks.rank}), ranks.everywhere(ranks.rank * 2)


def test_gathering_brings_everything_to_rank_0_and_everywhere_brings_it_to_all():
    (gathered, everywhere), other = together(2, exchanged)
    assert [thing["rank"] for thing in gathered] == [0, 1]
    assert [len(thing["past"]) for thing in gathered] == [0, 1]
    assert everywhere == [0, 2]
    assert other == ([], [0, 2])
    alone, _ = exchanged(ALONE)
    assert [thing["rank"] for thing in alone] == [0]


def test_a_digest_tells_every_bit_and_no_more():
    x = torch.arange(6.0).reshape(2, 3)
    assert digest([x]) == digest([x.clone()])
    assert digest([x.t()]) != digest([x])  # laid out as it is read
    changed = x.clone()
    changed.view(torch.int32)[0, 0] ^= 1
    assert digest([changed]) != digest([x])
    assert digest([x.bfloat16(), nn.Parameter(x)]) == digest([x.bfloat16(), x])


# Somebody is lost


def abandoned(ranks, how):
    ranks.average([torch.ones(3)], torch.ones(1))
    if ranks.rank == 1:
        if how == "hangs":
            time.sleep(60)
        raise KeyError("an end of its own")
    began = time.monotonic()
    try:
        ranks.average([torch.ones(3)], torch.ones(1))
    except UserError as error:
        return str(error), time.monotonic() - began
    return None


def test_a_rank_that_hangs_is_given_up_after_the_timeout_in_words():
    (said, seconds), _ = together(2, abandoned, "hangs", timeout=2, wait_for=[0])
    assert 1.9 < seconds < 20
    assert said.startswith(
        "Process 0 of 2 (counted from 0) has waited for the others as long as the recipe's `timeout`"
    )
    assert "--set timeout=" in said
    assert "goes on from the last saved state" in said


def test_a_rank_that_is_gone_ends_the_others_at_once():
    (said, seconds), own = together(2, abandoned, "goes", timeout=60)
    assert seconds < 20
    assert "Process 0 of 2 (counted from 0) has lost another one (" in said
    assert "GLHF" not in said
    assert own == Raised("KeyError", "'an end of its own'")


def killed_once(ranks, again):
    if ranks.rank == 1 and not again:
        os.kill(os.getpid(), signal.SIGKILL)
    return averaged(ranks)


def test_processes_that_are_started_again_meet_in_the_store_that_outlived_the_first_ones():
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # torchrun's
    lost, dead = together(2, killed_once, False, store=store)
    assert (lost.kind, dead.kind) == ("UserError", "died")
    assert together(2, killed_once, True, store=store) == [([[0.5, 0.5], [0.5, 0.5]], 5.0, [1.0, 2.0])] * 2
    assert len(together(3, exchanged, store=store)[2][1]) == 3  # and when their number has changed


def test_processes_that_cannot_meet_are_told_so(monkeypatch):
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r"Process 0 of 2 .* could not meet the others \(.*torchrun"):
        join(CPU, 1)
    assert not dist.is_initialized()
    monkeypatch.delenv("MASTER_ADDR")
    with pytest.raises(UserError, match=r"could not meet the others \(.*MASTER_ADDR"):
        join(CPU, 1)


def test_a_process_that_was_started_by_hand_is_alone(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert join(CPU, 1) == from_torchrun() == ALONE
    assert not dist.is_initialized()
    for name, value in {"RANK": "11", "WORLD_SIZE": "16", "LOCAL_RANK": "3"}.items():
        monkeypatch.setenv(name, value)
    assert from_torchrun() == Ranks(11, 16, 3)
    assert not from_torchrun().first

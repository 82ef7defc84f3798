import itertools
import types

import pytest
import torch
from torch import nn

from i2i.engine import tuning
from i2i.engine.accumulate import in_parts
from i2i.engine.estimate import Estimate, advice, batch_statistics, choose, estimate
from i2i.engine.game import Game, Player
from i2i.engine.history import History
from i2i.engine.memory import Peak
from i2i.engine.schedule import Phase
from i2i.engine.settings import Settings
from i2i.errors import UserError
from i2i.nets import PatchGAN, Resnet, UNet, initialise

CPU, CROP, MIB = torch.device("cpu"), 32, 2**20


def settings(**changes) -> Settings:
    """Settings need no data here; `model_construct` builds them without."""
    defaults = {"seed": 0, "batch": 6, "schedule": (Phase(phase="adversarial", steps=1),), "data": None}
    return Settings.model_construct(**{**defaults, "model": "test", **changes})


class Model(nn.Module):
    """Pix2Pix's turns or CycleGAN's, small; the optimisers' own needs are the larger the smaller the batch."""

    def __init__(self, unpaired, width=8):
        super().__init__()
        self.unpaired = unpaired
        self.g = initialise(Resnet(3, 3, 2, width) if unpaired else UNet(3, 3, 4, width, norm="instance-affine"))
        self.d = initialise(PatchGAN(3, 2, width))
        self.past = History(10)

    def product(self):
        return {"g": self.g}

    def adversarial(self, batches, game):
        a, b = next(batches)
        fake = self.g(a)
        if not self.unpaired:
            with game.turn("d") as turn:
                turn.minimise(real=(self.d(b) - 1).square().mean(), fake=self.d(fake.detach()).square().mean())
        with game.turn("g") as turn:
            turn.minimise(fool=(self.d(fake) - 1).square().mean(), l1=(fake - b).abs().mean())
        if self.unpaired:
            with game.turn("d") as turn:
                old = self.past.mix(fake)
                turn.minimise(real=(self.d(b) - 1).square().mean(), fake=self.d(old).square().mean())


def builder(unpaired, width=8):
    def build(settings):
        model = Model(unpaired, width)
        tuning.prepare(model, settings, CPU)
        adam = {name: Player(torch.optim.Adam(net.parameters(), fused=True)) for name, net in model.named_children()
                if name != "past"}  # fmt: skip
        return model, Game(adam, settings.precision)

    return build


def pictures(n):
    return torch.zeros(n, 3, CROP, CROP).uniform_(-1, 1), torch.zeros(n, 3, CROP, CROP).uniform_(-1, 1)


def real_peak(settings, build):
    model, game = build(settings)
    batch = pictures(settings.batch)

    def step():
        with game.autocast():
            in_parts(model.adversarial, itertools.repeat(batch), game, settings.accumulate)

    step()
    step()
    with Peak(CPU) as peak:
        step()
    return peak.before + peak.bytes


@pytest.mark.parametrize(
    ("unpaired", "width", "changes"),
    [
        (False, 4, {}),
        (True, 4, {"recompute": True, "accumulate": 2}),
        (True, 24, {}),  # in its small batches the optimisers' step is the peak
        (False, 24, {"batch": 17}),
        (True, 8, {"batch": 1}),
        (False, 8, {"precision": "bf16", "recompute": True}),
    ],
)
def test_the_estimate_is_what_the_step_then_takes(unpaired, width, changes):
    build, wanted = builder(unpaired, width), settings(**changes)
    found = estimate(wanted, CPU, build, pictures)
    assert found.bytes - found.held["history"] == pytest.approx(real_peak(wanted, build), rel=0.05)


def test_an_estimate_for_another_batch_is_that_of_the_other_batch():
    build = builder(unpaired=True)
    at_6 = estimate(settings(batch=6), CPU, build, pictures)
    at_3 = estimate(settings(batch=3), CPU, build, pictures)
    assert at_6.at(3) == pytest.approx(at_3.bytes, rel=0.02)


def test_an_estimate_adds_up_and_knows_what_is_held():
    model = Model(unpaired=True)
    weights = sum(p.nbytes for p in model.parameters())
    found = estimate(settings(ema=0.9), CPU, builder(unpaired=True), pictures, epoch_length=10)
    assert sum(found.parts.values()) == found.bytes
    assert found.held["weights"] == weights
    assert found.held["optimisers"] == pytest.approx(2 * weights, rel=0.01)  # Adam's two averages
    assert found.held["averages"] == sum(p.nbytes for p in model.g.parameters())
    assert found.held["history"] == 10 * 3 * CROP * CROP * 4
    assert found.seconds_per_epoch == pytest.approx(10 * found.seconds_per_step)
    assert found.fits()
    assert "MiB" in str(found)


def test_estimating_leaves_the_random_numbers_of_the_run_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    estimate(settings(), CPU, builder(unpaired=True), pictures)
    assert torch.equal(before, torch.get_rng_state())


def test_the_dearest_phase_counts():
    class TwoPhases(Model):
        def warm(self, batches, game):
            a, b = next(batches)
            with game.turn("g") as turn:
                turn.minimise(l1=(self.g(a) - b).abs().mean())

    def build(_):
        model = TwoPhases(unpaired=True)
        return model, Game({"g": Player(torch.optim.Adam(model.g.parameters())),
                            "d": Player(torch.optim.Adam(model.d.parameters()))})  # fmt: skip

    warm, both = Phase(phase="warm", steps=1), Phase(phase="adversarial", steps=1)
    found = [estimate(settings(schedule=phases), CPU, build, pictures).bytes
             for phases in ((warm,), (both,), (warm, both), (both, warm))]  # fmt: skip
    assert found[0] < found[1]
    assert found[2] == pytest.approx(found[1], rel=0.01)
    assert found[3] == pytest.approx(found[1], rel=0.01)


def test_modules_in_which_pictures_meet_are_named():
    model = nn.Module()
    model.picture, model.batch = Resnet(3, 3, 1, 2), PatchGAN(3, 2, 2, norm="batch")
    model.own = nn.Identity()
    model.own.mixes_batch = True
    assert batch_statistics(model) == ["batch.stages.1.1", "batch.stages.2.1", "own"]


def told_by(costs, room=100 * MIB):
    """An estimator that says what the settings cost, and which it was asked about."""
    asked = []

    def measure(changed):
        key = (changed.recompute, changed.accumulate)
        asked.append(key)
        cost = costs[key] if changed.precision == "fp32" else 50
        if cost is None:
            raise torch.OutOfMemoryError
        each = cost * MIB / changed.batch
        return Estimate(changed.batch, {"weights": 0}, ((0.0, each),), room, 1.0, 1.0)

    return measure, asked


COSTS = {(False, 1): 400, (True, 1): 200, (True, 2): 120, (True, 4): 70, (False, 2): 250, (False, 4): 110}


@pytest.mark.parametrize(("room", "expected"), [(500, (False, 1)), (250, (True, 1)), (150, (True, 2)), (80, (True, 4))])
def test_auto_takes_the_first_that_fits(room, expected):
    measure, asked = told_by(COSTS, room * MIB)
    changed, found = choose(settings(batch=4), [], measure)
    assert (changed.recompute, changed.accumulate) == expected == asked[-1]
    assert found.fits()
    assert changed.batch == 4


def test_auto_plays_no_parts_where_pictures_meet():
    measure, asked = told_by(COSTS, 150 * MIB)
    with pytest.raises(UserError, match=r"memory is too small for this recipe: 200 MiB of 150 MiB"):
        choose(settings(batch=4), ["judge.stages.1.1"], measure)
    assert all(parts == 1 for _, parts in asked)


def test_parts_divide_the_batch():
    measure, asked = told_by(COSTS, 10 * MIB)
    with pytest.raises(UserError):
        choose(settings(batch=6), [], measure)
    assert max(parts for _, parts in asked) == 2


def test_a_refusal_speaks_of_the_best_that_was_tried():
    measure, _ = told_by({**COSTS, (True, 4): 130}, 110 * MIB)
    with pytest.raises(UserError, match="for this recipe: 120 MiB of 110 MiB"):
        choose(settings(batch=4), [], measure)


def test_a_device_that_is_full_at_once_is_a_setting_that_does_not_fit():
    measure, _ = told_by({**COSTS, (False, 1): None}, 250 * MIB)
    changed, _ = choose(settings(batch=4), [], measure)
    assert changed.recompute


def test_advice_names_what_to_type_and_what_it_takes():
    measure, _ = told_by(COSTS, 150 * MIB)
    wanted = settings(batch=4, data=types.SimpleNamespace(crop=256))
    assert advice(wanted, measure(wanted), [], measure) == [
        "--set recompute=true: 200 MiB, still too much",
        "--set accumulate=2: 250 MiB, still too much",
        "--set accumulate=4: 110 MiB",
        "--set precision=bf16: 50 MiB (fewer digits)",
        "--set batch=1: 100 MiB (learns otherwise)",
        "--set data.crop=128: 100 MiB (learns from smaller pictures)",
    ]


def test_a_run_that_fits_needs_no_advice():
    measure, _ = told_by(COSTS, 500 * MIB)
    wanted = settings(batch=4)
    assert advice(wanted, measure(wanted), [], measure) == []

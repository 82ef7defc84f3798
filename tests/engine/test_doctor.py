"""Each fault is made on purpose and must be seen; what is healthy must not be."""

import json
import math
import time
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from rich.console import Console
from torch import Tensor, nn

from i2i import api, recipe
from i2i.engine import monitor, symptoms
from i2i.engine.doctor import Doctor
from i2i.engine.game import Game
from i2i.engine.loop import Tick, play
from i2i.engine.monitor import Lines, Log
from i2i.engine.schedule import Phase
from i2i.engine.symptoms import (
    WARM,
    Alarm,
    View,
    checkerboard,
    collapse,
    data_bound,
    inversion,
    peaks,
    returned,
    saturation,
    stalled,
)
from i2i.losses import rule
from i2i.session import Session

from .helpers import adam, mlp


def smooth(seed: int, n: int = 8, size: int = 32, coarse: int = 5, channels: int = 3) -> Tensor:
    """Pictures as nature makes them: strong in low frequencies, without a pattern; n c h w in [-1, 1]."""
    noise = torch.randn(n, channels, coarse, coarse, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(noise, (size, size), mode="bicubic").clamp(-1, 1)


# Faults in the losses: a real game of two small networks, its real log.


class Duel(nn.Module):
    """A generator of points on a line; `deaf` ones do not hear the discriminator."""

    def __init__(self, name: str, deaf: bool) -> None:
        super().__init__()
        self.rule, self.deaf = rule(name), deaf
        self.generator, self.judge = mlp(2, 8, 1), mlp(1, 16, 1)
        nn.init.zeros_(self.generator[-1].weight)  # it begins at 0, far from the data

    def adversarial(self, batches: Iterator[Tensor], game: Game) -> None:
        x = next(batches)
        fake = self.generator(torch.randn(len(x), 2))
        with game.turn("discriminator") as turn:
            turn.minimise(real=self.rule.real(self.judge(x)), fake=self.rule.fake(self.judge(fake.detach())))
        with game.turn("generator") as turn:
            turn.minimise(adversarial=self.rule.fool(self.judge(fake.detach() if self.deaf else fake)) + 0 * fake.sum())


class Points(Iterator[Tensor]):
    """Batches around 3, each after `pause` seconds of waiting."""

    def __init__(self, pause: float = 0.0) -> None:
        self.pause, self.position, self.waited = pause, 0, 0.0

    def __next__(self) -> Tensor:
        began = time.perf_counter()
        if self.pause:  # a sleep of 0 gives the processor away all the same
            time.sleep(self.pause)
        self.waited += time.perf_counter() - began
        self.position += 1
        return 3 + 0.3 * torch.randn(32, 1)


def lines_of(folder: Path, name: str, *, deaf: bool = False) -> list[Any]:
    model, batches = Duel(name, deaf), Points()
    game = Game({"generator": adam(model.generator, lr=0.02), "discriminator": adam(model.judge, lr=0.02)})
    log = Log(folder, game, batches, every=20, batch=32, done=0)
    schedule = [Phase(phase="adversarial", steps=280)]
    play(model, game, schedule, batches, epoch_length=100, seed=0, after=(log,))
    log.close()
    return log.lines.lines


@pytest.mark.parametrize("name", ["non-saturating", "least-squares"])
def test_a_generator_that_hears_nothing_saturates_its_discriminator(name: str, tmp_path: Path) -> None:
    alarm = saturation(lines_of(tmp_path, name, deaf=True), name)
    assert alarm is not None
    assert "discriminator/fake" in alarm.seen
    assert "players.discriminator.lr" in alarm.change


@pytest.mark.parametrize("name", ["non-saturating", "least-squares"])
def test_a_game_of_equals_that_waits_for_nothing_is_healthy_at_any_time(name: str, tmp_path: Path) -> None:
    lines = lines_of(tmp_path, name)
    assert len(lines) == 14
    assert [saturation(lines[:n], name) for n in range(15)] == [None] * 15
    assert [data_bound(lines[:n]) for n in range(15)] == [None] * 15


def test_a_critic_of_wasserstein_has_no_floor_to_sit_on() -> None:
    lines = [line(20 * i, discriminator__fake=0.0, generator__adversarial=9.0) for i in range(1, 13)]
    assert saturation(lines, "hinge")
    assert saturation(lines, "wasserstein") is None
    assert saturation(lines, None) is None


def line(step: int, **losses: float) -> dict[str, Any]:
    named = {name.replace("__", "/"): value for name, value in losses.items()}
    return {"step": step, "phase": "adversarial", "data_share": 0.0, "losses": named}


def test_a_sure_discriminator_whose_generator_catches_up_is_no_fault() -> None:
    high = [line(20 * i, discriminators__a=0.001, generators__adversarial=1.0) for i in range(1, 13)]
    falling = [line(20 * i, discriminators__a=0.001, generators__adversarial=2.0 / i) for i in range(1, 13)]
    assert saturation(high, "least-squares")
    assert saturation(falling, "least-squares") is None


def test_smoothed_labels_hide_no_saturation() -> None:
    floor = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))  # the entropy of a target of .9: the real side cannot go below
    lines = [line(20 * i, discriminator__real=floor, discriminator__fake=1e-4, generator__adversarial=9.0)
             for i in range(1, 13)]  # fmt: skip
    assert saturation(lines, "non-saturating")


def test_a_discriminator_that_believes_everything_is_not_saturated() -> None:
    lines = [line(20 * i, discriminator__real=1e-4, discriminator__fake=3.0, generator__adversarial=0.05)
             for i in range(1, 13)]  # fmt: skip
    assert saturation(lines, "non-saturating") is None


def test_a_window_is_long_enough_and_of_one_phase() -> None:
    short = [line(i, discriminator__fake=0.0, generator__adversarial=9.0) for i in range(1, 60)]
    assert saturation(short, "non-saturating") is None  # many lines, few steps
    few = [line(100 * i, discriminator__fake=0.0, generator__adversarial=9.0) for i in range(1, 10)]
    assert saturation(few, "non-saturating") is None  # many steps, few lines
    two_phases = [line(100 * i, discriminator__fake=0.0, generator__adversarial=9.0) for i in range(1, 13)]
    assert saturation(two_phases, "non-saturating")
    two_phases[5]["phase"] = "warm_up"
    assert saturation(two_phases, "non-saturating") is None


def test_a_sleeping_loader_is_seen(tmp_path: Path) -> None:
    idle = SimpleNamespace(adversarial=lambda batches, game: next(batches))
    batches, game = Points(pause=0.002), Game({})
    log = Log(tmp_path, game, batches, every=20, batch=32, done=0)
    play(idle, game, [Phase(phase="adversarial", steps=240)], batches, epoch_length=100, seed=0, after=(log,))
    log.close()
    asleep = data_bound(log.lines.lines)
    assert asleep is not None
    assert "data.workers" in asleep.change


# Faults in the validations.


def validations(*scores: float) -> list[Any]:
    return [{"step": 500 * i, "scores": {"ssim": score}} for i, score in enumerate(scores, 1)]


def test_learning_that_is_frozen_has_stalled() -> None:
    alarm = stalled(validations(*[0.5] * 10), ("ssim", True), rate=1.0)
    assert alarm is not None
    assert "step 500 " in alarm.seen


def test_learning_has_not_stalled_while_it_improves_or_the_rates_fall_or_it_is_early() -> None:
    climbing, falling = [0.1 * i for i in range(10)], [-0.1 * i for i in range(10)]
    assert stalled(validations(*climbing), ("ssim", True), 1.0) is None
    assert stalled(validations(*falling), ("ssim", False), 1.0) is None
    assert stalled(validations(*falling), ("ssim", True), 1.0)  # the same curve, where larger is better
    assert stalled(validations(*falling), ("ssim", True), 0.4) is None
    assert stalled(validations(*falling[:9]), ("ssim", True), 1.0) is None
    assert stalled(validations(*falling), ("other", True), 1.0) is None


def test_the_best_of_a_stalled_run_is_named() -> None:
    rising = [0.4, 0.3, 0.2, 0.5, 0.5, 0.6, 0.7, 0.8, 0.8, 0.9]
    small = stalled(validations(*rising), ("ssim", False), 1.0)
    large = stalled(validations(*(1 - score for score in rising)), ("ssim", True), 1.0)
    assert small is not None
    assert large is not None
    assert "best at step 1500 (0.2)" in small.seen
    assert "best at step 1500 (0.8)" in large.seen


def test_a_lucky_peak_does_not_stall_a_noisy_run_that_improves() -> None:
    noisy = [0.1, 0.2, 0.9, 0.25, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6]  # no best among the last five, but a better mean
    assert stalled(validations(*noisy), ("ssim", True), 1.0) is None


# Faults in the pictures.


def test_a_constant_generator_has_collapsed_whatever_its_input() -> None:
    one = smooth(0, n=1).expand(8, -1, -1, -1)
    for source in (None, smooth(1)):
        assert collapse(View("a2b", source, one, smooth(2)))
        assert collapse(View("a2b", source, one + 0.01 * torch.randn(8, 3, 32, 32), smooth(2)))


def test_two_modes_far_apart_are_no_variety() -> None:
    assert collapse(View("generator", None, smooth(0, n=2).repeat(4, 1, 1, 1), smooth(2)))


def test_outputs_that_differ_half_as_much_as_real_pictures_have_not_collapsed() -> None:
    assert collapse(View("generator", None, 0.5 * smooth(0), smooth(2))) is None


def test_real_pictures_that_are_alike_themselves_and_very_few_are_no_evidence() -> None:
    one = smooth(0, n=1)
    alike = one + 0.001 * torch.randn(8, 3, 32, 32)
    assert collapse(View("a2b", None, one.expand(8, -1, -1, -1), alike)) is None
    assert collapse(View("a2b", None, one.expand(3, -1, -1, -1), smooth(1, n=3))) is None


def test_an_inverting_translator_is_seen_with_and_without_truth() -> None:
    x = smooth(0)
    for registered in (False, True):
        alarm = inversion(View("a2b", x, -0.8 * x, x, registered))
        assert alarm is not None
        assert "-1.00" in alarm.seen
    assert "weights.identity" in inversion(View("a2b", x, -x, smooth(1))).change  # type: ignore[union-attr]


def test_what_is_dark_where_its_input_is_light_is_right_if_the_truth_is() -> None:
    negative = smooth(0)
    photo = -negative
    assert inversion(View("a2b", negative, photo + 0.1 * smooth(1), photo, registered=True)) is None
    assert inversion(View("a2b", negative, negative, photo, registered=True))  # a copy is what is inverted here


def test_edges_beside_their_photograph_are_not_inverted() -> None:
    photo = smooth(0)
    slope = (photo[..., :-1] - photo[..., 1:]).abs().mean(1, keepdim=True)
    edges = 1 - 2 * (F.pad(slope, (0, 1)) > 0.15).float()  # black on white
    assert inversion(View("a2b", edges, photo, smooth(1))) is None


def test_a_generator_from_noise_and_a_change_of_size_have_no_inversion() -> None:
    assert inversion(View("generator", None, -smooth(0), smooth(0))) is None
    assert inversion(View("a2b", smooth(0), -smooth(0, size=64), smooth(0, size=64), registered=True)) is None


def transposed(x: Tensor) -> Tensor:
    """Half the size and back by an uneven transposed convolution: 1, 2 or 4 of its weights meet in a pixel."""
    weight = torch.full((3, 1, 3, 3), 1 / 2.25)
    return F.conv_transpose2d(x[..., ::2, ::2], weight, stride=2, padding=1, output_padding=1, groups=3) + 0.3


def test_an_uneven_transposed_convolution_leaves_a_checkerboard_of_period_2() -> None:
    alarm = checkerboard(View("a2b", smooth(0), transposed(smooth(0)), smooth(1)))
    assert alarm is not None
    assert "period 2 " in alarm.seen
    assert "resize-conv" in alarm.change


def test_two_of_them_leave_a_pattern_of_period_4() -> None:
    wave = torch.tensor([1.0, 1.0, -1.0, -1.0]).repeat(8)
    alarm = checkerboard(View("a2b", smooth(0), smooth(0) + 0.1 * wave, smooth(1)))
    assert alarm is not None
    assert "period 4 " in alarm.seen


def test_resizing_noise_and_sharp_edges_leave_no_checkerboard() -> None:
    x = smooth(0)
    resized = F.interpolate(F.interpolate(x, scale_factor=0.5), scale_factor=2.0, mode="bilinear")
    boxes = (smooth(2) > 0).float() * 2 - 1
    for output in (x, resized, boxes, torch.rand(8, 3, 32, 32) * 2 - 1):
        assert checkerboard(View("a2b", x, output, smooth(1))) is None


def test_a_left_edge_that_does_not_meet_the_right_one_is_no_pattern() -> None:
    ramp = torch.linspace(-1, 1, 32).expand(8, 3, 32, 32)
    assert checkerboard(View("a2b", None, ramp, torch.rand(8, 3, 32, 32) * 2 - 1)) is None


def test_a_pattern_that_real_pictures_have_or_that_nobody_sees_is_no_fault() -> None:
    wave = torch.tensor([1.0, -1.0]).repeat(16)
    screen = smooth(1) * 0.9 + 0.1 * wave
    assert checkerboard(View("a2b", smooth(0), smooth(0) * 0.9 + 0.1 * wave, smooth(1)))
    assert checkerboard(View("a2b", smooth(0), smooth(0) * 0.9 + 0.1 * wave, screen)) is None
    assert checkerboard(View("a2b", smooth(0), smooth(0) * 0.9 + 0.01 * wave, smooth(1))) is None  # 1.3 grey levels
    wide = torch.tensor([1.0, 1.0, -1.0, -1.0]).repeat(8)
    assert checkerboard(View("a2b", smooth(0), smooth(0, coarse=2) + 0.015 * wide, smooth(1))) is None  # 1.9
    assert checkerboard(View("a2b", smooth(0), smooth(0, coarse=2) + 0.1 * wide, smooth(1)))


def test_the_grey_levels_of_a_pattern_are_its_root_mean_square() -> None:
    flat = torch.zeros(2, 3, 32, 48)
    for period, wave in ((2, [1.0, -1.0]), (4, [1.0, 0.0, -1.0, 0.0])):
        stripes = torch.tensor(wave).repeat(48 // period)  # columns
        _, levels = peaks(flat + 0.2 * stripes)
        at = symptoms.CORNERS.index((0, 4 // period))
        assert levels[at].item() == pytest.approx(127.5 * 0.2 * (sum(w * w for w in wave) / period) ** 0.5, rel=0.01)
        assert levels.argmax() == at


# The doctor at work.


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Any]:
    told = SimpleNamespace(lines=SimpleNamespace(lines=[]), every=20, board=[])
    told.boards = SimpleNamespace(alarm=lambda name, text, step: told.board.append((name, step)))
    return told


def consult(run: Path, log: Any, views: Callable[[], Any], done: int = 0, **settings: Any) -> Doctor:
    return Doctor(run, log, views, done=done, every=50, **settings)


def healthy() -> list[View]:
    return [View("a2b", smooth(0), smooth(0), smooth(1))]


def inverted() -> list[View]:
    return [View("a2b", smooth(0), -smooth(0), smooth(1))]


def tick(step: int, rate: float = 1.0) -> Tick:
    return Tick(step, 10_000, "adversarial", rate)


def test_an_alarm_is_said_once_until_it_has_gone_away(tmp_path: Path, log: Any) -> None:
    seen: list[View] = []
    doctor = consult(tmp_path, log, lambda: seen)
    for step, pictures in ((100, inverted()), (150, inverted()), (200, healthy()), (250, healthy()), (300, inverted())):
        seen[:] = pictures
        doctor(tick(step))
    doctor.close()
    told = monitor.read(tmp_path, monitor.ALARMS)
    assert [(line["step"], line["alarm"], line.get("over", False)) for line in told] == [
        (100, "a2b/inversion", False),
        (200, "a2b/inversion", True),
        (300, "a2b/inversion", False),
    ]
    assert set(told[0]) == {"step", "alarm", "seen", "where", "change"}
    assert log.board == [("a2b/inversion", 100), ("a2b/inversion", 200), ("a2b/inversion", 300)]


def test_a_resumed_run_neither_repeats_an_alarm_nor_keeps_those_after_its_state(tmp_path: Path, log: Any) -> None:
    first = consult(tmp_path, log, inverted)
    first(tick(100))
    first.close()
    second = consult(tmp_path, log, inverted, done=100)
    second(tick(150))
    second.close()
    assert [line["step"] for line in monitor.read(tmp_path, monitor.ALARMS)] == [100]
    earlier = consult(tmp_path, log, inverted, done=60)
    assert earlier.alarms.lines == []
    earlier(tick(100))
    earlier.close()
    assert [line["step"] for line in monitor.read(tmp_path, monitor.ALARMS)] == [100]


def test_pictures_are_asked_for_only_when_a_grid_is_due_and_something_was_learnt(tmp_path: Path, log: Any) -> None:
    asked = []
    doctor = consult(tmp_path, log, lambda: asked.append(1) or inverted())
    for step in range(1, 201):
        doctor(tick(step))
    doctor.close()
    assert len(asked) == 3  # 100, 150, 200, and not 50
    assert WARM == 100


def collapsed() -> list[View]:
    return [View("a2b", smooth(0), smooth(0)[:1].expand(8, -1, -1, -1), smooth(1))]


def phases(*told: tuple[str, int, tuple[str, ...]]) -> list[Any]:
    """A log line each 40 steps of a run that plays these phases: name, last step, players that move."""
    lines = []
    for step in range(40, told[-1][1] + 1, 40):
        here = next(i for i, (_, end, _) in enumerate(told) if step <= end)
        spans = {*told[here][2], *(told[here - 1][2] if here and step - 40 < told[here - 1][1] else ())}
        lines.append(
            {"step": step, "phase": told[here][0], "losses": {f"{name}/loss": 1.0 for name in spans}, "data_share": 0.0}
        )
    return lines


def first_alarm(run: Path, log: Any, makers: tuple[str, ...], *told: tuple[str, int, tuple[str, ...]]) -> list[int]:
    """The steps at which the collapse of pictures that are alike from the first step to the last is called."""
    lines = phases(*told)
    doctor = consult(run, log, collapsed, makers=makers)
    for step in range(50, told[-1][1] + 1, 50):
        log.lines.lines = [line for line in lines if line["step"] <= step]
        doctor(Tick(step, 10_000, next(name for name, end, _ in told if step <= end), 1.0))
    doctor.close()
    return [line["step"] for line in monitor.read(run, monitor.ALARMS) if line["alarm"] == "a2b/collapse"]


def test_a_collapse_is_called_once_all_that_make_the_pictures_have_learnt_a_while(tmp_path: Path, log: Any) -> None:
    makers = ("encoder", "generator")  # DTN's: the encoder is trained first, and then the generator alone
    steps = first_alarm(
        tmp_path, log, makers, ("classify", 1000, ("encoder",)), ("transfer", 1500, ("discriminator", "generator"))
    )
    assert steps == [1100]


def test_no_collapse_is_called_while_nobody_moves_that_makes_the_pictures(tmp_path: Path, log: Any) -> None:
    steps = first_alarm(  # SimGAN's, with a first phase that is too short for a judgement and ends between two lines
        tmp_path, log, ("refiner",),
        ("regularise", 90, ("refiner",)), ("discriminate", 700, ("discriminator",)),
        ("adversarial", 1000, ("refiner", "discriminator")),
    )  # fmt: skip
    assert steps == [800]


def test_a_collapse_of_those_who_play_from_the_start_is_called_as_soon_as_they_are_warm(
    tmp_path: Path, log: Any
) -> None:
    told = ("adversarial", 300, ("generator", "discriminator"))
    assert first_alarm(tmp_path, log, ("generator",), told) == [100]


def test_points_are_no_pictures(tmp_path: Path, log: Any) -> None:
    doctor = consult(tmp_path, log, lambda: [View("generator", None, torch.zeros(8, 2), torch.randn(8, 2))])
    doctor(tick(100))
    doctor.close()
    assert monitor.read(tmp_path, monitor.ALARMS) == []


def test_losses_and_validations_are_judged_when_they_are_written(tmp_path: Path, log: Any) -> None:
    scores = Lines(tmp_path / monitor.VALIDATION, 0)
    doctor = consult(tmp_path, log, healthy, rule="hinge", validation=scores, criterion=("ssim", True))
    log.lines.lines = [line(20 * i, discriminator__fake=0.0, generator__adversarial=2.0) | {"data_share": 0.9}
                       for i in range(1, 13)]  # fmt: skip
    doctor(tick(239))
    assert doctor.alarms.lines == []
    doctor(tick(240))
    for told in validations(*[0.5] * 10):
        scores.write(told)
    doctor(tick(4999))
    doctor(tick(5000, rate=0.1))
    assert [line["alarm"] for line in doctor.alarms.lines] == ["saturation", "data-bound"]
    doctor(tick(5000))
    assert [line["alarm"] for line in doctor.alarms.lines] == ["saturation", "data-bound", "stalled"]
    doctor.close()
    scores.close()


def test_any_alarm_can_be_told_and_reaches_the_console(tmp_path: Path, log: Any) -> None:
    paper = StringIO()
    doctor = consult(tmp_path, log, healthy, done=40, console=Console(file=paper, width=60))
    doctor.say(40, returned(57, 40, "generator: gradient norm inf", 0.5))
    doctor.say(40, Alarm("own", "[b]Smoke[/b].", "the attic", "Ring `112`."))
    doctor.close()
    told = monitor.read(tmp_path, monitor.ALARMS)
    assert [line["alarm"] for line in told] == ["non-finite", "own"]
    assert "Step 57 was not finite (generator: gradient norm inf); back to step 40, at 0.5" in told[0]["seen"]
    lines = paper.getvalue().splitlines()
    assert lines[1] == "ALARM own at step 40: [b]Smoke[/b]. Look at the attic. Ring `112`."  # one line, unwrapped


@pytest.mark.slow
@pytest.mark.parametrize("name", ["quickstart", "dcgan_digits", "dcgan_digits classes=0", "cyclegan_map2satellite"])
def test_shipped_recipes_are_healthy_from_the_first_sample_on_and_the_doctor_is_cheap(
    name: str, tmp_path: Path, fresh_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spent, consult = [0.0], Doctor.__call__

    def timed(self: Doctor, tick: Tick) -> None:
        began = time.process_time()
        consult(self, tick)
        spent[0] += time.process_time() - began

    monkeypatch.setattr(Doctor, "__call__", timed)
    stem, *changes = name.split()
    overrides = ["schedule.0.steps=240", "log_every=20", "sample_every=100", "validate_every=null", *changes]
    session = Session(recipe.load(stem, overrides), tmp_path, api.pick_device("cpu"))
    began = time.process_time()
    session.play()
    assert [json.dumps(line) for line in monitor.read(tmp_path, monitor.ALARMS)] == []
    share = spent[0] / (time.process_time() - began)
    print(f"{name}: the doctor takes {100 * share:.2f} % of the processor's time")
    assert share < 0.01

"""What the benchmarks conclude is right: hand-made scores have the verdicts that arithmetic gives them."""

import json
import math
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from scipy import stats

import i2i
from i2i import recipe
from i2i.errors import UserError
from i2i.metrics import Interval

sys.path.insert(0, str(Path(i2i.__file__).parent.parent / "benchmarks"))

import common
import contest
import side_by_side as bench

SHIPPED = ("line2color", "map2satellite", "night2day", "sketch2photo", "day2night")
T = 4.302652729911275  # Student's t of two degrees of freedom, from a printed table: 4.303


# Intervals and verdicts.


def test_an_interval_over_seeds_is_students() -> None:
    found = common.over_seeds([1.0, 2.0, 4.0])
    low, high = stats.t.interval(0.95, 2, loc=7 / 3, scale=stats.sem([1, 2, 4]))
    assert found.value == pytest.approx(7 / 3)
    assert found.half == pytest.approx((high - low) / 2)


def test_a_difference_that_may_be_chance_is_open() -> None:
    found = common.verdict([1, 2, 3], [2, 4, 6], larger=False)  # differences −1 −2 −3: mean −2, deviation 1
    assert found.difference == pytest.approx((-2, T / math.sqrt(3)))
    assert found.word == "open"


def test_a_verdict_knows_which_way_is_better() -> None:
    ours, others = [1.0, 1.1, 1.2], [3.0, 3.2, 3.1]  # differences −2 −2.1 −1.9: mean −2, deviation .1
    assert common.verdict(ours, others, larger=False).word == "better"
    assert common.verdict(ours, others, larger=True).word == "worse"
    assert common.verdict(others, ours, larger=True).word == "better"
    assert common.verdict(ours, others, larger=False).difference == pytest.approx((-2, 0.1 * T / math.sqrt(3)))


def test_seeds_are_compared_pair_by_pair() -> None:
    """The spread that both share does not blur the difference: unpaired, these would be open."""
    assert common.verdict([1.0, 5.0, 9.0], [1.1, 5.1, 9.1], larger=False).word == "better"
    assert common.verdict([1.0, 5.0, 9.0], [5.1, 9.1, 1.1], larger=False).word == "open"


def test_one_seed_proves_nothing() -> None:
    found = common.verdict([1], [100], larger=False)
    assert found.word == "open"
    assert math.isnan(found.difference.half)


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [(0.1234, 3, ".123"), (-0.5, 2, "−.50"), (12.3, 2, "12.30"), (-1e-5, 3, ".000"), (0.999, 2, "1.00"), (10, 0, "10")],
)
def test_a_number_in_a_table(value: float, places: int, text: str) -> None:
    assert common.number(value, places) == text


def test_what_is_not_better_is_said_in_words() -> None:
    verdicts = {
        "l1": common.Verdict(Interval(-0.02, 0.01), "better"),
        "ssim": common.Verdict(Interval(0.1, 0.05), "better"),
        "fid_efflite0": common.Verdict(Interval(2.5, 1), "worse"),
        "kid_efflite0": common.Verdict(Interval(-0.01, 0.02), "open"),
    }
    told = bench.words("ours", "theirs", verdicts)
    assert told == (
        "ours beside theirs: better in L1 and SSIM; worse in FID (+2.5 ± 1.0); "
        "no certain difference in KID (−.010 ± .020)."
    )


# What is compared.


@pytest.mark.parametrize("name", SHIPPED)
def test_both_sides_train_on_the_same_data(name: str) -> None:
    arms = contest.arms(name)
    assert {settings.data.model_dump_json() for settings in arms.values()} == {arms["ours"].data.model_dump_json()}
    assert {settings.select for settings in arms.values()} == {None}


@pytest.mark.parametrize("name", SHIPPED)
def test_the_published_side_is_the_published_recipe_but_for_the_data_and_the_size(name: str) -> None:
    theirs = contest.arms(name)["published"]
    published: Any = recipe.load(f"{theirs.model}_published")
    size = "levels" if theirs.model == "pix2pix" else "blocks"
    expected = {("pix2pix", 64): 6, ("pix2pix", 128): 7, ("cyclegan", 64): 6}[theirs.model, theirs.data.crop]
    assert getattr(theirs.generator, size) == expected
    assert theirs.model_dump(exclude={"data": True, "generator": {size}}) == published.model_dump(
        exclude={"data": True, "generator": {size}}
    )


def test_cyclegan_published_is_as_published() -> None:
    """Zhu et al. 2017, section 4 and appendix; the identity weight as in their code."""
    r: Any = recipe.load("cyclegan_published")
    assert (r.batch, r.history, r.loss, r.weights.cycle, r.weights.identity) == (1, 50, "least-squares", 10, 5)
    assert (r.generator.blocks, r.generator.width, r.generator.norm, r.generator.upsample) == (
        6, 64, "instance", "transposed",
    )  # fmt: skip
    assert (r.discriminator.layers, r.discriminator.width, r.discriminator.norm) == (3, 64, "instance")
    assert [p.lr for p in r.schedule] == ["flat-then-linear"]
    assert all((p.lr, p.betas) == (2e-4, (0.5, 0.999)) for p in (r.players.generators, r.players.discriminators))
    assert (r.precision, r.ema) == ("fp32", None)


def test_multiply_adds_are_those_of_the_paper_s_layers() -> None:
    """The U-Net for 64 px by hand: 16 weights at each place of the smaller map, on the way down as on the way up."""
    channels = [3, 64, 128, 256, 512, 512, 512]
    down = sum(16 * a * b * (64 >> level) ** 2 for level, (a, b) in enumerate(pairwise(channels), 1))
    up = 16 * 512 * 512 * 1 + sum(16 * 2 * channels[i] * channels[i - 1] * (64 >> i) ** 2 for i in range(5, 0, -1))
    assert contest.multiply_adds(contest.arms("map2satellite")["published"]) == down + up


@pytest.mark.parametrize("name", SHIPPED)
def test_the_tenth_is_a_tenth_and_no_narrower_than_it_must_be(name: str) -> None:
    arms = contest.arms(name)
    most = contest.multiply_adds(arms["published"]) / 10
    if "tenth" not in arms:
        assert contest.multiply_adds(arms["ours"]) <= most
        return
    small = arms["tenth"]
    assert contest.multiply_adds(small) <= most < contest.multiply_adds(arms["ours"])
    wider = small.model_copy(
        update={"generator": small.generator.model_copy(update={"width": small.generator.width + 2})}
    )
    assert contest.multiply_adds(wider) > most
    assert small.model_dump(exclude={"generator": {"width"}}) == arms["ours"].model_dump(
        exclude={"generator": {"width"}}
    )


# What is told.


def test_no_trivial_answer_is_the_truth_or_a_model() -> None:
    answers = {"model a2b": 0.1, "truth a2b": 0.0, "training pictures a2b": 0.05, "copy of the input a2b": 0.4,
               "constant colour a2b": 0.3, "constant colour b2a": 0.2}  # fmt: skip
    row = {
        "test": {"scores": {answer: {"l1": {"mean": mean}, "ssim": {"mean": mean}} for answer, mean in answers.items()}}
    }
    assert bench.unlearnt(row, "a2b") == {"l1": 0.3, "ssim": 0.4}
    assert bench.unlearnt(row, "b2a") == {"l1": 0.2, "ssim": 0.2}


def test_only_what_is_better_for_certain_is_bold() -> None:
    def rows(arm: str, l1: list[float]) -> list[dict[str, Any]]:
        scores = {score: {"mean": 0.5} for score in bench.SCORES}
        return [{"arm": arm, "seed": seed, "test": {"scores": {"model": scores | {"l1": {"mean": value}}}}}
                for seed, value in enumerate(l1)]  # fmt: skip

    theirs = rows("published", [0.30, 0.31, 0.32])
    assert (
        bench.cells({"ours": rows("ours", [0.20, 0.21, 0.22]), "published": theirs}, "ours", "")[0]
        == "**.2100** ± .0248"
    )
    assert (
        bench.cells({"ours": rows("ours", [0.20, 0.41, 0.22]), "published": theirs}, "ours", "")[0] == ".2767 ± .2879"
    )
    assert (
        bench.cells({"ours": rows("ours", [0.40, 0.41, 0.42]), "published": theirs}, "ours", "")[0] == ".4100 ± .0248"
    )
    assert (
        bench.cells({"ours": rows("ours", [0.20, 0.21, 0.22]), "published": theirs}, "published", "")[0][:5] == ".3100"
    )


# What is kept.


def test_a_training_is_kept_by_what_decides_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def place(*changes: str, seconds: float = 5) -> Path:
        monkeypatch.setattr(contest, "arms", lambda _: {"ours": recipe.load("map2satellite", changes)})
        return contest.folder("map2satellite", "ours", 0, seconds)

    assert place() == place("seed=3") == place("schedule.0.steps=7") == place("sample_every=9")
    assert (
        len({place(), place("weights.l1=7"), place("data.flip=false"), place("schedule.0.lr=linear"), place(seconds=6)})
        == 5
    )


def test_the_clock_stands_still_while_it_is_paused() -> None:
    def burn(seconds: float) -> None:
        began = time.process_time()
        while time.process_time() - began < seconds:
            pass

    watch = common.Stopwatch()
    with watch:
        burn(0.05)
        with watch.paused():
            burn(0.4)
        burn(0.05)
    assert 0.1 <= watch.processor < 0.3
    assert watch.wall >= 0.1


def test_a_stretched_recipe_has_steps_and_the_same_rates() -> None:
    (phase,) = common.stretched(recipe.load("cyclegan_horse2zebra"), 12).schedule
    assert (phase.steps, phase.epochs, phase.lr, phase.length(1000)) == (12, None, "flat-then-linear", 12)


@pytest.fixture
def tiny(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """A set `tiny` of small networks that take no time. Calling it names the folders in which there is a row."""

    def small(width: int, **changes: Any) -> Any:
        tree = {
            "model": "pix2pix",
            "data": {"layout": "paired", "root": str(pictures / "sides"), "crop": 16},
            "batch": 2,
            "generator": {"kind": "unet", "levels": 2, "width": width, "norm": "instance"},
            "discriminator": {"kind": "patch", "layers": 1, "width": 4},
            "schedule": [{"phase": "adversarial", "steps": 1}],
        }
        return recipe.build(tree | changes, "the test")

    several = {"published": small(8), "ours": small(4, ema=0.5)}
    several["longer"] = several["published"]
    cost = {"multiply_adds": 1e6, "parameters": 1e6, "onnx_bytes": 1e6, "milliseconds": 1.0, "step_seconds": 0.5}
    monkeypatch.setattr(contest, "arms", lambda _: several)
    monkeypatch.setattr(contest, "costs", lambda name, make=False: dict.fromkeys(several, cost))
    monkeypatch.setattr(contest, "SETS", {"tiny": ["a → b"]})
    monkeypatch.setattr(contest, "RUNS", tmp_path / "runs")
    return lambda: sorted(row.parent.name for row in (tmp_path / "runs").rglob("row.json"))


def test_a_killed_benchmark_goes_on_and_redoes_one_training(
    tiny: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    times = {"published": 5.0, "ours": 5.0}
    real, calls = contest.evaluation.of_model, []

    def killed(model: Any) -> Any:
        calls.append(model)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(model)

    monkeypatch.setattr(contest.evaluation, "of_model", killed)
    with pytest.raises(KeyboardInterrupt):
        contest.play(["tiny"], [0, 1], times)
    before = {name: (tmp_path / "runs" / "tiny" / name / "row.json").read_bytes() for name in tiny()}
    assert len(before) == 2, "both arms of the first seed"
    contest.play(["tiny"], [0, 1], times)
    assert len(tiny()) == 4
    assert len(calls) == 5, "the test split is scored once for each training, and again for the one that was killed"
    assert {name: (tmp_path / "runs" / "tiny" / name / "row.json").read_bytes() for name in before} == before
    contest.play(["tiny"], [0, 1], times)
    assert len(calls) == 5

    rows = bench.gathered("tiny", [0, 1], times)
    row = rows["ours"][0]
    assert row["steps"] == 10, "5 seconds of half a second each"
    assert [point["step"] for point in row["validation"]] == [1, 2, 4, 5, 6, 8, 9, 10]
    best = min(row["validation"], key=lambda point: point["scores"]["perceptual_efflite0"])
    assert row["chosen_step"] == best["step"]
    assert row["test"]["split"] == "test"
    assert {row["seed"] for row in rows["ours"]} == {0, 1}
    assert rows["ours"][0]["test"]["scores"]["model"] != rows["ours"][1]["test"]["scores"]["model"]

    told = bench.table("tiny", rows)
    assert "ours beside published Pix2Pix: " in told
    assert told.count("±") >= 14, "an interval for each score and arm"
    assert len(bench.short({"tiny": rows}).splitlines()) == 4
    monkeypatch.setattr(bench, "SHOWN", 3)
    bench.sheet("tiny", rows)
    assert Image.open(tmp_path / "runs" / "tiny.png").width > 3 * 96
    json.dumps(bench.differences("tiny", {arm: found[:1] for arm, found in rows.items()}), allow_nan=False)


def test_both_arms_of_a_slow_set_have_the_same_longer_time(
    tiny: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contest, "SLOW", {"tiny": 3})
    times = {"published": 5.0, "ours": 5.0, "tenth": 5.0, "longer": 20.0}
    assert contest.within("tiny", times) == {"published": 15, "ours": 15, "longer": 60}


def test_nothing_is_claimed_where_nothing_was_measured(
    tiny: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["side_by_side.py", "--print"])
    with pytest.raises(UserError, match="Nothing has been measured"):
        bench.main()


def test_a_set_that_is_not_here_is_left_out_with_the_command_to_get_it(
    fresh_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not contest.at_hand("sketch2photo")
    assert "i2i data fetch clothing" in capsys.readouterr().err
    assert contest.at_hand("map2satellite")


def test_a_product_is_looked_at_with_its_averages_after_the_steps_that_are_due(
    tiny: Callable[[], list[str]],
) -> None:
    seen: dict[int, torch.Tensor] = {}

    def look(tick: Any, product: Any, watch: common.Stopwatch) -> None:
        seen[tick.step] = next(product["a2b"].parameters()).clone()

    averaged = common.stretched(contest.arms("tiny")["ours"], 4)
    watch = common.train(averaged, lambda tick: tick.step in (2, 4), look)
    assert list(seen) == [2, 4]
    assert watch.processor > 0
    means = seen[4]
    common.train(averaged.model_copy(update={"ema": None}), lambda tick: tick.last, look)
    assert not torch.equal(seen[4], means)

"""Intervals that hold what they promise: about 95 of 100 contain the truth."""

import math

import pytest
import scipy.stats
import torch
from torch import Tensor

from i2i.metrics import fid, jackknife, kid, mean, relative_diversity


def draw(n: int, rng: torch.Generator, shift: float = 0.0) -> Tensor:
    return (torch.randn(n, 16, generator=rng) * torch.linspace(0.2, 2, 16) + shift).relu()


def test_the_interval_of_a_mean_is_students() -> None:
    values = torch.tensor([1.0, 2.0, 4.0, 9.0])
    low, high = scipy.stats.t.interval(0.95, 3, values.mean().item(), scipy.stats.sem(values.numpy()))
    found = mean(values)
    assert found.value == 4
    assert (found.value - found.half, found.value + found.half) == pytest.approx((low, high), rel=1e-5)


def test_equal_values_have_no_interval_and_one_value_none_that_is_known() -> None:
    assert mean(torch.full((5,), 0.25)) == (0.25, 0)
    assert math.isnan(mean(torch.tensor([1.0])).half)


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    x = torch.randn(10, 1, generator=torch.Generator().manual_seed(0))
    found = jackknife(lambda x: x.mean().item(), x)
    assert found.half == pytest.approx(mean(x[:, 0]).half, rel=1e-4)  # ten groups of one


def test_too_few_pictures_give_a_score_without_an_interval() -> None:
    rng = torch.Generator().manual_seed(0)
    assert math.isnan(jackknife(fid, draw(2, rng), draw(5, rng)).half)
    assert jackknife(fid, draw(3, rng), draw(5, rng)).half > 0


def test_intervals_are_the_same_each_time() -> None:
    rng = torch.Generator().manual_seed(0)
    x, y = draw(30, rng), draw(25, rng)
    before = torch.get_rng_state()
    assert jackknife(kid, x, y) == jackknife(kid, x, y)
    assert torch.equal(torch.get_rng_state(), before)


def test_pictures_and_their_translations_are_left_out_together() -> None:
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))

    def gain(fake: Tensor, real: Tensor) -> float:
        return (fake.mean() - real.mean()).item()

    assert jackknife(gain, x + 1, x).half == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("score", [fid, kid, relative_diversity], ids=lambda score: score.__name__)
def test_nineteen_of_twenty_intervals_hold_the_score_that_is_expected(score: object) -> None:
    assert callable(score)
    rng = torch.Generator().manual_seed(0)
    n, m, shift = 60, 40, 0.4
    expected = sum(score(draw(n, rng, shift), draw(m, rng)) for _ in range(400)) / 400  # at this n and m
    held = [jackknife(score, draw(n, rng, shift), draw(m, rng)) for _ in range(100)]
    assert sum(abs(found.value - expected) < found.half for found in held) >= 90
    widths = torch.tensor([found.half for found in held])
    values = torch.tensor([found.value for found in held])
    assert widths.mean() < 1.7 * 1.96 * values.std()  # and none by being useless

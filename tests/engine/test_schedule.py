from itertools import pairwise

import pytest
from pydantic import ValidationError

from i2i.engine.schedule import RATES, Phase

LENGTH = 200


def rates(kind: str, floor: float = 0.0) -> list[float]:
    phase = Phase(phase="adversarial", steps=LENGTH, lr=kind, floor=floor)
    return [phase.rate(step, LENGTH) for step in range(LENGTH)]


# the factor at the first step, half-way, three quarters, and the last step
TABLE = {
    "constant": (1.0, 1.0, 1.0, 1.0),
    "flat-then-linear": (1.0, 1.0, 0.5, 0.01),
    "linear": (1.0, 0.5, 0.25, 0.005),
    "cosine": (1.0, 0.5, 0.1464466, 0.0000617),
}


@pytest.mark.parametrize("kind", TABLE)
def test_each_schedule_has_its_known_values(kind):
    found = rates(kind)
    assert (found[0], found[100], found[150], found[199]) == pytest.approx(TABLE[kind], abs=1e-6)


def test_every_schedule_is_in_the_table():
    assert TABLE.keys() == RATES.keys()


@pytest.mark.parametrize("kind", RATES)
def test_rates_never_rise_and_stay_above_zero(kind):
    found = rates(kind)
    assert all(a >= b > 0 for a, b in pairwise(found))


def test_flat_then_linear_is_flat_for_exactly_the_first_half():
    found = rates("flat-then-linear")
    assert set(found[:101]) == {1.0}
    assert found[101] < 1


@pytest.mark.parametrize("kind", ["linear", "cosine", "flat-then-linear"])
def test_no_rate_falls_below_the_floor(kind):
    found = rates(kind, floor=0.05)
    assert min(found) == found[-1] == 0.05
    assert found[:100] == rates(kind)[:100]


def test_a_length_in_epochs_follows_the_data_and_one_in_steps_does_not():
    assert Phase(phase="x", steps=7).length(epoch_length=100) == 7
    assert Phase(phase="x", epochs=2).length(epoch_length=100) == 200
    assert Phase(phase="x", epochs=0.25).length(epoch_length=100) == 25
    assert Phase(phase="x", epochs=0.001).length(epoch_length=100) == 1  # never nothing


@pytest.mark.parametrize("lengths", [{}, {"epochs": 1, "steps": 1}])
def test_a_phase_has_one_length(lengths):
    with pytest.raises(ValidationError, match="needs either `epochs` or `steps`, and not both"):
        Phase(phase="x", **lengths)

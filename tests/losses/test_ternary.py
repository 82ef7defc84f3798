from math import exp, log

import pytest
import torch

from i2i.losses.ternary import VERDICTS, ternary


def test_a_judge_that_knows_nothing_costs_log_three_whatever_is_asked() -> None:
    for verdict in VERDICTS:
        assert ternary(torch.zeros(2, 3, 4, 5), verdict).item() == pytest.approx(log(3))


def test_each_verdict_is_a_channel_in_the_papers_order() -> None:
    """-log of the softmax of 2, 0, -1: the two fakes come first, the real one last."""
    logits = torch.tensor([2.0, 0.0, -1.0]).reshape(1, 3, 1, 1)
    whole = exp(2) + 1 + exp(-1)
    values = [ternary(logits, verdict).item() for verdict in ("from source", "from target", "real")]
    assert values == pytest.approx([log(whole) - 2, log(whole), log(whole) + 1])


def test_the_mean_is_over_pictures_and_places_and_the_gradient_that_of_a_softmax() -> None:
    logits = torch.randn(2, 3, 2, 3, requires_grad=True)
    ternary(logits, "real").backward()
    wanted = logits.detach().softmax(1)
    wanted[:, 2] -= 1
    assert torch.allclose(logits.grad, wanted / 12, atol=1e-7)


def test_it_stays_finite_and_in_float32() -> None:
    value = ternary(torch.tensor([200.0, -200.0, 0.0], dtype=torch.float16).reshape(1, 3, 1, 1), "from target")
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(400)


def test_two_logits_are_refused() -> None:
    with pytest.raises(ValueError, match=r"n × 3 × p × q; got \(2, 2, 1, 1\)"):
        ternary(torch.zeros(2, 2, 1, 1), "real")

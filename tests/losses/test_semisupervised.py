"""The K + 1 formulation: a softmax over K + 1 logits, the last of which is 0, written in K."""

from math import exp, log

import pytest
import torch
from torch.nn import functional as F

from i2i.losses import semisupervised as loss

LOGITS = torch.tensor([[1.0, -2.0, 0.5], [0.0, 0.0, 0.0]])


def padded(logits: torch.Tensor) -> torch.Tensor:
    """With the logit of what is made behind them."""
    return torch.cat([logits, torch.zeros(len(logits), 1)], 1)


def test_they_are_those_of_a_softmax_over_one_class_more() -> None:
    p = padded(LOGITS).softmax(1)
    assert loss.real(LOGITS).item() == pytest.approx(-(1 - p[:, 3]).log().mean().item())
    assert loss.fake(LOGITS).item() == pytest.approx(-p[:, 3].log().mean().item())
    labels = torch.tensor([2, 0])
    wanted = -(p[[0, 1], labels] / p[:, :3].sum(1)).log().mean().item()
    assert loss.classes(LOGITS, labels).item() == pytest.approx(wanted)


def test_by_hand() -> None:
    """Three logits of 0: Z = 3, so D = 3/4 and every class has a third."""
    nothing = LOGITS[1:]
    assert loss.real(nothing).item() == pytest.approx(log(4 / 3))
    assert loss.fake(nothing).item() == pytest.approx(log(4))
    assert loss.classes(nothing, torch.tensor([1])).item() == pytest.approx(log(3))
    assert loss.verdict(LOGITS)[0].item() == pytest.approx(log(exp(1) + exp(-2) + exp(0.5)))


def test_the_sum_of_the_two_is_that_of_the_authors_code() -> None:
    """-E lse(x) + E softplus(lse(x)) + E softplus(lse(G)), halves aside."""
    x, made = LOGITS, LOGITS.flip(0) * 3
    theirs = -x.logsumexp(1).mean() + F.softplus(x.logsumexp(1)).mean() + F.softplus(made.logsumexp(1)).mean()
    assert (loss.real(x) + loss.fake(made)).item() == pytest.approx(theirs.item(), rel=1e-6)


def test_gradients_are_those_of_the_probabilities() -> None:
    """d fake / d l_k = p_k and d real / d l_k = -p_k (1 - D) / D, over n; of the classes p - 1 at the label."""
    x = LOGITS.clone().requires_grad_()
    p = padded(LOGITS).softmax(1)
    d = 1 - p[:, 3:]
    for value, wanted in (
        (loss.fake(x), p[:, :3] / 2),
        (loss.real(x), -p[:, :3] * (1 - d) / d / 2),
        (loss.classes(x, torch.tensor([2, 0])), (LOGITS.softmax(1) - torch.eye(3)[[2, 0]]) / 2),
    ):
        (slope,) = torch.autograd.grad(value, x)
        assert torch.allclose(slope, wanted, atol=1e-6)


def test_a_sum_over_another_number_and_over_nothing() -> None:
    labels = torch.tensor([2, 0])
    assert loss.classes(LOGITS, labels, over=8).item() == pytest.approx(loss.classes(LOGITS, labels).item() / 4)
    assert loss.classes(LOGITS[:0], labels[:0], over=8).item() == 0


def test_they_stay_finite_and_in_float32() -> None:
    far = torch.tensor([[200.0, -200.0]], dtype=torch.bfloat16)
    for value in (loss.real(far), loss.fake(far), loss.real(-far), loss.classes(far, torch.tensor([1]))):
        assert value.isfinite()
        assert value.dtype == torch.float32
    assert loss.fake(far).item() == pytest.approx(200)


def test_what_are_no_logits_is_refused() -> None:
    with pytest.raises(ValueError, match=r"n × k; got \(3,\)"):
        loss.real(torch.zeros(3))

"""The Inception score against what it must be, the sums written out, and two libraries."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, KEY_METRIC_ISC_STD, isc_features_to_metric
from torchmetrics.image.inception import InceptionScore

from i2i.errors import UserError
from i2i.metrics import inception_score


def logits(n: int = 200, k: int = 7) -> Tensor:
    return 2 * torch.randn(n, k, generator=torch.Generator().manual_seed(0))


def test_all_classes_surely_and_equally_often_is_the_number_of_classes() -> None:
    for k in (2, 5, 10):
        mean, std = inception_score(torch.eye(k).repeat(10, 1), splits=10)
        assert mean == pytest.approx(k)
        assert std == pytest.approx(0, abs=1e-9)


def test_one_opinion_of_all_pictures_is_one_whether_sure_or_not() -> None:
    sure, unsure = torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([[0.2, 0.5, 0.3]])
    for opinion in (sure, unsure):
        assert inception_score(opinion.expand(30, -1), splits=3) == pytest.approx((1, 0))


def test_two_classes_of_ten_are_two() -> None:
    assert inception_score(torch.eye(10)[[3, 8] * 20], splits=4)[0] == pytest.approx(2)


def test_it_is_the_sum_written_out() -> None:
    p = logits().softmax(1).double().numpy()
    scores = []
    for part in np.split(p, 5):
        middle = part.mean(0)
        scores.append(np.exp(np.mean([sum(a * np.log(a / b) for a, b in zip(x, middle, strict=True)) for x in part])))
    assert inception_score(torch.from_numpy(p), splits=5) == pytest.approx((np.mean(scores), np.std(scores)), rel=1e-9)


def test_it_agrees_with_torch_fidelity_and_torchmetrics() -> None:
    x = logits()
    told = isc_features_to_metric(x, splits=10, shuffle=False)
    wanted = told[KEY_METRIC_ISC_MEAN], told[KEY_METRIC_ISC_STD]
    assert inception_score(x.softmax(1), splits=10) == pytest.approx(wanted, rel=1e-5)

    class Given(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x

    metric = InceptionScore(Given(), splits=1)  # more splits would be of an order that it draws itself
    metric.update(x)
    assert inception_score(x.softmax(1), splits=1)[0] == pytest.approx(metric.compute()[0].item(), rel=1e-5)


@pytest.mark.parametrize(
    ("given", "splits", "said"),
    [
        (logits(), 10, "logits become some by softmax"),
        (torch.full((20, 4), 0.3), 10, "1 in sum"),
        (torch.full((20, 4), float("nan")), 10, "expects probabilities"),
        (torch.eye(4), 10, "at least 10 pictures.*got 4 × 4"),
        (torch.ones(20), 1, "n × classes"),
        (torch.eye(4), 0, "splits=0"),
    ],
)
def test_what_it_cannot_score_is_refused(given: Tensor, splits: int, said: str) -> None:
    with pytest.raises(UserError, match=said):
        inception_score(given, splits)

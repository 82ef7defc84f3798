"""FID, KID and diversity against plain computations, two libraries, and what they are for."""

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor, nn
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance
from torchvision.transforms.functional import gaussian_blur

from i2i.errors import UserError
from i2i.metrics import compare, diversity, fid, kid, network, relative_diversity

D = 12


def draw(n: int, key: int, shift: float = 0.0) -> Tensor:
    """Features like those of a network: n D, not negative, of unequal and correlated channels."""
    rng = torch.Generator().manual_seed(key)
    mix = torch.randn(D, D, generator=torch.Generator().manual_seed(99))
    return (torch.randn(n, D, generator=rng) @ mix * torch.linspace(0.2, 1, D) + shift).relu()


class Given(nn.Module):
    """A feature network for torchmetrics that takes features for pictures."""

    num_features = D

    def forward(self, x: Tensor) -> Tensor:
        return x


SETS = [(draw(200, 0), draw(200, 1, 0.5)), (draw(50, 2), draw(80, 3, 0.1)), (draw(8, 4), draw(9, 5, 1.0))]


@pytest.mark.parametrize(("x", "y"), SETS, ids=["many", "unequal", "fewer than features"])
def test_fid_agrees_with_scipy_and_two_libraries(x: Tensor, y: Tensor) -> None:
    a, b = x.double().numpy(), y.double().numpy()
    cov_a, cov_b = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    # the nearly singular product is what makes the plain computation fragile: regularised as everywhere
    eps = 1e-10 * np.eye(D)
    root = scipy.linalg.sqrtm((cov_a + eps) @ (cov_b + eps)).real
    means = ((a.mean(0) - b.mean(0)) ** 2).sum()
    assert fid(x, y) == pytest.approx(means + np.trace(cov_a + cov_b - 2 * root), abs=1e-3)

    metric = FrechetInceptionDistance(Given())
    metric.update(x.double(), real=True)
    metric.update(y.double(), real=False)
    assert fid(x, y) == pytest.approx(metric.compute().item(), abs=1e-3)

    told = fid_statistics_to_metric(*(fid_features_to_statistics(side.double()) for side in (x, y)), verbose=False)
    assert fid(x, y) == pytest.approx(told[KEY_METRIC_FID], abs=1e-3)


def test_fid_of_two_gaussians_by_hand() -> None:
    # in one dimension (μ1 - μ2)² + (σ1 - σ2)², with sample standard deviations: √2 and 2√2 here
    x, y = torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0], [5.0]])
    assert fid(x, y) == pytest.approx(2**2 + (2 * 2**0.5 - 2**0.5) ** 2)


@pytest.mark.parametrize(("x", "y"), SETS, ids=["many", "unequal", "fewer than features"])
def test_kid_agrees_with_the_sums_written_out(x: Tensor, y: Tensor) -> None:
    a, b = x.double().numpy(), y.double().numpy()
    n, m = len(a), len(b)
    within_a = np.mean([(a[i] @ a[j] / D + 1) ** 3 for i in range(n) for j in range(n) if i != j])
    within_b = np.mean([(b[i] @ b[j] / D + 1) ** 3 for i in range(m) for j in range(m) if i != j])
    between = np.mean([(p @ q / D + 1) ** 3 for p in a for q in b])
    assert kid(x, y) == pytest.approx(within_a + within_b - 2 * between, abs=1e-9)


def test_kid_agrees_with_two_libraries() -> None:
    x, y = SETS[0]
    metric = KernelInceptionDistance(Given(), subsets=1, subset_size=len(x))
    metric.update(x.double(), real=True)
    metric.update(y.double(), real=False)
    assert kid(x, y) == pytest.approx(metric.compute()[0].item(), abs=1e-3)

    settings = {"kid_subsets": 1, "kid_subset_size": len(x), "rng_seed": 0, "verbose": False}
    told = kid_features_to_metric(x.double(), y.double(), **settings)
    assert kid(x, y) == pytest.approx(told[KEY_METRIC_KID_MEAN], abs=1e-3)


def test_kid_does_not_depend_on_how_it_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = kid(*SETS[1])
    monkeypatch.setattr("i2i.metrics.distribution.ROWS", 7)
    assert kid(*SETS[1]) == pytest.approx(whole, rel=1e-12)


def test_kid_of_one_distribution_is_zero_on_average_and_fid_is_not() -> None:
    pairs = [(draw(20, 100 + i), draw(20, 500 + i)) for i in range(200)]
    kids = torch.tensor([kid(x, y) for x, y in pairs])
    assert kids.mean().abs() < 3 * kids.std() / 200**0.5
    assert min(fid(x, y) for x, y in pairs) > 0.5  # all of it bias: it shrinks with n
    assert fid(draw(2000, 1), draw(2000, 2)) < 0.2


def test_a_set_has_no_distance_to_itself() -> None:
    x = draw(40, 7)
    assert fid(x, x) == pytest.approx(0, abs=1e-9)
    assert fid(x, x.flip(0)) == pytest.approx(0, abs=1e-9)
    assert kid(x, x) <= 0  # unbiased: the pairs of equals are on one side of the sum only


def test_diversity_is_the_mean_over_pairs() -> None:
    x = draw(15, 8)
    unit = (x / x.norm(dim=1, keepdim=True)).double()
    pairs = [1 - (unit[i] @ unit[j]).item() for i in range(15) for j in range(i)]
    assert diversity(x) == pytest.approx(np.mean(pairs), abs=1e-6)
    assert diversity(torch.eye(4)) == 1
    assert relative_diversity(x, x) == 1


def test_a_collapsed_generator_has_no_diversity() -> None:
    one = draw(1, 9)
    assert diversity(one.expand(30, -1)) == pytest.approx(0, abs=1e-12)
    assert relative_diversity(one.expand(30, -1), draw(30, 1)) == pytest.approx(0, abs=1e-12)
    assert relative_diversity(draw(5, 1), one.expand(30, -1)) == 0


@pytest.mark.parametrize("score", [fid, kid, relative_diversity])
def test_one_picture_is_no_set(score: object) -> None:
    assert callable(score)
    with pytest.raises(UserError, match="at least 2"):
        score(draw(1, 0), draw(5, 1))
    with pytest.raises(UserError, match="at least 2"):
        score(draw(5, 0), draw(1, 1))


def test_worse_pictures_have_worse_scores(photos: Tensor) -> None:
    see = network("efflite0")
    real, other = see(photos[::2]).pooled, photos[1::2]
    rng = torch.Generator().manual_seed(0)
    noise = torch.randn(other.shape, generator=rng)
    blurred = [other, *(gaussian_blur(other, 13, sigma) for sigma in (1.0, 3.0))]
    noisy = [other, *((other + strength * noise).clamp(-1, 1) for strength in (0.1, 0.6))]
    for score in (fid, kid):
        for family in (blurred, noisy):
            values = [score(see(pictures).pooled, real) for pictures in family]
            assert values == sorted(values), f"{score.__name__}: {values}"
    seen = see(other).pooled
    collapsing = [seen, seen[:6].repeat(4, 1), seen[:2].repeat(12, 1), seen[:1].repeat(24, 1)]
    shares = [relative_diversity(pooled, real) for pooled in collapsing]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] == pytest.approx(0, abs=1e-6)


def test_names_say_whose_features_they_are() -> None:
    x, y = SETS[0]
    ours = compare(x, y, "_efflite0")
    assert list(ours) == ["fid_efflite0", "kid_efflite0", "diversity"]
    assert list(compare(x, y, "")) == ["fid", "kid", "diversity"]
    assert ours["fid_efflite0"].value == fid(x, y)
    assert ours["kid_efflite0"].value == kid(x, y)
    assert all(score.half > 0 for score in ours.values())

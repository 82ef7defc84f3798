"""The GAN's equilibrium (Goodfellow et al. 2014, section 4.1) on eight Gaussians, through the shipped recipe."""

from statistics import median

import pytest
import torch
from torch import Tensor

from i2i import recipe
from i2i.data import centres
from i2i.data.gaussians import points
from i2i.nets import MLP, initialise
from i2i.session import Session

COUNT = 5000  # samples a score is measured on


def coverage(samples: Tensor, spec) -> tuple[int, float]:
    """(modes holding over 2 % of the samples within 3 standard deviations, share of samples within 3 of any mode)."""
    distance, nearest = torch.cdist(samples, centres(spec)).min(dim=1)
    close = distance < 3 * spec.std
    mass = torch.bincount(nearest[close], minlength=spec.modes) / len(samples)
    return int((mass > 0.02).sum()), close.float().mean().item()


def two_sample_accuracy(real: Tensor, fake: Tensor) -> float:
    """How well a fresh classifier, trained on one half, tells the other half apart: 0.5 if it cannot."""
    torch.manual_seed(1)
    classifier = initialise(MLP(2, 1, 64, 2), "kaiming")
    optimiser = torch.optim.Adam(classifier.parameters(), lr=3e-3)
    x, y = torch.cat([real, fake]), torch.cat([torch.ones(len(real)), torch.zeros(len(fake))])
    order = torch.randperm(len(x))
    train, test = order[: len(x) // 2], order[len(x) // 2 :]
    for _ in range(1000):
        batch = train[torch.randint(len(train), (256,))]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(classifier(x[batch])[:, 0], y[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    with torch.no_grad():
        return ((classifier(x[test])[:, 0] > 0) == (y[test] > 0.5)).float().mean().item()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_ring_is_covered_and_the_discriminator_ends_undecided(tmp_path):
    """All four criteria on the median of three seeds. An untrained D also says .5, so none of them stands alone.

    134 s for the three on 1 thread of a shared 2-core machine. Measured: modes 8, 8, 8; share .945 .951 .949; D on real
    .504 .510 .507, on fakes .493 .499 .492; two-sample accuracy .647 .653 .626. With kaiming weights, the
    networks' own default, the same recipe ends at 6, 6, 6 modes.
    """
    rows = []
    for seed in range(3):
        settings = recipe.load("gan_mixture", [f"seed={seed}"])
        session = Session(settings, tmp_path / str(seed), torch.device("cpu"))
        session.play()
        torch.manual_seed(100 + seed)
        with torch.no_grad():
            fake = session.product["generator"](*session.model.latent(settings, COUNT))
            real = points(settings.data, "test", COUNT, seed)
            on_real, on_fake = (session.model.judge(x).sigmoid().mean().item() for x in (real, fake))
        rows.append((*coverage(fake, settings.data), on_real, on_fake, two_sample_accuracy(real, fake)))
        print(f"seed {seed}: modes {rows[-1][0]}, share %.3f, D(real) %.3f, D(fake) %.3f, C2ST %.3f" % rows[-1][1:])
    modes, share, on_real, on_fake, accuracy = (median(column) for column in zip(*rows, strict=True))
    assert modes >= 7
    assert share >= 0.85
    assert 0.42 <= on_real <= 0.58
    assert 0.42 <= on_fake <= 0.58
    assert accuracy <= 0.80


def test_the_scores_tell_the_ring_from_a_collapse_and_from_noise():
    spec = recipe.load("gan_mixture").data
    ring = points(spec, "test", COUNT, 0)
    modes, share = coverage(ring, spec)
    assert modes == 8
    assert share == pytest.approx(0.989, abs=0.005)  # 1 - exp(-9/2): within 3 standard deviations in the plane
    assert two_sample_accuracy(points(spec, "test", COUNT, 1), ring) == pytest.approx(0.5, abs=0.03)
    collapsed = ring[ring[:, 0] > 0.5]  # three of the eight
    assert coverage(collapsed, spec)[0] == 3
    assert two_sample_accuracy(ring[: len(collapsed)], collapsed) > 0.8
    assert coverage(torch.randn(COUNT, 2), spec)[1] < 0.5

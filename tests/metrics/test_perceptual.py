"""The perceptual distance against a plain computation, and against what eyes say."""

import pytest
import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from i2i.metrics import distance, l1, network, perceptual


def test_there_is_one_value_for_each_picture_and_none_for_equal_ones(photos: Tensor) -> None:
    assert perceptual(photos[:3], photos[:3]).tolist() == [0, 0, 0]
    together = perceptual(photos[:3], photos[3:6])
    alone = torch.cat([perceptual(photos[i : i + 1], photos[i + 3 : i + 4]) for i in range(3)])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(together, perceptual(photos[3:6], photos[:3]))


def test_the_distance_by_hand() -> None:
    # directions of unit length: (1, 0) against (0.6, 0.8) differs by 0.16 + 0.64, whatever the lengths
    x = torch.tensor([5.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 1, 2)
    y = torch.cat([torch.tensor([3.0, 4.0]).view(1, 2, 1, 1), torch.tensor([2.0, 0.0]).view(1, 2, 1, 1)], dim=3)
    assert distance((x,), (y,)).item() == pytest.approx(0.8 / 2)
    assert distance((x, x), (y, x)).item() == pytest.approx(0.8 / 4)


def test_the_distance_is_that_of_the_networks_stages(photos: Tensor) -> None:
    see = network("efflite0")
    expected = torch.zeros(4)
    for x, y in zip(see(photos[:4]).stages, see(photos[4:8]).stages, strict=True):
        cosine = (x * y).sum(1) / (x.norm(dim=1) * y.norm(dim=1))
        expected += (2 - 2 * cosine).mean((1, 2)) / 5
    torch.testing.assert_close(perceptual(photos[:4], photos[4:8]), expected, atol=1e-4, rtol=1e-4)


def test_the_stronger_the_blur_or_noise_the_larger_the_distance(photos: Tensor) -> None:
    real = photos[:6]
    noise = torch.randn(real.shape, generator=torch.Generator().manual_seed(0))
    blurred = [real, *(gaussian_blur(real, 13, sigma) for sigma in (0.8, 1.6, 3.2))]
    noisy = [real, *((real + strength * noise).clamp(-1, 1) for strength in (0.1, 0.3, 0.9))]
    for family in (blurred, noisy):
        values = [perceptual(fake, real).mean().item() for fake in family]
        assert values == sorted(values)
        assert values[0] == 0


def test_a_slight_shift_is_nearer_than_a_blur_of_the_same_l1(photos: Tensor) -> None:
    """What L1 gets wrong (Zhang et al. 2018, figure 1)."""
    shifted, real = photos[::6, :, :, 1:], photos[::6, :, :, :-1]
    blurred = gaussian_blur(real, 13, 2.0)
    assert l1(shifted, real).mean() > l1(blurred, real).mean()
    assert perceptual(shifted, real).mean() < perceptual(blurred, real).mean()

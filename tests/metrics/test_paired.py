"""Scores against hand-made values and two independent libraries."""

import math

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio as torchmetrics_psnr
from torchmetrics.functional.image import structural_similarity_index_measure

from i2i.metrics import chroma, correlation, l1, psnr, ssim


def flat(value: float, n: int = 1, channels: int = 3, size: int = 16) -> Tensor:
    return torch.full((n, channels, size, size), value)


@pytest.fixture
def pairs() -> tuple[Tensor, Tensor]:
    """Four smooth pictures, and the same with more and more noise: n c h w in [-1, 1]."""
    rng = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.linspace(0, 6, 40), torch.linspace(0, 6, 48), indexing="ij")
    phase = torch.arange(12).view(4, 3, 1, 1)
    real = torch.sin(x + phase) * torch.cos(y - phase) * 0.8
    noise = torch.randn(real.shape, generator=rng) * torch.tensor([0.02, 0.1, 0.3, 0.8]).view(4, 1, 1, 1)
    return (real + noise).clamp(-1, 1), real


def hwc(picture: Tensor) -> np.ndarray:
    return picture.permute(1, 2, 0).numpy()


def test_there_is_one_value_for_each_picture(pairs: tuple[Tensor, Tensor]) -> None:
    fake, real = pairs
    for value in (l1(fake, real), psnr(fake, real), ssim(fake, real), correlation(fake, real), chroma(fake)):
        assert value.shape == (4,)


def test_the_value_of_a_picture_does_not_depend_on_the_others(pairs: tuple[Tensor, Tensor]) -> None:
    for score in (l1, psnr, ssim, correlation):
        together = score(*pairs)
        alone = torch.cat([score(fake[None], real[None]) for fake, real in zip(*pairs, strict=True)])
        torch.testing.assert_close(together, alone)


def test_l1_is_a_share_of_the_way_from_black_to_white() -> None:
    assert l1(flat(-1.0), flat(1.0)).item() == 1
    assert l1(flat(0.0), flat(0.5)).item() == 0.25
    assert l1(flat(0.3), flat(0.3)).item() == 0


def test_psnr_by_hand() -> None:
    # a constant error of d on the scale 0..1 has PSNR -20 log10 d
    assert psnr(flat(0.0), flat(0.2)).item() == pytest.approx(20, abs=1e-4)
    assert psnr(flat(-1.0), flat(1.0)).item() == pytest.approx(0, abs=1e-4)
    assert math.isfinite(psnr(flat(0.0), flat(0.0)).item())


def test_psnr_agrees_with_two_libraries(pairs: tuple[Tensor, Tensor]) -> None:
    fake, real = pairs
    for value, a, b in zip(psnr(fake, real), fake, real, strict=True):
        assert value.item() == pytest.approx(peak_signal_noise_ratio(hwc(b), hwc(a), data_range=2), abs=1e-3)
        assert value.item() == pytest.approx(torchmetrics_psnr(a[None], b[None], data_range=2.0).item(), abs=1e-3)


def test_ssim_of_a_picture_with_itself_is_one(pairs: tuple[Tensor, Tensor]) -> None:
    torch.testing.assert_close(ssim(pairs[1], pairs[1]), torch.ones(4))


def test_ssim_of_flat_pictures_by_hand() -> None:
    # without variance only the luminance term is left: (2 a b + c) / (a² + b² + c), c = (0.01 · 2)²
    a, b, c = 0.2, 0.6, 0.02**2
    assert ssim(flat(a), flat(b)).item() == pytest.approx((2 * a * b + c) / (a * a + b * b + c), abs=1e-4)


def test_ssim_agrees_with_scikit_image(pairs: tuple[Tensor, Tensor]) -> None:
    fake, real = pairs
    for value, a, b in zip(ssim(fake, real), fake, real, strict=True):
        other = structural_similarity(
            hwc(b), hwc(a), data_range=2, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        assert value.item() == pytest.approx(other, abs=1e-3)


def test_ssim_agrees_with_torchmetrics_where_the_window_is_inside(pairs: tuple[Tensor, Tensor]) -> None:
    _, full = structural_similarity_index_measure(*pairs, data_range=2.0, return_full_image=True)
    assert full.shape == pairs[0].shape
    torch.testing.assert_close(ssim(*pairs), full[..., 5:-5, 5:-5].mean((1, 2, 3)))
    tiny = torch.zeros(2, 3, 8, 8)  # no window fits: the mirrored borders count
    assert ssim(tiny, tiny).tolist() == [1, 1]


def test_correlation_agrees_with_numpy_on_the_luminance(pairs: tuple[Tensor, Tensor]) -> None:
    fake, real = pairs
    weights = np.array([0.299, 0.587, 0.114])
    for value, a, b in zip(correlation(fake, real), fake, real, strict=True):
        expected = np.corrcoef((hwc(a) @ weights).ravel(), (hwc(b) @ weights).ravel())[0, 1]
        assert value.item() == pytest.approx(expected, abs=1e-4)


def test_a_constant_dark_picture_has_no_correlation_however_small_its_l1(pairs: tuple[Tensor, Tensor]) -> None:
    night = pairs[1] * 0.05 - 0.95
    constant = flat(-0.95).new_full(night.shape, -0.95)
    assert l1(constant, night).max() < 0.02
    assert correlation(constant, night).tolist() == [0, 0, 0, 0]
    assert correlation(night, constant).tolist() == [0, 0, 0, 0]


def test_an_inverted_picture_has_correlation_minus_one(pairs: tuple[Tensor, Tensor]) -> None:
    torch.testing.assert_close(correlation(-pairs[1], pairs[1]), -torch.ones(4))


def test_correlation_is_blind_to_brightness_and_contrast(pairs: tuple[Tensor, Tensor]) -> None:
    torch.testing.assert_close(correlation(pairs[1] * 0.3 - 0.2, pairs[1]), torch.ones(4))


def test_correlation_of_grey_pictures_needs_no_colours(pairs: tuple[Tensor, Tensor]) -> None:
    grey = pairs[1][:, :1]
    torch.testing.assert_close(correlation(grey, grey), torch.ones(4))


def test_chroma_goes_from_grey_to_pure_colour() -> None:
    assert chroma(flat(0.4)).item() == 0
    red = torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    assert chroma(red).item() == 1
    assert chroma(torch.cat([red[..., :2], flat(0.0, size=4)[..., :2]], dim=-1)).item() == 0.5
    assert chroma(flat(0.4, channels=1)).item() == 0

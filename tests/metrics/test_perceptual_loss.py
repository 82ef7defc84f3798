"""The perceptual distance as a loss: the score's own value, with a way back to the pictures that are judged."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from i2i.errors import UserError
from i2i.metrics import features, network, perceptual
from i2i.metrics.features import SIZE
from i2i.metrics.perceptual import perceptual_loss


def test_it_is_the_mean_of_the_score_where_nothing_is_resized(photos: Tensor) -> None:
    large = F.interpolate(photos[::12], (SIZE, SIZE), mode="bilinear").clamp(-1, 1)
    expected = perceptual(large[:2], large[2:]).mean()
    torch.testing.assert_close(perceptual_loss(large[:2], large[2:]), expected, atol=1e-5, rtol=1e-5)
    assert expected > 0.1
    assert perceptual_loss(large, large).item() == 0


def test_grey_pictures_are_seen_as_equal_colours(photos: Tensor) -> None:
    grey = photos[:4].mean(1, keepdim=True)
    torch.testing.assert_close(
        perceptual_loss(grey[:2], grey[2:]), perceptual_loss(*(x.expand(-1, 3, -1, -1) for x in (grey[:2], grey[2:])))
    )
    with pytest.raises(UserError, match="grey or colour"):
        perceptual_loss(photos[:2, :2], photos[:2, :2])


def test_the_gradient_goes_to_the_fake_alone_and_downhill(photos: Tensor) -> None:
    fake, real = photos[:2].clone().requires_grad_(), photos[20:22].clone().requires_grad_()
    before = perceptual_loss(fake, real)
    before.backward()
    assert real.grad is None
    assert fake.grad is not None
    assert fake.grad.flatten(1).norm(dim=1).min() > 0
    see: nn.Module = network("efflite0")
    assert not list(see.parameters())
    assert not any(weight.requires_grad or weight.grad is not None for weight in see.buffers())
    with torch.no_grad():
        assert perceptual_loss(fake - 2 * fake.grad, real) < before


def test_the_gradient_is_that_of_finite_differences(photos: Tensor) -> None:
    fake, real = 0.8 * photos[:1], 0.8 * photos[20:21]
    way = torch.randn(fake.shape, generator=torch.Generator().manual_seed(0))
    way /= way.norm()
    fake.requires_grad_()
    (gradient,) = torch.autograd.grad(perceptual_loss(fake, real), fake)
    with torch.no_grad():
        slope = (perceptual_loss(fake + 0.02 * way, real) - perceptual_loss(fake - 0.02 * way, real)) / 0.04
    assert (gradient * way).sum().item() == pytest.approx(slope.item(), rel=0.05)


def test_equal_pictures_have_a_gradient_without_holes() -> None:
    flat = torch.zeros(1, 3, 64, 64, requires_grad=True)
    perceptual_loss(flat, torch.zeros(1, 3, 64, 64)).backward()
    assert flat.grad is not None
    assert flat.grad.isfinite().all()


def test_half_precision_gives_nearly_the_same(photos: Tensor) -> None:
    fake = photos[:2].clone().requires_grad_()
    exact = perceptual_loss(fake, photos[20:22])
    (expected,) = torch.autograd.grad(exact, fake)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = perceptual_loss(fake, photos[20:22])
    (found,) = torch.autograd.grad(rough, fake)
    assert rough.item() == pytest.approx(exact.item(), rel=0.02)
    assert found.dtype == torch.float32
    assert F.cosine_similarity(found.flatten(), expected.flatten(), dim=0) > 0.8


def test_a_network_that_was_first_made_without_gradients_can_be_trained_with() -> None:
    features.efflite0.cache_clear()
    fake = torch.rand(1, 3, 64, 64, requires_grad=True)
    with torch.inference_mode():
        features.efflite0()
    perceptual_loss(fake, torch.zeros(1, 3, 64, 64)).backward()
    assert fake.grad is not None

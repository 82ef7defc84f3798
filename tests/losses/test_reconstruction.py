import pytest
import torch
from skimage.metrics import structural_similarity

from i2i.losses import feature_matching, l1, l2, ssim


def pictures(seed: int) -> torch.Tensor:
    return torch.rand(2, 3, 24, 20, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_l1_and_l2_have_their_hand_computed_values():
    fake, real = torch.tensor([[0.0, 1.0]]), torch.tensor([[3.0, 0.0]])
    assert l1(fake, real).item() == 2
    assert l2(fake, real).item() == 5


@pytest.mark.parametrize("loss", [l1, l2, ssim])
def test_equal_pictures_cost_nothing_and_others_something(loss):
    assert loss(pictures(0), pictures(0)).item() == pytest.approx(0, abs=1e-6)
    assert loss(pictures(0), pictures(1)).item() > 0.1


@pytest.mark.parametrize("loss", [l1, l2, ssim])
def test_shapes_that_would_broadcast_are_an_error(loss):
    with pytest.raises(ValueError, match="one shape"):
        loss(pictures(0), pictures(0)[:1])


@pytest.mark.parametrize("loss", [l1, l2, ssim])
def test_half_precision_pictures_give_a_float32_loss(loss):
    assert loss(pictures(0).bfloat16(), pictures(1).bfloat16()).dtype == torch.float32


@pytest.mark.parametrize("mix", [0.1, 0.5, 1.0])
def test_ssim_is_scikit_images(mix):
    real = torch.nn.functional.interpolate(pictures(0), size=40, mode="bilinear")
    fake = (1 - mix) * real + mix * torch.nn.functional.interpolate(pictures(1), size=40, mode="bilinear")
    expected = [
        structural_similarity(
            a.numpy(),
            b.numpy(),
            channel_axis=0,
            data_range=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for a, b in zip(fake, real, strict=True)
    ]
    assert 1 - ssim(fake, real).item() == pytest.approx(sum(expected) / 2, abs=1e-5)


def test_ssim_is_computed_in_float32_under_autocast():
    expected = ssim(pictures(0), 0.99 * pictures(0))
    with torch.autocast("cpu", torch.bfloat16):
        assert ssim(pictures(0), 0.99 * pictures(0)) == expected


def test_going_down_the_ssim_loss_makes_pictures_more_alike():
    real, fake = pictures(0), pictures(1).requires_grad_()
    before = ssim(fake, real)
    before.backward()
    assert fake.grad.isfinite().all()
    assert ssim(fake.detach() - 100 * fake.grad, real) < before


def test_ssim_of_a_picture_below_its_window_is_an_error():
    with pytest.raises(ValueError, match=r"at least 11; got \(1, 3, 10, 16\)"):
        ssim(torch.zeros(1, 3, 10, 16), torch.zeros(1, 3, 10, 16))


def test_feature_matching_is_the_mean_over_layers_and_leaves_the_real_side_alone():
    fake = [torch.zeros(2, 3, requires_grad=True), torch.zeros(5, requires_grad=True)]
    real = [torch.full((2, 3), 4.0, requires_grad=True), torch.full((5,), -2.0, requires_grad=True)]
    loss = feature_matching(fake, real)
    loss.backward()
    assert loss.item() == 3
    assert all(feature.grad is not None for feature in fake)
    assert all(feature.grad is None for feature in real)


@pytest.mark.parametrize("lengths", [(0, 0), (2, 1), (1, 2)])
def test_feature_matching_of_unequal_or_no_layers_is_an_error(lengths):
    with pytest.raises(ValueError, match="as many layers"):
        feature_matching(*([torch.zeros(1)] * length for length in lengths))

import pytest
import torch

from i2i.losses.variation import total_variation


def test_a_ramp_has_its_slope_and_a_flat_picture_none() -> None:
    """3 across and 4 down in every pixel: √(9 + 16) = 5."""
    y, x = torch.meshgrid(torch.arange(4.0), torch.arange(5.0), indexing="ij")
    assert total_variation((3 * x + 4 * y).expand(2, 3, 4, 5)).item() == pytest.approx(5)
    assert total_variation(torch.ones(1, 1, 4, 4)).item() == pytest.approx(0, abs=1e-3)


def test_a_single_edge_counts_once_in_the_mean_over_pixels() -> None:
    picture = torch.zeros(1, 1, 3, 4)
    picture[..., 2:] = 1  # between columns 1 and 2: 2 of the 2 × 3 pixels that have both neighbours
    assert total_variation(picture).item() == pytest.approx(2 / 6, abs=1e-3)


def test_the_gradient_of_a_flat_picture_is_finite() -> None:
    picture = torch.zeros(1, 1, 4, 4, requires_grad=True)
    total_variation(picture).backward()
    assert torch.isfinite(picture.grad).all()


def test_a_single_row_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2; got"):
        total_variation(torch.zeros(1, 1, 1, 4))

"""DiffAugment against the paper's formulas, and the promise that what belongs together is moved together."""

import pytest
import torch

from i2i.errors import UserError
from i2i.losses import Augmentation, diffaugment, geometric

ALL: tuple[Augmentation, ...] = ("colour", "translation", "cutout")
MIDDLE = 0.5  # the draw that leaves brightness, contrast and saturation alone


def draws(n: int = 1, **columns: float) -> torch.Tensor:
    names = ("brightness", "saturation", "contrast", "down", "right", "row", "column")
    return torch.tensor([[columns.get(name, MIDDLE) for name in names]] * n)


def test_an_empty_policy_returns_the_picture_and_draws_nothing() -> None:
    x = torch.rand(2, 3, 8, 8)
    before = torch.get_rng_state()
    assert diffaugment(x, ()) is x
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", ALL)
def test_one_seed_draws_one_augmentation_and_each_picture_has_its_own(name: Augmentation) -> None:
    x = torch.rand(1, 3, 16, 16).expand(4, -1, -1, -1)
    torch.manual_seed(1)
    first = diffaugment(x, (name,))
    torch.manual_seed(1)
    assert torch.equal(diffaugment(x, (name,)), first)
    assert len(first.flatten(1).unique(dim=0)) == 4
    assert not torch.equal(diffaugment(x, (name,)), first)


@pytest.mark.parametrize("name", ["colour", "translation"])
def test_the_middle_draw_changes_nothing(name: Augmentation) -> None:
    x = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(diffaugment(x, (name,), draws(2)), x)


def test_brightness_saturation_and_contrast_are_the_papers() -> None:
    x = torch.rand(1, 3, 4, 4) * 2 - 1
    torch.testing.assert_close(diffaugment(x, ("colour",), draws(brightness=0.9)), x + 0.4)
    grey = x.mean(1, keepdim=True)
    torch.testing.assert_close(diffaugment(x, ("colour",), draws(saturation=0.0)), grey.expand_as(x))
    torch.testing.assert_close(diffaugment(x, ("colour",), draws(saturation=0.75)), grey + 1.5 * (x - grey))
    torch.testing.assert_close(diffaugment(x, ("colour",), draws(contrast=0.0)), x.mean() + 0.5 * (x - x.mean()))


@pytest.mark.parametrize(("draw", "pixels"), [(0.0, -2), (0.3, -1), (0.5, 0), (0.7, 1), (0.999999, 2), (1.0, 2)])
def test_a_translation_moves_whole_pixels_and_fills_with_grey(draw: float, pixels: int) -> None:
    x = torch.rand(1, 3, 16, 16) + 0.1
    padded = torch.nn.functional.pad(x, (2, 2, 2, 2))  # 20 × 20, grey around
    start = 2 - pixels
    assert torch.equal(diffaugment(x, ("translation",), draws(down=draw)), padded[:, :, start : start + 16, 2:-2])
    assert torch.equal(diffaugment(x, ("translation",), draws(right=draw)), padded[:, :, 2:-2, start : start + 16])


def test_all_translations_are_equally_likely() -> None:
    x = torch.zeros(4000, 1, 16, 16)
    x[:, :, 8, 8] = 1
    moved = diffaugment(x, ("translation",)).sum((0, 1))
    assert moved[6:11, 6:11].sum() == 4000, "at most 2 pixels of 16, either way"
    assert moved[6:11, 6:11].min() > 100
    assert moved[6:11, 6:11].max() < 220  # 160 expected, standard deviation 12.4


def test_a_cutout_is_a_square_of_half_the_side_that_may_hang_over_the_border() -> None:
    x = torch.ones(1000, 3, 16, 16)
    hidden = diffaugment(x, ("cutout",)) == 0
    assert hidden.sum((1, 2, 3)).max() == 3 * 8 * 8
    assert hidden.sum((1, 2, 3)).min() == 3 * 4 * 4
    corner = diffaugment(x[:1], ("cutout",), draws(row=0.0, column=0.999999)) == 0  # the centre at 0, 15
    assert corner[0, :, :4, -5:].all()
    assert corner.sum() == 3 * 4 * 5


def test_what_belongs_together_moves_together_and_a_condition_keeps_its_colours() -> None:
    question, answer = torch.rand(2, 4, 3, 16, 16) + 0.1
    u = torch.rand(4, 7)
    seen = diffaugment(question, geometric(ALL), u)
    still_there = diffaugment(torch.ones_like(question), geometric(ALL), u) != 0
    assert torch.equal(seen != 0, still_there)
    assert torch.equal(diffaugment(answer, ALL, u) != 0, still_there)
    assert set(seen.unique().tolist()) <= set(question.unique().tolist()) | {0.0}


def test_the_generators_gradient_passes_through() -> None:
    x = torch.rand(2, 3, 8, 8, dtype=torch.float64).requires_grad_()
    u = torch.rand(2, 7).double()
    assert torch.autograd.gradcheck(lambda x: diffaugment(x, ALL, u), x)


def test_gradients_do_not_pass_from_one_picture_to_another() -> None:
    x = torch.rand(3, 3, 8, 8).requires_grad_()
    diffaugment(x, ALL)[0].sum().backward()
    assert x.grad is not None
    assert x.grad[0].abs().sum() > 0
    assert not x.grad[1:].any()


def test_an_unknown_augmentation_gets_the_nearest_name() -> None:
    with pytest.raises(UserError, match=r"'color'.*colour"):
        diffaugment(torch.rand(1, 3, 8, 8), ("color",))  # type: ignore[arg-type]


def test_draws_for_another_number_of_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(2, 7\).*\(1, 7\)"):
        diffaugment(torch.rand(2, 3, 8, 8), ALL, torch.rand(1, 7))

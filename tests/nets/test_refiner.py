"""SimGAN's refiner stays on its pixels; its discriminator sees small patches."""

import torch

from i2i.nets import LocalDiscriminatorSpec, RefinerSpec

from .helpers import liven, parameters, pictures


def seen(net: torch.nn.Module, at: int) -> list[int]:
    """The columns of a wide picture that the output's middle row at column `at` depends on."""
    x = torch.rand(1, 1, 65, 65, requires_grad=True)
    y = net(x)
    y[0, 0, y.shape[2] // 2, at].backward()
    return torch.nonzero(x.grad[0, 0].abs().sum(0)).flatten().tolist()


def test_the_refiner_is_the_papers() -> None:
    """A 3 × 3 convolution, four blocks of two, and a 1 × 1 one, all of 64 channels but the ends."""
    conv = 64 * 64 * 9 + 64
    assert parameters(RefinerSpec().build(1, 1)) == 64 * 9 + 64 + 8 * conv + 64 + 1 == 296_129


def test_a_refined_pixel_depends_on_its_neighbourhood_alone() -> None:
    columns = seen(liven(RefinerSpec(blocks=2, width=4).build(1, 1)), 32)
    assert min(columns) >= 32 - 5
    assert max(columns) <= 32 + 5
    assert len(columns) > 5


def test_the_discriminator_is_the_papers_and_each_logit_sees_23_pixels() -> None:
    judge = LocalDiscriminatorSpec().build(1)
    convs = [96 * 9 + 96, 96 * 64 * 9 + 64, 64 * 32 * 9 + 32, 32 * 32 + 32, 32 + 1]
    assert parameters(judge) == sum(convs)
    assert judge(pictures(2, 1, 32)).shape == (2, 1, 8, 8)
    columns = seen(liven(LocalDiscriminatorSpec(width=6).build(1)), 8)
    assert max(columns) - min(columns) + 1 <= 23


def test_any_size_comes_back_as_it_was() -> None:
    net = RefinerSpec(blocks=1, width=4).build(3, 3)
    for height, width in ((1, 1), (7, 5), (32, 48)):
        assert net(torch.rand(1, 3, height, width)).shape == (1, 3, height, width)

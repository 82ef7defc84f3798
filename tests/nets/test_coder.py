"""f and g of the Domain Transfer Network: one code for a picture, a map of codes for a larger one."""

import pytest
import torch

from i2i.nets import Coder, DecoderSpec, EncoderSpec, PatchGANSpec

from .helpers import liven, parameters, pictures


def coder(size: int = 16, norm: str = "batch") -> Coder:
    return Coder(EncoderSpec(code=5, width=4).build(3, size), DecoderSpec(width=4, norm=norm).build(1, size, 5))


def test_it_has_the_papers_layers() -> None:
    """Three convolutions of 64, 128, 256 and one of 4 × 4 to 128."""
    f = EncoderSpec().build(3, 32)
    assert parameters(f) == 9 * (3 * 64 + 64 * 128 + 128 * 256) + 16 * 256 * 128 + 64 + 128 + 256 + 128
    assert f(pictures(2, 3, 32)).shape == (2, 128, 1, 1)
    g = DecoderSpec().build(1, 32, 128)
    assert g(torch.zeros(2, 128, 1, 1)).shape == (2, 1, 32, 32)


def test_every_size_it_allows_comes_back_and_a_picture_of_its_own_size_has_one_code() -> None:
    net = coder().eval()
    assert (net.multiple, net.minimum, net.inputs, net.outputs) == (4, 16, 3, 1)
    for height, width in ((16, 16), (16, 20), (24, 40)):
        made = net(torch.rand(1, 3, height, width))
        assert made.shape == (1, 1, height, width)
        assert made.abs().max() <= 1
    assert net.encoder(pictures(1, 3, 16)).shape == (1, 5, 1, 1)
    with pytest.raises(ValueError, match="multiples of 4, at least 16"):
        net(torch.rand(1, 3, 12, 16))


@pytest.mark.parametrize("norm", ["batch", "group", "none"])
def test_all_of_it_trains_and_the_picture_depends_on_the_code(norm: str) -> None:
    net = liven(coder(norm=norm))
    a, b = net(pictures(4, 3, 16)), net(pictures(4, 3, 16, seed=1))
    assert (a - b).abs().max() > 1e-3
    a.square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_a_norm_that_would_wipe_the_code_out_is_no_choice() -> None:
    with pytest.raises(ValueError, match="norm"):
        DecoderSpec(norm="instance")


def test_a_patch_discriminator_can_have_several_verdicts() -> None:
    judge = PatchGANSpec(layers=2, width=4)
    assert judge.build(1, logits=3)(pictures(2, 1, 16)).shape == (2, 3, 2, 2)
    assert judge.build(1)(pictures(2, 1, 16)).shape == (2, 1, 2, 2)

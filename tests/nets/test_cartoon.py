import pytest
import torch
from torch import nn

from i2i.nets import CartoonDiscriminatorSpec, CartoonGeneratorSpec

from .helpers import liven, on_meta, parameters, pictures


def test_the_generator_has_the_layers_of_the_figure():
    net = on_meta(lambda: CartoonGeneratorSpec().build(3, 3))
    convolutions = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    shapes = [(layer.in_channels, layer.out_channels, layer.kernel_size[0], layer.stride[0]) for layer in convolutions]
    assert shapes == [
        (3, 64, 7, 1), (64, 128, 3, 2), (128, 128, 3, 1), (128, 256, 3, 2), (256, 256, 3, 1),
        *[(256, 256, 3, 1)] * 16,
        (256, 128, 3, 2), (128, 128, 3, 1), (128, 64, 3, 2), (64, 64, 3, 1), (64, 3, 7, 1),
    ]  # fmt: skip
    assert [type(layer) for layer in net.encode[3:7]] == [nn.Conv2d, nn.Conv2d, type(net.encode[1]), nn.ReLU]
    assert parameters(net) == sum(i * o * k * k for i, o, k, _ in shapes) + 3


def test_the_discriminator_has_the_layers_of_the_figure():
    net = on_meta(lambda: CartoonDiscriminatorSpec().build(3))
    convolutions = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)]
    shapes = [(layer.in_channels, layer.out_channels, layer.stride[0]) for layer in convolutions]
    assert shapes == [(3, 32, 1), (32, 64, 2), (64, 128, 1), (128, 128, 2), (128, 256, 1), (256, 256, 1), (256, 1, 1)]
    assert sum(isinstance(layer, nn.InstanceNorm2d) for layer in net.modules()) == 3


def test_one_logit_sees_37_pixels():
    net = CartoonDiscriminatorSpec(width=1, norm="none").build(1)
    for name, parameter in net.named_parameters():
        nn.init.constant_(parameter, 0.1 if name.endswith("weight") else 0.0)
    x = torch.ones(1, 1, 96, 96, requires_grad=True)
    net(x)[0, 0, 12, 12].backward()
    assert (x.grad[0, 0] != 0).sum() == 37**2


@pytest.mark.parametrize("norm", ["instance", "batch", "group", "none"])
@pytest.mark.parametrize(("inputs", "outputs"), [(3, 3), (1, 3)])
def test_the_generator_keeps_the_size_stays_in_range_and_every_weight_trains(norm, inputs, outputs):
    net = CartoonGeneratorSpec(blocks=1, width=4, norm=norm).build(inputs, outputs)
    out = net(pictures(2, inputs, 16)[..., :12])
    assert out.shape == (2, outputs, 16, 12)
    assert out.abs().max() <= 1
    out.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())


def test_a_batch_of_four_equals_four_singles_in_eval():
    net = liven(CartoonGeneratorSpec(blocks=1, width=4, norm="batch").build(3, 3)).eval()
    x = pictures(4, 3, 16)
    torch.testing.assert_close(net(x), torch.cat([net(one) for one in x.split(1)]), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("spec", [CartoonDiscriminatorSpec(width=2), CartoonGeneratorSpec(blocks=1, width=2)])
def test_the_minimum_size_is_honest(spec):
    net = spec.build(3, 3) if isinstance(spec, CartoonGeneratorSpec) else spec.build(3)
    assert net(pictures(2, 3, net.minimum)).isfinite().all()
    with pytest.raises(ValueError, match=f"at least {net.minimum}"):
        net(pictures(2, 3, net.minimum - 1))

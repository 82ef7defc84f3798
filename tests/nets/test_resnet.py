from itertools import product

import pytest
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from torch import nn

from i2i.nets import Resnet, ResnetSpec
from i2i.nets.blocks import Blur, upsample2x

from .helpers import dead_biases, liven, on_meta, parameters, pictures


@pytest.mark.parametrize(("blocks", "ours", "published"), [(9, 11_372_931, 11_378_179), (6, 7_833_987, 7_837_699)])
def test_parameters_are_the_published_ones_less_the_dead_biases(blocks, ours, published):
    """The reference gives a bias to every convolution before an instance norm, which subtracts it again."""
    net = on_meta(lambda: Resnet(3, 3, blocks=blocks))
    assert parameters(net) == ours
    assert dead_biases(net) == 64 + 128 + 256 + blocks * 2 * 256 + 128 + 64
    assert ours + dead_biases(net) == published


def test_only_the_output_layer_has_a_bias():
    biased = [name for name, _ in Resnet(3, 3, blocks=1, width=2).named_parameters() if name.endswith("bias")]
    assert biased == ["decode.6.bias"]


def test_a_residual_block_with_zero_weights_passes_its_input():
    block = Resnet(3, 3, blocks=1, width=2).trunk[0]
    for parameter in block.parameters():
        nn.init.zeros_(parameter)
    x = pictures(1, 8, 4)
    assert torch.equal(block(x), x)


@pytest.mark.parametrize("padding", ["reflect", "replicate", "zero"])
def test_the_minimum_size_is_honest(padding):
    net = Resnet(3, 3, blocks=1, width=2, padding=padding)
    assert net(pictures(1, 3, net.minimum)).shape == (1, 3, 8, 8)
    with pytest.raises(ValueError, match=r"Resnet expected .* multiples of 4, at least 8; got 1 × 3 × 4 × 4"):
        net(pictures(1, 3, 4))


def test_a_setting_without_effect_is_an_error():
    with pytest.raises(ValidationError, match="needs norm: batch"):
        ResnetSpec(test_statistics="running")


# CUT's blurs


WAYS = product(["strided", "blur"], ["transposed", "resize-conv", "bilinear-conv"], ["instance", "batch"])
BLURS = [
    ResnetSpec(blocks=1, width=4, downsample=down, upsample=up, norm=norm)
    for down, up, norm in WAYS
    if down == "blur" or up == "bilinear-conv"
]


@pytest.mark.parametrize("spec", BLURS, ids=lambda spec: f"{spec.downsample}-{spec.upsample}-{spec.norm}")
def test_a_blurred_network_keeps_the_size_trains_and_gives_a_batch_as_singles(spec):
    net = spec.build(3, 2)
    x = pictures(2, 3, 24)[..., :16] * torch.tensor([0.5, 1.0]).view(2, 1, 1, 1)
    y = net(x)
    assert y.shape == (2, 2, 24, 16)
    y.square().mean().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in net.parameters())
    liven(net).eval()
    torch.testing.assert_close(net(x), torch.cat([net(one) for one in x.split(1)]), atol=1e-5, rtol=1e-4)
    assert net(pictures(1, 3, net.minimum)).shape == (1, 2, 8, 8)


def test_blurring_is_the_mean_of_two_means_of_neighbours_at_every_other_pixel():
    """1 2 1 is 1 1 after 1 1. Reflected, the pixel before the first is the second."""
    x = pictures(2, 3, 8)
    padded = F.pad(x, (1, 1, 1, 1), mode="reflect")
    torch.testing.assert_close(Blur(3)(x), F.avg_pool2d(F.avg_pool2d(padded, 2, stride=1), 2, stride=2))


def test_a_blur_lets_a_constant_pass_and_stops_the_finest_stripes():
    assert (Blur(1)(torch.ones(1, 1, 8, 8)) == 1).all()
    stripes = torch.tensor([1.0, -1.0]).repeat(4).expand(1, 1, 8, 8)
    assert not Blur(1)(stripes).any()


def test_bilinear_enlarging_is_the_filter_1_3_3_1_with_repeated_edges():
    x = pictures(2, 3, 5)
    row = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
    filt = torch.outer(row, row).expand(3, 1, 4, 4)
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    # A stride of 2 gives 2(h + 2) + 2 pixels; three at each side are of the padding.
    wanted = F.conv_transpose2d(padded, filt, stride=2, groups=3)[..., 3:-3, 3:-3]
    torch.testing.assert_close(upsample2x("bilinear-conv", 3, 4)[0](x), wanted)


def test_a_blurred_network_has_the_weights_of_a_plain_one():
    """CUT's 9 blocks, biases in front of norms left out. The blur is a constant: no optimiser sees it."""
    blurred = on_meta(lambda: Resnet(3, 3, downsample="blur", upsample="bilinear-conv"))
    assert parameters(blurred) == 11_372_931
    assert {key: tuple(value.shape) for key, value in blurred.named_buffers()} == {
        "encode.6.filt": (128, 1, 3, 3),
        "encode.10.filt": (256, 1, 3, 3),
    }


def test_a_network_built_without_memory_gets_its_blur_from_its_weights():
    """As a model is read from its file: nothing may be left on the meta device."""
    spec = ResnetSpec(blocks=1, width=4, downsample="blur", upsample="bilinear-conv")
    net, read = spec.build(3, 3), on_meta(lambda: spec.build(3, 3))
    read.load_state_dict(net.state_dict(), assign=True)
    x = pictures(1, 3, 16)
    assert torch.equal(read(x), net(x))


def test_a_blurred_network_compiles_to_one_graph_and_runs_in_bfloat16():
    net = ResnetSpec(blocks=1, width=4, downsample="blur", upsample="bilinear-conv").build(3, 3).eval()
    x = pictures(1, 3, 16)
    torch.testing.assert_close(torch.compile(net, backend="eager", fullgraph=True)(x), net(x))
    torch._dynamo.reset()
    expected = net(x)
    moved = net.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    torch.testing.assert_close(moved, expected, atol=1e-5, rtol=1e-4)
    assert net.bfloat16()(x.bfloat16()).isfinite().all()

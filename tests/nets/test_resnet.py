import pytest
import torch
from pydantic import ValidationError
from torch import nn

from i2i.nets import Resnet, ResnetSpec

from .helpers import dead_biases, on_meta, parameters, pictures


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

import pytest
import torch
from torch import nn

from i2i.nets import PatchGAN, receptive_field

from .helpers import dead_biases, on_meta, parameters, pictures


@pytest.mark.parametrize(("inputs", "published"), [(3, 2_765_633), (6, 2_768_705)])
def test_parameters_with_batch_norm_are_the_published_ones(inputs, published):
    assert parameters(on_meta(lambda: PatchGAN(inputs, norm="batch"))) == published


def test_parameters_with_instance_norm_are_the_published_ones_less_the_dead_biases():
    """The reference gives a bias to every convolution before an instance norm, which subtracts it again."""
    net = on_meta(lambda: PatchGAN(3))
    assert parameters(net) == 2_763_841
    assert dead_biases(net) == 128 + 256 + 512
    assert 2_763_841 + dead_biases(net) == 2_764_737


@pytest.mark.parametrize(("layers", "published"), [(0, 1), (1, 16), (2, 34), (3, 70), (4, 142), (5, 286)])
def test_one_logit_sees_exactly_the_published_patch(layers, published):
    net = PatchGAN(1, layers=layers, width=1, norm="none")
    for name, parameter in net.named_parameters():
        nn.init.constant_(parameter, 0.1 if name.endswith("weight") else 0.0)
    size = 12 * 2**layers
    x = torch.ones(1, 1, size, size, requires_grad=True)
    logits = net(x)
    middle = logits.shape[-1] // 2
    logits[0, 0, middle, middle].backward()
    seen = x.grad[0, 0] != 0
    assert seen.any(dim=0).sum() == seen.any(dim=1).sum() == published
    assert seen.sum() == published**2
    assert receptive_field(layers) == published


def test_a_256_pixel_picture_has_30_by_30_patches():
    assert on_meta(lambda: PatchGAN(3))(torch.empty(1, 3, 256, 256, device="meta")).shape == (1, 1, 30, 30)


@pytest.mark.parametrize("layers", [0, 1, 2, 3, 4])
def test_the_minimum_size_is_honest(layers):
    net = PatchGAN(3, layers=layers, width=1)
    assert net(pictures(1, 3, net.minimum)).shape[:2] == (1, 1)
    with pytest.raises(ValueError, match=f"PatchGAN expected .* at least {net.minimum}"):
        net(pictures(1, 3, net.minimum - 1))


def test_features_end_in_the_logits_and_none_is_missing():
    net = PatchGAN(3, layers=3, width=2)
    x = pictures(1, 3, 32)
    features = net.features(x)
    assert [feature.shape[1] for feature in features] == [2, 4, 8, 16, 1]
    assert torch.equal(features[-1], net(x))


def test_the_first_layer_has_no_norm():
    assert [type(layer) for layer in PatchGAN(3, width=2).stages[0]] == [nn.Conv2d, nn.LeakyReLU]


def test_the_pixel_variant_judges_each_pixel_by_itself():
    net = PatchGAN(3, layers=0, width=4, norm="none")
    x = pictures(1, 3, 8)
    assert net(x).shape == (1, 1, 8, 8)
    torch.testing.assert_close(net(x.flip(3)), net(x).flip(3))

import pytest
import torch
from torch import nn

from i2i.nets.blocks import spectral_norm
from i2i.nets.init import fan_in, initialise, raw_weight

LARGE = [lambda: nn.Conv2d(512, 512, 4), lambda: nn.ConvTranspose2d(512, 512, 4), lambda: nn.Linear(512, 512)]


@pytest.mark.parametrize("layer", LARGE)
def test_normal_weights_have_mean_0_and_std_002_and_biases_are_0(layer):
    net = initialise(layer())
    assert net.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert abs(net.weight.mean().item()) < 0.001
    assert not net.bias.any()


def test_normal_batch_norm_gains_are_around_1_and_biases_0():
    net = initialise(nn.BatchNorm2d(4096))
    assert net.weight.mean().item() == pytest.approx(1, abs=0.002)
    assert net.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not net.bias.any()


def test_instance_norm_gains_start_at_exactly_1():
    assert (initialise(nn.InstanceNorm2d(8, affine=True)).weight == 1).all()


def test_spectral_norm_weights_are_initialised_where_the_optimiser_moves_them():
    net = initialise(spectral_norm(nn.Conv2d(64, 64, 4)))
    assert raw_weight(net).std().item() == pytest.approx(0.02, rel=0.05)
    assert raw_weight(net) is net.parametrizations.weight.original
    assert raw_weight(net).requires_grad
    assert net.training


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("layer", [nn.Conv2d, nn.ConvTranspose2d])
def test_kaiming_keeps_the_signal_through_a_relu_layer(layer, stride):
    torch.manual_seed(0)
    net = initialise(layer(64, 64, 4, stride=stride, bias=False), "kaiming")
    x = torch.randn(2, 64, 24, 24)
    inside = net(x.relu())[:, :, 4:-4, 4:-4]
    assert inside.square().mean().item() == pytest.approx(x.square().mean().item(), rel=0.1)


def test_fan_in_counts_what_one_output_sums():
    assert fan_in(nn.Conv2d(6, 4, 3, groups=2)) == 27
    assert fan_in(nn.ConvTranspose2d(6, 4, 4, stride=2)) == 24
    assert fan_in(nn.Linear(7, 2)) == 7


def test_orthogonal_rows_are_orthogonal_and_scaled_by_the_gain():
    weight = initialise(nn.Conv2d(8, 16, 4), "orthogonal", gain=0.5).weight.flatten(1)
    torch.testing.assert_close(weight @ weight.T, 0.25 * torch.eye(16), atol=1e-5, rtol=0)


def test_one_seed_gives_one_network():
    def weights():
        torch.manual_seed(7)
        return initialise(nn.Conv2d(3, 8, 4)).weight

    assert torch.equal(weights(), weights())

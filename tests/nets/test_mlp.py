import pytest
import torch
from torch import nn

from i2i.nets import MLP, MLPDiscriminator, MLPGenerator

from .helpers import parameters, pictures


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_depth_counts_hidden_layers_and_the_last_layer_is_linear(depth):
    net = MLP(2, 5, width=8, depth=depth)
    assert sum(isinstance(layer, nn.Linear) for layer in net.layers) == depth + 1
    assert isinstance(net.layers[-1], nn.Linear)
    assert net(torch.randn(7, 2)).shape == (7, 5)


def test_without_hidden_layers_it_is_a_linear_map():
    net = MLP(2, 1, depth=0)
    a, b = torch.randn(2, 3, 2)
    torch.testing.assert_close(net(a + b) + net(torch.zeros(3, 2)), net(a) + net(b))


def test_parameters_are_those_of_the_formula():
    assert parameters(MLP(2, 1, width=128, depth=3)) == (2 + 1) * 128 + 2 * (128 + 1) * 128 + 128 + 1


@pytest.mark.parametrize("activation", ["leaky-relu", "relu", "tanh"])
def test_one_wide_hidden_layer_fits_a_curve_and_a_narrow_one_does_not(activation):
    """Universal approximation (Cybenko 1989; Hornik 1991), by ridge regression on the hidden layer's features."""
    torch.manual_seed(0)
    x = torch.linspace(-2, 2, 400)[:, None]
    curve = torch.sin(3 * x) + 0.3 * torch.cos(9 * x)

    def worst(width: int) -> float:
        net = MLP(1, 1, width=width, depth=1, activation=activation)
        nn.init.normal_(net.layers[0].weight, 0, 6)
        nn.init.uniform_(net.layers[0].bias, -12, 12)
        features = torch.cat([net.layers[:2](x), torch.ones_like(x)], dim=1).detach().double()
        solution = torch.linalg.lstsq(features, curve.double(), driver="gelsd").solution
        return (features @ solution - curve).abs().max().item()

    assert worst(256) < 0.05
    assert worst(2) > 0.2


@pytest.mark.parametrize("classes", [0, 4])
def test_pictures_from_noise_and_logits_from_pictures(classes):
    generator, discriminator = MLPGenerator(6, 3, 8, classes=classes), MLPDiscriminator(3, 8, classes=classes)
    y = torch.tensor([1, 2]) if classes else None
    fake = generator(torch.randn(2, 6), y)
    assert fake.shape == (2, 3, 8, 8)
    assert fake.abs().max() <= 1
    assert discriminator(fake, y).shape == (2,)


def test_another_label_gives_another_picture_and_another_verdict():
    one, two = torch.tensor([1]), torch.tensor([2])
    generator, discriminator = MLPGenerator(6, 3, 8, classes=4), MLPDiscriminator(3, 8, classes=4)
    z, x = torch.randn(1, 6), pictures(1, 3, 8)
    assert not torch.allclose(generator(z, one), generator(z, two))
    assert not torch.allclose(discriminator(x, one), discriminator(x, two))


def test_wrong_shapes_are_errors():
    with pytest.raises(ValueError, match="expected n × 6; got 2 × 5"):
        MLPGenerator(6, 3, 8)(torch.zeros(2, 5))
    with pytest.raises(ValueError, match="expected n × 3 × 8 × 8; got 2 × 3 × 16 × 16"):
        MLPDiscriminator(3, 8)(torch.zeros(2, 3, 16, 16))

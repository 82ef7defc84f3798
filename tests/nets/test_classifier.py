"""The classifiers of semi-supervised GANs: the paper's sizes, K logits of features, noise in training alone."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from i2i.errors import UserError
from i2i.nets import ConvClassifierSpec, MLPClassifierSpec

from .helpers import parameters, pictures


def test_the_mlp_is_that_of_the_paper_for_mnist() -> None:
    """1000, 500, 250, 250 and 250 units, and ten logits."""
    widths = [784, 1000, 500, 250, 250, 250, 10]
    net = MLPClassifierSpec().build(1, 28, 10)
    assert parameters(net) == sum(a * b + b for a, b in pairwise(widths))
    assert [layer.std for layer in net.layers if hasattr(layer, "std")] == [0.3] + 5 * [0.5]


@pytest.mark.parametrize("spec", [MLPClassifierSpec(width=4), ConvClassifierSpec(width=4)], ids=lambda s: s.kind)
@pytest.mark.parametrize(("channels", "size"), [(1, 8), (3, 32)])
def test_logits_are_linear_in_features_and_all_weights_train(
    spec: MLPClassifierSpec | ConvClassifierSpec, channels: int, size: int
) -> None:
    torch.manual_seed(0)
    net = spec.build(channels, size, 7)
    x = pictures(5, channels, size)
    assert net(x).shape == (5, 7)
    net(x).square().sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.eval()
    h = net.hidden(x)
    assert h.ndim == 2
    assert torch.equal(net.verdict(h), net(x))
    assert torch.allclose(net(x), h @ net.head.weight.T + net.head.bias, atol=1e-5)
    assert not any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in net.modules())


def test_a_size_that_cannot_be_halved_down_is_refused() -> None:
    with pytest.raises(UserError, match="power of two"):
        ConvClassifierSpec().build(3, 24, 10)
    with pytest.raises(ValueError, match=r"expected n × 3 × 32 × 32; got 2 × 1 × 32 × 32"):
        ConvClassifierSpec(width=4).build(3, 32, 10)(torch.zeros(2, 1, 32, 32))

"""Minibatch discrimination: the paper's sums, by hand, and what they must and must not depend on."""

from math import exp

import pytest
import torch

from i2i.engine.estimate import batch_statistics
from i2i.nets import MinibatchDiscrimination


def lively(features: int = 4, kernels: int = 3, dim: int = 2) -> MinibatchDiscrimination:
    torch.manual_seed(0)
    layer = MinibatchDiscrimination(features, kernels, dim)
    with torch.no_grad():
        layer.tensor.normal_()
    return layer


def test_three_samples_by_hand() -> None:
    """f is one number, 0, 1 and 3; kernel 0 takes it as (f, 2f), kernel 1 as (-f, 0)."""
    layer = MinibatchDiscrimination(1, 2, 2)
    with torch.no_grad():
        layer.tensor.copy_(torch.tensor([[[1.0, 2.0], [-1.0, 0.0]]]))
    out = layer(torch.tensor([[0.0], [1.0], [3.0]]))
    near, far, middle = 1, 3, 2  # |f_i - f_j| of 0 and 1, 0 and 3, 1 and 3
    wanted = [
        [0, exp(-3 * near) + exp(-3 * far), exp(-near) + exp(-far)],
        [1, exp(-3 * near) + exp(-3 * middle), exp(-near) + exp(-middle)],
        [3, exp(-3 * far) + exp(-3 * middle), exp(-far) + exp(-middle)],
    ]
    assert torch.allclose(out, torch.tensor(wanted), atol=1e-6)


def test_equal_samples_count_each_other_and_not_themselves() -> None:
    layer, one = lively(), torch.randn(1, 4)
    for n in (1, 2, 7):
        assert torch.equal(layer(one.expand(n, -1))[:, 4:], torch.full((n, 3), float(n - 1)))


def test_strangers_keep_their_digits() -> None:
    """A sum less its own term of 1 would lose them."""
    layer = MinibatchDiscrimination(1, 1, 1)
    with torch.no_grad():
        layer.tensor.fill_(1)
    assert layer(torch.tensor([[0.0], [20.0]]))[0, 1].item() == pytest.approx(exp(-20), rel=1e-5)


def test_the_order_of_a_batch_is_that_of_what_is_found() -> None:
    layer, h = lively(), torch.randn(6, 4)
    order = torch.randperm(6)
    assert torch.allclose(layer(h)[order], layer(h[order]), atol=1e-6)


def test_maps_are_seen_by_their_means_and_told_everywhere() -> None:
    layer, h = lively(), torch.randn(5, 4, 2, 3)
    out = layer(h)
    assert out.shape == (5, layer.outputs, 2, 3) == (5, 7, 2, 3)
    assert torch.equal(out[:, :4], h)
    assert torch.allclose(out[:, 4:], layer(h.mean((2, 3)))[:, 4:, None, None].expand(-1, -1, 2, 3), atol=1e-6)


def test_it_is_computed_in_float32_under_autocast() -> None:
    layer, h = lively(), torch.randn(6, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(layer(h), layer.float()(h))
        assert layer(h.bfloat16()).dtype == torch.bfloat16
    assert torch.equal(layer.likeness(h.bfloat16()), layer.likeness(h.bfloat16().float()))


def test_gradients_and_those_of_a_penalty_on_them_flow() -> None:
    layer, h = lively(), torch.randn(5, 4, requires_grad=True)
    (slope,) = torch.autograd.grad(layer(h).square().sum(), h, create_graph=True)
    slope.square().sum().backward()
    assert layer.tensor.grad is not None
    assert layer.tensor.grad.abs().max() > 0
    assert h.grad is not None


def test_as_it_begins_it_tells_samples_apart_without_taking_them_for_strangers() -> None:
    torch.manual_seed(0)
    for features, dim in ((8, 5), (512, 5), (512, 50)):
        o = MinibatchDiscrimination(features, 20, dim)(torch.randn(65, features))[:, features:]
        assert 0.1 < o.mean() / 64 < 0.6


def test_a_batch_with_it_is_never_played_in_parts() -> None:
    assert batch_statistics(torch.nn.Sequential(lively())) == ["0"]


@pytest.mark.parametrize("shape", [(3, 5), (3,), (3, 4, 2)])
def test_other_features_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected n × 4 \(× p × q\); got"):
        lively()(torch.zeros(shape))

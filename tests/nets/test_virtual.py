"""Virtual batch norm: the authors' formula, and a sample that does not depend on the others of its batch."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from i2i.engine.estimate import batch_statistics
from i2i.engine.tuning import recompute
from i2i.export import graph
from i2i.nets import DCGANGeneratorSpec, Virtual, VirtualBatchNorm, with_virtual_norms


def formula(x: Tensor, count: int, eps: float = 1e-5) -> Tensor:
    """With mean and mean square, in double: n c, or n c h w."""
    values = x.double().reshape(*x.shape[:2], -1)  # n c places
    middle, square = (part[:count].mean((0, 2)) for part in (values, values.square()))
    share, rows = 1 / (count + 1), []
    for i, sample in enumerate(values):  # c places
        own = 0 if i < count else share
        mean = own * sample.mean(1) + (1 - own) * middle
        squares = own * sample.square().mean(1) + (1 - own) * square
        rows.append((sample - mean[:, None]) / (squares - mean.square() + eps).sqrt()[:, None])
    return torch.stack(rows).reshape(x.shape)


def layer(channels: int, count: int) -> VirtualBatchNorm:
    norm = VirtualBatchNorm(channels)
    norm.reference = count
    return norm


@pytest.mark.parametrize("shape", [(9, 3), (9, 3, 4, 5)])
def test_it_is_the_formula_of_the_authors_code(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    norm, x = layer(3, 5), torch.randn(shape) * 2 + 1
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2.0, 3.0]))
        norm.bias.copy_(torch.tensor([0.0, 1.0, -1.0]))
    view = (1, 3, *(1 for _ in shape[2:]))
    wanted = formula(x, 5) * torch.tensor([1.0, 2.0, 3.0]).view(view) + torch.tensor([0.0, 1.0, -1.0]).view(view)
    assert torch.allclose(norm(x).double(), wanted, atol=1e-5)


def test_the_reference_itself_is_normalised_as_by_batch_norm() -> None:
    torch.manual_seed(0)
    norm, x = layer(3, 6), torch.randn(8, 3, 4, 4)
    plain = nn.BatchNorm2d(3)
    plain.weight.data.copy_(norm.weight.data)
    assert torch.allclose(norm(x)[:6], plain(x[:6]), atol=1e-5)


def test_a_large_mean_costs_no_digits() -> None:
    """Where a mean of squares less a squared mean is nothing but rounding, or negative."""
    torch.manual_seed(0)
    x = torch.randn(12, 2, 8, 8) * 1e-2 + 100
    assert torch.allclose(layer(2, 8)(x), layer(2, 8)(x.double() - 100).float(), rtol=0.1, atol=0.05)


def test_gains_start_as_published() -> None:
    torch.manual_seed(0)
    norm = VirtualBatchNorm(4000)
    assert norm.weight.mean().item() == pytest.approx(1, abs=0.002)
    assert norm.weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert not norm.bias.any()


def generator(classes: int = 0, count: int = 6) -> Virtual:
    torch.manual_seed(0)
    net = with_virtual_norms(DCGANGeneratorSpec(noise=5, width=4, gain=0.2).build(1, 16, classes))
    labels = (torch.arange(count) % classes,) if classes else ()
    return Virtual(net, torch.randn(count, 5), *labels)


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("training", [True, False])
def test_a_sample_is_the_same_to_the_last_bit_whatever_the_others_are(classes: int, training: bool) -> None:
    net = generator(classes).train(training)
    labels = (torch.tensor([0, 2, 1, 1]),) if classes else ()
    z = torch.randn(4, 5)
    others = torch.cat([z[:1], 100 * torch.randn(3, 5)])
    first = net(z, *labels)[0]
    assert torch.equal(first, net(others, *labels)[0])
    assert torch.allclose(first, net(z[:1], *(part[:1] for part in labels))[0], atol=1e-6)
    plain = DCGANGeneratorSpec(noise=5, width=4, gain=0.2).build(1, 16).train()
    assert not torch.equal(plain(z)[0], plain(others)[0])  # batch norm, in training


def test_both_passes_train_the_weights() -> None:
    """The statistics of the reference are those of today's weights, and gradients flow through them."""
    net = generator()
    net(torch.randn(3, 5)).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in net.parameters())
    norm, x = layer(2, 3), torch.randn(4, 2, requires_grad=True)
    norm(x)[3].square().sum().backward()
    assert x.grad is not None
    assert x.grad[:3].abs().max() > 0


def test_the_reference_is_fixed_and_saved_with_the_weights() -> None:
    net, other = generator(3), generator(3)
    assert {"reference", "reference1"} <= net.state_dict().keys()
    before = net.reference.clone()
    with torch.no_grad():
        other.reference.normal_()
        for p in other.parameters():
            p.normal_()
    z, y = torch.randn(2, 5), torch.tensor([0, 1])
    assert not torch.equal(net(z, y), other(z, y))
    other.load_state_dict(net.state_dict())
    assert torch.equal(net(z, y), other(z, y))
    assert torch.equal(net.reference, before)
    assert torch.equal(copy.deepcopy(net)(z, y), net(z, y))


def test_it_is_a_generator_like_the_one_it_holds() -> None:
    net = generator(3)
    assert (net.noise, net.channels, net.size, net.classes) == (5, 1, 16, 3)
    assert not batch_statistics(net)
    with pytest.raises(AttributeError, match="absent"):
        _ = net.absent


@pytest.mark.parametrize("classes", [0, 3])
def test_it_is_exported_with_its_reference(classes: int) -> None:
    import onnxruntime

    net = generator(classes).eval()
    traced = graph.sampler(net)
    session = onnxruntime.InferenceSession(traced.model.SerializeToString(), providers=["CPUExecutionProvider"])
    for n in (1, 3):  # any number, not that of the example
        feed = {"noise": np.random.default_rng(n).normal(size=(n, 5)).astype(np.float32)}
        if classes:
            feed["label"] = np.arange(n) % classes
        (got,) = session.run(None, feed)
        wanted = traced.module(*(torch.from_numpy(part) for part in feed.values())).numpy()
        assert got.shape == wanted.shape == (n, 16, 16, 1)
        assert np.abs(got.astype(int) - wanted.astype(int)).max() <= 1
        assert got.std() > 1


def test_without_a_reference_or_a_layer_for_it_there_is_a_word() -> None:
    with pytest.raises(ValueError, match="no reference batch"):
        VirtualBatchNorm(3)(torch.zeros(2, 3))
    with pytest.raises(ValueError, match="with VirtualBatchNorm layers"):
        Virtual(DCGANGeneratorSpec(noise=5, width=4).build(1, 16), torch.zeros(2, 5))


def test_it_is_computed_in_float32_under_autocast() -> None:
    norm, x = layer(3, 4), torch.randn(6, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(norm(x), norm(x.clone()))
        assert norm(x).dtype == torch.float32
        assert norm(x.bfloat16()).dtype == torch.bfloat16


def test_it_compiles_to_one_graph_and_is_made_again_in_the_backward_pass() -> None:
    net, z = generator(), torch.randn(3, 5)
    plain = torch.autograd.grad(net(z).square().mean(), list(net.parameters()))
    again = copy.deepcopy(net)
    recompute(again)
    for a, b in zip(plain, torch.autograd.grad(again(z).square().mean(), list(again.parameters())), strict=True):
        assert torch.allclose(a, b, atol=1e-7)
    assert torch.allclose(torch.compile(net, backend="eager", fullgraph=True)(z), net(z), atol=1e-6)
    torch._dynamo.reset()

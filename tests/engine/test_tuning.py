import copy
import shutil
import sys
import types

import pytest
import torch
from torch import nn

from i2i.engine import tuning
from i2i.engine.ema import Ema
from i2i.engine.game import Game
from i2i.engine.memory import Curve
from i2i.errors import UserError
from i2i.nets import Compact, DCGANDiscriminator, PatchGAN, Resnet, UNet, initialise

from .helpers import sgd

CPU = torch.device("cpu")
NETWORKS = {
    "resnet": lambda: Resnet(3, 3, 2, 4, dropout=0.5),
    "resnet-batch-running": lambda: Resnet(
        3, 3, 2, 4, norm="batch", upsample="resize-conv", padding="zero", test_statistics="running"
    ),
    "unet-published": lambda: UNet(3, 3, 3, 4, norm="batch", dropout=0.5, dropout_at_test=True),
    "unet-resize": lambda: UNet(3, 3, 3, 4, norm="instance-affine", upsample="resize-conv"),
    "compact": lambda: Compact(3, 3, 2, 4),
    "patch": lambda: PatchGAN(3, 2, 4),
    "patch-batch": lambda: PatchGAN(3, 2, 4, norm="batch"),
    "patch-spectral": lambda: PatchGAN(3, 2, 4, spectral=True),
    "dcgan": lambda: DCGANDiscriminator(3, 16, 4),
    "dcgan-spectral": lambda: DCGANDiscriminator(3, 16, 4, spectral=True),
}


def settings(**changes):
    return types.SimpleNamespace(**{"channels_last": False, "recompute": False, "compile": False, **changes})


def twins(name):
    torch.manual_seed(0)
    net = initialise(NETWORKS[name]())
    twin = copy.deepcopy(net)
    tuning.recompute(twin)
    return net, twin


def passed(net, x):
    """All that two forwards and one backward leave behind."""
    torch.manual_seed(1)
    x = x.clone().requires_grad_()
    first, second = net(x), net(x * 0.5)
    (first.square().mean() + second.abs().mean()).backward()
    return [first, second, x.grad, *(p.grad for p in net.parameters()), *net.buffers(), torch.get_rng_state()]


@pytest.mark.parametrize("name", NETWORKS)
def test_recomputation_trains_bit_for_bit_the_same(name):
    """Gradients, running averages, spectral norm's vectors, and the random numbers that follow."""
    net, twin = twins(name)
    x = torch.randn(2, 3, 16, 16)
    for a, b in zip(passed(net, x), passed(twin, x), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", NETWORKS)
def test_recomputation_changes_no_name_and_no_weight(name):
    net, twin = twins(name)
    assert list(net.state_dict()) == list(twin.state_dict())
    twin.load_state_dict(net.state_dict())
    assert [n for n, _ in net.named_modules()] == [n for n, _ in twin.named_modules()]


@pytest.mark.parametrize(
    ("name", "share"), [("resnet", 0.55), ("unet-resize", 0.9), ("compact", 0.55), ("patch", 0.75)]
)
def test_recomputation_keeps_less(name, share):
    net, twin = twins(name)
    x = torch.randn(4, 3, 64, 64)
    kept = []
    for each in (net, twin):
        with Curve(CPU) as curve:
            y = each(x)
        kept.append(curve.live)  # when the forward pass has ended and the backward pass has not begun
    assert y.requires_grad
    assert kept[1] < share * kept[0]


def test_no_convolution_is_made_twice():
    _, twin = twins("resnet")
    count = []
    for module in twin.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            module.register_forward_hook(lambda *_: count.append(1))
    y = twin(torch.randn(2, 3, 16, 16))
    once = len(count)
    y.mean().backward()
    assert len(count) == once  # a hook would have run if the convolution had come to its end a second time


@pytest.mark.parametrize(("then", "leaf"), [(False, True), (True, True), (True, False)])
def test_what_is_remade_is_frozen_as_it_was_in_the_forward_pass(then, leaf):
    """A pass may be made before a turn and descended inside it, when somebody else is frozen than was then."""
    net, twin = twins("resnet")
    found = []
    for each in (net, twin):
        torch.manual_seed(1)
        x = torch.randn(2, 3, 16, 16, requires_grad=leaf)
        y = each.requires_grad_(then)(x).mean()
        each.requires_grad_(not then)
        y.backward()
        assert all(p.requires_grad is not then for p in each.parameters())
        found.append(x.grad)
    assert torch.equal(*found) if leaf else found == [None, None]


def test_a_layer_that_remembers_its_forwards_is_not_remade():
    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("forwards", torch.zeros(()))

        def forward(self, x):
            self.forwards += 1
            return x * self.forwards

    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), Counter(), nn.ReLU(), nn.Conv2d(2, 1, 3))
    tuning.recompute(nn.ModuleList([net]))
    net(torch.randn(1, 1, 8, 8)).sum().backward()
    assert net[2].forwards == 1


@pytest.mark.parametrize("name", ["patch", "dcgan-spectral"])
def test_second_derivatives_pass_through_recomputation(name):
    """As a gradient penalty takes them."""
    found = []
    for net in twins(name):
        torch.manual_seed(1)
        x = torch.randn(2, 3, 16, 16, requires_grad=True)
        (slope,) = torch.autograd.grad(net(x).sum(), x, create_graph=True)
        slope.square().sum().backward()
        found.append([p.grad for p in net.parameters() if p.grad is not None])
    assert len(found[0]) == len(found[1]) > 0
    for a, b in zip(*found, strict=True):
        assert torch.allclose(a, b, atol=1e-6, rtol=1e-5)


def test_recomputation_is_off_in_eval_and_without_gradients(monkeypatch):
    _, twin = twins("resnet")
    monkeypatch.setattr(tuning, "checkpoint", lambda *_, **__: pytest.fail("recomputes"))
    with torch.no_grad():
        twin(torch.randn(1, 3, 16, 16))
    twin.eval()(torch.randn(1, 3, 16, 16))


@pytest.mark.parametrize("training", [False, True])
def test_a_network_that_recomputes_exports(training):
    net, twin = twins("unet-resize")
    x = torch.randn(1, 3, 16, 16)
    graph = torch.export.export(twin.train(training), (x,))
    assert torch.allclose(graph.module()(x), net.train(training)(x), atol=1e-5)


def test_a_copy_of_a_network_that_recomputes_has_weights_of_its_own():
    _, twin = twins("resnet")
    ema = Ema({"g": twin}, 0.5)
    before = [p.clone() for p in ema.networks["g"].parameters()]
    with torch.no_grad():
        for p in twin.parameters():
            p.add_(1)
    y = ema.networks["g"].train()(torch.zeros(1, 3, 16, 16))
    assert y.isfinite().all()
    for a, b in zip(before, ema.networks["g"].parameters(), strict=True):
        assert torch.equal(a, b)


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.g, self.judges = initialise(Resnet(3, 3, 1, 4)), nn.ModuleList([PatchGAN(3, 1, 4), PatchGAN(3, 1, 4)])
        self.loss = nn.L1Loss()


def test_channels_last_changes_the_layout_and_nothing_else():
    torch.manual_seed(0)
    model = Pair()
    twin = copy.deepcopy(model)
    tuning.prepare(twin, settings(channels_last=True), CPU)
    weight = twin.g.encode[0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert list(model.state_dict()) == list(twin.state_dict())
    x = torch.randn(2, 3, 16, 16)
    assert torch.allclose(model.g(x), twin.g(x), atol=1e-5)


def test_a_model_that_asks_for_nothing_is_left_alone():
    model = Pair()
    types_before = [type(module) for module in model.modules()]
    tuning.prepare(model, settings(), CPU)
    assert [type(module) for module in model.modules()] == types_before


def test_the_networks_of_a_model_are_those_that_have_weights():
    model = Pair()
    assert list(tuning.networks(model)) == [model.g, *model.judges]


def test_cuda_graphs_are_refused_on_a_cpu():
    with pytest.raises(UserError, match="compile: graphs needs a CUDA device, got cpu"):
        tuning.prepare(Pair(), settings(compile="graphs"), CPU)


def test_a_missing_compiler_is_told_before_the_first_step(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(UserError, match=r"needs a C\+\+ compiler.*apt install g\+\+"):
        tuning.prepare(Pair(), settings(compile=True), CPU)


def test_missing_headers_are_told_before_the_first_step(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda name: name)
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"include": str(tmp_path)})
    with pytest.raises(UserError, match=r"no Python\.h"):
        tuning.prepare(Pair(), settings(compile=True), CPU)


def can_compile():
    try:
        tuning.check_compiler(CPU)
    except UserError:
        return False
    return sys.platform == "linux"


@pytest.mark.slow
@pytest.mark.skipif(not can_compile(), reason="no compiler")
@pytest.mark.parametrize("recompute", [False, True])
def test_a_compiled_network_trains_as_an_eager_one_through_freezing_and_thawing(recompute):
    """Three turns, each freezing the other player: a graph compiled for a frozen network must not be used for a free
    one. And a copy that is averaged is a network of its own."""
    torch.manual_seed(0)
    model = nn.Module()
    model.g, model.d = initialise(Resnet(3, 3, 1, 4)), initialise(PatchGAN(3, 1, 4))
    compiled = copy.deepcopy(model)
    tuning.prepare(compiled, settings(compile=True, recompute=recompute), CPU)
    assert list(model.state_dict()) == list(compiled.state_dict())
    ema = Ema({"g": compiled.g}, 0.5)
    games = [Game({"g": sgd(m.g, lr=0.01), "d": sgd(m.d, lr=0.01)}) for m in (model, compiled)]
    start = copy.deepcopy(model.state_dict())
    for step in range(3):
        x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(step))
        for m, game in zip((model, compiled), games, strict=True):
            with game.turn("d") as turn:
                turn.minimise(real=(m.d(x) - 1).square().mean(), fake=m.d(m.g(x).detach()).square().mean())
            with game.turn("g") as turn:
                turn.minimise(fool=(m.d(m.g(x)) - 1).square().mean())
        ema.update()
        for (name, a), b in zip(model.named_parameters(), compiled.parameters(), strict=True):
            assert torch.allclose(a, b, atol=1e-5), name
            assert not torch.equal(b, start[name]), f"{name} does not train"
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    x = torch.randn(1, 3, 16, 16)
    with torch.no_grad():
        assert not torch.equal(ema.networks["g"](x), compiled.g(x))
        assert torch.allclose(model.g.eval()(x), compiled.g.eval()(x), atol=1e-5)

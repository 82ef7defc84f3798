import copy

import torch
from torch import nn

from i2i.engine.ema import Ema


def net() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))


def test_the_average_equals_its_closed_form_with_the_warm_up():
    """After n updates: Σ_t (1 - d_t) Π_{s>t} d_s · w_t + Π d_s · w_0, with d_t = min(decay, t / (t + 9)).

    Compared after each update: after many, nothing of the warm-up would be left to see.
    """
    source, decay, updates = net(), 0.6, 20
    ema = Ema({"net": source}, decay)
    seen, shares = [copy.deepcopy(list(source.parameters()))], [1.0]
    for t in range(1, updates + 1):
        with torch.no_grad():
            for p in source.parameters():
                p.add_(torch.randn_like(p))
        ema.update()
        seen.append(copy.deepcopy(list(source.parameters())))
        d = min(decay, t / (t + 9))
        shares = [d * share for share in shares] + [1 - d]
        for i, average in enumerate(ema.networks["net"].parameters()):
            expected = sum(share * parameters[i].double() for share, parameters in zip(shares, seen, strict=True))
            torch.testing.assert_close(average.double(), expected, atol=1e-5, rtol=1e-5)
    assert updates / (updates + 9) > decay  # both the warm-up and what follows it were compared


def test_buffers_are_copied_not_averaged():
    source = net()
    ema = Ema({"net": source}, 0.99)
    source(torch.randn(4, 1, 8, 8) + 3)  # moves the running statistics
    ema.update()
    for kept, current in zip(ema.networks["net"].buffers(), source.buffers(), strict=True):
        assert torch.equal(kept, current)


def test_the_averages_are_apart_from_their_sources_and_cannot_train():
    source = net().train()
    ema = Ema({"net": source}, 0.5)
    before = copy.deepcopy(ema.networks["net"].state_dict())
    with torch.no_grad():
        for p in source.parameters():
            p.zero_()
    assert all(torch.equal(before[key], value) for key, value in ema.networks["net"].state_dict().items())
    assert not any(p.requires_grad for p in ema.networks["net"].parameters())
    assert not ema.networks["net"].training
    assert source.training
    assert all(p.requires_grad for p in source.parameters())


def test_a_restored_average_goes_on_as_if_never_interrupted():
    torch.manual_seed(1)
    source = net()
    whole = Ema({"net": source}, 0.9)
    parts = Ema({"net": source}, 0.9)
    for step in range(6):
        with torch.no_grad():
            source[0].weight.add_(1)
        whole.update()
        parts.update()
        if step == 2:  # where the warm-up still depends on the count of updates
            state = copy.deepcopy(parts.state_dict())
            parts = Ema({"net": net()}, 0.9)
            parts.sources = {"net": source}
            parts.load_state_dict(state)
    for a, b in zip(whole.networks["net"].parameters(), parts.networks["net"].parameters(), strict=True):
        assert torch.equal(a, b)

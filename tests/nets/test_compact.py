import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from i2i.nets import Compact, CompactSpec, Resnet

from .helpers import on_meta, parameters, pictures


def multiply_adds(net: nn.Module, size: int = 256) -> int:
    with FlopCounterMode(display=False) as counter:
        net(torch.empty(1, 3, size, size, device="meta"))
    return counter.get_total_flops() // 2  # a multiply-add is counted as two


def test_a_tenth_of_the_residual_generators_multiply_adds_at_the_same_width():
    compact, resnet = on_meta(lambda: Compact(3, 3)), on_meta(lambda: Resnet(3, 3))
    assert multiply_adds(nn.Conv2d(3, 8, 3, padding=1, device="meta"), size=4) == 4 * 4 * 3 * 8 * 9
    assert multiply_adds(compact) <= 0.1 * multiply_adds(resnet)
    assert parameters(compact) <= 0.1 * parameters(resnet)


def test_the_trunk_sees_as_far_as_the_residual_generators():
    def reach(trunk: nn.Module, channels: int) -> int:
        x = torch.zeros(1, channels, 1, 41, requires_grad=True)
        for parameter in trunk.parameters():
            nn.init.constant_(parameter, 0.01)
        trunk(x)[0, :, 0, 20].sum().backward()
        return int(x.grad[0].any(dim=0).sum())

    compact = Compact(3, 3, blocks=4, width=4, norm="none", padding="zero").trunk
    resnet = Resnet(3, 3, blocks=4, width=4, norm="none", padding="zero").trunk
    assert reach(compact, 8) == reach(resnet, 16) == 1 + 4 * 4


def test_the_minimum_size_is_honest():
    net = Compact(3, 3, blocks=1, width=2)
    assert net(pictures(1, 3, net.minimum)).shape == (1, 3, 12, 12)


def test_it_learns_to_invert_colours():
    torch.manual_seed(0)
    net = CompactSpec(blocks=2, width=16).build(3, 3)
    optimiser = torch.optim.Adam(net.parameters(), lr=2e-3, betas=(0.5, 0.999))
    losses = []
    for step in range(80):
        coarse = pictures(4, 3, 4, seed=step)
        x = nn.functional.interpolate(coarse, size=32, mode="bilinear")
        loss = (net(x) + x).abs().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) / 5 < 0.6 * losses[0]  # not to 0: instance norm forgets a picture's mean colour

from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from i2i.nets import CoarseToFineSpec

from .helpers import dead_biases, liven, on_meta, parameters, pictures

SMALL = CoarseToFineSpec(levels=2, blocks=1, local_blocks=1, width=4)


def test_the_layers_are_the_papers():
    """G1: c7s1-64, d128 ... d1024, R1024 × 9, u512 ... u64, c7s1-3; G2: c7s1-32, d64, R64 × 3, u32, c7s1-3."""
    net = on_meta(lambda: CoarseToFineSpec().build(3, 3))
    sizes, total = (64, 128, 256, 512, 1024), 0
    total += 3 * 64 * 49 + sum(9 * a * b for a, b in pairwise(sizes))
    total += 9 * 2 * 9 * 1024**2 + sum(9 * a * b for a, b in pairwise(sizes))
    total += 3 * (64 * 49 + 1)
    total += 3 * 32 * 49 + 9 * 32 * 64 + 3 * 2 * 9 * 64**2 + 9 * 64 * 32 + 3 * (32 * 49 + 1)
    assert parameters(net) == total
    assert dead_biases(net) > 0  # those that the reference has and the norms cancel
    assert net.multiple == 32


def test_the_global_and_the_local_part_share_no_weight_and_are_all():
    net = SMALL.build(3, 3)
    one, other = ({id(p) for p in part} for part in (net.global_parameters(), net.local_parameters()))
    assert not one & other
    assert one | other == {id(p) for p in net.parameters()}


@pytest.mark.parametrize(("inputs", "outputs"), [(3, 3), (1, 4)])
def test_it_keeps_the_size_stays_in_range_and_every_weight_of_the_picture_trains(inputs, outputs):
    net = SMALL.build(inputs, outputs)
    out = net(pictures(2, inputs, 32)[..., :24])
    assert out.shape == (2, outputs, 32, 24)
    assert out.abs().max() <= 1
    out.square().mean().backward()
    without = {name for name, p in net.named_parameters() if p.grad is None}
    assert without == {"globe_picture.0.weight", "globe_picture.0.bias"}  # what only the first phase has
    net.coarse(pictures(2, inputs, 16)).square().mean().backward()
    assert all(p.grad is not None for p in net.global_parameters())


def test_until_it_is_enhanced_it_gives_at_rest_the_enlarged_picture_of_the_global_part():
    net, x = liven(SMALL.build(3, 3)), pictures(2, 3, 32)
    trained = net(x)
    net.eval()
    small = net.coarse(F.avg_pool2d(x, 2))
    torch.testing.assert_close(net(x), F.interpolate(small, scale_factor=2, mode="bilinear"))
    assert not torch.allclose(net(x), trained)
    net.enhanced.fill_(1)
    torch.testing.assert_close(net(x), trained, atol=1e-5, rtol=1e-4)
    assert net.state_dict()["enhanced"] == 1


def test_a_batch_of_four_equals_four_singles_and_the_sizes_are_honest():
    net = liven(SMALL.build(3, 3)).eval()
    net.enhanced.fill_(1)
    x = pictures(4, 3, 32)
    torch.testing.assert_close(net(x), torch.cat([net(one) for one in x.split(1)]), atol=1e-5, rtol=1e-4)
    assert net(pictures(1, 3, net.minimum)).shape[-1] == net.minimum == 16
    for size in (net.minimum - 8, net.minimum + 4):
        with pytest.raises(ValueError, match="multiples of 8, at least 16"):
            net(pictures(1, 3, size))


def test_it_compiles_to_one_graph():
    net, x = SMALL.build(3, 3).eval(), pictures(1, 3, 32)
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), net(x))
    torch._dynamo.reset()

"""What CUT sees of a generator on its way in, and the heads that it sees it through."""

import pytest
import torch
from torch import nn

from i2i.engine.tuning import recompute
from i2i.nets import CompactSpec, ProjectionSpec, ResnetSpec
from i2i.nets.stations import stations, usual, widths

from .helpers import liven, pictures

SPECS = {
    "resnet": ResnetSpec(blocks=3, width=4),
    "resnet, blur": ResnetSpec(blocks=3, width=4, downsample="blur", upsample="bilinear-conv", norm="none"),
    "compact": CompactSpec(blocks=3, width=4),
}


@pytest.fixture(params=SPECS)
def net(request: pytest.FixtureRequest) -> nn.Module:
    return liven(SPECS[request.param].build(3, 3))


def test_stations_are_what_passes_by_in_a_forward_pass(net: nn.Module) -> None:
    x, passed = pictures(2, 3, 16), []
    convolutions = [layer for layer in net.encode if isinstance(layer, nn.Conv2d)]
    for layer in (*convolutions, *net.trunk):
        layer.register_forward_hook(lambda _, __, output: passed.append(output))
    net(x)
    found = [x, *passed]
    passed.clear()
    seen = stations(net, x, range(7))
    assert len(seen) == 7
    assert all(torch.equal(a, b) for a, b in zip(seen, found, strict=True))
    assert [each.shape[1] for each in seen] == widths(net, range(7))
    some = stations(net, x, [0, 2, 5])
    assert all(torch.equal(a, found[at]) for a, at in zip(some, [0, 2, 5], strict=True))


def test_nothing_behind_the_last_station_is_computed(net: nn.Module) -> None:
    net.trunk[1].register_forward_hook(lambda *_: pytest.fail("the second block was computed"))
    stations(net, pictures(1, 3, 16), [0, 3, 4])


def test_recomputation_changes_neither_features_nor_gradients(net: nn.Module) -> None:
    x, at = pictures(2, 3, 16), [0, 2, 3, 5]

    def gradients() -> list[torch.Tensor]:
        net.zero_grad()
        sum(each.square().mean() for each in stations(net, x, at)[1:]).backward()
        return [p.grad.clone() for p in net.parameters() if p.grad is not None]

    kept = gradients()
    recompute(net)
    made_again = gradients()
    assert len(kept) == len(made_again) > 0
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(kept, made_again, strict=True))


def test_the_usual_stations_see_the_patches_of_the_paper() -> None:
    """Receptive fields of 1, 9, 15, 35 and 99 pixels (Park et al. 2020, the appendix), with blur and without norms."""
    assert usual(9) == (0, 2, 3, 4, 8)
    assert [usual(blocks) for blocks in (0, 1, 2, 4)] == [(0, 2, 3), (0, 2, 3, 4), (0, 2, 3, 4), (0, 2, 3, 4, 5)]
    net = ResnetSpec(blocks=5, width=1, norm="none", downsample="blur", padding="zero").build(1, 1)
    for parameter in net.parameters():
        nn.init.ones_(parameter)
    x = torch.zeros(1, 1, 128, 128).requires_grad_()
    sides = []
    for seen in stations(net, x + 1, usual(9)):
        middle = seen.shape[-1] // 2
        (reached,) = torch.autograd.grad(seen[0, 0, middle, middle], x, retain_graph=True)
        sides.append(int((reached[0, 0].abs().sum(0) > 0).sum()))
    assert sides == [1, 9, 15, 35, 99]


@pytest.mark.parametrize("at", [[], [2, 1], [1, 1], [-1, 2], [0, 7]])
def test_stations_that_there_are_not_are_refused(at: list[int]) -> None:
    with pytest.raises(ValueError, match=r"of 0 to 6; got"):
        stations(SPECS["resnet"].build(3, 3), pictures(1, 3, 16), at)


def test_heads_look_at_their_places_and_answer_on_the_unit_sphere() -> None:
    heads = liven(ProjectionSpec(units=6).build([3, 4]))
    features, places = [pictures(2, 3, 8), pictures(2, 4, 4)], [torch.tensor([9, 0, 63]), torch.tensor([5, 2])]
    found = heads(features, places)
    assert [tuple(each.shape) for each in found] == [(2, 3, 6), (2, 2, 6)]
    assert all(torch.allclose(each.norm(dim=2), torch.ones(())) for each in found)
    first, _, second = heads.heads[0]
    x = second(first(features[0][1, :, 1, 1]).relu())  # place 9 of 8 × 8
    assert torch.allclose(found[0][1, 0], x / x.norm(), atol=1e-6)


def test_a_picture_without_contrast_has_no_direction_and_a_gradient_that_is_bounded() -> None:
    heads = ProjectionSpec(units=6).build([4])
    (found,) = heads([torch.zeros(1, 4, 4, 4)], [torch.arange(3)])
    assert not found.any()
    found.sum().backward()
    assert heads.heads[0][2].bias.grad.abs().max() <= 3 * 1.001e4

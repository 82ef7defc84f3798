import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from i2i.losses import rule
from i2i.nets import Discriminator, MultiScale, MultiScaleSpec, PatchGANSpec, receptive_field

from .helpers import pictures


def test_each_scale_judges_the_picture_at_half_the_size_of_the_one_before():
    net = MultiScaleSpec(scales=3, layers=1, width=4).build(3)
    x = pictures(2, 3, 48)
    half = (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4
    quarter = (half[..., ::2, ::2] + half[..., 1::2, ::2] + half[..., ::2, 1::2] + half[..., 1::2, 1::2]) / 4
    for logits, judge, seen in zip(net(x), net.judges, (x, half, quarter), strict=True):
        torch.testing.assert_close(logits, judge(seen))


def test_the_loss_is_the_sum_over_scales_of_means():
    net = MultiScaleSpec(scales=2, layers=1, width=4).build(3)
    fine, coarse = net(pictures(2, 3, 24))
    by_hand = sum(((logits - 1) ** 2).sum() / logits.numel() for logits in (fine, coarse))
    torch.testing.assert_close(rule("least-squares").real(net(pictures(2, 3, 24))), by_hand)
    assert fine.numel() != coarse.numel()


@pytest.mark.parametrize(("layers", "scales", "crop"), [(2, 3, 128), (3, 3, 256), (2, 2, 64)])
def test_a_logit_of_the_coarsest_scale_sees_the_whole_picture(layers, scales, crop):
    net = MultiScale(1, scales=scales, layers=layers, width=1, norm="none")
    for name, parameter in net.named_parameters():
        nn.init.constant_(parameter, 0.1 if name.endswith("weight") else 0.0)
    side = receptive_field(layers) * 2 ** (scales - 1)
    assert side >= crop
    x = torch.ones(1, 1, 3 * side, 3 * side, requires_grad=True)
    logits = net(x)[-1]
    middle = logits.shape[-1] // 2
    logits[0, 0, middle, middle].backward()
    assert (x.grad[0, 0] != 0).sum() == side**2


def test_features_are_those_of_each_scale_and_end_in_its_logits():
    net = MultiScaleSpec(scales=2, layers=2, width=2).build(3)
    x = pictures(1, 3, 32)
    seen = net.features(x)
    assert [[layer.shape[1] for layer in layers] for layers in seen] == [[2, 4, 8, 1]] * 2
    for layers, logits in zip(seen, net(x), strict=True):
        assert torch.equal(layers[-1], logits)


def test_scales_have_weights_of_their_own_and_all_of_them_train():
    net = MultiScaleSpec(scales=3, layers=1, width=4, norm="batch").build(3)
    rule("hinge").real(net(pictures(2, 3, 32))).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
    one, other = (dict(judge.named_parameters())["stages.0.0.weight"] for judge in list(net.judges)[:2])
    assert not torch.equal(one, other)


@pytest.mark.parametrize("scales", [1, 3])
def test_the_minimum_size_is_honest(scales):
    net = MultiScale(3, scales=scales, layers=1, width=1)
    assert all(logits.numel() for logits in net(pictures(1, 3, net.minimum)))
    with pytest.raises(ValueError, match=f"MultiScale expected .* at least {net.minimum}"):
        net(pictures(1, 3, net.minimum - 1))


def test_a_discriminator_is_chosen_by_its_kind_and_is_a_patchgan_where_none_is_named():
    adapter = TypeAdapter(Discriminator)
    assert adapter.validate_python({"layers": 2}) == PatchGANSpec(layers=2)
    assert adapter.validate_python({"kind": "multiscale", "scales": 2}) == MultiScaleSpec(scales=2)
    assert adapter.validate_python(MultiScaleSpec()) == MultiScaleSpec()
    for wrong in ({"kind": "multiscale", "scale": 2}, {"kind": "patches"}, {"scales": 3}):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)


def test_it_compiles_to_one_graph_and_runs_in_half_precision():
    net = MultiScaleSpec(scales=2, layers=1, width=4).build(3).eval()
    x = pictures(2, 3, 32)
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), net(x))
    torch._dynamo.reset()
    assert all(logits.isfinite().all() for logits in net.bfloat16()(x.bfloat16()))

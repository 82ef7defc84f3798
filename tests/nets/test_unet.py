import pytest
import torch
from pydantic import ValidationError
from torch import nn

from i2i.nets import UNet, UNetSpec

from .helpers import liven, on_meta, parameters, pictures


@pytest.mark.parametrize(("levels", "published"), [(8, 54_413_955), (7, 41_828_995)])
def test_parameters_are_the_published_ones(levels, published):
    assert parameters(on_meta(lambda: UNet(3, 3, levels=levels, norm="batch"))) == published


def test_the_bottleneck_is_one_pixel_without_a_norm():
    net = UNet(3, 3, levels=4, width=4)
    maps = {}
    net.downs[-1].register_forward_hook(lambda module, args, output: maps.update(bottleneck=output))
    net(pictures(1, 3, 16))
    assert maps["bottleneck"].shape[2:] == (1, 1)
    assert maps["bottleneck"].any()  # a norm over one value would leave nothing
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in net.downs[-1].modules())


def test_channels_double_up_to_eight_times_the_width():
    net = UNet(3, 3, levels=8, width=2)
    convs = [layer for down in net.downs for layer in down.modules() if isinstance(layer, nn.Conv2d)]
    assert [conv.out_channels for conv in convs] == [2, 4, 8, 16, 16, 16, 16, 16]


def test_dropout_is_on_the_first_three_decoder_layers():
    net = UNet(3, 3, levels=7, width=2, dropout=0.5)
    assert [any(isinstance(m, nn.Dropout) for m in up.modules()) for up in net.ups] == [True] * 3 + [False] * 3


def test_dropout_at_test_makes_eval_random_and_nothing_else_does():
    x = pictures(1, 3, 16)
    noisy = liven(UNet(3, 3, levels=4, width=4, dropout=0.5, dropout_at_test=True)).eval()
    quiet = liven(UNet(3, 3, levels=4, width=4, dropout=0.5)).eval()
    assert not torch.equal(noisy(x), noisy(x))
    assert torch.equal(quiet(x), quiet(x))


def test_every_decoder_layer_but_the_first_listens_to_its_skip():
    net = UNet(1, 1, levels=4, width=2, norm="none")
    net(pictures(1, 1, 16)).sum().backward()
    for layer, skipped in [(net.ups[1][1], 8), (net.ups[2][1], 4), (net.out[1], 2)]:
        from_below, from_skip = layer.weight.grad.split([layer.in_channels - skipped, skipped])
        assert from_below.any()
        assert from_skip.any()


def test_a_paper_mode_test_picture_does_not_depend_on_its_batch():
    net = liven(UNetSpec(levels=4, width=4, norm="batch").build(3, 3)).eval()
    x = pictures(4, 3, 16)
    torch.testing.assert_close(net(x), torch.cat([net(one) for one in x.split(1)]), atol=1e-5, rtol=1e-4)


def test_picture_and_running_statistics_give_different_test_pictures():
    x = pictures(1, 3, 16)
    by_picture = liven(UNet(3, 3, levels=3, width=4, test_statistics="picture")).eval()
    by_average = liven(UNet(3, 3, levels=3, width=4, test_statistics="running")).eval()
    assert not torch.allclose(by_picture(x), by_average(x))


@pytest.mark.parametrize("shape", [(1, 3, 24, 16), (1, 3, 16, 8), (1, 1, 16, 16)])
def test_a_picture_that_does_not_fit_is_an_error(shape):
    with pytest.raises(ValueError, match=r"UNet expected .* multiples of 16"):
        UNet(3, 3, levels=4, width=2)(torch.zeros(shape))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dropout_at_test": True}, "dropout above 0"),
        ({"test_statistics": "running"}, "needs norm: batch"),
        ({"bias": True, "norm": "none"}, "has no effect with norm: none"),
    ],
)
def test_a_setting_without_effect_is_an_error(settings, message):
    with pytest.raises(ValidationError, match=message):
        UNetSpec(**settings)


def biased(net: nn.Module) -> list[str]:
    return [name.removesuffix(".bias") for name, _ in net.named_parameters() if name.endswith("bias")]


def test_a_bias_is_where_no_norm_would_cancel_it():
    plain, published = UNet(3, 3, levels=4, width=2, norm="instance"), UNet(3, 3, 4, 2, norm="instance", bias=True)
    assert biased(plain) == ["out.1"]
    assert biased(published) == ["downs.0", "downs.3.1", "out.1"]
    assert biased(UNet(3, 3, levels=2, width=2, norm="instance", bias=True)) == ["downs.0", "downs.1.1", "out.1"]
    assert len(biased(UNet(3, 3, levels=4, width=2, norm="none"))) == 8


def test_every_bias_of_the_encoder_changes_the_picture():
    net = liven(UNetSpec(levels=3, width=4, bias=True).build(3, 3)).eval()
    x = pictures(1, 3, 8)
    before = net(x)
    for layer in (net.downs[0], net.downs[2][1]):
        with torch.no_grad():
            layer.bias.add_(1)
        assert not torch.allclose(net(x), before, atol=1e-3)
        before = net(x)

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from i2i.nets.blocks import (
    NoiseDropout,
    PictureBatchNorm2d,
    append_label,
    check_input,
    check_shape,
    dropout_layer,
    needs_bias,
    norm2d,
    spectral_norm,
    upsample2x,
)
from i2i.nets.init import initialise

from .helpers import pictures


def learned(layer: nn.BatchNorm2d) -> nn.BatchNorm2d:
    nn.init.normal_(layer.weight, 1, 0.5)
    nn.init.normal_(layer.bias, 0, 0.5)
    return layer


def test_picture_batch_norm_trains_as_batch_norm():
    ours, theirs = learned(PictureBatchNorm2d(5)), nn.BatchNorm2d(5)
    theirs.load_state_dict(ours.state_dict(), strict=False)
    x = pictures(4, 5, 6)
    torch.testing.assert_close(ours(x), theirs(x))


def test_picture_batch_norm_gives_a_batch_of_four_as_four_singles_in_eval():
    norm = learned(PictureBatchNorm2d(5)).eval()
    x = pictures(4, 5, 6) * torch.tensor([1.0, 2.0, 3.0, 4.0]).view(4, 1, 1, 1)
    torch.testing.assert_close(norm(x), torch.cat([norm(one) for one in x.split(1)]))


def test_picture_batch_norm_is_the_same_in_train_and_eval_at_batch_one():
    norm = learned(PictureBatchNorm2d(5))
    x = pictures(1, 5, 6)
    torch.testing.assert_close(norm.train()(x), norm.eval()(x))


def test_picture_batch_norm_keeps_no_running_averages():
    assert set(PictureBatchNorm2d(5).state_dict()) == {"weight", "bias"}


@pytest.mark.parametrize("kind", ["instance", "instance-affine", "batch"])
def test_a_bias_before_a_norm_is_dead(kind):
    norm = norm2d(kind, 5)
    x = pictures(2, 5, 6)
    torch.testing.assert_close(norm(x + torch.randn(1, 5, 1, 1)), norm(x), atol=1e-5, rtol=1e-4)
    assert not needs_bias(kind)


def test_without_a_norm_a_bias_is_needed():
    assert needs_bias("none")
    assert isinstance(norm2d("none", 5), nn.Identity)


def test_running_statistics_are_there_for_who_asks():
    assert norm2d("batch", 5, "running").running_mean is not None


@pytest.mark.parametrize("channels", [1, 3, 32, 48, 64])
def test_group_norm_divides_any_channel_count(channels):
    assert norm2d("group", channels)(pictures(2, channels, 4)).shape == (2, channels, 4, 4)


@pytest.mark.parametrize("kind", ["transposed", "resize-conv"])
@pytest.mark.parametrize("kernel", [3, 4])
@pytest.mark.parametrize("size", [1, 5, 8])
def test_upsampling_doubles_any_size(kind, kernel, size):
    assert upsample2x(kind, 2, 3, kernel)(pictures(1, 2, size)).shape == (1, 3, 2 * size, 2 * size)


def test_noise_dropout_stays_on_in_eval_and_plain_dropout_does_not():
    x = torch.ones(1, 1, 50, 50)
    assert isinstance(dropout_layer(0.5, at_test=True), NoiseDropout)
    assert (dropout_layer(0.5, at_test=True).eval()(x) == 0).any()
    assert torch.equal(dropout_layer(0.5).eval()(x), x)
    assert isinstance(dropout_layer(0.0, at_test=True), nn.Identity)


@pytest.mark.parametrize("layer", [nn.Conv2d(16, 32, 4), nn.ConvTranspose2d(16, 32, 4), nn.Linear(16, 32)])
def test_spectral_norm_keeps_the_largest_singular_value_at_one_after_a_new_initialisation(layer):
    layer = initialise(spectral_norm(layer))
    weight = layer.weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else layer.weight
    assert torch.linalg.matrix_norm(weight.flatten(1), 2).item() == pytest.approx(1, abs=0.03)


def test_a_label_joins_pictures_as_constant_maps_and_features_as_one_hot():
    y = torch.tensor([2, 0])
    maps = append_label(torch.zeros(2, 1, 4, 4), y, 3)[:, 1:]
    features = append_label(torch.zeros(2, 5), y, 3)[:, 5:]
    assert torch.equal(features, F.one_hot(y, 3).float())
    assert torch.equal(maps, features[:, :, None, None].expand(2, 3, 4, 4))


@pytest.mark.parametrize(("y", "classes"), [(None, 3), (torch.tensor([1]), 3), (torch.tensor([1, 1]), 0)])
def test_a_missing_miscounted_or_unwanted_label_is_an_error(y, classes):
    with pytest.raises(ValueError, match="expected"):
        append_label(torch.zeros(2, 1, 4, 4), y, classes)


@pytest.mark.parametrize("shape", [(1, 1, 8, 8), (3, 8, 8), (1, 3, 10, 8), (1, 3, 8, 10), (1, 3, 4, 4)])
def test_a_wrong_input_error_prints_expected_and_got(shape):
    with pytest.raises(
        ValueError, match=r"Net expected n × 3 × h × w .*multiples of 4.* 8; got " + " × ".join(map(str, shape))
    ):
        check_input("Net", torch.zeros(shape), 3, multiple=4, minimum=8)
    check_input("Net", torch.zeros(1, 3, 8, 12), 3, multiple=4, minimum=8)


def test_a_wrong_shape_error_prints_expected_and_got():
    with pytest.raises(ValueError, match="Net expected n × 3 × 8 × 8; got 1 × 3 × 16 × 16"):
        check_shape("Net", torch.zeros(1, 3, 16, 16), 3, 8, 8)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (6, 7)])
def test_resize_conv_is_nearest_times_two_and_a_3x3_convolution(size: tuple[int, int], bias: bool) -> None:
    torch.manual_seed(0)
    layer = upsample2x("resize-conv", 3, 5, bias=bias).double()
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    plain = nn.functional.conv2d(nn.functional.interpolate(x, scale_factor=2), layer.weight, layer.bias, padding=1)
    ours = layer(x)
    assert ours.shape == plain.shape
    assert (ours - plain).abs().max() < 1e-12
    weights = torch.randn_like(plain)
    wanted = torch.autograd.grad((plain * weights).sum(), [x, *layer.parameters()], retain_graph=True)
    found = torch.autograd.grad((ours * weights).sum(), [x, *layer.parameters()])
    assert all((a - b).abs().max() < 1e-12 for a, b in zip(wanted, found, strict=True))

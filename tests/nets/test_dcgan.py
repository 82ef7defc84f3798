import pytest
import torch
from torch import nn

from i2i.errors import UserError
from i2i.nets import DCGANDiscriminator, DCGANGenerator

from .helpers import liven, on_meta, parameters, pictures


def test_parameters_at_64_pixels_are_the_published_ones():
    assert parameters(on_meta(lambda: DCGANGenerator())) == 3_576_704
    assert parameters(on_meta(lambda: DCGANDiscriminator())) == 2_765_568


@pytest.mark.parametrize("size", [8, 16, 32, 64, 128])
@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_power_of_two_goes_from_noise_to_picture_to_logit(size, classes, channels):
    generator = DCGANGenerator(noise=5, channels=channels, size=size, width=2, classes=classes)
    discriminator = DCGANDiscriminator(channels=channels, size=size, width=2, classes=classes)
    y = torch.tensor([0, classes - 1]) if classes else None
    fake = generator(torch.randn(2, 5), y)
    assert fake.shape == (2, channels, size, size)
    assert fake.abs().max() <= 1
    assert discriminator(fake, y).shape == (2,)


@pytest.mark.parametrize("size", [4, 7, 48])
def test_any_other_size_is_an_error(size):
    with pytest.raises(UserError, match=f"power of two, 8 or more; got {size}"):
        DCGANGenerator(size=size)


def norms(module: nn.Module) -> int:
    return sum(isinstance(layer, nn.BatchNorm2d) for layer in module.modules())


def test_batch_norm_is_everywhere_but_on_the_generators_output_and_the_discriminators_input():
    generator, discriminator = DCGANGenerator(width=2), DCGANDiscriminator(width=2)
    assert [norms(stage) for stage in generator.stages] == [1, 1, 1, 1, 0]
    assert [norms(stage) for stage in discriminator.stages] == [0, 1, 1, 1, 0]


def test_the_label_enters_every_layer():
    generator = liven(DCGANGenerator(noise=4, size=16, width=4, norm="none", classes=3)).eval()
    discriminator = liven(DCGANDiscriminator(size=16, width=4, norm="none", classes=3)).eval()
    y, other = torch.tensor([0]), torch.tensor([2])
    for net, x in [(generator, torch.randn(1, 4)), (discriminator, pictures(1, 3, 16))]:
        assert not torch.allclose(net(x, y), net(x, other))
        weights = [p for p in net.parameters() if p.ndim == 4]
        assert len(weights) == len(net.stages)
        net.zero_grad()
        net(x, y).sum().backward()
        for weight in weights:
            inputs_first = weight.grad if net is generator else weight.grad.transpose(0, 1)
            assert inputs_first[-3].any()  # the requested class
            assert not inputs_first[-2:].any()  # the other two


def test_a_sample_does_not_depend_on_its_batch_in_eval():
    net = DCGANGenerator(noise=4, size=16, width=4)
    net(torch.randn(16, 4))
    net.eval()
    z = torch.randn(4, 4)
    torch.testing.assert_close(net(z), torch.cat([net(one) for one in z.split(1)]))


def test_wrong_noise_and_wrong_size_are_errors():
    with pytest.raises(ValueError, match="expected n × 100; got 2 × 99"):
        DCGANGenerator(width=1)(torch.zeros(2, 99))
    with pytest.raises(ValueError, match="expected n × 3 × 16 × 16; got 2 × 3 × 32 × 32"):
        DCGANDiscriminator(size=16, width=1)(torch.zeros(2, 3, 32, 32))

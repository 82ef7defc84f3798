"""What holds for every network, whatever its paper."""

from itertools import product

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from i2i.nets import (
    CompactSpec,
    DCGANDiscriminatorSpec,
    DCGANGeneratorSpec,
    Generator,
    MLPDiscriminatorSpec,
    MLPGeneratorSpec,
    PatchGANSpec,
    ResnetSpec,
    UNetSpec,
)

from .helpers import liven, pictures

NORMS = ["instance", "instance-affine", "batch", "group", "none"]
PADDINGS = ["reflect", "replicate", "zero"]
UPSAMPLES = ["transposed", "resize-conv"]

UNETS = [
    UNetSpec(levels=3, width=4, norm=norm, upsample=upsample, dropout=p, dropout_at_test=p > 0)
    for norm, upsample, p in product(NORMS, UPSAMPLES, [0, 0.5])
]
RESNETS = [
    ResnetSpec(blocks=1, width=4, norm=norm, upsample=upsample, padding=padding, dropout=0.5)
    for norm, upsample, padding in product(NORMS, UPSAMPLES, PADDINGS)
]
COMPACTS = [CompactSpec(blocks=1, width=4, norm=n, padding=padding) for n, padding in product(NORMS, PADDINGS)]
PATCHES = [
    PatchGANSpec(layers=layers, width=4, norm=norm, spectral=spectral)
    for layers, norm, spectral in product([0, 1, 2], NORMS, [False, True])
]
TRANSLATORS = [
    UNetSpec(levels=3, width=4),
    UNetSpec(levels=3, width=4, norm="batch"),
    ResnetSpec(blocks=1, width=4),
    ResnetSpec(blocks=1, width=4, norm="batch"),
    ResnetSpec(blocks=1, width=4, downsample="blur", upsample="bilinear-conv"),
    UNetSpec(levels=3, width=4, bias=True),
    CompactSpec(blocks=1, width=4),
    CompactSpec(blocks=1, width=4, norm="batch"),
]


def name(spec) -> str:
    return spec.kind + "-" + "-".join(str(value) for value in spec.model_dump(exclude={"kind"}).values())


def assert_every_weight_gets_a_finite_gradient(net: nn.Module, loss: torch.Tensor) -> None:
    loss.backward()
    for key, parameter in net.named_parameters():
        assert parameter.grad is not None, f"{key} is dead"
        assert parameter.grad.isfinite().all(), key


@pytest.mark.parametrize("spec", UNETS + RESNETS + COMPACTS, ids=name)
@pytest.mark.parametrize(("inputs", "outputs"), [(3, 3), (1, 4)])
def test_generators_keep_the_size_stay_in_range_and_train(spec, inputs, outputs):
    net = spec.build(inputs, outputs)
    assert (net.inputs, net.outputs) == (inputs, outputs)
    out = net(pictures(2, inputs, 4 * net.multiple)[..., : 3 * net.multiple])
    assert out.shape == (2, outputs, 4 * net.multiple, 3 * net.multiple)
    assert out.abs().max() <= 1
    assert_every_weight_gets_a_finite_gradient(net, out.square().mean())


@pytest.mark.parametrize("spec", PATCHES, ids=name)
@pytest.mark.parametrize("inputs", [1, 6])
def test_patch_discriminators_train(spec, inputs):
    net = spec.build(inputs)
    assert_every_weight_gets_a_finite_gradient(net, net(pictures(2, inputs, 16)).square().mean())


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("classes", [0, 3])
def test_noise_generators_and_their_judges_train(norm, classes):
    y = torch.tensor([0, 2]) if classes else None
    pairs = [
        (DCGANGeneratorSpec(width=4, norm=norm), DCGANDiscriminatorSpec(width=4, norm=norm, spectral=True)),
        (MLPGeneratorSpec(width=4), MLPDiscriminatorSpec(width=4)),
    ]
    for generator_spec, discriminator_spec in pairs:
        generator = generator_spec.build(1, 16, classes)
        discriminator = discriminator_spec.build(1, 16, classes)
        logits = discriminator(generator(torch.randn(2, generator.noise), y), y)
        assert logits.shape == (2,)
        logits.square().mean().backward()
        for net in (generator, discriminator):
            assert all(parameter.grad is not None for parameter in net.parameters())


@pytest.mark.parametrize("spec", TRANSLATORS, ids=name)
def test_a_batch_of_four_equals_four_singles_in_eval(spec):
    net = liven(spec.build(3, 3)).eval()
    x = pictures(4, 3, 16) * torch.tensor([0.25, 0.5, 0.75, 1.0]).view(4, 1, 1, 1)
    torch.testing.assert_close(net(x), torch.cat([net(one) for one in x.split(1)]), atol=1e-5, rtol=1e-4)


def every_network() -> list[nn.Module]:
    translators = [spec.build(3, 3) for spec in TRANSLATORS]
    judges = [PatchGANSpec(width=4).build(3), PatchGANSpec(layers=0, width=4, spectral=True).build(3)]
    from_noise = [DCGANGeneratorSpec(width=4).build(3, 32), MLPGeneratorSpec(width=4).build(3, 32)]
    verdicts = [DCGANDiscriminatorSpec(width=4).build(3, 32), MLPDiscriminatorSpec(width=4).build(3, 32)]
    return translators + judges + from_noise + verdicts


def an_input(net: nn.Module) -> torch.Tensor:
    return torch.randn(2, net.noise) if hasattr(net, "noise") else pictures(2, 3, 32)


def test_no_network_has_a_sigmoid():
    for net in every_network():
        assert not any(isinstance(layer, nn.Sigmoid | nn.LogSigmoid | nn.Softmax) for layer in net.modules())


def test_discriminators_end_in_a_linear_layer():
    judges = [PatchGANSpec(width=4).build(3), PatchGANSpec(layers=0, width=4).build(3)]
    for net in [*judges, *(s.build(3, 32) for s in (DCGANDiscriminatorSpec(width=4), MLPDiscriminatorSpec(width=4)))]:
        x = pictures(2, 3, 32)
        logits = net(x)
        last = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d | nn.Linear)][-1]
        last.weight.data.neg_()  # its bias starts at 0
        torch.testing.assert_close(net(x), -logits)


def test_eval_is_deterministic():
    for net in every_network():
        x = an_input(net)
        assert torch.equal(net.eval()(x), net(x))


def test_channels_last_gives_the_same_numbers():
    for net in every_network():
        x = an_input(net)
        expected = net.eval()(x)
        moved = x.to(memory_format=torch.channels_last) if x.ndim == 4 else x
        torch.testing.assert_close(net.to(memory_format=torch.channels_last)(moved), expected, atol=1e-5, rtol=1e-4)


def test_every_network_compiles_to_one_graph():
    for net in every_network():
        x = an_input(net)
        compiled = torch.compile(net.eval(), backend="eager", fullgraph=True)
        torch.testing.assert_close(compiled(x), net(x))
        torch._dynamo.reset()


def test_bfloat16_networks_run():
    for net in every_network():
        assert net.eval().bfloat16()(an_input(net).bfloat16()).isfinite().all()


def test_a_spec_is_chosen_by_its_kind_and_a_typo_is_an_error():
    generator = TypeAdapter(Generator)
    assert generator.validate_python({"kind": "resnet", "blocks": 6}) == ResnetSpec(blocks=6)
    assert generator.validate_python({"kind": "unet", "levels": 7}) == UNetSpec(levels=7)
    assert generator.validate_python({"kind": "compact"}) == CompactSpec()
    for wrong in ({"kind": "resnet", "block": 6}, {"kind": "rsnet"}, {"kind": "unet", "norm": "layer"}):
        with pytest.raises(ValidationError):
            generator.validate_python(wrong)


def test_a_spec_initialises_what_it_builds():
    torch.manual_seed(0)
    assert UNetSpec(levels=5, width=16).build(3, 3).downs[4][1].weight.std().item() == pytest.approx(0.02, rel=0.05)
    assert UNetSpec(levels=5, width=16, gain=0.1).build(3, 3).downs[4][1].weight.std().item() == pytest.approx(
        0.1, rel=0.05
    )
    weight = PatchGANSpec(init="orthogonal", gain=1, width=8).build(3).stages[1][0].weight.flatten(1)
    torch.testing.assert_close(weight @ weight.T, torch.eye(16), atol=1e-5, rtol=0)

"""The graph is the network: every architecture, any size, any number, all optimisation levels, nothing but mathematics.

The oracle pads with numpy and runs the network in double precision; see helpers.
"""

import re
from itertools import product

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch

from i2i.export import graph
from i2i.nets import CompactSpec, ResnetSpec, UNetSpec
from i2i.translator import Translator

from .helpers import SAMPLERS, TRANSLATORS, Get, almost_equal, lively, opened, oracle, photograph, run, sampler
from .helpers import translator as network_of

SIZES = [(7, 7), (63, 65), (1, 40), (65, 7)]
LARGE = [(256, 257), (257, 63)]
LEVELS = ("ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED", "ORT_ENABLE_ALL")
EVERY_UNET = [
    UNetSpec(levels=3, width=4, norm=norm, upsample=upsample)
    for norm, upsample in product(
        ("instance", "instance-affine", "batch", "group", "none"), ("transposed", "resize-conv", "bilinear-conv")
    )
]
EVERY_RESNET = [
    ResnetSpec(blocks=1, width=4, norm=norm, upsample=upsample, padding=padding, downsample=downsample, dropout=0.5)
    for norm, upsample, padding, downsample in (
        ("instance", "resize-conv", "reflect", "strided"),
        ("instance-affine", "transposed", "zero", "blur"),
        ("batch", "bilinear-conv", "replicate", "strided"),
        ("group", "transposed", "reflect", "blur"),
        ("none", "resize-conv", "zero", "strided"),
    )
]
EVERY_COMPACT = [
    CompactSpec(blocks=1, width=4, norm=norm, padding=padding)
    for norm, padding in product(("instance", "batch", "group", "none"), ("reflect", "replicate", "zero"))
]


@pytest.mark.parametrize("name", TRANSLATORS)
@pytest.mark.parametrize(("h", "w"), [*SIZES, LARGE[0]])
def test_any_size_gives_what_the_network_gives(traced: Get, name: str, h: int, w: int) -> None:
    picture = photograph(h, w, TRANSLATORS[name][1])
    (translation,) = run(traced(name).model, picture[None])
    almost_equal(translation, oracle(network_of(name), picture))


@pytest.mark.parametrize("name", TRANSLATORS)
def test_one_pixel_is_translated(traced: Get, name: str) -> None:
    """Padded by itself it is flat, where instance norm has nothing but rounding to enlarge: see the next test."""
    assert run(traced(name).model, photograph(1, 1, TRANSLATORS[name][1])[None]).shape == (
        1,
        1,
        1,
        TRANSLATORS[name][2],
    )


@pytest.mark.parametrize("name", TRANSLATORS)
@pytest.mark.parametrize("colour", [0, 128, 255])
def test_flat_pictures_stay_finite_and_in_range(traced: Get, name: str, colour: int) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(traced(name).model)
    (rounding,) = (node for node in model.graph.node if node.op_type == "Round")
    model.graph.output.append(onnx.ValueInfoProto(name=rounding.input[0]))
    flat = np.full((1, 64, 48, TRANSLATORS[name][1]), colour, np.uint8)
    translation, exact = opened(model).run(None, {"picture": flat})
    assert translation.shape == (1, 64, 48, TRANSLATORS[name][2])
    assert np.isfinite(exact).all()
    assert exact.min() > -0.01
    assert exact.max() < 255.01


@pytest.mark.parametrize("name", TRANSLATORS)
def test_a_batch_of_four_equals_four_singles(traced: Get, name: str) -> None:
    places = [(280, 1400), (250, 1300), (330, 1100), (650, 1200)]
    four = np.stack([photograph(33, 41, TRANSLATORS[name][1], place) for place in places])
    together = run(traced(name).model, four)
    for picture, translation in zip(four, together, strict=True):
        almost_equal(translation, oracle(network_of(name), picture))


@pytest.mark.parametrize("name", TRANSLATORS)
def test_all_optimisation_levels_agree(traced: Get, name: str) -> None:
    picture = photograph(63, 65, TRANSLATORS[name][1])
    exact = oracle(network_of(name), picture)
    for level in LEVELS:
        (result,) = opened(traced(name).model, getattr(ort.GraphOptimizationLevel, level)).run(
            None, {"picture": picture[None]}
        )
        almost_equal(result[0], exact)


@pytest.mark.parametrize("name", [pytest.param("unet, affine, resize", marks=pytest.mark.slow), "compact"])
def test_sixteen_bits_are_carried_and_not_the_upper_eight(traced: Get, name: str) -> None:
    upper = photograph(23, 37, TRANSLATORS[name][1]).astype(np.uint16) * 256
    picture = upper + np.random.default_rng(0).integers(0, 256, upper.shape, dtype=np.uint16)
    model = traced(name, "uint16").model
    (translation,) = run(model, picture[None])
    assert translation.dtype == np.uint16
    exact = oracle(network_of(name), picture, top=65535)
    assert np.abs(translation - exact).max() < 65535 * 5e-5
    assert np.abs(run(model, upper[None])[0].astype(int) - translation).max() > 20


@pytest.mark.parametrize("name", ["unet, affine, resize", pytest.param("compact", marks=pytest.mark.slow)])
def test_float32_goes_in_and_comes_out_as_networks_have_it(traced: Get, name: str) -> None:
    picture = photograph(23, 37, TRANSLATORS[name][1])
    x = (picture.transpose(2, 0, 1)[None] / 127.5 - 1).astype(np.float32)
    y = run(traced(name, "float32").model, x)
    assert y.dtype == np.float32
    expected = oracle(network_of(name), picture).transpose(2, 0, 1)[None] / 127.5 - 1
    assert np.abs(y - expected).max() < 1e-4


def test_the_statistics_of_batch_norm_are_the_pictures_own(traced: Get) -> None:
    """Exporters write running averages, which Pix2Pix has never seen in training: an error of 1 on a range of 2."""
    ops = [node.op_type for node in traced("unet, batch norm, dropout at test").model.graph.node]
    assert "BatchNormalization" not in ops
    assert ops.count("InstanceNormalization") == 3


def test_the_noise_of_dropout_is_left_out_and_nothing_random_is_in_the_graph(traced: Get) -> None:
    name = "unet, batch norm, dropout at test"
    ops = {node.op_type for node in traced(name).model.graph.node}
    assert not ops & {"Dropout", "RandomUniformLike", "RandomNormalLike", "Bernoulli"}
    picture = photograph(48, 48)
    noisy = Translator(network_of(name), torch.device("cpu"))(picture)
    assert np.abs(run(traced(name).model, picture[None])[0].astype(int) - noisy).max() > 5


@pytest.mark.parametrize("name", ["unet, affine, resize", "resnet, group, blur, bilinear"])
def test_arithmetic_on_weights_is_done_once(traced: Get, name: str) -> None:
    """The folded weights of a resize convolution, the normalised ones of spectral norm: constants, not nodes."""
    nodes, weights = traced(name).model.graph.node, {each.name for each in traced(name).model.graph.initializer}
    assert not [node.name for node in nodes if node.input and all(each in weights for each in node.input)]
    for node in nodes:
        if node.op_type in ("Conv", "ConvTranspose"):
            assert node.input[1] in weights, node.name


@pytest.mark.slow
def test_spectral_norm_becomes_a_constant() -> None:
    net = lively(UNetSpec(levels=2, width=4, norm="none"), 3, 3)
    for layer in list(net.modules()):
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.utils.parametrizations.spectral_norm(layer)
    net.eval()
    made = graph.translator(net).model
    weights = {each.name for each in made.graph.initializer}
    assert all(node.input[1] in weights for node in made.graph.node if node.op_type == "Conv")
    picture = photograph(24, 28)
    almost_equal(run(made, picture[None])[0], oracle(net, picture))


@pytest.mark.parametrize("name", TRANSLATORS)
def test_a_graph_is_checked_named_and_says_nothing_of_this_machine(traced: Get, name: str) -> None:
    model = traced(name).model
    onnx.checker.check_model(model, full_check=True)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 20)]
    words = model.SerializeToString()
    assert not re.search(rb"[A-Za-z0-9_]/[A-Za-z0-9_]+\.py|site-packages|/(work|home|root|tmp|usr)/", words)
    (picture,), (translation,) = model.graph.input, model.graph.output
    assert (picture.name, translation.name) == ("picture", "translation")
    for value, channels in ((picture, TRANSLATORS[name][1]), (translation, TRANSLATORS[name][2])):
        tensor = value.type.tensor_type
        assert tensor.elem_type == onnx.TensorProto.UINT8
        assert [dim.dim_param or dim.dim_value for dim in tensor.shape.dim] == ["batch", "height", "width", channels]
    assert not any(each.external_data for each in model.graph.initializer)


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("count", [1, 5])
def test_samples_are_the_networks_and_independent_of_each_other(drawn: Get, name: str, count: int) -> None:
    net = sampler(name)
    noise = np.random.default_rng(1).standard_normal((count, 8), np.float32)
    labels = {"label": np.arange(count) % 3} if net.classes else {}
    (pictures,) = opened(drawn(name).model).run(None, {"noise": noise, **labels})
    assert (pictures.shape, pictures.dtype) == ((count, 16, 16, 3), np.uint8)
    with torch.inference_mode():
        given = [torch.from_numpy(noise).double(), *(torch.from_numpy(each) for each in labels.values())]
        exact = (net.double()(*given).permute(0, 2, 3, 1).numpy() + 1) * 127.5
    almost_equal(pictures, exact)
    if labels:
        others = opened(drawn(name).model).run(None, {"noise": noise, "label": (labels["label"] + 1) % 3})[0]
        assert np.abs(others.astype(int) - pictures).max() > 5


@pytest.mark.slow
@pytest.mark.parametrize("spec", EVERY_UNET + EVERY_RESNET + EVERY_COMPACT, ids=lambda spec: f"{spec!r}"[:90])
def test_every_setting_of_every_generator_at_every_size(spec) -> None:
    net = lively(spec, 3, 3)
    made = graph.translator(net).model
    for h, w in [*SIZES, *LARGE]:
        picture = photograph(h, w)
        almost_equal(run(made, picture[None])[0], oracle(net, picture))

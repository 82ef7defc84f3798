"""The gate: what is not the trained network does not leave, and the layer where it goes wrong is named."""

import dataclasses
import json

import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

from i2i.errors import UserError
from i2i.export import graph, parity
from i2i.export.graph import Traced
from i2i.nets.blocks import GroupNorm
from i2i.runtime.planes import Plane

from .helpers import SAMPLERS, TRANSLATORS, Get, photograph, translator


def copied(traced: Traced) -> onnx.ModelProto:
    model = onnx.ModelProto()
    model.CopyFrom(traced.model)
    return model


def spoilt(traced: Traced, weight: str, by: float) -> onnx.ModelProto:
    """The model with one of its weights changed."""
    model = copied(traced)
    (tensor,) = (each for each in model.graph.initializer if each.name == weight)
    values = numpy_helper.to_array(tensor).copy()
    values.flat[0] += by
    tensor.CopyFrom(numpy_helper.from_array(values, weight))
    return model


@pytest.mark.parametrize("name", TRANSLATORS)
def test_every_translator_passes(traced: Get, name: str) -> None:
    report = parity.gate(traced(name), traced(name).model, "fp32")
    assert (report.pictures, report.sizes) == (24, ((63, 130), (64, 64), (97, 65)))
    assert report.error <= 1e-4
    assert report.steps <= 1
    assert json.loads(report.json())["psnr"] == report.psnr > 80


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_passes(drawn: Get, name: str) -> None:
    report = parity.gate(drawn(name), drawn(name).model, "fp32")
    assert (report.pictures, report.sizes) == (8, ((16, 16),))


@pytest.mark.parametrize("layer", ["encode.0", "trunk.0.branch.4", "decode.6"])
def test_a_changed_weight_is_found_in_its_layer(traced: Get, layer: str) -> None:
    made = traced("resnet")
    with pytest.raises(UserError, match=rf"not the trained one: .*first difference is at \d+\.network\.{layer}\.Conv"):
        parity.gate(made, spoilt(made, f"network.{layer}.weight", 0.5), "fp32")


def test_a_norm_that_uses_other_statistics_is_found(traced: Get) -> None:
    """What exporters make of Pix2Pix: the same weights, a plausible picture, another function."""
    made = traced("unet, batch norm, dropout at test")
    model = copied(made)
    norm = next(node for node in model.graph.node if node.op_type == "InstanceNormalization")
    channels = next(each for each in model.graph.initializer if each.name == norm.input[1]).dims[0]
    for name, value in (("mean", 0), ("variance", 1)):
        model.graph.initializer.append(numpy_helper.from_array(np.full(channels, value, np.float32), name))
    norm.CopyFrom(
        helper.make_node("BatchNormalization", [*norm.input, "mean", "variance"], norm.output, name=norm.name)
    )
    with pytest.raises(UserError, match=r"first difference is at \d+\.network\.downs\.1\.2\.InstanceNormalization"):
        parity.gate(made, model, "fp32")


def test_a_picture_that_depends_on_its_neighbours_is_found(traced: Get) -> None:
    """Its norm takes the statistics of all pictures of a batch: with one picture it would be right."""
    made = traced("unet, batch norm, dropout at test")
    model = copied(made)
    norm = next(node for node in model.graph.node if node.op_type == "InstanceNormalization")
    place = list(model.graph.node).index(norm)
    axes = numpy_helper.from_array(np.array([0, 2, 3]), "axes")
    model.graph.initializer.append(axes)
    x, scale, bias = norm.input
    shape = numpy_helper.from_array(np.array([1, -1, 1, 1]), "shape")
    little = numpy_helper.from_array(np.array(1e-5, np.float32), "little")
    model.graph.initializer.extend([shape, little])
    steps = [
        helper.make_node("ReduceMean", [x, "axes"], ["m"]),
        helper.make_node("Sub", [x, "m"], ["d"]),
        helper.make_node("Mul", ["d", "d"], ["dd"]),
        helper.make_node("ReduceMean", ["dd", "axes"], ["v"]),
        helper.make_node("Add", ["v", "little"], ["ve"]),
        helper.make_node("Sqrt", ["ve"], ["s"]),
        helper.make_node("Div", ["d", "s"], ["n"]),
        helper.make_node("Reshape", [scale, "shape"], ["a"]),
        helper.make_node("Reshape", [bias, "shape"], ["b"]),
        helper.make_node("Mul", ["n", "a"], ["na"]),
        helper.make_node("Add", ["na", "b"], list(norm.output), name="batched"),
    ]
    nodes = [*model.graph.node[:place], *steps, *model.graph.node[place + 1 :]]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    single = [{"picture": photograph(64, 64)[None]}]
    assert parity.gate(made, model, "fp32", single).error < 1e-4
    with pytest.raises(UserError, match="not the trained one"):
        parity.gate(made, model, "fp32")


def test_the_truth_about_a_picture_is_what_torch_makes_of_it_alone() -> None:
    class Mixing(torch.nn.Module):
        def exact(self, picture: torch.Tensor) -> torch.Tensor:
            return picture.float() - picture.float().mean(0, keepdim=True)

    pictures = np.random.default_rng(0).random((3, 4, 4, 3), np.float32)
    assert not parity.truth(Mixing(), {"picture": pictures}).any()  # type: ignore[arg-type]


def test_what_is_no_number_is_refused(traced: Get) -> None:
    made = traced("compact")
    weight = next(each.name for each in made.model.graph.initializer if each.name.endswith("weight"))
    with pytest.raises(UserError, match="the largest error is inf"):
        parity.gate(made, spoilt(made, weight, float("nan")), "fp32")


@pytest.mark.parametrize(("precision", "least"), [("fp16", "50"), ("int8", "35")])
def test_less_precise_forms_have_a_limit_too(traced: Get, precision: str, least: str) -> None:
    made = traced("resnet")
    with pytest.raises(UserError, match=rf"dB in {precision} where {least}\.0 dB are asked for"):
        parity.gate(made, spoilt(made, "network.encode.0.weight", 1.0), precision)


def test_one_step_on_too_many_values_is_refused(traced: Get) -> None:
    made = traced("compact")
    good = parity.gate(made, made.model, "fp32")
    many = dataclasses.replace(good, share=0.002)
    assert "0.20%" in parity._problem(many, "fp32", "uint8")
    assert not parity._problem(many, "fp32", "uint16")


def test_torchs_own_rounding_is_not_held_against_the_graph(traced: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is little contrast, torch's group norm of tensors that lie as n h w c is wrong, the graph right."""
    monkeypatch.setattr(GroupNorm, "forward", nn.GroupNorm.forward)
    made = traced("resnet, group, blur, bilinear")
    sea = [{"picture": photograph(63, 65, 3, (300, 700))[None]}]
    assert parity.compared(made, made.model, sea, exactly=False)[0].error > 1e-2
    assert parity.compared(made, made.model, sea)[0].error < 1e-3


def test_the_shipped_pictures_are_many_and_none_is_flat(traced: Get) -> None:
    for name in ("compact", "unet, affine, resize"):
        feeds = list(parity.usual(traced(name).module))
        pictures = [picture for feed in feeds for picture in feed["picture"]]
        assert len(pictures) == 24
        assert len({picture.shape for picture in pictures}) == 3
        assert min(picture.std(axis=(0, 1)).min() for picture in pictures) > 1


@pytest.mark.parametrize("pixels", ["uint8", "float32"])
def test_a_plane_of_classes_is_shown_as_one(pixels: graph.Pixels) -> None:
    """Each pixel is of one class, every class is somewhere, and the light beside it stays as it is."""
    network = translator("unet, affine, resize")  # 5 channels
    module = graph.Translate(network, pixels)
    planes = (Plane("a", 2), Plane("map", 3, classes=True))
    low, high, axis = (0, 255, 3) if pixels == "uint8" else (-1, 1, 1)
    for feed, plain in zip(parity.usual(module, planes), parity.usual(module), strict=True):
        light, hot = np.split(feed["picture"], [2], axis)
        assert np.array_equal(light, np.split(plain["picture"], [2], axis)[0])
        assert set(np.unique(hot)) == {low, high}
        assert (hot == high).sum(axis).min() == (hot == high).sum(axis).max() == 1
        assert (hot == high).any(axis=tuple({0, 1, 2, 3} - {axis})).all()

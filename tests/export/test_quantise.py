"""int8 is as near as it says, on pictures that it was not fitted to, or it is refused."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from i2i import images, recipe
from i2i.errors import UserError
from i2i.export import graph, parity, quantise

from .helpers import TRANSLATORS, Get, opened, photograph

PLACES = [(280, 1400), (250, 1300), (330, 1100), (650, 1200), (400, 1150), (300, 1500), (200, 400), (260, 450)]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("calibration")
    for number, place in enumerate(PLACES):
        images.write(folder / f"{number}.png", photograph(48, 64, 3, place))
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def quantised(traced: Get, files: list[Path]) -> tuple[onnx.ModelProto, quantise.Batches]:
    return quantise.quantised(traced("resnet"), SimpleNamespace(), "a2b", files)  # type: ignore[arg-type]


def kinds(model: onnx.ModelProto) -> list[str]:
    """The quantiser changes their order where nothing depends on it."""
    types = (node.op_type for node in model.graph.node)
    return sorted(kind for kind in types if kind not in ("QuantizeLinear", "DequantizeLinear"))


def read_in_integers(model: onnx.ModelProto) -> set[str]:
    """Convolutions whose weights are quantised."""
    makers = {out: node.op_type for node in model.graph.node for out in node.output}
    return {node.name for node in model.graph.node
            if node.op_type in quantise.CONVOLUTIONS and makers.get(node.input[1]) == "DequantizeLinear"}  # fmt: skip


def test_it_passes_the_gate_on_the_held_half(traced: Get, quantised: Any) -> None:
    model, held = quantised
    assert [feed["picture"].shape for feed in held] == [(1, 48, 64, 3)] * 4
    assert np.array_equal(held[0]["picture"][0], photograph(48, 64, 3, PLACES[1]))
    assert parity.gate(traced("resnet"), model, "int8", held).psnr >= 35


def test_only_convolutions_between_the_first_and_the_last_are_quantised(traced: Get, quantised: Any) -> None:
    model, plain = quantised[0], traced("resnet").model
    convolutions = [node.name for node in plain.graph.node if node.op_type in quantise.CONVOLUTIONS]
    assert read_in_integers(model) == set(convolutions[1:-1])
    assert kinds(model) == kinds(plain)  # what is outside the network is as it was
    assert {node.domain for node in model.graph.node} == {""}
    assert graph.opset_of(model) in (20, 21)
    onnx.checker.check_model(model, full_check=True)


def test_weights_take_a_quarter(traced: Get, quantised: Any) -> None:
    plain = {each.name: each for each in traced("resnet").model.graph.initializer}
    for each in quantised[0].graph.initializer:
        name = each.name.removesuffix("_quantized")
        if name != each.name and name in plain:
            assert (each.data_type, each.dims) == (onnx.TensorProto.INT8, plain[name].dims)


def test_the_same_pictures_give_the_same_bytes(traced: Get, quantised: Any, files: list[Path]) -> None:
    again, _ = quantise.quantised(traced("resnet"), SimpleNamespace(), "a2b", files)  # type: ignore[arg-type]
    assert again.SerializeToString(deterministic=True) == quantised[0].SerializeToString(deterministic=True)


@pytest.mark.parametrize(("least", "opset"), [(1.0, 20), (1000.0, 21)])
def test_eight_bits_are_taken_if_they_are_near_enough_and_sixteen_if_not(
    traced: Get, files: list[Path], monkeypatch: pytest.MonkeyPatch, least: float, opset: int
) -> None:
    monkeypatch.setitem(parity.LEAST_PSNR, "int8", least)
    model, held = quantise.quantised(traced("resnet"), SimpleNamespace(), "a2b", files)  # type: ignore[arg-type]
    assert graph.opset_of(model) == opset
    types = {each.data_type for each in model.graph.initializer}
    assert (onnx.TensorProto.UINT16 in types) == (opset == 21)
    if least == 1000:
        with pytest.raises(UserError, match=r"dB in int8 where 1000\.0 dB are asked for"):
            parity.gate(traced("resnet"), model, "int8", held)


def test_sixteen_bits_are_nearer_than_eight(traced: Get, files: list[Path]) -> None:
    made = traced("resnet")
    shown = quantise._given(files, made)
    psnr = [
        parity.compared(made, quantise._quantised(made.model, rung, shown), shown, exactly=False)[0].psnr
        for rung in quantise.LADDER
    ]
    assert psnr[1] > psnr[0] + 6


@pytest.mark.parametrize("pixels", ["uint16", "float32"])
def test_files_come_in_the_form_that_the_model_takes(traced: Get, files: list[Path], pixels: graph.Pixels) -> None:
    made = SimpleNamespace(module=SimpleNamespace(pixels=pixels, network=SimpleNamespace(inputs=3)))
    (feed, *_) = quantise._given(files[:2], made)  # type: ignore[arg-type]
    picture, plain = feed["picture"], photograph(48, 64, 3, PLACES[0])
    if pixels == "float32":
        assert picture.dtype == np.float32
        assert np.abs((picture[0].transpose(1, 2, 0) + 1) * 127.5 - plain).max() < 1e-3
    else:
        assert picture.dtype == np.uint16
        assert np.array_equal(picture[0], plain.astype(np.uint16) * 257)


@pytest.mark.parametrize("pixels", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("way", ["a2b", "b2a"])
def test_training_pictures_are_those_that_the_direction_translates(pictures: Path, tiny: Any, pixels, way) -> None:
    settings = recipe.build(tiny("cyclegan"), "test")
    made = SimpleNamespace(module=SimpleNamespace(pixels=pixels))
    feeds = quantise._training(SimpleNamespace(recipe=settings), way, made)  # type: ignore[arg-type]
    folder = pictures / "sides" / ("trainA" if way == "a2b" else "trainB")
    expected = images.read(sorted(folder.iterdir())[0])
    got = feeds[0]["picture"]
    assert len(feeds) == 6
    if pixels == "float32":
        assert np.abs((got[0].transpose(1, 2, 0) + 1) * 127.5 - expected).max() < 1e-3
    else:
        assert got.dtype == pixels
        assert np.array_equal(got[0], expected.astype(int) * (257 if pixels == "uint16" else 1))


def test_a_single_picture_serves_twice(traced: Get, files: list[Path]) -> None:
    _, held = quantise.quantised(traced("resnet"), SimpleNamespace(), "a2b", files[:1])  # type: ignore[arg-type]
    assert len(held) == 1


def test_of_large_pictures_the_middle_is_taken(tmp_path: Path, noise: Any) -> None:
    images.write(tmp_path / "large.png", noise(1, 600, 700))
    made = SimpleNamespace(module=SimpleNamespace(pixels="uint8", network=SimpleNamespace(inputs=3)))
    (feed,) = quantise._given([tmp_path / "large.png"], made)  # type: ignore[arg-type]
    assert np.array_equal(feed["picture"][0], noise(1, 600, 700)[44:556, 94:606])


@pytest.mark.parametrize("data", ["absent", "none"])
def test_without_pictures_it_says_what_to_type(traced: Get, tiny: Any, data: str, tmp_path: Path) -> None:
    tree = tiny("pix2pix")
    tree["data"]["root"] = str(tmp_path / "gone")
    settings: Any = recipe.build(tree, "test")
    loaded: Any = SimpleNamespace(recipe=settings if data == "absent" else SimpleNamespace(data=None))
    with pytest.raises(UserError, match=r"(?s)int8 is fitted to .*--calibrate FOLDER"):
        quantise.quantised(traced("resnet"), loaded, "a2b")


def test_half_precision_is_near_takes_half_and_runs_on_a_cpu(traced: Get) -> None:
    made, half = traced("resnet"), traced("resnet", "uint8", torch.float16).model
    assert parity.gate(made, half, "fp16").psnr >= 60
    floats = {each.name for each in half.graph.initializer if each.data_type == onnx.TensorProto.FLOAT}
    weights = [each for each in made.model.graph.initializer if each.name.endswith("weight")]
    assert weights
    assert not floats & {each.name for each in weights}
    picture = photograph(33, 47)[None]
    assert opened(half).run(None, {"picture": picture})[0].shape == picture.shape


@pytest.mark.slow
@pytest.mark.parametrize("name", TRANSLATORS)
@pytest.mark.parametrize("pixels", ["uint8", "uint16", "float32"])
def test_every_translator_in_half_precision_and_in_integers(traced: Get, tmp_path: Path, name: str, pixels) -> None:
    made = traced(name, pixels)
    assert parity.gate(made, graph.translator(made.module.network, pixels, torch.float16).model, "fp16").psnr >= 50
    feeds = list(parity.usual(made.module))
    report = [
        parity.compared(made, quantise._quantised(made.model, rung, feeds), feeds, exactly=False)[0].psnr
        for rung in quantise.LADDER
    ]
    assert max(report) >= 35

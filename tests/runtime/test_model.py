"""An exported model as a function: pictures in the type it was made for, and a plain word for everything else."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from i2i.errors import UserError
from i2i.runtime import Exported
from i2i.runtime.model import Card

TOLD = {
    "format": "1", "task": "translate", "model": "pix2pix", "direction": "a2b", "inputs": "3", "outputs": "3",
    "multiple": "1", "minimum": "1", "pixels": "uint8", "precision": "fp32", "memory": "12", "weights": "0" * 64,
    "recipe": "{}", "parity": "{}",
}  # fmt: skip
KINDS = {"uint8": TensorProto.UINT8, "uint16": TensorProto.UINT16, "float32": TensorProto.FLOAT}


def mirror(pixels: str = "uint8", told: dict[str, str] | None = None, channels: int = 3) -> bytes:
    """A model whose translation is the picture with its channels in the opposite order."""
    first = pixels == "float32"
    shape: list[Any] = ["batch", channels, "height", "width"] if first else ["batch", "height", "width", channels]
    constants = {"s": [-1], "e": [-(2**31)], "a": [1 if first else 3]}
    graph = helper.make_graph(
        [helper.make_node("Slice", ["picture", "s", "e", "a", "s"], ["translation"])],
        "mirror",
        [helper.make_tensor_value_info("picture", KINDS[pixels], shape)],
        [helper.make_tensor_value_info("translation", KINDS[pixels], shape)],
        [helper.make_tensor(name, TensorProto.INT64, [1], values) for name, values in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    told = {**TOLD, "pixels": pixels, "inputs": str(channels), "outputs": str(channels), **(told or {})}
    helper.set_model_props(model, {f"i2i.{key}": value for key, value in told.items() if value != "absent"})
    return model.SerializeToString()


@pytest.mark.parametrize(("pixels", "top"), [("uint8", 255), ("uint16", 65535), ("float32", 1)])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_pictures_lie_as_h_w_c_whatever_the_graph_takes(pixels: str, top: int, channels: int) -> None:
    model = Exported(mirror(pixels, channels=channels), "cpu")
    pictures = (np.random.default_rng(0).random((2, 4, 6, channels)) * top).astype(pixels)
    assert np.array_equal(model.run(pictures), pictures[..., ::-1])
    assert np.array_equal(model(pictures[0]), pictures[0, ..., ::-1])
    assert model(pictures[0]).dtype == pixels


def test_a_picture_that_lies_otherwise_in_memory_is_the_same_picture() -> None:
    model, picture = Exported(mirror(), "cpu"), np.arange(90, dtype=np.uint8).reshape(5, 6, 3)
    assert np.array_equal(model(picture[::-1, ::2]), picture[::-1, ::2, ::-1])
    assert np.array_equal(model(np.asfortranarray(picture)), picture[..., ::-1])


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (np.zeros((4, 4, 3), np.float32), r"× 3 uint8, got shape \(1, 4, 4, 3\) float32"),
        (np.zeros((4, 4, 3), np.uint16), "uint16"),
        (np.zeros((4, 4, 3), bool), "bool"),
        (np.zeros((4, 4), np.uint8), r"one picture of height × width × 3, got shape \(4, 4\)"),
        (np.zeros((1, 4, 4, 3), np.uint8), "one picture"),
        (np.zeros((4, 4, 4), np.uint8), r"got shape \(1, 4, 4, 4\)"),
        (np.zeros((3, 4, 4), np.uint8), r"got shape \(1, 3, 4, 4\)"),
        (np.zeros((0, 4, 3), np.uint8), r"got shape \(1, 0, 4, 3\)"),
        (np.zeros((4, 0, 3), np.uint8), r"got shape \(1, 4, 0, 3\)"),
    ],
)
def test_what_is_no_picture_of_its_kind_is_told(picture: np.ndarray, said: str) -> None:
    with pytest.raises(UserError, match=said):
        Exported(mirror(), "cpu")(picture)


@pytest.mark.parametrize("shape", [(0, 4, 4, 3), (4, 4, 3), (1, 1, 4, 4, 3), (2, 4, 4, 1)])
def test_what_is_no_batch_is_told(shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="expected pictures of number × height × width × 3 uint8, got shape"):
        Exported(mirror(), "cpu").run(np.zeros(shape, np.uint8))


def test_a_picture_beyond_all_memory_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Exported(mirror(), "cpu")
    failure = ort.capi.onnxruntime_pybind11_state.RuntimeException

    def full(given: Any) -> Any:
        raise failure("[ONNXRuntimeError] : 6 : Failed to allocate memory for requested buffer of size 1099511627776")

    monkeypatch.setattr(model, "_compute", full)
    with pytest.raises(UserError, match=r"6×4 is too large for this machine's memory; give a smaller --memory"):
        model(np.zeros((4, 6, 3), np.uint8))


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"format": "absent"}, "no `i2i.format` in its metadata"),
        ({"format": "9"}, "expected format 1, found format 9"),
        ({"weights": "absent"}, "damaged metadata"),
        ({"inputs": "three"}, "damaged metadata"),
        ({"memory": "0"}, "damaged metadata"),
        ({"parity": "{"}, "damaged metadata"),
        ({"pixels": "absent"}, "damaged metadata"),
    ],
)
def test_a_file_that_says_other_things_of_itself_is_refused(told: dict[str, str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        Exported(mirror(told=told), "cpu")


def test_an_unknown_type_of_pixels_is_refused() -> None:
    with pytest.raises(UserError, match="damaged metadata"):
        Card.read({f"i2i.{key}": value for key, value in (TOLD | {"pixels": "int4"}).items()}, "m.onnx")


@pytest.mark.parametrize("data", [b"", b"no model", mirror()[:200]])
def test_a_broken_file_is_told_by_its_name(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "broken.onnx").write_bytes(data)
    with pytest.raises(UserError, match=r"broken\.onnx"):
        Exported(tmp_path / "broken.onnx", "cpu")
    with pytest.raises(UserError, match=r"sent\.onnx"):
        Exported(data, "cpu", name="sent.onnx")


def test_the_models_of_these_tests_are_valid() -> None:
    for pixels in KINDS:
        onnx.checker.check_model(onnx.ModelProto.FromString(mirror(pixels)), full_check=True)
    assert Exported(mirror(), "cpu").device == "cpu"


def test_a_model_that_translates_draws_nothing() -> None:
    with pytest.raises(UserError, match="draws none from noise"):
        Exported(mirror(), "cpu").sample(np.zeros((1, 8), np.float32))

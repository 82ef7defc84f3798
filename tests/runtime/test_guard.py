"""Whatever is in an ONNX file that a network of ours has not: nothing of it reaches a runtime."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from i2i.errors import UserError
from i2i.runtime import guard

Change = Callable[[onnx.ModelProto], object]


def plain() -> onnx.ModelProto:
    """A picture through a 1×1 convolution."""
    graph = helper.make_graph(
        [
            helper.make_node("Transpose", ["picture"], ["t"], name="t", perm=[0, 3, 1, 2]),
            helper.make_node("Cast", ["t"], ["f"], name="f", to=TensorProto.FLOAT),
            helper.make_node("Conv", ["f", "w"], ["y"], name="conv", kernel_shape=[1, 1]),
        ],
        "i2i",
        [helper.make_tensor_value_info("picture", TensorProto.UINT8, ["batch", "height", "width", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3, "height", "width"])],
        [numpy_helper.from_array(np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1), "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def node(kind: str, inputs: list[str], domain: str = "", **attributes: object) -> Change:
    made = helper.make_node(kind, inputs, ["new"], name="new", domain=domain, **attributes)
    return lambda model: model.graph.node.append(made)


def weight(name: str, values: np.ndarray) -> Change:
    return lambda model: model.graph.initializer.append(numpy_helper.from_array(values, name))


def both(*changes: Change) -> Change:
    return lambda model: [change(model) for change in changes]


def elsewhere(location: str) -> Change:
    def change(model: onnx.ModelProto) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value=location)

    return change


def told_only(model: onnx.ModelProto) -> None:
    """Says where its weights are, though it has them: which of the two a runtime believes is its own affair."""
    model.graph.initializer[0].external_data.add(key="location", value="w.bin")


def claimed(*dims: int) -> Change:
    """The weights say that they have this shape."""

    def change(model: onnx.ModelProto) -> None:
        del model.graph.initializer[0].dims[:]
        model.graph.initializer[0].dims.extend(dims)

    return change


def wide(model: onnx.ModelProto) -> None:
    dims = model.graph.input[0].type.tensor_type.shape.dim
    dims[1].dim_value = dims[2].dim_value = 1_000_000  # 3 TB


def sequence(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_sequence_value_info("s", TensorProto.FLOAT, None))


def subgraph() -> onnx.GraphProto:
    return helper.make_graph([], "g", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)])


def function(model: onnx.ModelProto) -> None:
    made = helper.make_function("own", "Relu", ["a"], ["b"], [helper.make_node("Relu", ["a"], ["b"])], [])
    model.functions.append(made)


def sparse(model: onnx.ModelProto) -> None:
    values = numpy_helper.from_array(np.ones(1, np.float32), "s")
    model.graph.sparse_initializer.append(
        helper.make_sparse_tensor(values, numpy_helper.from_array(np.zeros(1, np.int64), "i"), [2**40])
    )


def words(model: onnx.ModelProto) -> None:
    helper.set_model_props(model, {"i2i.recipe": "x" * 2_000_000})


SIZES = np.array([1, 3, 2**20, 2**20])
BAD: dict[str, tuple[Change, str]] = {
    "a custom domain": (
        both(lambda m: m.opset_import.append(helper.make_opsetid("evil", 1)), node("Relu", ["f"], "evil")),
        "operators of 'evil'",
    ),
    "a runtime's own domain": (node("FusedConv", ["f", "w"], "com.microsoft"), "'com.microsoft.FusedConv'"),
    "another opset": (lambda m: setattr(m.opset_import[0], "version", 9), "opset 9"),
    "an operator that reads nothing of ours": (node("TfIdfVectorizer", ["f"]), "'TfIdfVectorizer'"),
    "Loop": (node("Loop", ["n", "c"], body=subgraph()), "'Loop'"),
    "Scan": (node("Scan", ["f"], body=subgraph(), num_scan_inputs=1), "'Scan'"),
    "If": (node("If", ["c"], then_branch=subgraph(), else_branch=subgraph()), "'If'"),
    "a graph in a harmless operator": (node("Relu", ["f"], body=subgraph()), "'body' that is no plain value"),
    "a tensor in one": (node("Relu", ["f"], v=numpy_helper.from_array(np.ones(2))), "no plain value"),
    "ConstantOfShape": (both(weight("n", np.array([2**42])), node("ConstantOfShape", ["n"])), "'ConstantOfShape'"),
    "functions": (function, "functions of its own"),
    "sparse weights": (sparse, "sparse weights"),
    "weights in another folder": (elsewhere("../../etc/passwd"), "are in another file"),
    "weights at an absolute place": (elsewhere("/etc/passwd"), "are in another file"),
    "weights beside it": (elsewhere("model.onnx.data"), "are in another file"),
    "weights in two places": (told_only, "are in another file"),
    "4 TB of weights": (claimed(2**20, 2**20, 1, 1), "but 36 bytes"),
    "a negative shape": (claimed(-3, -3, 1, 1), "but 36 bytes"),
    "weights of words": (
        lambda m: m.graph.initializer.append(helper.make_tensor("s", TensorProto.STRING, [1], [b"x"])),
        "of a type that i2i does not export",
    ),
    "a picture of 3 TB": (wide, "a shape that no picture has"),
    "a list of pictures": (sequence, "a shape that no picture has"),
    "an expansion to 4 TB": (both(weight("n", SIZES), node("Expand", ["f", "n"])), "beyond all pictures"),
    "an expansion along one axis": (both(weight("n", np.array([2**40])), node("Expand", ["f", "n"])), "beyond all"),
    "a padding of 1 TB": (
        both(weight("p", np.array([0, 0, 0, 0, 0, 0, 2**19, 2**19])), node("Pad", ["f", "p"])),
        "beyond all pictures",
    ),
    "strides": (node("ConvTranspose", ["f", "w"], strides=[100_000, 100_000]), "'strides' beyond 64"),
    "groups": (node("Conv", ["f", "w"], group=2**40), "'group' beyond"),
    "an enlargement": (
        both(weight("s", np.array([1, 1, 1e6, 1e6], np.float32)), node("Resize", ["f", "", "s"])),
        "enlarges by more than 8",
    ),
    "an enlargement by what it computes": (node("Resize", ["f", "", "f"]), "by what is not known"),
    "metadata without end": (words, "metadata is too long"),
    "ten thousand nodes": (lambda m: m.graph.node.extend([m.graph.node[1]] * 10_001), "nodes, more than 10,000"),
}  # fmt: skip


@pytest.fixture
def write(tmp_path: Path) -> Callable[[onnx.ModelProto | bytes], Path]:
    def write(model: onnx.ModelProto | bytes) -> Path:
        path = tmp_path / "model.onnx"
        path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        return path

    return write


def test_a_plain_network_passes_as_the_bytes_that_were_checked(write) -> None:
    path = write(plain())
    assert guard.checked(path) == path.read_bytes()


@pytest.mark.parametrize("name", BAD)
def test_what_is_not_plain_is_refused_with_its_reason(write, name: str) -> None:
    change, reason = BAD[name]
    model = plain()
    change(model)
    with pytest.raises(UserError) as refused:
        guard.checked(write(model))
    assert reason in str(refused.value)
    assert "i2i export --model NAME" in str(refused.value)


@pytest.mark.parametrize("data", [b"", b"\0" * 100, b"no protobuf at all", b"PK\x03\x04", b"\x08\x0a"])
def test_what_is_no_model_is_refused(write, data: bytes) -> None:
    with pytest.raises(UserError, match="damaged, or no ONNX model"):
        guard.checked(write(data))


def test_no_beginning_of_a_file_passes_for_the_whole(write) -> None:
    """Wherever the copy broke off, but for the metadata at the end, which a runtime of ours then misses."""
    model = plain()
    whole = model.SerializeToString()
    for length in range(0, len(whole), 3):
        if problems := list(guard.problems(whole[:length])):
            assert problems[0]
            continue
        parsed = onnx.ModelProto.FromString(whole[:length])
        assert parsed.graph == model.graph, length


def test_a_file_beyond_the_cap_is_not_parsed(write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "LARGEST", 100)
    monkeypatch.setattr(guard, "problems", lambda data: pytest.fail("parsed"))
    with pytest.raises(UserError, match="is larger than"):
        guard.checked(write(plain()))


def test_folders_pipes_and_missing_files_are_told(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, said in ((".", "is not a file"), ("pipe", "is not a file"), ("missing.onnx", "cannot be read")):
        with pytest.raises(UserError, match=said):
            guard.checked(tmp_path / name)


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_link_to_weights_elsewhere_is_no_way_in(tmp_path: Path, write, link: Callable[..., None]) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(b"\0" * 36)
    link(secret, tmp_path / "w.bin")
    model = plain()
    elsewhere("w.bin")(model)
    with pytest.raises(UserError, match="are in another file"):
        guard.checked(write(model))


def test_a_stranger_cannot_write_to_the_terminal(write) -> None:
    model = plain()
    model.graph.node[0].name, model.graph.node[0].op_type = "\x1b[31m\n" + "x" * 1000, "Evil\x1b[2J"
    with pytest.raises(UserError) as refused:
        guard.checked(write(model))
    assert "\x1b" not in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 600


def test_flipped_bytes_never_end_in_anything_but_an_answer() -> None:
    whole = bytearray(plain().SerializeToString())
    rng = np.random.default_rng(0)
    for _ in range(1000):
        changed = bytearray(whole)
        for place in rng.integers(0, len(whole), 3):
            changed[place] = rng.integers(0, 256)
        for problem in guard.problems(bytes(changed)):
            assert isinstance(problem, str)

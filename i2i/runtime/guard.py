"""An ONNX file from elsewhere, before a runtime opens it: only what our own exports are made of goes through.

ONNX files carry no code of their own, but they can name operators of any library, read other files, hold loops, and ask
for more memory than there is; and the parsers of runtimes are large. So a file is refused unless it is plain: operators
that we emit, of ai.onnx, with attributes of the sizes that networks have, and all weights inside it and as long as
their shapes say. This is no sandbox: what a network of such parts needs when it runs is not computed here.

It costs the import of onnx, 0.05 s, and 1 ms a megabyte, which is why forms that i2i itself has made and keeps in the
user's own folder are opened without.
"""

from collections.abc import Iterator
from math import prod
from pathlib import Path
from stat import S_ISREG
from typing import Any

from i2i.errors import UserError

LARGEST = 1_800_000_000  # bytes, as the largest that is exported
OPSETS = range(20, 22)
NODES = 10_000  # ours have hundreds
ATTRIBUTE, GROUPS = 64, 65_536  # the largest whole numbers in attributes: strides and kernels; of `group`, channels
SCALE = 8.0  # of an enlargement
INDEX = 2**20  # in a shape or a padding, if it is not the end of an axis
VOLUME = 2**28  # the product of such a list
SIDE = 65_536  # of an input or output of fixed size
WORDS = 1_000_000  # bytes of metadata

OPERATORS = frozenset(
    {"Add", "Cast", "Clip", "Concat", "Conv", "ConvTranspose", "DequantizeLinear", "Div", "Equal", "Expand", "Gemm",
     "InstanceNormalization", "LeakyRelu", "Max", "Mul", "Pad", "QuantizeLinear", "Relu", "Reshape", "Resize", "Round",
     "Shape", "Slice", "Squeeze", "Sub", "Tanh", "Transpose", "Unsqueeze"}
)  # fmt: skip
TYPES = {1: 4, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 8, 9: 1, 10: 2}  # TensorProto's number of a type → bytes of an element
WHOLE = {6, 7}  # int32, int64
PLAIN = {1: "f", 2: "i", 3: "s", 6: "floats", 7: "ints"}  # AttributeProto's kinds: no tensors, no graphs


def checked(path: Path) -> bytes:
    """The content of an ONNX file that holds nothing but a network as we export them. Raises UserError for any other.

    What is returned is what was checked: open that, not the file, which may be another by then.
    """
    try:
        if not S_ISREG(path.stat().st_mode):
            raise UserError(f"{path} is not a file.")
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as problem:
        raise UserError(f"{path} cannot be read: {problem.strerror or problem}.") from None
    if len(data) > LARGEST:
        raise UserError(f"{path} is larger than {LARGEST / 1e9} GB, the largest model that i2i exports.")
    first = next(problems(data), "")
    if not first:
        return data
    raise UserError(
        f"{path} is refused: {first}. Only models as i2i exports them are run; get it again from where it came, "
        f"or export it anew: i2i export --model NAME"
    )


def problems(data: bytes) -> Iterator[str]:
    """Everything about a serialised model that ours do not have."""
    import onnx  # here, because translating with models of our own must not wait for it
    from google.protobuf.message import DecodeError

    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError:
        yield "it is damaged, or no ONNX model"
        return
    graph = model.graph
    if not graph.node:
        yield "it is damaged, or no ONNX model: it computes nothing"
    for each in model.opset_import:
        if each.domain not in ("", "ai.onnx"):
            yield f"it needs the operators of {each.domain!r}"
        elif each.version not in OPSETS:
            yield f"it is written in opset {each.version}, where {OPSETS[0]} to {OPSETS[-1]} are known"
    if model.functions or model.training_info:
        yield "it brings functions of its own"
    if graph.sparse_initializer:
        yield "it has sparse weights"
    if len(graph.node) > NODES:
        yield f"it has {len(graph.node):,} nodes, more than {NODES:,}"
    if sum(len(entry.key) + len(entry.value) for entry in model.metadata_props) > WORDS:
        yield "its metadata is too long"
    kept = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        yield from _node(node, kept)
    for tensor in graph.initializer:
        yield from _tensor(tensor)
    for value in (*graph.input, *graph.output, *graph.value_info):
        dims = [dim.dim_value for dim in value.type.tensor_type.shape.dim]
        if not value.type.HasField("tensor_type") or not all(0 <= dim <= SIDE for dim in dims):
            yield f"{_word(value.name)} has a shape that no picture has, {dims}"


def _node(node: Any, kept: dict[str, Any]) -> Iterator[str]:
    word = _word(node.name or node.op_type)
    if node.domain not in ("", "ai.onnx") or node.op_type not in OPERATORS:
        yield f"{word} is the operator {_word(f'{node.domain}.{node.op_type}'.strip('.'))}, which i2i does not export"
    for attribute in node.attribute:
        if attribute.type not in PLAIN or attribute.ref_attr_name:
            yield f"{word} has an attribute {_word(attribute.name)} that is no plain value"
        largest = GROUPS if attribute.name == "group" else ATTRIBUTE
        if any(abs(number) > largest for number in (attribute.i, *attribute.ints)):
            yield f"{word} has {_word(attribute.name)} beyond {largest}"
    if node.op_type == "Resize":
        scales = kept.get(node.input[2]) if len(node.input) > 2 else None
        values = _floats(scales) if scales is not None else []
        if not values or not all(0 < value <= SCALE for value in values):
            yield f"{word} enlarges by more than {SCALE:g}, or by what is not known"


def _tensor(tensor: Any) -> Iterator[str]:
    word = _word(tensor.name)
    if tensor.data_location or tensor.external_data:
        yield f"the weights {word} are in another file"
        return
    size = TYPES.get(tensor.data_type)
    if size is None or tensor.HasField("segment"):
        yield f"the weights {word} are of a type that i2i does not export"
        return
    lists = (tensor.float_data, tensor.int32_data, tensor.int64_data, tensor.double_data, tensor.uint64_data)
    there = len(tensor.raw_data) if tensor.raw_data else size * sum(map(len, lists))
    if any(dim < 0 for dim in tensor.dims) or there != size * prod(tensor.dims):
        yield f"the weights {word} have the shape {list(tensor.dims)[:8]}, but {there:,} bytes"
        return
    if tensor.data_type in WHOLE and prod(tensor.dims) <= ATTRIBUTE:  # shapes, paddings, bounds of slices
        numbers = [abs(number) for number in _ints(tensor, size) if abs(number) < 2 ** (8 * size - 1) - 1]
        if any(number > INDEX for number in numbers) or prod(number or 1 for number in numbers) > VOLUME:
            yield f"the sizes in {word} are beyond all pictures: {numbers[:8]}"


def _ints(tensor: Any, size: int) -> list[int]:
    raw = tensor.raw_data
    if raw:
        return [int.from_bytes(raw[i : i + size], "little", signed=True) for i in range(0, len(raw), size)]
    return [*tensor.int32_data, *tensor.int64_data]


def _floats(tensor: Any) -> list[float]:
    from array import array

    return [*tensor.float_data, *array("f", tensor.raw_data[: len(tensor.raw_data) // 4 * 4])][:ATTRIBUTE]


def _word(name: str) -> str:
    """What a stranger has written, short and on one line."""
    return repr(name[:60])

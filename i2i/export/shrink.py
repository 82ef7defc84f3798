"""Weights that 16-bit floats hold exactly, stored as such: a file of half the size, and the same picture bit for bit.

A rounded model (`zoo.rounded`) has such weights. Behind each of them a Cast makes 32 bits of it again; it depends on no
input, so runtimes compute it once, when they open the file, and what they then run is the graph as it was.
The kernel of a resize convolution needs more: its 4×4 weights are sums of 3×3 ones (`nets.blocks.ResizeConv`), and sums
of 16-bit floats are none. So the 3×3 ones are stored, and a product with zeros and ones adds them up. That is done only
where no order of adding rounds anything, so that every runtime gets the sums that torch gets.
Shapes: i channels in, o channels out.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

LEAST = 512  # elements: of smaller weights the nodes would take what the bits save
WORTH = 0.25  # of all bytes of weights; what saves less is no rounded model, and stays as it is
SUMS = "resize.sums"  # the name of the matrix
# Along one side b m t → b, m + b, t + m, t, with b the bottom of the 3×3 weights: two pixels of an enlarged picture are
# one. Both sides: 9 weights → 16.
ROWS = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]], np.float32)
MATRIX = np.kron(ROWS, ROWS)
DIGITS = 2**24  # whole numbers up to this are exact in 32-bit floats; and all 16-bit floats are multiples of 1 / DIGITS


@dataclass(frozen=True)
class Short:
    """What takes the place of one weight: its 16-bit floats first, and the nodes that make it of them."""

    tensors: list[TensorProto]
    nodes: list[NodeProto]


def shrunk(model: onnx.ModelProto, kernels: Iterable[np.ndarray] = ()) -> onnx.ModelProto:
    """A copy whose weights take half the space, where they can without the change of a bit; else `model` itself.

    `kernels`: weights of the network, among which are those of its resize convolutions, o i 3 3 float32.
    """
    weights = model.graph.initializer
    taps = [_taps(kernel) for kernel in kernels if kernel.shape[2:] == (3, 3) and _halves(kernel) is not None]
    short = {each.name: made for each in weights if (made := _short(each, taps))}
    saved = sum(_bytes(each) - _bytes(short[each.name].tensors[0]) for each in weights if each.name in short)
    if not short or saved < WORTH * sum(map(_bytes, weights)):
        return model
    nodes = [node for each in short.values() for node in each.nodes]
    made = onnx.ModelProto()
    made.CopyFrom(model)
    made.graph.ClearField("node")
    made.graph.node.extend([*nodes, *model.graph.node])
    made.graph.ClearField("initializer")
    for each in weights:
        made.graph.initializer.extend(short[each.name].tensors if each.name in short else [each])
    if any(SUMS in node.input for node in nodes):
        made.graph.initializer.append(numpy_helper.from_array(MATRIX, SUMS))
    return made


def _short(tensor: TensorProto, taps: Iterable[np.ndarray]) -> Short | None:
    """None for what is small, a number per channel, not of 32-bit floats, or beyond 16 bits."""
    name, half = tensor.name, f"{tensor.name}.half"
    if tensor.data_type != TensorProto.FLOAT or len(tensor.dims) < 2 or prod(tensor.dims) < LEAST:
        return None
    values = numpy_helper.to_array(tensor)
    if (halves := _halves(values)) is not None:
        return Short([numpy_helper.from_array(halves, half)], [_node("Cast", [half], name, to=TensorProto.FLOAT)])
    for each in taps:
        i, o = each.shape[:2]
        flat = each.reshape(i * o, 9)
        if values.shape == (i, o, 4, 4) and np.array_equal(flat @ MATRIX, values.reshape(-1, 16)) and _exact(each):
            halves, shape = flat.astype(np.float16), np.array(values.shape, np.int64)
            return Short(
                [numpy_helper.from_array(halves, half), numpy_helper.from_array(shape, f"{name}.shape")],
                [
                    _node("Cast", [half], f"{name}.taps", to=TensorProto.FLOAT),
                    _node("Gemm", [f"{name}.taps", SUMS], f"{name}.sums"),
                    _node("Reshape", [f"{name}.sums", f"{name}.shape"], name),
                ],
            )
    return None


def _halves(values: np.ndarray) -> np.ndarray | None:
    """The same numbers as 16-bit floats, if these hold them all."""
    with np.errstate(over="ignore"):
        half = values.astype(np.float16)
    return half if np.array_equal(half.astype(np.float32), values) else None


def _taps(kernel: np.ndarray) -> np.ndarray:
    """o i 3 3 → i o 3 3, turned around: as transposed convolutions have them."""
    return np.ascontiguousarray(kernel.swapaxes(0, 1)[:, :, ::-1, ::-1])


def _exact(taps: np.ndarray) -> bool:
    """Whether 32-bit floats add up each 2×2 of the weights without rounding, in every order.

    They do where all partial sums are whole numbers up to DIGITS of one unit, the lowest bit that one of them has."""
    whole = np.rint(taps.astype(np.float64) * DIGITS).astype(np.int64)
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        four = whole[:, :, row : row + 2, column : column + 2].reshape(*taps.shape[:2], 4)
        bits = np.bitwise_or.reduce(four, axis=2)
        if not (np.abs(four).sum(2) / DIGITS <= (bits & -bits)).all():
            return False
    return True


def _node(kind: str, inputs: list[str], result: str, **attributes: Any) -> NodeProto:
    return helper.make_node(kind, inputs, [result], name=f"weights.{result}.{kind}", **attributes)


def _bytes(tensor: TensorProto) -> int:
    return len(tensor.raw_data) or tensor.ByteSize()

"""Instance norms that take their statistics from outside: surgery on an exported graph, for the work in tiles.

An instance norm looks at the whole picture (Ulyanov et al. 2016, equation 3). Tiles that are normalised one by one get
another contrast each, and their seams show. So for tiles each norm becomes what a batch norm is at test,

    y = γ (x - μ) / √(σ² + ε) + β,

with one μ and one σ² for all tiles of a picture. A group norm is exported as the instance norm of its groups, and
becomes the same. Batch norms with running statistics know nothing of the picture and are left alone.
Shapes: n pictures, c channels or groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

EPSILON = 1e-5  # of an InstanceNormalization that does not tell its own


@dataclass(frozen=True)
class Statistics:
    """Of one norm: μ and σ², c float32 each."""

    mean: np.ndarray
    variance: np.ndarray


def count(model: onnx.ModelProto) -> int:
    """How many norms of a graph look at the whole picture."""
    return sum(node.op_type == "InstanceNormalization" for node in model.graph.node)


def tell(model: onnx.ModelProto) -> list[str]:
    """Changes a graph so that it tells what its norms see; returns the new outputs' names, a mean and a variance each.

    The variance is that of the differences from the mean: E[x²] - E[x]² in 32 bits would lose what is small.
    """
    makers, constants = _makers(model), _constants(model)
    nodes: list[NodeProto] = []
    names: list[str] = []
    for node in model.graph.node:
        nodes.append(node)
        if node.op_type == "InstanceNormalization":
            x, mean, variance = node.input[0], f"mean.{len(names) // 2}", f"variance.{len(names) // 2}"
            flat = x in makers and makers[x].op_type == "Reshape"  # n groups rest, where others are n c h w
            axes = "tiles.flat" if flat else "tiles.map"
            if _half(node, constants):
                nodes.append(_node("Cast", [x], f"{mean}.x", to=TensorProto.FLOAT))
                x = f"{mean}.x"
            nodes += [
                _node("ReduceMean", [x, axes], f"{mean}.kept", keepdims=1),
                _node("Sub", [x, f"{mean}.kept"], f"{mean}.away"),
                _node("Mul", [f"{mean}.away", f"{mean}.away"], f"{mean}.squares"),
                _node("Squeeze", [f"{mean}.kept", axes], mean),
                _node("ReduceMean", [f"{mean}.squares", axes], variance, keepdims=0),
            ]
            names += [mean, variance]
    _put(model, nodes)
    axes_of = {"tiles.map": [0, 2, 3], "tiles.flat": [0, 2]}
    model.graph.initializer.extend(
        numpy_helper.from_array(np.array(axes, np.int64), name) for name, axes in axes_of.items()
    )
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None]) for name in names)
    return names


def settle(model: onnx.ModelProto, statistics: Sequence[Statistics]) -> None:
    """Changes a graph so that its norms use these statistics, one for each in the order of the graph."""
    constants = _constants(model)
    nodes: list[NodeProto] = []
    known = iter(enumerate(statistics))
    for node in model.graph.node:
        if node.op_type != "InstanceNormalization":
            nodes.append(node)
            continue
        k, own = next(known)
        given, out = list(node.input), node.output[0]
        for name, values in ((f"mean.{k}", own.mean), (f"variance.{k}", own.variance)):
            model.graph.initializer.append(numpy_helper.from_array(values, name))
        half = _half(node, constants)
        if half:  # a variance can be more than half precision holds
            wide = [f"norm.{k}.{place}" for place in ("x", "scale", "bias")]
            nodes += [_node("Cast", [old], new, to=TensorProto.FLOAT) for old, new in zip(given, wide, strict=True)]
            given, out = wide, f"norm.{k}.y"
        epsilon = next((each.f for each in node.attribute if each.name == "epsilon"), EPSILON)
        nodes.append(_node("BatchNormalization", [*given, f"mean.{k}", f"variance.{k}"], out, epsilon=epsilon))
        if half:
            nodes.append(_node("Cast", [out], node.output[0], to=TensorProto.FLOAT16))
    _put(model, nodes)


def unround(model: onnx.ModelProto) -> str:
    """Changes a graph so that its only output is n c h w before it is rounded to whole numbers; returns its name.

    Of a model for float32 values that is the output which it has.
    """
    graph = model.graph
    rounds = [node for node in graph.node if node.op_type == "Round"]
    if not rounds:
        return graph.output[0].name
    raw = rounds[-1].input[0]
    behind = {out for out in rounds[-1].output}
    nodes = []
    for node in graph.node:  # in the order of computing, so what hangs on the rounding comes after it
        if node is rounds[-1] or behind & set(node.input):
            behind |= set(node.output)
        else:
            nodes.append(node)
    _put(model, nodes)
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(raw, TensorProto.FLOAT, [None] * 4))
    return raw


def _half(node: NodeProto, constants: dict[str, TensorProto]) -> bool:
    scale = constants.get(node.input[1])
    return scale is not None and scale.data_type == TensorProto.FLOAT16


def _makers(model: onnx.ModelProto) -> dict[str, NodeProto]:
    return {out: node for node in model.graph.node for out in node.output}


def _constants(model: onnx.ModelProto) -> dict[str, TensorProto]:
    return {tensor.name: tensor for tensor in model.graph.initializer}


def _node(kind: str, inputs: Sequence[str], output: str, **attributes: object) -> NodeProto:
    return helper.make_node(kind, inputs, [output], name=f"tiles.{output}", **attributes)


def _put(model: onnx.ModelProto, nodes: Sequence[NodeProto]) -> None:
    del model.graph.node[:]
    model.graph.node.extend(nodes)

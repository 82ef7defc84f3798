"""Instance norms that take their statistics from outside: surgery on an exported graph, for the work in tiles.

An instance norm looks at the whole picture (Ulyanov et al. 2016, equation 3). Tiles that are normalised one by one get
another contrast each, and their seams show. So for tiles each norm becomes what a batch norm is at test,

    y = γ (x - μ) / √(σ² + ε) + β,

with one μ and one σ² for all tiles of a picture. A group norm is exported as the instance norm of its groups, and
becomes the same. Batch norms with running statistics know nothing of the picture and are left alone.
Every function changes the graph that it is given. Shapes: c channels, or groups, of a norm.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

CORE, SIDES = "tiles.core", "tiles.sides"  # inputs, int64: (first row and column, those behind the last); (h, w)
EPSILON = 1e-5  # of an InstanceNormalization that does not tell its own
AXES = {"tiles.map": [0, 2, 3], "tiles.flat": [0, 2], "tiles.both": [2, 3], "tiles.zero": 0, "tiles.one": 1}


@dataclass(frozen=True)
class Norm:
    """One norm of a graph, and the names of what is put around it."""

    node: NodeProto
    k: int
    source: str  # n c h w, also of a norm of groups
    groups: str  # the shape in which these groups are flat; '' where channels are normed
    half: bool

    @property
    def axes(self) -> str:
        return "tiles.flat" if self.groups else "tiles.map"

    @property
    def own(self) -> tuple[str, str]:
        return f"mean.{self.k}", f"variance.{self.k}"

    @property
    def told(self) -> tuple[str, str]:
        return f"told.mean.{self.k}", f"told.variance.{self.k}"

    @property
    def correction(self) -> tuple[str, str]:
        return f"shift.{self.k}", f"ratio.{self.k}"

    def at(self, place: str) -> str:
        return f"tiles.{self.k}.{place}"


def norms(model: onnx.ModelProto) -> list[Norm]:
    """Those that look at the whole picture, in the order of the graph."""
    makers = {out: node for node in model.graph.node for out in node.output}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    found: list[Norm] = []
    for node in model.graph.node:
        if node.op_type == "InstanceNormalization":
            maker, scale = makers.get(node.input[0]), constants.get(node.input[1])
            reshape = maker if maker is not None and maker.op_type == "Reshape" else None
            source, groups = reshape.input if reshape else (node.input[0], "")
            half = scale is not None and scale.data_type == TensorProto.FLOAT16
            found.append(Norm(node, len(found), source, groups, half))
    return found


def corrected(model: onnx.ModelProto) -> list[Norm]:
    """For a smaller picture: each norm takes the statistics m and v that it sees, corrected by `shift` and `ratio`,

        μ = m + shift √v,  σ² = ratio v,

    which are new inputs, and tells μ and σ². With 0 and 1 nothing changes."""
    found = norms(model)

    def around(norm: Norm) -> list[NodeProto]:
        (mean, variance), (shift, ratio), at = norm.told, norm.correction, norm.at
        nodes, x = _widened(norm, norm.node.input[0], "x")
        return [
            *nodes,
            _node("ReduceMean", [x, norm.axes], at("kept"), keepdims=1),
            _node("Sub", [x, at("kept")], at("away")),
            *_mean_square(norm, at("v")),
            _node("Squeeze", [at("kept"), norm.axes], at("m")),
            _node("Sqrt", [at("v")], at("deviation")),
            _node("Mul", [at("deviation"), shift], at("shift")),
            _node("Add", [at("m"), at("shift")], mean),
            _node("Mul", [at("v"), ratio], variance),
            *_applied(norm, mean, variance),
        ]

    _replace(model, {norm.node.output[0]: around(norm) for norm in found})
    _tell(model, [name for norm in found for name in norm.correction], [name for norm in found for name in norm.told])
    return found


def opened(model: onnx.ModelProto) -> list[Norm]:
    """For tiles: each norm takes μ and σ² from new inputs, and tells E[x - μ] and E[(x - μ)²] over the tile's core:
    numbers that stay exact in 32 bits while μ is near, where E[x²] - E[x]² would lose what is small."""
    found = norms(model)

    def around(norm: Norm) -> list[NodeProto]:
        (mean, variance), at = norm.told, norm.at
        nodes, x = _widened(norm, norm.source, "source")
        nodes += [
            _node("Shape", [x], at("size"), start=2),
            _node("Mul", [CORE, at("size")], at("scaled")),
            _node("Div", [at("scaled"), SIDES], at("ends")),  # without a rest: cores are multiples
            _node("Gather", [at("ends"), "tiles.zero"], at("first")),
            _node("Gather", [at("ends"), "tiles.one"], at("last")),
            _node("Slice", [x, at("first"), at("last"), "tiles.both"], at("core")),
        ]
        core = at("core")
        if norm.groups:
            nodes.append(_node("Reshape", [core, norm.groups], at("grouped")))
            core = at("grouped")
        return [
            *nodes,
            _node("Unsqueeze", [norm.own[0], norm.axes], at("middle")),
            _node("Sub", [core, at("middle")], at("away")),
            _node("ReduceMean", [at("away"), norm.axes], mean, keepdims=0),
            *_mean_square(norm, variance),
            *_applied(norm, *norm.own),
        ]

    _replace(model, {norm.node.output[0]: around(norm) for norm in found})
    _tell(model, [name for norm in found for name in norm.own], [name for norm in found for name in norm.told])
    for name, shape in ((CORE, [2, 2]), (SIDES, [2])):
        model.graph.input.append(helper.make_tensor_value_info(name, TensorProto.INT64, shape))
    return found


def settled(model: onnx.ModelProto, statistics: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
    """For tiles: each norm has its μ and σ² as constants, which a runtime can put into the convolution before it."""
    found = norms(model)
    for norm, values in zip(found, statistics, strict=True):
        for name, value in zip(norm.own, values, strict=True):
            model.graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
    _replace(model, {norm.node.output[0]: _applied(norm, *norm.own) for norm in found})


def unrounded(model: onnx.ModelProto) -> str:
    """Gives n c h w as the output before it is rounded to whole numbers; returns its name. A model of float32 values
    has no other."""
    rounds = [node for node in model.graph.node if node.op_type == "Round"]
    if not rounds:
        return model.graph.output[0].name
    raw = rounds[-1].input[0]
    model.graph.output.append(helper.make_tensor_value_info(raw, TensorProto.FLOAT, [None] * 4))
    return raw


def _applied(norm: Norm, mean: str, variance: str) -> list[NodeProto]:
    """The norm itself, in 32 bits: a variance can be more than 16 hold."""
    epsilon = next((each.f for each in norm.node.attribute if each.name == "epsilon"), EPSILON)
    (y,) = norm.node.output
    nodes: list[NodeProto] = []
    given = []
    for place, name in zip(("own.x", "scale", "bias"), norm.node.input, strict=True):
        wide, name = _widened(norm, name, place)
        nodes += wide
        given.append(name)
    out = norm.at("y") if norm.half else y
    nodes.append(_node("BatchNormalization", [*given, mean, variance], out, epsilon=epsilon))
    return [*nodes, _node("Cast", [out], y, to=TensorProto.FLOAT16)] if norm.half else nodes


def _mean_square(norm: Norm, out: str) -> list[NodeProto]:
    """Of `away`, without a picture of squares: that would cost the memory of a tile."""
    at = norm.at
    return [
        _node("Shape", [at("away")], at("lengths"), start=2),
        _node("ReduceProd", [at("lengths")], at("count"), keepdims=0),
        _node("Cast", [at("count")], at("number"), to=TensorProto.FLOAT),
        _node("ReduceSumSquare", [at("away"), norm.axes], at("sum"), keepdims=0),
        _node("Div", [at("sum"), at("number")], out),
    ]


def _widened(norm: Norm, name: str, place: str) -> tuple[list[NodeProto], str]:
    """A value of a norm in 32 bits: the nodes it takes, and its name."""
    if not norm.half:
        return [], name
    return [_node("Cast", [name], norm.at(place), to=TensorProto.FLOAT)], norm.at(place)


def _node(kind: str, inputs: Sequence[str], output: str, **attributes: Any) -> NodeProto:
    return helper.make_node(kind, inputs, [output], name=f"tiles.{output}", **attributes)


def _replace(model: onnx.ModelProto, by: dict[str, list[NodeProto]]) -> None:
    nodes = [new for node in model.graph.node for new in by.get(node.output[0], [node])]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _tell(model: onnx.ModelProto, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """New float32 inputs and outputs of any length, and the constants that the new nodes need."""
    model.graph.input.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None]) for name in inputs)
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, [None]) for name in outputs)
    model.graph.initializer.extend(
        numpy_helper.from_array(np.array(value, np.int64), name) for name, value in AXES.items()
    )

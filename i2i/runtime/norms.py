"""Instance norms that take their statistics from outside: surgery on an exported graph, for the work in tiles.

An instance norm looks at the whole picture (Ulyanov et al. 2016, equation 3). Tiles that are normalised one by one get
another contrast each, and their seams show. So each InstanceNormalization becomes what a batch norm is at test,

    y = γ (x - μ) / √(σ² + ε) + β,

with μ and σ² as inputs of the graph. They come from all tiles, and are the same for all.
Shapes: n tiles, c channels (or groups, where a group norm was exported as an instance norm of its groups), h w sizes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CORE, SIDES = "core", "sides"  # int64 (2, 2): first row and column, and those behind the last; (2): height and width


@dataclass(frozen=True)
class Opened:
    """A graph whose norms are open."""

    model: onnx.ModelProto
    channels: tuple[int, ...]  # of each norm
    raw: str  # the value before it is rounded and laid out as pixels: n c h w; the output of a float32 model

    @property
    def means(self) -> list[str]:
        return [f"mean.{k}" for k in range(len(self.channels))]

    @property
    def variances(self) -> list[str]:
        return [f"variance.{k}" for k in range(len(self.channels))]

    @property
    def told(self) -> list[str]:
        """The outputs that tell the statistics of a tile's core."""
        return [f"told.{name}" for name in (*self.means, *self.variances)]


def opened(model: onnx.ModelProto) -> Opened:
    """The graph with statistics as inputs, and with those of a core as outputs.

    `told.mean` is E[x - μ], `told.variance` E[(x - μ)²] with the μ that was given: numbers that stay exact in 32 bits
    while μ is near.
    """
    return _surgery(model, given=True)


def pooled(model: onnx.ModelProto) -> Opened:
    """The graph that normalises a batch of tiles by what they have in common, and tells it: mean and variance."""
    return _surgery(model, given=False)


def norms(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type == "InstanceNormalization"]


def _surgery(source: onnx.ModelProto, given: bool) -> Opened:
    model = onnx.ModelProto()
    model.CopyFrom(source)
    graph = model.graph
    makers = {out: node for node in graph.node for out in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    channels: list[int] = []
    for node in graph.node:
        if node.op_type != "InstanceNormalization":
            nodes.append(node)
            continue
        k = len(channels)
        channels.append(constants[node.input[1]].dims[0])
        nodes += _open_norm(node, k, makers, constants, given)
    del graph.node[:]
    graph.node.extend(nodes)
    rounds = [node for node in nodes if node.op_type == "Round"]
    raw = rounds[-1].input[0] if rounds else graph.output[0].name
    result = Opened(model, tuple(channels), raw)
    if rounds:
        graph.output.append(helper.make_tensor_value_info(raw, TensorProto.FLOAT, [None] * 4))
    if channels:
        graph.initializer.extend(_constants())
        if given:
            graph.input.extend(
                helper.make_tensor_value_info(f"{name}.{k}", TensorProto.FLOAT, [c])
                for k, c in enumerate(channels)
                for name in ("mean", "variance")
            )
            graph.input.append(helper.make_tensor_value_info(CORE, TensorProto.INT64, [2, 2]))
            graph.input.append(helper.make_tensor_value_info(SIDES, TensorProto.INT64, [2]))
        graph.output.extend(
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [c])
            for name, c in zip(result.told, (*channels, *channels), strict=True)
        )
    return result


def _open_norm(
    node: onnx.NodeProto,
    k: int,
    makers: dict[str, onnx.NodeProto],
    constants: dict[str, TensorProto],
    given: bool,
) -> list[onnx.NodeProto]:
    x, scale, bias = node.input
    (y,) = node.output
    maker = makers.get(x)
    grouped = maker is not None and maker.op_type == "Reshape"  # a group norm: n c h w → n groups rest
    nodes = []
    if constants[scale].data_type == TensorProto.FLOAT16:  # statistics need more
        for name in (x, scale, bias):
            nodes.append(_node("Cast", [name], f"{k}.full.{name}", to=TensorProto.FLOAT))
        x, scale, bias = (f"{k}.full.{name}" for name in (x, scale, bias))
        y = f"{k}.full.{y}"
    axes = "axes.flat" if grouped else "axes.map"
    mean, variance = (f"mean.{k}", f"variance.{k}") if given else (f"told.mean.{k}", f"told.variance.{k}")
    if given:
        source = maker.input[0] if grouped and maker is not None else x
        if nodes and grouped:
            nodes.append(_node("Cast", [source], f"{k}.full.{source}", to=TensorProto.FLOAT))
            source = f"{k}.full.{source}"
        nodes += [
            _node("Shape", [source], f"{k}.size", start=2),
            _node("Mul", [CORE, f"{k}.size"], f"{k}.scaled"),
            _node("Div", [f"{k}.scaled", SIDES], f"{k}.ends"),
            _node("Gather", [f"{k}.ends", "zero"], f"{k}.first"),
            _node("Gather", [f"{k}.ends", "one"], f"{k}.last"),
            _node("Slice", [source, f"{k}.first", f"{k}.last", "axes.sides"], f"{k}.cut"),
        ]
        core = f"{k}.cut"
        if grouped and maker is not None:
            nodes.append(_node("Reshape", [core, maker.input[1]], f"{k}.groups"))
            core = f"{k}.groups"
    else:
        core = x
        nodes.append(_node("ReduceMean", [core, axes], mean, keepdims=0))
    nodes += [
        _node("Unsqueeze", [mean, axes], f"{k}.middle"),
        _node("Sub", [core, f"{k}.middle"], f"{k}.away"),
        _node("Mul", [f"{k}.away", f"{k}.away"], f"{k}.squares"),
        _node("ReduceMean", [f"{k}.squares", axes], f"told.variance.{k}", keepdims=0),
    ]
    if given:
        nodes.append(_node("ReduceMean", [f"{k}.away", axes], f"told.mean.{k}", keepdims=0))
    epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
    nodes.append(_node("BatchNormalization", [x, scale, bias, mean, variance], y, epsilon=epsilon))
    if y != node.output[0]:
        nodes.append(_node("Cast", [y], node.output[0], to=TensorProto.FLOAT16))
    return nodes


def _node(kind: str, inputs: Sequence[str], output: str, **attributes: object) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, [output], name=f"tiles.{output}", **attributes)


def _constants() -> list[TensorProto]:
    told = {"axes.map": [0, 2, 3], "axes.flat": [0, 2], "axes.sides": [2, 3], "zero": 0, "one": 1}
    return [numpy_helper.from_array(np.array(value, np.int64), name) for name, value in told.items()]

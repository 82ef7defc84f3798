"""How much memory a graph needs for a picture, so that a runtime knows when to cut one into tiles."""

import numpy as np
import onnx

from i2i.export.parity import probe, session

SIDE = 256


def bytes_per_pixel(model: onnx.ModelProto) -> int:
    """The most bytes of values that are needed at one time, divided by the pixels of the picture (with its padding).

    Every value's size comes from running the graph; one lives from the node that makes it to the last that reads it.
    A runtime that fuses nodes or works in place needs less, one with workspaces for its convolutions more.
    """
    graph = model.graph
    picture = graph.input[0]
    whole = picture.type.tensor_type.elem_type != onnx.TensorProto.FLOAT
    channels = picture.type.tensor_type.shape.dim[3 if whole else 1].dim_value
    dtype = onnx.helper.tensor_dtype_to_np_dtype(picture.type.tensor_type.elem_type)
    shape = (1, SIDE, SIDE, channels) if whole else (1, channels, SIDE, SIDE)
    names = [name for node in graph.node for name in node.output]
    results = session(probe(model, names)).run(names, {picture.name: np.zeros(shape, dtype)})
    sizes = {name: result.nbytes for name, result in zip(names, results, strict=True)}
    last = {name: count for count, node in enumerate(graph.node) for name in node.input}
    now = most = 0
    for count, node in enumerate(graph.node):
        now += sum(sizes[name] for name in node.output)
        most = max(most, now)
        now -= sum(sizes[name] for name in {*node.input, *node.output} if name in sizes and last.get(name, -1) == count)
    return -(-most // SIDE**2)

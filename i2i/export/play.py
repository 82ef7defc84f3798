"""The traced program, played step by step: what lies between a network and its graph, value by value.

The graph's values are called as the program's, so the first that differs names the layer that is wrong; and their
sizes say what memory a picture needs, with no picture and no memory at all.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.fx import Interpreter, Node

from i2i.export.graph import WHOLE, Traced, Translate

SIDE = 256


def played(traced: Traced, feed: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    """Every value of the program by name, in double precision."""
    seen: dict[str, Tensor] = {}

    class Recorder(Interpreter):
        def run_node(self, n: Node) -> Any:
            value = super().run_node(n)
            if isinstance(value, Tensor):
                seen[n.name] = value
            return value

        def call_function(self, target: Any, args: Any, kwargs: Mapping[str, Any]) -> Any:
            if kwargs.get("dtype") == torch.float32:
                kwargs = {**kwargs, "dtype": torch.float64}
            return super().call_function(target, args, dict(kwargs))

    def wide(x: Tensor) -> Tensor:
        return x.double() if x.is_floating_point() else x

    given = {name: wide(torch.from_numpy(values)) for name, values in feed.items()}
    with torch.inference_mode():
        Recorder(traced.program.graph_module).run(*map(wide, _inputs(traced, given)))
    return seen


def bytes_per_pixel(traced: Traced) -> int:
    """The most bytes of values that are needed at one time, divided by the pixels of the picture (with its padding).

    One lives from the step that makes it to the last that reads it. A runtime that fuses steps or works in place needs
    less, one with workspaces for its convolutions more. 1 for a model that draws from noise: it cannot be cut into
    tiles.
    """
    module = traced.module
    if not isinstance(module, Translate):
        return 1
    side, channels = int(module.padded(SIDE)), int(module.network.inputs)  # type: ignore[arg-type]
    shape = (1, channels, side, side) if module.pixels == "float32" else (1, side, side, channels)
    sizes: dict[str, int] = {}  # of all that depends on the picture; weights are not activations

    class Measurer(Interpreter):
        def run_node(self, n: Node) -> Any:
            value = super().run_node(n)
            if isinstance(value, Tensor) and (n.name == "picture" or any(i.name in sizes for i in n.all_input_nodes)):
                sizes[n.name] = value.nbytes
            return value

    with FakeTensorMode(allow_non_fake_inputs=True):  # shapes alone
        picture = torch.empty(shape, dtype=WHOLE.get(module.pixels, torch.float32))
        Measurer(traced.program.graph_module).run(*_inputs(traced, {"picture": picture}))
    nodes = [node for node in traced.program.graph.nodes if node.name in sizes]
    last = {read.name: count for count, node in enumerate(nodes) for read in node.all_input_nodes}
    now = most = 0
    for count, node in enumerate(nodes):
        now += sizes[node.name]
        most = max(most, now)
        gone = {node, *node.all_input_nodes}
        now -= sum(sizes[each.name] for each in gone if each.name in sizes and last.get(each.name, -1) == count)
    return -(-most // side**2)


def _inputs(traced: Traced, given: Mapping[str, Tensor]) -> Iterator[Tensor]:
    """The program's arguments: its weights, and what is given by name."""
    program, signature = traced.program, traced.program.graph_signature
    weights = {**program.state_dict, **program.constants}
    lifted = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    lifted |= signature.inputs_to_lifted_tensor_constants
    for node in program.graph.nodes:
        if node.op == "placeholder":
            yield weights[lifted[node.name]] if node.name in lifted else given[node.name]

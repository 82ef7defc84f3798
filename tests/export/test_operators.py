"""What our generators are made of is what a file from elsewhere may be made of: neither less nor more."""

import onnx
import torch

from i2i.export import parity, quantise
from i2i.runtime import guard

from .helpers import SAMPLERS, TRANSLATORS, Get


def operators(model: onnx.ModelProto) -> set[str]:
    return {node.op_type for node in model.graph.node}


def test_the_guard_knows_every_operator_that_we_emit_and_no_other(traced: Get, drawn: Get) -> None:
    emitted = set()
    for name in TRANSLATORS:
        emitted |= operators(traced(name).model)
    for name in SAMPLERS:
        emitted |= operators(drawn(name).model)
    emitted |= operators(traced("resnet", "uint8", torch.float16).model)
    made = traced("resnet")
    feeds = list(parity.usual(made.module))[:1]
    for rung in quantise.LADDER:
        small = quantise._quantised(made.model, rung, feeds)
        emitted |= operators(small)
        assert list(guard.problems(small.SerializeToString())) == []
    assert emitted == guard.OPERATORS


def test_all_our_graphs_pass(traced: Get, drawn: Get) -> None:
    for made in [*(traced(name) for name in TRANSLATORS), *(drawn(name) for name in SAMPLERS)]:
        assert list(guard.problems(made.model.SerializeToString())) == []

"""A rounded model's graph takes half the space and computes the same bits; any other stays as it is."""

from functools import reduce
from itertools import permutations

import numpy as np
import onnx
import onnx.reference
import onnxruntime as ort
import pytest
from onnx import numpy_helper

from i2i import zoo
from i2i.errors import UserError
from i2i.export import graph, parity, shrink
from i2i.nets import ResnetSpec, UNetSpec
from i2i.runtime import guard

from .helpers import Get, lively, opened, photograph

UNET = UNetSpec(levels=3, width=16, norm="instance-affine", upsample="resize-conv")
RESNET = ResnetSpec(blocks=1, width=8, upsample="transposed")


@pytest.fixture(scope="module", params=[UNET, RESNET], ids=["unet, resize", "resnet, transposed"])
def rounded(request: pytest.FixtureRequest) -> tuple[graph.Traced, onnx.ModelProto]:
    """A rounded network as a graph, and that graph made small."""
    network = zoo.rounded({"a2b": lively(request.param, 3, 3)})["a2b"]
    traced = graph.translator(network)
    return traced, shrink.shrunk(traced.model, weights(traced))


def weights(traced: graph.Traced) -> list[np.ndarray]:
    return [weight.numpy() for weight in traced.module.network.state_dict().values()]


def kept(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}


def unrounded(model: onnx.ModelProto) -> bytes:
    return parity.probe(model, [next(node.input[0] for node in model.graph.node if node.op_type == "Round")])


@pytest.mark.parametrize("level", ["ORT_DISABLE_ALL", "ORT_ENABLE_ALL"])
def test_the_picture_is_the_same_bit_for_bit_before_it_is_rounded(
    rounded: tuple[graph.Traced, onnx.ModelProto], level: str
) -> None:
    picture = {"picture": photograph(33, 41)[None]}
    exact, small = (
        opened(unrounded(model), getattr(ort.GraphOptimizationLevel, level)).run(None, picture)
        for model in (rounded[0].model, rounded[1])
    )
    assert all(np.array_equal(*pair) for pair in zip(exact, small, strict=True))


def test_every_weight_comes_back_as_it_was(rounded: tuple[graph.Traced, onnx.ModelProto]) -> None:
    """In onnx's own interpreter too, which shares nothing with the runtime."""
    traced, small = rounded
    before, after = kept(traced.model), kept(small)
    gone = [name for name in before if name not in after]
    assert sorted(gone) == sorted(name for name, value in before.items() if value.ndim > 1 and value.size >= 512)
    assert {after[f"{name}.half"].dtype for name in gone} == {np.dtype(np.float16)}
    model = onnx.ModelProto()
    model.CopyFrom(small)
    model.graph.ClearField("node")
    model.graph.node.extend(node for node in small.graph.node if node.name.startswith("weights."))
    model.graph.ClearField("input")
    model.graph.ClearField("output")
    model.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, before[name].shape) for name in gone
    )
    for run in (onnx.reference.ReferenceEvaluator(model).run, opened(model).run):
        for name, value in zip(gone, run(None, {}), strict=True):
            assert np.array_equal(value, before[name]), name


def test_the_file_is_half_as_large_or_less(rounded: tuple[graph.Traced, onnx.ModelProto]) -> None:
    sizes = [sum(value.nbytes for value in kept(model).values()) for model in (rounded[0].model, rounded[1])]
    resized = any(node.op_type == "Gemm" for node in rounded[1].graph.node)
    assert sizes[1] < (0.42 if resized else 0.53) * sizes[0]


def test_what_is_given_is_not_changed_and_the_result_is_always_the_same(
    rounded: tuple[graph.Traced, onnx.ModelProto],
) -> None:
    traced, small = rounded
    before = traced.model.SerializeToString(deterministic=True)
    again = shrink.shrunk(traced.model, weights(traced))
    assert again.SerializeToString(deterministic=True) == small.SerializeToString(deterministic=True)
    assert traced.model.SerializeToString(deterministic=True) == before
    assert shrink.shrunk(small, weights(traced)) is small


def test_it_passes_the_guard_the_checker_and_the_gate(rounded: tuple[graph.Traced, onnx.ModelProto]) -> None:
    traced, small = rounded
    onnx.checker.check_model(small, full_check=True)
    assert list(guard.problems(small.SerializeToString())) == []
    feeds = [{"picture": photograph(64, 64)[None]}]
    assert parity.gate(traced, small, "fp32", feeds) == parity.gate(traced, traced.model, "fp32", feeds)


def test_a_changed_weight_is_found_by_the_gate(rounded: tuple[graph.Traced, onnx.ModelProto]) -> None:
    spoilt = onnx.ModelProto()
    spoilt.CopyFrom(rounded[1])
    tensor = next(each for each in spoilt.graph.initializer if each.name.endswith(".half"))
    values = numpy_helper.to_array(tensor).copy()
    values.flat[0] += 0.5
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    with pytest.raises(UserError, match="not the trained one"):
        parity.gate(rounded[0], spoilt, "fp32", [{"picture": photograph(64, 64)[None]}])


@pytest.mark.parametrize("name", ["unet, affine, resize", "resnet, group, blur, bilinear"])
def test_an_ordinary_model_stays_as_it_is(traced: Get, name: str) -> None:
    made = traced(name)
    assert shrink.shrunk(made.model, weights(made)) is made.model


def test_sums_are_called_exact_only_where_no_order_rounds() -> None:
    """Against all orders of all parts of each 2×2, in kernels whose numbers lie far apart."""
    draw, exact = np.random.default_rng(0), 0
    for _ in range(60):
        values = draw.standard_normal((3, 3)) * 2.0 ** -draw.integers(-6, 20, (3, 3))
        taps = values.astype(np.float16).astype(np.float32)
        blocks = np.stack([taps[r : r + 2, c : c + 2].ravel() for r in (0, 1) for c in (0, 1)])
        orders = [order for size in (2, 3, 4) for order in permutations(range(4), size)]
        agree = all(
            np.array_equal(reduce(np.add, blocks[:, order].T), blocks[:, order].astype(np.float64).sum(1))
            for order in map(list, orders)
        )
        exact += shrink._exact(taps[None, None])
        assert agree or not shrink._exact(taps[None, None])
    assert 3 < exact < 57


def test_a_kernel_whose_sums_round_is_kept_in_32_bits() -> None:
    taps = np.zeros((8, 8, 3, 3), np.float32)
    taps[..., 1, 1] = 1
    for lowest, short in ((2**-23, True), (3 * 2**-24, False)):
        taps[..., 0, 1] = lowest
        kernel = np.ascontiguousarray(taps[:, :, ::-1, ::-1].swapaxes(0, 1))
        four = (taps.reshape(-1, 9) @ shrink.MATRIX).reshape(8, 8, 4, 4)
        made = shrink._short(numpy_helper.from_array(four, "w"), [shrink._taps(kernel)])
        assert (made is not None) == short

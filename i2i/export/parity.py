"""The gate: an exported graph is run beside the network it was made from, and leaves only if the pictures are the same.

Exporters are wrong in silence: they write other statistics than the network uses, drop noise, and report an error of
1 on a range of 2 in a log line at most. So real pictures pass through both, in several sizes.
Shapes: n pictures, h height, w width, c channels.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import Tensor
from torch.fx import Interpreter, Node

from i2i import images
from i2i.errors import UserError
from i2i.export.graph import TOP, Traced
from i2i.paths import shared

SIZES = ((64, 64), (97, 65), (63, 130))  # h, w
PLACES = ((0.2, 0.1), (0.3, 0.55), (0.55, 0.3), (0.6, 0.62), (0.35, 0.8), (0.25, 0.2), (0.5, 0.5), (0.7, 0.9))
SOURCES = ("day_2048.jpg",) * 5 + ("relief_2048.jpg",) * 3  # real pictures that ship with i2i, none of them flat
ERROR, SHARE = 1e-4, 1e-3  # fp32: largest error on the range [-1, 1]; bytes that may differ, by one step at most
LEAST_PSNR = {"fp16": 50.0, "int8": 35.0}  # decibels
STARTS = {"fp32": 1e-3, "fp16": 5e-2, "int8": 0.3}  # relative error of a layer that cannot be rounding any more


@dataclass(frozen=True)
class Report:
    """How far an exported model is from its network, over all pictures and sizes."""

    pictures: int
    sizes: tuple[tuple[int, int], ...]
    error: float  # largest, on the range [-1, 1], before rounding
    steps: int  # largest, after it
    share: float  # of values that differ after it
    psnr: float  # decibels; 200 where all are equal

    def json(self) -> str:
        return json.dumps(asdict(self))

    def line(self) -> str:
        """For people."""
        return (
            f"same picture as torch on {self.pictures} pictures of {len(self.sizes)} sizes: largest error "
            f"{self.error:.1g} of 2, {self.share:.3%} of the values differ by up to {self.steps}, {self.psnr} dB"
        )


def gate(traced: Traced, model: onnx.ModelProto, precision: str, batches: Sequence[np.ndarray] | None = None) -> Report:
    """Compares `model` with the module of `traced`, which computes in fp32 and takes the same pixels.

    `batches`: as the model takes them, of any size; the shipped pictures in three sizes if None. Raises UserError, with
    the layer where the difference starts, when fp32 is more than 1e-4 or a step on a thousandth of the values away,
    fp16 below 50 dB, int8 below 35 dB.
    """
    module: Any = traced.module
    shown = batches or list(real_pictures(int(module.network.inputs), module.pixels))
    half = TOP[module.pixels] / 2 if module.pixels in TOP else None  # of the range of whole numbers; None for floats
    running = session(probe(model, [_before_rounding(model)]))
    errors, steps, squares = [], [], []
    for batch in shown:
        with torch.inference_mode():
            exact = module.translate(module.scaled(torch.from_numpy(batch))).numpy()  # n o h w in [-1, 1]
            expected = module(torch.from_numpy(batch)).numpy()
        outputs = running.run(None, {"picture": batch})
        got, raw = outputs[0], outputs[-1]
        error = float(np.abs((raw / half - 1 if half else raw) - exact).max())
        errors.append(error if np.isfinite(error) else float("inf"))
        away = np.abs(got.astype(np.float64) - expected)
        steps.append(away.ravel() if half else np.zeros(1))
        squares.append((away / (2 * half if half else 2)).ravel() ** 2)
    all_steps, mse = np.concatenate(steps), float(np.concatenate(squares).mean())
    report = Report(
        pictures=sum(len(batch) for batch in shown),
        sizes=tuple(sorted({batch.shape[1:3] if half else batch.shape[2:] for batch in shown})),
        error=max(errors),
        steps=int(all_steps.max()),
        share=float((all_steps > 0).mean()),
        psnr=round(-10 * float(np.log10(max(mse, 1e-20))), 1),
    )
    if problem := _problem(report, precision, half):
        worst = shown[int(np.argmax(errors))]
        raise UserError(
            f"The exported model is not the trained one: {problem}. Its first difference is at "
            f"{first_difference(traced, model, worst, STARTS[precision])}. Nothing was written."
        )
    return report


def _problem(report: Report, precision: str, half: float | None) -> str:
    if precision != "fp32":
        least = LEAST_PSNR[precision]
        return "" if report.psnr >= least else f"{report.psnr} dB in {precision} where {least} dB are asked for"
    if not report.error <= ERROR:
        return f"the largest error is {report.error:.2g} where {ERROR:g} is allowed"
    # A step of 16 bits is less than the error that is allowed, so there the error decides.
    if half == TOP["uint8"] / 2 and (report.steps > 1 or report.share > SHARE):
        return f"{report.share:.2%} of the values differ, by up to {report.steps} steps; one step on {SHARE:.1%} may"
    return ""


def real_pictures(channels: int, pixels: str) -> Iterator[np.ndarray]:
    """The shipped pictures of the gate, eight in each of three sizes: 1 h w channels uint8 or uint16, 1 channels h w
    float32 in [-1, 1]. More than three channels are filled with the colours of neighbouring places."""
    for name, (y, x) in zip(SOURCES, PLACES, strict=True):
        whole = images.read(shared("datasets") / "earth" / name)
        for h, w in SIZES:
            top, left = int(y * (whole.shape[0] - h)), int(x * (whole.shape[1] - w))
            piece = whole[top : top + h, left : left + w]
            layers = np.concatenate([np.roll(piece, 7 * k, 1) for k in range(-(-channels // 3))], 2)[:, :, :channels]
            if pixels == "uint16":  # the low byte has to be carried, too
                yield (layers.astype(np.uint16) * 256 + np.roll(layers, 1, 0))[None]
            elif pixels == "uint8":
                yield layers[None]
            else:
                yield (layers.transpose(2, 0, 1) / np.float32(127.5) - 1)[None]


def first_difference(traced: Traced, model: onnx.ModelProto, batch: np.ndarray, tolerance: float) -> str:
    """The first node of `model`, in the order of computing, whose result is not the network's: `its name (error)`.

    Values of the graph are called as those of the traced program, which is played step by step beside it.
    """
    with torch.inference_mode():
        told = _play(traced, torch.from_numpy(batch))
    makers = {out: node for node in model.graph.node for out in node.output}
    common = [name for name in makers if name in told]
    results = session(probe(model, common)).run(common, {"picture": batch})
    for name, got in zip(common, results, strict=True):
        expected = told[name].float().numpy()
        if got.shape != expected.shape:
            return f"{makers[name].name}, of shape {got.shape} where {expected.shape} was expected"
        away = float(np.abs(got - expected).max() / (np.abs(expected).max() + 1e-6)) if got.size else 0.0
        if not away <= tolerance:
            return f"{makers[name].name} (relative error {away:.2g})"
    return "the last step, the rounding to pixels"


def _play(traced: Traced, x: Tensor) -> dict[str, Tensor]:
    """Every value of the program by name."""
    seen: dict[str, Tensor] = {}

    class Recorder(Interpreter):
        def run_node(self, n: Node) -> Any:
            seen[n.name] = value = super().run_node(n)
            return value

    program = traced.program
    signature, weights = program.graph_signature, {**program.state_dict, **program.constants}
    lifted = {**signature.inputs_to_parameters, **signature.inputs_to_buffers}
    lifted |= signature.inputs_to_lifted_tensor_constants
    inputs = [weights[lifted[node.name]] if node.name in lifted else x
              for node in program.graph.nodes if node.op == "placeholder"]  # fmt: skip
    Recorder(program.graph_module).run(*inputs)
    return {name: value for name, value in seen.items() if isinstance(value, Tensor)}


def _before_rounding(model: onnx.ModelProto) -> str:
    """The name of the value that is rounded to pixels; of the output, where nothing is."""
    rounds = [node for node in model.graph.node if node.op_type == "Round"]
    return rounds[-1].input[0] if rounds else model.graph.output[0].name


def probe(model: onnx.ModelProto, names: list[str]) -> bytes:
    """The model with these values as further outputs."""
    probed = onnx.ModelProto()
    probed.CopyFrom(model)
    present = {value.name for value in probed.graph.output}
    probed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in present)
    return probed.SerializeToString()


def session(model: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])

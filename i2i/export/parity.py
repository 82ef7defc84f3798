"""The gate: an exported graph is run beside the network it was made from, and leaves only if the pictures are the same.

Exporters are wrong in silence: they write other statistics than the network uses, drop noise, and report an error of
1 on a range of 2 in a log line at most. So real pictures pass through both, in several sizes: through torch one by one,
through the graph several at a time, for a picture must not depend on those beside it.
Shapes: n pictures, h height, w width, c channels.
"""

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import onnx
import onnxruntime as ort
import torch

from i2i import images
from i2i.errors import UserError
from i2i.export.graph import TOP, Pixels, Sample, Traced, Translate, rounded
from i2i.export.play import played
from i2i.paths import shared
from i2i.runtime.planes import Plane, one_hot

Feed = Mapping[str, np.ndarray]  # what a model is given, by the name of the input

SIZES = ((64, 64), (97, 65), (63, 130))  # h, w
PLACES = ((0.2, 0.1), (0.3, 0.55), (0.55, 0.3), (0.6, 0.62), (0.35, 0.8), (0.25, 0.2), (0.5, 0.5), (0.7, 0.9))
SOURCES = ("day_2048.jpg",) * 5 + ("relief_2048.jpg",) * 3  # real pictures that ship with i2i, none of them flat
DRAWS = 8  # samples of a model that draws from noise
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
            f"beside torch, on {self.pictures} pictures in {len(self.sizes)} size(s): largest error "
            f"{self.error:.1g} of 2, {self.share:.3%} of the values differ, by up to {self.steps}; {self.psnr} dB"
        )


def gate(traced: Traced, model: onnx.ModelProto, precision: str, feeds: Sequence[Feed] | None = None) -> Report:
    """Compares `model` with the module of `traced`, which computes in fp32 and takes the same input.

    `feeds`: of any size; the shipped pictures in three sizes, or fixed noise, if None. Raises UserError, with the layer
    where the difference starts, when fp32 is more than 1e-4 or a step on a thousandth of the values away, fp16 below
    50 dB, int8 below 35 dB.
    """
    shown = list(feeds or usual(traced.module))
    report, worst = compared(traced, model, shown, exactly=precision == "fp32")
    if problem := _problem(report, precision, traced.module.pixels):
        where = first_difference(traced, model, shown[worst], STARTS[precision])
        raise UserError(
            f"The exported model is not the trained one: {problem}. Its first difference is at {where}. "
            f"Nothing was written."
        )
    return report


def compared(traced: Traced, model: onnx.ModelProto, feeds: Sequence[Feed], exactly: bool = True) -> tuple[Report, int]:
    """The report on these inputs, and the number of the worst of them.

    torch's own rounding must not be held against the graph: its group norm of what lies as n h w c in a CPU's memory,
    E[x²] - E[x]² in single precision, is off by a tenth on pictures of little contrast. So where the two differ by more
    than is allowed, and `exactly` is asked for, the network in double precision says what is right.
    """
    module = traced.module
    half = TOP[module.pixels] / 2 if module.pixels in TOP else None  # of the range of whole numbers; None for floats
    running = session(probe(model, [_before_rounding(model)]))
    double, count = None, 0
    errors, steps, squares, sizes = [], [], [], set()
    for feed in feeds:
        outputs = running.run(None, dict(feed))
        got, raw = outputs[0], outputs[-1]
        result = raw / np.float32(half) - 1 if half else raw  # n o h w in [-1, 1]
        exact = truth(module, feed)
        if exactly and not _far(result, exact) <= ERROR:
            double = double or in_double(module)
            exact = truth(double, feed)
        expected = rounded(torch.from_numpy(exact), module.pixels).numpy() if half else exact
        errors.append(_far(result, exact))
        away = np.abs(got.astype(np.float64) - expected)
        steps.append(away.ravel() if half else np.zeros(1))
        squares.append((away / (2 * half if half else 2)).ravel() ** 2)
        count += len(got)
        sizes.add(tuple(map(int, exact.shape[2:])))
    all_steps, mse = np.concatenate(steps), float(np.concatenate(squares).mean())
    report = Report(
        pictures=count,
        sizes=tuple(sorted(sizes)),  # type: ignore[arg-type]
        error=max(errors),
        steps=int(all_steps.max()),
        share=float((all_steps > 0).mean()),
        psnr=round(-10 * float(np.log10(max(mse, 1e-20))), 1),
    )
    return report, int(np.argmax(errors))


def truth(module: Translate | Sample, feed: Feed) -> np.ndarray:
    """n o h w in [-1, 1]: what torch makes of each picture by itself, before rounding."""
    inputs = {name: torch.from_numpy(values) for name, values in feed.items()}
    count = len(next(iter(inputs.values())))
    with torch.inference_mode():
        alone = [module.exact(**{name: x[i : i + 1] for name, x in inputs.items()}) for i in range(count)]
        return torch.cat(alone).numpy()


def in_double(module: Translate | Sample) -> Translate | Sample:
    """The same function in double precision."""
    wide = copy.deepcopy(module)
    wide.network, wide.dtype = wide.network.double(), torch.float64
    return wide


def _far(result: np.ndarray, exact: np.ndarray) -> float:
    """The largest difference; infinite where there is one that is no number."""
    error = float(np.abs(result - exact).max())
    return error if np.isfinite(error) else float("inf")


def _problem(report: Report, precision: str, pixels: str) -> str:
    if precision != "fp32":
        least = LEAST_PSNR[precision]
        return "" if report.psnr >= least else f"{report.psnr} dB in {precision} where {least} dB are asked for"
    if not report.error <= ERROR:
        return f"the largest error is {report.error:.2g} where {ERROR:g} is allowed"
    # A step of 16 bits is less than the error that is allowed, so there the error decides.
    if pixels == "uint8" and (report.steps > 1 or report.share > SHARE):
        return f"{report.share:.2%} of the values differ, by up to {report.steps} steps; one step on {SHARE:.1%} may"
    return ""


def usual(module: Translate | Sample, planes: Sequence[Plane] = ()) -> Iterator[Feed]:
    """What the gate shows a model unless it is told: eight shipped pictures in each of three sizes, four at a time.
    `planes`: what its channels are, light unless given; classes are bands of a picture's brightness."""
    if isinstance(module, Sample):
        noise = np.random.default_rng(0).standard_normal((DRAWS, int(module.network.noise)), np.float32)  # type: ignore[arg-type]
        classes = int(module.network.classes)  # type: ignore[arg-type]
        yield {"noise": noise, **({"label": np.arange(DRAWS) % classes} if classes else {})}
        return
    earth = {name: images.read(shared("datasets") / "earth" / name) for name in sorted(set(SOURCES))}
    for h, w in SIZES:
        pieces = [_piece(earth[name], place, h, w) for name, place in zip(SOURCES, PLACES, strict=True)]
        light = [pixels_of(piece, int(module.network.inputs), module.pixels) for piece in pieces]  # type: ignore[arg-type]
        shown = [drawn(picture, planes, module.pixels) for picture in light]
        for four in (shown[:4], shown[4:]):
            yield {"picture": np.concatenate(four)}


def _piece(whole: np.ndarray, place: tuple[float, float], h: int, w: int) -> np.ndarray:
    top, left = int(place[0] * (whole.shape[0] - h)), int(place[1] * (whole.shape[1] - w))
    return whole[top : top + h, left : left + w]


def pixels_of(colours: np.ndarray, channels: int, pixels: Pixels) -> np.ndarray:
    """h w 3 uint8 → as a model takes it: 1 h w channels uint8 or uint16, 1 channels h w float32 in [-1, 1].

    More than three channels are filled with the colours of neighbouring places; 16 bits get a low byte of their own.
    """
    layers = np.concatenate([np.roll(colours, 7 * k, 1) for k in range(-(-channels // 3))], 2)[:, :, :channels]
    if pixels == "float32":
        return (layers.transpose(2, 0, 1) / np.float32(127.5) - 1)[None]
    if pixels == "uint16":
        return (layers.astype(np.uint16) * 256 + np.roll(layers, 1, 0))[None]
    return np.ascontiguousarray(layers)[None]


def drawn(picture: np.ndarray, planes: Sequence[Plane], pixels: Pixels) -> np.ndarray:
    """What a model takes, with its planes of classes in place of the light that is in their channels."""
    axis = 1 if pixels == "float32" else 3
    made, first = picture.copy(), 0
    for plane in planes:
        own = (slice(None),) * axis + (slice(first, first := first + plane.channels),)
        if plane.classes:
            light = picture[own].astype(np.float64).mean(axis)[0]
            edges = np.quantile(light, np.arange(1, plane.channels) / plane.channels)
            hot = one_hot(np.digitize(light, edges).astype(np.uint8), plane.channels, picture.dtype.type)
            made[own] = hot.transpose(2, 0, 1) if axis == 1 else hot
    return made


def first_difference(traced: Traced, model: onnx.ModelProto, feed: Feed, tolerance: float) -> str:
    """The first node of `model`, in the order of computing, whose result is not the network's: `its name (error)`.

    Values of the graph are called as those of the traced program, which is played step by step beside it.
    """
    told = played(traced, feed)
    makers = {out: node for node in model.graph.node for out in node.output}
    common = [name for name in makers if name in told]
    results = session(probe(model, common)).run(common, dict(feed))
    for name, got in zip(common, results, strict=True):
        expected = told[name].float().numpy()
        if got.shape != expected.shape:
            return f"{makers[name].name}, of shape {got.shape} where {expected.shape} was expected"
        away = float(np.abs(got - expected).max() / (np.abs(expected).max() + 1e-6)) if got.size else 0.0
        if not away <= tolerance:
            return f"{makers[name].name} (relative error {away:.2g})"
    return "the last step, the rounding to pixels"


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

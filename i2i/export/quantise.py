"""fp32 graph → int8: weights of 8 bits, and activations of as few as the pictures bear.

Static quantisation of the convolutions between the first and the last, by onnxruntime's quantiser, as QDQ pairs around
them in ai.onnx alone. A generator's norms stay in floats, for their variances do not fit 8 bits, and so does all that
is outside the network. What follows is tried in this order, and the first that keeps 35 dB on pictures it was not
fitted to is taken (`benchmarks/export.py` has the figures):

1. 8 bits for what convolutions read and write: integer arithmetic, on a CPU the only form that can be faster than fp32
   (0.54 of the time for a ResNet; 0.95 for a U-Net, whose transposed convolutions onnxruntime computes in floats).
2. 16 bits for what they read: 1.1 to 1.5 of the time, but 5 to 18 dB nearer. A quarter of the size, too. Quantisation
   to 16 bits is in ai.onnx since opset 21.
"""

import contextlib
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

from i2i import images, zoo
from i2i.data import PairedData, UnpairedData, fixed
from i2i.errors import UserError
from i2i.export import parity
from i2i.export.graph import TOP, Pixels, Traced
from i2i.runtime.inputs import opened
from i2i.runtime.planes import Plane

CONVOLUTIONS = ("Conv", "ConvTranspose")
PICTURES = 64  # of the training ones: half to fit the ranges to, half to be judged by
SIDE = 512  # of larger pictures the middle; ranges are those of a value, not of a place
Batches = list[parity.Feed]


@dataclass(frozen=True)
class Rung:
    """One way to quantise."""

    activations: QuantType
    outputs: bool  # whether what a convolution writes is quantised too
    opset: int


LADDER = (Rung(QuantType.QUInt8, True, 20), Rung(QuantType.QUInt16, False, 21))


def quantised(
    traced: Traced, loaded: zoo.Model, direction: str, calibrate: Sequence[Path] = (), planes: Sequence[Plane] = ()
) -> tuple[onnx.ModelProto, Batches]:
    """The int8 form of a traced translator, and the pictures to judge it by, which it was not fitted to.

    `calibrate`: real pictures of what it will translate, any size; the recipe's own training pictures if none.
    `planes`: what its channels are, one picture unless given. The result is the last of the ladder if nothing was near
    enough: the gate refuses it. Raises UserError without pictures.
    """
    shown = _given(calibrate, traced, planes) if calibrate else _training(loaded, direction, traced)
    fitted, held = shown[::2], shown[1::2] or shown  # of a single picture both
    for rung in LADDER:
        model = _quantised(traced.model, rung, fitted)
        report, _ = parity.compared(traced, model, held, exactly=False)
        if report.psnr >= parity.LEAST_PSNR["int8"]:
            break
    return model, held


def _quantised(model: onnx.ModelProto, rung: Rung, fitted: Batches) -> onnx.ModelProto:
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    plain.opset_import[0].version = rung.opset  # of what we use, 21 widened types alone
    convolutions = [node.name for node in model.graph.node if node.op_type in CONVOLUTIONS]
    with tempfile.TemporaryDirectory(prefix="i2i-") as folder, _quiet():
        target = Path(folder) / "model.onnx"
        quantize_static(
            plain,
            target,
            _Reader(fitted),
            op_types_to_quantize=list(CONVOLUTIONS),
            nodes_to_exclude=[convolutions[0], convolutions[-1]],  # from and to pixels: here 8 bits are seen
            per_channel=True,
            activation_type=rung.activations,
            weight_type=QuantType.QInt8,
            extra_options={"OpTypesToExcludeOutputQuantization": [] if rung.outputs else list(CONVOLUTIONS)},
        )
        made = onnx.load(target)
    made.producer_name, made.producer_version = model.producer_name, ""
    made.ClearField("metadata_props")
    made.graph.ClearField("value_info")
    made.graph.name = model.graph.name
    onnx.checker.check_model(made, full_check=True)
    return made


class _Reader(CalibrationDataReader):
    def __init__(self, feeds: Batches) -> None:
        self.left: Iterator[Mapping[str, Any]] = iter(feeds)

    def get_next(self) -> Any:
        return next(self.left, None)


def _given(files: Sequence[Path], traced: Traced, planes: Sequence[Plane] = ()) -> Batches:
    """Pictures from files, with the network's channels."""
    pixels, channels = traced.module.pixels, int(traced.module.network.inputs)  # type: ignore[arg-type]
    if len(planes) > 1:
        raise UserError(
            f"This model takes a picture together with its {' and '.join(plane.name for plane in planes[1:])}, and "
            f"--calibrate gives pictures alone. Leave it out: int8 is then fitted to the training pictures."
        )
    shown, plane = [], planes[0] if planes else Plane("a", channels)
    for file in files:
        with opened(plane, file, images.MAX_TRANSLATED) as reader:
            picture = next(reader.frames(channels, 8 if pixels == "uint8" else 16)).pixels  # of a film the first
        h, w = (slice((side - min(side, SIDE)) // 2, (side + min(side, SIDE)) // 2) for side in picture.shape[:2])
        shown.append(_feed(picture[h, w], pixels))
    return shown


def _feed(picture: np.ndarray, pixels: Pixels) -> parity.Feed:
    """h w c uint8 or uint16 → what the model takes."""
    if pixels != "float32":
        return {"picture": np.ascontiguousarray(picture)[None]}
    return {"picture": (picture.transpose(2, 0, 1)[None] / np.float32(TOP["uint16"] / 2) - 1).astype(np.float32)}


def _training(loaded: zoo.Model, direction: str, traced: Traced) -> Batches:
    """The pictures of the recipe that this direction translates, evenly spread over the training ones."""
    data = loaded.recipe.data
    ask = "Give pictures of what it will translate: --calibrate FOLDER"
    if not isinstance(data, PairedData | UnpairedData):
        raise UserError(f"int8 is fitted to pictures, and this model knows none. {ask}")
    try:
        sides = fixed(data, "train", PICTURES)
    except (UserError, OSError) as problem:
        raise UserError(f"int8 is fitted to the training pictures, which are not here ({problem}). {ask}") from None
    chosen = sides[1 if direction == "b2a" else 0]
    pixels = traced.module.pixels
    if pixels == "float32":
        return [{"picture": picture[None].numpy()} for picture in chosen]
    whole = ((chosen + 1) * (TOP[pixels] / 2)).round().permute(0, 2, 3, 1).numpy()
    return [{"picture": picture[None].astype(pixels)} for picture in whole]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser's advice to prepare models by another tool of theirs, which is not for ours, stays unsaid."""
    level = logging.root.level
    logging.root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.root.setLevel(level)

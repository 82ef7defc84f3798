"""A trained model → one ONNX file that gives the same picture, or no file at all."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import onnx
import torch

from i2i import __version__, store, zoo
from i2i.engine.settings import Settings
from i2i.errors import UserError, suggest
from i2i.export import graph, parity
from i2i.export.graph import OPSET, Pixels
from i2i.export.memory import bytes_per_pixel
from i2i.files import atomically

Precision = Literal["fp32", "fp16", "int8"]
LARGEST = 1_800_000_000  # bytes: protobuf ends at 2 GiB, and a second file for weights breaks every store and cache


def export(
    name: str | Path,
    out: Path,
    *,
    direction: str | None = None,
    precision: Precision = "fp32",
    pixels: Pixels = "uint8",
    calibrate: Sequence[Path] = (),
    force: bool = False,
) -> parity.Report | None:
    """Writes a model (name, run folder or file) as ONNX, when it has passed the gate; None for one that draws samples.

    `direction`: a2b unless given. `calibrate`: pictures that int8 is fitted to; the recipe's training pictures if none.
    Raises UserError, and leaves no file, when the exported model is not the trained one.
    """
    if out.exists() and not force:
        raise UserError(f"{out} exists already. Choose another name, or allow replacing it with --force.")
    path = store.find(name)
    model, report = build(path, direction, precision, pixels, calibrate)
    data = model.SerializeToString(deterministic=True)
    if len(data) > LARGEST:
        raise UserError(f"{name} has {len(data) / 1e9:.1f} GB of weights; one ONNX file can hold {LARGEST / 1e9} GB.")
    atomically(out, lambda temporary: temporary.write_bytes(data))
    return report


def build(
    path: Path, direction: str | None, precision: Precision, pixels: Pixels, calibrate: Sequence[Path] = ()
) -> tuple[onnx.ModelProto, parity.Report | None]:
    """The exported form of a model file, with its metadata, and the report of the gate."""
    loaded, weights = zoo.load(path, torch.device("cpu")), store.read_header(path)["sha256"]
    told = {"version": __version__, "model": loaded.recipe.model, "opset": OPSET, "step": loaded.step}
    told |= {"data": loaded.data, "weights": weights, "precision": precision, "recipe": _recipe(loaded.recipe)}
    if "generator" in loaded.product:
        return _sampler(loaded, told, precision, pixels), None
    way = direction or "a2b"
    if way not in loaded.product:
        raise UserError(f"{path} translates {' and '.join(loaded.product)}, not {way!r}.{suggest(way, loaded.product)}")
    network: Any = loaded.product[way]
    traced = graph.translator(network, pixels)
    model, batches = traced.model, None
    if precision == "fp16":
        model = graph.translator(network, pixels, half=True).model
    elif precision == "int8":
        from i2i.export.quantise import quantised

        model, batches = quantised(model, loaded, way, pixels, calibrate)
    report = parity.gate(traced, model, precision, batches)
    told |= {"task": "translate", "direction": way, "inputs": network.inputs, "outputs": network.outputs}
    told |= {"multiple": network.multiple, "minimum": network.minimum, "pixels": pixels}
    told |= {"memory": bytes_per_pixel(traced.model), "parity": report.json()}
    _tell(model, told)
    return model, report


def keep(path: Path, direction: str, pixels: Pixels, place: Path) -> Path:
    """Makes the exported form of a model file in `place`; returns that."""
    model, _ = build(path, direction, "fp32", pixels)
    data = model.SerializeToString(deterministic=True)
    atomically(place, lambda temporary: temporary.write_bytes(data))
    return place


def _sampler(loaded: zoo.Model, told: dict[str, object], precision: str, pixels: str) -> onnx.ModelProto:
    if precision != "fp32" or pixels != "uint8":
        raise UserError("A model that draws from noise is exported as fp32 and uint8 only.")
    network: Any = loaded.product["generator"]
    if not hasattr(network, "size"):
        raise UserError("This model draws points, not pictures, and has no exported form.")
    model = graph.sampler(network).model
    told |= {"task": "sample", "direction": "sample", "inputs": network.noise, "outputs": network.channels}
    _tell(model, told | {"multiple": 1, "minimum": 1, "pixels": pixels, "memory": 1, "parity": "{}"})
    return model


def _recipe(settings: Settings) -> str:
    """The recipe without the places of this machine."""
    told = settings.model_dump(mode="json")
    if told["data"].get("root"):
        told["data"]["root"] = Path(told["data"]["root"]).name
    return json.dumps(told, sort_keys=True)


def _tell(model: onnx.ModelProto, told: Mapping[str, object]) -> None:
    """Writes the metadata that runtimes read back."""
    onnx.helper.set_model_props(
        model, {f"i2i.{key}": str(value) for key, value in sorted({"format": "1", **told}.items())}
    )

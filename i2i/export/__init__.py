"""A trained model → one ONNX file that gives the same picture, or no file at all."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import onnx
import torch

from i2i import __version__, store, zoo
from i2i.data import PairedData, UnpairedData
from i2i.data.spec import Look
from i2i.engine.settings import Settings
from i2i.errors import UserError, suggest
from i2i.export import graph, parity
from i2i.export.graph import Pixels
from i2i.export.play import bytes_per_pixel
from i2i.export.shrink import shrunk
from i2i.files import atomically
from i2i.models import imported
from i2i.runtime.planes import Plane

Precision = Literal["fp32", "fp16", "int8"]
# Bytes of weights. Protobuf ends at 2 GiB, and a second file for weights breaks every store and cache. Weights grow on
# the way: a 3×3 convolution of an enlarged picture is written as a 4×4 transposed one.
LARGEST = 1_000_000_000


def export(
    name: str | Path,
    out: Path,
    *,
    direction: str | None = None,
    precision: Precision = "fp32",
    pixels: Pixels = "uint8",
    calibrate: Sequence[Path] = (),
    force: bool = False,
) -> parity.Report:
    """Writes a model (name, run folder or file) as ONNX, when it has passed the gate.

    `direction`: a2b unless given. `calibrate`: pictures that int8 is fitted to; the recipe's training pictures if none.
    Raises UserError, and leaves no file, when the exported model is not the trained one.
    """
    if out.is_dir():
        raise UserError(f"{out} is a folder; an exported model is one file. Type: -o {out / 'model.onnx'}")
    if out.exists() and not force:
        raise UserError(f"{out} exists already. Choose another name, or allow replacing it with --force.")
    model, report = build(store.find(name), direction, precision, pixels, calibrate)
    data = model.SerializeToString(deterministic=True)
    atomically(out, lambda temporary: temporary.write_bytes(data))
    return report


def build(
    path: Path, direction: str | None, precision: Precision, pixels: Pixels, calibrate: Sequence[Path] = ()
) -> tuple[onnx.ModelProto, parity.Report]:
    """The exported form of a model file, with its metadata, and the report of the gate. Raises UserError."""
    for word, known in ((precision, get_args(Precision)), (pixels, get_args(Pixels))):
        if word not in known:
            raise UserError(f"There is no {word!r} to export.{suggest(word, known)}")
    loaded, weights = zoo.load(path, torch.device("cpu")), store.read_header(path)["sha256"]
    way, network = _chosen(path, loaded, direction)
    size = sum(weight.nbytes for weight in network.state_dict().values())
    if size > LARGEST:
        raise UserError(f"{path} has {size / 1e9:.1f} GB of weights; one ONNX file holds {LARGEST / 1e9:g} GB.")
    feeds, seen = None, tuple[Plane, ...]()
    if way == "sample":
        if (precision, pixels) != ("fp32", "uint8"):
            raise UserError("A model that draws from noise is exported as fp32 and uint8 only.")
        traced = graph.sampler(network)
        told = {"task": "sample", "inputs": network.noise, "outputs": network.channels, "multiple": 1, "minimum": 1}
    else:
        traced = graph.translator(network, pixels)
        told = {"task": "translate", "inputs": network.inputs, "outputs": network.outputs}
        told |= {"multiple": network.multiple, "minimum": network.minimum}
        looks, result = _planes(loaded.recipe, way)
        planes = [{"name": name, "look": _told(look)} for name, look in looks.items()]
        told |= {"planes": json.dumps(planes), "result": json.dumps(_told(result))}
        seen = tuple(Plane.read(**plane) for plane in planes)
    model = traced.model
    if precision == "fp16":
        model = graph.translator(network, pixels, torch.float16).model
    elif precision == "int8":
        from i2i.export.quantise import quantised  # onnxruntime's quantiser takes a second to import

        model, feeds = quantised(traced, loaded, way, calibrate, seen)
    model = shrunk(model, (weight.numpy() for weight in network.state_dict().values()))
    report = parity.gate(traced, model, precision, feeds or list(parity.usual(traced.module, seen)))
    told |= {"version": __version__, "model": loaded.recipe.model, "direction": way, "step": loaded.step}
    told |= {"opset": graph.opset_of(model), "precision": precision, "pixels": pixels, "data": loaded.data}
    told |= {"weights": weights, "recipe": _recipe(loaded.recipe)}
    told |= {"memory": bytes_per_pixel(traced), "parity": report.json()}
    _tell(model, told)
    return model, report


def keep(path: Path, direction: str, pixels: Pixels, place: Path) -> Path:
    """Makes the exported form of a model file in `place`; returns that."""
    model, _ = build(path, direction, "fp32", pixels)
    data = model.SerializeToString(deterministic=True)
    atomically(place, lambda temporary: temporary.write_bytes(data), alone=False)
    return place


def _chosen(path: Path, loaded: zoo.Model, direction: str | None) -> tuple[str, Any]:
    """The direction, `sample` for a model that draws from noise, and its network."""
    way = direction or ("sample" if "generator" in loaded.product else "a2b")
    ways = {"sample" if name == "generator" else name: network for name, network in loaded.product.items()}
    if way == "classifier" and way in ways:
        raise UserError(
            f"The classifier of {path} makes no pictures and has no exported form. In Python it is "
            f"i2i.zoo.load({str(path)!r}, device).product['classifier']: pictures in [-1, 1] → the logits of classes."
        )
    if way not in ways:
        raise UserError(f"{path} has {' and '.join(ways)}, not {way!r}.{suggest(way, ways)}")
    if way == "sample" and not hasattr(ways[way], "size"):
        raise UserError("This model draws points, not pictures, and has no exported form.")
    return way, ways[way]


def _planes(settings: Settings, way: str) -> tuple[dict[str, Look], Look]:
    """Of each picture that a direction takes its name and what it holds, and what the picture that it makes holds."""
    source, _, target = way.partition("2")
    data = settings if isinstance(settings, imported.Recipe) else settings.data
    assert isinstance(data, imported.Recipe | PairedData | UnpairedData)
    sides = data.channels
    looks: dict[str, Look] = {source: getattr(sides, source)}
    if isinstance(data, PairedData):
        looks |= {condition.name: condition.channels for condition in data.condition}
    return looks, getattr(sides, target)


def _told(look: Look) -> Any:
    """As a recipe says it."""
    return look if isinstance(look, int) else look.model_dump(mode="json")


def _recipe(settings: Settings) -> str:
    """The recipe without the places of this machine."""
    told = settings.model_dump(mode="json")
    data = told["data"] or {}  # an imported model has none
    for place in (data, *data.get("mix", ())):
        place |= {key: Path(place[key]).name for key in ("root", "manifest", "shards") if place.get(key)}
    return json.dumps(told, sort_keys=True)


def _tell(model: onnx.ModelProto, told: Mapping[str, object]) -> None:
    """Writes the metadata that runtimes read back."""
    onnx.helper.set_model_props(
        model, {f"i2i.{key}": str(value) for key, value in sorted({"format": "1", **told}.items())}
    )

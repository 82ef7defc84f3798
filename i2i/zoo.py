"""Model names → files. A model file is `model.safetensors`: weights, and in its header what rebuilds the network."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import Tensor, nn

from i2i import __version__, recipe
from i2i.engine.checkpoint import atomically
from i2i.engine.ranks import digest
from i2i.engine.settings import Settings
from i2i.errors import UserError, suggest
from i2i.models import MODELS
from i2i.paths import home

FORMAT = "1"
FILE = "model.safetensors"  # the last one of a run
BEST = "best.safetensors"  # the one that validation chose
NAME = re.compile(r"(?!(con|prn|aux|nul|com\d|lpt\d)(\.|$))[a-z0-9][a-z0-9._-]{0,63}")  # no device names of Windows


@dataclass(frozen=True)
class Model:
    """A model as read from its file: `product` holds its networks by name (`a2b`, `b2a`, `generator`), in eval mode."""

    recipe: Settings
    product: dict[str, nn.Module]
    step: int
    data: str  # fingerprint of the training data
    scores: dict[str, float]  # on the validation split, where that chose this model


@dataclass(frozen=True)
class Entry:
    """One line of `i2i models`. `problem` says why a model cannot be used; the rest is then not known."""

    name: str
    path: Path
    model: str = ""
    directions: tuple[str, ...] = ()
    step: int = 0
    size: int = 0  # bytes
    problem: str = ""


def store() -> Path:
    return home() / "models"


def check_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise UserError(
            f"{name!r} cannot be a model's name: use 1 to 64 of a-z, 0-9, '.', '_', '-', with a letter or digit first, "
            f"and none of the names that Windows keeps for devices (con, nul, ...)."
        )
    return name


def save(
    path: Path,
    product: Mapping[str, nn.Module],
    settings: Settings,
    step: int,
    data: str,
    scores: Mapping[str, float] | None = None,
) -> None:
    """Writes the model file, whole or not at all. Equal weights give equal bytes."""
    weights = {f"{name}.{key}": tensor.detach().cpu().contiguous()
               for name, net in product.items() for key, tensor in net.state_dict().items()}  # fmt: skip
    header = {
        "format": FORMAT,
        "version": __version__,
        "recipe": settings.model_dump_json(),
        "step": str(step),
        "data": data,
        "directions": ",".join(product),
        "scores": json.dumps(scores or {}),
    }
    header["sha256"] = _sum(header, weights)
    # One key with all in it: safetensors writes several in an order that changes from call to call. As bytes, because
    # its own files are readable by their owner alone, and models are made to be handed on.
    atomically(path, lambda temporary: temporary.write_bytes(serialise(weights, {"i2i": json.dumps(header)})))


def _sum(header: Mapping[str, str], weights: Mapping[str, Tensor]) -> str:
    """sha256 over all that a model file says: neither safetensors nor torch would notice a flipped bit."""
    told = {key: value for key, value in header.items() if key != "sha256"}
    shapes = [(name, str(weights[name].dtype), list(weights[name].shape)) for name in sorted(weights)]
    words = json.dumps([told, shapes], sort_keys=True)
    return hashlib.sha256(f"{words}{digest(weights[name] for name in sorted(weights))}".encode()).hexdigest()


def read_header(path: Path) -> dict[str, str]:
    """The header of a model file; raises UserError when it is not one of ours."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is not a readable model file ({error}).") from None
    if "i2i" not in metadata:
        raise UserError(f"{path} has weights but no recipe in its header: it was not written by i2i.")
    try:
        header: dict[str, str] = {key: str(value) for key, value in json.loads(metadata["i2i"]).items()}
    except (ValueError, AttributeError):
        raise UserError(f"{path} has a damaged header.") from None
    missing = {"format", "recipe", "step", "data", "directions", "scores", "sha256"} - header.keys()
    if missing:
        raise UserError(f"{path} has a damaged header: it says nothing on {', '.join(sorted(missing))}.")
    if header["format"] != FORMAT:
        raise UserError(f"{path} has format {header['format']}; this i2i {__version__} reads {FORMAT}. Update i2i.")
    return header


def load(name: str | Path, device: torch.device) -> Model:
    """Rebuilds a model from its name, run folder or file; no settings are needed."""
    path = find(name)
    header = read_header(path)
    try:
        settings = recipe.build(json.loads(header["recipe"]), f"the recipe in {path}")
        step, scores = int(header["step"]), json.loads(header["scores"])
    except ValueError as error:
        raise UserError(f"{path} has a damaged header ({error}).") from None
    with torch.device("meta"):  # shapes only: the weights come from the file, so none are drawn
        product = MODELS[type(settings)](settings).product()
    with safe_open(path, framework="pt", device=str(device)) as file:
        weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118, the file is no mapping
    if _sum(header, weights) != header["sha256"]:
        raise UserError(f"{path} is damaged: its weights or its header are not what was written. Get it anew.")
    strange = [key for key in weights if key.partition(".")[0] not in product]
    if strange:
        raise UserError(f"{path} does not fit its own recipe: it has weights for {strange[0]}, but no such network.")
    for part, net in product.items():
        own = {key.removeprefix(f"{part}."): value for key, value in weights.items() if key.startswith(f"{part}.")}
        try:
            net.load_state_dict(own, assign=True)
        except RuntimeError as error:  # torch lists every key; the first lines tell what is wrong
            words = " ".join(str(error).split())
            raise UserError(f"{path} does not fit its own recipe: {words[:300]}") from None
        net.eval().requires_grad_(False)
    return Model(settings, product, step, header["data"], scores)


def find(name: str | Path) -> Path:
    """The model file behind a name in the store, a run folder (the best where there is one), or a path."""
    text, path = str(name), Path(name)
    if NAME.fullmatch(text) and (known := store() / text / FILE).is_file():
        return known
    if path.is_file():
        return path
    for file in (path / BEST, path / FILE):
        if file.is_file():
            return file
    if path.is_dir():
        raise UserError(f"The folder {text} holds no finished model ({FILE}). Train it: i2i train RECIPE --run {text}")
    raise UserError(
        f"There is no model {text!r}: no such name, run folder or file.{suggest(text, [e.name for e in entries()])} "
        f"`i2i models` lists what can be used."
    )


def register(file: Path, name: str) -> Path:
    """Copies a model file into the user's store, from where it is known by name; replaces one of that name."""
    target = store() / check_name(name) / FILE
    atomically(target, lambda temporary: temporary.write_bytes(file.read_bytes()))
    return target


def entries() -> list[Entry]:
    """All models in the user's store, by name, the damaged ones with their problem."""
    return [_entry(path) for path in sorted(store().glob(f"*/{FILE}"))]


def _entry(path: Path) -> Entry:
    name = path.parent.name
    try:
        header: dict[str, Any] = read_header(path)
        return Entry(
            name=name,
            path=path,
            model=json.loads(header["recipe"])["model"],
            directions=tuple(header["directions"].split(",")),
            step=int(header["step"]),
            size=path.stat().st_size,
        )
    except (UserError, ValueError, KeyError, TypeError) as error:
        return Entry(name, path, problem=f"damaged: {error}")

"""A model file is `model.safetensors`: weights, and in its header what rebuilds the network."""

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save as serialise
from torch import Tensor, nn

from i2i import __version__, recipe
from i2i.engine.ranks import digest
from i2i.engine.settings import Settings
from i2i.errors import UserError
from i2i.files import atomically
from i2i.models import MODELS
from i2i.store import FORMAT, find, read_header
from i2i.store.headers import HALF

LOST = 2**-11  # of a tensor's length, by rounding: what one 16-bit float is off at most, where it is not tiny


@dataclass(frozen=True)
class Model:
    """A model as read from its file: `product` holds its networks by name, in eval mode: `a2b` and `b2a`, `generator`,
    and the `classifier` that a semi-supervised one leaves beside it."""

    recipe: Settings
    product: dict[str, nn.Module]
    step: int
    data: str  # fingerprint of the training data
    scores: dict[str, float]  # on the validation split, where that chose this model

    @property
    def ways(self) -> list[str]:
        """The names of the networks that make pictures, which have an exported form."""
        return [name for name in self.product if name != "classifier"]


def save(
    path: Path,
    product: Mapping[str, nn.Module],
    settings: Settings,
    step: int,
    data: str,
    scores: Mapping[str, float] | None = None,
    *,
    half: bool = False,
) -> None:
    """Writes the model file, whole or not at all. Equal weights give equal bytes.

    `half`: kernels and matrices are rounded to 16-bit floats, in a file of half the size; it gives the same networks as
    `rounded`, and `scores` should be theirs.
    """
    # Each has its own copy, since two directions may have layers in common and safetensors refuses to write those.
    weights = {
        f"{name}.{key}": tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
        for name, net in product.items()
        for key, tensor in net.state_dict().items()
    }
    if half:
        weights = {key: halved(tensor) for key, tensor in weights.items()}
    header = {
        "format": HALF if half else FORMAT,
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


def rounded(product: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Copies of the networks as they come back from a file that is written with `half`: to be scored before that."""
    copies = {name: copy.deepcopy(net) for name, net in product.items()}
    for net in copies.values():
        net.load_state_dict({key: halved(value).to(value.dtype) for key, value in net.state_dict().items()})
    return copies


def halved(weight: Tensor) -> Tensor:
    """Rounded to 16-bit floats, the nearest, ties to even; as it is where that would save nothing or lose much.

    Numbers per channel stay: biases, and the factors and statistics of norms. They are a hundredth of a file, and a
    variance may be of any size. So do weights of which one is beyond 65504 or no number, and those so small (below
    6e-5) that 16 bits lose more than `LOST` of them: a file that is a little larger is better than another picture.
    """
    if weight.dtype != torch.float32 or weight.ndim < 2:
        return weight
    half, exact = weight.half(), weight.double()  # in which no square under- or overflows
    return half if (half.double() - exact).norm() <= LOST * exact.norm() else weight


def _sum(header: Mapping[str, str], weights: Mapping[str, Tensor]) -> str:
    """sha256 over all that a model file says: neither safetensors nor torch would notice a flipped bit."""
    told = {key: value for key, value in header.items() if key != "sha256"}
    shapes = [(name, str(weights[name].dtype), list(weights[name].shape)) for name in sorted(weights)]
    words = json.dumps([told, shapes], sort_keys=True)
    return hashlib.sha256(f"{words}{digest(weights[name] for name in sorted(weights))}".encode()).hexdigest()


def load(name: str | Path, device: torch.device) -> Model:
    """Rebuilds a model from its name, run folder or file, in 32 bits; no settings are needed."""
    path = find(name)
    header = read_header(path)
    try:
        settings = recipe.build(json.loads(header["recipe"]), f"the recipe in {path}")
        step, scores = int(header["step"]), json.loads(header["scores"])
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} has a damaged header ({error}).") from None
    with torch.device("meta"):  # shapes only: the weights come from the file, so none are drawn
        product = MODELS[type(settings)](settings).product()
    with safe_open(path, framework="pt", device=str(device)) as file:
        weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118, the file is no mapping
    if _sum(header, weights) != header["sha256"]:
        raise UserError(f"{path} is damaged: its weights or its header are not what was written. Get it anew.")
    wide = {key: value.float() if value.dtype == torch.float16 else value for key, value in weights.items()}
    strange = [key for key in weights if key.partition(".")[0] not in product]
    if strange:
        raise UserError(f"{path} does not fit its own recipe: it has weights for {strange[0]}, but no such network.")
    for part, net in product.items():
        own = {key.removeprefix(f"{part}."): value for key, value in wide.items() if key.startswith(f"{part}.")}
        try:
            net.load_state_dict(own, assign=True)
        except RuntimeError as error:  # torch lists every key; the first lines tell what is wrong
            words = " ".join(str(error).split())
            raise UserError(f"{path} does not fit its own recipe: {words[:300]}") from None
        net.eval().requires_grad_(False)
    return Model(settings, product, step, header["data"], scores)

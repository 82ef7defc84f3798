"""torch → ONNX: one graph from pixels to pixels, and nothing in it but the mathematics.

Scaling, padding to what the network can take, cropping and rounding are nodes of the graph, so every program that runs
it gives the same picture: there is no step left that a client could do differently.
Shapes: n pictures, h height, w width, c channels in, o channels out, z noise dimensions.
"""

import contextlib
import copy
import logging
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import onnx
import torch
from onnxscript import optimizer
from torch import Tensor, nn
from torch.nn import functional as F

from i2i.nets.blocks import NoiseDropout

Pixels = Literal["uint8", "uint16", "float32"]
OPSET = 20
TOP: dict[Pixels, int] = {"uint8": 255, "uint16": 65535}
WHOLE: dict[Pixels, torch.dtype] = {"uint8": torch.uint8, "uint16": torch.uint16}
MOST_FOLDED = 2**31  # bytes: arithmetic on weights alone is done once, whatever their size


class Translate(nn.Module):
    """Pixels n h w c → n h w o (float32: n c h w in [-1, 1]); padded by edge pixels at right and bottom, cropped.

    `dtype` is what the network computes in; everything around it is float32.
    """

    def __init__(self, network: nn.Module, pixels: Pixels = "uint8", dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.network, self.pixels, self.dtype = network.to(dtype), pixels, dtype

    def forward(self, picture: Tensor) -> Tensor:
        y = self.exact(picture)
        return y if self.pixels == "float32" else rounded(y, self.pixels)

    def exact(self, picture: Tensor) -> Tensor:
        """What the model is given → n o h w in [-1, 1], before it is rounded."""
        x = picture
        if self.pixels != "float32":
            x = picture.permute(0, 3, 1, 2).float() / (TOP[self.pixels] / 2) - 1
        h, w = x.shape[2:]
        x = F.pad(x, (0, self.padded(w) - w, 0, self.padded(h) - h), mode="replicate")  # type: ignore[arg-type]
        y: Tensor = self.network(x.to(self.dtype)).float()
        return y[:, :, :h, :w]

    def padded(self, side: int | torch.SymInt) -> int | torch.SymInt:
        """The smallest length the network takes that is at least `side`, which is a symbol while the graph is made."""
        multiple, minimum = int(self.network.multiple), int(self.network.minimum)  # type: ignore[arg-type]
        least = torch.sym_max(side, minimum)
        return (least + multiple - 1) // multiple * multiple


class Sample(nn.Module):
    """Noise n z, and labels n where it is conditional → pixels n h w o uint8."""

    pixels: Pixels = "uint8"

    def __init__(self, network: nn.Module, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.network, self.dtype = network.to(dtype), dtype

    def forward(self, noise: Tensor, label: Tensor | None = None) -> Tensor:
        return rounded(self.exact(noise, label), self.pixels)

    def exact(self, noise: Tensor, label: Tensor | None = None) -> Tensor:
        """n o h w in [-1, 1], before it is rounded."""
        z = noise.to(self.dtype)
        y: Tensor = self.network(z) if label is None else self.network(z, label)
        return y.float()


def rounded(y: Tensor, pixels: Pixels) -> Tensor:
    """n o h w in [-1, 1] → n h w o whole numbers."""
    top = TOP[pixels]
    return ((y + 1) * (top / 2)).round().clamp(0, top).to(WHOLE[pixels]).permute(0, 2, 3, 1)


@dataclass(frozen=True)
class Traced:
    """A module and its graph, with the program that lies between them."""

    module: Translate | Sample
    model: onnx.ModelProto
    program: torch.export.ExportedProgram


def translator(network: nn.Module, pixels: Pixels = "uint8", dtype: torch.dtype = torch.float32) -> Traced:
    """A generator picture → picture, as `picture` → `translation`, any number, height and width."""
    module = Translate(silent(network), pixels, dtype)
    n, h, w, c = 2, 65, 63, int(network.inputs)  # type: ignore[arg-type]
    shape = (n, c, h, w) if pixels == "float32" else (n, h, w, c)
    example = torch.zeros(shape, dtype=WHOLE.get(pixels, torch.float32))
    sides = (2, 3) if pixels == "float32" else (1, 2)
    names = {0: "batch", sides[0]: "height", sides[1]: "width"}
    return _trace(module, {"picture": example}, "translation", {"picture": names})


def sampler(network: nn.Module) -> Traced:
    """A generator noise → picture, as `noise` (and `label`) → `picture`, any number."""
    noise, classes = int(network.noise), int(network.classes)  # type: ignore[arg-type]
    example = {"noise": torch.zeros(2, noise)}
    if classes:
        example["label"] = torch.zeros(2, dtype=torch.int64)
    return _trace(Sample(silent(network)), example, "picture", {name: {0: "batch"} for name in example})


def silent(network: nn.Module) -> nn.Module:
    """A copy in eval mode, on the CPU, in which dropout that is kept at test has become nothing: an exporter would
    write noise that no runtime draws."""
    still = copy.deepcopy(network).cpu().float().eval().requires_grad_(False)
    for parent in list(still.modules()):
        for name, child in parent.named_children():
            if isinstance(child, NoiseDropout):
                setattr(parent, name, nn.Identity())
    return still


def _trace(
    module: Translate | Sample, example: dict[str, Tensor], output: str, free: dict[str, dict[int, str]]
) -> Traced:
    dynamic = torch.export.Dim.DYNAMIC
    with _quiet():
        made = torch.onnx.export(
            module.eval(),
            kwargs=example,
            dynamo=True,
            opset_version=OPSET,
            external_data=False,
            input_names=list(example),
            output_names=[output],
            dynamic_shapes={name: dict.fromkeys(names, dynamic) for name, names in free.items()},
            verbose=False,
        )
        assert made is not None
        assert made.exported_program is not None
        optimizer.optimize(made.model, input_size_limit=MOST_FOLDED, output_size_limit=MOST_FOLDED)
        model = made.model_proto
    _clean(model, free)
    onnx.checker.check_model(model, full_check=True)
    opset = opset_of(model)
    assert opset == OPSET, f"asked for opset {OPSET}, got {opset}"  # the exporter may take another with a log line only
    return Traced(module, model, made.exported_program)


def opset_of(model: onnx.ModelProto) -> int:
    """The version of ai.onnx that a model is written in, which knows no other operators."""
    (opset,) = ((each.domain, each.version) for each in model.opset_import)
    assert opset[0] in ("", "ai.onnx"), f"asked for ai.onnx alone, got {opset[0]}"
    return int(opset[1])


def _clean(model: onnx.ModelProto, free: dict[str, dict[int, str]]) -> None:
    """Nodes are called after their layers, dimensions by their names; stack traces with this machine's paths go."""
    graph = model.graph
    for count, node in enumerate(graph.node):
        scopes = {entry.key: entry.value for entry in node.metadata_props}.get("pkg.torch.onnx.name_scopes", "")
        layers = [name for name in re.findall(r"'([^']*)'", scopes) if name and not name.startswith("_")]
        node.name = f"{count}.{layers[-2] if len(layers) > 1 else 'pixels'}.{node.op_type}"
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    graph.ClearField("value_info")  # among them false expressions of dimensions
    graph.ClearField("metadata_props")
    graph.name = "i2i"
    model.ClearField("metadata_props")
    model.producer_name, model.producer_version = "i2i", ""
    for value in (*graph.input, *graph.output):
        value.ClearField("metadata_props")
        for place, name in free.get(value.name, next(iter(free.values()))).items():
            value.type.tensor_type.shape.dim[place].dim_param = name


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What the exporter says to those who write exporters stays unsaid."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "torch.export")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)

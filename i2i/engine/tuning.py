"""What a step costs, turned down without changing what is learnt: memory layout, recomputation, compilation.

Legend: a segment is a run of layers inside one `nn.Sequential` that ends with a layer that has weights.
"""

import ctypes
import os
import shutil
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.utils.checkpoint import checkpoint

from i2i.engine.settings import Settings
from i2i.errors import UserError

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # glibc's malloc.h


def prepare(model: nn.Module, settings: Settings, device: torch.device) -> None:
    """Applies `channels_last`, `recompute` and `compile` in place: weights and their names stay as they are.

    For a model on its device, before copies of its networks are made. Raises UserError for a setting that this device
    or machine cannot follow.
    """
    if device.type == "cpu":
        keep_freed_memory()
    if device.type == "cuda":
        # All crops of a run have one size, so the search for the fastest kernels is made once for each layer.
        torch.backends.cudnn.benchmark = True
    if settings.channels_last:
        model.to(memory_format=torch.channels_last)
    if settings.recompute:
        recompute(model)
    if settings.compile:
        compile_networks(model, settings.compile, device)


def keep_freed_memory() -> None:
    """Lets this process keep what it frees. glibc gives large blocks back to the kernel at once and gets them anew,
    page by page, for the next activation of the same size: a sixth of quickstart's step. The peak stays as it is."""
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):  # musl has none
        for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 2**26)):
            mallopt(option, value)


def networks(model: nn.Module) -> Iterator[nn.Module]:
    """The model's networks: its children that have weights; a list or dict of networks stands for its members."""
    for child in model.children():
        if isinstance(child, nn.ModuleList | nn.ModuleDict):
            yield from networks(child)
        elif next(child.parameters(), None) is not None:
            yield child


def compile_networks(model: nn.Module, how: bool | str, device: torch.device) -> None:
    """Each network by itself, never the step: players are frozen and thawed between its forwards, and a graph over a
    whole step would have to see all of that (pytorch#91542).

    Recomputation is left to the compiler then, which makes cheap operations again by itself where that saves memory.
    """
    if how == "graphs" and device.type != "cuda":
        raise UserError(
            f"compile: graphs needs a CUDA device, got {device.type}: CUDA graphs replay a whole network's kernels at "
            f"once, and there is nothing to replay here. Type --set compile=true, or --set compile=false."
        )
    check_compiler(device)
    # All networks of one class share the limit on compiled versions of a forward; each has some: frozen or not, with
    # or without gradients of its input, in training and in sampling. Past the limit torch would fall back in silence.
    torch._dynamo.config.recompile_limit = max(64, torch._dynamo.config.recompile_limit)
    for net in networks(model):
        net.compile(mode="reduce-overhead" if how == "graphs" else "default")


def check_compiler(device: torch.device) -> None:
    """Raises UserError where torch.compile would stop in the middle of the first step for want of a tool."""
    named = os.environ.get("CXX")
    if not any(shutil.which(name) for name in ([named] if named else ["g++", "c++", "clang++"])):
        raise UserError(
            f"compile needs a C++ compiler, but {named or 'none of g++, c++, clang++'} was not found. Install one "
            f"(Debian, Ubuntu: apt install g++; macOS: xcode-select --install), or type --set compile=false."
        )
    if device.type == "cpu" and not (Path(sysconfig.get_paths()["include"]) / "Python.h").is_file():
        raise UserError(
            "compile needs Python's headers, and there is no Python.h. Install them (Debian, Ubuntu: apt install "
            "python3-dev), or type --set compile=false."
        )


def recompute(model: nn.Module) -> None:
    """From now on training keeps only one tensor a segment; the rest is made again in the backward pass.

    Chen et al. 2016 (arXiv 1604.06174). Segments end with the layer that has weights: what it yields is kept, and
    remaking stops in front of it, since its gradient asks for its input alone. So pads, norms, activations and
    upsampled maps, most of the memory and little of the time, are made twice, and no convolution is.
    """
    for module in model.modules():
        if type(module) is nn.Sequential:  # a subclass may have a forward of its own
            module.__class__ = Recomputed


class Recomputed(nn.Sequential):
    """An `nn.Sequential` that remakes its activations in the backward pass. Only its class tells them apart: names,
    weights, hooks and copies are the same."""

    def forward(self, input: Any) -> Any:
        # Off where nothing is kept anyway, or where somebody else decides what is kept.
        if not (self.training and torch.is_grad_enabled()) or torch.compiler.is_compiling():
            return super().forward(input)
        for layers in segments(self):
            if worth_it(layers):
                conditions = Conditions(layers)
                input = checkpoint(_in_turn, layers, input, use_reentrant=False, context_fn=conditions.both)
            else:
                input = _in_turn(layers, input)
        return input


def segments(sequential: nn.Sequential) -> list[list[nn.Module]]:
    """Its layers in runs, cut after each layer with weights but norms; modules made of modules stand alone."""
    runs: list[list[nn.Module]] = [[]]
    for layer in flat(sequential):
        if any(True for _ in layer.children()) or not remakeable(layer):
            runs += [[layer], []]
            continue
        runs[-1].append(layer)
        if heavy(layer):
            runs.append([])
    return [run for run in runs if run]


def flat(sequential: nn.Sequential) -> Iterator[nn.Module]:
    """Its layers, and in place of a Sequential among them its layers; without those that do nothing."""
    for layer in sequential:
        if isinstance(layer, nn.Sequential) and type(layer) in (nn.Sequential, Recomputed):
            yield from flat(layer)
        elif not isinstance(layer, nn.Identity):
            yield layer


def heavy(layer: nn.Module) -> bool:
    """Whether most of the time goes here: convolutions and linear layers, whose weights have two axes or more."""
    return any(parameter.ndim > 1 for parameter in layer.parameters(recurse=False))


def remakeable(layer: nn.Module) -> bool:
    """Whether a second forward leaves no trace: a buffer is a memory, and only norms' are known how to spare.

    Spectral norm is such a memory too; it is a module made of modules.
    """
    return isinstance(layer, _NormBase) or next(layer.buffers(), None) is None


def worth_it(layers: Sequence[nn.Module]) -> bool:
    """Whether anything lies between what goes into the segment and its last layer's gradient: an activation or a norm
    in front, or the padded picture inside a convolution that does not pad with zeros."""
    return len(layers) > 1 or getattr(layers[0], "padding_mode", "zeros") != "zeros"


def _in_turn(layers: Sequence[nn.Module], x: Any) -> Any:
    for layer in layers:
        x = layer(x)
    return x


class Conditions(AbstractContextManager[None]):
    """What a layer's forward depends on beside its input, kept for the second time: the same parameters frozen as in
    the first forward, and running averages that are not averaged twice. May be entered again, for second derivatives.
    """

    def __init__(self, layers: Sequence[nn.Module]) -> None:
        self.norms = [layer for layer in layers if isinstance(layer, _NormBase) and layer.track_running_stats]
        self.trained = [(p, p.requires_grad) for layer in layers for p in layer.parameters(recurse=False)]

    def both(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        """For the forward, and for the recomputation."""
        return nullcontext(), self

    def __enter__(self) -> None:
        self.now = [(p, p.requires_grad) for p, _ in self.trained]
        self.averages = [dict(norm._buffers) for norm in self.norms]
        for p, trained in self.trained:
            p.requires_grad_(trained)
        for norm in self.norms:
            for name, average in norm._buffers.items():
                norm._buffers[name] = cast(Tensor, average).clone()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for p, trained in self.now:
            p.requires_grad_(trained)
        for norm, averages in zip(self.norms, self.averages, strict=True):
            norm._buffers.update(averages)

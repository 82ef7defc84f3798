"""What a published model costs: its sums, its time, and the machine that was asked."""

import os
import platform
import time
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from i2i.engine.settings import Settings
from i2i.models import MODELS
from i2i.runtime import Exported

ROUNDS, WARM = 30, 5
WATTS, WATTS_GPU = 65.0, 300.0  # of a processor, and of a GPU beside it, at work; assumed, and said to be


def parameters(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def trained_parameters(settings: Settings) -> int:
    """Of all players together: what is trained, of which the product is a part."""
    with torch.device("meta"):  # shapes only
        return parameters(MODELS[type(settings)](settings))


def multiply_adds(network: Any, side: int) -> int:
    """Of one picture of `side` × `side`: those of convolutions and matrix products; the rest is a hundredth of them."""
    padded = -(-max(side, int(network.minimum)) // int(network.multiple)) * int(network.multiple)
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(1, int(network.inputs), padded, padded))
    return int(counter.get_total_flops()) // 2


def milliseconds(exported: Exported, side: int) -> float:
    """The median of one picture of `side` × `side`. Processor time, so that other programs do not count: open the model
    with one thread."""
    picture = np.random.default_rng(0).integers(0, 256, (side, side, exported.inputs), np.uint8)
    found = []
    for _ in range(WARM + ROUNDS):
        began = time.process_time()
        exported(picture)
        found.append(time.process_time() - began)
    return round(1e3 * median(found[WARM:]), 2)


def energy(seconds: float, watts: float) -> float:
    """Kilowatt-hours."""
    return seconds * watts / 3.6e6


def machine() -> dict[str, Any]:
    """This machine and the libraries that compute on it, without its name or its places."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "gpu": gpu,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "onnxruntime": onnxruntime.__version__,
        "watts": WATTS + (WATTS_GPU if gpu else 0.0),
    }


def _processor() -> str:
    told = Path("/proc/cpuinfo")
    lines = told.read_text("ascii", "replace").splitlines() if told.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()

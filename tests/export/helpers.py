"""What the export tests share: small networks of every kind, real pictures, and an oracle that knows no exporter."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import torch
from torch import nn

from i2i import images
from i2i.nets import CompactSpec, DCGANGeneratorSpec, MLPGeneratorSpec, ResnetSpec, UNetSpec

# Every layer that a generator can have is in one of them; `slow` tests have every setting alone.
TRANSLATORS: dict[str, tuple[Any, int, int]] = {
    "unet, batch norm, dropout at test": (
        UNetSpec(levels=3, width=4, norm="batch", dropout=0.5, dropout_at_test=True), 3, 3
    ),
    "unet, affine, resize": (UNetSpec(levels=3, width=16, norm="instance-affine", upsample="resize-conv"), 5, 2),
    "unet, running, bilinear": (
        UNetSpec(levels=3, width=4, norm="batch", test_statistics="running", upsample="bilinear-conv"), 1, 3
    ),
    "resnet": (ResnetSpec(blocks=2, width=8), 3, 3),
    "resnet, group, blur, bilinear": (
        ResnetSpec(blocks=1, width=8, norm="group", downsample="blur", upsample="bilinear-conv", padding="replicate"),
        3, 1
    ),
    "compact": (CompactSpec(blocks=1, width=4), 3, 3),
}  # fmt: skip
SAMPLERS: dict[str, tuple[Any, int]] = {
    "dcgan": (DCGANGeneratorSpec(noise=8, width=4), 0),
    "dcgan, labels, group": (DCGANGeneratorSpec(noise=8, width=4, norm="group"), 3),
    "mlp, labels": (MLPGeneratorSpec(noise=8, width=8, depth=1), 3),
}
Get = Callable[..., Any]


def lively(spec: Any, *channels: int) -> nn.Module:
    """The network of a spec, with weights and statistics large enough that every layer matters to the picture."""
    torch.manual_seed(0)
    network: nn.Module = spec.build(*channels)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 2)
            elif value.is_floating_point() and not name.endswith("filt"):
                value.add_(0.1 * torch.randn_like(value))
    return network.eval()


def translator(name: str) -> nn.Module:
    """Always the same weights."""
    spec, inputs, outputs = TRANSLATORS[name]
    return lively(spec, inputs, outputs)


def sampler(name: str) -> nn.Module:
    spec, classes = SAMPLERS[name]
    return lively(spec, 3, 16, classes)


def photograph(h: int, w: int, channels: int = 3, place: tuple[int, int] = (280, 1400)) -> np.ndarray:
    """A piece of a real picture, h w channels uint8."""
    earth = images.read(Path(__file__).parents[2] / "datasets" / "earth" / "day_2048.jpg")
    top, left = place
    piece = earth[top : top + h, left : left + w]
    return np.ascontiguousarray(np.concatenate([piece, piece[:, ::-1]], axis=2)[:, :, :channels])


@torch.inference_mode()
def oracle(network: nn.Module, picture: np.ndarray, top: int = 255) -> np.ndarray:
    """h w c → h w o in [0, top], not rounded: numpy pads and crops, the network runs in double precision."""
    h, w = picture.shape[:2]
    still = silenced(network).double()
    high, wide = (-(-max(side, still.minimum) // still.multiple) * still.multiple for side in (h, w))
    x = np.pad(picture.astype(np.float64), ((0, high - h), (0, wide - w), (0, 0)), mode="edge") / (top / 2) - 1
    y = still(torch.from_numpy(x).permute(2, 0, 1)[None])[0, :, :h, :w].permute(1, 2, 0).numpy()
    return (y + 1) * (top / 2)


def silenced(network: nn.Module) -> Any:
    """A copy with every dropout at 0."""
    import copy

    still: Any = copy.deepcopy(network).eval()
    for layer in still.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0
    return still


def opened(model: onnx.ModelProto | bytes, level: Any = ort.GraphOptimizationLevel.ORT_ENABLE_ALL) -> Any:
    options = ort.SessionOptions()
    options.log_severity_level, options.graph_optimization_level = 3, level
    data = model if isinstance(model, bytes) else model.SerializeToString()
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def run(model: onnx.ModelProto, pictures: np.ndarray) -> np.ndarray:
    (y,) = opened(model).run(None, {"picture": pictures})
    return np.asarray(y)


def almost_equal(got: np.ndarray, expected: np.ndarray) -> None:
    """Whole numbers that are the rounded truth, but for one step where that lies between two."""
    assert got.shape == expected.shape
    away = np.abs(got.astype(np.float64) - expected)
    assert away.max() < 0.5 + 0.05, away.max()

"""Bytes of a batch → what a model sees. Legend: n batch, c channels, h height, w width."""

import torch

from i2i.data.augment_batch import Change
from i2i.data.edges import edges
from i2i.data.spec import Data, LabelledData, MixtureData, PairedData

Batch = torch.Tensor | tuple[torch.Tensor, torch.Tensor]


def finish(
    spec: Data, raw: list[torch.Tensor], device: torch.device, position: int = 0, change: Change | None = None
) -> Batch:
    """Bytes travel to the device, a quarter of what floats would take; there they become [-1, 1] and drawings."""
    on_device = [part.to(device, non_blocking=True) for part in raw]
    if isinstance(spec, MixtureData):
        return on_device[0]
    labels = [on_device.pop()] if isinstance(spec, LabelledData) else []
    pictures = [_scaled(part) for part in on_device]
    if change is not None:
        pictures = change(pictures, position)
    if isinstance(spec, PairedData) and spec.derive is not None:
        pictures = [edges(pictures[0], spec.derive.a, spec.channels.a), *pictures]
    parts = [*pictures, *labels]
    return (parts[0], parts[1]) if len(parts) == 2 else parts[0]


def _scaled(pictures: torch.Tensor) -> torch.Tensor:
    """uint8 n h w c in [0, 255] → float32 n c h w in [-1, 1]."""
    return pictures.permute(0, 3, 1, 2).contiguous().float().div_(127.5).sub_(1)

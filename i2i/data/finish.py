"""Bytes of a batch → what a model sees. Legend: n batch, c channels, h height, w width."""

import torch

from i2i.data.augment_batch import Change
from i2i.data.edges import edges
from i2i.data.looks import planes_of
from i2i.data.spec import Data, Look, MixtureData, PairedData, Sketches, UnpairedData

Batch = torch.Tensor | tuple[torch.Tensor, ...]


def finish(
    spec: Data, raw: list[torch.Tensor], device: torch.device, position: int = 0, change: Change | None = None
) -> Batch:
    """Bytes travel to the device, a quarter of what floats would take; there they become [-1, 1] and drawings.

    Classes become one channel each, 1 where a pixel is of the class and -1 elsewhere. Conditions follow side a in its
    channels.
    """
    on_device = [part.to(device, non_blocking=True) for part in raw]
    if isinstance(spec, MixtureData):
        return on_device[0]
    labels = [on_device.pop()] if spec.labelled else []
    streams = (0, 1) if isinstance(spec, UnpairedData) else (0,)
    looks = [plane.look for stream in streams for plane in planes_of(spec, stream)]
    if isinstance(spec, PairedData) and spec.derive is not None and isinstance(spec.derive.a, Sketches):
        looks = [1, *looks]  # drawn where the photo was read
    pictures = [_scaled(part, look) for part, look in zip(on_device, looks, strict=True)]
    if change is not None:
        pictures = change(pictures, position)
    pictures = [_apart(part, look) for part, look in zip(pictures, looks, strict=True)]
    if isinstance(spec, PairedData) and spec.derive is not None:
        assert isinstance(spec.channels.a, int)  # the spec allows no other
        if isinstance(spec.derive.a, Sketches):
            pictures = [pictures[0].expand(-1, spec.channels.a, -1, -1), pictures[1]]
        else:
            pictures = [edges(pictures[0], spec.derive.a, spec.channels.a), *pictures]
    if isinstance(spec, PairedData) and spec.condition:
        pictures = [torch.cat(pictures[:-1], dim=1), pictures[-1]]
    parts = [*pictures, *labels]
    return tuple(parts) if len(parts) > 1 else parts[0]


def _scaled(pictures: torch.Tensor, look: Look) -> torch.Tensor:
    """uint8 or uint16 n h w c, black 0 → float32 n c h w in [-1, 1]. Class numbers stay what they are, n 1 h w."""
    laid_out = pictures.permute(0, 3, 1, 2).contiguous()
    if not isinstance(look, int):
        return laid_out
    return laid_out.float().div_(127.5 if pictures.dtype == torch.uint8 else 32767.5).sub_(1)


def _apart(pictures: torch.Tensor, look: Look) -> torch.Tensor:
    """Class numbers n 1 h w → float32 n classes h w of -1 and 1. Other pictures stay what they are."""
    if isinstance(look, int):
        return pictures
    n, _, height, width = pictures.shape
    apart = torch.full((n, look.classes, height, width), -1.0, device=pictures.device)
    return apart.scatter_(1, pictures.long(), 1.0)

"""Drawings made from photos, on whatever device the photos are."""

import torch

from i2i.data.spec import Edges


def edges(photos: torch.Tensor, spec: Edges, channels: int) -> torch.Tensor:
    """Canny's edges of photos (n, 1 or 3, h, w) in [-1, 1]: black lines (-1) on white (1), (n, channels, h, w)."""
    from kornia.filters import canny

    # Autocast off: an edge is a comparison, and half precision would move lines with the hardware.
    with torch.no_grad(), torch.autocast(photos.device.type, enabled=False):
        _, lines = canny(
            (photos.float() + 1) / 2,
            low_threshold=spec.low,
            high_threshold=spec.high,
            kernel_size=spec.kernel,
            sigma=(spec.sigma, spec.sigma),
        )
    return (1 - 2 * lines).expand(-1, channels, -1, -1).contiguous()

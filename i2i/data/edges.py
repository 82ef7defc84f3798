"""Edges of a batch on whatever device it is: drawn, or blurred. Legend: n batch, c channels, h height, w width."""

import numpy as np
import torch
import torch.nn.functional as F

from i2i.data.make.smooth import Brush, near_edges
from i2i.data.spec import Edges


def edges(photos: torch.Tensor, spec: Edges, channels: int) -> torch.Tensor:
    """Canny's edges of photos (n, 1 or 3, h, w) in [-1, 1]: black lines (-1) on white (1), (n, channels, h, w)."""
    from kornia.filters import canny

    # Autocast off: an edge is a comparison, and half precision would move lines with the hardware.
    with torch.no_grad(), torch.autocast(photos.device.type, enabled=False):
        _, found = canny(
            (photos.float() + 1) / 2,
            low_threshold=spec.low,
            high_threshold=spec.high,
            kernel_size=spec.kernel,
            sigma=(spec.sigma, spec.sigma),
            hysteresis=False,  # 0 nothing, 0.5 weak, 1 strong
        )
        lines = connected(found > 0, found == 1)
    return (1 - 2 * lines.float()).expand(-1, channels, -1, -1).contiguous()


def connected(weak: torch.Tensor, strong: torch.Tensor) -> torch.Tensor:
    """Canny's last step, hysteresis: the weak pixels joined to a strong one through weak ones. Bool n 1 h w, all three.

    kornia grows the strong pixels step by step, which takes 0.7 s for one photo of 256 px on a CPU. Counting the
    connected components there, and growing in longer strides elsewhere, ends in the very same pixels.
    """
    if weak.device.type != "cpu":
        return grown(weak, strong)
    kept = [_joined(w, s) for w, s in zip(weak[:, 0].numpy(), strong[:, 0].numpy(), strict=True)]
    return torch.from_numpy(np.stack(kept))[:, None]


def grown(weak: torch.Tensor, strong: torch.Tensor) -> torch.Tensor:
    """`connected` without a component count: strong pixels spread over weak ones until nothing changes."""
    allowed, now = weak.float(), strong.float()
    while True:
        before = now
        for _ in range(16):  # the comparison below waits for the device, so it is made once in 16 steps
            now = F.max_pool2d(now, 3, stride=1, padding=1) * allowed
        if torch.equal(now, before):
            return now.bool()


def _joined(weak: np.ndarray, strong: np.ndarray) -> np.ndarray:
    """`connected` for one picture, bool h w."""
    import cv2

    count, component = cv2.connectedComponents(weak.astype(np.uint8), connectivity=8)
    keep = np.zeros(count, bool)
    keep[component[strong]] = True  # every strong pixel is a weak one, so component 0, the background, stays out
    return keep[component]


def softened(cartoons: torch.Tensor, brush: Brush) -> torch.Tensor:
    """CartoonGAN's negatives: cartoons (n, 1 or 3, h, w) in [-1, 1] with Gaussian blur around their edges, and as they
    are elsewhere. A function of the pictures alone, and that of `data.make.smooth` but for its rounding to 8 bits."""
    import cv2
    from kornia.filters import filter2d_separable

    pixels = ((cartoons.float() + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    near = np.stack([near_edges(picture, brush) for picture in pixels])  # n h w
    bell = torch.from_numpy(cv2.getGaussianKernel(brush.blur, 0)).float().T.to(cartoons.device)  # 1 k
    with torch.no_grad(), torch.autocast(cartoons.device.type, enabled=False):
        blurred = filter2d_separable(cartoons.float(), bell, bell)
        return torch.where(torch.from_numpy(near).to(cartoons.device)[:, None], blurred, cartoons.float())

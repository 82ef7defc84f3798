"""A trained network as a function on pictures: any size in, the same size out."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from i2i.engine.pictures import to_uint8
from i2i.errors import UserError


class Translator:
    """`translator(picture)`: h w c uint8 → h w c uint8. `inputs` and `outputs` are the numbers of channels."""

    def __init__(self, network: nn.Module, device: torch.device) -> None:
        self.network = network.to(device).eval()
        self.device = device
        self.inputs, self.outputs = int(network.inputs), int(network.outputs)  # type: ignore[arg-type]
        self.multiple: int = network.multiple  # type: ignore[assignment]
        self.minimum: int = network.minimum  # type: ignore[assignment]

    def __call__(self, picture: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if picture.ndim != 3 or picture.shape[2] != self.inputs or picture.dtype != np.uint8 or picture.size == 0:
            raise UserError(
                f"expected a picture of height × width × {self.inputs} uint8, got shape {picture.shape} {picture.dtype}"
            )
        pixels = torch.from_numpy(picture.copy())  # a copy, since Pillow's arrays are read-only
        x = pixels.to(self.device).permute(2, 0, 1)[None]  # 1 c h w
        y = to_uint8(self.forward(x.float() / 127.5 - 1))
        return y[0].permute(1, 2, 0).cpu().numpy()

    @torch.inference_mode()
    def forward(self, x: Tensor) -> Tensor:
        """n c h w in [-1, 1] → the same, h and w free: padded by edge pixels at right and bottom, then cropped.

        A network that keeps its dropout at test (Pix2Pix as published) draws the same noise each time.
        """
        h, w = x.shape[-2:]
        right, bottom = (self.padded(side) - side for side in (w, h))
        with torch.random.fork_rng([torch.cuda.current_device()] if self.device.type == "cuda" else []):
            torch.manual_seed(0)
            y: Tensor = self.network(F.pad(x, (0, right, 0, bottom), mode="replicate"))
        return y[..., :h, :w]

    def padded(self, side: int) -> int:
        """The smallest length the network takes that is at least `side`."""
        return math.ceil(max(side, self.minimum) / self.multiple) * self.multiple

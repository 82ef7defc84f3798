"""Points of a ring of Gaussians: no files, yet keyed and split like pictures."""

import numpy as np
import torch

from i2i.data import keys
from i2i.data.spec import MixtureData

SPLITS = {"train": 0, "val": 1, "test": 2}


def centres(spec: MixtureData) -> torch.Tensor:
    """(modes, 2) float32: the Gaussians' means, the first at (radius, 0), then anticlockwise."""
    angles = np.arange(spec.modes) * (2 * np.pi / spec.modes)
    return torch.from_numpy((spec.radius * np.stack([np.cos(angles), np.sin(angles)], 1)).astype(np.float32))


def points(spec: MixtureData, split: str, n: int, *key: int) -> torch.Tensor:
    """(n, 2) float32 points drawn evenly from all modes. The same (split, *key) gives the same points."""
    rng = keys.generator(keys.MIXTURE, SPLITS[split], *key)
    modes = rng.integers(spec.modes, size=n)
    return centres(spec)[torch.from_numpy(modes)] + torch.from_numpy(
        (spec.std * rng.standard_normal((n, 2))).astype(np.float32)
    )

"""The heads that CUT compares features through: a two-layer MLP for each station of the encoder (Park et al. 2020).

Shapes: n pictures, c channels and h w size of a station, k places, u units.
"""

from collections.abc import Sequence

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from i2i.nets.init import InitSpec

# Vectors shorter than this stay shorter than 1: behind a norm a picture without contrast is 0, and so is what new heads
# make of it. 0 has no direction, and its gradient would be 1e12, or NaN.
EPS = 1e-4


class Projection(nn.Module):
    """Features at some places → points on the unit sphere. Trained beside the generator and dropped afterwards."""

    def __init__(self, channels: Sequence[int], units: int = 256) -> None:
        super().__init__()
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(c, units), nn.ReLU(), nn.Linear(units, units)) for c in channels
        )

    def forward(self, features: Sequence[Tensor], places: Sequence[Tensor]) -> list[Tensor]:
        """features: n c h w each. places: k each, as indices into h · w. Returns n k u of length 1."""
        seen = [feature.flatten(2)[:, :, at].mT for feature, at in zip(features, places, strict=True)]  # n k c
        return [F.normalize(head(x).float(), dim=2, eps=EPS) for head, x in zip(self.heads, seen, strict=True)]


class ProjectionSpec(InitSpec):
    """The heads of a recipe."""

    units: int = Field(256, ge=1)

    def build(self, channels: Sequence[int]) -> Projection:
        """The heads with their weights drawn from torch's global generator."""
        return self.initialised(Projection(channels, self.units))

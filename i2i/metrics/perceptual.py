"""How different two pictures look, by the features of EfficientNet-Lite0 at five resolutions.

Shapes: n pictures, c channels, h w size, values in [-1, 1]; k channels of a stage.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from i2i.metrics.features import efflite0, network


def perceptual(fake: Tensor, real: Tensor) -> Tensor:
    """n c h w twice → n distances ≥ 0: LPIPS (Zhang et al. 2018, arXiv 1801.03924) without its learned weights.

    Called `perceptual_efflite0` in tables: the network is another one, so values are not comparable with LPIPS.
    Raises UserError for pictures that are neither grey nor RGB.
    """
    see = network("efflite0", real.device)
    return distance(see(fake).stages, see(real).stages)


def perceptual_loss(fake: Tensor, real: Tensor) -> Tensor:
    """n c h w twice → the mean of the same distances at the pictures' own size, with gradients to `fake`.

    A model that was trained with it is flattered by `perceptual_efflite0`: judge it by other scores too.
    """
    see = efflite0(str(real.device))
    with torch.no_grad():
        seen = see.maps(real)
    return distance(see.maps(fake), seen).mean()


def distance(fake: tuple[Tensor, ...], real: tuple[Tensor, ...]) -> Tensor:
    """The same from `Features.stages`: squared distance of the channels' directions, averaged over places and stages.

    Equation 1 of Zhang et al. with all weights 1, and the mean over stages in place of their sum.
    """
    stages = [(F.normalize(x, dim=1) - F.normalize(y, dim=1)).square().sum(1).mean((1, 2))
              for x, y in zip(fake, real, strict=True)]  # fmt: skip
    return torch.stack(stages).mean(0)

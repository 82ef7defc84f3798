"""How far a picture is from the one it should be. Tensors in, one scalar out, in float32.

Shapes: n pictures, c channels, h w size; values in [-1, 1] unless said otherwise.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

SSIM_WINDOW = 11  # side of the Gaussian window with σ = 1.5 (Wang et al. 2004)


def l1(fake: Tensor, real: Tensor) -> Tensor:
    """Mean absolute difference of two tensors of one shape, any values."""
    check_same_shape("l1", fake, real)
    return F.l1_loss(fake.float(), real.float())


def l2(fake: Tensor, real: Tensor) -> Tensor:
    """Mean squared difference of two tensors of one shape, any values."""
    check_same_shape("l2", fake, real)
    return F.mse_loss(fake.float(), real.float())


def ssim(fake: Tensor, real: Tensor) -> Tensor:  # n c h w both
    """1 - SSIM (Wang et al. 2004) of pictures in [-1, 1]: 0 when they are equal, at most 2.

    Gaussian window of 11×11, σ 1.5, only where it lies wholly inside, mean over pixels, channels and pictures.
    Raises ValueError for differing shapes or pictures smaller than the window.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure as similarity  # slow to import

    check_same_shape("ssim", fake, real)
    if fake.ndim != 4 or min(fake.shape[2:]) < SSIM_WINDOW:
        raise ValueError(f"ssim expected n × c × h × w with h and w at least {SSIM_WINDOW}; got {tuple(fake.shape)}")
    value = similarity(fake.float(), real.float(), sigma=1.5, kernel_size=SSIM_WINDOW, data_range=2.0)
    return 1 - torch.as_tensor(value)


def feature_matching(fake_features: Sequence[Tensor], real_features: Sequence[Tensor]) -> Tensor:
    """Mean over layers of the L1 distance between a discriminator's features (Wang et al. 2018, equation 4: their sum).

    The real side is detached: the generator chases it, nothing pushes it. Raises ValueError when the lists differ in
    length or a pair in shape.
    """
    if len(fake_features) != len(real_features) or not fake_features:
        raise ValueError(
            f"feature matching expected as many layers of fake as of real, at least one; "
            f"got {len(fake_features)} and {len(real_features)}"
        )
    layers = [l1(fake, real.detach()) for fake, real in zip(fake_features, real_features, strict=True)]
    return torch.stack(layers).mean()


def check_same_shape(name: str, fake: Tensor, real: Tensor) -> None:
    """Raise ValueError where torch would broadcast in silence."""
    if fake.shape != real.shape:
        raise ValueError(f"{name} expected two tensors of one shape; got {tuple(fake.shape)} and {tuple(real.shape)}")

"""How far a picture is from the one it should be. Tensors in, one scalar out, in float32.

Shapes: n pictures, c channels, h w size; values in [-1, 1] unless said otherwise.
"""

from collections.abc import Sequence
from math import exp

import torch
import torch.nn.functional as F
from torch import Tensor

SSIM_WINDOW, SSIM_SIGMA = 11, 1.5  # side and width of the Gaussian window (Wang et al. 2004, section III-C)
C1, C2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2  # for a range of values of 2


def l1(fake: Tensor, real: Tensor) -> Tensor:
    """Mean absolute difference of two tensors of one shape, any values."""
    check_same_shape("l1", fake, real)
    return F.l1_loss(fake.float(), real.float())


def l2(fake: Tensor, real: Tensor) -> Tensor:
    """Mean squared difference of two tensors of one shape, any values."""
    check_same_shape("l2", fake, real)
    return F.mse_loss(fake.float(), real.float())


def ssim(fake: Tensor, real: Tensor) -> Tensor:  # n c h w both
    """1 - SSIM (Wang et al. 2004, equation 13) of pictures in [-1, 1]: 0 when they are equal, at most 2.

    As in the paper's own code, the Gaussian window counts only where it lies wholly inside the picture; the mean is
    over pixels, channels and pictures. Raises ValueError for differing shapes or pictures smaller than the window.
    """
    check_same_shape("ssim", fake, real)
    if fake.ndim != 4 or min(fake.shape[2:]) < SSIM_WINDOW:
        raise ValueError(f"ssim expected n × c × h × w with h and w at least {SSIM_WINDOW}; got {tuple(fake.shape)}")
    x, y = fake.float(), real.float()
    mean_x, mean_y, mean_xx, mean_yy, mean_xy = gaussian_mean(torch.stack([x, y, x * x, y * y, x * y]))  # n c h-10 w-10
    covariance = mean_xy - mean_x * mean_y
    variances = (mean_xx - mean_x.square()) + (mean_yy - mean_y.square())
    luminance = (2 * mean_x * mean_y + C1) / (mean_x.square() + mean_y.square() + C1)
    structure = (2 * covariance + C2) / (variances + C2)
    return 1 - (luminance * structure).mean()


def gaussian_mean(x: Tensor) -> Tensor:  # ... h w
    """The Gaussian-weighted mean under every window inside x: ... h-10 w-10.

    Sums of shifted copies, not a convolution: autocast or TF32 would compute that in fewer bits, and the difference of
    two close means in a variance would be lost.
    """
    half = SSIM_WINDOW // 2
    bell = [exp(-((i - half) ** 2) / (2 * SSIM_SIGMA**2)) for i in range(SSIM_WINDOW)]
    for dim in (-2, -1):
        length = x.shape[dim] - 2 * half
        shifted = [weight / sum(bell) * x.narrow(dim, i, length) for i, weight in enumerate(bell)]
        x = sum(shifted[1:], shifted[0])
    return x


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


def mean_matching(fake: Tensor | Sequence[Tensor], real: Tensor | Sequence[Tensor]) -> Tensor:
    """The mean square of E f(G(z)) - E f(x) over the features f of a discriminator (Salimans et al. 2016, section 3.1).

    Each n f or n f p q, of several scales a list of them; E is over the batch and the map, so only statistics are
    matched. The real side is detached. The paper's norm is a sum over f; as a mean its weight does not depend on f.
    """
    scales = [([each] if isinstance(each, Tensor) else each) for each in (fake, real)]
    means = [[scale.float().transpose(0, 1).flatten(1).mean(1) for scale in side] for side in scales]  # f each
    return torch.stack([(made - true.detach()).square().mean() for made, true in zip(*means, strict=True)]).sum()


def check_same_shape(name: str, fake: Tensor, real: Tensor) -> None:
    """Raise ValueError where torch would broadcast in silence."""
    if fake.shape != real.shape:
        raise ValueError(f"{name} expected two tensors of one shape; got {tuple(fake.shape)} and {tuple(real.shape)}")

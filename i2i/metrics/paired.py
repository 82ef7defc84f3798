"""Scores of pictures against their truth.

Shapes: n pictures, c channels, h w size, values in [-1, 1]; every function returns n values.
"""

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
FLAT = 1e-6  # a standard deviation below this is rounding: one pixel of 60 million one level off gives more
BORDER = 5  # pixels: half of SSIM's window


def l1(fake: Tensor, real: Tensor) -> Tensor:
    """Mean absolute error on the scale 0 (black) to 1 (white)."""
    return (fake - real).abs().flatten(1).mean(1) / 2


def psnr(fake: Tensor, real: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB; the peak is the full range."""
    mse = ((fake - real) / 2).square().flatten(1).mean(1)
    return -10 * mse.clamp_min(1e-10).log10()


def ssim(fake: Tensor, real: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004: Gaussian window of σ 1.5, 11 × 11), by torchmetrics.

    As in the paper's own code and in scikit-image the window counts where it lies wholly inside the picture;
    torchmetrics by itself would also count the mirrored borders, over a quarter of a picture of 64 × 64.
    """
    _, full = structural_similarity_index_measure(fake, real, data_range=2.0, return_full_image=True)  # n c h w
    inside = full[..., BORDER:-BORDER, BORDER:-BORDER] if min(full.shape[-2:]) > 2 * BORDER else full
    return inside.flatten(1).mean(1)


def correlation(fake: Tensor, real: Tensor) -> Tensor:
    """Pearson correlation over the pixels of each picture's luminance; 0 where either is flat.

    Blind to brightness and contrast: a constant picture scores 0 however small its L1 is, an inverted one is negative.
    """
    x, y = (_centred(luma(side)) for side in (fake, real))
    x_size, y_size = x.norm(dim=1), y.norm(dim=1)
    flat = torch.minimum(x_size, y_size) < FLAT * x.shape[1] ** 0.5
    return torch.where(flat, 0.0, (x * y).sum(1) / (x_size * y_size).clamp_min(1e-30))


def chroma(pictures: Tensor) -> Tensor:
    """Mean distance between the strongest and the weakest primary, 0 (grey) to 1: how colourful a picture is.

    The numerator of HSV's saturation, without its division, which makes noise of near-black pixels."""
    return (pictures.amax(1) - pictures.amin(1)).flatten(1).mean(1) / 2


def luma(pictures: Tensor) -> Tensor:
    """n c h w → n h w: of grey and colour as a person sees it, without alpha; of other channels their mean."""
    if pictures.shape[1] in (3, 4):
        return (pictures[:, :3] * pictures.new_tensor(LUMA).view(3, 1, 1)).sum(1)
    return pictures[:, 0] if pictures.shape[1] == 2 else pictures.mean(1)


def _centred(x: Tensor) -> Tensor:
    flat = x.flatten(1)
    return flat - flat.mean(1, keepdim=True)

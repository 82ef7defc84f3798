"""Total variation: how much a picture changes from pixel to pixel (Rudin et al. 1992; Mahendran & Vedaldi 2015).

Shapes: n pictures, c channels, h w size; values in [-1, 1].
"""

from torch import Tensor

TINY = 1e-8  # below the square of half a step of 8 bits: the root has no slope of its own where a picture is flat


def total_variation(x: Tensor) -> Tensor:  # n c h w
    """Mean over pixels of the length of the gradient, √((x[i, j+1] - x[i, j])² + (x[i+1, j] - x[i, j])²), but for the
    last row and column. Scalar, in float32. L_TV of Taigman et al. 2016, section 4, with B = 1.

    Raises ValueError for a picture of a single row or column.
    """
    if x.ndim != 4 or min(x.shape[2:]) < 2:
        raise ValueError(f"total_variation expected n × c × h × w with h and w at least 2; got {tuple(x.shape)}")
    x = x.float()
    here = x[:, :, :-1, :-1]
    across, down = x[:, :, :-1, 1:] - here, x[:, :, 1:, :-1] - here
    return (across.square() + down.square() + TINY).sqrt().mean()

"""How close translated pictures are to the truth. One value a picture, so that intervals can be given."""

from i2i.metrics.paired import chroma, correlation, l1, psnr, ssim

__all__ = ["chroma", "correlation", "l1", "psnr", "ssim"]

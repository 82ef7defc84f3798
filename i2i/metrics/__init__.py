"""How good pictures are: against their truth, one value a picture; as a set beside the real ones; with intervals."""

from i2i.metrics.distribution import compare, diversity, fid, kid, relative_diversity
from i2i.metrics.features import Features, network
from i2i.metrics.inception import inception_score
from i2i.metrics.intervals import Interval, jackknife, mean
from i2i.metrics.paired import chroma, correlation, l1, psnr, ssim
from i2i.metrics.perceptual import distance, perceptual
from i2i.metrics.segmentation import counts, mean_iou, pixel_accuracy

__all__ = [
    "Features",
    "Interval",
    "chroma",
    "compare",
    "correlation",
    "counts",
    "distance",
    "diversity",
    "fid",
    "inception_score",
    "jackknife",
    "kid",
    "l1",
    "mean",
    "mean_iou",
    "network",
    "perceptual",
    "pixel_accuracy",
    "psnr",
    "relative_diversity",
    "ssim",
]

"""The few layers every network is made of: normalisation, upsampling, spectral norm, dropout, label maps, input checks.

Shapes: n pictures, c channels, h height, w width, k classes.
"""

from collections.abc import Sequence
from math import gcd
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

Norm = Literal["instance", "instance-affine", "batch", "group", "none"]
Padding = Literal["reflect", "replicate", "zero"]
Upsample = Literal["transposed", "resize-conv", "bilinear-conv"]
Downsample = Literal["strided", "blur"]
TestStatistics = Literal["picture", "running"]

PADDING_MODES: dict[Padding, Literal["reflect", "replicate", "zeros"]] = {
    "reflect": "reflect",
    "replicate": "replicate",
    "zero": "zeros",  # torch's own spelling
}


class PictureBatchNorm2d(nn.BatchNorm2d):
    """Batch norm in training; in `eval()` each picture is normalised by its own statistics, with the learned affine.

    Pix2Pix trains at batch 1 and tests with the statistics of the test batch, again one picture (Isola et al. 2017,
    section 3.3), which is instance norm. Running averages are something its network never saw in training: a copy that
    silently switches to them at test time, as exported models often do, draws visibly different pictures. Here a batch
    of four equals four single pictures, and at batch 1 `eval()` equals `train()`. No running averages are kept.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, track_running_stats=False)

    def forward(self, input: Tensor) -> Tensor:
        if self.training:
            return super().forward(input)
        return F.instance_norm(input, weight=self.weight, bias=self.bias, eps=self.eps)


class InstanceNorm2d(nn.InstanceNorm2d):
    """torch's own, which while a CPU trains is computed as a group norm with one channel a group: the same formula (Wu
    & He 2018, section 3.1), but a forward pass in a quarter of the time. Its rounding is coarser, and the 23 norms of a
    residual generator amplify that on pictures of little contrast to 5e-3; so at rest, and in exports, it is torch's.
    """

    def forward(self, input: Tensor) -> Tensor:
        if input.device.type != "cpu" or not self.training or torch.compiler.is_compiling():
            return super().forward(input)
        return F.group_norm(input.contiguous(), self.num_features, self.weight, self.bias, self.eps)


class GroupNorm(nn.GroupNorm):
    """torch's own on contiguous memory: on a CPU its kernel for tensors that lie as n h w c loses the small spread of a
    channel with a large mean (0.4 off at mean 3, spread 1e-3, where the other is 4e-5 off)."""

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.contiguous())


class NoiseDropout(nn.Dropout):
    """Dropout that stays on in `eval()`: the only noise of the Pix2Pix generator (Isola et al. 2017, section 3.1)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, training=True)


def norm2d(kind: Norm, channels: int, test_statistics: TestStatistics = "picture") -> nn.Module:
    """A normalisation layer for n c h w. `test_statistics` says what batch norm uses in `eval()`; others ignore it."""
    if kind == "instance":
        return InstanceNorm2d(channels)
    if kind == "instance-affine":
        return InstanceNorm2d(channels, affine=True)
    if kind == "batch":
        return PictureBatchNorm2d(channels) if test_statistics == "picture" else nn.BatchNorm2d(channels)
    if kind == "group":
        return GroupNorm(gcd(32, channels), channels)  # 32 groups as Wu & He 2018, fewer where they do not divide
    return nn.Identity()


def needs_bias(norm: Norm) -> bool:
    """Whether a convolution in front of this norm should have a bias.

    A norm subtracts the mean, so a constant added before it is dead (instance norm) or duplicates the norm's own bias
    (batch, affine instance). Group norm keeps differences between the channels of a group, but has its own bias too.
    """
    return norm == "none"


def dropout_layer(p: float, at_test: bool = False) -> nn.Module:
    """Dropout with probability p, kept on in `eval()` if `at_test`; nothing at all for p = 0, so exports stay clean."""
    if p == 0:
        return nn.Identity()
    return NoiseDropout(p) if at_test else nn.Dropout(p)


def upsample2x(kind: Upsample, inputs: int, outputs: int, kernel: Literal[3, 4] = 4, bias: bool = False) -> nn.Module:
    """n inputs h w → n outputs 2h 2w.

    `transposed`: a stride-2 transposed convolution; 4×4 in Pix2Pix and DCGAN, 3×3 in CycleGAN.
    `resize-conv`: nearest ×2 then 3×3, free of the checkerboard of uneven overlaps (Odena et al. 2016).
    `bilinear-conv`: bilinear ×2 then 3×3. So to interpolate is the fixed filter 1 3 3 1 of CUT (Zhang 2019) with edges
    repeated; as the transposed convolution that it is there, it would cost as much as the 3×3 behind it.
    """
    if kind == "transposed":
        extra = kernel % 2  # an odd kernel comes out one pixel short of twice the size
        return nn.ConvTranspose2d(inputs, outputs, kernel, stride=2, padding=1, output_padding=extra, bias=bias)
    if kind == "bilinear-conv":
        return nn.Sequential(
            nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)
        )
    return ResizeConv(inputs, outputs, bias)


def downsample2x(kind: Downsample, inputs: int, outputs: int, norm: nn.Module, bias: bool = False) -> list[nn.Module]:
    """n inputs h w → n outputs h/2 w/2, h and w even: a 3×3 convolution, its norm and a ReLU.

    `strided`: every other place is not computed at all. `blur`: all are, and then blurred before every other one goes,
    so that a shift by one pixel changes little (Zhang 2019), as CUT's code does it.
    """
    stride = 2 if kind == "strided" else 1
    layers = [nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=bias), norm, nn.ReLU()]
    return layers if kind == "strided" else [*layers, Blur(outputs)]


class Blur(nn.Module):
    """n c h w → n c h/2 w/2: every other pixel after the filter 1 2 1, over 4, along both axes (Zhang 2019)."""

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        row = torch.tensor([1.0, 2.0, 1.0]) / 4
        # Saved with the weights though it never changes: a network built on the meta device gets all from its file.
        self.register_buffer("filt", torch.outer(row, row).expand(channels, 1, 3, 3).contiguous())

    def forward(self, input: Tensor) -> Tensor:
        return F.conv2d(F.pad(input, (1, 1, 1, 1), mode="reflect"), self.filt, stride=2, groups=len(self.filt))


class ResizeConv(nn.Conv2d):
    """Nearest ×2, then a 3×3 convolution, computed as one 4×4 transposed convolution of stride 2.

    Two neighbours of an enlarged picture are one pixel, so their weights can be summed beforehand: in a row, with the
    weights t m b, pixel 2i is t·x[i-1] + (m + b)·x[i], and 2i + 1 is (t + m)·x[i] + b·x[i+1]. Exactly the same function
    with 4 instead of 9 multiply-adds for each output and channel, and no enlarged picture in memory.
    """

    def __init__(self, inputs: int, outputs: int, bias: bool) -> None:
        super().__init__(inputs, outputs, 3, padding=1, bias=bias)

    def forward(self, input: Tensor) -> Tensor:  # n i h w
        weight = _phases(_phases(self.weight, 2), 3).transpose(0, 1)  # i o 4 4
        return F.conv_transpose2d(input, weight, self.bias, stride=2, padding=1)  # n o 2h 2w


def _phases(weight: Tensor, dim: int) -> Tensor:
    """Three weights along `dim` → the four of the transposed convolution."""
    top, middle, bottom = weight.unbind(dim)
    return torch.stack([bottom, middle + bottom, top + middle, top], dim)


def spectral_norm(layer: nn.Module, on: bool = True) -> nn.Module:
    """The layer, its weight divided by its largest singular value (Miyato et al. 2018); untouched if not `on`."""
    return parametrizations.spectral_norm(layer) if on else layer


def append_label(x: Tensor, y: Tensor | None, classes: int) -> Tensor:
    """Concatenate the one-hot of y to x: as k more features of n f, as k constant maps of n c h w.

    x: n c h w or n f. y: n class indices in [0, classes), int64; None exactly when classes is 0.
    Raises ValueError when a label is missing, unwanted, or not one per picture.
    """
    if classes == 0:
        if y is not None:
            raise ValueError("this network is unconditional (classes=0): expected no labels, got y")
        return x
    if y is None or y.shape != x.shape[:1]:
        got = "none" if y is None else f"shape {tuple(y.shape)}"
        raise ValueError(f"this network is conditional on {classes} classes: expected {len(x)} labels, got {got}")
    label = F.one_hot(y, classes).to(x.dtype)  # n k
    if x.ndim == 4:
        label = label[:, :, None, None].expand(-1, -1, *x.shape[2:])  # n k h w
    return torch.cat([x, label], dim=1)


def check_input(name: str, x: Tensor, channels: int, multiple: int = 1, minimum: int = 1) -> None:
    """Raise ValueError with expected and got unless x is n channels h w, h and w multiples and large enough."""
    if torch.compiler.is_exporting():
        return  # an exported graph takes any size: a Python check there would only pin symbolic sizes down
    fits = x.ndim == 4 and x.shape[1] == channels
    if not fits or any(side % multiple or side < minimum for side in x.shape[2:]):
        sides = f"h and w multiples of {multiple}, at least" if multiple > 1 else "h and w at least"
        raise ValueError(f"{name} expected n × {channels} × h × w with {sides} {minimum}; got {sizes(x.shape)}")


def check_shape(name: str, x: Tensor, *shape: int) -> None:
    """Raise ValueError with expected and got unless x is n × shape."""
    if tuple(x.shape[1:]) != shape:
        raise ValueError(f"{name} expected n × {sizes(shape)}; got {sizes(x.shape)}")


def sizes(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))

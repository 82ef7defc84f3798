"""Several PatchGANs, each on the picture at half the size of the one before (Wang et al. 2018, section 3.2).

The finest judges detail, the coarsest what a picture is as a whole: with the same few layers each logit of scale k sees
2^k times as far, so no deep network with large kernels is needed, which would learn the training set by heart.

Shapes: n pictures, i input channels, h w picture size, p q patches.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, cast

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from i2i.nets.blocks import Norm, check_input
from i2i.nets.init import InitSpec
from i2i.nets.patchgan import PatchGAN


class MultiScale(nn.Module):
    """Picture (or pictures side by side in the channels) → a list of logit maps, one for each scale, fine to coarse.

    The pictures of the coarser scales are means over 2×2 pixels, a last odd row or column left out. `forward` raises
    ValueError for a wrong channel count or a picture smaller than `minimum`.
    """

    def __init__(
        self,
        inputs: int,
        scales: int = 3,
        layers: int = 3,
        width: int = 64,
        norm: Norm = "instance",
        spectral: bool = False,
        minibatch: int = 0,
    ) -> None:
        super().__init__()
        self.inputs = inputs
        judges = [PatchGAN(inputs, layers, width, norm, spectral, minibatch=minibatch) for _ in range(scales)]
        self.judges = nn.ModuleList(judges)
        self.minimum = judges[-1].minimum * 2 ** (scales - 1)

    def features(self, x: Tensor) -> list[list[Tensor]]:  # n i h w
        """For each scale the output of every stage, for feature matching; the last of each list is its logits."""
        judges = cast(Iterable[PatchGAN], self.judges)
        return [judge.features(seen) for judge, seen in zip(judges, self.pyramid(x), strict=True)]

    def hidden(self, x: Tensor) -> list[Tensor]:  # n i h w
        judges = cast(Iterable[PatchGAN], self.judges)
        return [judge.hidden(seen) for judge, seen in zip(judges, self.pyramid(x), strict=True)]  # n c p q each

    def verdict(self, hidden: Sequence[Tensor]) -> list[Tensor]:
        judges = cast(Iterable[PatchGAN], self.judges)
        return [judge.verdict(each) for judge, each in zip(judges, hidden, strict=True)]  # n 1 p q each

    def forward(self, x: Tensor) -> list[Tensor]:  # n i h w
        return [judge(seen) for judge, seen in zip(self.judges, self.pyramid(x), strict=True)]  # n 1 p q each

    def pyramid(self, x: Tensor) -> list[Tensor]:
        """x, x at half its size, at a quarter, ...: as many as there are scales."""
        check_input("MultiScale", x, self.inputs, minimum=self.minimum)
        pictures = [x]
        while len(pictures) < len(self.judges):
            pictures.append(F.avg_pool2d(pictures[-1], 2))
        return pictures


class MultiScaleSpec(InitSpec):
    """The discriminators of pix2pixHD: three of 70×70, which see 70, 140 and 280 pixels."""

    kind: Literal["multiscale"] = "multiscale"
    scales: int = Field(3, ge=1, le=6)
    layers: int = Field(3, ge=0, le=8)
    width: int = Field(64, ge=1)
    norm: Norm = "instance"
    spectral: bool = False
    minibatch: int = Field(0, ge=0, description="kernels of minibatch discrimination")

    def build(self, inputs: int) -> MultiScale:
        """The networks with their weights drawn from torch's global generator."""
        return self.initialised(
            MultiScale(inputs, self.scales, self.layers, self.width, self.norm, self.spectral, self.minibatch)
        )

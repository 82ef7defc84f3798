"""What a picture shows, for losses: the features of one layer of a network that knows photographs.

`efflite0`: EfficientNet-Lite0 (`metrics.features`), always at hand: its last maps at an eighth of the size, linear.
`vgg19`: VGG19 (Simonyan & Zisserman 2014, arXiv 1409.1556), conv4_4 before its ReLU, also at an eighth: CartoonGAN's.
Its ImageNet weights are torchvision's, 548 MB, and are downloaded once.

Shapes: n pictures, c channels (1 or 3), h w size, k features.
"""

import functools
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Literal

import torch
from torch import Tensor, nn

from i2i.errors import UserError
from i2i.metrics.features import MEAN, STD, as_rgb, efflite0

EIGHTH = 3  # of EfficientNet-Lite0's maps: those at a half, a quarter and an eighth of the size
CONV4_4 = 25  # its place among the layers of torchvision's VGG19


def content(name: Literal["efflite0", "vgg19"], device: torch.device | str = "cpu") -> Callable[[Tensor], Tensor]:
    """A function n c h w in [-1, 1] → features n k h/8 w/8, frozen, with gradients to the pictures; made once a device.

    It draws no global random numbers. Raises UserError where the weights of VGG19 cannot be downloaded.
    """
    return _of_efflite0(str(device)) if name == "efflite0" else _of_vgg19(str(device))


@functools.cache
def _of_efflite0(device: str) -> Callable[[Tensor], Tensor]:
    see = efflite0(device)
    return lambda pictures: see.maps(pictures, EIGHTH)[-1]


@functools.cache
def _of_vgg19(device: str) -> Callable[[Tensor], Tensor]:
    from torchvision.models import VGG19_Weights, vgg19

    url = VGG19_Weights.IMAGENET1K_V1.url
    with torch.device("meta"):  # shapes only: no initial weights are drawn
        layers: nn.Sequential = vgg19().features[: CONV4_4 + 1]
    try:
        weights = torch.hub.load_state_dict_from_url(
            url, map_location="cpu", check_hash=True, weights_only=True, progress=False
        )
    except (OSError, RuntimeError, UnpicklingError) as problem:  # no network, another hash, or not only tensors
        raise UserError(
            f"The weights of VGG19 could not be had ({problem}). They are downloaded once, from {url} to "
            f"{torch.hub.get_dir()}/checkpoints. Where there is no network, type --set content=efflite0."
        ) from None
    own = {key.removeprefix("features."): value for key, value in weights.items() if key.startswith("features.")}
    layers.load_state_dict({key: own[key] for key in layers.state_dict()}, assign=True)
    layers.to(device).eval().requires_grad_(False)
    mean, std = (torch.tensor(value, device=device).view(1, 3, 1, 1) for value in (MEAN, STD))

    def see(pictures: Tensor) -> Tensor:
        features: Tensor = layers(((as_rgb(pictures) + 1) / 2 - mean) / std)
        return features

    return see

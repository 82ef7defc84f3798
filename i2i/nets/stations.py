"""What a residual generator knows of a picture on its way in: the features that CUT compares patches by.

The encoder is the generator's first half (Park et al. 2020, section 3). Its stations are counted from the picture on:
0 is the picture itself, 1 to 3 are the convolutions that end at full, half and quarter size, before their norms, and
from 4 on come the residual blocks. CUT's five, the pixels, the two convolutions that halve, and the first and the fifth
of nine blocks, are 0 2 3 4 8: they see patches of 1, 9, 15, 35 and 99 pixels if they halve by blur.
Shapes: n pictures, i channels, h w size; c channels of a station.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from i2i.nets.blocks import check_input
from i2i.nets.compact import Compact
from i2i.nets.resnet import Resnet

CONVOLUTIONS = 3


def stations(net: Resnet | Compact, x: Tensor, at: Sequence[int]) -> list[Tensor]:  # n i h w
    """The features of x at some stations, in ascending order: n c h w, and smaller from 2 on.

    Nothing behind the last of them is computed. Raises ValueError for a station that there is not, and where the
    network itself would.
    """
    check_stations(net, at)
    check_input(type(net).__name__, x, net.inputs, net.multiple, net.minimum)
    layers, ends, start = [*net.encode, *net.trunk], _ends(net), 0
    found = []
    for station in at:
        if end := ends[station]:
            # Of encode's own class, since that may be one that remakes its activations.
            x = type(net.encode)(*layers[start:end])(x)
            start = end
        found.append(x)
    return found


def widths(net: Resnet | Compact, at: Sequence[int]) -> list[int]:
    """The channels at these stations."""
    check_stations(net, at)
    convolutions = [layer.out_channels for layer in net.encode if isinstance(layer, nn.Conv2d)]
    every = [net.inputs, *convolutions, *([convolutions[-1]] * len(net.trunk))]
    return [every[station] for station in at]


def usual(blocks: int) -> tuple[int, ...]:
    """CUT's stations in a generator of so many blocks: with the first block and the one in the middle."""
    return tuple(sorted({0, 2, 3, *(CONVOLUTIONS + block for block in (1, (blocks + 1) // 2) if 0 < block <= blocks)}))


def check_stations(net: Resnet | Compact, at: Sequence[int]) -> None:
    last = CONVOLUTIONS + len(net.trunk)
    if list(at) != sorted(set(at)) or not at or at[0] < 0 or at[-1] > last:
        raise ValueError(f"expected stations in ascending order, each once, of 0 to {last}; got {list(at)}")


def _ends(net: Resnet | Compact) -> list[int]:
    """How many layers have been passed at each station."""
    convolutions = [i + 1 for i, layer in enumerate(net.encode) if isinstance(layer, nn.Conv2d)]
    return [0, *convolutions, *(len(net.encode) + i + 1 for i in range(len(net.trunk)))]

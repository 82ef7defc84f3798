"""What a picture holds, for the rest of the package: its planes, its colours, and how it is shown to people.

Legend: n pictures, c channels as a network has them, h height, w width; float32 n c h w in [-1, 1].
"""

from collections.abc import Sequence

import numpy as np
import torch

from i2i.data.spec import Labels, Look, PairedData, Palette, Pictures, Plane, UnpairedData, depth
from i2i.images import maps


def planes_of(spec: Pictures, stream: int) -> tuple[Plane, ...]:
    """The pictures that an item of a stream is made of, in their order: of unpaired sides one, of others all."""
    return (spec.planes[stream],) if isinstance(spec, UnpairedData) else spec.planes


def palette(look: Labels | Palette) -> np.ndarray:
    """The colours a segmentation map is drawn in, (classes, 3) uint8."""
    return maps.rgb(*look.palette) if isinstance(look, Palette) else maps.colours(look.labels)


def shown(pictures: torch.Tensor, looks: Sequence[Look]) -> torch.Tensor:
    """n c h w → n 3 h w for people, and for networks that look at photos, in the type and on the device it has.

    `looks`: of the pictures that lie one behind the other in the channels, a side and its conditions; the first is
    shown. Grey is repeated, of more channels the first three are red, green and blue (so transparency is left out), and
    classes have their colours, the class with the highest value wins. ValueError for channels that the looks do not add
    up to.
    """
    expected = sum(depth(look) for look in looks)
    if pictures.shape[1] != expected:
        raise ValueError(f"expected {expected} channels, got {pictures.shape[1]}")
    look = looks[0]
    own = pictures[:, : depth(look)]
    if not isinstance(look, int):
        colours = torch.from_numpy(palette(look)).to(own.device).to(own.dtype) / 127.5 - 1  # classes 3
        return colours[own.argmax(dim=1)].permute(0, 3, 1, 2).contiguous()
    return own[:, :3] if look >= 3 else own[:, :1].expand(-1, 3, -1, -1)


def paired_rows(data: PairedData, a: torch.Tensor, made: torch.Tensor, b: torch.Tensor) -> dict[str, torch.Tensor]:
    """The rows of a sample grid of pairs, by title, n 3 h w each: input, conditions, what was made, truth."""
    first = depth(data.channels.a)
    rows = {"input": shown(a[:, :first], [data.channels.a])}
    for condition in data.condition:
        last = first + depth(condition.channels)
        rows[condition.name], first = shown(a[:, first:last], [condition.channels]), last
    return rows | {"translated": shown(made, [data.channels.b]), "truth": shown(b, [data.channels.b])}

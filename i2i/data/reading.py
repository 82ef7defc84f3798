"""Items of a split, decoded and resized: its planes, one picture or those that belong together.

Legend: h height, w width, c channels. A plane is h w c: uint8, or uint16 where `bits` is 16; of a segmentation map it
is always uint8 h w 1, class numbers.
"""

from pathlib import Path

import numpy as np

from i2i.data.augment import resize
from i2i.data.looks import palette, planes_of
from i2i.data.reference import Reference
from i2i.data.spec import Labels, Look, PairedData, Palette, Pictures, Plane, UnpairedData, carried
from i2i.data.split import Split
from i2i.errors import UserError
from i2i.images import MAX_PIXELS, opened, read, read_classes
from i2i.images.colour import to_channels

# What to do about a segmentation map, by the sign that its reader's message has.
ADVICE = {
    "expected class numbers": "let `labels` be one more than the highest, or renumber the map",
    "got the colour": "a map drawn in colours needs `palette: ['#rrggbb', ...]` in place of `labels`",
}


class Unusable(UserError):
    """A picture that cannot be trained on; `path` says which and `reason` why and what to do about it."""

    def __init__(self, path: Reference, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def streams(spec: Pictures, split: Split) -> tuple[int, ...]:
    """The length of each independent order: two for unpaired sides, one for everything else."""
    return tuple(len(side) for side in split.files) if isinstance(spec, UnpairedData) else (len(split),)


def files(spec: Pictures, split: Split, stream: int, index: int) -> list[Reference]:
    """The files that item `index` of a stream is made from."""
    if isinstance(spec, UnpairedData):
        return [split.files[stream][index]]
    return [side[index] for side in split.files]


def item(spec: Pictures, split: Split, stream: int, index: int, size: int | None) -> list[np.ndarray]:
    """The planes of item `index` of a stream, resized to `size` as `fit` says; of pairs a, conditions, b.

    Raises Unusable for a file that cannot be read.
    """
    planes, found = planes_of(spec, stream), files(spec, split, stream, index)
    swapped = isinstance(spec, PairedData) and spec.direction == "b2a"
    if split.side_by_side:
        pictures = _halves(found[0], planes, spec.bits, swapped)
    else:
        if len(found) > 1:  # on disk A, B, conditions
            a, b = (found[1], found[0]) if swapped else (found[0], found[1])
            found = [a, *found[2:], b]
        pictures = [_picture(file, plane.look, spec.bits) for file, plane in zip(found, planes, strict=True)]
    return [
        resize(picture, size, spec.fit, classes=not isinstance(plane.look, int))
        for picture, plane in zip(pictures, planes, strict=True)
    ]


def nothing(spec: Pictures, stream: int) -> list[np.ndarray]:
    """The planes of a batch without items, 0 crop crop c."""
    kinds = [(plane.look, np.uint16 if spec.bits == 16 else np.uint8) for plane in planes_of(spec, stream)]
    return [
        np.empty((0, spec.crop, spec.crop, carried(look)), kind if isinstance(look, int) else np.uint8)
        for look, kind in kinds
    ]


def fitting(pictures: list[np.ndarray], spec: Pictures, path: Reference) -> list[np.ndarray]:
    """The item made from `path`, once it is certain that one crop window fits into it and into all of its planes."""
    height, width = pictures[0].shape[:2]
    if height >= spec.crop <= width and all(picture.shape[:2] == (height, width) for picture in pictures[1:]):
        return pictures
    sizes = [f"{picture.shape[1]}×{picture.shape[0]}" for picture in pictures]
    if len(set(sizes)) > 1:
        names = ", ".join(f"{plane.name} {size}" for plane, size in zip(spec.planes, sizes, strict=True))
        whole = f"the two sides of this pair differ in size: {sizes[0]} and {sizes[1]}"
        raise Unusable(
            path,
            f"{whole if len(sizes) == 2 else f'the pictures of this item differ in size: {names}'}. "
            "They must line up; `load: 286, fit: stretch` brings all of them to 286×286.",
        )
    raise Unusable(
        path,
        f"it is {sizes[0]} (width × height), smaller than crop: {spec.crop}. "
        f"Set `load: {spec.crop}` to enlarge it, or a smaller crop.",
    )


def _halves(file: Reference, planes: tuple[Plane, ...], bits: int, swapped: bool) -> list[np.ndarray]:
    """a and b of a file that holds both side by side."""
    looks = [plane.look for plane in planes]
    if bits == 8 and all(look in (1, 3) for look in looks):
        both = [_picture(file, 3 if 3 in looks else 1, bits)] * 2  # decoded once
    else:
        both = [_picture(file, look, bits) for look in looks]
    height, width = both[0].shape[:2]
    if width != 2 * height:
        raise Unusable(
            file,
            f"expected a and b side by side, twice as wide as high, got {width}×{height}. "
            "Pictures in folders of their own belong into trainA/ and trainB/.",
        )
    left, right = slice(None, height), slice(height, None)
    halves = zip(both, looks, (right, left) if swapped else (left, right), strict=True)
    return [to_channels(picture[:, half], carried(look)) for picture, look, half in halves]


def _picture(file: Reference, look: Look, bits: int) -> np.ndarray:
    content = file if isinstance(file, Path) else file.read()  # a shard that cannot be read is no picture's fault
    try:
        return _light(content, file.suffix.lower(), look, bits) if isinstance(look, int) else _numbers(content, look)
    except UserError as problem:
        raise Unusable(file, str(problem).removeprefix(f"{file}: ").removeprefix("these bytes: ")) from None


def _light(content: Path | bytes, suffix: str, channels: int, bits: int) -> np.ndarray:
    if bits == 8 and channels in (1, 3):
        try:
            return read(content, channels)
        except UserError:
            if suffix not in (".tif", ".tiff"):  # floats, 16 bits of colour, or more channels than Pillow holds
                raise
    with opened(content, MAX_PIXELS) as reader:
        return next(iter(reader.frames(channels, bits))).pixels


def _numbers(content: Path | bytes, look: Labels | Palette) -> np.ndarray:
    """A segmentation map → its class numbers, uint8 h w 1."""
    colours = palette(look) if isinstance(look, Palette) else None
    try:
        return read_classes(content, look.classes, colours, MAX_PIXELS)[:, :, None]
    except UserError as problem:
        advice = next((say for sign, say in ADVICE.items() if sign in str(problem)), None)
        raise UserError(f"{str(problem).rstrip('.')}; {advice}.") if advice else problem from None

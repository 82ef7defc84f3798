"""Items of a split, decoded and resized: one picture, or both halves of a pair, uint8 h w c."""

from pathlib import Path

import numpy as np
from PIL import Image

from i2i.data.augment import resize
from i2i.data.layouts import Split
from i2i.data.spec import LabelledData, PairedData, Pictures, UnlabelledData, UnpairedData
from i2i.errors import UserError
from i2i.images import read


class Unusable(UserError):
    """A picture that cannot be trained on; `path` says which and `reason` why and what to do about it."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


def streams(spec: Pictures, split: Split) -> tuple[int, ...]:
    """The length of each independent order: two for unpaired sides, one for everything else."""
    return tuple(len(side) for side in split.files) if isinstance(spec, UnpairedData) else (len(split),)


def files(spec: Pictures, split: Split, stream: int, index: int) -> list[Path]:
    """The files that item `index` of a stream is made from."""
    if isinstance(spec, UnpairedData):
        return [split.files[stream][index]]
    return [side[index] for side in split.files]


def item(spec: Pictures, split: Split, stream: int, index: int, size: int | None) -> list[np.ndarray]:
    """Picture `index` of a stream, resized to `size` as `fit` says; for pairs [a, b] as a batch has them.

    Raises Unusable for a file that cannot be read.
    """
    return [resize(picture, size, spec.fit) for picture in _native(spec, split, stream, index)]


def fitting(pictures: list[np.ndarray], spec: Pictures, path: Path) -> list[np.ndarray]:
    """The item made from `path`, once it is certain that one crop window fits into it and, for pairs, both halves."""
    height, width = pictures[0].shape[:2]
    if height >= spec.crop <= width and pictures[-1].shape[:2] == (height, width):
        return pictures
    sizes = [f"{picture.shape[1]}×{picture.shape[0]}" for picture in pictures]
    if len(set(sizes)) > 1:
        raise Unusable(
            path,
            f"the two sides of this pair differ in size: {sizes[0]} and {sizes[1]}. "
            "Pairs must line up; `load: 286, fit: stretch` brings both to 286×286.",
        )
    raise Unusable(
        path,
        f"it is {sizes[0]} (width × height), smaller than crop: {spec.crop}. "
        f"Set `load: {spec.crop}` to enlarge it, or a smaller crop.",
    )


def _native(spec: Pictures, split: Split, stream: int, index: int) -> list[np.ndarray]:
    paths = files(spec, split, stream, index)
    if isinstance(spec, UnlabelledData | LabelledData):
        return [_read(paths[0], spec.channels)]
    assert isinstance(spec, PairedData | UnpairedData)
    depths = (spec.channels.a, spec.channels.b)
    if isinstance(spec, UnpairedData):
        return [_read(paths[0], depths[stream])]
    if spec.derive is not None:
        return [_read(paths[0], spec.channels.b)]
    pictures = _halves(_read(paths[0]), paths[0]) if split.side_by_side else [_read(path) for path in paths]
    if spec.direction == "b2a":
        pictures.reverse()
    return [_grey(picture) if depth == 1 else picture for picture, depth in zip(pictures, depths, strict=True)]


def _read(path: Path, channels: int = 3) -> np.ndarray:
    try:
        return read(path, channels)
    except UserError as problem:
        raise Unusable(path, str(problem).removeprefix(f"{path}: ")) from None


def _halves(both: np.ndarray, path: Path) -> list[np.ndarray]:
    height, width = both.shape[:2]
    if width != 2 * height:
        raise Unusable(
            path,
            f"expected a and b side by side, twice as wide as high, got {width}×{height}. "
            "Pictures in folders of their own belong into trainA/ and trainB/.",
        )
    return [both[:, :height], both[:, height:]]


def _grey(picture: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).convert("L"))[:, :, None]

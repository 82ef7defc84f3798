"""Items of a split, decoded: one picture, or both halves of a pair, uint8 h w c."""

import numpy as np
from PIL import Image

from i2i.data.augment import resize
from i2i.data.layouts import Split
from i2i.data.spec import LabelledData, PairedData, Pictures, UnlabelledData, UnpairedData
from i2i.errors import UserError
from i2i.images import read


def streams(spec: Pictures, split: Split) -> list[int]:
    """The length of each independent order: two for unpaired sides, one for everything else."""
    return [len(side) for side in split.files] if isinstance(spec, UnpairedData) else [len(split)]


def item(spec: Pictures, split: Split, stream: int, index: int) -> list[np.ndarray]:
    """Picture `index` of a stream at its native size; for pairs [a, b] as a batch has them, direction applied."""
    if isinstance(spec, UnlabelledData | LabelledData):
        return [read(split.files[0][index], spec.channels)]
    assert isinstance(spec, PairedData | UnpairedData)
    depths = (spec.channels.a, spec.channels.b)
    if isinstance(spec, UnpairedData):
        return [read(split.files[stream][index], depths[stream])]
    if spec.derive is not None:
        return [read(split.files[0][index], spec.channels.b)]
    paths = [side[index] for side in split.files]
    pictures = _halves(read(paths[0]), str(paths[0])) if split.side_by_side else [read(path) for path in paths]
    if spec.direction == "b2a":
        pictures.reverse()
    return [_grey(picture) if depth == 1 else picture for picture, depth in zip(pictures, depths, strict=True)]


def same_size(pair: list[np.ndarray], split: Split, index: int) -> list[np.ndarray]:
    """The pair, once it is certain that one crop window fits both halves."""
    sizes = {picture.shape[:2] for picture in pair}
    if len(sizes) > 1:
        (h0, w0), (h1, w1) = (picture.shape[:2] for picture in pair)
        raise UserError(
            f"{split.files[0][index]} and its partner differ in size: {w0}×{h0} and {w1}×{h1}. "
            "Pairs must line up; `load: 286, fit: stretch` brings both to 286×286."
        )
    return pair


class Memory:
    """Remembers items once they are decoded and resized, up to `room` bytes, so that small sets are decoded once.

    It never evicts: in a stream of permutations whatever stays is used once an epoch, and nothing is used sooner.
    """

    def __init__(self, spec: Pictures, split: Split, room: int) -> None:
        self.spec, self.split, self.room = spec, split, room
        self.kept: dict[tuple[int, int], list[np.ndarray]] = {}

    def resized(self, stream: int, index: int) -> list[np.ndarray]:
        """`item`, resized as `load` and `fit` say."""
        if (stream, index) in self.kept:
            return self.kept[stream, index]
        pictures = [resize(picture, self.spec.load, self.spec.fit) for picture in self._item(stream, index)]
        same_size(pictures, self.split, index)
        size = sum(picture.nbytes for picture in pictures)
        if size <= self.room:
            self.kept[stream, index] = pictures
            self.room -= size
        return pictures

    def _item(self, stream: int, index: int) -> list[np.ndarray]:
        return item(self.spec, self.split, stream, index)


def _halves(both: np.ndarray, name: str) -> list[np.ndarray]:
    height, width = both.shape[:2]
    if width != 2 * height:
        raise UserError(
            f"{name}: expected a and b side by side, twice as wide as high, got {width}×{height}. "
            "Pictures in folders of their own belong into trainA/ and trainB/."
        )
    return [both[:, :height], both[:, height:]]


def _grey(picture: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).convert("L"))[:, :, None]

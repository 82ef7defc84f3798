"""What the channels of an exported model are: pictures of light, or of the classes of segmentation maps.

A model's input is made of planes, one behind the other in its channels: its picture, then its conditions.
Legend: h height, w width, c channels, n classes.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from i2i.errors import UserError, suggest
from i2i.images import maps

NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
MOST_CLASSES = 256
BAND = 2**20  # pixels that are worked on at a time


@dataclass(frozen=True)
class Plane:
    """One picture: `a`, `b`, or a condition's name; 1 grey, 2 grey and alpha, 3 colour, 4 colour and alpha, or any
    number of channels; or with `classes`, as many."""

    name: str
    channels: int  # as the model sees it
    classes: bool = False
    palette: tuple[str, ...] = ()  # '#rrggbb' of each class, where files are drawn in colours

    @classmethod
    def read(cls, name: str, look: Any) -> Self:
        """From a recipe's words: a number, {labels: n}, or {palette: [...]}. Raises ValueError for others."""
        labels, palette = (look.get("labels"), look.get("palette")) if isinstance(look, dict) else (None, None)
        channels = len(palette) if isinstance(palette, list) else look if labels is None else labels
        plain = isinstance(channels, int) and not isinstance(channels, bool) and channels >= 1
        fits = isinstance(look, int) or (plain and 2 <= channels <= MOST_CLASSES)
        coloured = all(isinstance(colour, str) and COLOUR.fullmatch(colour) for colour in palette or ())
        if not isinstance(name, str) or not NAME.fullmatch(name) or not (plain and fits and coloured):
            raise ValueError(f"{str(name)[:40]!r} is described as {str(look)[:99]}")
        return cls(name, channels, isinstance(look, dict), tuple(palette or ()))

    @property
    def colours(self) -> np.ndarray:
        """What the classes are drawn in, (n, 3) uint8: its palette, or one that is the same everywhere."""
        return maps.rgb(*self.palette) if self.palette else maps.colours(self.channels)

    def values(self, picture: np.ndarray, dtype: type[np.generic]) -> np.ndarray:
        """What a user has → h w channels of `dtype`: h w is one channel, whole numbers h w or h w 1 are classes."""
        array = picture[:, :, None] if picture.ndim == 2 else picture
        if self.classes and array.ndim == 3 and array.shape[2] == 1 and array.dtype.kind in "bui":
            try:
                return one_hot(maps.class_numbers(array, None, self.channels), self.channels, dtype)
            except ValueError as problem:
                raise UserError(f"{self.name}: {problem}.") from None
        if array.ndim != 3 or array.shape[2] != self.channels or array.dtype != dtype or array.size == 0:
            also = ", or height × width class numbers" if self.classes else ""
            raise UserError(
                f"{self.name}: expected height × width × {self.channels} {np.dtype(dtype)}{also}, got shape "
                f"{picture.shape} {picture.dtype}."
            )
        return array


def one_hot(numbers: np.ndarray, classes: int, dtype: type[np.generic]) -> np.ndarray:
    """h w class numbers → h w n: the largest value in the channel of a pixel's class, the smallest elsewhere."""
    hot = maps.one_hot(numbers, classes)
    if dtype == np.uint8:
        return hot
    return hot.astype(np.uint16) * np.uint16(257) if dtype == np.uint16 else hot / np.float32(127.5) - np.float32(1)


def numbers(scores: np.ndarray) -> np.ndarray:
    """h w n scores → h w uint8: the class with the highest, the first of equals."""
    rows = max(1, BAND // max(1, scores.shape[1]))
    made = np.empty(scores.shape[:2], np.uint8)
    for top in range(0, len(scores), rows):
        made[top : top + rows] = scores[top : top + rows].argmax(axis=2)
    return made


def stacked(planes: Sequence[Plane], given: Mapping[str, np.ndarray], dtype: type[np.generic]) -> np.ndarray:
    """The planes of one input, as `Plane.values` takes them → h w c of `dtype`, as the model takes it. UserError for
    one that is missing, unknown, of another type, or of another size than the first."""
    names = [plane.name for plane in planes]
    check_names(names[1:], [name for name in given if name != names[0]])
    parts = [plane.values(given[plane.name], dtype) for plane in planes]
    height, width = parts[0].shape[:2]
    for name, part in zip(names, parts, strict=True):
        if part.shape[:2] != (height, width):
            raise UserError(
                f"the picture has {width}×{height} pixels, and its {name} {part.shape[1]}×{part.shape[0]}; they must "
                "be of one size, pixel upon pixel."
            )
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2)


def check_names(expected: Sequence[str], given: Sequence[str]) -> None:
    """UserError if the conditions that are given are not those that a model takes."""
    for name in given:
        if name not in expected:
            what = f"takes {' and '.join(expected)}" if expected else "takes no conditions"
            raise UserError(f"this model {what}, not {name!r}.{suggest(name, expected)}")
    missing = [name for name in expected if name not in given]
    if missing:
        raise UserError(
            f"this model translates a picture together with its {' and '.join(missing)}. Give them too: in Python "
            f"model(picture, {', '.join(f'{name}=...' for name in missing)}), on the command line "
            f"{' '.join(f'--condition {name}=FOLDER' for name in missing)}."
        )

"""Files → what an exported model takes, frame by frame: a picture, an animation or a video, with its conditions stacked
behind it. Legend: h height, w width, c channels."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from i2i import images
from i2i.errors import UserError
from i2i.images.formats import check_size
from i2i.images.media import Frame, Kind, Reader
from i2i.runtime.planes import Plane, check_names, one_hot, stacked

ADVICE = "make it smaller first, or allow more with max_pixels"


@dataclass(frozen=True)
class Map:
    """A `media.Reader` of a segmentation map: one frame, h w c one-hot."""

    kind: Kind
    numbers: np.ndarray  # h w

    def frames(self, channels: int, bits: int = 8) -> Iterator[Frame]:
        """The one frame; `channels` is the number of classes."""
        yield Frame(one_hot(self.numbers, channels, np.uint8 if bits == 8 else np.uint16))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held."""


def opened(plane: Plane, source: Path, max_pixels: int, bits: int = 8) -> Reader:
    """A file as one plane of a model's input. `bits`: what a translation of a segmentation map is to have, whose own
    depth says nothing. Raises UserError as `images.opened` and `images.read_classes` do."""
    if not plane.classes:
        return images.opened(source, max_pixels)
    if images.is_video(source):
        raise UserError(f"{source}: the classes of a segmentation map are read from pictures, not from videos.")
    numbers = images.read_classes(source, plane.channels, plane.colours if plane.palette else None, max_pixels)
    height, width = numbers.shape
    form = images.WRITABLE.get(source.suffix.lower(), "PNG")
    return Map(Kind(form, width, height, channels=1, bits=bits), numbers)


class Inputs:
    """The files of one input: `kind` is that of its picture. Close it, or use it in a with-block."""

    def __init__(
        self, planes: Sequence[Plane], source: Path, conditions: Mapping[str, Path], max_pixels: int, bits: int = 8
    ) -> None:
        """`planes`: a card's. `bits`: see `opened`. Raises UserError for files that do not go together."""
        check_names([plane.name for plane in planes[1:]], list(conditions))
        self.planes, self.max_pixels, self.source = planes, max_pixels, source
        self.files = [source, *(conditions[plane.name] for plane in planes[1:])]
        self.readers: list[Reader] = []
        self.kept = ExitStack()
        try:
            for plane, file in zip(planes, self.files, strict=True):
                self.readers.append(self.kept.enter_context(opened(plane, file, max_pixels, bits)))
            self.kind = self.readers[0].kind
            self._check_lengths()
        except BaseException:
            self.close()
            raise

    def _check_lengths(self) -> None:
        """As far as the files say how many frames they have."""
        length = self.kind.frames
        for file, reader in zip(self.files[1:], self.readers[1:], strict=True):
            own = reader.kind.frames
            if own != 1 and None not in (own, length) and own != length:
                raise UserError(_uneven(file, f"has {own} frames, and {self.source} {length}"))

    def frames(self, bits: int) -> Iterator[tuple[Frame, np.ndarray]]:
        """Each frame of the picture, and h w c as the model takes it, uint8 or uint16; a still condition is the same
        for all of them. UserError for frames of different sizes, and for a condition that ends before or after."""
        readers = list(zip(self.planes, self.readers, strict=True))
        walks = [reader.frames(plane.channels, bits) for plane, reader in readers]
        once = [reader.kind.frames == 1 for reader in self.readers]
        stills = [next(walk) if one else None for walk, one in zip(walks, once, strict=True)]
        count = 0
        for count, own in enumerate([stills[0]] if stills[0] else walks[0], 1):
            frames = [own]
            for file, walk, still in zip(self.files[1:], walks[1:], stills[1:], strict=True):
                frame = still or next(walk, None)
                if frame is None:
                    raise UserError(_uneven(file, f"ends after {count - 1} frames, and {self.source} goes on"))
                frames.append(frame)
            yield own, self._stacked(frames, np.uint8 if bits == 8 else np.uint16)
        for file, walk, still in zip(self.files[1:], walks[1:], stills[1:], strict=True):
            if still is None and next(walk, None) is not None:
                raise UserError(_uneven(file, f"has more than the {count} frames of {self.source}"))

    def _stacked(self, frames: Sequence[Frame], dtype: type[np.generic]) -> np.ndarray:
        height, width = frames[0].pixels.shape[:2]
        channels = sum(plane.channels for plane in self.planes)
        try:
            check_size(width, height, 1, self.max_pixels, ADVICE, channels * np.dtype(dtype).itemsize)
            given = {plane.name: frame.pixels for plane, frame in zip(self.planes, frames, strict=True)}
            return stacked(self.planes, given, dtype)
        except UserError as problem:
            raise UserError(f"{self.source}: {str(problem).rstrip('.')}.") from None

    def close(self) -> None:
        """All files."""
        self.kept.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _uneven(file: Path, what: str) -> str:
    return f"{file} {what}. A condition is a still picture, or as long as what it belongs to."

"""What all that can be translated has in common: a source of frames, and a sink that gives the same kind of file back.

A picture is a source of one frame; animations and videos have more. Frames stream through, one in memory at a time.
Legend: h height, w width, c channels.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

import numpy as np


@dataclass(frozen=True)
class Kind:
    """What a file is, so that its translation can be the same: everything but the pixels."""

    format: str  # PNG, JPEG, WEBP, TIFF, BMP, GIF, PPM, NPY; MP4, MATROSKA, ... for videos
    width: int  # upright
    height: int
    channels: int = 3  # of colour, without alpha: 1 grey, 3 red-green-blue, n for what is neither
    alpha: bool = False
    bits: int = 8  # 8, 16, or 32 for float
    frames: int | None = 1  # None: not known before the end
    loop: int | None = None  # how often an animation plays, 0 for ever
    fps: float | None = None  # of a video
    palette: bytes | None = None  # to write: red green blue of each class, where pixels h w 1 are class numbers
    info: dict[str, object] = field(default_factory=dict, hash=False)  # what only the writer of this format needs


@dataclass(frozen=True)
class Frame:
    """Pixels h w c, uint8 or uint16, upright sRGB, as a model takes them: transparency is laid on white and its alpha
    (h w, same type) goes round the model. Of 2 and 4 channels the last is alpha, and colours are laid on nothing."""

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    duration: float = 0.0  # milliseconds, of an animation


class Reader(Protocol):
    """An open file. Errors of bad files are UserError, from `opened` or from `frames`."""

    @property
    def kind(self) -> Kind:
        """What the file is."""
        ...

    def frames(self, channels: int, bits: int = 8) -> Iterator[Frame]:
        """All frames, with `channels` of `bits` 8 or 16. 1 and 3 are converted to each other; 2 and 4 are the same with
        alpha, which is opaque where the format could say otherwise; any other number has to be the file's own. Float
        values in [0, 1] become 0..65535."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Writer(Protocol):
    """A file in the making: it appears whole when the with-block ends well, and not at all when it raises."""

    def add(self, frame: Frame) -> None:
        """The next frame; uint8 or uint16 pixels are brought to the depth of the file."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

"""Pictures, animations and videos in and out. numpy and Pillow; others only for what needs them, and only then.

- `read`, `write`: one picture as uint8 pixels, for data sets; `read_classes`: a segmentation map's class numbers.
- `opened`, `writer`: whatever can be translated, frame by frame, and the same kind of file back (see `media`).
"""

from pathlib import Path
from typing import Literal

from i2i.images.classes import read_classes
from i2i.images.formats import (
    FORMATS,
    MAX_FRAMES,
    MAX_PIXELS,
    MAX_TRANSLATED,
    SUFFIXES,
    VIDEO_SUFFIXES,
    WRITABLE,
    is_media,
    is_picture,
    is_video,
    misfit,
    target_name,
)
from i2i.images.media import Frame, Kind, Reader, Writer
from i2i.images.whole import read, write

__all__ = [
    "FORMATS", "MAX_FRAMES", "MAX_PIXELS", "MAX_TRANSLATED", "SUFFIXES", "VIDEO_SUFFIXES", "WRITABLE", "Frame", "Kind",
    "Reader", "Writer", "is_media", "is_picture", "is_video", "misfit", "opened", "read", "read_classes", "target_name",
    "write", "writer",
]  # fmt: skip


def opened(source: str | Path | bytes, max_pixels: int = MAX_TRANSLATED) -> Reader:
    """A file to translate, described by `.kind`; its frames come from `.frames(channels, bits)`, one at a time.

    `max_pixels`: of a picture, all frames together; checked before anything is decoded. Bytes are a picture. Raises
    UserError for what is missing, broken, too large, or neither picture nor video.
    """
    if not isinstance(source, bytes) and Path(source).suffix.lower() in VIDEO_SUFFIXES:
        from i2i.images import video

        return video.opened(source)
    from i2i.images import reading

    return reading.opened(source, max_pixels)


def writer(
    path: str | Path,
    kind: Kind,
    *,
    quality: int = 95,
    metadata: Literal["drop", "keep"] = "drop",
    force: bool = False,
) -> Writer:
    """A file for frames of this kind, whole when its with-block ends well, else not there. The suffix says what it is.

    `quality`: 1..100 of what is lossy. `metadata`: keep what the source says beside its pixels, or drop it. `force`:
    replace an existing file. Raises UserError.
    """
    if Path(path).suffix.lower() in VIDEO_SUFFIXES:
        from i2i.images import video

        return video.writer(path, kind, quality=quality, metadata=metadata, force=force)
    from i2i.images import saving

    return saving.writer(path, kind, quality=quality, metadata=metadata, force=force)

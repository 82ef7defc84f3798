"""A translation that changes nothing."""

from pathlib import Path

import pytest

from i2i import images

from .corpus import Translate


@pytest.fixture
def same(tmp_path: Path) -> Translate:
    """same(bytes, name): the file that a translation without changes makes of it."""

    def translate(data: bytes, name: str, channels: int | None = None, bits: int | None = None, **how: object) -> Path:
        with images.opened(data) as reader, images.writer(tmp_path / name, reader.kind, **how) as writer:
            kind = reader.kind
            for frame in reader.frames(channels or kind.channels, bits or (16 if kind.bits > 8 else 8)):
                writer.add(frame)
        return tmp_path / name

    return translate

"""Files appear whole or not at all, replace nothing by accident, and hold nothing but the picture."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from i2i import images
from i2i.errors import UserError
from i2i.images import Frame, Kind

from .corpus import corpus
from .test_safety import walk

CORPUS = corpus()


def save(path: Path, kind: Kind, *frames: Frame, then: Callable[[], object] = bool, **how: object) -> None:
    """Writes frames; `then` happens before the file is complete."""
    with images.writer(path, kind, **how) as writer:
        for frame in frames:
            writer.add(frame)
        then()


@pytest.mark.parametrize("name", ["colour.jpg", "colour.png", "still.gif", "lossless.webp", "deep_alpha.png"])
def test_what_hides_behind_a_picture_does_not_go_along(name: str, tmp_path: Path) -> None:
    secret = b"PK\x03\x04<script>alert(1)</script>"
    kind, frames = images.opened(CORPUS[name] + secret).kind, walk(CORPUS[name] + secret)
    save(tmp_path / name, kind, *frames, metadata="keep")
    assert secret not in (tmp_path / name).read_bytes()


@pytest.mark.parametrize("name", ["x.png", "x.tif", "x.gif", "x.webp", "x.jpg"])
def test_nothing_is_left_when_a_translation_fails(name: str, tmp_path: Path) -> None:
    kind = Kind("GIF", 4, 4, frames=1 if name == "x.jpg" else 3)

    def fails() -> None:
        raise RuntimeError("the model fell over")

    with pytest.raises(RuntimeError, match="model"):
        save(tmp_path / "new" / name, kind, Frame(np.zeros((4, 4, 3), np.uint8)), then=fails)
    assert list((tmp_path / "new").iterdir()) == []
    with pytest.raises(UserError, match="no frame"):
        save(tmp_path / name, kind)
    assert not (tmp_path / name).exists()


def test_nothing_is_replaced_without_force_not_even_what_comes_late(tmp_path: Path) -> None:
    path, frame = tmp_path / "x.png", Frame(np.zeros((4, 4, 3), np.uint8))
    path.write_bytes(b"mine")
    seen: list[bytes] = []
    with pytest.raises(UserError, match="exists already"):
        save(path, Kind("PNG", 4, 4), frame)
    assert path.read_bytes() == b"mine"

    save(path, Kind("PNG", 4, 4), frame, force=True, then=lambda: seen.append(path.read_bytes()))
    assert seen == [b"mine"]
    assert len(walk(path)) == 1
    other = tmp_path / "y.png"
    with pytest.raises(UserError, match="exists already"):
        save(other, Kind("PNG", 4, 4), frame, then=lambda: other.write_bytes(b"theirs"))
    assert other.read_bytes() == b"theirs"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.png", "y.png"]


def test_wrong_frames_are_the_caller_s_fault(tmp_path: Path) -> None:
    good = np.zeros((4, 4, 3), np.uint8)
    for frames in ([good / 2], [good[0]], [good, good], [good[:0]]):
        with pytest.raises(ValueError, match="expected"):
            save(tmp_path / "x.png", Kind("PNG", 4, 4), *map(Frame, frames))
    for options in ({"quality": 0}, {"metadata": "some"}):
        with pytest.raises(UserError, match="expected"):
            images.writer(tmp_path / "x.png", Kind("PNG", 4, 4), **options)
    with pytest.raises(UserError, match=r"cannot write '\.xyz'"):
        images.writer(tmp_path / "x.xyz", Kind("PNG", 4, 4))
    assert list(tmp_path.iterdir()) == []


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    name = "ü" * 125 + ".png"  # 254 bytes
    save(tmp_path / name, Kind("PNG", 4, 4), Frame(np.zeros((4, 4, 3), np.uint8)))
    assert [path.name for path in tmp_path.iterdir()] == [name]

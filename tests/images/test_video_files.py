"""Files that are no whole videos, and translations that fail: what was wrong is said, and nothing is left."""

import sys
from pathlib import Path

import numpy as np
import pytest

from i2i.errors import UserError
from i2i.images import video, video_frames
from i2i.images.media import Frame, Kind

from .clips import av, clip, packets, passed_on, play, scene, seen

RNG = np.random.default_rng(0)


def noise(frames: int) -> list[np.ndarray]:
    """Pictures that make large files, so that there is something to cut away."""
    return [RNG.integers(0, 256, (48, 64, 3)).astype(np.uint8) for _ in range(frames)]


def write(path: Path, *pictures: np.ndarray, quality: int = 95) -> None:
    with video.writer(path, Kind("MP4", 64, 48), quality=quality) as writer:
        for picture in pictures:
            writer.add(Frame(picture))


def broken(path: Path, how: str) -> Path:
    data = clip(path, noise(50)).read_bytes()
    path.unlink()
    if how == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif how == "damaged":
        at = data.index(b"mdat") + 3000
        path.write_bytes(data[:at] + RNG.bytes(2000) + data[at + 2000 :])
    elif how == "noise":
        path.write_bytes(RNG.bytes(5000))
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "text":
        path.write_text("not a video\n")
    elif how == "playlist":
        clip(path.with_name("other.mp4"), noise(3))
        path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nother.mp4\n#EXT-X-ENDLIST\n")
    elif how == "concat":
        clip(path.with_name("other.mp4"), noise(3))
        path.write_text("ffconcat version 1.0\nfile other.mp4\n")
    elif how == "sound":
        with av.open(str(path), "w") as out:
            play(av, out, out.add_stream("aac", rate=48000, layout="stereo"), np.zeros(9000, np.float32))
    elif how == "header":
        with av.open(str(path), "w", format="matroska") as out:
            stream = out.add_stream("ffv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr0"
            out.start_encoding()
    elif how == "folder":
        path.mkdir()
    return path


@pytest.mark.parametrize(
    "how",
    [
        "cut",
        "damaged",
        "noise",
        "empty",
        "text",
        "playlist",
        "concat",
        "sound",
        "header",
        "folder",
        "missing",
    ],
)
def test_what_is_no_whole_video_is_told_and_nothing_is_left(how: str, tmp_path: Path) -> None:
    path = broken(tmp_path / "a.mp4", how)
    with pytest.raises(UserError, match=r"a\.mp4: ") as told:
        passed_on(path, tmp_path / "out.mp4")
    expected = {"sound": "only audio", "header": "End of file", "folder": "a folder", "missing": "no such file"}
    assert expected.get(how, "damaged") in str(told.value)
    assert {file.name for file in tmp_path.iterdir()} <= {"a.mp4", "other.mp4"}


def test_decoders_may_not_paint_over_damage(tmp_path: Path) -> None:
    """FFmpeg conceals the blocks that it cannot decode, and only marks the frame. (Some flips change a colour and no
    more; those nobody can notice, as video streams have no checksums.)"""
    random = np.random.default_rng(1)
    rough = [np.clip(scene(n, 96, 128) + random.integers(-20, 20, (96, 128, 3)), 0, 255) for n in range(20)]
    source = clip(tmp_path / "a.mp4", [frame.astype(np.uint8) for frame in rough])
    whole, noticed = source.read_bytes(), 0
    places = range(len(whole) // 5, len(whole) * 9 // 10, len(whole) // 20)
    for place in places:
        source.write_bytes(whole[:place] + bytes([whole[place] ^ 16]) + whole[place + 1 :])
        try:
            seen(source)
        except UserError as told:
            assert "damaged" in str(told)  # noqa: PT017
            noticed += 1
    assert noticed >= len(places) / 3


@pytest.mark.parametrize("suffix", [".mkv", ".webm", ".avi", ".mp4"])
def test_a_video_cut_short_is_noticed(suffix: str, tmp_path: Path) -> None:
    codec, options = ("libvpx-vp9", {"cpu-used": "8", "deadline": "realtime"}) if suffix == ".webm" else ("mpeg4", {})
    data = clip(tmp_path / "whole.mkv", noise(80), codec, options=options)
    source = clip(tmp_path / f"a{suffix}", noise(80), codec, options=options)
    data.unlink()
    whole = source.read_bytes()
    for share in (0.2, 0.5, 0.75):
        source.write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(UserError, match=rf"a\{suffix}: .*cut short"):
            passed_on(source, tmp_path / f"b{suffix}")
    assert [file.name for file in tmp_path.iterdir()] == [source.name]


def test_names_are_only_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FFmpeg takes `concat:a|b` and `http:...` for protocols, unless told not to."""
    monkeypatch.chdir(tmp_path)
    name = Path("concat:a.mkv")
    clip(tmp_path / "a.mkv", [scene(0)] * 2, "ffv1", "bgr0").rename(name)
    with video.opened(name) as reader, video.writer(Path("http:b.mkv"), reader.kind, quality=100) as writer:
        for frame in reader.frames(3):
            writer.add(frame)
    assert len(seen(Path("http:b.mkv"))) == 2


def test_huge_frames_are_refused_before_they_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = clip(tmp_path / "a.mkv", [scene(0)] * 2, "ffv1", "bgr0")
    for module in (video, video_frames):
        monkeypatch.setattr(module, "MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(UserError, match=r"a\.mkv: .* more than (the )?3,071 pixels"):
        video.opened(source)


def test_a_failing_model_leaves_nothing_and_the_old_file_whole(tmp_path: Path) -> None:
    source = clip(tmp_path / "a.mp4", [scene(n) for n in range(5)], sounds=["aac"])
    target = tmp_path / "out" / "b.mp4"
    target.parent.mkdir()
    target.write_bytes(b"precious")
    with pytest.raises(UserError, match="exists already"):
        passed_on(source, target)

    three = [True] * 3

    def translate() -> None:
        with video.opened(source) as reader, video.writer(target, reader.kind, force=True) as writer:
            for frame in reader.frames(3):
                three.pop()  # at the fourth frame, the model fails
                writer.add(frame)

    with pytest.raises(IndexError):
        translate()
    assert [(file.name, file.read_bytes()) for file in target.parent.iterdir()] == [("b.mp4", b"precious")]
    passed_on(source, target, force=True)
    assert len(seen(target)) == 5


def test_a_frame_that_comes_after_the_end_makes_no_new_file(tmp_path: Path) -> None:
    """Frames are encoded by another thread, which may have one left when the model has failed."""
    writer = video.writer(tmp_path / "a.mp4", Kind("MP4", 64, 48))

    def translate() -> None:
        with writer:
            writer.add(Frame(scene(0)))
            raise RuntimeError("of the model")

    with pytest.raises(RuntimeError):
        translate()
    with pytest.raises(ValueError, match="is closed"):
        writer.add(Frame(scene(1)))
    assert list(tmp_path.iterdir()) == []


def test_a_video_may_replace_itself(tmp_path: Path) -> None:
    source = clip(tmp_path / "a.mp4", [scene(n) for n in range(5)], sounds=["aac"])
    sound = packets(source, "audio")
    passed_on(source, source, force=True)
    assert len(seen(source)) == 5
    assert packets(source, "audio") == sound


def test_wrong_requests_say_what_to_type(tmp_path: Path) -> None:
    kind = Kind("MP4", 64, 48)
    with pytest.raises(UserError, match=r"cannot write '\.ogv'"):
        video.writer(tmp_path / "a.ogv", kind)
    with pytest.raises(UserError, match="quality goes from 1 to 100"):
        video.writer(tmp_path / "a.mp4", kind, quality=0)
    with pytest.raises(UserError, match="no frame"), video.writer(tmp_path / "a.mp4", kind):
        pass
    source = clip(tmp_path / "a.mp4", [scene(0)] * 2)
    with pytest.raises(UserError, match="the model takes 5"):
        seen(source, channels=5)
    with pytest.raises(ValueError, match="as the first"):
        write(tmp_path / "b.mp4", scene(0), scene(0, 32, 32))
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]


def test_without_pyav_the_package_to_install_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = clip(tmp_path / "a.mp4", [scene(0)])
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"pip install 'i2i\[video\]'"):
        video.opened(source)
    with pytest.raises(UserError, match=r"pip install 'i2i\[video\]'"):
        video.writer(tmp_path / "b.mp4", Kind("GIF", 64, 48))


def test_without_h264_there_is_mpeg4(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some builds of FFmpeg leave x264 out, for its licence."""
    monkeypatch.setattr(av, "codecs_available", av.codecs_available - {"libx264"})
    write(tmp_path / "a.mp4", *(scene(number, 47, 63) for number in range(3)))
    with av.open(str(tmp_path / "a.mp4")) as out:
        assert out.streams.video[0].codec_context.name == "mpeg4"
    assert seen(tmp_path / "a.mp4")[2].pixels.shape == (47, 63, 3)
    with pytest.raises(UserError, match=r"suffix \.mkv"):
        write(tmp_path / "b.mp4", scene(0), quality=100)


def mutated(data: bytes, other: bytes, random: np.random.Generator) -> bytes:
    """Flipped bits, a cut, a field overwritten, or a piece of another file."""
    changed, kind = bytearray(data), random.integers(4)
    if kind == 0:
        for place in random.integers(len(data), size=random.integers(1, 20)):
            changed[place] ^= 1 << random.integers(8)
    elif kind == 1:
        del changed[random.integers(len(data)) :]
    elif kind == 2:
        place = random.integers(len(data) - 4)
        changed[place : place + 4] = (b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff")[random.integers(3)]
    else:
        start, stop = sorted(random.integers(len(data), size=2))
        piece = random.integers(len(other))
        changed[start:stop] = other[piece : piece + stop - start]
    return bytes(changed)


@pytest.mark.parametrize("count", [200, pytest.param(10_000, marks=pytest.mark.slow)])
def test_mutated_videos_are_translated_or_refused(count: int, tmp_path: Path) -> None:
    random = np.random.default_rng(count)
    pictures = [scene(n) for n in range(6)]
    seeds = [
        clip(tmp_path / "a.mp4", pictures, sounds=["aac"]),
        clip(tmp_path / "b.mkv", pictures, "mpeg4", sounds=["flac"]),
        clip(tmp_path / "c.webm", pictures, "libvpx-vp9", sounds=["libopus"]),
        clip(tmp_path / "d.avi", pictures, "mjpeg", "yuvj420p", sounds=["mp2"]),
        clip(tmp_path / "e.mov", pictures, "png", "rgb24"),
        clip(tmp_path / "f.mkv", pictures, "ffv1", "bgr0"),
    ]
    contents, translated = [path.read_bytes() for path in seeds], 0
    for number in range(count):
        path = seeds[number % len(seeds)]
        path.write_bytes(mutated(contents[number % len(seeds)], contents[random.integers(len(seeds))], random))
        try:
            passed_on(path, tmp_path / f"out{path.suffix}", force=True)
            translated += 1
        except UserError as told:
            assert str(path) in str(told) or "out" in str(told)  # noqa: PT017
    assert 0.2 < translated / count < 0.8
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".tmp"]

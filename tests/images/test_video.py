"""Videos: what a file shows is what comes in, and what goes out is the same kind of file."""

import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from i2i.errors import UserError
from i2i.images import video, video_frames
from i2i.images.media import Frame, Kind

from .clips import av, clip, error_of, packets, passed_on, scene, seen, stamps_of

RNG = np.random.default_rng(0)
MATRIX = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}  # K_r, K_b of H.273


# --- colours ---------------------------------------------------------------------------------------------------------


def yuv(matrix: int, full: bool, depth: int = 8) -> tuple[Any, np.ndarray]:
    """(a frame of random YUV 4:4:4, the RGB in [0, 255] that H.273 says it is)."""
    top, (kr, kb), unit = 2**depth - 1, MATRIX[matrix], 2 ** (depth - 8)
    luma = RNG.integers(0 if full else 16 * unit, (top if full else 235 * unit) + 1, (32, 32))
    blue, red = (RNG.integers(16 * unit, 240 * unit, (32, 32)) for _ in range(2))
    y = luma / top if full else (luma - 16 * unit) / (219 * unit)
    u, v = ((part - 128 * unit) / (top if full else 224 * unit) for part in (blue, red))
    r, b = y + 2 * (1 - kr) * v, y + 2 * (1 - kb) * u
    return planes(luma, blue, red, depth), np.clip(
        255 * np.stack([r, (y - kr * r - kb * b) / (1 - kr - kb), b], -1), 0, 255
    )


def planes(luma: np.ndarray, blue: np.ndarray, red: np.ndarray, depth: int) -> Any:
    height, width = luma.shape
    frame = av.VideoFrame(width, height, "yuv444p" if depth == 8 else f"yuv444p{depth}le")
    for plane, values in zip(frame.planes, (luma, blue, red), strict=True):
        rows = np.zeros((height, plane.line_size // (1 if depth == 8 else 2)), np.uint8 if depth == 8 else "<u2")
        rows[:, :width] = values
        plane.update(rows.tobytes())
    return frame


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("matrix", [1, 5, 6, 9])
def test_colours_are_what_the_standard_says(matrix: int, full: bool, tmp_path: Path) -> None:
    frame, expected = yuv(matrix, full)
    tags = {"colorspace": matrix, "color_range": 2 if full else 1}
    path = clip(tmp_path / "a.mkv", [frame], "libx264", "yuv444p", options={"qp": "0"}, tags=tags)
    assert np.abs(seen(path)[0].pixels - expected).max() <= 1.5  # 1 of FFmpeg's, and half of rounding


@pytest.mark.parametrize("full", [False, True])
def test_ten_bits_are_rounded_for_some_and_kept_for_others(full: bool, tmp_path: Path) -> None:
    frame, expected = yuv(1, full, depth=10)
    tags = {"colorspace": 1, "color_range": 2 if full else 1}
    path = clip(tmp_path / "a.mkv", [frame], "libx264", "yuv444p10le", options={"qp": "0"}, tags=tags)
    assert np.abs(seen(path)[0].pixels - expected).max() <= 1.5
    deep = seen(path, bits=16)[0].pixels
    assert deep.dtype == np.uint16
    assert np.abs(deep / 257 - expected).max() <= 0.3  # the steps of 10 bits are 0.25 apart
    assert np.array_equal(
        seen(clip(tmp_path / "b.mkv", [scene(0)], "ffv1", "bgr0"), bits=16)[0].pixels, scene(0) * np.uint16(257)
    )


@pytest.mark.parametrize(("height", "matrix"), [(64, 6), (720, 1)])
def test_untagged_colours_are_guessed_from_the_size_as_players_do(height: int, matrix: int, tmp_path: Path) -> None:
    green = np.full((height, 64, 3), (30, 200, 40), np.uint8)
    frame = av.VideoFrame.from_ndarray(green, "rgb24").reformat(
        format="yuv444p", dst_colorspace=5 if matrix == 6 else 1
    )
    frame.colorspace = 2
    path = clip(tmp_path / "a.mkv", [frame], layout="yuv444p", options={"qp": "0"})
    assert np.abs(seen(path)[0].pixels - green.astype(int)).max() <= 2


def test_hdr_is_brought_to_srgb(tmp_path: Path) -> None:
    """PQ: SDR's white, 203 nits, is 58 % of the signal (BT.2408); it has to become white, not a dull grey."""
    ramp = np.tile(np.rint(64 + 876 * np.linspace(0, 0.58, 32)).astype(int), (32, 1))
    made = planes(ramp, np.full((32, 32), 512), np.full((32, 32), 512), 10)
    tags = {"colorspace": 9, "color_range": 1, "color_primaries": 9, "color_trc": 16}
    path = clip(tmp_path / "a.mkv", [made], "libx264", "yuv444p10le", options={"qp": "0"}, tags=tags)
    with video.opened(path) as reader:
        (frame,) = reader.frames(3)
    shown = frame.pixels[16].astype(int)
    assert shown[-1].min() >= 250
    assert shown[0].max() <= 3
    assert (np.diff(shown, axis=0) >= 0).all()
    assert shown[16].max() < 64  # 30 % of PQ is 10 nits, dark; not undone, it would be 76
    with video.writer(tmp_path / "b.mkv", reader.kind) as writer:
        writer.add(frame)
    with av.open(str(tmp_path / "b.mkv")) as out:
        context = out.streams.video[0].codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc, context.color_range) == (1, 1, 1, 1)


def test_grey_is_the_grey_of_pictures(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mkv", [scene(0)], "ffv1", "bgr0")
    assert np.array_equal(seen(path, channels=1)[0].pixels[..., 0], np.asarray(Image.fromarray(scene(0)).convert("L")))
    grey = clip(tmp_path / "b.mkv", [av.VideoFrame.from_ndarray(scene(0)[..., 0].copy(), "gray")], "ffv1", "gray")
    with video.opened(grey) as reader:
        assert reader.kind.channels == 1
        assert np.array_equal(next(reader.frames(1)).pixels, scene(0)[..., :1])


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    half = np.zeros((16, 16, 4), np.uint8)
    half[:, 8:] = [200, 0, 0, 128]
    frame = av.VideoFrame.from_ndarray(half, "rgba").reformat(format="bgra")
    got = seen(clip(tmp_path / "a.mkv", [frame], "ffv1", "bgra"))[0].pixels
    assert (got[0, 0] == 255).all()
    assert got[0, 15].tolist() == [227, 127, 127]  # 200 · 128/255 + 255 · 127/255


# --- identity --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".avi"])
def test_quality_100_gives_every_pixel_back(suffix: str, tmp_path: Path) -> None:
    noise = [RNG.integers(0, 256, (33, 47, 3)).astype(np.uint8) for _ in range(3)]
    target = tmp_path / f"a{suffix}"
    with video.writer(target, Kind("MP4", 47, 33, fps=10), quality=100) as writer:
        for picture in noise:
            writer.add(Frame(picture))
    assert all(np.array_equal(a.pixels, b) for a, b in zip(seen(target), noise, strict=True))


@pytest.mark.parametrize("matrix", [1, 6])
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v"])
def test_the_identity_of_a_video_is_the_video(suffix: str, matrix: int, tmp_path: Path) -> None:
    """Quality 95 costs a little: within 3 grey levels on average on such busy waves, and no shift of colour."""
    codec = "libvpx-vp9" if suffix == ".webm" else "libx264"
    tags = {"colorspace": matrix, "color_primaries": matrix, "color_trc": matrix, "color_range": 1}
    options = {"crf": "10"} | ({"bf": "0"} if suffix == ".avi" else {})
    source = clip(tmp_path / f"a{suffix}", [scene(n) for n in range(12)], codec, tags=tags, options=options)
    target = passed_on(source, tmp_path / f"b{suffix}")
    before, after = seen(source), seen(target)
    assert len(before) == len(after) == 12
    assert max(error_of(a.pixels, b.pixels) for a, b in zip(before, after, strict=True)) < 3
    shift = np.mean([a.pixels.astype(float) - b.pixels for a, b in zip(before, after, strict=True)], axis=(0, 1, 2))
    assert np.abs(shift).max() < 0.5
    assert stamps_of(target) == stamps_of(source)
    with av.open(str(source)) as a, av.open(str(target)) as b:
        names = ("colorspace", "color_range", "color_primaries", "color_trc")
        old, new = a.streams.video[0].codec_context, b.streams.video[0].codec_context
        assert [getattr(new, name) for name in names] == [getattr(old, name) for name in names]
        assert (new.colorspace, new.color_range) == (matrix, 1)
        assert b.streams.video[0].average_rate == a.streams.video[0].average_rate


@pytest.mark.parametrize(
    ("codec", "options"),
    [("libx264", {"qp": "0"}), ("libvpx-vp9", {"lossless": "1"}), ("mpeg4", {"qmin": "1", "qmax": "1"})],
)
def test_colours_of_420_stay_where_they_are(codec: str, options: dict[str, str], tmp_path: Path) -> None:
    """Taken between the columns but read on them, colours would move by half a pixel: an error above 2 here."""
    pack = video_frames.Packer(av, 64, 48, "yuv420p", 6, codec)
    tags = {"colorspace": 6, "color_range": 1}
    first = seen(clip(tmp_path / "a.mkv", [pack(scene(0))], codec, tags=tags, options=options))[0].pixels
    assert error_of(first, scene(0)) < (1.2 if codec == "mpeg4" else 0.9)  # 4:2:0 itself
    again = seen(clip(tmp_path / "b.mkv", [pack(first)], codec, tags=tags, options=options))[0].pixels
    assert error_of(again, first) < (1.2 if codec == "mpeg4" else 0.1)  # a second time costs next to nothing


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".avi"])
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (17, 31), (31, 16), (64, 3)])
def test_any_size_comes_back(size: tuple[int, int], suffix: str, tmp_path: Path) -> None:
    colour = np.full((*size, 3), (200, 90, 30), np.uint8)
    target = tmp_path / f"a{suffix}"
    with video.writer(target, Kind("MP4", size[1], size[0], fps=25)) as writer:
        for _ in range(3):
            writer.add(Frame(colour))
    for frame in seen(target):
        assert frame.pixels.shape == (*size, 3)
        assert np.abs(frame.pixels.astype(int) - colour).max() <= 6


@pytest.mark.parametrize(
    ("name", "codec", "layout", "tags"),
    [
        ("full.mp4", "libx264", "yuv420p", {"color_range": 2, "colorspace": 6}),
        ("rgb.mkv", "ffv1", "bgr0", {}),
        ("png.mov", "png", "rgb24", {}),
        ("mjpeg.avi", "mjpeg", "yuvj420p", {}),
        ("fine.mkv", "libx264", "yuv422p10le", {"color_range": 1, "colorspace": 1}),
    ],
)
def test_other_kinds_of_pixels_keep_their_colours(
    name: str, codec: str, layout: str, tags: Any, tmp_path: Path
) -> None:
    source = clip(tmp_path / name, [scene(number) for number in range(3)], codec, layout, tags=tags)
    after = seen(passed_on(source, tmp_path / f"out_{name}"))
    assert max(error_of(a.pixels, b.pixels) for a, b in zip(seen(source), after, strict=True)) < 3


def test_deep_and_grey_translations_are_brought_to_the_file(tmp_path: Path) -> None:
    target = tmp_path / "a.mkv"
    with video.writer(target, Kind("MP4", 64, 48, fps=25), quality=100) as writer:
        writer.add(Frame(scene(0)[..., :1].astype(np.uint16) * 257 + 100))
    assert np.array_equal(seen(target)[0].pixels, np.repeat(scene(0)[..., :1], 3, axis=2))


def test_lower_quality_is_smaller(tmp_path: Path) -> None:
    source = clip(tmp_path / "a.mp4", [scene(n) for n in range(10)], options={"crf": "1"})
    sizes = [passed_on(source, tmp_path / f"{q}.mp4", quality=q).stat().st_size for q in (30, 75, 95, 99, 100)]
    assert sizes == sorted(sizes)
    assert sizes[0] < 0.6 * sizes[2]


# --- time ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov", ".webm"])
def test_a_variable_rate_keeps_its_time_stamps(suffix: str, tmp_path: Path) -> None:
    stamps = [200, 240, 290, 291, 700, 705, 1500]
    codec = "libvpx-vp9" if suffix == ".webm" else "libx264"
    source = clip(tmp_path / f"a{suffix}", [scene(n) for n in range(7)], codec, stamps=stamps)
    assert stamps_of(source) == [stamp / 1000 for stamp in stamps]
    assert [frame.duration for frame in seen(source)][:-1] == pytest.approx(np.diff(stamps).tolist())
    assert stamps_of(passed_on(source, tmp_path / f"b{suffix}")) == [stamp / 1000 for stamp in stamps]


def test_an_uneven_rate_does_not_drift(tmp_path: Path) -> None:
    """30000/1001 frames a second: milliseconds in floats, added up, must still land on the tick."""
    source = clip(tmp_path / "a.mp4", [scene(0, 16, 16)] * 300, rate=Fraction(30000, 1001))
    target = passed_on(source, tmp_path / "b.mp4")
    assert stamps_of(target) == stamps_of(source)
    with av.open(str(target)) as out:
        assert out.streams.video[0].average_rate == Fraction(30000, 1001)


def test_the_last_frames_come_wherever_the_track_is(tmp_path: Path) -> None:
    """A decoder holds frames back until it is told that the track has ended. Here the pictures are the second track."""
    plain = clip(tmp_path / "plain.mp4", [scene(n) for n in range(12)], sounds=["aac"])
    with av.open(str(plain)) as source, av.open(str(tmp_path / "a.mp4"), "w") as out:
        tracks = [source.streams.audio[0], source.streams.video[0]]
        copies = {track.index: out.add_stream_from_template(track, opaque=True) for track in tracks}
        for packet in source.demux():
            if packet.size:
                packet.stream = copies[packet.stream.index]
                out.mux(packet)
    before, after = seen(plain), seen(tmp_path / "a.mp4")
    assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(before, after, strict=True))
    target = passed_on(tmp_path / "a.mp4", tmp_path / "b.mp4")
    assert stamps_of(target) == stamps_of(plain)
    assert len(packets(target, "audio")[0]) == len(packets(plain, "audio")[0])


def test_an_animation_becomes_a_video_with_its_durations(tmp_path: Path) -> None:
    target = tmp_path / "a.mp4"
    with video.writer(target, Kind("GIF", 64, 48, frames=3, loop=0)) as writer:
        for number, duration in enumerate((100, 250, 50)):
            writer.add(Frame(scene(number), duration=duration))
    assert stamps_of(target) == [0, 0.1, 0.35]


def test_frames_closer_than_the_clock_keep_their_order_and_number(tmp_path: Path) -> None:
    """Matroska's clock is milliseconds; the durations are hundredths of that."""
    with video.writer(tmp_path / "a.mkv", Kind("GIF", 64, 48), quality=100) as writer:
        for number in range(5):
            writer.add(Frame(scene(number), duration=0.01))
    assert stamps_of(tmp_path / "a.mkv") == [0, 0.001, 0.002, 0.003, 0.004]
    assert all(np.array_equal(frame.pixels, scene(n)) for n, frame in enumerate(seen(tmp_path / "a.mkv")))


def test_a_reader_can_be_read_again_and_never_runs_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = clip(tmp_path / "a.mkv", [scene(n) for n in range(20)], "ffv1", "bgr0")
    made = []
    original = video.to_pixels
    monkeypatch.setattr(video, "to_pixels", lambda *a: made.append(1) or original(*a))
    with video.opened(source) as reader:
        assert [len(made) for _ in reader.frames(3)] == [*range(1, 21)]
        assert all(np.array_equal(frame.pixels, scene(n)) for n, frame in enumerate(reader.frames(3)))


# --- turn ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_what_was_filmed_sideways_is_upright(rotation: int, tmp_path: Path) -> None:
    source = clip(tmp_path / "a.mp4", [scene(0)] * 3, options={"crf": "5"}, rotation=rotation)
    upright = np.rot90(scene(0), rotation // 90)  # both angles are anticlockwise
    with video.opened(source) as reader:
        assert (reader.kind.height, reader.kind.width) == upright.shape[:2]
        assert error_of(next(reader.frames(3)).pixels, upright) < 3
    with av.open(str(passed_on(source, tmp_path / "b.mp4"))) as out:
        frame = next(out.decode(video=0))
        assert frame.rotation == 0
        assert error_of(frame.to_ndarray(format="rgb24"), upright) < 6


def test_a_mirrored_video_is_put_right(tmp_path: Path) -> None:
    plain = clip(tmp_path / "a.mp4", [scene(0)] * 2, options={"crf": "5"}, rotation=180).read_bytes()
    turned = struct.pack(">6i", -65536, 0, 0, 0, -65536, 0)
    assert plain.count(turned) == 1
    (tmp_path / "b.mp4").write_bytes(plain.replace(turned, struct.pack(">6i", -65536, 0, 0, 0, 65536, 0)))
    assert error_of(seen(tmp_path / "b.mp4")[0].pixels, scene(0)[:, ::-1]) < 3


def test_oblong_pixels_stay_oblong(tmp_path: Path) -> None:
    source = clip(tmp_path / "a.mp4", [scene(0)] * 2, tags={"sample_aspect_ratio": Fraction(4, 3)})
    with av.open(str(passed_on(source, tmp_path / "b.mp4"))) as out:
        assert out.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


# --- sound, subtitles, metadata --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "sounds"),
    [
        (".mp4", ["aac", "aac"]),
        (".mkv", ["libopus", "flac"]),
        (".webm", ["libopus"]),
        (".mov", ["aac"]),
        (".avi", ["mp2"]),
    ],
)
def test_every_sound_is_copied_bit_for_bit(suffix: str, sounds: list[str], tmp_path: Path) -> None:
    codec = {".webm": "libvpx-vp9", ".avi": "mpeg4"}.get(suffix, "libx264")
    source = clip(tmp_path / f"a{suffix}", [scene(n) for n in range(30)], codec, sounds=sounds)
    target = passed_on(source, tmp_path / f"b{suffix}")
    before, after = packets(source, "audio"), packets(target, "audio")
    assert len(after) == len(sounds)
    for old, new in zip(before, after, strict=True):
        assert [data for _, data in new] == [data for _, data in old]
        assert [time for time, _ in new] == pytest.approx([time for time, _ in old], abs=0.0011)
    if len(sounds) == 2:
        with av.open(str(target)) as out:
            assert [track.language for track in out.streams.audio] == ["eng", "deu"]


def test_sound_that_does_not_fit_is_told_before_the_work(tmp_path: Path) -> None:
    source = clip(tmp_path / "a.mp4", [scene(n) for n in range(3)], sounds=["aac"])
    with pytest.raises(UserError, match=r"sound of .*a\.mp4 \(aac\).*\.mkv"):
        passed_on(source, tmp_path / "b.webm")
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]


def with_subtitles(path: Path) -> Path:
    """Matroska with one line of text beside the pictures."""
    plain = clip(path.with_name("plain.mkv"), [scene(n) for n in range(30)])
    text = path.with_name("a.srt")
    text.write_text("1\n00:00:00,200 --> 00:00:00,900\nA zebra, it says.\n\n")
    with av.open(str(plain)) as pictures, av.open(str(text)) as lines, av.open(str(path), "w") as out:
        tracks = [(pictures, pictures.streams.video[0]), (lines, lines.streams.subtitles[0])]
        copies = [out.add_stream_from_template(track, opaque=True) for _, track in tracks]
        for (container, track), copy in zip(tracks, copies, strict=True):
            for packet in container.demux(track):
                if packet.size:
                    packet.stream = copy
                    out.mux(packet)
    plain.unlink()
    text.unlink()
    return path


def test_subtitles_are_copied_where_they_fit(tmp_path: Path) -> None:
    source = with_subtitles(tmp_path / "a.mkv")
    assert packets(passed_on(source, tmp_path / "b.mkv"), "subtitle") == [[(0.2, b"A zebra, it says.")]]
    with pytest.warns(UserWarning, match=r"subtitles of .*a\.mkv have no place"):
        passed_on(source, tmp_path / "b.mp4")
    assert len(seen(tmp_path / "b.mp4")) == 30


def test_metadata_goes_unless_kept(tmp_path: Path) -> None:
    private = {"title": "At home", "location": "+48.1372+011.5755/", "comment": "Ada's"}
    source = clip(tmp_path / "a.mp4", [scene(n) for n in range(3)], metadata=private)
    assert b"Ada" in source.read_bytes()
    dropped = passed_on(source, tmp_path / "b.mp4").read_bytes()
    assert not any(word in dropped for word in (b"At home", b"48.13", b"Ada"))
    with av.open(str(passed_on(source, tmp_path / "c.mp4", metadata="keep"))) as out:
        assert out.metadata["title"] == "At home"
        assert out.metadata["comment"] == "Ada's"
        assert out.metadata["location"].startswith("+48.1372")


def test_a_file_tells_neither_when_nor_by_what_it_was_written(tmp_path: Path) -> None:
    """So the same frames make the same file, where the encoder does its part: x264 does not always, for tiny frames."""
    source = clip(tmp_path / "a.mkv", [scene(n) for n in range(5)], sounds=["aac"])
    one, two = (passed_on(source, tmp_path / f"{name}.mkv", quality=100).read_bytes() for name in "bc")
    assert one == two
    assert b"Lavf6" not in passed_on(source, tmp_path / "b.mp4").read_bytes()
    assert b"Lavf6" in clip(tmp_path / "c.mp4", [scene(0)]).read_bytes()

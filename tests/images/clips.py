"""Small videos made with PyAV alone, and what PyAV alone says of a file: the other side of the tests."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from i2i.images import video
from i2i.images.media import Frame

av = pytest.importorskip("av", reason="videos need PyAV: pip install 'i2i[video]'")


def scene(number: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A smooth picture that moves: codecs keep it well, so that what else goes wrong shows."""
    y, x = np.mgrid[:height, :width].astype(float)
    waves = [np.sin((x + 3 * number) / 9), np.cos((y - 2 * number) / 7), np.sin((x + y) / 11 + number)]
    return np.rint(127.5 + 100 * np.stack(waves, -1)).astype(np.uint8)


def clip(
    path: Path,
    frames: Sequence[Any],
    codec: str = "libx264",
    layout: str = "yuv420p",
    rate: Any = 25,
    *,
    stamps: Sequence[int] | None = None,
    options: dict[str, str] | None = None,
    sounds: Sequence[str] = (),
    rotation: int | None = None,
    tags: dict[str, Any] | None = None,
    metadata: dict[str, str] | None = None,
) -> Path:
    """A video of `frames` (h w 3 RGB arrays, or PyAV frames); `stamps` are in milliseconds."""
    clock = Fraction(1, 1000)
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate, options=options or {})
        first = frames[0]
        stream.height, stream.width = first.shape[:2] if isinstance(first, np.ndarray) else (first.height, first.width)
        stream.pix_fmt = layout
        if stamps is not None:
            stream.codec_context.time_base = clock
        for name, value in (tags or {}).items():
            setattr(stream.codec_context, name, value)
        if rotation is not None:
            stream.set_display_rotation(rotation)
        tracks = [out.add_stream(sound, rate=48000, layout="stereo") for sound in sounds]
        for track, language in zip(tracks, ("eng", "deu"), strict=False):
            track.metadata["language"] = language
        out.metadata.update(metadata or {})
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24") if isinstance(picture, np.ndarray) else picture
            if stamps is not None:
                frame.pts, frame.time_base = stamps[number], clock
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
        for index, track in enumerate(tracks):
            tone = np.sin(np.arange(int(48000 * len(frames) / rate)) * (0.02 + 0.01 * index)).astype(np.float32) / 2
            play(av, out, track, tone)
    return path


def play(av: Any, out: Any, track: Any, tone: np.ndarray) -> None:
    """Encode a tone in stereo, in the sample format that the track's encoder takes."""
    fit = av.AudioResampler(track.codec_context.format.name, "stereo", 48000, track.codec_context.frame_size or 1024)
    sound = av.AudioFrame.from_ndarray(np.stack([tone, tone]), "fltp", "stereo")
    sound.sample_rate, sound.pts, sound.time_base = 48000, 0, Fraction(1, 48000)
    for part in (*fit.resample(sound), *fit.resample(None)):
        out.mux(track.encode(part))
    out.mux(track.encode(None))


def seen(path: Path, channels: int = 3, bits: int = 8) -> list[Frame]:
    with video.opened(path) as reader:
        return list(reader.frames(channels, bits))


def passed_on(source: Path, target: Path, **options: Any) -> Path:
    """The identity's translation."""
    with video.opened(source) as reader, video.writer(target, reader.kind, **options) as writer:
        for frame in reader.frames(3):
            writer.add(frame)
    return target


def packets(path: Path, kind: str) -> list[list[tuple[float, bytes]]]:
    """(seconds, bytes) of every packet, track by track."""
    with av.open(str(path)) as container:
        found: dict[int, list[tuple[float, bytes]]] = {s.index: [] for s in container.streams if s.type == kind}
        for packet in container.demux():
            if packet.stream_index in found and packet.size:
                found[packet.stream_index].append((float(packet.pts * packet.time_base), bytes(packet)))
        return list(found.values())


def stamps_of(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [round(frame.time, 6) for frame in container.decode(video=0)]


def error_of(a: np.ndarray, b: np.ndarray) -> float:
    """Mean absolute difference, in grey levels."""
    return float(np.abs(a.astype(float) - b).mean())

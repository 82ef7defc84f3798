"""A video in the making: frames are encoded as they come, sound and subtitles copied beside; see `video.writer`."""

import contextlib
import os
import secrets
import threading
import warnings
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from i2i.errors import UserError
from i2i.images.media import Frame, Kind
from i2i.images.video_frames import FULL, LIMITED, Packer, guess, library, open_input

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm", ".avi": "avi"}
ABOUT_THE_FILE = ("major_brand", "minor_version", "compatible_brands", "encoder")  # metadata of the old file alone
RGB, UNSPECIFIED = 0, 2


class Writing:
    """See `media.Writer`. The encoder opens with the first frame, whose size is the video's."""

    def __init__(self, path: Path, kind: Kind, quality: int, keep: bool) -> None:
        self.path, self.quality, self.keep = path, quality, keep
        self.av = library(path)
        self.temporary = path.parent / f".{path.name}.{secrets.token_hex(4)}.tmp"
        self.info: dict[str, Any] = dict(kind.info)
        self.period = Fraction(self.info.get("period") or Fraction(1 / (kind.fps or 25)).limit_denominator(1001))
        self.time = Fraction(self.info.get("start", 0))  # of the next frame, seconds
        self.ticks: int | None = None  # of the last frame
        self.container: Any = None
        self.beside: _Beside | None = None
        self.lock, self.closed = threading.Lock(), False  # `add` may run in a thread of its own when the rest fails

    def __enter__(self) -> Self:
        return self

    def add(self, frame: Frame) -> None:
        """Encode h w 1 or 3 pixels, shown as long as the frame lasts; a frame that does not say lasts one period."""
        height, width = frame.pixels.shape[:2]
        with self.lock, self._told():
            if self.closed:
                raise ValueError(f"{self.path} is closed")
            if self.container is None:
                self._open(width, height)
            if (width, height) != (self.stream.width, self.stream.height):
                expected = f"{self.stream.width}×{self.stream.height}"
                raise ValueError(f"{self.path}: expected frames of {expected}, as the first, got {width}×{height}")
            picture = self.pack(frame.pixels)
            # The container's clock may be coarser than the source's; still no two frames share a tick.
            ticks = round(self.time / self.time_base)
            self.ticks = ticks if self.ticks is None else max(ticks, self.ticks + 1)
            picture.pts, picture.time_base = self.ticks, self.time_base
            if self.beside is not None:
                self.beside.copy(self.time)
            self.container.mux(self.stream.encode(picture))
            self.time += Fraction(frame.duration) / 1000 if frame.duration > 0 else self.period

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self.lock:
            self.closed = True
            try:
                if kind is None:
                    with self._told():
                        self._finish()
            finally:
                self._discard()

    def _open(self, width: int, height: int) -> None:
        muxer = CONTAINERS[self.path.suffix.lower()]
        codec, layout, options = _encoder(self.av, muxer, self.quality, odd=bool(width % 2 or height % 2))
        # AVI has no time stamps, only a rate, and MPEG-4 a coarse clock; what they cannot say is rounded to the rate.
        regular = muxer == "avi" or codec == "mpeg4"
        self.time_base = self.period if regular else Fraction(self.info.get("time_base", Fraction(1, 1000)))
        matrix = self.info.get("matrix", guess(width, height))
        self.pack = Packer(self.av, width, height, layout, matrix, codec)
        flags = "+faststart" + ("+use_metadata_tags" if self.keep else "")  # playable before the last byte has come
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.container = self.av.open(
            f"file:{self.temporary}", "w", format=muxer, container_options={"movflags": flags}
        )
        self.container.flags |= self.av.container.Flags.bitexact.value  # no date, no name of the program
        stream = self.container.add_stream(codec, rate=(1 / self.period).limit_denominator(100_000), options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, layout
        context, yuv = stream.codec_context, layout.startswith("yuv")
        context.time_base = self.time_base
        context.sample_aspect_ratio = self.info.get("aspect", Fraction(1))
        context.colorspace = matrix if yuv else RGB
        context.color_range = LIMITED if yuv else FULL
        context.color_primaries = self.info.get("primaries", UNSPECIFIED)
        context.color_trc = self.info.get("transfer", UNSPECIFIED)
        self.stream = stream
        if source := self.info.get("source"):
            self.beside = _Beside(self.av, source, self.container, self.keep)

    def _finish(self) -> None:
        if self.container is None:
            raise UserError("there was no frame to write")
        self.container.mux(self.stream.encode(None))
        if self.beside is not None:
            self.beside.copy(None)
        container, self.container = self.container, None
        container.close()  # writes the index
        os.replace(self.temporary, self.path)

    def _discard(self) -> None:
        """Close what is open; a temporary file that did not become the video goes."""
        if self.beside is not None:
            self.beside.source.close()
        if self.container is not None:
            with contextlib.suppress(Exception):  # the disk may be full for the index too
                self.container.close()
            self.container = None
        self.temporary.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except UserError as problem:
            raise UserError(f"{self.path}: {problem}.") from None
        except (self.av.error.FFmpegError, OSError) as problem:
            raise UserError(f"{self.path}: the video cannot be written ({problem.strerror}).") from None


class _Beside:
    """Sound and subtitles of the source: copied, not coded anew, as far as the pictures have come."""

    def __init__(self, av: Any, source: Path, target: Any, keep: bool) -> None:
        self.source, self.target = open_input(av, source), target
        self.streams: dict[int, Any] = {}
        for stream in (*self.source.streams.audio, *self.source.streams.subtitles):
            codec = stream.codec_context.name if stream.codec_context else "unknown"
            try:
                copy = target.add_stream_from_template(stream)
            except ValueError:
                if stream.type == "audio":
                    raise UserError(
                        f"the sound of {source} ({codec}) has no place in this kind of file; "
                        f"give the result the suffix {source.suffix} or .mkv"
                    ) from None
                warnings.warn(f"the {codec} subtitles of {source} have no place in the result", stacklevel=4)
                continue
            kept = stream.metadata if keep else {k: v for k, v in stream.metadata.items() if k == "language"}
            copy.metadata.update(kept)
            copy.disposition = stream.disposition
            self.streams[stream.index] = copy
        if keep:
            target.metadata.update({k: v for k, v in self.source.metadata.items() if k not in ABOUT_THE_FILE})
            target.set_chapters(self.source.chapters())
        self.packets = self._packets()
        self.next = next(self.packets, None)

    def copy(self, until: Fraction | None) -> None:
        """Everything that begins up to `until` seconds, or all the rest."""
        while self.next is not None and (until is None or self.next[0] <= until):
            self.target.mux_one(self.next[1])
            self.next = next(self.packets, None)

    def _packets(self) -> Iterator[tuple[Fraction, Any]]:
        for packet in self.source.demux():
            stamp = packet.pts if packet.dts is None else packet.dts
            if packet.stream_index in self.streams and stamp is not None:  # without: the sign that a track has ended
                packet.stream = self.streams[packet.stream_index]
                yield stamp * packet.time_base, packet


def _encoder(av: Any, muxer: str, quality: int, odd: bool) -> tuple[str, str, dict[str, str]]:
    """(encoder, pixel format, options) for a quality of 1..100."""
    lossless = {
        "webm": ("libvpx-vp9", "gbrp", {"lossless": "1"}),
        "matroska": ("ffv1", "bgr0", {"level": "3"}),
        "avi": ("ffv1", "bgr0", {"level": "3"}),
    }
    if quality == 100 and muxer in lossless:
        return lossless[muxer]
    crf = min(15 + 0.4 * (95 - quality), 51)  # x264's scale: 95 → 15, 75 → 23, which is its default; 6 halves the bits
    if muxer == "webm":
        # its scale goes to 63; cpu-used 4 trades a few per cent of size for a third of the time
        return "libvpx-vp9", "yuv420p", {"crf": f"{crf * 63 / 51:.0f}", "b": "0", "cpu-used": "4", "row-mt": "1"}
    if "libx264" in av.codecs_available:
        if quality == 100:
            return "libx264rgb", "bgr24", {"qp": "0"}
        # 4:2:0 has half as many colours as pixels, so H.264 wants even sides of it. B-frames need time stamps.
        reorder = {"bf": "0"} if muxer == "avi" else {}
        return "libx264", "yuv444p" if odd else "yuv420p", {"crf": f"{crf:.1f}", **reorder}
    if quality == 100:
        raise UserError(f"this PyAV has no lossless encoder for .{muxer}; give the result the suffix .mkv")
    scale = f"{min(max(2 + 0.2 * (95 - quality), 1), 31):.0f}"  # MPEG-4's quantiser, 1 the finest
    return "mpeg4", "yuv420p", {"qmin": scale, "qmax": scale}

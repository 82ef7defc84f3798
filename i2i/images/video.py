"""Videos in, frame by frame, through PyAV (FFmpeg's libraries); out: `i2i.images.video_out`.

Frames are upright sRGB, as a screen shows them: turn, colour matrix and range are undone, 10 and 12 bits are rounded to
8 (or spread over 16), PQ and HLG are brought to sRGB by FFmpeg's colour management, in which highlights beyond SDR's
white clip. Transparency is laid on white. Interlaced frames come as they are stored, woven.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from i2i.errors import UserError
from i2i.images.media import Frame, Kind
from i2i.images.video_frames import BT709, MAX_PIXELS, is_wide, library, matrix_of, open_input, to_pixels, turn_of
from i2i.images.video_out import CONTAINERS, Writing

MICROSECONDS = 1_000_000  # the unit of a container's times


def opened(path: str | Path) -> "Reading":
    """The video in a file, looked at as far as its first frame. Raises UserError for what is missing, too large, or has
    no moving picture in it; `frames` also for damage, as far as the decoder notices, and for what is cut short.

    Of several picture tracks the main one is read (never a cover). Time stamps become durations: what the frames
    before it last, plus `kind.info["start"]`, is when a frame is shown.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: expected a video, found {'a folder' if path.is_dir() else 'no such file'}.")
    return Reading(path)


def writer(
    path: str | Path,
    kind: Kind,
    *,
    quality: int = 95,
    metadata: Literal["drop", "keep"] = "drop",
    force: bool = False,
) -> Writing:
    """A video in the making; the suffix chooses the container, and with it the codec: VP9 in .webm, else H.264.

    `quality` 1..100 is the encoder's constant quality. 100 is lossless, RGB bit for bit (FFV1 in .mkv and .avi, H.264
    in .mp4 and .mov, VP9 in .webm), which few browsers play; below, frames are 4:2:0, but 4:4:4 in H.264 where a side
    is odd. All sound, and the subtitles that fit, are copied unchanged from the video that `kind` is of. `metadata`
    "keep" takes titles, dates, places and chapters along; languages stay always. The file appears whole or not at
    all, and never replaces another unless `force`.
    """
    path = Path(path)
    if path.suffix.lower() not in CONTAINERS:
        raise UserError(f"{path}: cannot write '{path.suffix}'. Use one of: {' '.join(sorted(CONTAINERS))}")
    if not 1 <= quality <= 100:
        raise UserError(f"{path}: quality goes from 1 to 100 (lossless), got {quality}.")
    if path.exists() and not force:
        raise UserError(f"{path} exists already. Choose another name, or allow replacing it with --force.")
    return Writing(path, kind, quality, metadata == "keep")


class Reading:
    """A video to read (see `media.Reader`). Each call of `frames` decodes from the start."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.av = library(path)
        with self._file() as (container, stream):
            first = next(self._decoded(container, stream), None)
            if first is None:
                raise UserError("there is no frame in this video")
            self.kind = _kind(path, container, stream, first)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass  # nothing stays open between frames' calls

    def frames(self, channels: int, bits: int = 8) -> Iterator[Frame]:
        """All frames, h w `channels` (1 or 3), uint8 or uint16; their duration is the time until the next one."""
        if channels not in (1, 3):
            raise UserError(f"{self.path}: a video has 1 (grey) or 3 colours, the model takes {channels} channels.")
        reformatter = self.av.video.reformatter.VideoReformatter()
        size = self.kind.width, self.kind.height  # a stream that changes its size on the way is scaled to its first
        info: dict[str, Any] = self.kind.info
        held, shown, lasts = None, Fraction(0), info["period"]  # a frame waits until the time of the next is known
        with self._file() as (container, stream):
            for frame in self._decoded(container, stream):
                stamp = info["start"] if frame.pts is None else frame.pts * frame.time_base
                if held is not None:
                    stamp = stamp if stamp > shown else shown + info["period"]  # no stamp, or back in time
                    yield Frame(held, duration=float(1000 * (stamp - shown)))
                held, shown = to_pixels(reformatter, frame, *size, channels, bits), stamp
                lasts = frame.duration * frame.time_base if frame.duration else info["period"]
            if held is not None:
                yield Frame(held, duration=float(1000 * lasts))

    @contextmanager
    def _file(self) -> Iterator[tuple[Any, Any]]:
        """(container, its main picture track); what FFmpeg or we find wrong with the file is told with its name."""
        try:
            with open_input(self.av, self.path) as container:
                yield container, self._track(container)
        except UserError as problem:
            raise UserError(f"{self.path}: {problem}.") from None
        except self.av.error.FFmpegError as problem:
            reasons = f"damaged, cut short, of more than {MAX_PIXELS:,} pixels a frame, or no video"
            raise UserError(f"{self.path}: {reasons} ({problem.strerror}).") from None

    def _track(self, container: Any) -> Any:
        cover = self.av.stream.Disposition.attached_pic
        tracks = [stream for stream in container.streams.video if not stream.disposition & cover]
        if not tracks:
            found = sorted({str(stream.type) for stream in container.streams}) or ["nothing"]
            raise UserError(f"expected a video, found no moving picture in it, only {', '.join(found)}")
        best = container.streams.best("video")
        stream = best if best in tracks else tracks[0]
        context = stream.codec_context
        if context is None:
            raise UserError("its codec is not known; convert it to H.264 first")
        if context.width * context.height > MAX_PIXELS:
            size = f"{context.width}×{context.height}"
            raise UserError(f"frames of {size} are more than the {MAX_PIXELS:,} pixels that are read; make it smaller")
        context.options["max_pixels"] = str(MAX_PIXELS)  # a file may lie about its size, and change it on the way
        return stream

    def _decoded(self, container: Any, stream: Any) -> Iterator[Any]:
        """The track's frames as FFmpeg gives them."""
        end = Fraction(0)  # of all tracks, for the file's length is theirs
        for packet in container.demux():
            if packet.is_corrupt:
                raise UserError("the video is damaged or cut short (part of it is missing)")
            if packet.pts is not None:
                end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
            # not `packet.stream_index`, which is 0 in the empty packets that end every track
            for frame in packet.decode() if packet.stream.index == stream.index else ():
                if frame.is_corrupt:
                    raise UserError("the video is damaged (a frame cannot be decoded whole)")
                yield frame
        # Matroska, WebM and AVI that were cut short simply end. Their header says how long they should be, if it is
        # not a live recording; players' own rounding is not a cut.
        if container.duration is not None:
            length = Fraction(container.duration, MICROSECONDS)
            missing = Fraction(container.start_time or 0, MICROSECONDS) + length - end
            if missing > max(Fraction(1, 2), length / 50):
                raise UserError(f"the video is cut short: its last {float(missing):.1f} s are missing")


def _kind(path: Path, container: Any, stream: Any, first: Any) -> Kind:
    """What the file is; its first frame tells the turn and the colours."""
    rate = Fraction(stream.average_rate or stream.guessed_rate or 25)
    aspect = Fraction(stream.sample_aspect_ratio or 1)
    turned, managed = turn_of(first)[0], is_wide(first)
    # AVI has no time stamps, and FFmpeg's guess of the first counts the decoder's delay
    unstamped = first.pts is None or container.format.name == "avi"
    colours = sum(not part.is_alpha for part in first.format.components)
    return Kind(
        CONTAINERS.get(path.suffix.lower(), "mp4").upper(),
        width=first.height if turned else first.width,
        height=first.width if turned else first.height,
        channels=1 if colours == 1 and not first.format.has_palette else 3,
        frames=stream.frames or None,
        fps=float(rate),
        info={
            "source": path,
            "start": Fraction(0) if unstamped else first.pts * first.time_base,
            "period": 1 / rate,
            "time_base": Fraction(stream.time_base),
            "aspect": 1 / aspect if turned else aspect,
            "matrix": BT709 if managed else matrix_of(first),
            "primaries": BT709 if managed else first.color_primaries,
            "transfer": BT709 if managed else first.color_trc,
        },
    )

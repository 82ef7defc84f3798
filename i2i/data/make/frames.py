"""Videos and animations → pictures."""

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from i2i.data.crew import QUIET, each
from i2i.data.likeness import NEAR, fingerprint
from i2i.data.make.work import Made, fresh
from i2i.errors import UserError
from i2i.images import is_media, opened, write
from i2i.images.media import Frame

CUT = 27.0  # of 255: the mean change of hue, saturation and value that is a cut, as PySceneDetect's detect-content
SHORTEST = 0.6  # seconds of a scene: flashes and fades are none of their own
SLACK = 0.0005  # seconds: stamps are rounded to the container's clock, often a millisecond
SEEN = 96  # pixels: the side of what cuts are looked for in


@dataclass(frozen=True)
class Choice:
    """Which frames are taken; what is given holds together.

    every: each so many frames. fps: so many for each second, by their time stamps. scenes: only the first that is
    taken of each scene. distinct: none that looks like the last one taken. first and last: seconds, where to begin and
    to stop.
    """

    every: int = 1
    fps: float | None = None
    scenes: bool = False
    distinct: bool = False
    first: float = 0.0
    last: float | None = None

    def __post_init__(self) -> None:
        if self.every < 1 or (self.fps is not None and self.fps <= 0):
            raise UserError(f"expected --every and --fps above 0, got {self.every} and {self.fps}.")
        if self.every > 1 and self.fps is not None:
            raise UserError("give either --every or --fps.")
        if self.first < 0 or (self.last is not None and self.last <= self.first):
            raise UserError(f"expected 0 <= --from < --until, got {self.first:g} and {self.last} seconds.")


def frames(
    sources: Sequence[Path],
    out: Path,
    choice: Choice | None = None,
    *,
    suffix: str = ".png",
    force: bool = False,
    console: Console = QUIET,
) -> Made:
    """Frames of videos and animations, and of all of them below a folder, as `out`/NAME_000123.png, where 123 is the
    number of the frame. What is broken gives the frames before the damage. Raises UserError when nothing can start."""
    begin, chosen = time.monotonic(), choice or Choice()
    if suffix not in (".png", ".jpg", ".webp"):
        raise UserError(f"frames are written as .png, .jpg or .webp, not '{suffix}'.")
    found = _media(sources)
    fresh(out, force, *(source for source in sources if source.is_dir()))
    files, used, skipped = 0, 0, []
    for path in found:
        written = 0
        try:
            with opened(path) as reader:
                if reader.kind.channels not in (1, 3):
                    raise UserError(f"it has {reader.kind.channels} channels, and grey or colour is expected")
                taken = taking(reader.frames(reader.kind.channels, 8), chosen)
                jobs = ((path, number, frame) for number, frame in taken)

                def save(job: tuple[Path, int, Frame]) -> None:
                    source, number, frame = job
                    write(out / f"{source.stem}_{number:06}{suffix}", frame.pixels, force=force)

                for _, result in each(path.name, jobs, save, console):
                    if isinstance(result, str):
                        raise UserError(result)
                    written += 1
        except UserError as problem:
            skipped.append((path, f"{str(problem).removeprefix(f'{path}: ')} ({written:,} frames were written)"))
        files += written
        used += bool(written)
    return Made(out, used, files, tuple(skipped), time.monotonic() - begin)


def taking(source: Iterator[Frame], choice: Choice) -> Iterator[tuple[int, Frame]]:
    """(number, frame) of the frames that are chosen; frames last `duration` milliseconds, one after the other."""
    now, due, fresh_scene, last_code = 0.0, choice.first, True, -1
    cuts = Cuts() if choice.scenes else None
    for number, frame in enumerate(source):
        at, now = now + SLACK, now + frame.duration / 1000
        if choice.last is not None and at >= choice.last:
            return
        if cuts is not None and cuts(frame.pixels, at):
            fresh_scene = True
        if at < choice.first or number % choice.every:
            continue
        if choice.fps is not None:
            if at < due:
                continue
            while due <= at:
                due += 1 / choice.fps
        if cuts is not None and not fresh_scene:
            continue
        if choice.distinct:
            code = fingerprint(frame.pixels)
            if last_code >= 0 and (code ^ last_code).bit_count() <= NEAR:
                continue
            last_code = code
        fresh_scene = False
        yield number, frame


class Cuts:
    """Tells frames, one after the other, that begin a scene."""

    def __init__(self) -> None:
        self.last: np.ndarray | None = None
        self.since = 0.0

    def __call__(self, pixels: np.ndarray, at: float) -> bool:
        """Whether a scene begins with these pixels, uint8 h w c, at this time in seconds."""
        import cv2

        small = cv2.resize(np.ascontiguousarray(pixels), (SEEN, SEEN), interpolation=cv2.INTER_AREA)
        colour = cv2.cvtColor(small, cv2.COLOR_GRAY2RGB if small.ndim == 2 else cv2.COLOR_RGB2HSV)
        before, self.last = self.last, colour.astype(np.int16)
        if before is None:
            self.since = at
            return True
        if np.abs(self.last - before).mean() < CUT or at - self.since < SHORTEST:
            return False
        self.since = at
        return True


def _media(sources: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for source in sources:
        if source.is_dir():
            found += sorted(path for path in source.rglob("*") if is_media(path))
        elif source.is_file():
            found.append(source)
        else:
            raise UserError(f"there is no file or folder {source}.")
    if not found:
        raise UserError(f"no videos or animations in {', '.join(map(str, sources))}.")
    for stem, same in itertools.groupby(sorted(found, key=lambda path: path.stem), key=lambda path: path.stem):
        if len(several := list(same)) > 1:
            raise UserError(f"{several[0]} and {several[1]} have one name, '{stem}'; take their frames one by one.")
    return found

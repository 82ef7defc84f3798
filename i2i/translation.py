"""Files → translated files: any picture, animation or video in, the same kind out. Without torch, so it starts at once.

A model is run in its exported form, which is made on first use and kept. Reading, translating and writing overlap: the
next pictures are decoded and the last ones encoded by other threads while the model runs.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from i2i import images
from i2i.errors import UserError
from i2i.images.media import Frame, Kind, Reader
from i2i.loading import QUIET, Models
from i2i.plan import plan
from i2i.runtime import Exported, tiles

COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
HANDS = 2  # threads that read and write; the model itself uses all cores
AHEAD = 2 * HANDS  # pictures that are read before their turn


@dataclass(frozen=True)
class Translated:
    """One file's fate: `target` was written, or `error` says why not."""

    source: Path
    target: Path | None
    error: str = ""


@dataclass(frozen=True)
class How:
    """What is asked for besides the model and the files."""

    quality: int = 95
    metadata: Literal["drop", "keep"] = "drop"
    memory: int | None = None
    smooth: float = 0.0
    max_pixels: int = images.MAX_TRANSLATED
    force: bool = False


def translate(
    inputs: Sequence[str | Path],
    model: str | Path,
    out: str | Path = "translated",
    *,
    direction: str | None = None,
    device: str = "auto",
    quality: int = 95,
    metadata: str = "drop",
    memory: int | None = None,
    smooth: float = 0.0,
    max_pixels: int = images.MAX_TRANSLATED,
    force: bool = False,
    console: Console = QUIET,
) -> list[Translated]:
    """Translates pictures, animations and videos: files, folders (all below them) and globs. Each comes back in the
    size, depth and format it was given.

    `out`: a folder, or with one input file a name, whose suffix then says the format. `quality`: JPEG's, WebP's and
    videos', 1 to 100. `metadata`: what cameras write is dropped or kept. `memory`: bytes for activations, beyond which
    a picture is cut into tiles (`runtime.tiles`). `smooth`: from 0 to 1, how much flicker of videos is averaged away.
    `max_pixels`: files that claim more are not read. What cannot be read or written is reported in the result; an
    existing target is left alone unless `force`. Raises UserError when nothing can start.
    """
    jobs = plan(inputs, Path(out))
    if metadata not in ("drop", "keep"):
        raise UserError(f"--metadata {metadata}: expected drop or keep.")
    how = How(quality, metadata, memory, smooth, max_pixels, force)  # type: ignore[arg-type]
    models = Models(model, direction, device, console)
    results: list[Translated] = []
    written: deque[tuple[Path, Path, Future[None]]] = deque()
    hands = ThreadPoolExecutor(HANDS)

    def settle(most: int) -> None:
        """Waits until at most so many pictures are still being written."""
        while len(written) > most:
            source, target, writing = written.popleft()
            results.append(_fate(source, target, writing.result))
            bar.advance(task)

    with Progress(*COLUMNS, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("translating", total=len(jobs), visible=len(jobs) > 1)
        try:
            for (source, target), reading in _ahead(hands, lambda job: _opened(job[0], job[1], models, how), jobs):
                try:
                    kind, content, runner = reading.result()
                    if isinstance(content, Frame):
                        made = _translated(runner, content, how, bar, source.name)
                        written.append((source, target, hands.submit(_write, target, kind, made, how)))
                        settle(AHEAD)
                        continue
                    settle(0)
                    with content:
                        _stream(hands, content, target, runner, how, bar)
                    results.append(Translated(source, target))
                except (UserError, OSError, MemoryError) as problem:
                    settle(0)
                    results.append(Translated(source, None, str(problem) or "too large for this machine's memory"))
                bar.advance(task)
            settle(0)
        finally:
            hands.shutdown(cancel_futures=True)
    return results


def _opened(source: Path, target: Path, models: Models, how: How) -> tuple[Kind, Frame | Reader, Exported]:
    """A still picture's one frame, or the open file of what has more of them."""
    if target.exists() and not how.force:
        raise UserError(f"{target} exists; use --force to overwrite it")
    reader = images.opened(source, how.max_pixels)
    try:
        runner, bits = models.of(reader.kind)
        if reader.kind.frames != 1:
            return reader.kind, reader, runner
        (frame,) = reader.frames(runner.inputs, bits)
    except BaseException:
        reader.__exit__(None, None, None)
        raise
    reader.__exit__(None, None, None)
    return reader.kind, frame, runner


def _stream(hands: ThreadPoolExecutor, reader: Reader, target: Path, runner: Exported, how: How, bar: Progress) -> None:
    """An animation or a video: the next frame is decoded and the last one encoded while the model runs."""
    bits = 16 if runner.card.pixels == "uint16" else 8
    smoother = None
    if how.smooth:
        from i2i.images.temporal import Smoother  # OpenCV, for the motion

        smoother = Smoother(how.smooth)
    frames = reader.frames(runner.inputs, bits)
    with (
        images.writer(target, reader.kind, quality=how.quality, metadata=how.metadata, force=how.force) as writer,
        _task(bar, target.name) as task,
    ):
        bar.update(task, total=reader.kind.frames)
        coming: Future[Frame | None] = hands.submit(next, frames, None)
        going: Future[None] | None = None
        while (frame := coming.result()) is not None:
            coming = hands.submit(next, frames, None)
            made = _translated(runner, frame, how, bar, target.name)
            if smoother:
                made = replace(made, pixels=smoother(frame.pixels, made.pixels))
            if going:
                going.result()
            going = hands.submit(writer.add, made)
            bar.advance(task)
        if going:
            going.result()


def _translated(runner: Exported, frame: Frame, how: How, bar: Progress, name: str) -> Frame:
    """The frame through the model; if it goes in tiles, they are counted."""
    with _task(bar, f"tiles of {name}", visible=False) as task:

        def progress(done: int, of: int) -> None:
            bar.update(task, completed=done, total=of, visible=True)

        return replace(frame, pixels=tiles.translate(runner, frame.pixels, memory=how.memory, progress=progress))


@contextmanager
def _task(bar: Progress, name: str, visible: bool = True) -> Iterator[TaskID]:
    """A line of the progress bar that is gone when its work is done."""
    task = bar.add_task(name, total=None, visible=visible)
    try:
        yield task
    finally:
        bar.remove_task(task)


def _write(target: Path, kind: Kind, frame: Frame, how: How) -> None:
    with images.writer(target, kind, quality=how.quality, metadata=how.metadata, force=how.force) as writer:
        writer.add(frame)


def _fate(source: Path, target: Path, wait: Callable[[], None]) -> Translated:
    try:
        wait()
    except (UserError, OSError, MemoryError) as problem:
        return Translated(source, None, str(problem) or "too large for this machine's memory")
    return Translated(source, target)


def _ahead(
    hands: ThreadPoolExecutor, work: Callable[[Any], Any], jobs: Sequence[Any]
) -> Iterator[tuple[Any, Future[Any]]]:
    """The jobs in their order, each with its work, begun a few jobs ahead."""
    begun: deque[tuple[Any, Future[Any]]] = deque()
    for job in jobs:
        begun.append((job, hands.submit(work, job)))
        if len(begun) > AHEAD:
            yield begun.popleft()
    yield from begun

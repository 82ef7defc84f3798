"""Files → translated files: any picture, animation or video in, the same kind out. Without torch, so it starts at once.
Beside each there may be conditions: further pictures that the model takes with it.

A model is run in its exported form, which is made on first use and kept. Reading, translating and writing overlap: the
next pictures are decoded and the last ones encoded by other threads while the model runs.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from i2i import images
from i2i.errors import UserError
from i2i.images.maps import drawn
from i2i.images.media import Frame, Kind
from i2i.loading import QUIET, Models
from i2i.plan import Companions, holding, plan
from i2i.runtime import Exported, scale, tiles
from i2i.runtime.inputs import Inputs
from i2i.runtime.model import Card
from i2i.runtime.planes import check_names, numbers

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
class Still:
    """A picture that is read: its own frame, and h w c as the model takes it."""

    kind: Kind
    frame: Frame
    pixels: np.ndarray


@dataclass(frozen=True)
class How:
    """What is asked for besides the model and the files."""

    quality: int = 95
    metadata: Literal["drop", "keep"] = "drop"
    memory: int | None = None
    smooth: float = 0.0
    max_pixels: int = images.MAX_TRANSLATED
    force: bool = False
    side: int | None = None  # pixels of the shorter side to work at, None: as many as there are
    always: bool = True  # also for pictures that are hardly larger, or smaller


def translate(
    inputs: Sequence[str | Path],
    model: str | Path,
    out: str | Path = "translated",
    *,
    condition: Mapping[str, str | Path] | None = None,
    direction: str | None = None,
    device: str = "auto",
    quality: int = 95,
    metadata: str = "drop",
    at: int | str = "trained",
    memory: int | None = None,
    smooth: float = 0.0,
    max_pixels: int = images.MAX_TRANSLATED,
    force: bool = False,
    console: Console = QUIET,
) -> list[Translated]:
    """Translates pictures, animations and videos: files, folders (all below them) and globs. Each comes back in the
    size, depth and format it was given; where the format cannot hold what the model makes (transparency, many channels,
    classes), as .png or .tif.

    `condition`: for each that the model takes, a folder with files of the inputs' names, or one file for one input.
    `out`: a folder, or with one input file a name, whose suffix then says the format. `quality`: JPEG's, WebP's and
    videos', 1 to 100. `metadata`: what cameras write is dropped or kept. `at`: pixels of the shorter side to work at; a
    picture is brought to that and the answer back to its size. `native` is as many as there are, `trained` for larger
    pictures the scale of the training, where it resized its own (`runtime.scale`). `memory`: bytes for activations,
    beyond which a picture is cut into tiles (`runtime.tiles`). `smooth`: from 0 to 1, how much flicker of videos is
    averaged away. `max_pixels`: files that claim more are not read. What cannot be read or written is reported in the
    result; an existing target is left alone unless `force`. Raises UserError when nothing can start.
    """
    out = Path(out)
    jobs = plan(inputs, out)
    companions = Companions(condition or {}, jobs, out)
    if metadata not in ("drop", "keep"):
        raise UserError(f"--metadata {metadata}: expected drop or keep.")
    models = Models(model, direction, device, console)
    card = models.card
    side = scale.working_side(card, at)
    if side and at == "trained":
        console.print(
            f"Pictures of more than {scale.LARGER * side:.0f} pixels are translated at {side}, the scale of the "
            f"training, and brought back to their size; --at native works on all pixels.",
            style="dim",
            highlight=False,
        )
    how = How(quality, metadata, memory, smooth, max_pixels, force, side, at != "trained")  # type: ignore[arg-type]
    check_names([plane.name for plane in card.planes[1:]], list(companions.places))
    if smooth and card.result.classes:
        raise UserError("--smooth blends colours, and this model makes classes. Leave it out.")
    jobs = holding(companions.inputs(jobs), out, card.outputs, card.result.classes)
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
            reads = _ahead(hands, lambda job: _opened(job[0], job[1], companions, models, how), jobs)
            for (source, target), reading in reads:
                try:
                    content, runner = reading.result()
                    if isinstance(content, Still):
                        made = _translated(runner, content.frame, content.pixels, how, bar, source.name)
                        kind = _outgoing_kind(card, content.kind, target)
                        made = _outgoing(card, kind, made)
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


def _opened(
    source: Path, target: Path, companions: Companions, models: Models, how: How
) -> tuple[Still | Inputs, Exported]:
    """A still picture, or the open files of what has more than one frame."""
    if target.exists() and not how.force:
        raise UserError(f"{target} exists; use --force to overwrite it")
    inputs = Inputs(models.card.planes, source, companions.of(source, target), how.max_pixels, models.card.bits)
    try:
        runner, bits = models.of(inputs.kind)
        _check_target(target, inputs.kind, runner.card)
        if inputs.kind.frames != 1:
            return inputs, runner
        frame, pixels = next(inputs.frames(bits))
    except BaseException:
        inputs.close()
        raise
    inputs.close()
    return Still(inputs.kind, frame, pixels), runner


def _check_target(target: Path, kind: Kind, card: Card) -> None:
    """UserError for what the file could not hold, before the work is done."""
    moving = kind.frames != 1 or images.is_video(target)
    if images.is_video(target) and not card.result.classes and card.outputs not in (1, 3):
        raise UserError(f"{target}: a video holds 1 or 3 channels, and this model makes {card.outputs}.")
    channels = 3 if card.result.classes and moving else card.outputs
    problem = images.misfit(target, channels, card.result.classes and not moving)
    if problem and not images.is_video(target):
        raise UserError(f"{target}: {problem}.")


def _stream(hands: ThreadPoolExecutor, inputs: Inputs, target: Path, runner: Exported, how: How, bar: Progress) -> None:
    """An animation or a video: the next frame is decoded and the last one encoded while the model runs."""
    bits = 16 if runner.card.pixels == "uint16" else 8
    smoother = None
    if how.smooth:
        from i2i.images.temporal import Smoother  # OpenCV, for the motion

        smoother = Smoother(how.smooth)
    frames, kind = inputs.frames(bits), _outgoing_kind(runner.card, inputs.kind, target)
    with (
        images.writer(target, kind, quality=how.quality, metadata=how.metadata, force=how.force) as writer,
        _task(bar, target.name) as task,
    ):
        bar.update(task, total=kind.frames)
        coming: Future[tuple[Frame, np.ndarray] | None] = hands.submit(next, frames, None)
        going: Future[None] | None = None
        while (read := coming.result()) is not None:
            coming = hands.submit(next, frames, None)
            frame, pixels = read
            made = _translated(runner, frame, pixels, how, bar, target.name)
            if smoother:
                made = replace(made, pixels=smoother(frame.pixels, made.pixels))
            made = _outgoing(runner.card, kind, made)
            if going:
                going.result()
            going = hands.submit(writer.add, made)
            bar.advance(task)
        if going:
            going.result()


def _translated(runner: Exported, frame: Frame, pixels: np.ndarray, how: How, bar: Progress, name: str) -> Frame:
    """What the model makes of `pixels`, as the frame that `frame` is; if it goes in tiles, they are counted."""
    with _task(bar, f"tiles of {name}", visible=False) as task:

        def progress(done: int, of: int) -> None:
            bar.update(task, completed=done, total=of, visible=True)

        size = pixels.shape[:2]
        if how.side and (how.always or scale.is_larger(size, how.side)):
            pixels = scale.resized(pixels, scale.size_at(size, how.side))
        made = tiles.translate(runner, pixels, memory=how.memory, progress=progress)
        return replace(frame, pixels=scale.resized(made, size))


def _outgoing(card: Card, kind: Kind, made: Frame) -> Frame:
    """What is written of a model's answer: of classes the best one, as its number in a still and its colour in what
    moves; transparency that the model has made itself in place of that which went round it."""
    if card.result.classes:
        still = kind.palette is not None
        pixels = numbers(made.pixels)[:, :, None] if still else drawn(made.pixels, card.result.colours)
        return replace(made, pixels=pixels, alpha=None)
    return made if card.outputs in (1, 3) else replace(made, alpha=None)


def _outgoing_kind(card: Card, kind: Kind, target: Path) -> Kind:
    """What the file will be."""
    if not card.result.classes:
        return kind
    info = {key: value for key, value in kind.info.items() if key not in ("icc_profile", "rank")}  # of what is gone
    if kind.frames != 1 or images.is_video(target):
        return replace(kind, channels=3, alpha=False, bits=8, info=info)
    return replace(kind, channels=1, alpha=False, bits=8, info=info, palette=card.result.colours.tobytes())


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

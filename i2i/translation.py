"""Files → translated files: any picture, animation or video in, the same kind out. Without torch, so it starts at once.

A model is run in its exported form, which is made on first use and kept. Reading, translating and writing overlap: the
next pictures are decoded and the last ones encoded by other threads while the model runs.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from i2i import images, store
from i2i.errors import UserError, suggest
from i2i.images.media import Frame, Kind, Reader
from i2i.plan import plan
from i2i.runtime import Exported, tiles
from i2i.runtime.providers import check, note

QUIET = Console(quiet=True)
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
    memory: int = tiles.MEMORY
    smooth: float = 0.0
    max_pixels: int = images.MAX_TRANSLATED
    force: bool = False


def load(
    model: str | Path,
    *,
    direction: str | None = None,
    device: str = "auto",
    pixels: str = "uint8",
    console: Console = QUIET,
) -> Exported:
    """A translator, `translator(picture)`, from a model's name, run folder or file. `direction`: `a2b` unless given, or
    `b2a` if it has it; `device`: auto, cpu, cuda or tensorrt; `pixels`: uint8, uint16 or float32. Raises UserError."""
    check(device)
    path = store.find(model)
    if path.suffix == ".onnx":
        opened = Exported(path, device)
        if opened.card.task != "translate":
            raise UserError(f"{model} makes pictures from noise and cannot translate.")
        if direction not in (None, opened.card.direction):
            raise UserError(f"{model} translates {opened.card.direction}, not {direction!r}.")
        return opened
    header = store.read_header(path)
    ways, weights, way = header["directions"].split(","), header["sha256"], direction or "a2b"
    if "generator" in ways:
        raise UserError(f"{model} makes pictures from noise and cannot translate. Use: i2i sample --model {model}")
    if way not in ways:
        raise UserError(f"{model} translates {' and '.join(ways)}, not {way!r}.{suggest(way, ways)}")
    places = store.exported(path, way, pixels, weights)
    for place in places:
        if place.is_file():
            with suppress(UserError):  # damaged, or of an earlier i2i: it is made anew
                opened = Exported(place, device)
                if opened.card.weights == weights:
                    return opened
    console.print(f"Making the exported form of {model}, once.", style="dim", highlight=False)
    from i2i import export  # seconds, for torch

    return Exported(export.keep(path, way, pixels, places[-1]), device)  # type: ignore[arg-type]


def translate(
    inputs: Sequence[str | Path],
    model: str | Path,
    out: str | Path = "translated",
    *,
    direction: str | None = None,
    device: str = "auto",
    quality: int = 95,
    metadata: str = "drop",
    memory: int = tiles.MEMORY,
    smooth: float = 0.0,
    max_pixels: int = images.MAX_TRANSLATED,
    force: bool = False,
    console: Console = QUIET,
) -> list[Translated]:
    """Translates pictures, animations and videos: files, folders (all below them) and globs. Each comes back in the
    size, depth and format it was given.

    `out`: a folder, or with one input file a name, whose suffix then says the format. `quality`: JPEG's, WebP's and
    videos', 1 to 100. `metadata`: what cameras write is dropped or kept. `memory`: bytes for activations; larger
    pictures are cut into tiles. `smooth`: from 0 to 1, how much flicker of videos is averaged away. `max_pixels`: what
    claims to have more is not read. Files that cannot
    be read or written are reported in the result; an existing target is left alone unless `force`. Raises UserError
    when nothing can start.
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

    columns = (TextColumn("translating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=len(jobs) < 2) as bar:
        task = bar.add_task("", total=len(jobs))
        try:
            for (source, target), reading in _ahead(hands, lambda job: _opened(job[0], job[1], models, how), jobs):
                try:
                    kind, content, runner = reading.result()
                    if isinstance(content, Frame):
                        made = _translated(runner, content, how)
                        written.append((source, target, hands.submit(_write, target, kind, made, how)))
                        settle(AHEAD)
                        continue
                    settle(0)
                    with content:
                        _stream(hands, content, target, runner, how, console)
                    results.append(Translated(source, target))
                except (UserError, OSError, MemoryError) as problem:
                    settle(0)
                    results.append(Translated(source, None, str(problem) or "too large for this machine's memory"))
                bar.advance(task)
            settle(0)
        finally:
            hands.shutdown(cancel_futures=True)
    return results


class Models:
    """The exported forms of one model: that of 8 bits, and when a deeper picture comes that of 16."""

    def __init__(self, name: str | Path, direction: str | None, device: str, console: Console) -> None:
        self.name, self.direction, self.device, self.console = name, direction, device, console
        self.lock, self.loaded = Lock(), {"uint8": load(name, direction=direction, device=device, console=console)}
        if told := note(device, self.loaded["uint8"].device):
            console.print(told, style="dim", highlight=False)
        card = self.loaded["uint8"].card
        if card.pixels == "float32":
            raise UserError(f"{name} takes float32 values, which no picture file has. Export it without --pixels.")
        self.fixed = store.find(name).suffix == ".onnx"  # one file has one form

    def of(self, kind: Kind) -> tuple[Exported, int]:
        """The form for pictures of this kind, and the bits it takes."""
        with self.lock:  # the hands ask at the same time
            if not self.fixed and kind.bits > 8 and "uint16" not in self.loaded:
                self.loaded["uint16"] = load(
                    self.name, direction=self.direction, device=self.device, pixels="uint16", console=self.console
                )
        chosen = self.loaded["uint16" if kind.bits > 8 and not self.fixed else "uint8"]
        return chosen, 16 if chosen.card.pixels == "uint16" else 8


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


def _stream(
    hands: ThreadPoolExecutor, reader: Reader, target: Path, runner: Exported, how: How, console: Console
) -> None:
    """An animation or a video: the next frame is decoded and the last one encoded while the model runs."""
    bits = 16 if runner.card.pixels == "uint16" else 8
    smoother = None
    if how.smooth:
        from i2i.images.temporal import Smoother  # OpenCV, for the motion

        smoother = Smoother(how.smooth)
    frames = reader.frames(runner.inputs, bits)
    columns = (TextColumn(target.name), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        images.writer(target, reader.kind, quality=how.quality, metadata=how.metadata, force=how.force) as writer,
        Progress(*columns, console=console, disable=console.quiet) as bar,
    ):
        task = bar.add_task("", total=reader.kind.frames)
        coming: Future[Frame | None] = hands.submit(next, frames, None)
        going: Future[None] | None = None
        while (frame := coming.result()) is not None:
            coming = hands.submit(next, frames, None)
            made = _translated(runner, frame, how)
            if smoother:
                made = replace(made, pixels=smoother(frame.pixels, made.pixels))
            if going:
                going.result()
            going = hands.submit(writer.add, made)
            bar.advance(task)
        if going:
            going.result()


def _translated(runner: Exported, frame: Frame, how: How) -> Frame:
    return replace(frame, pixels=tiles.translate(runner, frame.pixels, memory=how.memory))


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

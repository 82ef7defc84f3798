"""Many pictures at once: a crew of threads, in order, with a bar."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from i2i.errors import UserError

COLUMNS = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
QUIET = Console(quiet=True)
NO_MEMORY = "it is too large for this machine's memory"

Job = TypeVar("Job")
Result = TypeVar("Result")


def each(
    title: str,
    jobs: Iterable[Job],
    work: Callable[[Job], Result],
    console: Console = QUIET,
    total: int | None = None,
    workers: int | None = None,
) -> Iterator[tuple[Job, Result | str]]:
    """(job, its result, or why it failed) in the order of the jobs, which many threads do; a bar shows the time left.
    `workers`: threads, as many as cores unless given.

    Decoding, encoding, OpenCV and numpy leave Python's lock free, so threads fill the cores. Pictures that cannot be
    read fail alone; an error of the disk is raised, for the next picture would meet it too.
    """

    def settled(done: Future[Result]) -> Result | str:
        try:
            return done.result()
        except UserError as problem:
            return str(problem)
        except MemoryError:
            return NO_MEMORY

    crew = workers or cores()
    with (
        Progress(*COLUMNS, console=console, disable=not console.is_terminal) as bar,
        ThreadPoolExecutor(crew) as hands,
    ):
        task = bar.add_task(
            title, total=total if total is not None else len(jobs) if isinstance(jobs, Sequence) else None
        )
        begun: deque[tuple[Job, Future[Result]]] = deque()
        try:
            for job in jobs:
                begun.append((job, hands.submit(work, job)))
                if len(begun) > 2 * crew:
                    first, done = begun.popleft()
                    yield first, settled(done)
                    bar.advance(task)
            while begun:
                first, done = begun.popleft()
                yield first, settled(done)
                bar.advance(task)
        finally:
            hands.shutdown(cancel_futures=True)


def cores() -> int:
    """Of this machine, those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

"""SIGINT and SIGTERM while a run is at work: stop at the next safe place; a SIGINT after either leaves at once."""

import signal
from types import FrameType, TracebackType
from typing import Self

from i2i.errors import Stopped


class Watch:
    """`asked` turns true with the first signal. While `idle`, when nothing unsaved would be lost, Stopped is raised
    from wherever the program is (a first compilation can take minutes); else whoever plays looks at `asked`."""

    def __init__(self) -> None:
        self.asked = False
        self.idle = True
        self._before: dict[int, object] = {}

    def check(self) -> None:
        """Raises Stopped if a signal has come."""
        if self.asked:
            raise Stopped("Stopped.")

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:  # SIGTERM comes twice where torchrun passes on what all have had
            raise KeyboardInterrupt
        self.asked = True
        if self.idle:
            self.check()

    def __enter__(self) -> Self:
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._handle)
        except ValueError:  # not in the main thread: signals are somebody else's business
            self._before = {}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

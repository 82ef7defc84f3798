"""Signals: the first asks, and at rest it is obeyed on the spot; the second is not argued with."""

import os
import signal
import threading

import pytest

from i2i.engine.watch import Watch
from i2i.errors import Stopped

BOTH = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])


@BOTH
def test_at_rest_a_signal_is_obeyed_wherever_it_finds_the_program(number: signal.Signals) -> None:
    with Watch() as watch:
        with pytest.raises(Stopped):
            signal.raise_signal(number)
        assert watch.asked


@BOTH
def test_at_work_a_signal_only_asks(number: signal.Signals) -> None:
    with Watch() as watch:
        watch.idle = False
        watch.check()
        signal.raise_signal(number)
        assert watch.asked
        with pytest.raises(Stopped):
            watch.check()


@pytest.mark.parametrize("idle", [True, False])
@BOTH
def test_a_sigint_after_another_signal_leaves_at_once(number: signal.Signals, idle: bool) -> None:
    with Watch() as watch:
        watch.idle = False
        signal.raise_signal(number)
        watch.idle = idle
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_sigterm_that_comes_twice_is_one_wish() -> None:
    with Watch() as watch:
        watch.idle = False
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert watch.asked


def test_afterwards_signals_are_what_they_were_before() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Watch():
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] != before
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    with pytest.raises(Stopped), Watch():
        signal.raise_signal(signal.SIGINT)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_in_another_thread_signals_are_somebody_elses_business() -> None:
    before, seen = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with Watch() as watch:
            watch.check()
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_process_group_that_is_told_twice_leaves() -> None:
    # What a terminal does on two times Ctrl-C while nobody looks at `asked`.
    child = os.fork()
    if child == 0:
        with Watch() as watch:
            watch.idle = False
            signal.raise_signal(signal.SIGINT)
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                os._exit(130)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 130

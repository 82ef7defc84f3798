"""Time and memory do not grow with the set; orders of any length are keyed bijections; old orders stay as they were."""

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from i2i.data import Batches, Data, keys, open_split
from i2i.data.order import Order
from i2i.data.tables import columns
from i2i.data.walks import Plain, Slot
from i2i.images import write

Make = Callable[..., Data]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to know how large a process is")


def test_orders_are_what_they_were_for_sets_of_up_to_a_million(tmp_path: Path) -> None:
    """Saved states rest on it: from numpy alone, as the first release drew them."""
    for n, seed, epoch, stream in ((10, 0, 0, 0), (1000, 7, 3, 1)):
        expected = np.random.default_rng(np.random.SeedSequence([1, seed, epoch, stream])).permutation(n)
        given = [Plain(n).slot(seed, stream, epoch * n + at) for at in range(n)]
        assert given == [Slot(stream, epoch, item, item) for item in expected.tolist()]
    assert keys.place(5, keys.LISTED, 1, 2, 0) == keys.permutation(keys.LISTED, 1, 2, 0)[5]
    assert keys.place(5, keys.LISTED + 1, 1, 2, 0) == keys.scattered(5, keys.LISTED + 1, 1, 2, 0)
    order = Order((Plain(50),), 4, 9, range(4))
    slot = order.slots(20)[0][2]
    drawn = [
        int(np.random.default_rng(np.random.SeedSequence([4, 9, slot.epoch, slot.item, 0, attempt])).integers(50))
        for attempt in range(1, 6)
    ]
    assert list(islice(order.candidates(slot), 6)) == [slot.item, *drawn]


def scattered(first: int, last: int, n: int, *key: int) -> np.ndarray:
    return np.array([keys.scattered(at, n, *key) for at in range(first, min(last, n))])


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 17, 100, 4097, 65_536])
def test_a_scattered_order_holds_everything_once(n: int) -> None:
    whole = scattered(0, n, n, 3, 1)
    assert np.array_equal(np.sort(whole), np.arange(n))
    if n > 100:
        assert (whole == np.arange(n)).mean() < 0.05
        assert (whole[:1000] == scattered(0, 1000, n, 3, 2)[: len(whole)]).mean() < 0.05


def test_a_scattered_order_looks_like_chance() -> None:
    n, m = 10_000_019, 40_000
    for epoch in range(2):
        some = scattered(5_000_000, 5_000_000 + m, n, 0, epoch, 0)
        assert len(np.unique(some)) == m
        found = np.histogram(some, 100, (0, n))[0]
        assert ((found - m / 100) ** 2 / (m / 100)).sum() < 160  # chi-square of 99 degrees: 0.01 % are above
        assert abs(np.corrcoef(some[:-1], some[1:])[0, 1]) < 0.02
        assert abs(np.corrcoef(np.arange(m), some)[0, 1]) < 0.02
        steps = np.diff(some)
        assert np.unique(steps).size > 0.98 * m


def test_small_scattered_orders_are_all_equally_likely() -> None:
    counts: dict[tuple[int, ...], int] = {}
    for seed in range(3000):
        order = tuple(scattered(0, 4, 4, seed).tolist())
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 24
    assert sum((count - 125) ** 2 / 125 for count in counts.values()) < 60  # chi-square of 23 degrees


def test_a_large_epoch_holds_no_picture_twice(tmp_path: Path, spec: Make) -> None:
    n = 3 * keys.LISTED
    walk = Plain(n)
    seen = {walk.slot(1, 0, n + at).item for at in range(0, n, 300)}
    assert len(seen) == len(range(0, n, 300))
    assert {walk.slot(1, 0, at).epoch for at in (0, n - 1, n, 2 * n)} == {0, 1, 2}


class Cost(NamedTuple):
    """Of opening a manifest at a position and taking some batches: seconds, and MiB that the process grew by."""

    start: float
    batches: float
    memory: float


def measured(spec: Data, position: int = 0) -> Cost:
    """In a process of its own, which takes this one's imports along."""
    ours, theirs = multiprocessing.Pipe()

    def work() -> None:
        before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
        began = time.perf_counter()
        batches = Batches(spec, batch=16, position=position)
        next(batches)
        ready = time.perf_counter()
        for _ in islice(batches, 50):
            pass
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 2**10
        theirs.send(Cost(ready - began, time.perf_counter() - ready, (most - before) / 2**20))

    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    assert ours.poll(500), "the process died"
    found: Cost = ours.recv()
    child.join()
    return found


@pytest.fixture
def rows(tmp_path: Path) -> Callable[[int], Path]:
    """rows(n): a manifest of n rows over eight pairs of pictures of 64 px."""
    for side in "ab":
        for i in range(8):
            write(tmp_path / "pictures" / side / f"{i}.png", np.full((64, 64, 3), 10 * i, np.uint8))

    def make(n: int) -> Path:
        path = tmp_path / f"{n}.csv"
        with path.open("w") as file:
            file.write("a,b,weight\n")
            file.writelines(f"pictures/a/{i % 8}.png,pictures/b/{i % 8}.png,{i % 5}\n" for i in range(n))
        return path

    return make


def large(spec: Make, manifest: Path) -> Data:
    return spec(layout="paired", manifest=manifest, crop=64, split={"val": 0.1, "test": 0.1})


def test_two_hundred_thousand_rows_cost_little_more_than_a_thousand(
    rows: Callable[[int], Path], spec: Make, fresh_home: Path
) -> None:
    small = measured(large(spec, rows(1000)))
    many = large(spec, rows(200_000))
    first, later = measured(many), measured(many, position=500_000)
    assert first.start < small.start + 5
    assert later.start < small.start + 1
    assert later.batches < 3 * small.batches + 1
    assert max(first.memory, later.memory) < small.memory + 60


@pytest.mark.slow
def test_ten_million_rows_start_soon_and_stay_small(rows: Callable[[int], Path], spec: Make, fresh_home: Path) -> None:
    small = measured(large(spec, rows(1000)))
    many = large(spec, rows(10_000_000))
    first, later = measured(many), measured(many, position=5_000_000 // 16)
    assert first.start < 40  # 20 where nothing else runs
    assert later.start < 3
    assert max(first.memory, later.memory) < small.memory + 200


def test_no_call_looks_at_every_row(rows: Callable[[int], Path], spec: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    told = spec(layout="paired", manifest=rows(150_000), crop=8, split={"val": 0.1, "test": 0.1})
    open_split(told, "train")
    read: list[int] = []
    once = columns.File.read
    monkeypatch.setattr(columns.File, "read", lambda self, at, size: read.append(size) or once(self, at, size))
    monkeypatch.setattr(columns.Paths, "__iter__", None)
    batches = Batches(told, batch=8, position=10**6)
    for _ in islice(batches, 5):
        pass
    batches.close()
    assert 0 < sum(read) < 5 * 8 * 20_000

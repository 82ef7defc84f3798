"""The cache changes how often pictures are decoded, and nothing else: whatever dies, fills the disk or is forbidden."""

import dataclasses
import errno
import fcntl
import multiprocessing
import os
import signal
import time
import tracemalloc
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from i2i.data import Batches, Data, open_split, reading
from i2i.data import cache as caching
from i2i.data.cache import Cache, key, open_cache, record
from i2i.images import read, write

Make = Callable[..., Data]
Fill = Callable[..., None]

WHOLE = {"val": 0, "test": 0}
FORK = multiprocessing.get_context("fork")
PAIR = record(2).size  # bytes


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this test's caches."""
    monkeypatch.setenv("I2I_HOME", str(tmp_path / "home"))
    return tmp_path / "home" / "cache"


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Counts decoded pictures, also those that workers decode."""
    count = FORK.Value("i", 0)

    def counted(*args: Any) -> np.ndarray:
        with count.get_lock():
            count.value += 1
        return read(*args)

    monkeypatch.setattr(reading, "read", counted)
    return count


@pytest.fixture
def told(tmp_path: Path, spec: Make, fill: Fill) -> Callable[..., Data]:
    """told(...): twelve pairs of 20 px, read at 18 px."""
    fill(tmp_path / "data/trainA", 12, size=20)
    fill(tmp_path / "data/trainB", 12, first=100, size=20)
    common = {"layout": "paired", "root": tmp_path / "data", "load": 18, "crop": 16, "split": WHOLE}
    return lambda **more: spec(**common | more)


def take(spec: Data, n: int = 6, batch: int = 4, **more: Any) -> list[Any]:
    batches = Batches(spec, batch=batch, **more)
    given = list(islice(batches, n))
    batches.close()
    return given


def same(one: list[Any], other: list[Any]) -> bool:
    pairs = [(x, y) for a, b in zip(one, other, strict=True) for x, y in zip(a, b, strict=True)]
    return all(torch.equal(x, y) for x, y in pairs)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"layout": "unpaired"},
        {"load": None},
        {"fit": "shorter"},
        {"direction": "b2a", "channels": {"a": 1, "b": 3}},
        {"augment": ["GaussNoise", {"Affine": {"rotate": 20}}]},
    ],
    ids=str,
)
def test_batches_are_the_same_bits_with_and_without(more: Any, workers: int, told: Callable[..., Data]) -> None:
    without = take(told(cache="off", **more))
    for _ in range(2):  # as it is filled, and filled
        assert same(take(told(workers=workers, **more)), without)


def test_pictures_of_different_sizes_are_kept(tmp_path: Path, spec: Make, decoded: Any) -> None:
    rng = np.random.default_rng(0)
    for i in range(9):
        size = (int(rng.integers(16, 40)), int(rng.integers(16, 40)), 3)
        write(tmp_path / "data" / f"{i}.png", rng.integers(0, 256, size, dtype=np.uint8))
    common = {"layout": "unlabelled", "root": tmp_path / "data", "crop": 16, "split": WHOLE}
    without = take(spec(cache="off", **common), 9, 3)
    decoded.value = 0
    assert all(torch.equal(x, y) for x, y in zip(take(spec(**common), 9, 3), without, strict=True))
    assert decoded.value == 9


@pytest.mark.parametrize("workers", [0, 2])
def test_a_second_epoch_and_a_second_run_decode_nothing(workers: int, told: Callable[..., Data], decoded: Any) -> None:
    spec = told(workers=workers)
    batches = Batches(spec, batch=4)
    list(islice(batches, 6))
    batches.close()
    # Workers that look ahead may each decode a picture at the epoch's edge before another has kept it.
    assert 24 <= decoded.value <= 24 + 16 * (workers > 0)
    decoded.value = 0
    take(spec)
    take(told(crop=12, flip=False))  # another recipe that reads the same
    assert decoded.value == 0
    take(told(load=17, crop=12))
    assert decoded.value == 24


def test_what_decides_the_pixels_decides_the_key(tmp_path: Path, told: Callable[..., Data], fill: Fill) -> None:
    def made(**more: Any) -> str:
        spec = told(**more)
        return key(spec, open_split(spec, "train"))

    changes: list[dict[str, Any]] = [
        {"load": None},
        {"load": 19},
        {"fit": "shorter"},
        {"direction": "b2a"},
        {"channels": {"a": 1}},
        {"channels": {"a": {"labels": 5}}},
        {"channels": {"a": {"palette": ["#000000", "#ffffff"]}}},
        {"channels": {"a": {"palette": ["#000000", "#fffffe"]}}},
        {"bits": 16},
        {"condition": ["mask"]},
        {"condition": ["other"]},
        {"condition": [{"name": "mask", "channels": {"labels": 2}}]},
        {"layout": "unpaired"},
    ]
    for name in ("mask", "other"):
        fill(tmp_path / f"data/train{name}", 12, size=20)
    assert len({made(), *(made(**change) for change in changes)}) == len(changes) + 1
    for nothing in ({"crop": 8}, {"flip": False}, {"augment": ["Blur"]}, {"skip": 0}, {"workers": 1}):
        assert made(**nothing) == made()


@pytest.mark.parametrize("sly", [False, True])
def test_a_changed_picture_is_decoded_anew(sly: bool, tmp_path: Path, spec: Make) -> None:
    path = tmp_path / "data" / "x.bmp"
    write(path, np.zeros((16, 16, 3), np.uint8))
    told = spec(layout="unlabelled", root=tmp_path / "data", crop=16, split=WHOLE)
    before, state = take(told, 1, 1)[0], path.stat()
    time.sleep(0.02)  # clocks of file systems are coarse
    write(path, np.full((16, 16, 3), 255, np.uint8), force=True)
    if sly:  # as tools do that keep the times of what they copy
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert path.stat().st_size == state.st_size
    assert (before == -1).all()
    assert (take(told, 1, 1)[0] == 1).all()


def _flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


DAMAGE: dict[str, Callable[[Path, Path], Any]] = {
    "a flipped bit of a picture": lambda index, data: _flip(data, 1000),
    "a flipped bit of a shape": lambda index, data: _flip(index, 3 * PAIR + 12),
    "a flipped bit of a depth": lambda index, data: _flip(index, 3 * PAIR + 22),
    "a flipped bit of an offset": lambda index, data: _flip(index, 3 * PAIR + 8),
    "half of the pictures": lambda index, data: os.truncate(data, data.stat().st_size // 2),
    "no pictures": lambda index, data: os.truncate(data, 0),
    "half of the records": lambda index, data: os.truncate(index, PAIR * 6 + 7),
    "rubbish for records": lambda index, data: index.write_bytes(b"\xff" * index.stat().st_size),
    "no index": lambda index, data: index.unlink(),
    "no data": lambda index, data: data.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_cache_is_mended(damage: str, place: Path, told: Callable[..., Data], decoded: Any) -> None:
    whole = take(told())
    (index,), (data,) = place.glob("*.index"), place.glob("*.data")
    DAMAGE[damage](index, data)
    decoded.value = 0
    assert same(take(told()), whole)
    assert decoded.value > 0
    decoded.value = 0
    assert same(take(told()), whole)
    assert decoded.value == 0


def test_a_killed_process_leaves_no_half_picture(place: Path, told: Callable[..., Data]) -> None:
    whole = take(told(cache="off"))
    for moment in range(6):
        process = FORK.Process(target=take, args=(told(), 100))
        process.start()
        time.sleep(0.004 * moment)
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        assert same(take(told(), 1), whole[:1])
    assert same(take(told()), whole)


def test_pictures_written_without_their_record_are_not_there(place: Path) -> None:
    cache = Cache(place, "k", 2, 2**20, 2)
    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    cache.put(0, [picture])
    (place / "k.data").write_bytes((place / "k.data").read_bytes() + b"half a picture")
    again = Cache(place, "k", 2, 2**20, 2)
    assert again.get(1) is None
    again.put(1, [picture + 1, picture[:2]])
    pair = Cache(place, "k", 2, 2**20, 2).get(1)
    assert pair is not None
    assert np.array_equal(pair[0], picture + 1)
    assert np.array_equal(pair[1], picture[:2])
    kept = again.get(0)
    assert kept is not None
    assert np.array_equal(kept[0], picture)


def test_processes_fill_one_cache_together(place: Path, told: Callable[..., Data], decoded: Any) -> None:
    without = take(told(cache="off"))
    failed = FORK.Value("i", 0)

    def fill(seed: int) -> None:
        if not same(take(told(workers=seed % 2), 12, seed=0), without + take(told(cache="off"), 6, position=6)):
            failed.value = 1

    together = [FORK.Process(target=fill, args=(seed,)) for seed in range(3)]
    for process in together:
        process.start()
    for process in together:
        process.join()
    assert not any(process.exitcode for process in together)
    assert not failed.value
    (data,) = place.glob("*.data")
    assert data.stat().st_size == 12 * 2 * 18 * 18 * 3  # nothing twice
    decoded.value = 0
    assert same(take(told()), without)
    assert decoded.value == 0


def test_a_fork_locks_for_itself(place: Path) -> None:
    cache = Cache(place, "k", 1, 2**20)
    assert cache.get(0) is None  # opens the files
    fcntl.flock(cache._index_file, fcntl.LOCK_EX)
    child = FORK.Process(target=cache.put, args=(0, [np.zeros((2, 2, 3), np.uint8)]))
    child.start()
    child.join(0.3)
    assert child.is_alive()  # waits for us, although it was born with our lock
    assert cache.get(0) is None
    fcntl.flock(cache._index_file, fcntl.LOCK_UN)
    child.join(10)
    assert cache.get(0) is not None


def test_two_that_decoded_one_picture_keep_it_once(place: Path) -> None:
    one, other = (Cache(place, "k", 1, 2**20) for _ in range(2))
    assert one.get(0) is None
    assert other.get(0) is None
    for cache in (one, other):
        cache.put(0, [np.zeros((2, 2, 3), np.uint8)])
    assert (place / "k.data").stat().st_size == 12


@pytest.mark.parametrize("workers", [0, 2])
def test_a_place_that_cannot_be_written_is_told_once(
    workers: int, tmp_path: Path, told: Callable[..., Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    without = take(told(cache="off"))
    (tmp_path / "file").write_text("no folder")
    for home in (tmp_path / "file", Path("/proc/nowhere")):
        monkeypatch.setenv("I2I_HOME", str(home))
        said: list[str] = []
        assert same(take(told(workers=workers), warn=said.append), without)
        (line,) = said
        assert str(home / "cache") in line
        assert "\n" not in line


def test_a_full_disk_ends_the_cache_and_not_the_run(
    place: Path, told: Callable[..., Data], monkeypatch: pytest.MonkeyPatch
) -> None:
    without = take(told(cache="off"), 12)
    pwrite, left = os.pwrite, [5000]

    def nearly_full(file: int, content: Any, offset: int) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = pwrite(file, memoryview(content)[: left[0]], offset)
        left[0] -= written
        return written

    monkeypatch.setattr(os, "pwrite", nearly_full)
    said: list[str] = []
    assert same(take(told(), 12, warn=said.append), without)
    assert len(said) == 1
    assert "No space left on device" in said[0]
    item = 2 * 18 * 18 * 3
    assert (next(place.glob("*.data"))).stat().st_size == 5000 // item * item  # the disk gets back what was halved


def test_a_budget_is_kept_and_what_fits_is_used(place: Path, told: Callable[..., Data], decoded: Any) -> None:
    item = 2 * 18 * 18 * 3
    without = take(told(cache="off"), 9)
    decoded.value = 0
    said: list[str] = []
    assert same(take(told(cache=5 * item + 100), 9, warn=said.append), without)
    assert next(place.glob("*.data")).stat().st_size == 5 * item
    assert decoded.value == 2 * (12 + 7 + 7)  # seven of the twelve pairs did not fit
    assert not said


def test_the_least_recently_used_cache_makes_room_unless_it_is_in_use(place: Path) -> None:
    picture = np.zeros((10, 10, 3), np.uint8)
    for age, name in ((30, "old"), (20, "used"), (10, "new")):
        Cache(place, name, 1, 2**20).put(0, [picture])
        then = time.time() - age
        os.utime(place / f"{name}.data", (then, then))
    using = Cache(place, "used", 1, 2**20)
    assert using.get(0) is not None
    then = time.time() - 40
    os.utime(place / "used.data", (then, then))  # the oldest now, but open
    third = Cache(place, "third", 1, 1000)
    third.put(0, [picture])
    assert {path.stem for path in place.glob("*.data")} == {"used", "new", "third"}
    assert {path.stem for path in place.glob("*.index")} == {"used", "new", "third"}
    fourth = Cache(place, "fourth", 1, 600)  # too small for itself and the two that are open
    fourth.put(0, [picture])
    assert fourth.get(0) is None
    assert fourth.trouble is None
    assert using.get(0) is not None


def test_room_is_left_on_the_disk(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching, "SPARE", 2**62)
    cache = Cache(place, "k", 1, 2**62)
    cache.put(0, [np.zeros((2, 2, 3), np.uint8)])
    assert cache.get(0) is None


def test_a_cache_that_is_removed_while_it_opens_is_opened_anew(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.full((2, 2, 3), 7, np.uint8)
    Cache(place, "k", 1, 2**20).put(0, [picture])
    flock, removals = fcntl.flock, [1]

    def late(file: int, how: int) -> None:
        if how == fcntl.LOCK_SH and removals:
            removals.pop()
            (place / "k.data").unlink()
            (place / "k.index").unlink()
        flock(file, how)

    monkeypatch.setattr(fcntl, "flock", late)
    cache = Cache(place, "k", 1, 2**20)
    cache.put(0, [picture])
    kept = Cache(place, "k", 1, 2**20).get(0)
    assert kept is not None
    assert (kept[0] == 7).all()


def test_off_leaves_no_trace(place: Path, told: Callable[..., Data]) -> None:
    take(told(cache="off"))
    assert not place.exists()
    assert open_cache(told(cache="off"), open_split(told(), "train")) is None


def test_items_of_any_planes_and_both_depths_are_kept(place: Path) -> None:
    rng = np.random.default_rng(0)
    items = [
        [rng.integers(0, 256, (3, 5, 1), dtype=np.uint8), rng.integers(0, 65536, (3, 5, 3), dtype=np.uint16)],
        [rng.integers(0, 65536, (7, 2, 7), dtype=np.uint16)] + [rng.integers(0, 256, (7, 2, 4), dtype=np.uint8)] * 3,
        [rng.integers(0, 256, (1, 1, 1), dtype=np.uint8)],
    ]
    cache = Cache(place, "k", len(items), 2**20, 4)
    for number, pictures in enumerate(items):
        cache.put(number, pictures)
    for opened in (cache, Cache(place, "k", len(items), 2**20, 4)):
        for number, pictures in enumerate(items):
            kept = opened.get(number)
            assert kept is not None
            assert [(each.dtype, each.tolist()) for each in kept] == [(each.dtype, each.tolist()) for each in pictures]


def test_what_has_no_record_takes_neither_disk_nor_memory(place: Path) -> None:
    cache = Cache(place, "k", 10_000_000, 2**30, 3)
    tracemalloc.start()
    cache.put(9_999_999, [np.zeros((2, 2, 3), np.uint8)])
    assert cache.get(9_999_999) is not None
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 11_000_000  # a byte for each item, and little else
    assert (place / "k.index").stat().st_blocks * 512 < 2**16


def test_a_split_that_cannot_tell_of_changes_is_not_kept(place: Path, told: Callable[..., Data]) -> None:
    split = open_split(told(), "train")
    assert open_cache(told(), split) is not None
    assert open_cache(told(), dataclasses.replace(split, stamp=None)) is None

"""Reads damaged pictures under a memory limit, in a process of its own; prints what became of them as JSON.

    python tests/images/mutants.py FIRST COUNT

Number i is one seed file of the corpus, damaged as the random numbers of key i say. Any way out but pixels or a
UserError is a failure; a crash is one too, and the number of the file that caused it stands on stderr.
"""

import contextlib
import io
import json
import resource
import struct
import sys
import time
import warnings

import numpy as np
from corpus import corpus

from i2i import images
from i2i.errors import UserError
from i2i.images import png

LIMIT = 2**31  # bytes of address space; libraries, threads' stacks and all
SLOW = 20.0  # seconds for one small file


def damaged(key: int, seeds: list[tuple[str, bytes]]) -> tuple[str, bytes]:
    """(what was done, bytes)."""
    rng = np.random.default_rng(key)
    name, whole = seeds[key % len(seeds)]
    data = bytearray(whole)
    ways = [flip, overwrite, lengths, cut, splice, repeat]
    if name.endswith(".png"):
        ways.append(mend_sums)
    for _ in range(rng.integers(1, 4)):
        way = ways[rng.integers(len(ways))]
        data = way(data, rng, seeds) or bytearray(b"\0")
        name += f" {way.__name__}"
    return name, bytes(data)


Seeds = list[tuple[str, bytes]]


def flip(data: bytearray, rng: np.random.Generator, seeds: Seeds) -> bytearray:
    for _ in range(rng.integers(1, 6)):
        data[_place(data, rng)] ^= 1 << int(rng.integers(8))
    return data


def overwrite(data: bytearray, rng: np.random.Generator, seeds: Seeds) -> bytearray:
    for _ in range(rng.integers(1, 6)):
        data[_place(data, rng)] = int(rng.choice([0, 1, 127, 128, 255, int(rng.integers(256))]))
    return data


def lengths(data: bytearray, rng: np.random.Generator, seeds: Seeds) -> bytearray:
    """Numbers of 2, 4 or 8 bytes that are too large, zero, or off by one, wherever sizes and offsets may stand."""
    form = rng.choice(["<H", ">H", "<I", ">I", "<Q", ">Q"])
    size = struct.calcsize(form)
    if len(data) > size:
        at = min(_place(data, rng), len(data) - size)
        old = struct.unpack_from(form, data, at)[0]
        top = 256**size - 1
        new = int(rng.choice([0, 1, top, top // 2, 65535, 30000, 2**20, 2**28])) if rng.random() < 0.7 else old + 1
        struct.pack_into(form, data, at, min(new, top))
    return data


def cut(data: bytearray, rng: np.random.Generator, seeds: Seeds) -> bytearray:
    return data[: int(rng.integers(len(data) + 1))]


def splice(data: bytearray, rng: np.random.Generator, seeds: Seeds) -> bytearray:
    """The beginning of one file and the end of another."""
    other = seeds[rng.integers(len(seeds))][1]
    return data[: _place(data, rng)] + other[int(rng.integers(len(other))) :]


def repeat(data: bytearray, rng: np.random.Generator, seeds: Seeds) -> bytearray:
    first, last = sorted(int(i) for i in rng.integers(len(data) + 1, size=2))
    return data[:last] + data[first:last] * int(rng.integers(1, 20)) + data[last:]


def mend_sums(data: bytearray, rng: np.random.Generator, seeds: Seeds) -> bytearray:
    """Damage inside a PNG's chunks, and right checksums, so that decoders go on."""
    result = bytearray(png.SIGNATURE)
    for kind, position, length in list(png.chunks(io.BytesIO(data))):
        inner = bytearray(data[position : position + length])
        if inner and rng.random() < 0.5:
            inner = flip(inner, rng, seeds) if rng.random() < 0.5 else lengths(inner, rng, seeds)
        result += png.chunk(kind, bytes(inner))
    return result


def _place(data: bytearray, rng: np.random.Generator) -> int:
    """Mostly near the beginning, where headers are."""
    return int(len(data) * rng.random() ** (2 if rng.random() < 0.7 else 1))


def walk(data: bytes) -> None:
    """All that a translation would read, and before it what training would."""
    with contextlib.suppress(UserError):
        assert images.read(data).dtype == np.uint8
    with images.opened(data) as reader:
        for frame in reader.frames(reader.kind.channels, 16 if reader.kind.bits > 8 else 8):
            shape = (reader.kind.height, reader.kind.width, reader.kind.channels)
            assert frame.pixels.shape == shape, f"{frame.pixels.shape} instead of {shape}"
            assert frame.alpha is None or frame.alpha.shape == shape[:2]


def peak() -> float:
    """Megabytes of this process at its most. (`ru_maxrss` of a new process begins with its parent's.)"""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024


def main() -> None:
    first, count = int(sys.argv[1]), int(sys.argv[2])
    seeds = list(corpus().items())
    for _, data in seeds:
        walk_seed(data)
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    idle = peak()
    told = {"count": count, "read": 0, "refused": 0, "slowest": 0.0, "failures": []}
    began = time.perf_counter()
    for key in range(first, first + count):
        name, data = damaged(key, seeds)
        print(key, name, file=sys.stderr, flush=True)
        start = time.perf_counter()
        try:
            walk(data)
            told["read"] += 1
        except UserError:
            told["refused"] += 1
        except Exception as error:
            told["failures"].append(f"{key} {name}: {error!r}")
        took = time.perf_counter() - start
        if took > told["slowest"]:
            told |= {"slowest": took, "slowest_file": f"{key} {name}"}
        if took > SLOW:
            told["failures"].append(f"{key} {name}: {took:.0f} s")
    print(json.dumps(told | {"seconds": time.perf_counter() - began, "peak_mb": peak(), "idle_mb": idle}))


def walk_seed(data: bytes) -> None:
    """Undamaged, every seed is a picture; `read` alone does not take five channels, floats and the like."""
    with images.opened(data) as reader:
        list(reader.frames(reader.kind.channels))


if __name__ == "__main__":
    main()

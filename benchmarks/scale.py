"""What ten million rows cost: the first start, a later one, memory, the first batches, and resuming in the middle.

    python benchmarks/scale.py [--help]

A manifest of so many rows is written, whose files are a few real small pictures over and over, so that batches really
load. Each start is a process of its own; memory is its largest resident set, beside that of the same process on a set
of 1000 rows. With --weights rows are drawn in proportion to a column.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

FIRST, LATER, MEMORY = 20.0, 3.0, 200.0  # seconds, seconds and MiB not to exceed
BATCH, BATCHES, CROP, PICTURES = 16, 100, 64, 8


def write_rows(path: Path, rows: int, weights: bool) -> None:
    """The manifest, .csv or .jsonl."""
    with path.open("w") as file:
        if path.suffix == ".csv":
            file.write("a,b,weight\n" if weights else "a,b\n")
        for first in range(0, rows, 10**5):
            file.writelines(_lines(path.suffix, first, min(first + 10**5, rows), weights))


def _lines(suffix: str, first: int, last: int, weights: bool) -> Iterator[str]:
    for row in range(first, last):
        a, b, weight = f"pictures/a/{row % PICTURES:06}.jpg", f"pictures/b/{row % PICTURES:06}.jpg", row % 5
        if suffix == ".csv":
            yield f"{a},{b},{weight}\n" if weights else f"{a},{b}\n"
        else:
            yield json.dumps({"a": a, "b": b} | ({"weight": weight} if weights else {})) + "\n"


def write_pictures(folder: Path) -> None:
    import numpy as np

    from i2i.images import write

    rng = np.random.default_rng(0)
    for side in "ab":
        for i in range(PICTURES):
            write(folder / "pictures" / side / f"{i:06}.jpg", rng.integers(0, 256, (CROP, CROP, 3), dtype=np.uint8))


def start(path: Path, position: int) -> dict[str, float]:
    """In this process: seconds until a stream is there, of its first batches, and the largest resident set, MiB."""
    from i2i.data import Batches, PairedData

    spec = PairedData.model_validate({"layout": "paired", "manifest": path, "crop": CROP, "cache": "off", "workers": 0})
    began = time.perf_counter()
    batches = Batches(spec, batch=BATCH, position=position)
    next(batches)
    ready = time.perf_counter() - began
    for _ in islice(batches, BATCHES - 1):
        pass
    whole = time.perf_counter() - began
    batches.close()
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, KiB elsewhere
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return {"start": ready, "batches": whole - ready, "memory": memory}


def measured(path: Path, position: int = 0) -> dict[str, float]:
    """The same in a process of its own."""
    told = subprocess.run(
        [sys.executable, __file__, "--start", str(path), "--position", str(position)],
        check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    found: dict[str, float] = json.loads(told.stdout.splitlines()[-1])
    return found


def main() -> bool:
    """Prints the figures; whether they are as good as they should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10**7, help="of the manifest (10 million)")
    parser.add_argument("--suffix", default=".csv", choices=(".csv", ".jsonl"), help="of the manifest (.csv)")
    parser.add_argument("--weights", action="store_true", help="rows have weights from 0 to 4")
    parser.add_argument("--start", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--position", type=int, default=0, help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.start:
        print(json.dumps(start(told.start, told.position)))
        return True
    with tempfile.TemporaryDirectory() as place:
        os.environ["I2I_HOME"] = f"{place}/home"
        folder = Path(place)
        write_pictures(folder)
        small, large = folder / f"small{told.suffix}", folder / f"large{told.suffix}"
        write_rows(small, 1000, told.weights)
        write_rows(large, told.rows, told.weights)
        measured(small)  # files that Python reads are warm now
        few, first, later = measured(small), measured(large), measured(large)
        middle = measured(large, told.rows // 2 // BATCH)
        sizes = [large.stat().st_size, sum(f.stat().st_size for f in (folder / "home").rglob("*") if f.is_file())]
        table, index = (size / 2**20 for size in sizes)
        print(f"{told.rows:,} rows, {table:,.0f} MiB of {told.suffix}; all indexes {index:,.0f} MiB")
    report("first start", first, few)
    report("later start", later, few)
    report("resume in the middle", middle, few)
    return (
        first["start"] <= FIRST
        and max(later["start"], middle["start"]) <= LATER
        and max(each["memory"] for each in (first, later, middle)) - few["memory"] <= MEMORY
    )


def report(what: str, found: dict[str, Any], few: dict[str, Any]) -> None:
    print(
        f"{what:20} first batch after {found['start']:6.2f} s, {BATCHES - 1} more batches of {BATCH} pairs in "
        f"{found['batches']:5.2f} s; {found['memory']:5.0f} MiB, {found['memory'] - few['memory']:+.0f} to 1000 rows"
    )


if __name__ == "__main__":
    sys.exit(not main())

"""What a picture costs until it is in a batch: the field's usual pipeline beside ours, from wherever pictures lie.

    python benchmarks/loader.py [--help]

The usual one is written plainly with Pillow and torchvision: open → RGB → 286 × 286 bicubic → random crop 256 →
mirror → tensor → [-1, 1], in a DataLoader with as many workers. Pictures are JPEGs cut from the embedded maps of the
Earth, so they have the textures of photographs. Ours reads the same files cold, from its cache of decoded pictures,
from a manifest, from shards on the disk, and from shards that a server of this machine's hands out, which are fetched
anew in each round. All are interleaved, and medians of the ratios within a round are compared. With no workers
processor time is measured, which other programs on the machine hardly change; the server is a process of its own.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from i2i import paths
from i2i.data import Batches, UnlabelledData
from i2i.data.augment import resize
from i2i.images import read

LEAST = {"cold": 1.5, "cached": 5.0, "manifest": 1.5, "shards": 1.5, "http": 1.2}  # the ratios to reach
LOAD, CROP = 286, 256


class Plain(Dataset[Tensor]):
    """As it is written everywhere."""

    def __init__(self, folder: Path) -> None:
        self.files = sorted(folder.glob("*.jpg"))
        self.transform = transforms.Compose(
            [
                transforms.Resize((LOAD, LOAD), transforms.InterpolationMode.BICUBIC),
                transforms.RandomCrop(CROP),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
            ]
        )

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        return self.transform(Image.open(self.files[index]).convert("RGB"))


def cut(folder: Path, count: int, side: int) -> None:
    """`count` JPEGs of side × side pixels, from the maps by day and of the relief."""
    rng = np.random.default_rng(0)
    maps = [read(paths.shared("datasets") / "earth" / name) for name in ("day_2048.jpg", "relief_2048.jpg")]
    for i in range(count):
        pixels = maps[i % 2]
        top, left = (int(rng.integers(0, length - side + 1)) for length in pixels.shape[:2])
        # Pillow's own settings, chroma at half resolution: what most photographs on a disk look like
        Image.fromarray(pixels[top : top + side, left : left + side]).save(folder / f"{i:04}.jpg", quality=90)


def pack(folder: Path, count: int) -> Path:
    """The pictures of a folder in shards of `count`, beside it."""
    shards = folder.with_name("shards")
    shards.mkdir()
    files = sorted(folder.glob("*.jpg"))
    for first in range(0, len(files), count):
        with tarfile.open(shards / f"train-{first // count:06}.tar", "w") as tar:
            for file in files[first : first + count]:
                tar.add(file, file.name)
    entries = [
        {"file": path.name, "bytes": path.stat().st_size, "samples": min(count, len(files) - count * i)}
        for i, path in enumerate(sorted(shards.glob("*.tar")))
    ]
    (shards / "index.json").write_text(json.dumps({"format": 1, "splits": {"train": entries}}))
    return shards


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The URL of a folder, handed out by another process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(folder)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def measure(folder: Path, shards: Path, url: str, rounds: int, batch: int, workers: int) -> dict[str, list[float]]:
    """Milliseconds of a picture in each of the pipelines, round by round; the first round warms up and is left out."""
    clock = time.perf_counter if workers else time.process_time
    plain = Plain(folder)
    spent: dict[str, list[float]] = {}
    common = {"layout": "unlabelled", "load": LOAD, "crop": CROP, "split": {"val": 0, "test": 0}, "workers": workers}

    def ours(**place: Any) -> Batches:
        return Batches(UnlabelledData.model_validate({**common, **place}), batch=batch)

    def epoch(name: str, batches: Iterator[Any]) -> None:
        began = clock()
        given = sum(len(x) for x in islice(batches, len(plain) // batch))
        spent.setdefault(name, []).append((clock() - began) / given * 1e3)

    table = folder.with_name("rows.csv")
    table.write_text("a\n" + "".join(f"{path}\n" for path in sorted(folder.glob("*.jpg"))))
    for _ in range(rounds + 1):
        epoch("plain", iter(DataLoader(plain, batch, shuffle=True, num_workers=workers, drop_last=True)))
        shutil.rmtree(paths.home() / "cache", ignore_errors=True)
        files = ours(root=folder)
        epoch("cold", files)
        for _ in range(workers):  # what workers have prepared ahead belongs to no epoch
            next(files)
        epoch("cached", files)
        files.close()
        for name, place in (
            ("manifest", {"manifest": table, "cache": "off"}),
            ("shards", {"shards": str(shards)}),
            ("http", {"shards": url}),
        ):
            batches = ours(**place)
            epoch(name, batches)
            batches.close()
    return {name: each[1:] for name, each in spent.items()}


def main() -> bool:
    """Prints all and their ratios; whether they are as good as they should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=64, help="in the folder (64)")
    parser.add_argument("--side", type=int, default=512, help="of a picture in pixels, at most 1024 (512)")
    parser.add_argument("--rounds", type=int, default=9, help="of all, one after the other (9)")
    parser.add_argument("--batch", type=int, default=8, help="pictures in a batch, a divisor of --pictures (8)")
    parser.add_argument("--workers", type=int, default=0, help="processes that load, 0 for none but this (0)")
    told = parser.parse_args()
    if told.pictures % told.batch:
        parser.error(f"--batch must divide --pictures, got {told.batch} and {told.pictures}")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        os.environ["I2I_HOME"] = f"{place}/home"
        folder = Path(place) / "pictures"
        folder.mkdir()
        cut(folder, told.pictures, told.side)
        picture = read(folder / "0000.jpg")
        pillow = np.asarray(Image.fromarray(picture).resize((LOAD, LOAD), Image.Resampling.BICUBIC))
        apart = np.abs(resize(picture, LOAD, "stretch").astype(int) - pillow).max()
        print(f"{told.pictures} JPEGs of {told.side}×{told.side} → {LOAD} → {CROP}, {told.workers} workers;", end=" ")
        print(f"our resize and Pillow's differ by at most {apart} of 255")
        shards = pack(folder, max(1, told.pictures // 4))
        with served(shards) as url:
            taken = measure(folder, shards, url, told.rounds, told.batch, told.workers)
    ratios = {name: median(a / b for a, b in zip(taken["plain"], each, strict=True)) for name, each in taken.items()}
    for name, each in taken.items():
        aim = f" (at least {LEAST[name]})" if name in LEAST else ""
        print(f"{name:9} {median(each):6.2f} ms a picture, {ratios[name]:5.2f} × as fast as plain{aim}")
    return all(ratios[name] >= least for name, least in LEAST.items())


if __name__ == "__main__":
    sys.exit(not main())

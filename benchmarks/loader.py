"""What a picture costs until it is in a batch: the field's usual pipeline, ours from the file, ours from the cache.

    python benchmarks/loader.py [--help]

The usual one is written plainly with Pillow and torchvision: open → RGB → 286 × 286 bicubic → random crop 256 →
mirror → tensor → [-1, 1], in a DataLoader with as many workers. Pictures are JPEGs cut from the embedded maps of the
Earth, so they have the textures of photographs. The three are interleaved, and medians are compared. With no workers
processor time is measured, which other programs on the machine hardly change.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
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

CACHED, COLD = 5.0, 1.5  # the ratios to reach
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


def measure(folder: Path, rounds: int, batch: int, workers: int) -> dict[str, float]:
    """Median milliseconds of a picture in each of the three pipelines."""
    clock = time.perf_counter if workers else time.process_time
    plain = Plain(folder)
    spent: dict[str, list[float]] = {"plain": [], "cold": [], "cached": []}
    whole = {"val": 0, "test": 0}
    spec = UnlabelledData.model_validate(
        {"layout": "unlabelled", "root": folder, "load": LOAD, "crop": CROP, "split": whole, "workers": workers}
    )

    def epoch(name: str, batches: Iterator[Any]) -> None:
        began = clock()
        given = sum(len(x) for x in islice(batches, len(plain) // batch))
        spent[name].append((clock() - began) / given * 1e3)

    for _ in range(rounds + 1):
        epoch("plain", iter(DataLoader(plain, batch, shuffle=True, num_workers=workers, drop_last=True)))
        shutil.rmtree(paths.home() / "cache", ignore_errors=True)
        ours = Batches(spec, batch=batch)
        epoch("cold", ours)
        for _ in range(workers):  # what workers have prepared ahead belongs to no epoch
            next(ours)
        epoch("cached", ours)
        ours.close()
    return {name: median(each[1:]) for name, each in spent.items()}  # the first round warms up


def main() -> bool:
    """Prints the three and their ratios; whether they are as good as they should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=64, help="in the folder (64)")
    parser.add_argument("--side", type=int, default=512, help="of a picture in pixels, at most 1024 (512)")
    parser.add_argument("--rounds", type=int, default=9, help="of the three, one after the other (9)")
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
        taken = measure(folder, told.rounds, told.batch, told.workers)
    cold, cached = taken["plain"] / taken["cold"], taken["plain"] / taken["cached"]
    print(f"plain  {taken['plain']:6.2f} ms a picture")
    print(f"cold   {taken['cold']:6.2f} ms, {cold:5.2f} × as fast (at least {COLD})")
    print(f"cached {taken['cached']:6.2f} ms, {cached:5.2f} × as fast (at least {CACHED})")
    return cold >= COLD and cached >= CACHED


if __name__ == "__main__":
    sys.exit(not main())

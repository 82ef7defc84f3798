"""How time and memory of a step grow with the size of the pictures, the width of the networks, the batch and the
number of pictures.

    python benchmarks/growth.py --help

Each row doubles one thing and keeps the others. The exponent is that of a power law through the row and the one above:
1 is proportional, 2 is fourfold for twice, 0 does not grow. Memory is what all tensors of a step take at most. For the
number of pictures real folders of small files are made, and a stream over them is opened, timed and closed.
"""

import argparse
import itertools
import math
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from common import build, interleaved, machine, pictures, settings_of
from PIL import Image

from i2i.data import Batches
from i2i.engine.memory import Peak, told

BASE = {"size": 64, "width": 16, "batch": 4}
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "cyclegan": ("unpaired", {"kind": "resnet", "blocks": 6}),
    "pix2pix": ("paired", {"kind": "unet", "levels": 5}),
}
ROWS = {"size": [32, 64, 128], "width": [8, 16, 32], "batch": [1, 2, 4, 8]}


def measured(model: str, rounds: int, device: torch.device, runs: Iterable[dict[str, int]]) -> list[tuple[float, int]]:
    """Seconds and peak bytes of a step for each of these sizes, interleaved."""
    calls, bytes_ = {}, []
    for number, of in enumerate(runs):
        layout, generator = NETWORKS[model]
        settings = settings_of(
            model,
            batch=of["batch"],
            data={"layout": layout, "root": ".", "crop": of["size"]},
            generator={**generator, "width": of["width"]},
            discriminator={"kind": "patch", "layers": 2, "width": of["width"]},
        )
        players, game = build(settings, device)
        batch = pictures(of["batch"], of["size"], device)

        def step(players: Any = players, game: Any = game, batch: Any = batch) -> None:
            players.adversarial(itertools.repeat(batch), game)

        step()
        with Peak(device) as peak:
            step()
        calls[str(number)] = step
        bytes_.append(peak.before + peak.bytes)
    times = interleaved(calls, rounds, device)
    return [(median(times[str(number)]), count) for number, count in enumerate(bytes_)]


def exponent(values: list[float], sizes: list[float], at: int) -> str:
    if at == 0:
        return ""
    return f"{math.log(values[at] / values[at - 1]) / math.log(sizes[at] / sizes[at - 1]):.2f}"


def of_steps(model: str, rounds: int, device: torch.device) -> None:
    print(f"\n{model}: {', '.join(f'{key} {value}' for key, value in BASE.items())} unless said otherwise")
    print(f"{'':14}{'s a step':>10}{'exponent':>10}{'memory':>10}{'exponent':>10}{'s a picture':>13}")
    for key, sizes in ROWS.items():
        found = measured(model, rounds, device, [{**BASE, key: size} for size in sizes])
        times, counts = [taken for taken, _ in found], [float(count) for _, count in found]
        for at, size in enumerate(sizes):
            batch = size if key == "batch" else BASE["batch"]
            print(f"{key + ' ' + str(size):14}{times[at]:10.3f}{exponent(times, sizes, at):>10}{told(counts[at]):>10}"
                  f"{exponent(counts, sizes, at):>10}{times[at] / batch:13.4f}")  # fmt: skip


def of_pictures(lengths: list[int], rounds: int, device: torch.device) -> None:
    """Opening a folder, which reads its names and the headers of its files, and then each batch of a stream."""
    print(f"\n{'pictures':14}{'s to open':>10}{'exponent':>10}{'ms a batch of 8':>17}{'exponent':>10}")
    opened, fetched = [], []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        picture = root / "one.png"
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(picture)
        for at, length in enumerate(lengths):
            train = root / str(length)
            train.mkdir()
            for i in range(length):
                os.link(picture, train / f"{i:07d}.png")
            settings = settings_of("dcgan", data={"layout": "unlabelled", "root": str(train), "crop": 32})
            stream = Batches(settings.data, "train", 8, 0, device)
            times = interleaved(
                {"open": lambda data=settings.data: Batches(data, "train", 8, 0, device).close(),
                 "next": lambda stream=stream: next(stream)},
                max(5, rounds), torch.device("cpu"),
            )  # fmt: skip
            stream.close()
            opened.append(median(times["open"]))
            fetched.append(median(times["next"]))
            print(f"{length:<14}{opened[-1]:10.3f}{exponent(opened, lengths, at):>10}{1000 * fetched[-1]:17.2f}"
                  f"{exponent(fetched, lengths, at):>10}")  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=["cyclegan", "pix2pix"], choices=["cyclegan", "pix2pix"])
    parser.add_argument("--pictures", type=int, nargs="*", default=[1000, 4000, 16000], help="lengths of folders")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    for model in options.models:
        of_steps(model, options.rounds, device)
    if options.pictures:
        of_pictures(sorted(options.pictures), options.rounds, device)
    print(machine(device))


if __name__ == "__main__":
    main()

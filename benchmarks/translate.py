"""`i2i translate` against bare onnxruntime: its start, its throughput, its memory, and tiles against the whole picture.

    python benchmarks/translate.py --part start throughput memory tiles --models compact resnet unet pix2pix

Weights are random, from seed 0; pictures are parts of the shipped map of the Earth. Each part prints a Markdown table.
Times of processes are their CPU seconds on `--threads` threads, interleaved, medians; peaks are of whole processes.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from common import machine, ratio, settings_of

from i2i import export, images, zoo
from i2i.models import MODELS
from i2i.paths import shared
from i2i.runtime import Exported, tiles
from i2i.translator import Translator

GENERATORS = {
    "unet": {"kind": "unet", "levels": 5, "width": 32, "norm": "instance-affine", "upsample": "resize-conv"},
    "pix2pix": {"kind": "unet", "levels": 8, "width": 64, "norm": "batch"},
    "resnet": {"kind": "resnet", "blocks": 9, "width": 64},
    "compact": {"kind": "compact", "width": 64},
}
BARE = """
import sys
import numpy as np
import onnxruntime as ort
from PIL import Image
session = ort.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
picture = np.asarray(Image.open(sys.argv[2]).convert("RGB"))
(result,) = session.run(None, {"picture": picture[None]})
Image.fromarray(result[0]).save(sys.argv[3])
"""
PEAK = """
import resource, sys
import numpy as np
from pathlib import Path
from i2i.runtime import Exported, tiles
model, side = Exported(Path(sys.argv[1]), "cpu", threads=1), int(sys.argv[2])
small = np.load(sys.argv[3], mmap_mode="r")
rows, columns = np.arange(side) % small.shape[0], np.arange(side) % small.shape[1]
picture = np.empty((side, side, 3), np.uint8)
for row, source in zip(picture, rows):
    row[:] = small[source, columns]
for _ in range(2 if side <= 1024 else 1):
    tiles.translate(model, picture, rounds=1)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


def made(name: str, folder: Path) -> tuple[Path, Translator]:
    """The exported model, and the same network in torch."""
    settings = settings_of("pix2pix", generator=GENERATORS[name])
    torch.manual_seed(0)
    product = MODELS[type(settings)](settings).product()
    zoo.save(folder / f"{name}.safetensors", product, settings, 1, "benchmark")
    export.export(folder / f"{name}.safetensors", folder / f"{name}.onnx", force=True)
    return folder / f"{name}.onnx", Translator(product["a2b"], torch.device("cpu"))


def start(name: str, onnx: Path, folder: Path, rounds: int) -> str:
    """CPU and wall seconds of one process that translates one picture of 256 px."""
    source = folder / "one.png"
    images.write(source, earth()[:256, :256])
    result = str(folder / "result.png")
    calls = {
        "i2i": [sys.executable, "-m", "i2i", "translate", str(source), "--model", str(onnx), "-o", result, "--force"],
        "bare": [sys.executable, "-c", BARE, str(onnx), str(source), result],
    }
    taken: dict[str, list[tuple[float, float]]] = {key: [] for key in calls}
    for _ in range(rounds):
        for key, command in calls.items():
            taken[key].append(process(command))
    cpu, wall = ({key: [pair[k] for pair in pairs] for key, pairs in taken.items()} for k in (0, 1))
    return (
        f"| {name} | {median(cpu['i2i']):.2f} s | {median(cpu['bare']):.2f} s | {ratio(cpu['i2i'], cpu['bare']):.2f} "
        f"| {median(wall['i2i']):.2f} s | {ratio(wall['i2i'], wall['bare']):.2f} |"
    )


def process(command: list[str]) -> tuple[float, float]:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.perf_counter() - began


def throughput(name: str, onnx: Path, eager: Translator, folder: Path, rounds: int, count: int = 24) -> str:
    """Pictures a second over a folder of JPEGs of 256 px, wall time: decode, run, encode."""
    from i2i import translation

    source = folder / "jpegs"
    source.mkdir(exist_ok=True)
    whole = earth()
    for k in range(count):
        images.write(source / f"{k:03}.jpg", whole[(k * 97) % 700 :, (k * 61) % 1700 :][:256, :256])
    files, model = sorted(source.iterdir()), Exported(onnx, "cpu")

    def loop(run: Callable[[np.ndarray], np.ndarray]) -> None:
        for file in files:
            images.write(folder / f"out_{file.name}", run(images.read(file)), force=True)

    calls: dict[str, Callable[[], object]] = {
        "i2i": lambda: translation.translate([source], onnx, folder / "out", device="cpu", force=True),
        "bare": lambda: loop(model),
        "eager": lambda: loop(eager),
    }
    taken: dict[str, list[float]] = {key: [] for key in calls}
    for turn in range(rounds + 1):
        for key, call in calls.items():
            began = time.perf_counter()
            call()
            if turn:
                taken[key].append(time.perf_counter() - began)
    return (
        f"| {name} | {count / median(taken['i2i']):.1f} /s | {ratio(taken['bare'], taken['i2i']):.2f} "
        f"| {ratio(taken['eager'], taken['i2i']):.2f} |"
    )


def memory(name: str, onnx: Path, folder: Path, sides: list[int]) -> str:
    """Peak bytes of a process, and in brackets what that is a pixel above the smallest, over what the card says."""
    np.save(folder / "earth.npy", earth())
    card = Exported(onnx, "cpu").card
    peaks = {}
    for side in (64, *sides):
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(onnx), str(side), str(folder / "earth.npy")],
            check=True, capture_output=True, text=True,
        )  # fmt: skip
        peaks[side] = int(done.stdout)
    cells = []
    for side in sides:
        factor = (peaks[side] - peaks[64]) / side**2 / card.memory
        whole = side**2 * card.memory * tiles.WORKSPACE <= tiles.WHOLE
        cells.append(f"{peaks[side] / 2**20:.0f} MiB" + (f" ({factor:.1f})" if whole else ", tiles"))
    return f"| {name} | {card.memory} B | " + " | ".join(cells) + " |"


def tiled(name: str, onnx: Path, side: int = 1024, cut: int = 448) -> list[str]:
    """Tiles against the whole picture, after each number of rounds: difference in steps of 255, and CPU time."""
    model = Exported(onnx, "cpu", threads=1)
    picture = np.ascontiguousarray(earth()[:side, : side * 3 // 2])
    budget = cut**2 * model.card.memory * tiles.WORKSPACE + 2 * onnx.stat().st_size
    model(picture[:64, :64])
    began = time.process_time()
    whole = model(picture).astype(np.float64)
    reference, rows = time.process_time() - began, []
    for rounds in range(4):
        began = time.process_time()
        away = np.abs(tiles.translate(model, picture, memory=budget, rounds=rounds) - whole)
        spent = time.process_time() - began
        psnr = 10 * np.log10(255**2 / max(float((away**2).mean()), 1e-10))
        rows.append(
            f"| {name} | {rounds} | {away.max():.0f} | {away.mean():.3f} | {psnr:.1f} dB | {spent / reference:.2f} |"
        )
    return rows


def earth() -> np.ndarray:
    return images.read(shared("datasets") / "earth" / "day_2048.jpg")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ["start", "throughput", "memory", "tiles"]
    parser.add_argument("--part", nargs="+", default=parts, choices=parts)
    parser.add_argument("--models", nargs="+", default=list(GENERATORS), choices=list(GENERATORS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of torch; onnxruntime takes all cores")
    parser.add_argument("--sides", type=int, nargs="+", default=[256, 1024, 4096, 8192])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    heads = {
        "start": "i2i, CPU | bare, CPU | ratio | i2i, wall | ratio |",
        "throughput": "i2i | over a bare loop | over torch eager |",
        "memory": "card | " + " | ".join(f"{side}²" for side in options.sides) + " |",
        "tiles": "rounds | largest | mean | PSNR | time over whole |",
    }
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        models = {name: made(name, folder) for name in options.models}
        for part in options.part:
            print(f"\n**{part}**\n\n| generator | {heads[part]}\n|---{'|---' * (heads[part].count('|'))}|", flush=True)
            for name, (onnx, eager) in models.items():
                own = folder / f"{part} of {name}"
                own.mkdir()
                lines = {
                    "start": lambda n=name, o=onnx, p=own: [start(n, o, p, options.rounds)],
                    "throughput": lambda n=name, o=onnx, e=eager, p=own: [throughput(n, o, e, p, options.rounds)],
                    "memory": lambda n=name, o=onnx, p=own: [memory(n, o, p, options.sides)],
                    "tiles": lambda n=name, o=onnx: tiled(n, o),
                }[part]()
                print("\n".join(lines), flush=True)
    print(f"\n{machine(torch.device('cpu'))}")


if __name__ == "__main__":
    main()

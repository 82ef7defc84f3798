"""What exported models weigh, how near they are, and what making them costs, by generator and precision.

    python benchmarks/export.py                    random weights from seed 0, which are harder to quantise than trained
    python benchmarks/export.py quickstart runs/x  trained models instead, by name, run folder or file

fp32: the largest error on [-1, 1] over the gate's 24 pictures. fp16 and int8: dB to the fp32 network; int8 on tiles of
96 px that it was not fitted to. `time`: seconds of an int8 picture of 256 px over those of an fp32 one, one thread.
`export`: CPU seconds from weights to a checked file.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import onnx
import onnxruntime as ort
import torch
from common import machine
from torch import nn

from i2i import images, zoo
from i2i.export import graph, parity, play, quantise
from i2i.nets import CompactSpec, DCGANGeneratorSpec, ResnetSpec, UNetSpec
from i2i.paths import shared

HEAD = (
    "generator",
    "fp32",
    "largest error",
    "fp16",
    "dB",
    "int8",
    "activations",
    "dB",
    "time",
    "bytes a pixel",
    "export",
)
TILES, SIDE = 32, 96
GENERATORS: dict[str, Callable[[], nn.Module]] = {
    "U-Net of the quickstart": lambda: UNetSpec(
        levels=5, width=32, norm="instance-affine", upsample="resize-conv"
    ).build(3, 3),
    "U-Net of Pix2Pix, 8 levels": lambda: UNetSpec(norm="batch", dropout=0.5, dropout_at_test=True).build(3, 3),
    "ResNet of CycleGAN, 9 blocks": lambda: ResnetSpec().build(3, 3),
    "compact": lambda: CompactSpec().build(3, 3),
    "DCGAN, 64 px": lambda: DCGANGeneratorSpec().build(3, 64),
}


def rows(networks: Iterable[tuple[str, nn.Module]]) -> Iterator[list[str]]:
    """A row of the table for each named network, in the order of `HEAD`."""
    for name, network in networks:
        began = time.process_time()
        sampling = not hasattr(network, "multiple")
        traced = graph.sampler(network) if sampling else graph.translator(network)
        report = parity.gate(traced, traced.model, "fp32")
        seconds = time.process_time() - began
        row = [name, size(traced.model), f"{report.error:.0e}"]
        if sampling:
            yield [*row, *["–"] * 6, "–", f"{seconds:.0f} s"]
            continue
        half = graph.translator(network, dtype=torch.float16).model
        near = parity.compared(traced, half, list(parity.usual(traced.module)), exactly=False)[0].psnr
        shown = tiles()
        whole, held = shown[::2], shown[1::2]
        for rung in quantise.LADDER:
            small = quantise._quantised(traced.model, rung, whole)
            psnr = parity.compared(traced, small, held, exactly=False)[0].psnr
            if psnr >= parity.LEAST_PSNR["int8"]:
                break
        bits = "8 bits" if rung is quantise.LADDER[0] else "16 bits"
        yield [
            *row, size(half), f"{near:.0f}", size(small), bits, f"{psnr:.0f}", f"{slower(small, traced.model):.2f}",
            f"{play.bytes_per_pixel(traced)}", f"{seconds:.0f} s",
        ]  # fmt: skip


def tiles() -> list[parity.Feed]:
    """Pieces of the shipped daylight Earth, at places drawn from seed 0."""
    earth, rng = images.read(shared("datasets") / "earth" / "day_2048.jpg"), np.random.default_rng(0)
    corners = [rng.integers(0, (earth.shape[0] - SIDE, earth.shape[1] - SIDE)) for _ in range(TILES)]
    return [{"picture": np.ascontiguousarray(earth[y : y + SIDE, x : x + SIDE])[None]} for y, x in corners]


def slower(model: onnx.ModelProto, than: onnx.ModelProto, rounds: int = 5) -> float:
    """CPU seconds of a picture of 256 px through one over those through the other, interleaved, the median."""
    options = ort.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    both = [
        ort.InferenceSession(each.SerializeToString(), options, providers=["CPUExecutionProvider"])
        for each in (model, than)
    ]
    picture = images.read(shared("datasets") / "earth" / "day_2048.jpg")[None, 300:556, 1000:1256]
    ratios = []
    for _ in range(rounds):
        spent = []
        for session in both:
            began = time.process_time()
            session.run(None, {"picture": picture})
            spent.append(time.process_time() - began)
        ratios.append(spent[0] / spent[1])
    return median(ratios)


def size(model: onnx.ModelProto) -> str:
    return f"{model.ByteSize() / 1e6:.1f} MB"


def table(lines: Iterable[list[str]]) -> None:
    """Markdown, a line as soon as it is known."""
    print("| " + " | ".join(HEAD) + " |\n|" + "---|" * len(HEAD), flush=True)
    for line in lines:
        print("| " + " | ".join(line) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="trained models: name, run folder or file")
    chosen = parser.parse_args().models
    torch.set_num_threads(1)
    print(machine(torch.device("cpu")), flush=True)
    table(rows(trained(chosen) if chosen else drawn()))


def trained(names: Iterable[str]) -> Iterator[tuple[str, nn.Module]]:
    for name in names:
        for way, network in zoo.load(name, torch.device("cpu")).product.items():
            yield f"{Path(name).stem} {way}", network


def drawn() -> Iterator[tuple[str, nn.Module]]:
    for name, build in GENERATORS.items():
        torch.manual_seed(0)
        yield name, build().eval()


if __name__ == "__main__":
    main()

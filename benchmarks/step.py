"""What a step costs: through the engine against bare code, and against its own convolutions.

    python benchmarks/step.py --help

The ratio to bare code: the same networks and losses, once through `Game` and the loop's parts, once as one writes it
without an engine. Above 1.10 is a bug. The share of the peak: the convolutions of a CycleGAN step, forward and
backward, are played again in the same shapes and order with nothing between them; their time over the step's is the
share that the step reaches of what this machine can do. All calls are interleaved in one process, and medians of
ratios within a round are printed.
"""

import argparse
import itertools
import os
import sys
from collections.abc import Callable
from statistics import median
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from common import build, interleaved, machine, pictures, ratio, seconds, settings_of
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from i2i.engine.accumulate import in_parts
from i2i.losses import l1

LIMIT, AIM = 1.10, 0.85
PAPER = {  # CycleGAN's own networks for 128 px (Zhu et al. 2017, appendix 7)
    "batch": 1,
    "data": {"layout": "unpaired", "root": ".", "crop": 128},
    "generator": {"kind": "resnet", "blocks": 6},
    "discriminator": {"kind": "patch"},
}
AT = torch.ops.aten


def like(optimiser: torch.optim.Optimizer, *networks: torch.nn.Module) -> torch.optim.Optimizer:
    """One of the same kind and settings for other networks."""
    parameters = itertools.chain(*(network.parameters() for network in networks))
    return type(optimiser)(parameters, **optimiser.defaults)


def descend(loss: Tensor, optimiser: torch.optim.Optimizer) -> None:
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()


def bare_cyclegan(m: Any, o: torch.optim.Optimizer) -> Callable[[Tensor, Tensor], None]:
    g, d, w = like(o, m.ab, m.ba), like(o, m.judge_a, m.judge_b), m.weights
    judges = [*m.judge_a.parameters(), *m.judge_b.parameters()]

    def step(a: Tensor, b: Tensor) -> None:
        for p in judges:
            p.requires_grad_(False)
        fake_b, fake_a = m.ab(a), m.ba(b)
        loss = (m.judge_b(fake_b) - 1).square().mean() + (m.judge_a(fake_a) - 1).square().mean()
        loss = loss + w.cycle * (l1(m.ba(fake_b), a) + l1(m.ab(fake_a), b))
        loss = loss + w.identity * (l1(m.ba(a), a) + l1(m.ab(b), b))
        descend(loss, g)
        for p in judges:
            p.requires_grad_(True)
        old_a, old_b = m.past_a.mix(fake_a), m.past_b.mix(fake_b)
        loss = ((m.judge_a(a) - 1).square().mean() + m.judge_a(old_a).square().mean()) / 2
        descend(loss + ((m.judge_b(b) - 1).square().mean() + m.judge_b(old_b).square().mean()) / 2, d)

    return step


def bare_pix2pix(m: Any, o: torch.optim.Optimizer) -> Callable[[Tensor, Tensor], None]:
    g, d, w, softplus = like(o, m.generator), like(o, m.judge), m.weights, torch.nn.functional.softplus

    def step(a: Tensor, b: Tensor) -> None:
        fake = m.generator(a)
        real, false = m.judge(torch.cat([a, b], 1)), m.judge(torch.cat([a, fake.detach()], 1))
        descend((softplus(-real).mean() + softplus(false).mean()) / 2, d)
        for p in m.judge.parameters():
            p.requires_grad_(False)
        descend(w.l1 * l1(fake, b) + softplus(-m.judge(torch.cat([a, fake], 1))).mean(), g)
        for p in m.judge.parameters():
            p.requires_grad_(True)

    return step


def against_bare(name: str, rounds: int, device: torch.device, precision: str) -> float:
    """Median of a step's time through the engine over that of the same step by hand."""
    settings = settings_of(name, precision=precision)
    model, game = build(settings, device)
    twin, twin_game = build(settings, device)
    batch = pictures(settings.batch, settings.data.crop, device)
    optimiser = next(iter(twin_game.players.values())).optimiser
    by_hand = {"cyclegan": bare_cyclegan, "pix2pix": bare_pix2pix}[name](twin, optimiser)

    def ours() -> None:
        torch.manual_seed(0)  # the same draws from the history
        with game.autocast():
            in_parts(model.adversarial, itertools.repeat(batch), game, 1)

    def bare() -> None:
        torch.manual_seed(0)
        with twin_game.autocast():
            by_hand(*batch)

    found = interleaved({"engine": ours, "bare": bare}, rounds, device)
    apart = max(float((x - y).detach().abs().max()) for x, y in zip(model.parameters(), twin.parameters(), strict=True))
    assert precision != "fp32" or apart < 1e-3, f"the two sides have parted by {apart}: they did not do the same work"
    result = ratio(found["engine"], found["bare"])
    print(f"{name:9} engine {median(found['engine']):.3f} s, bare {median(found['bare']):.3f} s a step: "
          f"ratio {result:.3f} (limit {LIMIT})")  # fmt: skip
    return result


class Convolutions(TorchDispatchMode):
    """The convolutions of a with-block, forward and backward, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, ...]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (AT.convolution.default, AT.convolution_backward.default):
            self.calls.append((func, *map(_frozen, args)))
        return func(*args, **(kwargs or {}))


def _frozen(argument: Any) -> Any:
    """Tensors by their shape and layout, so that equal calls can share theirs."""
    if isinstance(argument, Tensor):
        return argument.dtype, tuple(argument.shape), argument.stride()
    return tuple(argument) if isinstance(argument, list) else argument


def _thawed(argument: Any, device: torch.device) -> Any:
    if isinstance(argument, tuple) and argument and isinstance(argument[0], torch.dtype):
        dtype, shape, stride = argument
        return torch.empty_strided(shape, stride, dtype=dtype, device=device).normal_()
    return list(argument) if isinstance(argument, tuple) else argument


def share_of_peak(rounds: int, device: torch.device, precision: str) -> float:
    """The time of a CycleGAN step's convolutions, one after the other with nothing between them, over the step's."""
    settings = settings_of("cyclegan", precision=precision, **PAPER)
    model, game = build(settings, device)
    batch = pictures(settings.batch, settings.data.crop, device)

    def step() -> None:
        with game.autocast():
            in_parts(model.adversarial, itertools.repeat(batch), game, 1)

    step()
    with FlopCounterMode(display=False) as flops:
        step()
    with Convolutions() as met:
        step()
    made = {call: [_thawed(each, device) for each in call[1:]] for call in set(met.calls)}

    def alone() -> None:
        for call in met.calls:
            call[0](*made[call])

    found = interleaved({"step": step, "alone": alone}, rounds, device)
    share, giga = ratio(found["alone"], found["step"]), flops.get_total_flops() / 1e9
    print(f"cyclegan  {settings.data.crop} px, {giga:.0f} GFLOP a step, {len(met.calls)} convolutions: "
          f"alone {giga / median(found['alone']):.0f} GFLOP/s, in the step {giga / median(found['step']):.0f}: "
          f"share {share:.3f} (aim {AIM})")  # fmt: skip
    return share


def of_matrix_peak(device: torch.device) -> None:
    """A CycleGAN step of real size in bf16 against the matrix product that is fastest on this device."""
    if device.type != "cuda":
        print("share of a GPU's bf16 matrix peak: not measured")
        return
    settings = settings_of("cyclegan", precision="bf16", channels_last=True, generator={"kind": "resnet"}, data={
        "layout": "unpaired", "root": ".", "crop": 256})  # fmt: skip
    model, game = build(settings, device)
    batch = pictures(settings.batch, 256, device)

    def step() -> None:
        with game.autocast():
            model.adversarial(itertools.repeat(batch), game)

    step()
    with FlopCounterMode(display=False) as flops:
        step()
    x = torch.randn(8192, 8192, device=device, dtype=torch.bfloat16)
    product = min(seconds(lambda: x @ x, device) for _ in range(10))
    peak = 2 * 8192**3 / product
    reached = flops.get_total_flops() / median(seconds(step, device) for _ in range(10))
    print(f"cyclegan  256 px, 9 blocks, bf16: {reached / 1e12:.1f} of {peak / 1e12:.1f} TFLOP/s: {reached / peak:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--precision", default="fp32", choices=["fp32", "bf16", "fp16"])
    parser.add_argument("--threads", type=int, default=1, help="of a CPU; one is proof against busy neighbours")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    ratios = [against_bare(name, options.rounds, device, options.precision) for name in ("cyclegan", "pix2pix")]
    share_of_peak(max(3, options.rounds // 2), device, options.precision)
    of_matrix_peak(device)
    print(machine(device))
    sys.exit(max(ratios) > LIMIT)


if __name__ == "__main__":
    main()

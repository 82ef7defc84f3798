"""What can be wrong with a run, and what to change then; pure functions of what it leaves on disk anyway.

Each looks at the log's lines, at the validations, or at a few pictures. Thresholds leave room around what healthy runs
of the shipped recipes show, since a false alarm costs more trust than a late one costs time.
Shapes: n pictures, c channels, h w height and width; pictures are in [-1, 1].
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, median

import torch
from torch import Tensor

from i2i.engine.loop import Tick
from i2i.engine.monitor import Line
from i2i.metrics import correlation

LINES, STEPS = 10, 200  # a window: at least so many lines of the log, over at least so many steps
WARM = 100  # steps before pictures are judged: a network that has learnt nothing shows every fault there is
CHANCE = {"non-saturating": math.log(2), "minimax": math.log(2), "least-squares": 0.25, "hinge": 1.0}
SURE = 0.03  # of what guessing costs: a discriminator below that is as good as never wrong
WAITING = 0.3  # of the time; the shipped recipes wait for 0 to 6 %
ALIKE = 0.1  # of the distance between real pictures; healthy runs were at 0.19 or more from step 100 on
INVERTED = -0.4  # correlation; line drawings beside their photographs, which are no fault, have -0.18
PEAK, VISIBLE = 6.0, 2.5  # times the frequencies around it; grey levels. Healthy: never both, mostly neither
PATIENCE = 5  # validations


@dataclass(frozen=True)
class Alarm:
    """What was seen, with its numbers; where to look; what to change. Text in backquotes can be typed."""

    name: str
    seen: str
    where: str
    change: str


@dataclass(frozen=True)
class View:
    """One direction's pictures: `source` (none for a generator from noise) → `output`, and `real` ones to compare with.

    `registered`: the i-th real picture is the truth of the i-th output.
    """

    name: str
    source: Tensor | None
    output: Tensor
    real: Tensor
    registered: bool = False


def returned(step: int, back_to: int, why: str, brake: float) -> Alarm:
    """For a step that was not finite, after which the run went back to its last state at `brake` times the rates."""
    return Alarm(
        "non-finite",
        f"Step {step} was not finite ({why}); back to step {back_to}, at {brake:g} of the learning rates.",
        "the losses before that step",
        "If it comes again, start anew with smaller rates, `--set players.<player>.lr=...`, or with clipped gradients, "
        "`--set players.<player>.clip=1`.",
    )


def saturation(lines: Sequence[Line], rule: str | None) -> Alarm | None:
    """The discriminator is never wrong and the generator does not catch up: it has no gradient to learn from.

    Only for rules whose loss has a floor at a perfect discriminator; a Wasserstein critic's has none. Where real and
    fake are logged apart, fake alone counts: smoothed labels keep the other up, and one that calls everything real has
    it at 0.
    """
    recent = window(lines)
    if rule not in CHANCE or not recent:
        return None
    names = recent[-1]["losses"]
    judges = [name for name in names if name.startswith("discriminator") and "penalty" not in name]
    judges = [name for name in judges if "fake" in name] or judges
    paid = [name for name in names if name.endswith("/adversarial")]
    for name in judges:
        values = _values(recent, name)
        if max(values) >= SURE * CHANCE[rule]:
            continue
        for fool in paid:
            early, late = _halves(_values(recent, fool))
            if late >= early - 0.05 * abs(early):
                player = name.partition("/")[0]
                first = recent[0]["step"]
                return Alarm(
                    "saturation",
                    f"From step {first} on {name} is at most {max(values):.2g} (guessing costs {CHANCE[rule]:.2g}), "
                    f"and {fool} went from {early:.3g} to {late:.3g}: the discriminator is never wrong, and the "
                    f"generator learns little from it.",
                    f"the curves of {name} and {fool}",
                    f"In a new run slow the discriminator, `--set players.{player}.lr=...` at a quarter, or give the "
                    f"generator a gradient everywhere, "
                    + ("`--set loss=hinge`." if rule == "least-squares" else "`--set loss=least-squares`."),
                )
    return None


def data_bound(lines: Sequence[Line]) -> Alarm | None:
    """The device waits for pictures."""
    recent = window(lines)
    share = median(line["data_share"] for line in recent) if recent else 0.0
    if share < WAITING:
        return None
    return Alarm(
        "data-bound",
        f"From step {recent[0]['step']} on {100 * share:.0f} % of the time goes by in waiting for pictures.",
        "the curve run/data_share",
        "In a new run read with more processes, `--set data.workers=8`, from a faster disk, or smaller pictures: "
        "`--set data.load=...`.",
    )


def stalled(validations: Sequence[Line], criterion: tuple[str, bool], rate: float) -> Alarm | None:
    """The last validations have no best, and are on average no better than those before, at a rate that is still high.

    `criterion`: a score's name, and whether larger is better. `rate`: the factor on the learning rates.
    """
    name, larger = criterion
    told = [(line["step"], line["scores"][name]) for line in validations if name in line["scores"]]
    if rate < 0.5 or len(told) < 2 * PATIENCE:
        return None
    best_step, best = (max if larger else min)(told, key=lambda at: at[1])
    last, before = (fmean(score for _, score in part) for part in (told[-PATIENCE:], told[-2 * PATIENCE : -PATIENCE]))
    if best_step >= told[-PATIENCE][0] or (last > before if larger else last < before):
        return None
    return Alarm(
        "stalled",
        f"{name} was best at step {best_step} ({best:.4g}); the {PATIENCE} validations since step {told[-PATIENCE][0]} "
        f"have a mean of {last:.4g}, those before {before:.4g}, and the learning rates are still at {rate:.2g}.",
        f"the curve of {name}",
        "Stop with Ctrl-C: the best model is kept. Or let the rates fall in a new run: "
        "`--set schedule.0.lr=flat-then-linear`.",
    )


def collapse(view: View) -> Alarm | None:
    """Outputs are too alike: the distance of each to its nearest neighbour, beside that of real pictures.

    Nearest neighbours and not all pairs, or two modes far apart would pass for variety.
    """
    n = min(len(view.output), len(view.real))
    if n < 4:
        return None
    outputs, real = (nearest(pictures[:n]) for pictures in (view.output, view.real))
    if real < 0.01 or outputs >= ALIKE * real:  # a test set of equal pictures says nothing
        return None
    return Alarm(
        f"{view.name}/collapse",
        f"The nearest of {n} outputs differ by {outputs:.4f} (root mean square), the nearest real pictures by "
        f"{real:.4f}: the outputs are all alike" + (", whatever the input." if view.source is not None else "."),
        "the newest sample grid",
        "In a new run try another seed, `--set seed=1`, larger batches, `--set batch=...`, or a slower generator, "
        "`--set players.<player>.lr=...` at a half.",
    )


def inversion(view: View) -> Alarm | None:
    """Light and dark have changed places. The cycle of an unpaired translator closes all the same.

    With the truth at hand, output ↔ truth decides: edges → photo is darker where its input is lighter, and right.
    """
    shown = (view.source, view.output, view.real) if view.registered else (view.source, view.output)
    if view.source is None or len({pictures.shape[-2:] for pictures in shown if pictures is not None}) > 1:
        return None
    n = min(len(view.source), len(view.real))
    own = correlation(view.source, view.output).mean().item()
    seen = f"The brightness of input and output correlates by {own:.2f}"
    if view.registered:
        judged = correlation(view.output[:n], view.real[:n]).mean().item()
        told = correlation(view.source[:n], view.real[:n]).mean().item()
        seen += f", that of input and truth by {told:.2f}, that of output and truth by {judged:.2f}"
        change = "Look whether the pairs belong together, and in a new run try another seed, `--set seed=1`."
    else:
        judged = own
        change = "In a new run raise the identity term, `--set weights.identity=10`, or try `--set seed=1`."
    if judged > INVERTED:
        return None
    return Alarm(f"{view.name}/inversion", f"{seen}: light and dark are swapped.", "the newest sample grid", change)


def checkerboard(view: View) -> Alarm | None:
    """A pattern of period 2 or 4 pixels that real pictures do not have (Odena et al. 2016): uneven transposed
    convolutions. It must stand out from the frequencies around it, more than in real pictures, and be visible."""
    if min(*view.output.shape[-2:], *view.real.shape[-2:]) < 16:
        return None
    (standing, grey), (usual, _) = peaks(view.output), peaks(view.real)
    ratio = standing / usual.clamp_min(1)
    at = int(torch.where(grey >= VISIBLE, ratio, 0).argmax())
    if grey[at] < VISIBLE or ratio[at] < PEAK:
        return None
    return Alarm(
        f"{view.name}/checkerboard",
        f"A pattern of period {2 if 2 in CORNERS[at] else 4} pixels stands out {standing[at]:.3g} times from the "
        f"frequencies around it (in real pictures {usual[at]:.3g} times), at {grey[at]:.1f} of 255 grey levels.",
        "the newest sample grid, enlarged",
        "In a new run enlarge before convolving, `--set generator.upsample=resize-conv`."
        if view.source is not None
        else "It fades with more training, if at all: `--set schedule.0.steps=...`; then try `--set seed=1`.",
    )


PICTURES: Mapping[str, Callable[[View], Alarm | None]] = {
    "collapse": collapse, "inversion": inversion, "checkerboard": checkerboard,
}  # fmt: skip
CORNERS = tuple((y, x) for y in (0, 1, 2) for x in (0, 1, 2) if (y, x) != (0, 0))  # quarters of the sampling frequency


def nearest(pictures: Tensor) -> float:
    """n c h w → the mean over pictures of the root mean square difference to the most similar other one."""
    flat = pictures.float().flatten(1)
    apart = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist") / flat.shape[1] ** 0.5
    return apart.fill_diagonal_(torch.inf).amin(1).mean().item()


def peaks(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """n c h w → at each of the 8 frequencies of CORNERS: power over the mean power around it, and grey levels (rms).

    Under a Hann window, or the edges of a picture, which do not meet, would write a cross over its spectrum.
    """
    h, w = (size // 4 * 4 for size in pictures.shape[-2:])
    grey = pictures.float().cpu().mean(1)[:, :h, :w]  # n h w
    hann = torch.hann_window(h)[:, None] * torch.hann_window(w)
    power = torch.fft.fft2((grey - grey.mean((1, 2), keepdim=True)) * hann).abs().square().mean(0)  # h w
    # The window spreads a peak over its 8 neighbours; the two rings around those are what it is compared with.
    ring = [(y, x) for y in range(-3, 4) for x in range(-3, 4) if max(abs(y), abs(x)) > 1]
    ratios, levels = [], []
    for y, x in CORNERS:
        at, (v, u) = power[y * h // 4, x * w // 4], (y * h // 4, x * w // 4)
        around = torch.stack([power[(v + dv) % h, (u + du) % w] for dv, du in ring]).mean()
        ratios.append(at / around.clamp_min(1e-9 * h * w))
        both = 1 if y != 1 and x != 1 else 2  # a wave of period 4 has a second bin at its negative frequency
        levels.append(127.5 * ((at - around).clamp_min(0) * both).sqrt() / hann.sum())
    return torch.stack(ratios), torch.stack(levels)


def learning(lines: Sequence[Line], makers: Collection[str], tick: Tick) -> bool:
    """Whether the pictures can be judged at this step: all of `makers`, the players that move a part of what makes
    them, began at least WARM steps ago, and one of them moves in this phase. Without `makers`: always.

    A translator whose encoder alone was trained so far (DTN) shows every fault; one that waits while its opponent is
    prepared (SimGAN) cannot mend any. The losses in the log's lines tell who has moved, also before a run was resumed.
    """
    if not makers:
        return True
    first: dict[str, int] = {}  # maker → the step before which it did not move
    moves, before, last = False, 0, ""
    for place, line in enumerate(lines):
        movers = {name.partition("/")[0] for name in line["losses"]} & set(makers)
        for name in movers:
            first.setdefault(name, before)
        # A line that spans two phases tells of the players of both.
        whole = place == 0 or line["phase"] == last
        moves |= bool(movers) and whole and line["phase"] == tick.phase
        before, last = line["step"], line["phase"]
    return moves and set(makers) <= first.keys() and tick.step - max(first.values()) >= WARM


def window(lines: Sequence[Line]) -> Sequence[Line]:
    """The newest lines of the log, LINES of them or as many as STEPS steps need, all of one phase; none if too few."""
    for first in range(len(lines) - LINES, -1, -1):
        if lines[-1]["step"] - lines[first]["step"] >= STEPS:
            recent = lines[first:]
            return recent if all(line["phase"] == lines[-1]["phase"] for line in recent) else []
    return []


def _values(lines: Sequence[Line], name: str) -> list[float]:
    return [line["losses"][name] for line in lines if name in line["losses"]]


def _halves(values: Sequence[float]) -> tuple[float, float]:
    middle = len(values) // 2
    return fmean(values[:middle] or values), fmean(values[middle:])

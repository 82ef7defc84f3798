"""Our recipes against the published ones: the same pictures, machine and seconds of training, scored on the test split.

    python benchmarks/side_by_side.py                     everything, one training after the other; about two hours
    python benchmarks/side_by_side.py --only line2color   one set
    python benchmarks/side_by_side.py --print --markdown  only what has been measured, as the README has it
    python benchmarks/side_by_side.py --help

`ours` is a shipped recipe, `published` is Pix2Pix or CycleGAN with the architecture and settings of its paper, for this
size: the recipes `pix2pix_published` and `cyclegan_published`, with the data of ours. `tenth` is ours with a generator
as wide as a tenth of the published one's multiply-adds allows; where ours needs no more than that, it is both.
Each trains on one thread on a schedule that fills the same processor seconds: a step's time is measured beforehand, in
turns. Eight times on the way, the clock stopped, it is scored on the validation split, and the model that is best there
(perceptual distance; KID where there are no pairs) is scored once on the test split. ± is a 95 % interval over the
seeds; bold: ours is better, and the interval of the differences, seed by seed, excludes 0. Perceptual distance, FID and
KID are by the features of EfficientNet-Lite0.
All is kept in `runs/side_by_side`, by recipe and seconds: a call goes on where another was stopped. Delete a folder
there to measure it again. For each set a picture, `<set>.png`, shows the same test pictures by all of them.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from statistics import mean, median
from typing import Any

import contest  # sets the number of threads before torch is imported
import numpy as np
import torch
from common import (
    CPU,
    Verdict,
    listed,
    machine,
    markdown,
    number,
    over_seeds,
    plus_minus,
    verdict,
)
from PIL import Image
from torch import Tensor

from i2i import store, zoo
from i2i.data import in_order
from i2i.data.looks import shown
from i2i.engine.pictures import grid
from i2i.errors import UserError
from i2i.files import atomically
from i2i.validation import BATCH, LARGER_IS_BETTER, at_rest

# score → its title and decimal places
SCORES = {
    "l1": ("L1", 4),
    "perceptual_efflite0": ("perceptual", 4),
    "ssim": ("SSIM", 3),
    "psnr": ("PSNR", 2),
    "correlation": ("correlation", 3),
    "fid_efflite0": ("FID", 1),
    "kid_efflite0": ("KID", 3),
}
TITLES = [f"{title} {'↑' if score in LARGER_IS_BETTER else '↓'}" for score, (title, _) in SCORES.items()]
SHOWN = 8  # pictures on a sheet
SPARE = 1.1  # times the processor seconds of another arm: more is told

Rows = Mapping[str, Sequence[contest.Row]]  # by arm, one for each seed


def ways(name: str) -> list[tuple[str, str]]:
    """(`a2b`, in words) of each direction of a set; a single one has no name."""
    return list(zip(("a2b", "b2a") if len(contest.SETS[name]) == 2 else ("",), contest.SETS[name], strict=True))


def values(rows: Sequence[contest.Row], way: str, score: str) -> list[float]:
    """A score of the model in each row. `way`: a2b or b2a where a model has two, else ''."""
    return [row["test"]["scores"][f"model {way}".strip()][score]["mean"] for row in rows]


def unlearnt(row: contest.Row, way: str) -> dict[str, float]:
    """The best that a copy, a constant and the like reach, score by score: what is no better has learnt nothing."""
    rows = [scores for answer, scores in row["test"]["scores"].items()
            if not answer.startswith(("model", "truth", "training pictures")) and answer.endswith(way)]  # fmt: skip
    found = {score: [each[score]["mean"] for each in rows if score in each] for score in SCORES}
    return {score: (max if score in LARGER_IS_BETTER else min)(each) for score, each in found.items() if each}


def compared(rows: Rows, who: str, than: str, way: str) -> dict[str, Verdict]:
    """By score, over the seeds that both have; {} where there are none."""
    both = [{row["seed"]: row for row in rows.get(arm, ())} for arm in (who, than)]
    seeds = sorted(both[0].keys() & both[1].keys())
    ours, others = [[each[seed] for seed in seeds] for each in both]
    return {score: verdict(values(ours, way, score), values(others, way, score), score in LARGER_IS_BETTER)
            for score in SCORES if seeds}  # fmt: skip


def differences(name: str, rows: Rows) -> dict[str, Any]:
    """For programs: by direction, arm of ours and score, ours minus the published; an unknown interval is null."""
    return {way or "a2b": {who: {
        score: {"mean": gap.value, "interval": None if np.isnan(gap.half) else gap.half, "verdict": word}
        for score, (gap, word) in compared(rows, who, "published", way).items()
    } for who in contest.OURS if who in rows} for way, _ in ways(name)}  # fmt: skip


def words(who: str, than: str, verdicts: Mapping[str, Verdict]) -> str:
    """What the table says, for those who only read: what is better, and by how much the rest differs."""
    told = []
    for word, phrase in (("better", "better in"), ("worse", "worse in"), ("open", "no certain difference in")):
        names = [
            SCORES[score][0] + ("" if word == "better" else f" ({gap(each, SCORES[score][1])})")
            for score, each in verdicts.items()
            if each.word == word
        ]
        told += [f"{phrase} {listed(names)}"] if names else []
    return f"{who} beside {than}: {'; '.join(told)}."


def gap(found: Verdict, places: int) -> str:
    return ("+" if found.difference.value > 0 else "") + plus_minus(found.difference, places)


def label(name: str, arm: str, rows: Rows) -> str:
    model = "Pix2Pix" if contest.arms(name)["ours"].model == "pix2pix" else "CycleGAN"
    if arm == "longer":
        return f"published {model}, {rows[arm][0]['seconds']:g} s"
    return {"published": f"published {model}", "ours": "ours", "tenth": "ours at a tenth"}[arm]


def cells(rows: Rows, arm: str, way: str) -> list[str]:
    """The means over an arm's seeds, bold where ours is better."""
    ruling = compared(rows, arm, "published", way) if arm in contest.OURS else {}
    return [
        plus_minus(
            over_seeds(values(rows[arm], way, score)), places, score in ruling and ruling[score].word == "better"
        )
        for score, (_, places) in SCORES.items()
    ]


def table(name: str, rows: Rows) -> str:
    """All that was measured of a set."""
    blocks = [f"### {name}"]
    first = next(iter(rows.values()))[0]
    for way, title in ways(name):
        trivial = unlearnt(first, way)
        lines = [[label(name, arm, rows), *cells(rows, arm, way)] for arm in rows]
        lines.append(["the best without learning", *(number(trivial[s], places) for s, (_, places) in SCORES.items())])
        pairs = [(who, than) for who in contest.OURS if who in rows for than in contest.PUBLISHED if than in rows]
        told = [words(label(name, who, rows), label(name, than, rows), found)
                for who, than in pairs if (found := compared(rows, who, than, way))]  # fmt: skip
        head = f"{title}: {first['test']['pictures']} test pictures, {first['seconds']:g} processor seconds of training"
        blocks += [head, markdown(["", *TITLES], lines), *told]
    return "\n\n".join([*blocks, price(name, rows)])


def price(name: str, rows: Rows) -> str:
    """The table of what the arms cost, and in words what the reader should know of it."""
    cost, lines = contest.costs(name), []
    for arm, found in rows.items():
        share = cost["published"]["multiply_adds"] / cost[arm]["multiply_adds"]
        lines.append([
            label(name, arm, rows),
            f"{cost[arm]['multiply_adds'] / 1e6:,.0f} M" + (f" (1/{share:.1f})" if share > 1 else ""),
            f"{cost[arm]['parameters'] / 1e6:.2f} M", f"{cost[arm]['onnx_bytes'] / 1e6:.1f} MB",
            f"{cost[arm]['milliseconds']:.1f} ms", f"{median(row['steps'] for row in found):,.0f}",
            f"{mean(row['processor'] for row in found):.0f} s", f"{len(found)}",
        ])  # fmt: skip
    head = ["", "multiply-adds", "parameters", "ONNX", "a picture", "steps", "processor", "seeds"]
    blocks = [markdown(head, lines)]
    if "tenth" not in contest.arms(name):
        blocks.append("Ours needs less than a tenth of the published generator's multiply-adds as it is.")
    spent = {arm: mean(row["processor"] for row in found) for arm, found in rows.items() if arm != "longer"}
    if max(spent.values()) > SPARE * min(spent.values()):
        most, least = max(spent, key=spent.__getitem__), min(spent, key=spent.__getitem__)
        blocks.append(f"The times are not equal: {label(name, most, rows)} was given {spent[most] / spent[least]:.2f} "
                      f"times the processor seconds of {label(name, least, rows)}.")  # fmt: skip
    return "\n\n".join(blocks)


def short(found: Mapping[str, Rows]) -> str:
    """The README's table: a line for each direction and arm."""
    lines = []
    for name, rows in found.items():
        for way, title in ways(name):
            for place, arm in enumerate(rows):
                cost = contest.costs(name)[arm]
                price = [f"{cost['multiply_adds'] / 1e6:,.0f} M", f"{cost['milliseconds']:.1f} ms",
                         f"{cost['onnx_bytes'] / 1e6:.1f} MB"]  # fmt: skip
                lines.append(["" if place else title, label(name, arm, rows), *cells(rows, arm, way), *price])
    return markdown(["", "", *TITLES, "multiply-adds", "a picture", "ONNX"], lines)


def sheet(name: str, rows: Rows) -> None:
    """`<set>.png`: test pictures, the same for ever, by each arm's model of the first seed that all arms have."""
    seeds = set.intersection(*({row["seed"] for row in found} for found in rows.values()))
    if not seeds:
        return
    data = contest.arms(name)["ours"].data
    looks = {"a": data.channels.a, "b": data.channels.b}
    sides = dict(zip("ab", map(torch.cat, zip(*in_order(data, "test", BATCH), strict=True)), strict=True))
    chosen = np.random.default_rng(0).choice(len(sides["a"]), SHOWN, replace=False)
    products = {
        arm: zoo.load(contest.folder(name, arm, min(seeds), found[0]["seconds"]) / store.BEST, CPU).product
        for arm, found in rows.items()
    }
    sheets = []
    for way, _ in ways(name):
        source, target = (way or "a2b").split("2")
        lines: dict[str, Tensor] = {"input": shown(sides[source][chosen], [looks[source]])}
        for arm, product in products.items():
            with at_rest(product.values(), CPU):
                lines[arm] = shown(product[way or "a2b"](sides[source][chosen]), [looks[target]])
        sheets.append(grid(lines | {"truth": shown(sides[target][chosen], [looks[target]])}))
    whole = Image.new("RGB", (sheets[0].width, sum(each.height for each in sheets)), "white")
    for place, each in enumerate(sheets):
        whole.paste(each, (0, place * each.height))
    atomically(contest.RUNS / f"{name}.png", lambda temporary: whole.save(temporary, "PNG"))


def gathered(name: str, seeds: Sequence[int], seconds: Mapping[str, float]) -> Rows:
    """What is kept of a set, arms without a training left out."""
    rows = {arm: [row for seed in seeds if (row := contest.kept(name, arm, seed, time))]
            for arm, time in contest.within(name, seconds).items()}  # fmt: skip
    return {arm: found for arm, found in rows.items() if found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    slow = ", ".join(f"{name} has {times} times as much" for name, times in contest.SLOW.items())
    parser.add_argument(
        "--seconds", type=float, default=100, help=f"processor time of a training, without validation; {slow}"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--longer", type=float, metavar="K", help="the published ones also with K times the seconds")
    sets = list(contest.SETS)
    parser.add_argument("--only", nargs="+", choices=sets, default=sets, metavar="SET", help=", ".join(sets))
    parser.add_argument("--arm", nargs="+", choices=(*contest.PUBLISHED, *contest.OURS), help="train only these")
    parser.add_argument("--print", action="store_true", dest="only_print", help="only what has been measured")
    parser.add_argument("--markdown", action="store_true", help="one table, as the README has it")
    options = parser.parse_args()
    torch.set_num_threads(1)
    seconds = dict.fromkeys(("published", *contest.OURS), options.seconds)
    if options.longer:
        seconds["longer"] = options.longer * options.seconds
    if not options.only_print:
        wanted = options.arm or seconds
        contest.play(options.only, options.seeds, {arm: time for arm, time in seconds.items() if arm in wanted})
    found = {name: rows for name in contest.SETS if (rows := gathered(name, options.seeds, seconds))}
    contest.keep(contest.RUNS / "results.json", {
        "machine": machine(CPU), "seconds": options.seconds, "costs": {name: contest.costs(name) for name in found},
        "differences": {name: differences(name, rows) for name, rows in found.items()},
        "rows": [row for rows in found.values() for several in rows.values() for row in several],
    })  # fmt: skip
    found = {name: rows for name, rows in found.items() if name in options.only}
    if not found:
        raise UserError(f"Nothing has been measured with --seconds {options.seconds:g} yet: leave --print out.")
    for name, rows in found.items():
        if contest.at_hand(name):
            sheet(name, rows)
    print(f"{machine(CPU)}\n")
    print(short(found) if options.markdown else "\n\n".join(table(name, rows) for name, rows in found.items()))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("Stopped. What is finished is kept; the same command goes on from there.")

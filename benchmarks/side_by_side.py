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
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from statistics import mean, median
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import onnxruntime as ort
import torch
from common import (
    CPU,
    Stopwatch,
    Verdict,
    interleaved,
    listed,
    machine,
    markdown,
    number,
    over_seeds,
    paces,
    plus_minus,
    stretched,
    train,
    verdict,
)
from PIL import Image
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from i2i import evaluation, recipe, store, zoo
from i2i.data import in_order, missing, open_split
from i2i.data.looks import shown
from i2i.engine.loop import Tick
from i2i.engine.pictures import grid
from i2i.engine.settings import CHANGEABLE
from i2i.errors import UserError
from i2i.export import graph
from i2i.files import atomically
from i2i.validation import BATCH, LARGER_IS_BETTER, at_rest, validate

RUNS = Path("runs/side_by_side")
# Each set is the recipe of ours that has its name; the words are its directions, a2b first.
SETS = {
    "line2color": ["line drawing → colour render"],
    "map2satellite": ["relief map → satellite"],
    "night2day": ["night → day"],
    "sketch2photo": ["sketch → photo"],
    "day2night": ["day → night, unpaired", "night → day, unpaired"],
}
SLOW = {"sketch2photo": 2, "day2night": 3}  # sets whose steps take longer get so many times the seconds
OURS, PUBLISHED = ("ours", "tenth"), ("published", "longer")
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
LOOKS = 8  # validations in a training
SHOWN = 8  # pictures on a sheet
ROUNDS = 30  # of the timing of exported models
SPARE = 1.1  # times the processor seconds of another arm: more is told

Row = dict[str, Any]  # what is known of one training
Rows = Mapping[str, Sequence[Row]]  # by arm, one for each seed


# What is compared.


def published(ours: Any) -> Any:
    """The published recipe for the data of ours: as many levels as the size has halvings, and 6 blocks up to 128 px."""
    paired, size = ours.model == "pix2pix", ours.data.crop
    name = "pix2pix_published" if paired else "cyclegan_published"
    tree = recipe.load(name).model_dump(mode="json", exclude_unset=True)
    tree["data"] = ours.data.model_dump(mode="json", exclude_unset=True)
    tree["generator"] |= {"levels": size.bit_length() - 1} if paired else {"blocks": 6 if size <= 128 else 9}
    return recipe.build(tree, name)


def tenth(ours: Any, most: float) -> Any | None:
    """Ours with the widest generator of an even width that needs `most` multiply-adds; None where its own does."""
    if multiply_adds(ours) <= most:
        return None
    for width in range((ours.generator.width - 1) // 2 * 2, 0, -2):
        small = ours.model_copy(update={"generator": ours.generator.model_copy(update={"width": width})})
        if multiply_adds(small) <= most:
            return small
    raise UserError(f"No width of {ours.generator.kind} is a tenth of the published generator; take another kind.")


@cache
def arms(name: str) -> dict[str, Any]:
    """The recipes of a set by arm. `longer` is `published` once more, for more seconds."""
    ours = recipe.load(name, ["select="])  # all are chosen by the same score, whatever ours says
    theirs = published(ours)
    small = tenth(ours, multiply_adds(theirs) / 10)
    return {"published": theirs, "ours": ours} | ({"tenth": small} if small else {}) | {"longer": theirs}


def generator(settings: Any) -> Any:
    """That of direction a2b, with weights of seed 0."""
    data = settings.data
    inputs, outputs = (data.inputs, data.outputs) if settings.model == "pix2pix" else (data.channels.a, data.channels.b)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return settings.generator.build(inputs, outputs).eval()


def multiply_adds(settings: Any) -> int:
    """Of the convolutions, for one picture of the recipe's size."""
    size = settings.data.crop
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counted:
        network = generator(settings)
        network(torch.zeros(1, network.inputs, size, size))
    return counted.get_total_flops() // 2


# What is measured, and kept.


def digest(told: Any) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:10]


def decisive(settings: Any) -> dict[str, Any]:
    """What of a recipe decides what is learnt in given seconds: not its seed, and not its own length."""
    left_out = dict.fromkeys(("seed", *CHANGEABLE), True)
    told: dict[str, Any] = stretched(settings, 1).model_dump(mode="json", exclude=left_out)
    return told


def keep(file: Path, told: Any) -> None:
    text = json.dumps(told, indent=1)
    atomically(file, lambda temporary: temporary.write_text(text, "utf-8"))


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def costs(name: str, make: bool = False) -> dict[str, dict[str, float]]:
    """Of each arm's generator: multiply-adds, parameters, bytes and milliseconds a picture as exported; and seconds of
    a training step. Measured once for all arms, in turns; {} where it has not been, unless `make`."""
    several = {arm: settings for arm, settings in arms(name).items() if arm != "longer"}
    file = RUNS / name / f"costs-{digest({arm: decisive(s) for arm, s in several.items()})}.json"
    if not file.is_file() and not make:
        return {}
    if not file.is_file():
        say(f"{name}: how long a step of each takes, and a picture")
        steps = dict(zip(several, paces(list(several.values())), strict=True))
        networks = {arm: generator(settings) for arm, settings in several.items()}
        models = {arm: graph.translator(network, "uint8").model for arm, network in networks.items()}
        times = milliseconds({arm: model.SerializeToString() for arm, model in models.items()},
                             several["ours"].data.crop, networks["ours"].inputs)  # fmt: skip
        keep(file, {arm: {
            "multiply_adds": multiply_adds(settings),
            "parameters": sum(p.numel() for p in networks[arm].parameters()),
            "onnx_bytes": models[arm].ByteSize(), "milliseconds": times[arm], "step_seconds": steps[arm],
        } for arm, settings in several.items()})  # fmt: skip
    told: dict[str, dict[str, float]] = json.loads(file.read_text("utf-8"))
    return told | {"longer": told["published"]}


def milliseconds(models: Mapping[str, bytes], size: int, channels: int) -> dict[str, float]:
    """Processor time of one picture of noise through each exported model, in turns, the medians."""
    picture = np.random.default_rng(0).integers(0, 256, (1, size, size, channels), np.uint8)
    options = ort.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 3, 1
    sessions = {arm: ort.InferenceSession(model, options, ["CPUExecutionProvider"]) for arm, model in models.items()}
    calls = {arm: partial(session.run, None, {"picture": picture}) for arm, session in sessions.items()}
    return {arm: 1000 * median(taken) for arm, taken in interleaved(calls, ROUNDS, CPU).items()}


def folder(name: str, arm: str, seed: int, seconds: float) -> Path:
    """Where a training is kept: another recipe or other seconds have another folder."""
    key = digest({"recipe": decisive(arms(name)[arm]), "looks": LOOKS})
    return RUNS / name / f"{arm}-{seconds:g}s-{seed}-{key}"


def kept(name: str, arm: str, seed: int, seconds: float) -> Row | None:
    file = folder(name, arm, seed, seconds) / "row.json"
    row: Row | None = json.loads(file.read_text("utf-8")) if file.is_file() else None
    return row


def measure(name: str, arm: str, seed: int, seconds: float) -> None:
    """Trains for so many processor seconds, and scores what validation chose on the test split."""
    steps = max(1, round(seconds / costs(name, make=True)[arm]["step_seconds"]))
    settings = stretched(arms(name)[arm].model_copy(update={"seed": seed}), steps)
    place = folder(name, arm, seed, seconds)
    shutil.rmtree(place, ignore_errors=True)  # what a killed training has left
    data = open_split(settings.data, "train").fingerprint
    score, larger = evaluation.criterion(settings)
    marks = {max(1, round(steps * turn / LOOKS)) for turn in range(1, LOOKS + 1)}
    seen: list[dict[str, Any]] = []

    def look(tick: Tick, product: Mapping[str, nn.Module], watch: Stopwatch) -> None:
        scores = validate(settings, product, CPU)
        before = [point["scores"][score] for point in seen]
        if not before or (scores[score] > max(before) if larger else scores[score] < min(before)):
            zoo.save(place / store.BEST, product, settings, tick.step, data, scores)
        seen.append({"step": tick.step, "processor": watch.processor, "scores": scores})

    watch = train(settings, lambda tick: tick.step in marks, look)
    chosen = zoo.load(place / store.BEST, CPU)
    keep(place / "row.json", {
        "set": name, "arm": arm, "seed": seed, "seconds": seconds, "recipe": settings.model_dump(mode="json"),
        "steps": steps, "processor": watch.processor, "wall": watch.wall, "validation": seen, "chosen_by": score,
        "chosen_step": chosen.step, "test": json.loads(evaluation.of_model(chosen).json()),
    })  # fmt: skip


def at_hand(name: str) -> bool:
    """Whether a set's pictures are here; if not, says what to type."""
    lacking = missing(arms(name)["ours"].data)
    for card in lacking:
        say(f"{name} is left out: its pictures are not here. Type: i2i data fetch {card.name}")
    return not lacking


def within(name: str, seconds: Mapping[str, float]) -> dict[str, float]:
    """The seconds of each arm that a set has."""
    return {arm: time * SLOW.get(name, 1) for arm, time in seconds.items() if arm in arms(name)}


def play(names: Sequence[str], seeds: Sequence[int], seconds: Mapping[str, float]) -> None:
    """Trains what is not kept, seed by seed, so that what is stopped early has all arms of the first seeds."""
    wanted = [(name, arm, seed, time) for name in names if at_hand(name) for seed in seeds
              for arm, time in within(name, seconds).items() if not kept(name, arm, seed, time)]  # fmt: skip
    for place, (name, arm, seed, time) in enumerate(wanted):
        left = sum(each[-1] for each in wanted[place:]) / 60
        say(f"{name}, {arm}, seed {seed}: {place + 1} of {len(wanted)}, {left:.0f} min of training left")
        measure(name, arm, seed, time)


# What is told.


def ways(name: str) -> list[tuple[str, str]]:
    """(`a2b`, in words) of each direction of a set; a single one has no name."""
    return list(zip(("a2b", "b2a") if len(SETS[name]) == 2 else ("",), SETS[name], strict=True))


def values(rows: Sequence[Row], way: str, score: str) -> list[float]:
    """A score of the model in each row. `way`: a2b or b2a where a model has two, else ''."""
    return [row["test"]["scores"][f"model {way}".strip()][score]["mean"] for row in rows]


def unlearnt(row: Row, way: str) -> dict[str, float]:
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
    } for who in OURS if who in rows} for way, _ in ways(name)}  # fmt: skip


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
    model = "Pix2Pix" if arms(name)["ours"].model == "pix2pix" else "CycleGAN"
    if arm == "longer":
        return f"published {model}, {rows[arm][0]['seconds']:g} s"
    return {"published": f"published {model}", "ours": "ours", "tenth": "ours at a tenth"}[arm]


def cells(rows: Rows, arm: str, way: str) -> list[str]:
    """The means over an arm's seeds, bold where ours is better."""
    ruling = compared(rows, arm, "published", way) if arm in OURS else {}
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
        pairs = [(who, than) for who in OURS if who in rows for than in PUBLISHED if than in rows]
        told = [words(label(name, who, rows), label(name, than, rows), found)
                for who, than in pairs if (found := compared(rows, who, than, way))]  # fmt: skip
        head = f"{title}: {first['test']['pictures']} test pictures, {first['seconds']:g} processor seconds of training"
        blocks += [head, markdown(["", *TITLES], lines), *told]
    return "\n\n".join([*blocks, price(name, rows)])


def price(name: str, rows: Rows) -> str:
    """The table of what the arms cost, and in words what the reader should know of it."""
    cost, lines = costs(name), []
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
    if "tenth" not in arms(name):
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
                cost = costs(name)[arm]
                price = [f"{cost['multiply_adds'] / 1e6:,.0f} M", f"{cost['milliseconds']:.1f} ms",
                         f"{cost['onnx_bytes'] / 1e6:.1f} MB"]  # fmt: skip
                lines.append(["" if place else title, label(name, arm, rows), *cells(rows, arm, way), *price])
    return markdown(["", "", *TITLES, "multiply-adds", "a picture", "ONNX"], lines)


def sheet(name: str, rows: Rows) -> None:
    """`<set>.png`: test pictures, the same for ever, by each arm's model of the first seed that all arms have."""
    seeds = set.intersection(*({row["seed"] for row in found} for found in rows.values()))
    if not seeds:
        return
    data = arms(name)["ours"].data
    looks = {"a": data.channels.a, "b": data.channels.b}
    sides = dict(zip("ab", map(torch.cat, zip(*in_order(data, "test", BATCH), strict=True)), strict=True))
    chosen = np.random.default_rng(0).choice(len(sides["a"]), SHOWN, replace=False)
    products = {
        arm: zoo.load(folder(name, arm, min(seeds), found[0]["seconds"]) / store.BEST, CPU).product
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
    atomically(RUNS / f"{name}.png", lambda temporary: whole.save(temporary, "PNG"))


def gathered(name: str, seeds: Sequence[int], seconds: Mapping[str, float]) -> Rows:
    """What is kept of a set, arms without a training left out."""
    rows = {arm: [row for seed in seeds if (row := kept(name, arm, seed, time))]
            for arm, time in within(name, seconds).items()}  # fmt: skip
    return {arm: found for arm, found in rows.items() if found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=100,
                        help="processor time of a training, without validation; "
                        + ", ".join(f"{name} has {times} times as much" for name, times in SLOW.items()))  # fmt: skip
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--longer", type=float, metavar="K", help="the published ones also with K times the seconds")
    parser.add_argument("--only", nargs="+", choices=SETS, default=list(SETS), metavar="SET", help=", ".join(SETS))
    parser.add_argument("--arm", nargs="+", choices=(*PUBLISHED, *OURS), help="train only these")
    parser.add_argument("--print", action="store_true", dest="only_print", help="only what has been measured")
    parser.add_argument("--markdown", action="store_true", help="one table, as the README has it")
    options = parser.parse_args()
    torch.set_num_threads(1)
    seconds = dict.fromkeys(("published", *OURS), options.seconds)
    if options.longer:
        seconds["longer"] = options.longer * options.seconds
    if not options.only_print:
        wanted = options.arm or seconds
        play(options.only, options.seeds, {arm: time for arm, time in seconds.items() if arm in wanted})
    found = {name: rows for name in SETS if (rows := gathered(name, options.seeds, seconds))}
    keep(RUNS / "results.json", {
        "machine": machine(CPU), "seconds": options.seconds, "costs": {name: costs(name) for name in found},
        "differences": {name: differences(name, rows) for name, rows in found.items()},
        "rows": [row for rows in found.values() for several in rows.values() for row in several],
    })  # fmt: skip
    found = {name: rows for name, rows in found.items() if name in options.only}
    if not found:
        raise UserError(f"Nothing has been measured with --seconds {options.seconds:g} yet: leave --print out.")
    for name, rows in found.items():
        if at_hand(name):
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

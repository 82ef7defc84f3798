"""What `side_by_side.py` compares: sets, their arms, trainings on equal seconds, and what is kept of them."""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from statistics import median
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import onnxruntime as ort
import torch
from common import CPU, Stopwatch, interleaved, paces, stretched, train
from torch import nn

from i2i import evaluation, recipe, store, zoo
from i2i.data import missing, open_split
from i2i.engine.loop import Tick
from i2i.engine.settings import CHANGEABLE
from i2i.errors import UserError
from i2i.export import graph
from i2i.files import atomically
from i2i.publishing import measures
from i2i.validation import validate

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
LOOKS = 8  # validations in a training
ROUNDS = 30  # of the timing of exported models

Row = dict[str, Any]  # what is known of one training


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
    with torch.device("meta"):  # shapes only
        return measures.multiply_adds(generator(settings), settings.data.crop)


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

"""What a student saves, and what it costs in quality: sums, time and scores of both, beside the truth."""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from rich.console import Console

from i2i import evaluation, loading, recipe, store, zoo
from i2i.api import Trained
from i2i.data import Data, PairedData, UnpairedData, has, in_order, open_split
from i2i.distil.answers import BATCH, LESSONS, put_pairs, tell
from i2i.distil.teacher import Teacher
from i2i.engine import report
from i2i.engine.settings import Settings
from i2i.publishing.measures import multiply_adds, parameters
from i2i.results import TEST
from i2i.runtime import Exported
from i2i.scores import Scores
from i2i.translator import Translator

TOLD = "distilled.json"  # in the run's folder
ROUNDS = 20  # timings of each model


def compared(
    trained: Trained,
    teacher: Teacher,
    settings: Settings,
    scored: Data | None,
    device: torch.device,
    watch: Callable[[], None],
    console: Console,
) -> dict[str, Any]:
    """What teacher and student cost and what they score; `distilled.json`, read if it is there: the test split is
    scored once. Writes the test scores of both where the run's report looks for them."""
    run, path = trained.run, trained.run / TOLD
    student = zoo.load(trained.model, device)
    sums = {"teacher": teacher.weights, "student": store.read_header(trained.model)["sha256"]}
    if path.is_file():
        told: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if {who: told[who]["weights"] for who in sums} == sums:
            return told
    side, where = settings.data.crop, "cpu" if device.type == "cpu" else "auto"  # type: ignore[union-attr]
    forms = [
        loading.load(file, direction=way, device=where, console=console)
        for file, way in ((teacher.file, teacher.direction), (trained.model, "a2b"))
    ]
    answer = Translator(student.product["a2b"], device)
    told = {
        "side": side,
        "device": forms[0].device,
        "teacher": {"name": teacher.name, "direction": teacher.direction, "weights": teacher.weights}
        | costs(teacher.translate, teacher.file, teacher.direction, side),
        "student": {"name": trained.name, "direction": "a2b", "weights": sums["student"]}
        | costs(answer, trained.model, "a2b", side),
        "likeness": {"split": "val", "scores": student.scores},  # of the student's answers to the teacher's
        "test": None,
    }
    for who, taken in zip(("teacher", "student"), milliseconds(forms, side), strict=True):
        told[who]["milliseconds"] = taken
    if isinstance(scored, PairedData | UnpairedData) and has(scored, "test"):
        told["test"] = scored_both(run, teacher, student, scored, device, watch)
    tell(path, told)
    note = f"{settings.model} on {device.type}, finished; a student of {teacher.name}"
    report.write(run, run.name, recipe.dump(settings), note, evaluation.criterion(settings))
    return told


def costs(translator: Translator, file: Path, direction: str, side: int) -> dict[str, int]:
    """Of one direction, for a picture of side × side."""
    places = store.exported(file, direction, "uint8", store.read_header(file)["sha256"])
    return {
        "multiply_adds": multiply_adds(translator.network, side),
        "parameters": parameters(translator.network),
        "bytes": next(place.stat().st_size for place in places if place.is_file()),
    }


def milliseconds(models: Iterable[Exported], side: int) -> list[float]:
    """Medians for one picture of noise. They take turns, so that a busy moment is nobody's."""
    shown = [(model, np.random.default_rng(0).integers(0, 256, (1, side, side, model.inputs), np.uint8))
             for model in models]  # fmt: skip
    taken: list[list[float]] = [[] for _ in shown]
    for turn in range(ROUNDS + 1):
        for (model, picture), times in zip(shown, taken, strict=True):
            began = time.perf_counter()
            model.run(picture)
            if turn:  # the first one warms up
                times.append(1000 * (time.perf_counter() - began))
    return [median(times) for times in taken]


def scored_both(
    run: Path,
    teacher: Teacher,
    student: zoo.Model,
    scored: PairedData | UnpairedData,
    device: torch.device,
    watch: Callable[[], None],
) -> dict[str, Any]:
    """Student, teacher and controls on the test split, as JSON; also into the run's `test.json`, for its report.

    Afterwards the run's folder has a test split with the truth, where there is one, for `i2i evaluate`; during training
    there was none, so that nothing else was scored on what is not real."""

    def score(translate: Translator) -> Scores:
        way = teacher.direction if isinstance(scored, UnpairedData) else "a2b"
        return evaluation.evaluate(translate.forward, scored, "test", way, device=device, watch=watch)

    own = score(teacher.translate).rows["model"]

    def beside(model: zoo.Model) -> dict[str, Any]:
        scores = score(Translator(model.product["a2b"], device))
        rows = {"model": scores.rows["model"], "teacher": own, **scores.rows}
        told: dict[str, Any] = json.loads(replace(scores, rows=rows).json())
        return told

    final = zoo.load(run / store.FILE, device)
    best = beside(student)
    last = best if final.step == student.step else beside(final)
    told = {"final": last, "final_step": final.step}
    if (run / store.BEST).is_file():
        told |= {"best": best, "best_step": student.step, "chosen_by": evaluation.criterion(student.recipe)[0]}
    tell(run / TEST, told)
    if open_split(scored, "test").registered:
        source, first = teacher.side(scored), 0
        for batch in in_order(scored, "test", BATCH, device):
            put_pairs(run / LESSONS, "test", first, batch[source], batch[1 - source], teacher, scored.bits)
            first += len(batch[source])
    rows = {"student" if name == "model" else name: row for name, row in best["scores"].items()}
    return best | {"scores": rows}

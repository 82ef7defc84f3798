"""What a finished run comes to: its final and its best model on the test split, once, and the spread over seeds."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch

from i2i import evaluation, store, zoo
from i2i.data import MixtureData, has
from i2i.files import atomically

TEST, SEEDS = "test.json", "seeds.json"


def conclude(run: Path, device: torch.device, watch: Callable[[], None]) -> dict[str, Any] | None:
    """Scores the models of a finished run on the test split and writes `test.json`; returns what is in it.

    Once: if it is there already it is only read, so that nobody chooses by the test split. None where the data has no
    such split or no scores (points). `watch` is called between batches and may raise. Raises UserError for pictures
    that cannot be scored.
    """
    path = run / TEST
    if path.is_file():
        told: dict[str, Any] = json.loads(path.read_text("utf-8"))
        return told
    final = zoo.load(run / store.FILE, device)
    if isinstance(final.recipe.data, MixtureData) or not has(final.recipe.data, "test"):
        return None
    best = zoo.load(run / store.BEST, device) if (run / store.BEST).is_file() else None
    told = {"final": _scored(final, watch), "final_step": final.step}
    if best:
        chosen_by, _ = evaluation.criterion(best.recipe)
        scores = told["final"] if best.step == final.step else _scored(best, watch)
        told |= {"best": scores, "best_step": best.step, "chosen_by": chosen_by}
    atomically(path, lambda temporary: temporary.write_text(json.dumps(told, indent=2), "utf-8"))
    return told


def _scored(model: zoo.Model, watch: Callable[[], None]) -> dict[str, Any]:
    """Every direction's scores on the test split."""
    scores: dict[str, Any] = json.loads(evaluation.of_model(model, watch=watch).json())
    return scores


def over_seeds(run: Path, seeds: Sequence[int], runs: Sequence[Path]) -> Path | None:
    """Writes `seeds.json`: for each score of the best models on the test split, its mean and spread over the seeds.

    Returns the run whose model has the best validation score: among seeds, too, the test split chooses nothing."""
    values: dict[str, list[float]] = {}
    chosen, top = None, None
    for each in runs:
        told = json.loads((each / TEST).read_text("utf-8")) if (each / TEST).is_file() else {}
        for answer, row in told.get("best", told.get("final", {})).get("scores", {}).items():
            for name, value in row.items() if answer.startswith("model") else ():
                values.setdefault(f"{answer}/{name}".removeprefix("model/"), []).append(value["mean"])
        if (each / store.BEST).is_file():
            model = zoo.load(each / store.BEST, torch.device("cpu"))
            name, larger = evaluation.criterion(model.recipe)
            score = model.scores[name] * (1 if larger else -1)
            if top is None or score > top:
                chosen, top = each, score
    rows = {name: {"values": v, "mean": mean(v), "std": stdev(v) if len(v) > 1 else 0.0} for name, v in values.items()}
    told = {"seeds": list(seeds), "runs": [each.name for each in runs], "rows": rows}
    atomically(run / SEEDS, lambda temporary: temporary.write_text(json.dumps(told, indent=2), "utf-8"))
    return chosen

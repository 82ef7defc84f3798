"""What is to be published: the chosen model of a run, or of several seeds, or one that is known by a name alone."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from i2i import store, zoo
from i2i.engine import monitor
from i2i.errors import UserError
from i2i.results import SEEDS, TEST
from i2i.validation import criterion


@dataclass(frozen=True)
class Source:
    """A model, and what its run has left. Of a model without a run nothing but the model is known."""

    model: zoo.Model
    version: str  # of the i2i that wrote it
    run: Path | None = None
    steps: int = 0  # of the schedule
    trained: int = 0  # steps that the run has gone
    seconds: float = 0.0  # that they took, however often the run was resumed
    validations: int = 0  # from which this model was chosen
    tested: dict[str, Any] | None = None  # of `test.json`: the scores of this model as it was trained
    seeds: dict[str, Any] | None = None  # `seeds.json`, where it is the best of several


def find(name: str | Path) -> Source:
    """The model behind a run folder, a folder of seeds, a name or a file; of a run the best by validation, or the last
    where there is no best.

    A run that has not finished needs a best model. Raises UserError where it has none, for what is no model, and for an
    exported one, which has no weights to go on from.
    """
    path, seeds = Path(name), None
    if (path / SEEDS).is_file():
        seeds = json.loads((path / SEEDS).read_text("utf-8"))
        path = _best_of(path, seeds["runs"])
    file = store.find(path if seeds else name)
    if file.suffix == ".onnx":
        raise UserError(f"{name} is an exported model. What is published is a run, or a model with its weights.")
    run, lines = file.parent, monitor.read(file.parent) if file.name in (store.BEST, store.FILE) else []
    if lines and lines[-1]["step"] < lines[-1]["steps"] and file.name != store.BEST:
        raise UserError(
            f"{run} stands at step {lines[-1]['step']:,} of {lines[-1]['steps']:,}, and validation has chosen no model "
            f"yet. Let it go on to its end, or to its first validation: i2i train RECIPE --run {run}"
        )
    model = zoo.load(file, torch.device("cpu"))
    version = store.read_header(file).get("version", "")
    if not lines:
        return Source(model, version)
    told = json.loads((run / TEST).read_text("utf-8")) if (run / TEST).is_file() else {}
    best = file.name == store.BEST
    return Source(
        model,
        version,
        run,
        steps=lines[-1]["steps"],
        trained=lines[-1]["step"],
        seconds=lines[-1]["seconds"],
        validations=len(monitor.read(run, monitor.VALIDATION)) if best else 0,
        tested=told.get("best" if best else "final"),
        seeds=seeds,
    )


def _best_of(folder: Path, runs: list[str]) -> Path:
    """Of the runs of several seeds that with the best validation score; the test split chooses nothing."""
    found = []
    for run in (folder / name for name in runs):
        if (run / store.BEST).is_file():
            model = zoo.load(run / store.BEST, torch.device("cpu"))
            name, larger = criterion(model.recipe)
            found.append((model.scores[name] * (1 if larger else -1), run))
    return max(found)[1] if found else folder / runs[0]

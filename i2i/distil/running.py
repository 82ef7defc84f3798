"""`i2i distil`: the teacher answers, the student trains, both are compared."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from i2i import api, recipe, store
from i2i.api import QUIET, Trained, never
from i2i.data import PairedData, UnpairedData, fetch, missing, open_split
from i2i.distil.answers import LESSONS, WINDOWS, answer_all
from i2i.distil.asking import PLACES, questions, settings_of, student
from i2i.distil.comparing import compared
from i2i.distil.teacher import called, find
from i2i.engine import checkpoint
from i2i.engine.ranks import from_torchrun
from i2i.engine.watch import Watch
from i2i.errors import UserError
from i2i.metrics import Interval
from i2i.scores import Scores

ROWS = (("multiply_adds", "multiply-adds", "G", 1e9), ("parameters", "parameters", "M", 1e6),
        ("bytes", "exported file", "MB", 1e6), ("milliseconds", "one picture", "ms", 1.0))  # fmt: skip


@dataclass(frozen=True)
class Distilled:
    """A student's run, and what its `distilled.json` tells of it and its teacher."""

    trained: Trained
    told: Mapping[str, Any]

    def table(self) -> str:
        """For people: what is saved, then what it costs in quality."""
        teacher, student, side = self.told["teacher"], self.told["student"], self.told["side"]
        lines = [f"{'':20}{'teacher':>12}{'student':>12}{'ratio':>10}"]
        for key, word, unit, scale in ROWS:
            a, b = teacher[key] / scale, student[key] / scale
            lines.append(f"{word:20}{f'{a:.3g} {unit}':>12}{f'{b:.3g} {unit}':>12}{f'{a / b:.3g} ×':>10}")
        lines.append(f"of {side} × {side} pixels; time of the exported forms, in turns, on {self.told['device']}")
        if test := self.told["test"]:
            rows = {name: {column: Interval(s["mean"], math.nan if s["interval"] is None else s["interval"])
                           for column, s in row.items()} for name, row in test["scores"].items()}  # fmt: skip
            lines.append(Scores(test["split"], tuple(test["sizes"]), rows, test["features"]).table())
        return "\n".join(lines)


def distil(
    source: str | Path,
    teacher: str | Path,
    *,
    run: str | Path | None = None,
    overrides: Iterable[str] = (),
    direction: str | None = None,
    windows: int = WINDOWS,
    device: str = "auto",
    name: str | None = None,
    may_fetch: Callable[[str], bool] = never,
    console: Console = QUIET,
) -> Distilled:
    """Trains the Pix2Pix recipe `source` to answer as `teacher` (name, run folder, model file) does, or goes on.

    `data` of the recipe may be left out, in part or as a whole: what it does not say is as in the teacher's own recipe.
    If it names pictures, the teacher is asked those (`layout: unlabelled` unless it says otherwise). `direction`: a2b
    unless given. `windows`: so many different ones are answered, and no fewer than there are training pictures. `run`
    and `name`: `runs/TEACHER_RECIPE` and `TEACHER_RECIPE` unless given. `may_fetch`: see `api.train`.

    The student is chosen by its likeness to the teacher on the val split. On the test split both are scored, once,
    beside the truth where there is one and beside real pictures. Raises UserError.
    """
    if from_torchrun().world > 1:
        raise UserError("i2i distil works in one process; start it without torchrun.")
    place = api.pick_device(device)
    taught, tree, path = find(teacher, direction, place), student(source, overrides), str(recipe.find(source))
    stem = f"{called(teacher)}_{Path(path).stem}{'' if taught.direction == 'a2b' else '_b2a'}"
    name, folder = store.check_name(name or stem.lower()), Path(run) if run else Path("runs") / stem
    if name == str(teacher) or folder.resolve() == taught.file.parent.resolve():
        raise UserError(f"{teacher} is the teacher; its student needs another --name and another --run.")
    named = any((tree.get("data") or {}).get(key) for key in PLACES)
    asked = questions(taught, tree.get("data") or {}, named, path)
    settings = settings_of(tree, taught, asked, folder / LESSONS, path)
    for card in missing(asked):
        if may_fetch(f"Fetch the data set {card.name}, {card.title} ({card.weight}; commercial: {card.commercial})?"):
            fetch(card.name, console=console)
    try:
        split = open_split(asked, "train")
    except UserError as error:
        raise UserError(
            f"The pictures that {teacher} is to be asked are not there: {error}\n"
            f"Bring them back, or name others: --set data.root=FOLDER"
        ) from None
    with checkpoint.locked(folder), Watch():
        answer_all(folder / LESSONS, taught, asked, split, windows, settings.validate_pictures, console)
    trained = api.train(settings, run=folder, device=device, name=name, console=console)
    scored = asked if named and isinstance(asked, PairedData | UnpairedData) else taught.model.recipe.data
    with checkpoint.locked(folder), Watch() as watch:
        return Distilled(trained, compared(trained, taught, settings, scored, place, watch.check, console))

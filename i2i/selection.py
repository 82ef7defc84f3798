"""Validation while a run trains, and the model that it likes best, in `best.safetensors`."""

import json
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch
from torch import nn

from i2i import store, zoo
from i2i.data import has
from i2i.engine import checkpoint
from i2i.engine.monitor import Lines
from i2i.engine.settings import Settings
from i2i.errors import UserError
from i2i.files import atomically
from i2i.validation import criterion, nothing, validate


class Selection:
    """`write(file, scores)` writes the product as it is now; `say` tells the user a line."""

    def __init__(
        self,
        settings: Settings,
        run: Path,
        product: Mapping[str, nn.Module],
        device: torch.device,
        write: Callable[[str, Mapping[str, float]], None],
        say: Callable[[str], None],
    ) -> None:
        self.settings, self.product, self.device, self.write, self.say = settings, product, device, write, say
        self.best = run / store.BEST
        self.possible = has(settings.data, "val")

    def due(self, step: int, last: bool) -> bool:
        every = self.settings.validate_every
        return self.possible and every is not None and step > 0 and (step % every == 0 or last)

    def score(self, step: int, scores: Lines, watch: Callable[[], None] = nothing) -> None:
        """Scores the product on the val split, once a step, and keeps it as the best if it is. `watch` may raise."""
        if step in (line["step"] for line in scores.lines):
            return
        limit = self.settings.validate_pictures
        found = validate(self.settings, self.product, self.device, limit=limit, watch=watch)
        if not found:
            return
        name, larger = criterion(self.settings)
        best = self.best_scores().get(name)
        if best is None or (found[name] > best if larger else found[name] < best):
            self.write(store.BEST, found)
        scores.write({"step": step, "scores": found})

    def best_scores(self) -> dict[str, float]:
        """The validation scores of the best model so far, from its own file: it cannot disagree with what is there."""
        try:
            scores: dict[str, float] = json.loads(store.read_header(self.best)["scores"])
        except UserError:
            return {}
        return scores

    def mend(self, states: Path) -> None:
        """Puts a saved copy in the place of a best model that is damaged or gone: it may be older than all states."""
        copies = checkpoint.copies(states, store.BEST)
        if whole(self.best) or not (self.best.exists() or copies):
            return
        self.best.unlink(missing_ok=True)
        for copy in filter(whole, copies):
            atomically(self.best, partial(shutil.copyfile, copy))
            self.say(f"{self.best} was missing or damaged; its copy from {copy.parent} is in its place.")
            return
        self.say(f"{self.best} was damaged, and there is no whole copy of it: the best is chosen anew from here on.")


def whole(model: Path) -> bool:
    """Whether a model file is there and is what was written."""
    try:
        zoo.load(model, torch.device("cpu"))
    except UserError:
        return False
    return True

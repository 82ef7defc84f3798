"""A teacher: a trained translator in one direction, and the pictures that it takes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from i2i import store, zoo
from i2i.data import Data, UnpairedData
from i2i.data.spec import Look
from i2i.errors import UserError
from i2i.models import imported
from i2i.translator import Translator


@dataclass(frozen=True)
class Teacher:
    """`looks`: what its inputs hold, by their folder: A, then its conditions. `answer`: what its answers hold."""

    name: str
    file: Path
    model: zoo.Model
    direction: str
    weights: str  # sha256
    translate: Translator
    looks: dict[str, Look]
    answer: Look

    def side(self, data: Data) -> int:
        """Where in a batch its inputs are."""
        return 1 if isinstance(data, UnpairedData) and self.direction == "b2a" else 0

    def inputs(self, batch: Any, data: Data) -> Tensor:
        """n c h w."""
        x: Tensor = batch if isinstance(batch, Tensor) else batch[self.side(data)]
        return x


def find(name: str | Path, direction: str | None, device: torch.device) -> Teacher:
    """Raises UserError for a model that has no weights file, makes pictures from noise, or lacks the direction."""
    file, way = store.find(name), direction or "a2b"
    if file.suffix == ".onnx":
        raise UserError(f"{name} is an exported model. Give the model file that it was made from: {store.FILE}")
    model = zoo.load(file, device)
    if "generator" in model.product:
        raise UserError(f"{name} makes pictures from noise, and a teacher translates pictures.")
    if way not in model.product:
        raise UserError(f"{name} translates {' and '.join(model.product)}, not {way!r}.")
    told: Any = model.recipe if isinstance(model.recipe, imported.Recipe) else model.recipe.data
    looks = {"A": getattr(told.channels, way[0])} | {
        each.name: each.channels for each in getattr(told, "condition", ())
    }
    weights, translate = store.read_header(file)["sha256"], Translator(model.product[way], device)
    return Teacher(str(name), file, model, way, weights, translate, looks, getattr(told.channels, way[2]))


def called(teacher: str | Path) -> str:
    """What a teacher is called in the names of its students: hf:owner/name@revision → name."""
    path = Path(teacher).absolute()
    return path.parent.name if path.name in (store.FILE, store.BEST) else path.name.partition("@")[0]

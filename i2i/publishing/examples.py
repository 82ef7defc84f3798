"""Pictures for a card: some of a split drawn by lot, and the worst of it.

Shapes: n pictures, c channels, h w size; pictures are in [-1, 1].
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from i2i import metrics
from i2i.data import PairedData, UnpairedData, in_order, open_split
from i2i.data.looks import shown
from i2i.translator import Translator
from i2i.validation import BATCH, LARGER_IS_BETTER, against_truth, criterion, looks_of, nothing, pooled
from i2i.zoo import Model

SEED = 0
NEAREST = "distance to the nearest real picture"  # in features: what is left to judge by where there is no truth
EVERYWHERE = "perceptual_efflite0"  # the score that every picture with a truth has


@dataclass(frozen=True)
class Example:
    """A picture of a split, by its number, for people: input, translation and truth are 3 h w; `value` is its score."""

    index: int
    value: float
    input: Tensor
    translated: Tensor
    truth: Tensor | None


@dataclass(frozen=True)
class Chosen:
    """Of one direction: `random` by lot with SEED, `worst` by the score `by`, the worst first, of `pictures` in all."""

    by: str
    pictures: int
    random: tuple[Example, ...]
    worst: tuple[Example, ...]


@torch.inference_mode()
def choose(model: Model, way: str, split: str, random: int, worst: int) -> Chosen:
    """Translates a split and picks `random` of its pictures by lot, and the `worst`.

    The worst have the worst score of the recipe's criterion where single pictures have it, else of `EVERYWHERE`;
    without truths, the largest distance of their features to those of the nearest real picture.
    """
    data = model.recipe.data
    assert isinstance(data, PairedData | UnpairedData)
    opened, source = open_split(data, split), 0 if way == "a2b" else 1
    count = len(opened.files[source]) if isinstance(data, UnpairedData) else len(opened)
    lot = set(np.random.default_rng(SEED).permutation(count)[:random].tolist())
    by, sign = _judge(model, opened.registered)
    drawn, bad = [], list[Example]()
    for example in _translated(model, way, split, by, opened.registered):
        if example.index in lot:
            drawn.append(example)
        bad = sorted([*bad, example], key=lambda each: sign * each.value)[:worst]
    return Chosen(by, count, tuple(drawn), tuple(bad))


def _judge(model: Model, registered: bool) -> tuple[str, int]:
    """The score that pictures are judged by, and 1 where the smallest is the worst, else -1."""
    if not registered:
        return NEAREST, -1
    data, chosen = model.recipe.data, criterion(model.recipe)[0]
    look = looks_of(data, 1)[0] if isinstance(data, PairedData) else None
    single = (EVERYWHERE, "l1", *(("psnr", "ssim", "correlation") if isinstance(look, int) else ()))
    by = chosen if chosen in single else EVERYWHERE
    return by, 1 if by in LARGER_IS_BETTER else -1


def _translated(model: Model, way: str, split: str, by: str, registered: bool) -> Iterator[Example]:
    data: Any = model.recipe.data
    source, target = (0, 1) if way == "a2b" else (1, 0)
    asked, (look,) = looks_of(data, source), looks_of(data, target)
    translate, see = Translator(model.product[way], torch.device("cpu")).forward, metrics.network("efflite0", "cpu")
    cpu, first = torch.device("cpu"), 0
    real = torch.empty(0)
    if not registered:
        sides = (batch[target] for batch in in_order(data, split, BATCH) if len(batch[target]))
        real = pooled(sides, [look], cpu, nothing)
    for batch in in_order(data, split, BATCH):
        x, y = batch[source], batch[target]
        if not len(x):
            return
        fake = translate(x)
        rgb = shown(fake, [look])
        if registered:
            values = against_truth(fake, y, see(rgb), see(shown(y, [look])), look)[by]
        else:
            values = torch.cdist(see(rgb).pooled, real).amin(1)
        inputs, truths = shown(x, asked), shown(y, [look]) if registered else None
        for i in range(len(x)):
            truth = truths[i] if truths is not None else None
            yield Example(first + i, values[i].item(), inputs[i], rgb[i], truth)
        first += len(x)

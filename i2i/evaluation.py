"""Scores of a model on pictures that it has not seen, beside the trivial answers that it has to beat.

A score alone can mislead: on day → night a constant dark picture has a small L1, on line → colour the untouched
drawing nearly ties. So the controls are always in the table, and real pictures beside real ones say what FID and KID
are when nothing is wrong.
Scores of pixels are of all channels, those of features of what people are shown (`data.looks.shown`); where the answer
is a segmentation map, it is scored as one.
Shapes: n pictures, c channels, h w size, d features; pictures are in [-1, 1].
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from i2i import metrics, recipe
from i2i.data import (
    Data,
    Fractions,
    LabelledData,
    MixtureData,
    PairedData,
    PartlyLabelledData,
    Pictures,
    UnlabelledData,
    UnpairedData,
    fixed,
    in_order,
    open_split,
)
from i2i.data.looks import shown
from i2i.data.spec import depth
from i2i.data.split import SPLITS
from i2i.engine.settings import Settings
from i2i.errors import UserError, suggest
from i2i.models import imported
from i2i.runtime import Exported
from i2i.scores import COLUMNS, Scores
from i2i.translator import Translator
from i2i.validation import (
    BATCH,
    against_truth,
    at_rest,
    criterion,
    looks_of,
    nothing,
    pooled,
    read_rightly,
    sampled,
    validate,
)
from i2i.zoo import Model

__all__ = ["COLUMNS", "Scores", "criterion", "evaluate", "evaluate_samples", "of_exported", "of_model", "validate"]

Answer = Callable[[Tensor], Tensor]  # n c h w → the same
Sampler = Callable[[int], Iterable[Tensor]]  # n → batches of n c h w, n pictures in all
TRAIN_PICTURES = 512  # of the training split, to know its colours


def of_model(
    model: Model,
    split: str = "test",
    *,
    direction: str | None = None,
    folder: Path | None = None,
    features: str = "efflite0",
    watch: Callable[[], None] = nothing,
) -> Scores:
    """`evaluate` or `evaluate_samples` of a model from its file, on its recipe's data or that of `folder`.

    direction: `a2b` or `b2a`; None for all that it has, and where there are two the names of rows end in theirs.
    """
    device = next(network.parameters().__next__().device for network in model.product.values())
    (data, folder), product = _known(model.recipe, folder), model.product
    if "generator" in product:
        with at_rest(product.values(), device):
            scores = evaluate_samples(
                lambda n: sampled(model.recipe, product["generator"], n, device),
                data, split, folder=folder, device=device, features=features, watch=watch,
            )  # fmt: skip
            if "classifier" in product and folder is None:  # whose classes a folder of one's own need not have
                read = [read_rightly(product["classifier"], x, y, device) for x, y in in_order(data, split, BATCH)]
                scores.rows["model"]["accuracy"] = metrics.mean(torch.cat(read))  # type: ignore[index]
            return scores
    if direction is not None and direction not in product:
        raise UserError(f"This model translates {' and '.join(product)}, not {direction!r}.")
    answers = {way: Translator(network, device).forward for way, network in product.items()}
    ways = [direction] if direction else list(product)
    each = {}
    for way in ways:
        back = answers.get("b2a" if way == "a2b" else "a2b")
        each[way] = evaluate(
            answers[way], data, split, way, back=back, folder=folder, device=device, features=features, watch=watch
        )
    first = each[ways[0]]
    if len(each) == 1:
        return first
    rows = {f"{answer} {way}": row for way, scores in each.items() for answer, row in scores.rows.items()}
    return Scores(first.split, first.sizes, rows, first.features, first.folder)


def of_exported(
    exported: Exported, split: str = "test", *, folder: Path | None = None, features: str = "efflite0"
) -> Scores:
    """`evaluate` of an exported model, pixels in and out, on the data of the recipe in its metadata or of `folder`."""
    settings = recipe.build(json.loads(exported.card.recipe), "the recipe in the exported model")
    if exported.card.pixels == "float32":
        raise UserError("A model exported for float32 is scored from its own file: i2i evaluate --model NAME")
    data, other = _known(settings, folder)
    if folder is None and any(getattr(data, place, None) for place in ("root", "manifest", "shards", "mix")):
        raise UserError("An exported model does not say where its pictures were. Give some: --data FOLDER")
    half = (255 if exported.card.pixels == "uint8" else 65535) / 2

    def answer(x: Tensor) -> Tensor:  # n c h w in [-1, 1] → the same
        pixels = ((x.permute(0, 2, 3, 1).cpu().numpy() + 1) * half).round().astype(exported.dtype)
        return torch.from_numpy(exported.run(pixels).astype(np.float32) / half - 1).permute(0, 3, 1, 2)

    return evaluate(answer, data, split, exported.card.direction, folder=other, features=features)


def _known(settings: Settings, folder: Path | None) -> tuple[Data, Path | None]:
    """The recipe's data, and the folder that is scored in their place; an imported model knows no data but that."""
    if isinstance(settings, imported.Recipe):
        return imported.pictures(settings, folder), None
    return settings.data, folder


@torch.inference_mode()
def evaluate(
    answer: Answer,
    data: Data,
    split: str = "test",
    direction: str = "a2b",
    *,
    back: Answer | None = None,
    folder: Path | None = None,
    device: torch.device | str = "cpu",
    features: str = "efflite0",
    watch: Callable[[], None] = nothing,
) -> Scores:
    """Scores a translator: against the truth where the split has pairs, and its translations as a set in any case.

    `answer` takes and gives n c h w in [-1, 1] on `device`, whatever runs it; `back` is the opposite direction, for the
    L1 of there and back. `folder` holds other pictures of the same layout: its own `split` if it has one, else all of
    it. What the controls know comes from the training pictures of `data`; without those only the copy is left.
    `features`: efflite0 or inception. `watch` is called before each batch and may raise.
    Raises UserError for data without two sides, an unknown split, and pictures that are missing or cannot be read.
    """
    if not isinstance(data, PairedData | UnpairedData):
        raise UserError("Only what goes from one side to another is a translator; these data have a single side.")
    scored, split = _which(data, split, folder)
    opened, device = open_split(scored, split), torch.device(device)
    source, target = (0, 1) if direction == "a2b" else (1, 0)
    (look,) = looks_of(data, target)
    answers = {"model": answer, **controls(data, source, target, device)}
    chosen = metrics.network(features, device)
    lite = metrics.network("efflite0", device)  # has the stages for the perceptual distance

    values: dict[str, dict[str, list[Tensor]]] = {name: {} for name in (*answers, "truth")}
    seen: dict[str, list[Tensor]] = {name: [] for name in (*answers, "truth")}
    counted: dict[str, list[Tensor]] = {name: [] for name in (*answers, "truth")}

    def put(name: str, column: str, value: Tensor) -> None:
        values[name].setdefault(column, []).append(value.cpu())

    for batch in in_order(scored, split, BATCH, device):
        watch()
        x, y = batch[source], batch[target]  # where unpaired sides differ in length, one runs out
        replies = {name: reply(x) for name, reply in answers.items()} if len(x) else {}
        if "model" in replies and back is not None:
            put("model", "cycle", metrics.l1(back(replies["model"]), x))
        if len(y):
            replies["truth"] = y
            real = lite(shown(y, [look]))
        for name, pictures in replies.items():
            rgb = shown(pictures, [look])
            looked = real if name == "truth" else lite(rgb)
            seen[name].append((looked if chosen is lite else chosen(rgb)).pooled.cpu())
            if opened.registered:
                columns = against_truth(pictures, y, looked, real, look)
                if isinstance(look, int):
                    columns["chroma"] = metrics.chroma(rgb)
                else:
                    counted[name].append(metrics.counts(pictures, y).cpu())
                for column, value in columns.items():
                    put(name, column, value)

    rows = {name: {column: metrics.mean(torch.cat(parts)) for column, parts in row.items()}
            for name, row in values.items()}  # fmt: skip
    for name, parts in counted.items():
        if parts:
            whole = torch.cat(parts)
            for column, statistic in (("pixel_accuracy", metrics.pixel_accuracy), ("mean_iou", metrics.mean_iou)):
                rows[name][column] = metrics.jackknife(statistic, whole)
    real_seen = torch.cat(seen.pop("truth"))
    sets = {name: torch.cat(parts) for name, parts in seen.items()}
    sets |= _training_pictures(data, target, len(real_seen), device, features, watch)
    for name, fakes in sets.items():
        if min(len(fakes), len(real_seen)) >= 2:
            rows[name] = rows.get(name, {}) | metrics.compare(fakes, real_seen, chosen.suffix)
    sizes = tuple(len(side) for side in opened.files)
    return Scores(split, sizes, {name: row for name, row in rows.items() if row}, chosen.protocol, folder)


@torch.inference_mode()
def evaluate_samples(
    sample: Sampler,
    data: Data,
    split: str = "test",
    *,
    folder: Path | None = None,
    device: torch.device | str = "cpu",
    features: str = "efflite0",
    watch: Callable[[], None] = nothing,
) -> Scores:
    """Scores a generator from noise: as many samples as the split has pictures, as a set beside them.

    `sample(n)` gives n pictures in batches. The rest is as in `evaluate`; points have no scores: UserError.
    """
    if isinstance(data, MixtureData | PairedData | UnpairedData):
        raise UserError(f"Samples are scored beside a collection of pictures; these data are {data.layout}.")
    scored, split = _which(data, split, folder)
    device, chosen = torch.device(device), metrics.network(features, device)
    labelled = isinstance(scored, LabelledData)
    pictures = (batch[0] if labelled else batch for batch in in_order(scored, split, BATCH, device))
    looks = looks_of(scored, 0)
    real = pooled(pictures, looks, device, watch, features)
    sets = {"model": pooled(sample(len(real)), looks, device, watch, features)}
    sets |= _training_pictures(data, 0, len(real), device, features, watch)
    rows = {name: metrics.compare(fakes, real, chosen.suffix) for name, fakes in sets.items()}
    return Scores(split, (len(real),), rows, chosen.protocol, folder)


def controls(data: PairedData | UnpairedData, source: int, target: int, device: torch.device) -> dict[str, Answer]:
    """Answers that know nothing of the content; colours come from the training split alone. A copy is that of the
    input's picture without its conditions, and there is one only where both sides hold the same."""
    look, other = looks_of(data, source)[0], looks_of(data, target)[0]
    alike, own = look == other, slice(depth(look))
    copy: dict[str, Answer] = {"copy of the input": lambda x: x[:, own]} if alike else {}
    try:
        seen = fixed(data, "train", TRAIN_PICTURES, device)
    except UserError:  # a model may be scored where its training pictures are not
        return copy
    mean, std = seen[target].mean((0, 2, 3), keepdim=True), seen[target].std((0, 2, 3), keepdim=True)
    pictures = seen[source][:, own]
    own_mean, own_std = pictures.mean((0, 2, 3), keepdim=True), pictures.std((0, 2, 3), keepdim=True)
    average = seen[target].mean(0, keepdim=True)
    answers: dict[str, Answer] = {
        "constant colour": lambda x: mean.expand(len(x), -1, *x.shape[-2:]),
        "mean picture": lambda x: average.expand(len(x), -1, -1, -1),
        **copy,
    }
    if alike and isinstance(look, int):
        answers["mean/std transfer"] = lambda x: ((x[:, own] - own_mean) / own_std * std + mean).clamp(-1, 1)
    return answers


def _training_pictures(
    data: Data, side: int, count: int, device: torch.device, features: str, watch: Callable[[], None]
) -> dict[str, Tensor]:
    """Features of up to `count` real pictures that are not those of the split: as good as a model can be."""
    try:
        found = fixed(data, "train", count)
    except UserError:
        return {}
    pictures = found if isinstance(found, Tensor) else found[0 if isinstance(data, LabelledData) else side]
    if len(pictures) < 2:
        return {}
    assert isinstance(data, Pictures)
    return {"training pictures": pooled(pictures.split(BATCH), looks_of(data, side), device, watch, features)}


def _which(data: Pictures, split: str, folder: Path | None) -> tuple[Any, str]:
    """The data and split that are scored: a folder without such a split counts as one, all of it."""
    if split not in SPLITS:
        raise UserError(f"There is no split {split!r}.{suggest(split, SPLITS)}")
    if folder is None:
        return data, split
    nowhere = {"dataset": None, "manifest": None, "shards": None, "mix": ()}
    changed = nowhere | {"root": folder, "split": Fractions(val=0, test=0)}
    if isinstance(data, UnpairedData):
        changed["labels"] = None  # no score asks for classes, so these pictures need not have any
    kind, told = type(data), data.model_dump()
    if isinstance(data, PartlyLabelledData):  # nor these; as training pictures they would come twice
        kind, told = UnlabelledData, {key: told[key] for key in UnlabelledData.model_fields} | {"layout": "unlabelled"}
    there: Any = kind.model_validate(told | changed)
    try:
        open_split(there, split)
    except UserError:
        split = "train"  # what a plain folder is to the layouts
    return there, split

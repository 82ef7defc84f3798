"""Scores of a translator on pictures with known truth, beside the trivial answers that it has to beat.

A score alone can mislead: on day → night a constant dark picture has a small L1, on line → colour the untouched
drawing nearly ties. So the controls are always in the table.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from i2i import metrics
from i2i.data import Data, PairedData, UnpairedData, fixed, in_order, open_split
from i2i.errors import UserError, suggest
from i2i.translator import Translator

Answer = Callable[[Tensor], Tensor]  # n c h w in [-1, 1] → the same
SPLITS = ("train", "val", "test")
COLUMNS = ("l1", "psnr", "ssim", "correlation", "chroma")
TRAIN_PICTURES = 512  # of the training split, to know its colours


@dataclass(frozen=True)
class Scores:
    """`rows`: for each answer, for each score, (mean over pictures, half of its 95 % interval)."""

    split: str
    pictures: int
    rows: Mapping[str, Mapping[str, tuple[float, float]]]

    def table(self) -> str:
        head = f"{self.pictures} pictures of the {self.split} split; mean ± 95 % interval\n"
        lines = [f"{'':20}" + "".join(f"{name:>16}" for name in COLUMNS)]
        for answer, row in self.rows.items():
            lines.append(f"{answer:20}" + "".join(f"{row[name][0]:9.3f} ±{row[name][1]:5.3f}" for name in COLUMNS))
        return head + "\n".join(lines)

    def json(self) -> str:
        rows = {answer: {name: {"mean": mean, "interval": half} for name, (mean, half) in row.items()}
                for answer, row in self.rows.items()}  # fmt: skip
        return json.dumps({"split": self.split, "pictures": self.pictures, "scores": rows}, indent=2)


def evaluate(translator: Translator, data: Data, split: str, direction: str) -> Scores:
    """Scores `translator` on a split whose truth is known. Raises UserError where it is not."""
    if not isinstance(data, PairedData | UnpairedData):
        raise UserError("Only translators can be scored against a truth; this model makes pictures from noise.")
    if split not in SPLITS:
        raise UserError(f"There is no split {split!r}.{suggest(split, SPLITS)}")
    if not open_split(data, split).registered:
        raise UserError(f"The {split} split has no pairs, so no truth to compare with: its two sides need equal names.")
    source, truth = (0, 1) if direction == "a2b" else (1, 0)
    answers = {"model": translator.forward, **controls(data, source, truth, translator.device)}
    values: dict[str, dict[str, list[Tensor]]] = {name: {c: [] for c in COLUMNS} for name in (*answers, "truth")}
    for batch in in_order(data, split, 16, translator.device):
        x, y = batch[source], batch[truth]
        pictures = {**{name: answer(x) for name, answer in answers.items()}, "truth": y}
        for name, answered in pictures.items():
            for column, value in score(answered, y).items():
                values[name][column].append(value.cpu())
    rows = {name: {column: _interval(torch.cat(parts)) for column, parts in row.items()}
            for name, row in values.items()}  # fmt: skip
    return Scores(split, len(open_split(data, split)), rows)


def score(fake: Tensor, real: Tensor) -> dict[str, Tensor]:
    """The columns for some pictures, n values each."""
    return {
        "l1": metrics.l1(fake, real),
        "psnr": metrics.psnr(fake, real),
        "ssim": metrics.ssim(fake, real),
        "correlation": metrics.correlation(fake, real),
        "chroma": metrics.chroma(fake),
    }


def controls(data: PairedData | UnpairedData, source: int, truth: int, device: torch.device) -> dict[str, Answer]:
    """Answers that know nothing of the content; colours come from the training split alone."""
    seen = fixed(data, "train", TRAIN_PICTURES, device)
    mean, std = seen[truth].mean((0, 2, 3), keepdim=True), seen[truth].std((0, 2, 3), keepdim=True)
    own_mean, own_std = seen[source].mean((0, 2, 3), keepdim=True), seen[source].std((0, 2, 3), keepdim=True)
    average = seen[truth].mean(0, keepdim=True)
    answers: dict[str, Answer] = {
        "constant colour": lambda x: mean.expand(len(x), -1, *x.shape[-2:]),
        "mean picture": lambda x: average.expand(len(x), -1, -1, -1),
    }
    if seen[source].shape[1] == seen[truth].shape[1]:
        answers["copy of the input"] = lambda x: x
        answers["mean/std transfer"] = lambda x: ((x - own_mean) / own_std * std + mean).clamp(-1, 1)
    return answers


def _interval(values: Tensor) -> tuple[float, float]:
    half = 1.96 * values.std().item() / len(values) ** 0.5 if len(values) > 1 else 0.0
    return values.mean().item(), half

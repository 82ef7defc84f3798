"""The scores of a card: tables of the test and the validation split, and what has to be known to read them."""

from collections.abc import Iterator

from i2i.engine.settings import Settings
from i2i.publishing import words
from i2i.publishing.front import model_rows
from i2i.publishing.record import Record
from i2i.scores import COLUMNS
from i2i.validation import LARGER_IS_BETTER

WHAT = {
    "l1": "mean absolute error, 0 to 1",
    "psnr": "decibels",
    "ssim": "structural similarity, 1 is equal",
    "correlation": "of luminance, blind to brightness and contrast",
    "perceptual_efflite0": "distance in the features of EfficientNet-Lite0",
    "chroma": "colourfulness; the truth's own is best",
    "fid_efflite0": "Fréchet distance of the features of two sets; it falls as pictures become more",
    "kid_efflite0": "kernel distance of the features of two sets; 0 is equal, and small sets do not bias it",
    "diversity": "spread of the features; 1 is that of real pictures",
    "cycle": "L1 of there and back",
    "pixel_accuracy": "share of pixels of the right class",
    "mean_iou": "mean intersection over union of classes",
}
REAL = ("truth", "training pictures")  # no rivals
UNRATED = ("chroma",)  # neither less nor more is better


def figures(record: Record, settings: Settings) -> str:
    """The section of a card on how good a model is."""
    parts = ["## How good it is"]
    tables = {split: record["scores"][split] for split in ("test", "val") if record["scores"][split]}
    if not tables:
        return "## How good it is\n\nIt was not measured: its validation and test pictures were not at hand."
    parts.append(
        "Measured on what is published here, the weights rounded to 16 bits. ± is a 95 % interval: how far the score "
        "would move with other pictures of the same kind. The other rows are answers that know nothing of the content, "
        "which a model has to beat, and what real pictures get."
    )
    for split, told in tables.items():
        sizes = " and ".join(f"{size:,}" for size in dict.fromkeys(told["sizes"]))
        parts += [f"### {'Test' if split == 'test' else 'Validation'}: {sizes} pictures", *_tables(told["scores"])]
    seen = dict.fromkeys(name for told in tables.values() for row in told["scores"].values() for name in row)
    features = next(iter(tables.values()))["features"]
    parts.append("; ".join(f"`{name}`: {WHAT[name]}" for name in seen if name in WHAT) + f". Features: {features}.")
    parts += _remarks(record, settings)
    return "\n\n".join(parts)


def _tables(rows: Record) -> Iterator[str]:
    """First what is measured against the truth, then the scores of whole sets."""
    told = dict.fromkeys(name for row in rows.values() for name in row)
    for columns in ([c for c in told if c in COLUMNS], [c for c in told if c not in COLUMNS]):
        shown = [(answer, row) for answer, row in rows.items() if any(c in row for c in columns)]
        if shown:
            head = ["", *(f"{c.replace('_', ' ')} {_arrow(c)}".strip() for c in columns)]
            lines = []
            for answer, row in shown:
                mark = "**" if answer.split()[0] == "model" else ""
                cells = [cell(row.get(c), c) for c in columns]
                lines.append([f"{mark}{answer}{mark}", *(f"{mark}{each}{mark}" if each else "" for each in cells)])
            yield words.table(head, lines)


def _arrow(column: str) -> str:
    if column in UNRATED:
        return ""
    return "↑" if column in LARGER_IS_BETTER else "↓"


def _remarks(record: Record, settings: Settings) -> Iterator[str]:
    run = record["run"]
    if unbeaten := _unbeaten(record):
        yield f"Trivial answers that are as good as the model, or better, by the value alone: {unbeaten}."
    if run and run["chosen_by"]:
        yield (
            f"Validation chose this model: of {run['validations']} at different steps the one at step "
            f"{record['step']:,} had the best `{run['chosen_by']}`. So its validation scores flatter it a little; the "
            f"test pictures have chosen nothing."
        )
    if getattr(getattr(settings, "weights", None), "perceptual", 0):
        yield (
            "The training has minimised the distance that `perceptual_efflite0` measures, so that score flatters it, "
            "and `fid_efflite0` and `kid_efflite0`, which look through the same network, do to some extent: compare by "
            "the others, too."
        )
    if record["rounding"] is not None:
        yield (
            f"Rounding the weights to 16 bits has moved no test score by more than {100 * record['rounding']:.2g} % of "
            f"its 95 % interval."
        )
    if run and run["seeds"]:
        rows = [[f"`{name}`", f"{row['mean']:.4g} ± {row['std']:.2g}", ", ".join(f"{v:.4g}" for v in row["values"])]
                for name, row in run["seeds"]["rows"].items()]  # fmt: skip
        yield f"Over the seeds {', '.join(map(str, run['seeds']['seeds']))} (mean ± standard deviation, test split):"
        yield words.table(["", "mean", "each"], rows)


def _unbeaten(record: Record) -> str:
    """Where an answer that knows nothing of the content scores no worse: `ssim` of val (constant colour)."""
    found = []
    for split, told in record["scores"].items():
        rows = told["scores"] if told else {}
        for way, own in model_rows(rows).items():
            rivals = {name.removesuffix(way).strip(): row for name, row in rows.items() if name.endswith(way)}
            for name, score in own.items():
                sign = 1 if name in LARGER_IS_BETTER else -1
                better = [
                    rival
                    for rival, row in rivals.items()
                    if rival not in ("model", *REAL) and name in row and sign * (row[name]["mean"] - score["mean"]) >= 0
                ]
                if better and name not in UNRATED:
                    found.append(f"`{name}` of {split}{f', {way}' if way else ''} ({', '.join(better)})")
    return "; ".join(found)


def cell(score: Record | None, name: str) -> str:
    """`1.234 ± 0.056`; '' where there is no such score."""
    if score is None:
        return ""
    places = 4 if "kid" in name else 3
    half = score["interval"]
    return f"{score['mean']:.{places}f}" + ("" if half is None else f" ± {half:.{places}f}")

"""A run, or a model that has a name → the folder that is handed on: weights, exported forms, recipe, card, pictures."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from i2i import __version__, evaluation, export, recipe, store, zoo
from i2i.cost import say
from i2i.data import MixtureData, Pictures, has, open_split
from i2i.engine.pictures import sheet as samples_sheet
from i2i.errors import UserError
from i2i.files import durable
from i2i.publishing import examples, measures, record, sheets, sources, words
from i2i.publishing.card import FAILURES, GRID, card
from i2i.publishing.checks import RECIPE, check
from i2i.publishing.sources import Source
from i2i.runtime import Exported, guard
from i2i.validation import at_rest, sampled, validate

QUIET = Console(quiet=True)
COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
DRAWN, WORST = 16, 8  # pictures of a direction in the grid, and of the failures
SAMPLES = 64
SIDE = 256  # pixels, of a model that does not say at what size it was trained
LONGEST = 100_000  # characters of what the author says
CPU = torch.device("cpu")


def publish(
    source: str | Path,
    out: str | Path,
    *,
    name: str | None = None,
    about: str | Path | None = None,
    force: bool = False,
    console: Console = QUIET,
) -> Path:
    """Writes the folder `out`, whole or not at all, and returns it.

    `source`: a run folder, of which the best model by validation is taken, or the last where there is none; a folder of
    seeds; a model's name or file. `name`: what it is called in its card, the folder's name unless given. `about`:
    Markdown by its author on what it is good and bad for; front matter on top of it (license, tags, ...) goes into the
    card's. Scores are measured on the published weights, rounded to 16 bits, on the pictures that are here; where those
    are missing the card says so. Raises UserError, among others for a folder that exists, unless `force` replaces what
    was published there.
    """
    target = Path(out)
    called = store.check_name(name or target.resolve().name.lower())
    _check_free(target, force)
    given, text = _about(about)
    found = sources.find(source)
    if isinstance(found.model.recipe.data, MixtureData):
        raise UserError(f"{source} draws points, not pictures: there is nothing to publish.")
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        made = temporary / "made"
        made.mkdir()
        told = _fill(made, called, found, console)
        (made / store.CARD).write_text(card(told, found.model.recipe, text, given), "utf-8")
        record.write(made, told | {"files": record.sums(made)})
        if wrong := check(made):
            raise UserError("What was made is not as its card says, so nothing was published:\n" + "\n".join(wrong))
        _appear(made, target, temporary / "outdated")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _fill(made: Path, name: str, source: Source, console: Console) -> record.Record:
    """Everything but the card into the folder; returns the record."""
    trained = source.model
    settings, ways = record.without_places(trained.recipe), trained.ways
    data = trained.recipe.data
    here = {split: data is not None and has(data, split) for split in ("val", "test")}
    with Progress(*COLUMNS, console=console, transient=True) as progress:
        task = progress.add_task("weights", total=3 + len(ways) + sum(here.values()))

        def begin(what: str) -> None:
            progress.update(task, description=what, advance=0 if what == "weights" else 1)

        begin("weights")
        product = zoo.rounded(trained.product)
        scores = trained.scores
        if here["val"] and scores:
            scores = validate(trained.recipe, product, CPU, limit=trained.recipe.validate_pictures)
        file = made / store.FILE
        zoo.save(file, product, settings, trained.step, trained.data, scores, half=True)
        if settings.schedule:
            (made / RECIPE).write_text(f"# i2i train recipe.yaml\n{recipe.dump(settings)}", "utf-8")
        opened = {}
        for way in ways:
            begin(f"export {way}")
            opened[way] = _exported(file, way)
        # The pictures are where the recipe as it was trained has them.
        model = zoo.Model(trained.recipe, zoo.load(file, CPU).product, trained.step, trained.data, scores)
        scored: dict[str, Any] = {"val": None, "test": None}
        for split in (each for each in scored if here[each]):
            begin(f"score {split}")
            scored[split] = _scored(model, split, console)
        begin("pictures")
        shown = _pictures(made, model, "test" if here["test"] else "val" if here["val"] else "")
        begin("costs")
        told = _told(name, model, source, store.read_header(file)["sha256"], opened)
    missing = [split for split, there in here.items() if not there]
    if missing and data is not None:
        say(console, f"The card has no {' and no '.join(missing)} scores: there are no such pictures here.")
    if data is not None and has(data, "train") and open_split(data, "train").fingerprint != trained.data:
        say(console, "The training pictures that are here are not those that this model was trained with.")
    told |= {"scores": scored, "pictures": shown, "rounding": _rounding(scored["test"], source.tested)}
    return told | {"files": record.sums(made)}


def _scored(model: zoo.Model, split: str, console: Console) -> record.Record | None:
    """As `Scores.json` has them; None for a split that cannot be scored, since it is too small or damaged."""
    try:
        told: record.Record = json.loads(evaluation.of_model(model, split).json())
    except UserError as error:
        say(console, f"The card has no {split} scores: {error}")
        return None
    return told


def _exported(file: Path, way: str) -> Exported:
    place = file.with_name(f"{file.stem}.{way}.uint8.onnx")
    export.export(file, place, direction="sample" if way == "generator" else way)
    return Exported(guard.checked(place), "cpu", threads=1, name=place.name)


def _pictures(made: Path, model: zoo.Model, split: str) -> record.Record | None:
    """Draws the grid and the failures; what is in them."""
    if "generator" in model.product:
        with at_rest(model.product.values(), CPU):
            drawn = torch.cat(list(sampled(model.recipe, model.product["generator"], SAMPLES, CPU)))
        sheets.save(samples_sheet(drawn), made / GRID)
        return {"grid": {"count": SAMPLES, "seed": 0, "split": None}, "failures": None}
    if not split:
        return None
    chosen = {way: examples.choose(model, way, split, DRAWN, WORST) for way in model.product}
    titles = {way: way.replace("2", " to ") if len(chosen) > 1 else "" for way in chosen}
    sheets.save(sheets.sheet([(titles[way], each.random) for way, each in chosen.items()]), made / GRID)
    worst = sheets.sheet([(titles[way], each.worst) for way, each in chosen.items()], captions=True)
    sheets.save(worst, made / FAILURES)
    first = next(iter(chosen.values()))
    common = {"split": split, "of": first.pictures}
    return {
        "grid": common | {"count": len(first.random), "seed": examples.SEED,
                          "indices": {way: [e.index for e in each.random] for way, each in chosen.items()}},
        "failures": common | {"count": len(first.worst), "by": first.by,
                              "indices": {way: [e.index for e in each.worst] for way, each in chosen.items()},
                              "values": {way: [e.value for e in each.worst] for way, each in chosen.items()}},
    }  # fmt: skip


def _told(name: str, model: zoo.Model, source: Source, weights: str, opened: dict[str, Exported]) -> record.Record:
    settings = model.recipe
    data = settings.data
    side = data.crop if isinstance(data, Pictures) else SIDE
    noise = "generator" in model.product
    first = next(iter(opened.values()))
    translators = {} if noise else model.product
    return {
        "format": record.FORMAT,
        "name": name,
        "i2i": __version__,
        "model": settings.model,
        "task": "sample" if noise else "translate",
        "directions": model.ways,
        "reversed": getattr(data, "direction", "a2b") == "b2a",
        "derived": record.derived(data),
        "inputs": first.inputs,
        "outputs": first.outputs,
        "classes": int(getattr(model.product.get("generator"), "classes", 0)),
        "crop": side,
        "step": model.step,
        "weights": weights,
        "trained_weights": record.weights_sum(source.model.product),
        "fingerprint": model.data,
        "run": record.training(source, settings),
        "data": record.data_sets(data),
        "splits": record.splits(data),
        "cost": {
            "parameters": {way: measures.parameters(network) for way, network in model.product.items()},
            "multiply_adds": {way: measures.multiply_adds(network, side) for way, network in translators.items()},
            "milliseconds": {way: measures.milliseconds(opened[way], side) for way in translators},
            "machine": measures.machine(),
        },
    }


def _rounding(published: record.Record | None, trained: record.Record | None) -> float | None:
    """By which share of its 95 % interval a test score has moved at most; None where that is not known."""
    if not published or not trained or published["features"] != trained["features"]:
        return None
    moved = [
        abs(score["mean"] - before["mean"]) / score["interval"]
        for answer, row in published["scores"].items()
        for name, score in row.items()
        if answer.split()[0] == "model" and score["interval"]
        and (before := trained["scores"].get(answer, {}).get(name))
    ]  # fmt: skip
    return max(moved, default=None)


def _about(file: str | Path | None) -> tuple[dict[str, Any], str]:
    if file is None:
        return {}, ""
    try:
        text = Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise UserError(f"--about {file} cannot be read as text in UTF-8 ({problem}).") from None
    if len(text) > LONGEST:
        raise UserError(f"--about {file} has {len(text):,} characters; at most {LONGEST:,} go into a card.")
    return words.parted(text, str(file))


def _check_free(target: Path, force: bool) -> None:
    """What stands in the way of a folder; --force replaces what was published, and nothing else."""
    if not target.exists():
        return
    if not target.is_dir():
        raise UserError(f"{target} is a file; a model is published as a folder. Choose another name.")
    if not any(target.iterdir()):
        return
    if not force:
        raise UserError(
            f"{target} exists already. Choose another name, or replace what is published there with --force."
        )
    if not (target / record.FILE).is_file():
        raise UserError(f"{target} holds other things than a published model, and stays as it is. Choose another name.")


def _appear(made: Path, target: Path, outdated: Path) -> None:
    """Puts a folder in its place, and what was there aside."""
    for path in (*made.iterdir(), made):
        durable(path)
    there = target.exists()
    if there:
        target.rename(outdated)
    try:
        made.rename(target)
    except OSError:
        if there:
            outdated.rename(target)
        raise
    durable(target.parent)

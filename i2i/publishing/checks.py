"""Does a published folder hold what its card says? Every file, sum, figure and picture is looked at."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from i2i import recipe, store, zoo
from i2i.errors import UserError
from i2i.export import parity
from i2i.export.graph import Sample, Translate, rounded, silent
from i2i.publishing import words
from i2i.publishing.figures import cell
from i2i.publishing.front import index, model_rows
from i2i.publishing.measures import parameters
from i2i.publishing.record import FILE, Record, read, sums
from i2i.runtime import Exported, guard

RECIPE = "recipe.yaml"


def check(folder: Path) -> list[str]:
    """Everything in which the folder is not what its `card.json` tells, a line each; [] where all is well."""
    try:
        record = read(folder)
        problems = [*_files(folder, record), *_card(folder, record)]
        return problems or [*_model(folder, record)]
    except UserError as error:
        return [str(error)]
    except (KeyError, TypeError, IndexError, AttributeError, OSError) as error:
        return [f"{folder / FILE} does not tell what a record tells ({type(error).__name__}: {error})."]


def _files(folder: Path, record: Record) -> Iterator[str]:
    found, told = sums(folder), record["files"]
    yield from (f"{name} is missing." for name in sorted(told.keys() - found.keys()))
    yield from (f"{name} is not in the record." for name in sorted(found.keys() - told.keys()))
    for name in sorted(told.keys() & found.keys()):
        if told[name] != found[name]:
            yield f"{name} is not what was published: recorded {told[name]}, found {found[name]}."
    for name in found:
        if Path(name).suffix in (".jpg", ".webp", ".png"):
            try:
                with Image.open(folder / name) as picture:
                    picture.load()
            except OSError as problem:
                yield f"{name} is no picture ({problem})."


def _card(folder: Path, record: Record) -> Iterator[str]:
    """The figures that a card tells are those of the record."""
    text = (folder / store.CARD).read_text("utf-8")
    front, body = words.parted(text, store.CARD)
    if "model-index" in front and front["model-index"] != _plain(index(record)):
        yield f"{store.CARD}: the figures in its front matter are not those of {FILE}."
    for split, scores in record["scores"].items():
        for row in model_rows(scores["scores"]).values() if scores else ():
            for name, score in row.items():
                if f"**{cell(score, name)}**" not in body:
                    yield f"{store.CARD} does not tell the {split} score {name} of {FILE}, {cell(score, name)}."
    for name, told in record["files"].items():
        if name != store.CARD and told["sha256"] not in body:
            yield f"{store.CARD} does not tell the sha256 of {name}."


def _plain(told: list[Record]) -> object:
    """As it is read back from YAML."""
    return words.parted(words.front_matter({"model-index": told}), store.CARD)[0]["model-index"]


def _model(folder: Path, record: Record) -> Iterator[str]:
    model = zoo.load(folder / store.FILE, torch.device("cpu"))
    weights = store.read_header(folder / store.FILE)["sha256"]
    told = {"step": model.step, "fingerprint": model.data, "weights": weights, "directions": model.ways}
    told["parameters"] = {way: parameters(network) for way, network in model.product.items()}
    for key, value in told.items():
        said = record["cost"][key] if key == "parameters" else record[key]
        if said != value:
            yield f"{store.FILE} has {key} {value}, {FILE} says {said}."
    if (folder / RECIPE).is_file() and recipe.load(folder / RECIPE) != model.recipe:
        yield f"{RECIPE} is not the recipe in {store.FILE}."
    for way in model.ways:
        yield from _exported(folder / f"model.{way}.uint8.onnx", model, way, weights)


def _exported(file: Path, model: zoo.Model, way: str, weights: str) -> Iterator[str]:
    """The exported form is safe, is of these weights, and gives their pictures, as far as the gate of export asks."""
    opened = Exported(guard.checked(file), "cpu", name=file.name)
    if opened.card.weights != weights:
        yield f"{file.name} was made from other weights."
    network = silent(model.product[way])
    module = Sample(network) if way == "generator" else Translate(network)
    planes = opened.card.planes
    pairs = []
    for feed in parity.usual(module, planes):
        got = opened.sample(feed["noise"], feed.get("label")) if way == "generator" else opened.run(feed["picture"])
        pairs.append((feed, got))
    for exact in (module, parity.in_double(module)):  # in single precision torch itself may be further off
        away = [np.abs(rounded(torch.from_numpy(parity.truth(exact, feed)), "uint8").numpy().astype(int) - got).ravel()
                for feed, got in pairs]  # fmt: skip
        steps = np.concatenate(away)
        if steps.max() <= 1 and (steps > 0).mean() <= parity.SHARE:
            return
    yield f"{file.name} gives other pictures than {store.FILE}: by up to {steps.max()}, at {(steps > 0).mean():.2%}."

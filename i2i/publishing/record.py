"""`card.json`: everything that is known of a published model, for programs and for the card, which is written from it.

format, name, i2i, model, task: what it is. directions: `a2b`, `b2a`, `generator`. weights: the sum in the header of
`model.safetensors`; trained_weights: sha256 over the weights before they were rounded. reversed: whether side a of the
data set is what it makes; derived: what its inputs are, where they are made while training. inputs, outputs: channels.
run: how it was trained, null where nobody knows. data: the cards of its data sets; splits: pictures and fingerprints.
scores: of val and test, as `Scores.json` has them, null where that split is not here. pictures: which were drawn.
cost: parameters, multiply-adds, milliseconds, machine. files: bytes and sha256 of every other file of the folder.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from torch import nn

from i2i import recipe
from i2i.data import Data, MixtureData, UnpairedData, card, open_split
from i2i.engine.ranks import digest
from i2i.engine.settings import Settings
from i2i.errors import UserError
from i2i.publishing.measures import trained_parameters
from i2i.publishing.sources import Source
from i2i.validation import criterion

FILE, FORMAT = "card.json", "1"
DISTILLED = "distilled.json"  # what `i2i distil` leaves in a student's run
PLACES = ("root", "manifest", "shards")
TOLD = ("name", "title", "layout", "licence", "commercial", "attribution", "citation", "source", "direction", "notes")

Record = dict[str, Any]


def read(folder: Path) -> Record:
    """The record of a published folder. Raises UserError when there is none, or a damaged one."""
    path = folder / FILE
    try:
        told: Record = json.loads(path.read_text("utf-8"))
        if told["format"] != FORMAT:
            raise UserError(f"{path} has format {told['format']!r}; this i2i reads {FORMAT!r}.")
    except OSError as problem:
        raise UserError(f"{path} cannot be read ({problem.strerror}): {folder} holds no published model.") from None
    except (ValueError, KeyError, TypeError) as problem:
        raise UserError(f"{path} is damaged ({problem}).") from None
    return told


def write(folder: Path, record: Record) -> None:
    (folder / FILE).write_text(json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")


def sums(folder: Path) -> dict[str, dict[str, Any]]:
    """Bytes and sha256 of every file but the record itself, by name."""
    files = sorted(path for path in folder.iterdir() if path.name != FILE)
    return {
        path.name: {"bytes": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in files
    }


def weights_sum(product: Mapping[str, nn.Module]) -> str:
    """sha256 over the weights alone: what two trainings can be compared by."""
    weights = {f"{part}.{key}": value for part, net in product.items() for key, value in net.state_dict().items()}
    return digest(weights[key] for key in sorted(weights))


def without_places(settings: Settings) -> Settings:
    """The recipe with folders and files by their last name: where they lie on this machine is nobody's business."""
    told = settings.model_dump(mode="json")
    data = told["data"] or {}  # an imported model has none
    for place in (data, *data.get("mix", ())):
        place |= {key: last_name(place[key]) for key in PLACES if place.get(key)}
    return recipe.build(told, "the recipe to publish")


def last_name(place: str) -> str:
    """Of a path or an address, without what addresses carry behind a question mark."""
    return PurePosixPath(place.replace("\\", "/").partition("?")[0]).name or "pictures"


def data_sets(data: Data | None) -> list[Record]:
    """What is known of the data sets that a recipe names; of a folder of one's own its last name."""
    if data is None or isinstance(data, MixtureData):
        return []
    found = []
    for part in data.mix or (data,):
        if part.dataset is not None:
            told = card(part.dataset).model_dump(mode="json")
            found.append({key: told[key] for key in TOLD})
        else:
            place = next(str(getattr(part, key)) for key in PLACES if getattr(part, key) is not None)
            found.append({"name": last_name(place)})
    return found


def derived(data: Data | None) -> str:
    """What the inputs are, where they are made from the outputs; '' where they are pictures of their own."""
    kind = getattr(data, "derive", None)
    if kind is None:
        return ""
    styles = getattr(kind.a, "styles", ())
    return f"drawings ({', '.join(styles)})" if styles else "the edges (Canny)"


def splits(data: Data | None) -> Record:
    """Of each split that is here, the pictures of its sides and its fingerprint."""
    found: Record = {}
    for split in ("train", "val", "test") if data is not None and not isinstance(data, MixtureData) else ():
        try:
            opened = open_split(data, split)  # type: ignore[arg-type]
        except UserError:
            continue
        sides = [len(side) for side in opened.files] if isinstance(data, UnpairedData) else [len(opened)]
        if any(sides):
            found[split] = {"pictures": sides, "fingerprint": opened.fingerprint}
    return found


def training(source: Source, settings: Settings) -> Record | None:
    """How a run came to its model; None where no run is known."""
    if source.run is None:
        return None
    chosen = criterion(settings)[0] if source.validations else None
    return {
        "i2i": source.version,
        "seed": settings.seed,
        "steps": source.steps,
        "trained": source.trained,
        "seconds": source.seconds,
        "validations": source.validations,
        "chosen_by": chosen,
        "parameters": trained_parameters(settings),
        "teacher": _teacher(source.run / DISTILLED),
        "seeds": source.seeds and {key: source.seeds[key] for key in ("seeds", "rows")},
    }


def _teacher(told: Path) -> str | None:
    """The model whose answers a student has learnt from; None for what has learnt from pictures."""
    return last_name(json.loads(told.read_text("utf-8"))["teacher"]["name"]) if told.is_file() else None

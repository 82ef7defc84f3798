"""The front matter of a card: what the Hugging Face hub reads of a model, `model-index` with its figures among it."""

import re
from typing import Any

from i2i.publishing.record import Record

# What the hub calls the licences that data sets name; weights that may be used freely are Apache-2.0.
LICENCES = {
    "cc by-nc 4.0": "cc-by-nc-4.0",
    "cc by-nc-sa 4.0": "cc-by-nc-sa-4.0",
    "cc by-sa 4.0": "cc-by-sa-4.0",
    "cc by-sa 3.0": "cc-by-sa-3.0",
}
TASKS = {"translate": ("image-to-image", "Image-to-image"), "sample": ("unconditional-image-generation", "Generation")}
OWN = frozenset({"model-index"})  # comes from what was measured, and from nowhere else


def front(record: Record, given: dict[str, Any]) -> dict[str, Any]:
    """In the hub's order. `given`: what the author says in the front matter of the `--about` file, which goes first."""
    measured = record["scores"]["test"] or record["scores"]["val"] or {"scores": {}}
    rows = model_rows(measured["scores"])
    told: dict[str, Any] = {
        **licence(record["data"]),
        "library_name": "i2i",
        "pipeline_tag": TASKS[record["task"]][0],
        "tags": ["i2i", "gan", record["model"], "onnx"],
        "datasets": [each["name"] for each in record["data"]],
        "metrics": list(dict.fromkeys(name for row in rows.values() for name in row)),
    }
    told = {key: value for key, value in (told | given).items() if value and key not in OWN}
    return told | ({"model-index": index(record)} if rows and record["data"] else {})


def licence(data: list[Record]) -> dict[str, str]:
    """Of the weights: Apache-2.0 where all the data may be used for anything, else what the data allow.

    Of pictures of one's own nobody else knows: `unknown`, until the author says more."""
    if not data or any("licence" not in each for each in data):
        return {"license": "unknown"}
    bound = [each for each in data if each["commercial"] != "yes" or "by-sa" in each["licence"].lower()]
    if not bound:
        return {"license": "apache-2.0"}
    if len(bound) == 1 and (known := LICENCES.get(bound[0]["licence"].lower())):
        return {"license": known}
    names = "-".join(each["name"] for each in bound)
    return {"license": "other", "license_name": f"terms-of-{re.sub(r'[^a-z0-9]+', '-', names.lower())}"}


def index(record: Record) -> list[Record]:
    """`model-index`: for each direction the scores of the test split, or of val where there is no test."""
    split = "test" if record["scores"]["test"] else "val"
    scores = record["scores"][split]
    task, title = TASKS[record["task"]]
    dataset = {
        "type": record["data"][0]["name"],
        "name": " + ".join(each.get("title", each["name"]) for each in record["data"]),
        "split": split,
    }
    results = []
    for way, row in model_rows(scores["scores"]).items():
        shown = [
            {"type": name, "value": score["mean"], "name": f"{name}{interval(score)}"} for name, score in row.items()
        ]
        kind = {"type": task, "name": f"{title}, {way}" if way else title}
        results.append({"task": kind, "dataset": dataset, "metrics": shown})
    return [{"name": record["name"], "results": results}]


def interval(score: Record) -> str:
    half = score["interval"]
    return "" if half is None else f" (± {half:.2g}, 95 %)"


def model_rows(rows: Record) -> dict[str, Record]:
    """Of a table of scores the model's own rows, by direction; '' where there is one direction alone."""
    return {name.removeprefix("model").strip(): row for name, row in rows.items() if name.split()[0] == "model"}

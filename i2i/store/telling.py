"""What is known of a model, from its file alone."""

import hashlib
import json
from pathlib import Path
from typing import Any

from i2i.errors import UserError
from i2i.store import pins
from i2i.store.headers import read_header
from i2i.store.names import CARD, exported, find


def describe(name: str | Path) -> str:
    """Everything that a model's file says of itself, as text: what it does, what it learnt from, how it was chosen.

    Raises UserError for what is no model of ours, or damaged.
    """
    path = find(name)
    header = read_header(path)
    try:
        told = _told(path, header)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UserError(f"{path} has a damaged header.") from None
    if str(name).startswith(pins.PREFIX) and (pin := pins.pinned(*pins.parts(str(name)))):
        told["commit"] = pin["commit"]
    lines = (f"{key + ':':<12}{value}" for key, value in told.items() if value)
    return "\n".join("".join(c if c.isprintable() else "?" for c in line) for line in lines)  # a terminal obeys others


def _told(path: Path, header: dict[str, str]) -> dict[str, str]:
    """What is said, by its title."""
    recipe: dict[str, Any] = json.loads(header["recipe"])
    data = recipe.get("data") or {}
    place = next((str(data[key]) for key in ("dataset", "root", "manifest", "shards") if data.get(key)), "")
    scores: dict[str, float] = json.loads(header["scores"])
    forms = [
        f"{way} {'beside it' if index == 0 else 'kept'}"
        for way in header["directions"].split(",")
        for index, form in enumerate(exported(path, way, "uint8", header["sha256"]))
        if form.is_file()
    ]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {
        "model": str(recipe["model"]),
        "directions": header["directions"].replace(",", ", "),
        "generator": _words(recipe.get("generator")),
        "data": f"{place} ({data['layout']}), fingerprint {header['data'][:16]}" if place else "unknown",
        "step": f"{int(header['step']):,}",
        "validation": ", ".join(f"{key} {value:.4g}" for key, value in scores.items() if "/" not in key),
        "file": f"{path} ({path.stat().st_size / 1e6:.1f} MB)",
        "sha256": digest,
        "exported": ", ".join(forms) or "on first use",
        "card": str(path.with_name(CARD)) if path.with_name(CARD).is_file() else "",
    }


def _words(spec: Any) -> str:
    """The settings of a network, in a line."""
    return ", ".join(f"{key} {value}" for key, value in spec.items()) if isinstance(spec, dict) else ""

"""Model names → files. Light, since translating must not wait for torch: headers are read, networks are not."""

import json
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from i2i import __version__
from i2i.errors import UserError, suggest
from i2i.files import atomically
from i2i.paths import home

FORMAT = "1"
FILE = "model.safetensors"  # the last one of a run
BEST = "best.safetensors"  # the one that validation chose
NAME = re.compile(r"(?!(con|prn|aux|nul|com\d|lpt\d)(\.|$))[a-z0-9][a-z0-9._-]{0,63}")  # no device names of Windows
TOLD = {"format", "recipe", "step", "data", "directions", "scores", "sha256"}  # by every header


@dataclass(frozen=True)
class Entry:
    """One line of `i2i models`. `problem` says why a model cannot be used; the rest is then not known."""

    name: str
    path: Path
    model: str = ""
    directions: tuple[str, ...] = ()
    step: int = 0
    size: int = 0  # bytes
    problem: str = ""


def folder() -> Path:
    """The user's store: a folder a model."""
    return home() / "models"


def check_name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise UserError(
            f"{name!r} cannot be a model's name: use 1 to 64 of a-z, 0-9, '.', '_', '-', with a letter or digit first, "
            f"and none of the names that Windows keeps for devices (con, nul, ...)."
        )
    return name


def read_header(path: Path) -> dict[str, str]:
    """The header of a model file; raises UserError when it is not one of ours."""
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path} is not a readable model file ({error}).") from None
    if "i2i" not in metadata:
        raise UserError(f"{path} has weights but no recipe in its header: it was not written by i2i.")
    try:
        header: dict[str, str] = {key: str(value) for key, value in json.loads(metadata["i2i"]).items()}
    except (ValueError, AttributeError, RecursionError):
        raise UserError(f"{path} has a damaged header.") from None
    missing = TOLD - header.keys()
    if missing:
        raise UserError(f"{path} has a damaged header: it says nothing on {', '.join(sorted(missing))}.")
    if header["format"] != FORMAT:
        raise UserError(f"{path} has format {header['format']}; this i2i {__version__} reads {FORMAT}. Update i2i.")
    return header


def find(name: str | Path) -> Path:
    """The model file behind a name in the store, a run folder (the best where there is one), or a path."""
    text, path = str(name), Path(name)
    if NAME.fullmatch(text) and (known := folder() / text / FILE).is_file():
        return known
    if path.is_file():
        return path
    for file in (path / BEST, path / FILE):
        if file.is_file():
            return file
    if path.is_dir():
        raise UserError(f"The folder {text} holds no finished model ({FILE}). Train it: i2i train RECIPE --run {text}")
    raise UserError(
        f"There is no model {text!r}: no such name, run folder or file.{suggest(text, [e.name for e in entries()])} "
        f"`i2i models` lists what can be used."
    )


def exported(model: Path, direction: str, pixels: str, weights: str) -> tuple[Path, Path]:
    """Where the exported form of a model file may be: beside it, as published models come, or in the user's own folder,
    by the sha256 that its header tells, so that a run and the name it is known by share one."""
    kind = f"{direction}.{pixels}.onnx"
    return model.with_name(f"{model.stem}.{kind}"), home() / "exported" / f"{weights}.{kind}"


def register(file: Path, name: str) -> Path:
    """Copies a model file into the user's store, from where it is known by name; replaces one of that name."""
    target = folder() / check_name(name) / FILE
    if target.is_file():
        with suppress(UserError):  # a damaged one has no exported form
            for old in (home() / "exported").glob(f"{read_header(target)['sha256']}.*"):
                old.unlink()
    atomically(target, lambda temporary: temporary.write_bytes(file.read_bytes()))
    return target


def entries() -> list[Entry]:
    """All models in the user's store, by name, the damaged ones with their problem."""
    return [_entry(path) for path in sorted(folder().glob(f"*/{FILE}"))]


def _entry(path: Path) -> Entry:
    name = path.parent.name
    try:
        header: dict[str, Any] = read_header(path)
        return Entry(
            name=name,
            path=path,
            model=json.loads(header["recipe"])["model"],
            directions=tuple(header["directions"].split(",")),
            step=int(header["step"]),
            size=path.stat().st_size,
        )
    except (UserError, ValueError, KeyError, TypeError, RecursionError) as error:
        return Entry(name, path, problem=f"damaged: {error}")

"""Files → translated files: any picture, animation or video in, the same kind out. Without torch, so it starts at once.

A model is run in its exported form, which is made on first use and kept.
"""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from i2i import store
from i2i.errors import UserError, suggest
from i2i.runtime import Exported

QUIET = Console(quiet=True)


@dataclass(frozen=True)
class Translated:
    """One file's fate: `target` was written, or `error` says why not."""

    source: Path
    target: Path | None
    error: str = ""


def load(
    model: str | Path,
    *,
    direction: str | None = None,
    device: str = "auto",
    pixels: str = "uint8",
    console: Console = QUIET,
) -> Exported:
    """A translator, `translator(picture)`, from a model's name, run folder or file. `direction`: `a2b` unless given, or
    `b2a` if it has it; `device`: auto, cpu, cuda or tensorrt; `pixels`: uint8, uint16 or float32. Raises UserError."""
    path = store.find(model)
    if path.suffix == ".onnx":
        opened = Exported(path, device)
        if direction not in (None, opened.card.direction):
            raise UserError(f"{model} translates {opened.card.direction}, not {direction!r}.")
        return _checked(opened, model)
    header = store.read_header(path)
    ways, weights, way = header["directions"].split(","), header["sha256"], direction or "a2b"
    if "generator" in ways:
        raise UserError(f"{model} makes pictures from noise and cannot translate. Use: i2i sample --model {model}")
    if way not in ways:
        raise UserError(f"{model} translates {' and '.join(ways)}, not {way!r}.{suggest(way, ways)}")
    places = store.exported(path, way, pixels, weights)
    for place in places:
        if place.is_file():
            with suppress(UserError):  # damaged, or of an earlier i2i: it is made anew
                opened = Exported(place, device)
                if opened.card.weights == weights:
                    return opened
    console.print(
        f"Making the form of {model} that translates without torch; it is kept.", style="dim", highlight=False
    )
    from i2i import export  # seconds, for torch

    return Exported(export.keep(path, way, pixels, places), device)  # type: ignore[arg-type]


def _checked(opened: Exported, name: str | Path) -> Exported:
    if opened.card.task != "translate":
        raise UserError(f"{name} makes pictures from noise and cannot translate.")
    return opened

"""A model's name → its exported form, ready to translate: without torch, unless that form has to be made first."""

import json
from contextlib import suppress
from pathlib import Path
from threading import Lock

from rich.console import Console

from i2i import store
from i2i.errors import UserError, suggest
from i2i.images.media import Kind
from i2i.runtime import Exported, guard
from i2i.runtime.providers import check, note

QUIET = Console(quiet=True)


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
    check(device)
    path = store.find(model)
    if path.suffix == ".onnx":
        opened = Exported(guard.checked(path), device, name=str(model))
        if opened.card.task != "translate":
            raise UserError(f"{model} makes pictures from noise and cannot translate.")
        if direction not in (None, opened.card.direction):
            raise UserError(f"{model} translates {opened.card.direction}, not {direction!r}.")
        return opened
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
                # What lies beside a model came from elsewhere; what is in the user's own folder we made.
                opened = Exported(place if place == places[-1] else guard.checked(place), device, name=str(place))
                if opened.card.weights == weights:
                    return opened
    console.print(f"Making the exported form of {model}, once.", style="dim", highlight=False)
    from i2i import export  # seconds, for torch

    return Exported(export.keep(path, way, pixels, places[-1]), device)  # type: ignore[arg-type]


class Models:
    """The exported forms of one model: that of its training's depth, and when a picture of another comes that of it.
    Classes are told by the one of 16 bits: in 8 the scores of two are often the same."""

    def __init__(self, name: str | Path, direction: str | None, device: str, console: Console) -> None:
        self.name, self.direction, self.device, self.console = name, direction, device, console
        path = store.find(name)
        self.fixed = path.suffix == ".onnx"  # one file has one form
        first = "uint8" if self.fixed else _likely(path, direction or "a2b")
        self.lock, self.loaded = Lock(), {first: self._load(first)}
        self.card = self.loaded[first].card
        if told := note(device, self.loaded[first].device):
            console.print(told, style="dim", highlight=False)
        if self.card.pixels == "float32":
            raise UserError(f"{name} takes float32 values, which no picture file has. Export it without --pixels.")

    def of(self, kind: Kind) -> tuple[Exported, int]:
        """The form for pictures of this kind, and the bits it takes."""
        deep = kind.bits > 8 or self.card.result.classes
        form = "uint16" if deep and not self.fixed else "uint8"
        with self.lock:  # the hands ask at the same time
            if form not in self.loaded:
                self.loaded[form] = self._load(form)
        chosen = self.loaded[form]
        return chosen, 16 if chosen.card.pixels == "uint16" else 8

    def _load(self, pixels: str) -> Exported:
        return load(self.name, direction=self.direction, device=self.device, pixels=pixels, console=self.console)


def _likely(path: Path, direction: str) -> str:
    """The form that pictures like those of its training will ask of a model file."""
    try:
        data = json.loads(store.read_header(path)["recipe"])["data"]
        deep = data["bits"] == 16 or not isinstance(data["channels"][direction.partition("2")[2]], int)
    except (ValueError, KeyError, TypeError, RecursionError):  # older, imported, or damaged: that is told elsewhere
        return "uint8"
    return "uint16" if deep else "uint8"

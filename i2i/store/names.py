"""Model names → files. Light, since translating must not wait for torch: headers are read, networks are not."""

import json
import re
import shutil
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from i2i.errors import UserError, suggest
from i2i.files import atomically
from i2i.paths import home, shared
from i2i.store import hub, pins
from i2i.store.headers import read_header
from i2i.store.pins import CARD, FILE  # of a run, FILE is the last one

BEST = "best.safetensors"  # the one that validation chose
NAME = re.compile(r"(?!(con|prn|aux|nul|com\d|lpt\d)(\.|$))[a-z0-9][a-z0-9._-]{0,63}")  # no device names of Windows


@dataclass(frozen=True)
class Entry:
    """One line of `i2i models list`. `problem` says why a model cannot be used; the rest is then not known."""

    name: str
    path: Path
    model: str = ""
    directions: tuple[str, ...] = ()
    step: int = 0
    size: int = 0  # bytes
    shipped: bool = False  # with i2i itself
    commit: str = ""  # of the hub, to which it is pinned
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


def find(name: str | Path) -> Path:
    """The model file behind a name, a run folder (the best where there is one), a path, or `hf:owner/name`.

    A name is the user's own model where there is one, else one that ships with i2i. What stands behind `hf:` is fetched
    on first use and stays the same file until somebody asks for another (`store.hub`).
    """
    text, path = str(name), Path(name)
    if NAME.fullmatch(text):
        for place in (folder(), shared("models")):
            if (known := place / text / FILE).is_file():
                return known
    if text.startswith(pins.PREFIX):
        return hub.find(text)
    if path.is_file():
        return path
    for file in (path / BEST, path / FILE):
        if file.is_file():
            return file
    if path.is_dir():
        raise UserError(f"The folder {text} holds no finished model ({FILE}). Train it: i2i train RECIPE --run {text}")
    raise UserError(
        f"There is no model {text!r}: no such name, run folder or file.{suggest(text, [e.name for e in entries()])} "
        f"`i2i models list` shows what can be used."
    )


def exported(model: Path, direction: str, pixels: str, weights: str) -> tuple[Path, Path]:
    """Where the exported form of a model file may be: beside it, as published models come, or in the user's own folder,
    by the sha256 that its header tells, so that a run and the name it is known by share one. Raises UserError for a sum
    or a direction that is none: a header from elsewhere must not say where files are."""
    if not pins.SHA256.fullmatch(weights) or not direction.isalnum():
        raise UserError(f"{model} has a damaged header.")
    kind = f"{direction}.{pixels}.onnx"
    return model.with_name(f"{model.stem}.{kind}"), home() / "exported" / f"{weights}.{kind}"


def register(file: Path, name: str) -> Path:
    """Copies a model file into the user's store, from where it is known by name; replaces one of that name.

    A model card and exported forms that lie beside the file come along; those of the one that is replaced go.
    """
    target = folder() / check_name(name) / FILE
    if target.is_file() and target.samefile(file):
        return target
    _forget(target)
    if file.name in (FILE, BEST):  # it lies in a folder of its own, not among others
        for form in file.parent.glob(f"{file.stem}.*.onnx"):
            _copy(form, target.with_name(f"{target.stem}{form.name.removeprefix(file.stem)}"))
        if file.with_name(CARD).is_file():
            _copy(file.with_name(CARD), target.with_name(CARD))
    _copy(file, target)
    return target


def add(source: str | Path, name: str, *, force: bool = False) -> Path:
    """Takes a model into the user's store under a name. `source` is what `find` takes; `force` replaces a model of that
    name, and asks the hub what `hf:owner/name` means today. Raises UserError."""
    target = folder() / check_name(name) / FILE
    if target.is_file() and not force:
        raise UserError(f"There is a model {name!r} already. Choose another name, or replace it with --force.")
    if str(source).startswith(pins.PREFIX) and force:
        hub.update(str(source))
    file = find(source)
    read_header(file)  # what is none of ours is not taken in
    return register(file, name)


def remove(name: str) -> Path:
    """Deletes a model of the user's store, with its card and exported forms, or with `hf:owner/name` what was fetched
    from the hub; returns where it was.

    A run folder that it came from keeps its own copy. Raises UserError for a name that is not there.
    """
    if name.startswith(pins.PREFIX):
        if file := pins.kept(*pins.parts(name)):
            _forget_kept(file)
        return hub.forget(name)
    place = folder() / check_name(name)
    if not (place / FILE).is_file():
        if (shared("models") / name / FILE).is_file():
            raise UserError(f"{name!r} ships with i2i and cannot be removed.")
        raise UserError(f"There is no model {name!r} in {folder()}.{suggest(name, [e.name for e in entries()])}")
    _forget_kept(place / FILE)
    if place.is_symlink():  # to a model that somebody keeps elsewhere
        place.unlink()
    else:
        shutil.rmtree(place)
    return place


def entries() -> list[Entry]:
    """All models that have a name: the user's own, those that were fetched from the hub, then those that ship with i2i;
    the damaged ones with their problem.

    One of the user's own hides a shipped one of the same name.
    """
    own = [_entry(path) for path in sorted(folder().glob(f"*/{FILE}"))]
    taken = {entry.name for entry in own}
    shipped = (path for path in sorted(shared("models").glob(f"*/{FILE}")) if path.parent.name not in taken)
    return own + _fetched() + [replace(_entry(path), shipped=True) for path in shipped]


def _fetched() -> list[Entry]:
    try:
        told = pins.fetched()
    except UserError as problem:
        return [Entry(f"{pins.PREFIX}...", home() / "hub.json", problem=str(problem))]
    return [replace(_entry(path), name=name, commit=commit) for name, path, commit in told if path.is_file()]


def _forget(target: Path) -> None:
    """What lies beside a model that is about to be replaced, and says what it is."""
    if target.is_file():
        _forget_kept(target)
    for old in (*target.parent.glob(f"{target.stem}.*.onnx"), target.with_name(CARD)):
        old.unlink(missing_ok=True)


def _forget_kept(file: Path) -> None:
    """The exported forms that were made of a model."""
    with suppress(UserError):  # a damaged one has none
        _, kept = exported(file, "a2b", "uint8", read_header(file)["sha256"])
        for old in kept.parent.glob(f"{kept.name.partition('.')[0]}.*"):
            old.unlink()


def _copy(source: Path, target: Path) -> None:
    atomically(target, lambda temporary: shutil.copyfile(source, temporary))


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

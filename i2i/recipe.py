"""YAML → a typed recipe. YAML 1.2, read without code: 2e-4 is a number, `no` is a string, duplicate keys are errors."""

import inspect
import io
import re
from collections.abc import Iterable
from functools import reduce
from pathlib import Path
from typing import Annotated, Any, Union, get_args

from pydantic import BaseModel, Field, TypeAdapter, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import AliasEvent

from i2i.engine.settings import Settings
from i2i.errors import UserError, suggest
from i2i.models import MODELS
from i2i.paths import shared

MAX_BYTES = 256 * 1024
MAX_DEPTH = 20

# pydantic speaks of Python's types; a recipe's author sees YAML.
PLAIN = {
    "tuple_type": "expected a list",
    "model_type": "expected keys with values",
    "model_attributes_type": "expected keys with values",
    "too_short": "this list needs more items",
}

Recipe: TypeAdapter[Any] = TypeAdapter(Annotated[Union[tuple(MODELS)], Field(discriminator="model")])  # type: ignore[arg-type]  # noqa: UP007


def find(name: str | Path) -> Path:
    """A recipe's file, from its path or from the name of a shipped one (`quickstart`, `recipes/quickstart.yaml`)."""
    given = Path(name)
    stem = given.stem if given.suffix == ".yaml" else given.name
    for candidate in (given, shared("recipes") / f"{stem}.yaml"):
        if candidate.is_file():
            return candidate
    known = (file.stem for file in shared("recipes").glob("*.yaml"))
    raise UserError(
        f"There is no recipe {str(name)!r}: no such file, and none of that name is shipped.{suggest(stem, known)}"
    )


def load(name: str | Path, overrides: Iterable[str] = ()) -> Settings:
    """The recipe in a file or of a shipped name, changed by `key=value` overrides (`players.generator.lr=1e-4`).

    Raises UserError with the path of the offending key, what was expected and what comes nearest.
    """
    path = str(find(name))
    recipe = build(read(name, overrides), path)
    check_schedule(recipe, path)
    return recipe


def read(name: str | Path, overrides: Iterable[str] = ()) -> Any:
    """A recipe as plain data, changed by overrides and not yet checked. Raises UserError."""
    path = find(name)
    tree = _parse(path.read_bytes(), str(path))
    for override in overrides:
        _set(tree, override)
    return tree


def build(tree: Any, source: str) -> Settings:
    """A recipe from plain data; `source` names it in errors."""
    try:
        recipe: Settings = Recipe.validate_python(tree)
    except ValidationError as error:
        lines = "\n".join(f"  {_explain(line)}" for line in _causes(error.errors()))
        raise UserError(f"{source} is not a valid recipe:\n{lines}") from None
    return recipe


def check_schedule(recipe: Settings, source: str) -> None:
    """Raises UserError for a phase that the recipe's model cannot play; `source` names the recipe in it."""
    if not recipe.schedule:
        raise UserError(
            f"{source} is a recipe of model: {recipe.model}, which has no data and no phases: it can only translate. "
            f"Use it with i2i translate --model NAME, and train with a recipe of another model."
        )
    known = phases(MODELS[type(recipe)])
    for place, phase in enumerate(recipe.schedule):
        if phase.phase not in known:
            raise UserError(
                f"{source} is not a valid recipe:\n  recipe.schedule.{place}.phase: "
                f"{recipe.model} has no phase {phase.phase!r}.{suggest(phase.phase, known)}"
            )


def phases(model: type) -> list[str]:
    """What a schedule can name: the model's public methods of (batches, game)."""
    methods = inspect.getmembers(model, inspect.isfunction)
    return [
        name
        for name, method in methods
        if not name.startswith("_") and list(inspect.signature(method).parameters) == ["self", "batches", "game"]
    ]


def dump(recipe: Settings) -> str:
    """The recipe with every default written out, as YAML that `load` reads back to the same recipe."""
    stream = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump(recipe.model_dump(mode="json"), stream)
    return stream.getvalue()


def _parse(text: bytes, source: str) -> dict[str, Any]:
    if len(text) > MAX_BYTES:
        raise UserError(f"{source} has {len(text):,} bytes; a recipe has at most {MAX_BYTES:,}.")
    yaml = YAML(typ="safe", pure=True)
    try:
        depth = 0
        for event in YAML(typ="safe", pure=True).parse(text):
            if isinstance(event, AliasEvent):
                raise UserError(f"{source} uses a YAML alias (*name); recipes are written out in full.")
            depth += type(event).__name__.endswith("StartEvent") - type(event).__name__.endswith("EndEvent")
            if depth > MAX_DEPTH:
                raise UserError(f"{source} is nested more than {MAX_DEPTH} levels deep.")
        tree = yaml.load(text)
    except (YAMLError, UnicodeDecodeError, ValueError) as error:
        raise UserError(f"{source} is not readable as YAML 1.2: {' '.join(str(error).split())}") from None
    if not isinstance(tree, dict):
        raise UserError(f"{source} must be a mapping with at least `model:`, got {type(tree).__name__}.")
    return tree


def _set(tree: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals or not key:
        raise UserError(f"--set takes key=value, such as players.generator.lr=1e-4; got {override!r}.")
    parsed = _parse(f"value: {value}".encode(), f"the value in --set {override}")["value"]
    *parents, last = key.split(".")

    def step(node: Any, part: str) -> Any:
        if isinstance(node, list):
            if not part.isdecimal() or int(part) >= len(node):
                raise UserError(f"--set {override}: {part!r} is no place in a list of {len(node)}; they count from 0.")
            return node[int(part)]
        child = node.get(part)
        if child is None:
            child = node[part] = {}
        if not isinstance(child, dict | list):
            raise UserError(f"--set {override}: {part!r} is {child!r}, which has nothing below it.")
        return child

    node = reduce(step, parents, tree)
    if isinstance(node, list):
        step(node, last)
        node[int(last)] = parsed
    else:
        node[last] = parsed


def _causes(errors: list[Any]) -> list[Any]:
    """Without the errors of a place below which there are others: a list whose only item is wrong is not too short."""
    places = [error["loc"] for error in errors]
    return [e for e in errors if not any(len(p) > len(e["loc"]) and p[: len(e["loc"])] == e["loc"] for p in places)]


def _explain(error: Any) -> str:
    """One line for one pydantic error: `recipe.cyclegan.weights.identty: unknown key. Did you mean identity?`"""
    where = ".".join(("recipe", *(str(part) for part in error["loc"])))
    if error["type"] == "extra_forbidden":
        *parents, key = error["loc"]
        known = [name for model in _at(parents) for name in model.model_fields]
        return f"{where}: unknown key.{suggest(str(key), known)}"
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        key, tag = error["ctx"]["discriminator"].strip("'"), error["ctx"].get("tag")
        fields = [model.model_fields[key] for model in _at(error["loc"]) if key in model.model_fields]
        known = [name for field in fields for name in get_args(field.annotation)]
        return f"{where}: `{key}:` is {'missing' if tag is None else repr(tag)}.{suggest(tag or '', known)}"
    if error["type"] == "literal_error":
        known = re.findall(r"'([^']*)'", error["ctx"]["expected"])
        return f"{where}: expected {error['ctx']['expected']}, got {error['input']!r}." + (
            suggest(error["input"], known) if isinstance(error["input"], str) and len(known) > 1 else ""
        )
    if error["type"] == "missing":
        return f"{where}: missing, and it has no default."
    if error["type"] == "value_error":  # our own words, which say what was got
        return f"{where}: {error['msg'].removeprefix('Value error, ')}"
    message = PLAIN.get(error["type"], error["msg"])
    return f"{where}: {message}" + (f", got {error['input']!r}" if not isinstance(error["input"], dict) else "")


def _at(path: Iterable[Any]) -> list[type[BaseModel]]:
    """The specs that can stand at a place in a recipe: `loc` names models and discriminator tags along the way."""
    at: list[Any] = list(MODELS)
    for part in path:
        if isinstance(part, int):
            continue
        below = [field.annotation for model in at if part in (f := model.model_fields) for field in [f[part]]]
        tagged = [m for m in at for name in ("model", "kind", "layout") if name in m.model_fields
                  and part in get_args(m.model_fields[name].annotation)]  # fmt: skip
        at = _models(below) if below else tagged or at
    return at


def _models(annotations: Iterable[Any]) -> list[type[BaseModel]]:
    found: list[type[BaseModel]] = []
    for annotation in annotations:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found.append(annotation)
        else:
            found += _models(get_args(annotation))
    return found

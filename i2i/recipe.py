"""YAML → a typed recipe. YAML 1.2, read without code: 2e-4 is a number, `no` is a string, duplicate keys are errors."""

import io
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

Recipe: TypeAdapter[Any] = TypeAdapter(Annotated[Union[tuple(MODELS)], Field(discriminator="model")])  # noqa: UP007


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
    path = find(name)
    tree = _parse(path.read_bytes(), str(path))
    for override in overrides:
        _set(tree, override)
    return build(tree, str(path))


def build(tree: Any, source: str) -> Settings:
    """A recipe from plain data; `source` names it in errors."""
    try:
        recipe: Settings = Recipe.validate_python(tree)
    except ValidationError as error:
        lines = "\n".join(f"  {_explain(line, tree)}" for line in error.errors())
        raise UserError(f"{source} is not a valid recipe:\n{lines}") from None
    return recipe


def dump(recipe: Settings) -> str:
    """The recipe with every default written out, as YAML that `load` reads back to the same recipe."""
    stream = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = None
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[attr-defined]
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
            if not part.isdigit() or int(part) >= len(node):
                raise UserError(f"--set {override}: {part!r} is not a place in a list of {len(node)}; they count from 0.")
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


def _explain(error: Any, tree: Any) -> str:
    """One line for one pydantic error: `recipe.cyclegan.weights.identty: unknown key. Did you mean identity?`"""
    where = ".".join(("recipe", *(str(part) for part in error["loc"])))
    if error["type"] == "extra_forbidden":
        *parents, key = error["loc"]
        return f"{where}: unknown key.{suggest(str(key), _fields(parents))}"
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        context = error["ctx"]
        known = [tag.strip(" '") for tag in context.get("expected_tags", "").split(",") if tag.strip()]
        key = context["discriminator"].strip("'")
        return f"{where}: `{key}:` is {context.get('tag', 'missing')!r}.{suggest(str(context.get('tag', '')), known)}"
    if error["type"] == "missing":
        return f"{where}: missing, and it has no default."
    message = error["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" + (f", got {error['input']!r}" if not isinstance(error["input"], dict) else "")


def _fields(path: Iterable[Any]) -> set[str]:
    """The keys that are known at a place in a recipe: `loc` names models and discriminator tags along the way."""
    at: list[Any] = list(MODELS)
    for part in path:
        if isinstance(part, int):
            continue
        below = [field.annotation for model in at if part in (f := model.model_fields) for field in [f[part]]]
        tagged = [m for m in at for name in ("model", "kind", "layout") if name in m.model_fields
                  and part in get_args(m.model_fields[name].annotation)]  # fmt: skip
        at = _models(below) if below else tagged or at
    return {name for model in at for name in model.model_fields}


def _models(annotations: Iterable[Any]) -> list[type[BaseModel]]:
    found: list[type[BaseModel]] = []
    for annotation in annotations:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found.append(annotation)
        else:
            found += _models(get_args(annotation))
    return found

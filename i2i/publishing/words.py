"""Text of others → YAML and Markdown that say it and nothing else; tables and front matter."""

import html
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from i2i.errors import UserError

PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9/+._-]*[A-Za-z0-9]")
# Words that some reader of YAML takes for something else: the hub reads YAML 1.1, this house 1.2.
TAKEN = frozenset({"no", "on", "off", "yes", "true", "false", "null"})
FENCE = re.compile(r"\A---[ \t]*\n(.*?\n)?---[ \t]*(?:\n|\Z)(.*)\Z", re.DOTALL)


def inline(text: object) -> str:
    """In a line of Markdown, without a meaning: no emphasis, links, tags, tables or headings come out of it."""
    told = html.escape(" ".join(str(text).split()), quote=False)
    return re.sub(r"([\\`*_{}\[\]#|!~$])", r"\\\1", told)


def code(text: str) -> str:
    """As code in a line of Markdown, whatever is in it."""
    told = " ".join(text.split())
    ticks = "`" * (max((len(run) for run in re.findall(r"`+", told)), default=0) + 1)
    return f"{ticks} {told} {ticks}" if "`" in told else f"`{told}`"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> str:
    """A Markdown table of cells that are Markdown; the columns after the first `left` are set to the right."""
    rule = [":--" if i < left else "--:" for i in range(len(head))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def fenced(language: str, code: str) -> str:
    """A block of code, whatever is in it."""
    longest = max((len(run) for run in re.findall(r"`{3,}", code)), default=2)
    return f"{'`' * (longest + 1)}{language}\n{code.strip()}\n{'`' * (longest + 1)}"


def front_matter(told: Mapping[str, Any]) -> str:
    """The YAML block on top of a card, which readers of YAML 1.1 and 1.2 read alike."""
    stream, yaml = io.StringIO(), YAML()
    yaml.width = 4096
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump(_quoted(told), stream)
    return f"---\n{stream.getvalue()}---\n"


def parted(text: str, source: str) -> tuple[dict[str, Any], str]:
    """A card → its front matter ({} if there is none), and the rest. Raises UserError for one that cannot be read."""
    found = FENCE.match(text)
    if found is None:
        return {}, text
    try:
        told = YAML(typ="safe", pure=True).load(found[1] or "")
    except YAMLError as error:
        raise UserError(f"{source}: its front matter is not readable as YAML: {' '.join(str(error).split())}") from None
    if not isinstance(told, dict | None):
        raise UserError(f"{source}: its front matter must be keys with values, got {type(told).__name__}.")
    return told or {}, found[2]


def _quoted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _quoted(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_quoted(each) for each in value]
    if isinstance(value, float):
        return round(value, 4)  # also because YAML 1.1 takes 1e-05 for a word
    if isinstance(value, str) and (not PLAIN.fullmatch(value) or value.lower() in TAKEN):
        return DoubleQuotedScalarString(" ".join(value.split()))
    return value

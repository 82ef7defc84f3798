"""One thing that was found in a set: how bad, what, which files, and what to do about it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
NAMED = 5  # files that a line names
KEPT = 1000  # files that a report lists for programs


@dataclass(frozen=True)
class Finding:
    """error: i2i refuses the set as it is, or must leave these pictures out. warning: it trains, but the result or its
    scores are worse than they look. note: worth knowing, and taken care of."""

    severity: Severity
    code: str  # stable, for programs
    message: str  # without the files
    do: str = ""  # what to type or do
    files: tuple[str, ...] = ()  # relative to the set, the first `KEPT` of them
    count: int = 0  # of all of them

    def line(self) -> str:
        """The message and up to five files."""
        if not self.files:
            return self.message
        more = ", ..." if self.count > NAMED else ""
        return f"{self.message}: {', '.join(self.files[:NAMED])}{more}"

    def text(self) -> str:
        """The line, with how bad it is, and below it what to do."""
        do = f"\n{'':9}→ {self.do}" if self.do else ""
        return f"{self.severity:8} {self.line()}{do}"


def found(severity: Severity, code: str, message: str, files: Iterable[str] = (), do: str = "") -> Finding:
    """A finding about these files. '{n}' in the message becomes their number, '{s}' and '{es}' the plural's ending."""
    names = list(files)
    n = len(names)
    told = (
        message.replace("{n}", f"{n:,}").replace("{s}", "" if n == 1 else "s").replace("{es}", "" if n == 1 else "es")
    )
    return Finding(severity, code, told, do, tuple(printable(name) for name in names[:KEPT]), n)


def in_order(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """The worst first, and otherwise as they came."""
    return tuple(sorted(findings, key=lambda each: SEVERITIES.index(each.severity)))


def printable(name: str) -> str:
    """A file name for one line of any terminal: bytes that are no UTF-8 and control characters are escaped."""
    readable = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in readable)

"""What `i2i data check` says: for people, for programs, and as an exit code."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from i2i.data.check.finding import SEVERITIES, Finding
from i2i.data.check.suggest import Suggestion
from i2i.data.reference import Reference

FORMAT = 1  # of the JSON; a field may be added, none is renamed or removed without a higher number
SIZES = 3  # that people are told


@dataclass(frozen=True)
class Report:
    """A checked set. Sizes are (width, height, pictures), the most frequent first; of the two halves in one file, each.

    `examples`: by title (a split, a side, a class), items to show; `pictures`: the files that findings name.
    """

    place: Path
    layout: str
    understood: str
    data: Suggestion
    counts: Mapping[str, int]
    findings: tuple[Finding, ...]
    sizes: tuple[tuple[int, int, int], ...]
    items: int  # there are so many,
    headers: int  # files whose headers were read, and
    pixels: int  # whose pixels
    seconds: float
    examples: Mapping[str, tuple[tuple[Reference, ...], ...]] = field(default_factory=dict, repr=False)
    pictures: Mapping[str, tuple[Reference, ...]] = field(default_factory=dict, repr=False)

    @property
    def exit_code(self) -> int:
        """0: nothing, notes or warnings. 1: at least one error, so that i2i cannot use the set as it is."""
        return int(any(finding.severity == "error" for finding in self.findings))

    def text(self) -> str:
        """What was understood, the recipe's block, and a line or two for each finding."""
        blocks = [f"{self.place}: {self.understood}", self.data.text()]
        if self.findings:
            blocks.append("\n".join(finding.text() for finding in self.findings))
        return "\n\n".join([*blocks, self._end()]).encode("utf-8", "backslashreplace").decode()

    def _end(self) -> str:
        tally = Counter(finding.severity for finding in self.findings)
        told = ", ".join(f"{tally[s]} {s}{'s' * (tally[s] != 1)}" for s in SEVERITIES if tally[s]) or "nothing amiss"
        most = ", ".join(f"{w}×{h} ({n:,})" for w, h, n in self.sizes[:SIZES])
        more = f" and {len(self.sizes) - SIZES:,} other sizes" if len(self.sizes) > SIZES else ""
        looked = "all" if self.pixels == self.headers else f"{self.pixels:,}, spread over the set,"
        rate = self.headers / self.seconds if self.seconds else 0
        lines = [f"Sizes: {most}{more}."] if most else []
        lines.append(
            f"{self.headers:,} files looked at, the pixels of {looked} in {self.seconds:.1f} s ({rate:,.0f} a second): "
            f"{told}."
        )
        if self.pixels < self.headers:
            lines.append(
                "What only pixels tell (damage, copies, leaks, swapped or shifted pairs) is known of these alone."
            )
        return "\n".join(lines)

    def json(self) -> str:
        """For programs; `format` is the version of this schema."""
        told: dict[str, Any] = {
            "format": FORMAT,
            "place": str(self.place),
            "layout": self.layout,
            "understood": self.understood,
            "data": self.data.data,
            "counts": dict(self.counts),
            "sizes": [{"width": w, "height": h, "pictures": n} for w, h, n in self.sizes],
            "items": self.items,
            "headers": self.headers,
            "pixels": self.pixels,
            "seconds": round(self.seconds, 3),
            "exit_code": self.exit_code,
            "findings": [
                {
                    "severity": f.severity,
                    "code": f.code,
                    "message": f.message,
                    "do": f.do,
                    "count": f.count,
                    "files": list(f.files),
                }
                for f in self.findings
            ],
        }
        return json.dumps(told, indent=1, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()

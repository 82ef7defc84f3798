"""A table of scores: answers in rows, scores in columns, each with its interval, and how it was measured."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from i2i.metrics import Interval

COLUMNS = ("l1", "psnr", "ssim", "correlation", "perceptual_efflite0", "chroma")  # of one picture, against its truth


@dataclass(frozen=True)
class Scores:
    """`rows`: for each answer, for each score that it has, (value, half of its 95 % interval).

    Scores in COLUMNS are means over pictures, the others are of the whole set. `sizes`: pictures of each side that was
    read. `features`: from what the scores of whole sets are. `folder`: where the pictures are, if not the recipe's.
    """

    split: str
    sizes: tuple[int, ...]
    rows: Mapping[str, Mapping[str, Interval]]
    features: str
    folder: Path | None = None

    @property
    def pictures(self) -> int:
        return max(self.sizes)

    def table(self) -> str:
        """For people: first what is measured against the truth, where there is one, then the scores of whole sets."""
        sizes = " and ".join(str(size) for size in dict.fromkeys(self.sizes))
        where = f" of {self.folder}" if self.folder else ""
        blocks = [f"{sizes} pictures of the {self.split} split{where}; ± is a 95 % interval"]
        told = dict.fromkeys(column for row in self.rows.values() for column in row)
        for columns in ([c for c in told if c in COLUMNS], [c for c in told if c not in COLUMNS]):
            rows = {answer: row for answer, row in self.rows.items() if any(column in row for column in columns)}
            if rows:
                blocks.append(_block(columns, rows))
        blocks += [
            f"fid, kid, diversity: {self.features}.",
            "FIDs depend on the number of pictures; diversity: real is 1.",
        ]
        return "\n".join(blocks)

    def json(self) -> str:
        """For programs; an interval that is not known is null."""
        rows = {answer: {name: {"mean": value, "interval": None if math.isnan(half) else half}
                         for name, (value, half) in row.items()} for answer, row in self.rows.items()}  # fmt: skip
        told = {
            "split": self.split,
            "folder": str(self.folder) if self.folder else None,
            "pictures": self.pictures,
            "sizes": self.sizes,
            "features": self.features,
            "scores": rows,
        }
        return json.dumps(told, indent=2, allow_nan=False)


def _block(columns: list[str], rows: Mapping[str, Mapping[str, Interval]]) -> str:
    lines = [["", *columns]]
    lines += [[answer, *(_cell(row[c], c) if c in row else "" for c in columns)] for answer, row in rows.items()]
    first, *widths = (max(map(len, column)) + 2 for column in zip(*lines, strict=True))
    return "\n".join(
        f"{line[0]:{max(20, first)}}" + "".join(f"{c:>{w}}" for c, w in zip(line[1:], widths, strict=True))
        for line in lines
    )


def _cell(score: Interval, column: str) -> str:
    places = 4 if "kid" in column else 3
    half = "    ?" if math.isnan(score.half) else f"{score.half:5.{places}f}"
    return f"{score.value:.{places}f} ±{half}"

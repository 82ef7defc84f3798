"""Pixels decide where names leave two readings open."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from i2i.data.check.layout import spread
from i2i.data.check.outlines import fits, outline
from i2i.errors import UserError
from i2i.images import opened, read

TRIED = 40  # pictures or pairs that are looked at
LEAST = 8  # below which nothing is concluded
FITS, STRANGE = 0.75, 0.62  # certainty (see `outlines.Fits`) from which pairs show one place, up to which they do not
SEAM = 3.0  # times the usual difference of neighbouring columns, for a seam down the middle
UNLIKE = 1.5  # standard deviations between the halves' statistics


def pairs_fit(pairs: Sequence[tuple[Path, Path]]) -> float | None:
    """How surely these pairs show the same (0.5 chance, 1 sure); None if too few of them can be read."""
    outlines = []
    for i in spread(pairs, TRIED):
        if pictures := _readable(pairs[i]):
            a = outline(pictures[0])
            outlines.append((a, outline(pictures[1], (a.shape[1], a.shape[0]))))
    return fits(outlines).certainty if len(outlines) >= LEAST else None


def twice_as_wide(files: Sequence[Path]) -> float:
    """The share of pictures that are exactly twice as wide as high, by their headers."""
    wide, seen = 0, 0
    for i in spread(files, TRIED):
        try:
            kind = opened(files[i]).kind
        except UserError:
            continue
        seen += 1
        wide += kind.width == 2 * kind.height
    return wide / seen if seen else 0.0


def halves_differ(files: Sequence[Path]) -> str:
    """Why the halves of these wide pictures are two pictures, not one panorama; '' if they look like one."""
    seams, outlines, differences = [], [], []
    for i in spread(files, TRIED):
        pictures = _readable((files[i],))
        if not pictures or pictures[0].shape[1] < 16:
            continue
        both = pictures[0].astype(np.float32)
        middle = both.shape[1] // 2
        steps = np.abs(np.diff(both, axis=1)).mean((0, 2))  # between neighbouring columns
        seams.append(steps[middle - 1] / max(float(np.median(steps)), 0.5))
        left, right = pictures[0][:, :middle], pictures[0][:, middle : 2 * middle]
        a, b = outline(np.ascontiguousarray(left)), outline(np.ascontiguousarray(right))
        outlines.append((a, b))
        differences.append([left.mean() - right.mean(), left.std() - right.std(), float(a.mean()) - float(b.mean())])
    if seams and float(np.median(seams)) >= SEAM:
        return "a seam runs down their middle"
    if len(outlines) < LEAST:
        return ""
    if fits(outlines).certainty >= FITS:
        return "their halves show the same outlines"
    unlike = np.abs(np.mean(differences, 0)) / (np.std(differences, 0) + 1e-3)
    return "their halves differ in kind" if float(unlike.max()) >= UNLIKE else ""


def _readable(files: Iterable[Path]) -> list[np.ndarray]:
    """The pictures of all these files, or none of them."""
    try:
        return [read(file, 3) for file in files]
    except UserError:
        return []

"""The contact sheet: one picture of the whole set, for people to look at before they train.

Rows of examples, a pair's sides next to each other; then what the worst findings are about, framed and named.
"""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from i2i.data.check.finding import NAMED
from i2i.data.check.look import Facts, colours, header
from i2i.data.check.report import Report
from i2i.data.check.run import named
from i2i.data.reference import Member, Reference
from i2i.errors import UserError
from i2i.files import atomically

CELL, GAP, TITLE, WIDTH = 128, 8, 22, 1168  # pixels
FINDINGS = 8  # of the worst, that are shown
FRAMES = {"error": (200, 30, 30), "warning": (220, 140, 0), "note": (90, 130, 200)}
PAPER, INK, FAINT, MISSING = (255, 255, 255), (30, 30, 30), (110, 110, 110), (225, 225, 225)
MOST_BYTES = 2**27


@dataclass(frozen=True)
class Row:
    """A titled strip of items."""

    title: str
    items: tuple[tuple[str, tuple[Reference, ...]], ...]  # name beneath and files
    frame: tuple[int, int, int] | None = None


def contact_sheet(report: Report, path: str | Path, *, force: bool = False) -> Path:
    """Save the sheet as a PNG. Raises UserError if the file exists, unless `force`."""
    path = Path(path)
    if path.exists() and not force:
        raise UserError(f"{path} exists already. Choose another name, or allow replacing it with --force.")
    content = io.BytesIO()
    _drawn(report).save(content, "PNG")
    atomically(path, lambda temporary: temporary.write_bytes(content.getvalue()))
    return path


def _drawn(report: Report) -> Image.Image:
    rows = [*_examples(report), *_worst(report)]
    head = [str(report.place), *report.understood.splitlines()]
    placed, y = [], GAP + TITLE * len(head) + GAP
    for row in rows:
        placed.append((row, y))
        y += TITLE + _height(row) + 2 * GAP
    sheet = Image.new("RGB", (WIDTH, y + GAP), PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, line in enumerate(head):
        draw.text((GAP, GAP + TITLE * number), _cut(line, 150), INK if number == 0 else FAINT, _font(15))
    for row, top in placed:
        _row(sheet, draw, row, top)
    return sheet


def _examples(report: Report) -> list[Row]:
    return [Row(title, tuple(("", files) for files in items)) for title, items in report.examples.items()]


def _worst(report: Report) -> list[Row]:
    """Findings whose pictures can be shown, the worst first, as they stand in the report."""
    rows = []
    for finding in report.findings:
        items = []
        for told in finding.files[:NAMED]:
            names = [name for name in named(told) if name in report.pictures]
            files = tuple(file for name in names for file in report.pictures[name])
            items += [(told, files)] if files else []
        if items:
            title = f"{finding.severity}: {finding.message}"
            rows.append(Row(title, tuple(items), FRAMES[finding.severity]))
    return rows[:FINDINGS]


def _height(row: Row) -> int:
    lines = max((place[1] for place in _places(row)), default=0) + 1
    return lines * (CELL + GAP + (TITLE if row.frame else 0))


def _places(row: Row) -> list[tuple[int, int]]:
    """(x in pixels, line) of each item, wrapped at the width of the sheet."""
    places, x, line = [], GAP, 0
    for _, files in row.items:
        width = len(files) * CELL
        if x + width > WIDTH - GAP and x > GAP:
            x, line = GAP, line + 1
        places.append((x, line))
        x += width + 2 * GAP
    return places


def _row(sheet: Image.Image, draw: ImageDraw.ImageDraw, row: Row, top: int) -> None:
    draw.text((GAP, top), _cut(row.title, 150), row.frame or INK, _font(14))
    step = CELL + GAP + (TITLE if row.frame else 0)
    for (x, line), (name, files) in zip(_places(row), row.items, strict=True):
        y = top + TITLE + line * step
        for number, file in enumerate(files):
            sheet.paste(_picture(file), (x + number * CELL, y))
        if row.frame:
            draw.rectangle((x - 2, y - 2, x + len(files) * CELL + 1, y + CELL + 1), outline=row.frame, width=3)
            draw.text((x, y + CELL + 3), _cut(name, 17 * len(files)), FAINT, _font(12))


def _picture(reference: Reference) -> Image.Image:
    """Fitted into a cell; a grey cell for what cannot be read."""
    cell = Image.new("RGB", (CELL, CELL), MISSING)
    try:
        shown = Image.fromarray(_pixels(reference))
    except (UserError, OSError):
        ImageDraw.Draw(cell).text((12, CELL // 2 - 8), "cannot be read", FAINT, _font(12))
        return cell
    shown.thumbnail((CELL, CELL), Image.Resampling.LANCZOS)
    if max(shown.size) <= CELL // 2:  # tiny ones are shown as the squares they are
        times = CELL // max(shown.size)
        shown = shown.resize((shown.width * times, shown.height * times), Image.Resampling.NEAREST)
    cell.paste(shown, ((CELL - shown.width) // 2, (CELL - shown.height) // 2))
    return cell


def _pixels(reference: Reference) -> np.ndarray:
    size = reference.size if isinstance(reference, Member) else reference.stat().st_size
    if not 0 < size <= MOST_BYTES:
        raise UserError(f"{reference} is not shown")
    content = reference.read() if isinstance(reference, Member) else reference.read_bytes()
    fact: Facts = header(reference, content, size)
    return colours(content, fact)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _font(size: int) -> ImageFont.ImageFont | ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)

"""`check`: every header, every picture or a spread sample of them, by all cores; then the rules."""

import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from i2i.data import crew
from i2i.data.check.about_files import about_files
from i2i.data.check.about_pairs import about_pairs
from i2i.data.check.about_sets import about_sets
from i2i.data.check.finding import Finding, in_order
from i2i.data.check.layout import Item, Layout, spread
from i2i.data.check.look import Seen, see
from i2i.data.check.report import Report
from i2i.data.check.suggest import suggest
from i2i.data.check.understand import understand
from i2i.data.reference import Reference
from i2i.data.split import SPLITS
from i2i.errors import UserError

LIMIT = 20_000  # pictures whose pixels are read
PAIRS = 1000  # pairs whose outlines are compared: 18 kB each
EXAMPLES = 8  # items to show of each split or class
SHOWN = 8  # files of a finding that can be shown
MOST_TITLES = 24


def check(
    place: str | Path,
    *,
    crop: int | None = None,
    limit: int | None = None,
    workers: int | None = None,
    console: Console = crew.QUIET,
) -> Report:
    """Look a data set over: a folder, a table or shards.

    `crop`: that of your recipe, pixels; a fitting one is suggested otherwise. `limit`: of the pictures whose pixels
    are read, 20,000 unless given; in larger sets they are spread evenly, and the report says so. `workers`: threads,
    as many as cores unless given. Raises UserError for what is no set at all; what is wrong within one is a finding.
    """
    started = time.perf_counter()
    layout = understand(place)
    seen = look_over(layout, LIMIT if limit is None else limit, workers, console)
    suggestion = suggest(layout, seen, crop)
    findings = in_order(
        [
            *layout.findings,
            *about_files(layout, seen, suggestion.data.get("crop"), suggestion.data.get("load")),
            *about_pairs(layout, seen),
            *about_sets(layout, seen),
        ]
    )
    files = [fact for each in seen for fact in each.facts]
    return Report(
        place=layout.place,
        layout=layout.reading,
        understood=layout.understood(),
        data=suggestion,
        counts=layout.counts(),
        findings=findings,
        sizes=_sizes(seen),
        items=layout.rows or len(layout.items),
        headers=len(files),
        pixels=sum(len(each.facts) for each in seen if each.looks or any(fact.error for fact in each.facts)),
        seconds=time.perf_counter() - started,
        examples=_examples(layout, seen),
        pictures=_pictures(layout, findings),
    )


def look_over(layout: Layout, limit: int, workers: int | None, console: Console) -> list[Seen]:
    """All items, in order; the pixels of up to `limit` pictures."""
    items = layout.items
    most = max((len(item.files) for item in items), default=1)
    pixels = set(spread(items, max(1, limit // most)))
    pairs = [i for i in sorted(pixels) if items[i].side in ("ab", "both")]
    outlined = {pairs[i] for i in spread(pairs, PAIRS)}

    def look(i: int) -> Seen:
        return see(items[i], i in pixels, i in outlined)

    seen = []
    for _, found in crew.each("checking", range(len(items)), look, console, workers=workers):
        if isinstance(found, str):  # `see` tells of each file what is wrong with it; this is not about one
            raise UserError(found)
        seen.append(found)
    return seen


def _sizes(seen: Sequence[Seen]) -> tuple[tuple[int, int, int], ...]:
    tally: Counter[tuple[int, int]] = Counter()
    for each in seen:
        for fact in each.facts:
            if not fact.error:
                halves = 2 if each.item.side == "both" else 1
                tally[fact.width // halves, fact.height] += halves
    return tuple((*size, count) for size, count in tally.most_common())


def _examples(layout: Layout, seen: Sequence[Seen]) -> dict[str, tuple[tuple[Reference, ...], ...]]:
    """Some items of each split and side, or of each class."""
    by_title: dict[str, list[Item]] = defaultdict(list)
    for each in seen:
        if all(not fact.error for fact in each.facts):
            item = each.item
            side = item.side.upper() if item.side in ("a", "b") else ""
            if side and layout.reading == "paired":
                continue  # a picture without its partner
            by_title[f"{item.split}{side}" + (f" · {item.label}" if item.label else "")].append(item)
    titles = sorted(by_title, key=lambda title: SPLITS.index(by_title[title][0].split))[:MOST_TITLES]
    return {
        f"{title} ({len(by_title[title]):,})": tuple(
            by_title[title][i].files for i in spread(by_title[title], EXAMPLES)
        )
        for title in titles
    }


def _pictures(layout: Layout, findings: Sequence[Finding]) -> dict[str, tuple[Reference, ...]]:
    """The items behind the first files that findings name."""
    wanted = {name for finding in findings for told in finding.files[:SHOWN] for name in named(told)}
    found: dict[str, tuple[Reference, ...]] = {}
    for item in layout.items if wanted else ():
        for file in item.files:
            if (name := layout.name(file)) in wanted:
                found.setdefault(name, item.files)
    return found


def named(told: str) -> Iterator[str]:
    """The file names in a finding's entry: `a.png (+3, -2)` or `a.png = b.png`."""
    for part in told.split(" = "):
        yield part.rpartition(" (")[0] if part.endswith(")") and " (" in part else part

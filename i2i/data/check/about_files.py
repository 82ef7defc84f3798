"""Findings about single pictures: files that cannot be used, and files that are not what the rest of the set is."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from i2i.data.check.finding import Finding, Severity, found
from i2i.data.check.layout import Layout
from i2i.data.check.look import Facts, Look, Seen

COLOURLESS = 10.0  # greatest difference of channels in a thumbnail, below which a picture shows no colour
SMALL_PART = 0.05  # share of grey pictures among coloured ones, up to which it is a note
UNUSED = (
    ("empty_file", "0 bytes", "{n} file{s} of 0 bytes", "Copy or download them again."),
    ("too_large", "more than the", "{n} picture{s} larger than is read", "Make them smaller: `i2i data make resize`."),
    (
        "not_a_picture",
        "not a picture",
        "{n} file{s} that are no pictures, whatever their names say",
        "Look into one: often it is an error page that a downloader has saved.",
    ),
    ("damaged", "damaged or cut short", "{n} damaged or truncated picture{s}", "Copy or download them again."),
    ("unreadable", "", "{n} file{s} that cannot be read", "Their rights, or the disk they are on."),
)
Plane = list[tuple[Facts, Look | None]]


def planes(seen: Iterable[Seen], conditions: Sequence[str] = ()) -> dict[str, Plane]:
    """What can be read of each side: 'a', 'b', conditions' names; '' where there are no sides."""
    sides: dict[str, Plane] = defaultdict(list)
    for each in seen:
        halves = each.item.side == "both"
        names = ("a", "b", *conditions) if each.item.side in ("ab", "both") else (each.item.side,)
        for i, fact in enumerate(each.facts * 2 if halves else each.facts):
            if not fact.error and i < len(names):
                sides[names[i]].append((fact, each.looks[i] if each.looks else None))
    return dict(sides)


def about_files(layout: Layout, seen: Sequence[Seen], crop: int | None, load: int | None) -> Iterator[Finding]:
    """Each file for itself. `crop`, `load`: what the recipe says or will say."""
    facts = [fact for each in seen for fact in each.facts]
    good = [fact for fact in facts if not fact.error]
    yield from _unusable(layout, facts)
    yield from _size(layout, seen, crop, load)
    yield from _oddities(layout, good)
    flat = [each.facts[min(i, len(each.facts) - 1)] for each in seen for i, look in enumerate(each.looks) if look.flat]
    yield from _some(
        layout,
        "warning",
        "constant",
        "{n} picture{s} of a single colour",
        flat,
        "Remove them, with their partners: there is nothing to learn from them.",
    )
    for name, plane in planes(seen, layout.conditions).items():
        yield from _grey(layout, name, plane)


def _some(
    layout: Layout, severity: Severity, code: str, message: str, facts: Iterable[Facts], do: str = ""
) -> Iterator[Finding]:
    """A finding, if it is about any file."""
    names = [layout.name(fact.reference) for fact in facts]
    if names:
        yield found(severity, code, message, names, do)


def _unusable(layout: Layout, facts: Sequence[Facts]) -> Iterator[Finding]:
    why: dict[str, list[Facts]] = defaultdict(list)
    for fact in facts:
        if fact.error:
            why[next(code for code, words, _, _ in UNUSED if words in fact.error)].append(fact)
    for code, _, message, do in UNUSED:
        yield from _some(layout, "error", code, message, why[code], do)


def _size(layout: Layout, seen: Sequence[Seen], crop: int | None, load: int | None) -> Iterator[Finding]:
    """Too small for a crop, or far too small for what they are resized to."""
    sides = [
        (fact, min(fact.width // 2 if each.item.side == "both" else fact.width, fact.height))
        for each in seen
        for fact in each.facts
        if not fact.error
    ]
    if crop is not None and load is None:
        yield from _some(
            layout,
            "error",
            "too_small",
            f"{{n}} picture{{s}} smaller than crop: {crop}",
            (fact for fact, side in sides if side < crop),
            f"Set `load: {crop}` to enlarge them, or a smaller crop.",
        )
    if load is not None:
        yield from _some(
            layout,
            "warning",
            "enlarged",
            f"{{n}} picture{{s}} that `load: {load}` enlarges to more than twice their size",
            (fact for fact, side in sides if 2 * side < load),
            "Remove them, or train at a smaller size.",
        )
    odd = [fact for each in seen if each.item.side == "both" for fact in each.facts]
    yield from _some(
        layout,
        "error",
        "not_twice_as_wide",
        "{n} file{s} not exactly twice as wide as high",
        (fact for fact in odd if not fact.error and fact.width != 2 * fact.height),
        "Both halves must be square: mend them, or split them into trainA/ and trainB/.",
    )


def _oddities(layout: Layout, good: Sequence[Facts]) -> Iterator[Finding]:
    """What i2i deals with, and how."""
    yield from _some(
        layout,
        "note",
        "renamed",
        "{n} file{s} of another format than the suffix says",
        (f for f in good if f.renamed),
        "i2i goes by the content; other programs may not.",
    )
    yield from _some(
        layout,
        "warning",
        "animated",
        "{n} file{s} with several frames or pages",
        (f for f in good if f.frames > 1),
        "Only the first is read; `i2i data make frames` takes all.",
    )
    yield from _some(
        layout,
        "note",
        "turned",
        "{n} picture{s} turned by an EXIF tag",
        (f for f in good if f.turned),
        "i2i turns them upright; programs that ignore the tag see them lying.",
    )
    deep = [f for f in good if f.bits > 8]
    yield from _some(
        layout,
        "note",
        "deep",
        "{n} picture{s} of more than 8 bits",
        deep,
        "Set `bits: 16` to keep them; with 8 they are rounded.",
    )
    yield from _some(
        layout,
        "note",
        "alpha",
        "{n} picture{s} with transparency",
        (f for f in good if f.alpha),
        "They are laid on white; `channels` 4 (or 2 for grey) keeps the alpha.",
    )
    yield from _some(
        layout,
        "note",
        "cmyk",
        "{n} picture{s} in CMYK",
        (f for f in good if f.mode == "CMYK"),
        "They are converted to sRGB; colours may differ from a printed page.",
    )
    profiles = Counter(f.profile for f in good if f.profile)
    named = ", ".join(name for name, _ in profiles.most_common(3))
    yield from _some(
        layout,
        "note",
        "profile",
        f"{{n}} picture{{s}} with a colour profile other than sRGB ({named})",
        (f for f in good if f.profile),
        "They are converted to sRGB.",
    )
    palettes = [f for f in good if f.mode == "P" and f.format != "GIF"]
    yield from _some(
        layout,
        "note",
        "palette",
        "{n} picture{s} with a palette",
        palettes,
        "Read as colours; if the numbers are classes, set `channels: {a: {labels: N}}`.",
    )


def _grey(layout: Layout, name: str, plane: Plane) -> Iterator[Finding]:
    """Pictures without colour where most have some."""
    if any(fact.channels not in (1, 3) for fact, _ in plane):
        counts = Counter(fact.channels for fact, _ in plane)
        if len(counts) > 1:
            usual = counts.most_common(1)[0][0]
            odd = [fact for fact, _ in plane if fact.channels != usual]
            yield from _some(
                layout,
                "error",
                "channels",
                f"{{n}} picture{{s}} without the {usual} channels of the rest",
                odd,
                "All pictures of a side need the same channels.",
            )
        return
    grey = [fact for fact, look in plane if fact.channels == 1 or (look is not None and look.vivid < COLOURLESS)]
    if 0 < len(grey) < len(plane) / 2:
        side = f" of side {name}" if name else ""
        yield from _some(
            layout,
            "note" if len(grey) <= SMALL_PART * len(plane) else "warning",
            "grey_among_colour",
            f"{{n}} picture{{s}}{side} without colour among {len(plane):,}",
            grey,
            "Remove them if colour matters, or set `channels` to 1 for all.",
        )

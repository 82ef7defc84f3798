"""Findings about the set as a whole: copies, what test shares with train, how many there are, and of which class."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from i2i.data.check.finding import Finding, found
from i2i.data.check.layout import Layout
from i2i.data.check.look import THUMB, Seen
from i2i.data.likeness import NEAR, groups
from i2i.data.split import SPLITS

FEW, LITTLE = 50, 300  # training pictures: too few for two networks to play on, and few
UNEQUAL = 10  # times the smallest class, from which classes are unbalanced
LITTLE_LEAK = 0.01  # share of near-copies in a split, up to which they may be pictures that merely look alike
MANY = 0.02  # share of copies from which they are more than a note
ALIKE = 6.0  # mean difference of thumbnails up to which a likeness is confirmed, 0..255
DETAIL = 8.0  # contrast below which pictures are too plain for it
CROWD = 2000  # in a group; larger ones are compared with their first only


def about_sets(layout: Layout, seen: Sequence[Seen]) -> Iterator[Finding]:
    """What needs all items at once."""
    yield from _numbers(layout)
    yield from _classes(layout)
    whole = [each for each in seen if each.looks]
    exact = _copies(whole)
    yield from _told(layout, whole, exact, "exact")
    known = {i for group in exact for i in group[1:]}
    rest = [i for i in range(len(whole)) if i not in known]
    alike: list[list[int]] = []
    for side in sorted({each.item.side for each in whole}):
        mine = [i for i in rest if whole[i].item.side == side]
        alike += [[mine[i] for i in group] for group in near([whole[i] for i in mine])]
    yield from _told(layout, whole, alike, "near")


def _copies(seen: Sequence[Seen]) -> list[list[int]]:
    """Items of equal content, all their files."""
    held: dict[tuple[str | bytes, ...], list[int]] = defaultdict(list)
    for i, each in enumerate(seen):
        if all(fact.digest for fact in each.facts):
            held[each.item.side, *(fact.digest for fact in each.facts)].append(i)
    return [group for group in held.values() if len(group) > 1]


def near(seen: Sequence[Seen]) -> list[list[int]]:
    """Items of one side that look alike: of pairs, both pictures. Fingerprints propose, thumbnails confirm."""
    made: list[list[int]] = []
    detailed = [i for i, each in enumerate(seen) if all(look.contrast >= DETAIL for look in each.looks[:2])]
    prints = [seen[i].looks[0].fingerprint for i in detailed]
    for group in groups(prints, NEAR):
        members = [detailed[i] for i in group]
        thumbs = np.stack([_thumb(seen[i]) for i in members]).astype(np.int16)  # n sides·THUMB·THUMB·3
        left = list(range(len(members)))
        while len(left) > 1:
            first, *others = left
            distance = np.abs(thumbs[others] - thumbs[first]).mean(2).max(1)
            same = [other for other, d in zip(others, distance, strict=True) if d <= ALIKE]
            if same:
                made.append([members[i] for i in (first, *same)])
            taken = set(same)
            left = [i for i in others if i not in taken]
            if len(members) > CROWD:
                break
    return made


def _thumb(each: Seen) -> np.ndarray:
    """Sides × values."""
    return np.stack([np.frombuffer(look.thumb, np.uint8) for look in each.looks[:2]]).reshape(-1, THUMB * THUMB * 3)


def _told(layout: Layout, seen: Sequence[Seen], found_groups: Sequence[Sequence[int]], how: str) -> Iterator[Finding]:
    """Copies across splits are leaks, across classes contradictions, and within them a waste."""
    leaks: dict[tuple[str, str], list[str]] = defaultdict(list)
    across, within = [], []
    total = 0
    for group in found_groups:
        items = [seen[i].item for i in group]
        names = [layout.name(item.files[0]) for item in items]
        by_split: dict[str, list[str]] = defaultdict(list)
        for item, name in zip(items, names, strict=True):
            by_split[item.split].append(name)
        for late in SPLITS[1:]:
            early = next((s for s in SPLITS[: SPLITS.index(late)] if s in by_split), None)
            if late in by_split and early:
                leaks[early, late] += [f"{name} = {by_split[early][0]}" for name in by_split[late]]
        if len({item.label for item in items}) > 1:
            other = next(k for k, item in enumerate(items) if item.label != items[0].label)
            across += [f"{names[0]} = {names[other]}"]
            continue
        extra = sum(len(those) - 1 for those in by_split.values())
        total += extra
        within += [" = ".join(those[:3]) for those in by_split.values() if len(those) > 1]
    word, what = ("copies", "copied") if how == "exact" else ("near-copies", "much alike")
    sizes = Counter(each.item.split for each in seen)
    for (early, late), names in leaks.items():
        little = how == "near" and len(names) <= LITTLE_LEAK * sizes[late]
        yield found(
            "note" if little else "warning",
            f"leak_{how}",
            f"{{n}} item{{s}} of {late} also in {early} ({word}): scores on {late} "
            + ("may be a little" if little else "will be")
            + " too good",
            names,
            f"Remove them from {late} or {early}.",
        )
    if across:
        yield found(
            "warning",
            f"label_conflict_{how}",
            f"{{n}} group{{s}} of {word} in different classes",
            across,
            "Decide on one class for each.",
        )
    if within:
        yield found(
            "warning" if how == "exact" and total > MANY * len(seen) else "note",
            f"duplicates_{how}",
            f"{total:,} item{'s' if total > 1 else ''} {what} within a split",
            within,
            "Remove all but one of each, or they count twice.",
        )


def _numbers(layout: Layout) -> Iterator[Finding]:
    counts = layout.counts()
    factor = max(1.0, layout.rows / max(1, len(layout.items)))
    for name in ("train", "trainA", "trainB"):
        count = round(counts.get(name, 0) * factor)
        paired = layout.reading == "paired" and name != "train"
        if name not in counts or paired:
            continue
        if count < FEW:
            yield found(
                "warning",
                "too_few",
                f"{count:,} pictures in {name} are too few for adversarial training",
                (),
                "Collect some hundreds; until then use strong `augment`.",
            )
        elif count < LITTLE:
            yield found(
                "note",
                "few",
                f"{count:,} pictures in {name} are few: expect the discriminator to learn them by heart",
                (),
                "Use `augment`, and stop by the val scores.",
            )


def _classes(layout: Layout) -> Iterator[Finding]:
    if layout.reading != "labelled":
        return
    tally = Counter(item.label for item in layout.items if item.split == "train")
    empty = [name for name in layout.classes if not tally[name]]
    single = [name for name in layout.classes if tally[name] == 1]
    if empty:
        yield found("warning", "empty_class", "{n} class{es} without training pictures", empty, "Fill or remove them.")
    if single:
        yield found(
            "warning",
            "single_picture_class",
            "{n} class{es} of a single picture",
            single,
            "Add pictures, or leave the class out.",
        )
    sizes = tally.most_common()
    if len(sizes) > 1 and sizes[0][1] >= UNEQUAL * sizes[-1][1]:
        yield found(
            "warning",
            "imbalance",
            f"{sizes[0][0]} has {sizes[0][1] / sizes[-1][1]:.0f} times the pictures of "
            f"{sizes[-1][0]} ({sizes[0][1]:,} and {sizes[-1][1]:,})",
            (),
            "Give rare classes more weight: a manifest's column `weight` does.",
        )
    for split in SPLITS[1:]:
        there = {item.label for item in layout.items if item.split == split}
        if there and (lacking := [name for name in layout.classes if name not in there]):
            yield found("note", "class_not_in_split", f"{{n}} class{{s}} without pictures in {split}", lacking)

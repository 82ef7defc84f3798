"""Findings about pairs: sizes, sides that were swapped, and pictures that do not lie on each other.

Legend: n pairs, d statistics of a picture.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from i2i.data.check.evidence import STRANGE
from i2i.data.check.finding import Finding, Severity, found
from i2i.data.check.layout import Layout
from i2i.data.check.look import Look, Seen
from i2i.data.check.outlines import TOLERANCE, Fits, fits

ENOUGH = 20  # pairs, below which statistics say nothing
APART = 1.9  # mean / deviation of the sides' difference from which sides can be told apart; 1.3 is chance
VAGUE = 0.1  # share of pairs between the sides, above which they cannot
ASPECT = 0.02  # difference of width / height that stretching would show
MOST_FIT = 1.3  # times the best strangers (95%), that the best quarter of pairs must reach before others are doubted
LONE = 0.02  # share of pairs up to which a suspicion is a note: nature does that too
GAIN = 0.1  # of correlation, that a shift must bring


def about_pairs(layout: Layout, seen: Sequence[Seen]) -> Iterator[Finding]:
    """All that can be said of pairs; nothing where there are none."""
    pairs = [each for each in seen if each.item.side in ("ab", "both") and not any(f.error for f in each.facts)]
    yield from _sizes(layout, pairs)
    looked = [each for each in pairs if len(each.looks) >= 2]
    yield from _same(layout, looked)
    yield from _swapped(layout, looked)
    yield from _misplaced(layout, [each for each in looked if each.outlines is not None])


def _names(layout: Layout, pairs: Sequence[Seen]) -> list[str]:
    return [layout.name(each.item.files[0]) for each in pairs]


def _sizes(layout: Layout, pairs: Sequence[Seen]) -> Iterator[Finding]:
    stretched: list[Seen] = []
    scaled: list[Seen] = []
    for each in pairs:
        a = each.facts[0]
        others = [f for f in each.facts[1:] if (f.width, f.height) != (a.width, a.height)]
        if others:
            bent = any(abs(f.width * a.height / (f.height * a.width) - 1) > ASPECT for f in others)
            (stretched if bent else scaled).append(each)
    if stretched:
        yield found(
            "error",
            "pair_shapes",
            "{n} pair{s} of different shape",
            _told(layout, stretched),
            "Cut both to the same part; `fit: stretch` would bend one of them.",
        )
    if scaled:
        yield found(
            "warning",
            "pair_sizes",
            "{n} pair{s} of different size",
            _told(layout, scaled),
            "`load` brings both to one size; without it they are not used.",
        )


def _told(layout: Layout, pairs: Sequence[Seen]) -> list[str]:
    return [
        f"{name} ({' and '.join(f'{f.width}×{f.height}' for f in each.facts)})"
        for name, each in zip(_names(layout, pairs), pairs, strict=True)
    ]


def _same(layout: Layout, pairs: Sequence[Seen]) -> Iterator[Finding]:
    """Both sides are one picture: a copy went to the wrong folder."""
    same = [
        each
        for each in pairs
        if each.looks[0].thumb == each.looks[1].thumb
        and not each.looks[0].flat
        and each.looks[0].fingerprint == each.looks[1].fingerprint
    ]
    if same:
        yield found(
            "warning",
            "same_sides",
            "{n} pair{s} whose two sides are the same picture",
            _names(layout, same),
            "Put the right partner in its place.",
        )


def _swapped(layout: Layout, pairs: Sequence[Seen]) -> Iterator[Finding]:
    """Sides of a set differ in kind (lines and photos, day and night); pairs that differ the other way round."""
    turned = swapped([(each.looks[0], each.looks[1]) for each in pairs])
    if turned:
        yield found(
            _weight(turned, pairs),
            "swapped",
            f"{{n}} of {len(pairs):,} pairs look as if a and b were swapped",
            _names(layout, [pairs[i] for i in turned]),
            "Look at the contact sheet, and exchange the two pictures of each.",
        )


def swapped(pairs: Sequence[tuple[Look, Look]]) -> list[int]:
    """Which pairs are the other way round, by the smaller part of those that clearly differ one way or the other.

    A linear discriminant whose two classes are (a, b) and (b, a), so that pairs need no labels: the direction that best
    separates +x from -x for the differences x = a - b, found by turns of assigning signs and fitting.
    """
    if len(pairs) < ENOUGH:
        return []
    x = np.array([[p - q for p, q in zip(_statistics(a), _statistics(b), strict=True)] for a, b in pairs])  # n d
    axis = np.linalg.eigh(x.T @ x)[1][:, -1]
    for _ in range(10):
        aligned = x * np.where(x @ axis >= 0, 1, -1)[:, None]
        axis = np.linalg.solve(np.cov(aligned.T) + 1e-2 * np.eye(x.shape[1]), aligned.mean(0))
    place = x @ axis
    size = np.abs(place)
    usual = float(np.median(size))
    if size.mean() < APART * size.std() or (size < usual / 4).mean() > VAGUE:
        return []
    clear = np.flatnonzero(size > usual / 2)
    few = place < 0 if (place[clear] < 0).mean() <= 0.5 else place > 0
    return [int(i) for i in clear if few[i]]


def _statistics(look: Look) -> tuple[float, float, float, float]:
    return look.mean / 64, np.log1p(look.contrast), np.log1p(look.edges), np.log1p(look.colour)


def _misplaced(layout: Layout, pairs: Sequence[Seen]) -> Iterator[Finding]:
    """Pairs that do not register, all of them or some."""
    if len(pairs) < ENOUGH:
        return
    measured = fits([each.outlines for each in pairs if each.outlines is not None])
    moved = shifted(measured)
    size = np.array([_side(each) for each in pairs])  # n (w, h)
    shifts = np.array([fit.shift for fit in measured.pairs]) * size  # n (x, y) pixels
    if len(moved) >= len(pairs) / 2:
        x, y = np.median(shifts[moved], axis=0)
        alike = np.abs(shifts[moved] - (x, y)).max(1) <= 2 * TOLERANCE * size[moved].max(1)
        where = f"by about ({x:+.0f}, {y:+.0f}) pixels" if alike.mean() > 0.5 else "each by an amount of its own"
        yield found(
            "warning",
            "shifted",
            f"{{n}} of {len(pairs):,} pairs fit only after b is moved (right, down) {where}",
            _names(layout, [pairs[i] for i in moved]),
            "Cut both sides to the part they share, so that they lie on each other.",
        )
    elif measured.certainty <= STRANGE:
        yield found(
            "warning",
            "misaligned",
            "the pairs do not register: their outlines fit no better than those of "
            f"strangers (in {measured.certainty:.0%} of comparisons, where chance is 50%)",
            (),
            "If these are no pairs, use `layout: unpaired`. If they are, check their order and names.",
        )
    elif moved:
        told = [
            f"{name} ({shifts[i][0]:+.0f}, {shifts[i][1]:+.0f})"
            for i, name in zip(moved, _names(layout, [pairs[i] for i in moved]), strict=True)
        ]
        yield found(
            _weight(moved, pairs),
            "shifted",
            f"{{n}} of {len(pairs):,} pairs fit only after b is moved (right, down)",
            told,
            "Cut both sides to the part they share, so that they lie on each other.",
        )
    strange = strangers(measured) if measured.certainty > STRANGE else []
    if strange:
        yield found(
            _weight(strange, pairs),
            "strangers",
            f"{{n}} of {len(pairs):,} pairs fit no better than strangers do, while the others fit",
            _names(layout, [pairs[i] for i in strange]),
            "Look at them: each may have another one's partner.",
        )


def _weight(some: Sequence[int], pairs: Sequence[Seen]) -> Severity:
    return "note" if len(some) <= LONE * len(pairs) else "warning"


def _side(each: Seen) -> tuple[int, int]:
    fact = each.facts[0]
    return (fact.width // 2 if each.item.side == "both" else fact.width), fact.height


def shifted(measured: Fits) -> list[int]:
    """Pairs that fit better somewhere else than where they lie, and there better than strangers fit anywhere."""
    ceiling = float(np.quantile([fit.best for fit in measured.strangers], 0.9))
    return [i for i, f in enumerate(measured.pairs) if f.best > ceiling and f.best > f.near + GAIN]


def strangers(measured: Fits) -> list[int]:
    """Pairs that fit like strangers, in a set whose other pairs fit well; about half of all wrong partners."""
    usual, high = np.quantile([fit.near for fit in measured.strangers], (0.5, 0.95))
    if np.quantile([fit.near for fit in measured.pairs], 0.75) < MOST_FIT * high:
        return []
    return [i for i, fit in enumerate(measured.pairs) if fit.near < usual and fit.best < high]

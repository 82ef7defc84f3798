"""Before a training begins: what would spoil it and can be seen at a glance, in a set of any size.

Only sampled items are touched, so ten million rows take no longer than a thousand.
"""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from i2i.data.check.about_sets import FEW
from i2i.data.check.finding import Finding, Severity, found, in_order, printable
from i2i.data.check.layout import relative, spread
from i2i.data.check.look import Facts, header
from i2i.data.layouts import Split, open_split
from i2i.data.reference import Member, Reference
from i2i.data.spec import MOST, Data, MixtureData, PairedData, Pictures, UnpairedData, carried
from i2i.errors import UserError

HEADERS = 256  # items of train whose headers are read
DECODED = 32  # of them, whose pixels are
HELD_OUT = 128  # items of val and test that are compared with train
SECONDS = 1.0  # for everything after the lists of files are there
LARGE = 2**24  # bytes; larger files are not read whole


def quick(spec: Data) -> list[Finding]:
    """What matters to this recipe, the worst first; bounded in time. UserError if the set cannot be opened at all."""
    if isinstance(spec, MixtureData):
        return []
    began = time.monotonic()
    train = open_split(spec, "train")
    opened_in = time.monotonic() - began
    until = time.monotonic() + SECONDS
    items: list[list[Facts]] = []
    places: list[tuple[int, int]] = []  # stream and number of each
    streams = _streams(spec, train)
    for stream, sides in enumerate(streams):
        for i in _positions(len(sides[0]), HEADERS // len(streams)):
            items.append([_facts(side[i]) for side in sides])
            places.append((stream, i))
            if time.monotonic() > until - SECONDS + SECONDS / 2 * (stream + 1) / len(streams):
                break
    findings = [*_files(spec, train, [fact for facts in items for fact in facts]), *_few(train)]
    if isinstance(spec, PairedData) and not train.side_by_side:
        findings += _sizes(spec, train, items)
    findings += _unusable(spec, train, items, places, until - SECONDS / 4)
    if opened_in < SECONDS:  # the other splits take as long
        findings += _leaks(spec, [facts[0].reference for facts in items], until, _check(train))
    return list(in_order(findings))


def _streams(spec: Data | Pictures, split: Split) -> list[tuple[Sequence[Reference], ...]]:
    """The sequences whose entries belong together: all of them, but each for itself in unpaired sets."""
    return [(side,) for side in split.files] if isinstance(spec, UnpairedData) else [split.files]


def _positions(n: int, most: int) -> list[int]:
    """Positions spread over 0..n-1, those far apart first: any beginning of them is a spread sample."""
    chosen = sorted({i * n // most for i in range(most)} if n > most else set(range(n)))
    stride = 89 if len(chosen) % 89 else 97  # a prime that does not divide it visits all
    return [chosen[i * stride % len(chosen)] for i in range(len(chosen))]


def _name(split: Split, reference: Reference) -> str:
    return (
        printable(str(reference))
        if split.root is None or isinstance(reference, Member)
        else relative(reference, split.root)
    )


def _near(reference: Reference) -> bool:
    """Whether it is on this machine."""
    return not (isinstance(reference, Member) and "://" in reference.shard)


def _facts(reference: Reference) -> Facts:
    """By the header; what is far away or missing is told by its error, or by no size."""
    if not _near(reference):
        return Facts(reference)
    try:
        source: Path | bytes = reference if isinstance(reference, Path) else reference.read()
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        if size == 0:
            return Facts(reference, error="it has 0 bytes")
        return header(reference, source, size)
    except FileNotFoundError:
        return Facts(reference, error="there is no such file")
    except (UserError, OSError) as problem:
        return Facts(reference, error=str(problem))


def _files(spec: Pictures, train: Split, facts: Sequence[Facts]) -> Iterator[Finding]:
    sample = f" (of {len(facts):,} looked at)"
    broken = [fact for fact in facts if fact.error]
    if broken:
        yield found(
            _severity(spec, train, len(broken), len(facts)),
            "unreadable",
            f"{{n}} picture{{s}} of train cannot be read{sample}",
            [_name(train, f.reference) for f in broken],
            _check(train),
        )
    good = [fact for fact in facts if not fact.error and fact.width]
    half = 2 if train.side_by_side else 1
    small = [fact for fact in good if min(fact.width // half, fact.height) < spec.crop]
    if spec.load is None and small:
        yield found(
            _severity(spec, train, len(small), len(facts)),
            "too_small",
            f"{{n}} picture{{s}} smaller than crop: {spec.crop}{sample}",
            [_name(train, f.reference) for f in small],
            f"Set `load: {spec.crop}` to enlarge them, or a smaller crop.",
        )
    deep = [fact for fact in good if fact.bits > 8]
    if spec.bits == 8 and deep and any(isinstance(p.look, int) and carried(p.look) for p in spec.planes):
        yield found(
            "warning",
            "depth_lost",
            f"{{n}} picture{{s}} of more than 8 bits are read with 8{sample}",
            [_name(train, f.reference) for f in deep],
            "Set `bits: 16` to keep them.",
        )
    wide = [fact for fact in good if train.side_by_side and fact.width != 2 * fact.height]
    if wide:
        yield found(
            _severity(spec, train, len(wide), len(facts)),
            "not_twice_as_wide",
            f"{{n}} file{{s}} not exactly twice as wide as high{sample}",
            [_name(train, f.reference) for f in wide],
            _check(train),
        )


def _severity(spec: Pictures, train: Split, count: int, looked: int) -> Severity:
    """error where training is bound to be refused: more than `skip` allows, or most of a sample."""
    total = sum(len(sides[0]) for sides in _streams(spec, train))
    return "error" if count > min(spec.allowance(total), max(1, MOST * looked)) else "warning"


def _check(train: Split) -> str:
    return f"See everything: i2i data check {train.root}" if train.root else "See everything: i2i data check"


def _few(train: Split) -> Iterator[Finding]:
    least = min((len(side) for side in train.files), default=0)
    if least < FEW:
        yield found(
            "warning",
            "too_few",
            f"{least:,} training pictures are too few for adversarial training",
            (),
            "Collect some hundreds; until then use strong `augment`.",
        )


def _sizes(spec: PairedData, train: Split, items: Sequence[Sequence[Facts]]) -> Iterator[Finding]:
    if spec.load is not None and spec.fit == "stretch":
        return
    odd = []
    for facts in items:
        sizes = {(f.width, f.height) for f in facts if f.width and not f.error}
        shapes = {round(w / h, 2) for w, h in sizes}
        if len(sizes if spec.load is None else shapes) > 1:
            odd.append(_name(train, facts[0].reference))
    if odd:
        yield found(
            _severity(spec, train, len(odd), len(items)),
            "pair_sizes",
            f"{{n}} pair{{s}} whose pictures differ in size (of {len(items):,} looked at)",
            odd,
            f"`load: {spec.load or spec.crop}, fit: stretch` brings both to one size.",
        )


def _unusable(
    spec: Pictures, train: Split, items: Sequence[Sequence[Facts]], places: Sequence[tuple[int, int]], until: float
) -> Iterator[Finding]:
    """Some items are read as training reads them: damage, channels and classes that the recipe does not expect."""
    from i2i.data.reading import Unusable, item  # torch

    wrong: dict[str, str] = {}
    tried = 0
    for number in spread(items, DECODED):
        if any(fact.error or not fact.width or fact.size > LARGE for fact in items[number]):
            continue
        if time.monotonic() > until:
            break
        tried += 1
        try:
            item(spec, train, *places[number], None)
        except Unusable as problem:
            wrong[_name(train, problem.path)] = problem.reason
    if wrong:
        reason = next(iter(wrong.values())).rstrip(".")
        yield found(
            _severity(spec, train, len(wrong), tried),
            "unusable",
            f"{{n}} picture{{s}} cannot be trained on (of {tried:,} items decoded), the first since {reason}",
            wrong,
            _check(train),
        )


def _leaks(spec: Data, train: Sequence[Reference], until: float, do: str) -> Iterator[Finding]:
    """Sampled pictures of val and test against sampled ones of train, by size first and then by content."""
    mine = set(train)
    sizes: dict[int, list[Reference]] = {}
    for reference in mine:
        sizes.setdefault(_bytes(reference), []).append(reference)
    for name in ("val", "test"):
        if time.monotonic() > until:
            break
        try:
            other = open_split(spec, name)
        except UserError:
            continue  # there is none
        both = []
        for side, *_ in _streams(spec, other):
            for i in _positions(len(side), HELD_OUT):
                if side[i] in mine or any(_equal(side[i], ours) for ours in sizes.get(_bytes(side[i]), ())):
                    both.append(_name(other, side[i]))
                if time.monotonic() > until:
                    break
        if both:
            said = f"{{n}} sampled picture{{s}} of {name} also in train: scores on {name} will be too good"
            yield found("warning", "leak_exact", said, both, do)


def _bytes(reference: Reference) -> int:
    if isinstance(reference, Member):
        return reference.size if _near(reference) else -1
    try:
        return reference.stat().st_size
    except OSError:
        return -1


def _equal(a: Reference, b: Reference) -> bool:
    if not 0 < _bytes(a) <= LARGE:
        return False
    try:
        return _content(a) == _content(b)
    except (UserError, OSError):
        return False


def _content(reference: Reference) -> bytes:
    return reference.read() if isinstance(reference, Member) else reference.read_bytes()

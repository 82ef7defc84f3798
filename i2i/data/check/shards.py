"""WebDataset shards: tar files whose members share a key before the first dot, `0001.a.png` and `0001.b.png`."""

import tarfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from i2i.data.check.finding import Finding, found
from i2i.data.check.layout import Item, Layout, Reading, spread
from i2i.data.reference import Member
from i2i.data.split import SPLITS
from i2i.images import SUFFIXES

LABEL = 64  # bytes of a label at most


def shards(files: Sequence[Path], place: Path, most: int) -> Layout:
    """Understand shards by the headers of their members; of many, shards spread over all of them, up to `most` samples.

    Only what a tar file's headers say is used; nothing is unpacked.
    """
    findings: list[Finding] = []
    samples: list[tuple[str, dict[str, Member]]] = []
    broken: list[str] = []
    opened = 0
    for position in _scattered(len(files)):
        try:
            samples += [(_split(files[position]), fields) for fields in _samples(files[position])]
        except (tarfile.TarError, OSError, EOFError) as problem:
            broken.append(f"{files[position].name} ({problem})")
        opened += 1
        if len(samples) >= most:
            break
    if broken:
        findings.append(
            found(
                "error",
                "broken_shard",
                "{n} shard{s} damaged or cut short",
                broken,
                "Copy or make them anew: `i2i data make shards`.",
            )
        )
    fields = Counter(field for _, sample in samples for field in sample)
    pictures = [field for field, _ in fields.most_common() if f".{field.split('.')[-1].lower()}" in SUFFIXES]
    planes: dict[str, set[str]] = defaultdict(set)  # a, b, mask, ... or '' → the fields that hold it
    for field in pictures:
        planes[field.rpartition(".")[0]].add(field)
    reading: Reading = "paired" if {"a", "b"} <= planes.keys() else "labelled" if "cls" in fields else "unlabelled"
    names = (
        ["a", "b", *sorted(planes.keys() - {"a", "b", ""})] if reading == "paired" else ["a" if "a" in planes else ""]
    )
    items, incomplete = [], []
    for split, sample in samples:
        held = [next((sample[f] for f in sorted(planes[name]) if f in sample), None) for name in names]
        there = tuple(member for member in held if member is not None)
        if len(there) < len(names) or (reading == "labelled" and "cls" not in sample):
            incomplete.append(next(iter(sample.values())).name.partition(".")[0])
            continue
        label = _label(sample["cls"]) if reading == "labelled" else ""
        items.append(Item(split, "ab" if reading == "paired" else "", there, label))
    if incomplete:
        needed = ", ".join(name or "a picture" for name in names) + (", cls" if reading == "labelled" else "")
        findings.append(
            found(
                "error",
                "incomplete_sample",
                f"{{n}} sample{{s}} without all of {needed}",
                incomplete,
                "Make the shards anew: `i2i data make shards`.",
            )
        )
    labels = sorted({item.label for item in items if item.label}, key=lambda name: (not name.isdigit(), name.zfill(9)))
    odd = [label for label in labels if not label.isdigit()]
    if odd:
        findings.append(found("error", "labels", "{n} label{s} that are no integers", odd, "Write integers from 0."))
    columns = {"a": pictures[0]} if names == [""] and pictures else {}
    why = f"Its samples hold: {', '.join(sorted(fields)) or 'nothing'}."
    rows = round(len(items) * len(files) / opened) if opened < len(files) else len(items)
    return Layout(
        place,
        place,
        "shards",
        reading,
        why,
        tuple(items),
        tuple(labels),
        tuple(names[2:]),
        columns,
        findings=tuple(findings),
        rows=rows,
    )


def _scattered(n: int) -> list[int]:
    """All of 0..n-1, those far apart first, so that any beginning is spread over all."""
    first = spread(range(n), min(n, 16))
    return [*first, *(i for i in range(n) if i not in set(first))]


def _split(file: Path) -> str:
    return next((split for split in SPLITS if file.name.startswith(split)), "train")


def _samples(file: Path) -> list[dict[str, Member]]:
    """Each key's members by what follows the key's first dot."""
    held: dict[str, dict[str, Member]] = defaultdict(dict)
    with tarfile.open(file, "r:") as archive:
        for member in archive:
            if not member.isfile():
                continue
            path = PurePosixPath(member.name)
            stem, _, kind = path.name.partition(".")
            held[str(path.with_name(stem))][kind] = Member(str(file), member.name, member.offset_data, member.size)
    return list(held.values())


def _label(member: Member) -> str:
    if member.size > LABEL:
        return f"{member.size} bytes"
    return member.read().decode("utf-8", "replace").strip()

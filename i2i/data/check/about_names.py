"""Findings about names: those that some system cannot keep, that i2i does not read, or that mean two files."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import PurePosixPath

from i2i.data.check.finding import Finding, found
from i2i.data.check.listing import Listing
from i2i.images import VIDEO_SUFFIXES

RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}
REFUSED = frozenset('<>:"\\|?*')
UNREAD = frozenset(
    [
        ".heic",
        ".heif",
        ".avif",
        ".jfif",
        ".jp2",
        ".jxl",
        ".exr",
        ".hdr",
        ".dng",
        ".cr2",
        ".cr3",
        ".nef",
        ".arw",
        ".raw",
        ".psd",
        ".svg",
        ".tga",
    ]
)


def about_names(listing: Listing) -> Iterator[Finding]:
    """All names of the set, not only the pictures'."""
    names = [*listing.pictures, *listing.other, *listing.folders]
    yield from _unkeepable(names)
    yield from _ambiguous(names)
    if listing.gone:
        yield found("warning", "dead_link", "{n} link{s} to nothing", listing.gone, "Remove or mend them.")
    if listing.hidden:
        yield found("note", "hidden", "{n} file{s} of the operating system or hidden: not read", listing.hidden)
    yield from _unread(listing)


def _unkeepable(names: list[str]) -> Iterator[Finding]:
    last = [(name, name.rpartition("/")[2]) for name in names]
    foreign = [name for name in names if any("\ud800" <= c <= "\udfff" for c in name)]
    if foreign:
        yield found(
            "error",
            "not_utf8",
            "{n} name{s} not in UTF-8, which runs cannot keep",
            foreign,
            "Rename them: `convmv -f latin1 -t utf8 -r --notest DIR`, say.",
        )
    control = [name for name, own in last if any(ord(c) < 32 or ord(c) == 127 for c in own)]
    if control:
        yield found("warning", "control_characters", "{n} name{s} with control characters", control, "Rename them.")
    trailing = [name for name, own in last if own != own.strip(" ") or own.endswith(".") or " ." in own]
    if trailing:
        yield found(
            "warning",
            "trailing_space",
            "{n} name{s} that begin or end with a space or a dot",
            trailing,
            "Rename them; where the suffix does not end the name, the file is not read.",
        )
    refused = [
        name for name, own in last if REFUSED.intersection(own) or own.partition(".")[0].strip().casefold() in RESERVED
    ]
    if refused:
        yield found("warning", "windows_names", "{n} name{s} that Windows refuses", refused, "Rename them.")


def _ambiguous(names: list[str]) -> Iterator[Finding]:
    folded: dict[str, list[str]] = defaultdict(list)
    for name in names:
        folded[name.casefold()].append(name)
    same = [name for those in folded.values() if len(those) > 1 for name in those]
    if same:
        yield found(
            "warning",
            "case_only",
            "{n} names that differ in capitals alone: one file on Windows and macOS",
            same,
            "Rename one of each.",
        )


def _unread(listing: Listing) -> Iterator[Finding]:
    def suffix(name: str) -> str:
        return PurePosixPath(name).suffix.lower()

    foreign = [name for name in listing.other if suffix(name) in UNREAD]
    if foreign:
        yield found(
            "warning",
            "other_formats",
            "{n} picture{s} in formats that are not read",
            foreign,
            "Convert them: `magick mogrify -format png FILES`, say.",
        )
    videos = [name for name in listing.other if suffix(name) in VIDEO_SUFFIXES]
    if videos:
        yield found("note", "videos", "{n} video{s}: not read", videos, "Take frames: `i2i data make frames VIDEO`.")
    rest = [name for name in listing.other if suffix(name) not in UNREAD | VIDEO_SUFFIXES]
    if rest:
        kinds = Counter(suffix(name) or "without suffix" for name in rest).most_common(4)
        told = ", ".join(f"{kind} {count:,}" for kind, count in kinds)
        yield found("note", "other_files", f"{{n}} other file{{s}}, not read ({told})", rest)

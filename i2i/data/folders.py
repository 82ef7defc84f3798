"""Folders → the list of a split's pictures, whichever of the field's layouts the folder follows."""

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from i2i.data.spec import LabelledData, PairedData, Pictures, UnlabelledData, UnpairedData
from i2i.data.split import SPLITS, Split
from i2i.errors import UserError
from i2i.images import is_picture

WHERE_SIDES = ("{split}{side}", "{split}/{side}", "{side}/{split}")  # trainA, train/A, A/train
WHERE_CONDITIONS = ("{split}{side}", "{split}_{side}", "{split}/{side}", "{side}/{split}")  # trainmask, train_mask, ...

Side = dict[str, Path]  # relative name without suffix, which pairs the sides and orders them → file


def list_folder(spec: Pictures, root: Path, split: str) -> Split:
    """The pictures of `split` of a folder."""
    if not root.is_dir():
        raise UserError(f"data.root: {root} is no folder (seen from {Path.cwd()}). Expected:\n{_expected(spec)}")
    if isinstance(spec, LabelledData):
        return _labelled(spec, root, split)
    if isinstance(spec, UnlabelledData) or (isinstance(spec, PairedData) and spec.derive is not None):
        return _photos(spec, root, split)
    return _two_sided(spec, root, split)


def _photos(spec: Pictures, root: Path, split: str) -> Split:
    """One folder of pictures: train/..., or plain."""
    if _side_folders(root):  # the sides of pairs are not one collection
        raise UserError(_not_found(spec, root))
    found = {name: _pictures(root / name, deep=True) for name in SPLITS if (root / name).is_dir()}
    if "train" not in found:
        found = {"train": _pictures(root, deep=True)}
    side = _share(spec, root, split, found)
    return _split(split, root, [side], registered=isinstance(spec, PairedData))  # a derived side fits by its making


def _labelled(spec: LabelledData, root: Path, split: str) -> Split:
    """A folder per class, below train/ or directly below the root."""
    # A folder `train` that holds pictures itself is a class (of railway pictures, say), not a split.
    has_splits = any(path.is_dir() for path in _visible(root / "train"))
    homes = {name: root / name for name in SPLITS if (root / name).is_dir()} if has_splits else {"train": root}
    classes, found = _in_classes(homes)
    side = _share(spec, root, split, found)
    return _split(split, root, [side], labels=_labels(side, classes), classes=classes)


def _in_classes(homes: dict[str, Path]) -> tuple[tuple[str, ...], dict[str, Side]]:
    """The class folders of train, sorted, and the pictures in them for each split; other splits have no others."""
    classes = tuple(sorted({path.name for path in _visible(homes["train"]) if path.is_dir()}))
    found: dict[str, Side] = {}
    for name, home in homes.items():
        strange = sorted({path.name for path in _visible(home) if path.is_dir()} - set(classes))
        if strange:
            raise UserError(f"{home}: the classes {', '.join(strange[:5])} are not in {homes['train']}.")
        found[name] = {key: path for key, path in _pictures(home, deep=True).items() if "/" in key}
    return classes, found


def _labels(side: Side, classes: tuple[str, ...]) -> tuple[int, ...]:
    numbers = {name: number for number, name in enumerate(classes)}
    return tuple(numbers[key.split("/")[0]] for key in side)


def _two_sided(spec: Pictures, root: Path, split: str) -> Split:
    """Folders for a and b, or files that hold both side by side."""
    paired = isinstance(spec, PairedData)
    folders = _side_folders(root)
    if folders and isinstance(spec, UnpairedData) and spec.labels:
        classes, found_a = _in_classes({name: a for name, (a, _) in folders.items()})
        if not classes:
            raise UserError(f"{folders['train'][0]}: no class folders, and `labels: a` needs them:\n{_expected(spec)}")
        found_b = {name: _pictures(b, deep=True) for name, (_, b) in folders.items()}
        sides = [_share(spec, root, split, found_a), _share(spec, root, split, found_b)]
        registered = list(sides[0]) == list(sides[1])
        return _split(split, root, sides, labels=_labels(sides[0], classes), classes=classes, registered=registered)
    if folders:
        found_a = {name: _side(a, paired) for name, (a, _) in folders.items()}
        found_b = {name: _side(b, paired) for name, (_, b) in folders.items()}
        if paired:
            for name, (a, b) in folders.items():
                _check_partners(a, b, found_a[name], found_b[name], ", or use `layout: unpaired`")
        sides = [_share(spec, root, split, found_a), _share(spec, root, split, found_b)]
        registered = list(sides[0]) == list(sides[1])
        for condition in spec.condition if isinstance(spec, PairedData) else ():
            sides.append(_share(spec, root, split, _conditions(root, condition.name, folders, found_a)))
        return _split(split, root, sides, registered=registered)
    if not paired:
        raise UserError(_not_found(spec, root))
    if isinstance(spec, PairedData) and spec.condition:
        raise UserError(f"{root}: conditions need folders for the sides, trainA/ and trainB/, say; found none of both.")
    found = {name: _pictures(root / name) for name in SPLITS if (root / name).is_dir()}
    if not found.get("train"):
        found = {"train": _pictures(root)}
    return _split(split, root, [_share(spec, root, split, found)], registered=True, side_by_side=True)


def _side(folder: Path, paired: bool) -> Side:
    """The pictures of a side. Without pairs they may be in class folders, whose names are not asked for here."""
    return _pictures(folder) or ({} if paired else _pictures(folder, deep=True))


def _side_folders(root: Path) -> dict[str, tuple[Path, Path]]:
    """The folders of a and b for each split there is: {} if the root follows no two-folder layout."""
    for pattern in WHERE_SIDES:
        pairs = {
            s: (root / pattern.format(split=s, side="A"), root / pattern.format(split=s, side="B")) for s in SPLITS
        }
        there = {split: pair for split, pair in pairs.items() if pair[0].is_dir() and pair[1].is_dir()}
        if "train" in there:
            return there
    plain = (root / "A", root / "B")
    return {"train": plain} if plain[0].is_dir() and plain[1].is_dir() else {}


def _conditions(
    root: Path, name: str, folders: dict[str, tuple[Path, Path]], found_a: dict[str, Side]
) -> dict[str, Side]:
    """A condition's pictures for each split; every a has one of its name."""
    found = {}
    for split, (a, _) in folders.items():
        places = [root / pattern.format(split=split, side=name) for pattern in WHERE_CONDITIONS]
        if a == root / "A":  # held-out shares are taken from one folder of each
            places = [root / name]
        folder = next((place for place in places if place.is_dir()), None)
        if folder is None:
            expected = ", ".join(f"{place.relative_to(root)}/" for place in places)
            raise UserError(f"{root}: no folder for the condition '{name}' of {a}. Expected {expected}.")
        found[split] = _pictures(folder)
        _check_partners(a, folder, found_a[split], found[split])
    return found


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []


def _pictures(folder: Path, deep: bool = False) -> Side:
    """Pictures by relative name without suffix, sorted; `deep` looks into folders below."""
    side: Side = {}
    for name in sorted(_names(str(folder), deep)):
        path, key = folder / name, os.path.splitext(name)[0]
        if key in side:
            raise UserError(f"{path} and {side[key].name}: two pictures of one name. Rename or remove one of them.")
        side[key] = path
    return dict(sorted(side.items()))


def _names(folder: str, deep: bool, above: str = "") -> Iterator[str]:
    """Relative names of pictures, a/b.png. Plain strings: a folder of a million files is listed in seconds."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if is_picture(entry.name) and entry.is_file():
                yield above + entry.name
            elif deep and entry.is_dir(follow_symlinks=False):
                yield from _names(entry.path, deep, f"{above}{entry.name}/")


def _check_partners(a: Path, b: Path, side_a: Side, side_b: Side, hint: str = "") -> None:
    for here, there, lonely in ((a, b, side_a.keys() - side_b.keys()), (b, a, side_b.keys() - side_a.keys())):
        if lonely:
            few = ", ".join(sorted(lonely)[:5])
            raise UserError(
                f"{len(lonely)} pictures in {here} have no partner of equal name in {there}: {few}"
                f"{', ...' if len(lonely) > 5 else ''}. Add the partners, or remove these{hint}."
            )


def _share(spec: Pictures, root: Path, split: str, found: dict[str, Side]) -> Side:
    """The split's own folder if there is one, else its share of train; train loses what others were given."""
    if not found.get("train"):
        raise UserError(_not_found(spec, root))
    if split in found and split != "train":
        if not found[split]:
            raise UserError(
                f"{root}: the split '{split}' holds no pictures. Fill it, or remove it to hold out a share."
            )
        return found[split]
    train = found["train"]
    # Ordered by hash of the name: a picture added later does not reshuffle the others between the splits.
    shuffled = sorted(train, key=_hashed(spec.split.seed))
    held_out: dict[str, set[str]] = {}
    for name, fraction in (("test", spec.split.test), ("val", spec.split.val)):
        if name not in found:
            count = min(max(1, round(fraction * len(train))), len(shuffled) - 1) if fraction else 0
            held_out[name], shuffled = set(shuffled[:count]), shuffled[count:]
    held_out["train"] = set(shuffled)
    if not held_out[split]:
        raise UserError(
            f"{root} has no '{split}' pictures: no folder of that name, and "
            + (
                f"data.split.{split} is 0. Set it to 0.1, say."
                if not getattr(spec.split, split)
                else "too few to share."
            )
        )
    return {name: path for name, path in train.items() if name in held_out[split]}


def _hashed(seed: int) -> Callable[[str], bytes]:
    return lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest()


def _split(
    name: str,
    root: Path,
    sides: Sequence[Side],
    *,
    labels: tuple[int, ...] = (),
    classes: tuple[str, ...] = (),
    registered: bool = False,
    side_by_side: bool = False,
) -> Split:
    fingerprint, stamp = hashlib.sha256(), hashlib.sha256(str(root.resolve()).encode())
    start = len(str(root / "x")) - 1
    for side in sides:
        for path in side.values():
            state, within = path.stat(), str(path)[start:].replace(os.sep, "/")
            told = f"{within}\0{state.st_size}\n".encode()
            fingerprint.update(told)
            # A tool may set the time of the last change back (cp -p, tar, rsync); the inode's own time it cannot.
            stamp.update(told + f"{state.st_mtime_ns} {state.st_ctime_ns}\n".encode())
        fingerprint.update(b"\n")
        stamp.update(b"\n")
    files = tuple(tuple(side.values()) for side in sides)
    sums = (fingerprint.hexdigest(), stamp.hexdigest())
    return Split(name, root, files, labels, classes, registered, side_by_side, *sums)


def _expected(spec: Pictures) -> str:
    if isinstance(spec, LabelledData):
        lines = ["train/<class>/*.png (with val/ and test/ beside train/)", "<class>/*.png"]
    elif isinstance(spec, UnlabelledData) or (isinstance(spec, PairedData) and spec.derive is not None):
        lines = ["train/*.png (with val/ and test/ beside train/)", "*.png"]
    elif isinstance(spec, UnpairedData) and spec.labels:
        lines = ["trainA/<class>/*.png and trainB/*.png (with valA, valB, testA, testB)"]
        lines += ["A/<class>/*.png and B/*.png"]
    else:
        lines = [
            "trainA/*.png and trainB/*.png (with valA, valB, testA, testB)",
            "train/A and train/B",
            "A/train and B/train",
        ]
        lines += ["A/*.png and B/*.png"]
        if isinstance(spec, PairedData):
            lines += ["train/*.png, each twice as wide as high: a on the left, b on the right"]
    return "\n".join(f"  {line}" for line in lines)


def _not_found(spec: Pictures, root: Path) -> str:
    layout = spec.layout if hasattr(spec, "layout") else ""
    there = [f"{path.name}/" if path.is_dir() else path.name for path in _visible(root)]
    seen = ", ".join(there[:8]) + (f", ... ({len(there)} in all)" if len(there) > 8 else "") if there else "nothing"
    return f"{root}: no training pictures for `layout: {layout}`. Expected one of:\n{_expected(spec)}\nFound: {seen}"

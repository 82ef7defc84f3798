"""Folders → the list of a split's pictures, whichever of the field's layouts the folder follows."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from i2i.data import mixture
from i2i.data.datasets import root as dataset_root
from i2i.data.spec import Data, LabelledData, MixtureData, PairedData, Pictures, UnlabelledData
from i2i.errors import UserError
from i2i.images import is_picture

SPLITS = ("train", "val", "test")
WHERE_SIDES = ("{split}{side}", "{split}/{side}", "{side}/{split}")  # trainA, train/A, A/train


@dataclass(frozen=True)
class Split:
    """The pictures of one split, in a stable order.

    files: one tuple of paths per side that is read (one side for photos, classes and side-by-side files).
    labels: the class index of each picture, for the labelled layout.
    classes: class names, label 0 first. registered: item i of one side belongs to item i of the other.
    fingerprint: sha256 over relative names and sizes; two equal folders have equal ones, wherever they are.
    stamp: sha256 over this very folder's place, names, sizes and times: a change of any picture changes it.
    """

    name: str
    root: Path | None
    files: tuple[tuple[Path, ...], ...]
    labels: tuple[int, ...]
    classes: tuple[str, ...]
    registered: bool
    side_by_side: bool
    fingerprint: str
    stamp: str

    def __len__(self) -> int:
        return max(len(side) for side in self.files) if self.files else mixture.POINTS


Side = dict[str, Path]  # relative name without suffix, which pairs the sides and orders them → file


def open_split(spec: Data, split: str) -> Split:
    """List the pictures of `split` (train, val or test) of the folder or data set that the recipe names."""
    if split not in SPLITS:
        raise ValueError(f"expected one of {', '.join(SPLITS)}, got '{split}'")
    if isinstance(spec, MixtureData):
        told = hashlib.sha256(f"{spec.model_dump_json()} {split}".encode()).hexdigest()
        return Split(split, None, (), (), (), False, False, told, told)
    if spec.dataset is not None:
        root = dataset_root(spec.dataset)
    else:
        assert spec.root is not None  # the spec has one or the other
        root = spec.root.expanduser()
        if not root.is_dir():
            raise UserError(f"data.root: {root} is no folder (seen from {Path.cwd()}). Expected:\n{_expected(spec)}")
    if isinstance(spec, LabelledData):
        return _labelled(spec, root, split)
    if isinstance(spec, UnlabelledData) or (isinstance(spec, PairedData) and spec.derive is not None):
        return _photos(spec, root, split)
    return _two_sided(spec, root, split)


def has(spec: Data, split: str) -> bool:
    """Whether there are pictures in a split, of its own or as a share of train."""
    try:
        return len(open_split(spec, split)) > 0
    except UserError:
        return False


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
    classes = tuple(sorted({path.name for path in _visible(homes["train"]) if path.is_dir()}))
    found: dict[str, Side] = {}
    for name, home in homes.items():
        strange = sorted({path.name for path in _visible(home) if path.is_dir()} - set(classes))
        if strange:
            raise UserError(f"{home}: the classes {', '.join(strange[:5])} are not in {homes['train']}.")
        found[name] = {key: path for key, path in _pictures(home, deep=True).items() if "/" in key}
    side = _share(spec, root, split, found)
    labels = tuple(classes.index(key.split("/")[0]) for key in side)
    return _split(split, root, [side], labels=labels, classes=classes)


def _two_sided(spec: Pictures, root: Path, split: str) -> Split:
    """Folders for a and b, or files that hold both side by side."""
    paired = isinstance(spec, PairedData)
    folders = _side_folders(root)
    if folders:
        found_a = {name: _pictures(a) for name, (a, _) in folders.items()}
        found_b = {name: _pictures(b) for name, (_, b) in folders.items()}
        if paired:
            for name, (a, b) in folders.items():
                _check_partners(a, b, found_a[name], found_b[name])
        sides = [_share(spec, root, split, found_a), _share(spec, root, split, found_b)]
        registered = list(sides[0]) == list(sides[1])
        return _split(split, root, sides, registered=registered)
    if not paired:
        raise UserError(_not_found(spec, root))
    found = {name: _pictures(root / name) for name in SPLITS if (root / name).is_dir()}
    if not found.get("train"):
        found = {"train": _pictures(root)}
    return _split(split, root, [_share(spec, root, split, found)], registered=True, side_by_side=True)


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


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []


def _pictures(folder: Path, deep: bool = False) -> Side:
    """Pictures by relative name without suffix, sorted; `deep` looks into folders below."""
    files = (path for path in (folder.rglob("*") if deep else folder.iterdir()) if is_picture(path) and path.is_file())
    side: Side = {}
    for path in sorted(files, key=lambda path: path.relative_to(folder).as_posix()):
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in side:
            raise UserError(f"{path} and {side[name].name}: two pictures of one name. Rename or remove one of them.")
        side[name] = path
    return dict(sorted(side.items()))


def _check_partners(a: Path, b: Path, side_a: Side, side_b: Side) -> None:
    for here, there, lonely in ((a, b, side_a.keys() - side_b.keys()), (b, a, side_b.keys() - side_a.keys())):
        if lonely:
            few = ", ".join(sorted(lonely)[:5])
            raise UserError(
                f"{len(lonely)} pictures in {here} have no partner of equal name in {there}: {few}"
                f"{', ...' if len(lonely) > 5 else ''}. Add the partners, remove these, or use `layout: unpaired`."
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
    for side in sides:
        for path in side.values():
            state = path.stat()
            told = f"{path.relative_to(root).as_posix()}\0{state.st_size}\n".encode()
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

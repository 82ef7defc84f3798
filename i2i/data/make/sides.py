"""Pairs in one file, a on the left and b on the right, to folders of their own and back: no pixel changes.

Legend: h height, w width, c channels.
"""

from pathlib import Path

import numpy as np
from rich.console import Console

from i2i.data.crew import QUIET
from i2i.data.make.pixels import lossless, plain, put, stored
from i2i.data.make.places import SIDES, Item, Photo, items, photos, sides
from i2i.data.make.work import Made, fresh, run
from i2i.errors import UserError


def separate(root: Path, out: Path, *, force: bool = False, console: Console = QUIET) -> Made:
    """Files with both sides side by side → `out`/trainA and trainB (val, test), as PNG. The left half becomes A.

    Halves need not be square. Raises UserError when nothing can start.
    """
    fresh(out, force, root)

    def make(photo: Photo) -> int:
        picture = stored(photo.path, exact=True)
        for side, half in zip(SIDES, halves(picture.pixels), strict=True):
            put(lossless(out / f"{photo.split}{side}", photo.flat, half), half, plain(half, picture.kind), force)
        return 2

    return run("separating", photos(root, without=out), make, lambda photo: photo.path, out, console)


def join(root: Path, out: Path, *, force: bool = False, console: Console = QUIET) -> Made:
    """Folders trainA and trainB (or train/A, A/train, A) → `out`/train with both side by side, as PNG.

    Sides have to be square and of one size, or nobody could tell where one ends. A grey side becomes colour and 8 bits
    become 16 where the other side has more; both can be undone exactly. Conditions have no place there and are left
    out. Raises UserError when nothing can start.
    """
    fresh(out, force, root)
    folders = sides(root)
    if not folders:
        raise UserError(f"{root} has no two sides. Expected trainA/ and trainB/, train/A and train/B, A/train, or A/.")
    left_out = sorted({side for places in folders.values() for side in places} - set(SIDES))

    def make(item: Item) -> int:
        a, b = (stored(item.files[side], exact=True) for side in SIDES)
        both = beside(a.pixels, b.pixels)
        put(lossless(out / (item.split or ""), item.name, both), both, plain(both, b.kind), force)
        return 1

    note = f"Left out: {', '.join(left_out)}" if left_out else ""
    return run("joining", items(folders), make, lambda item: item.files["A"], out, console, note)


def halves(both: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """h 2w c → the left and the right h w c. UserError for an odd width."""
    width = both.shape[1]
    if width % 2:
        raise UserError(f"expected both sides in one picture, of an even width, got {width}×{both.shape[0]}.")
    return both[:, : width // 2], both[:, width // 2 :]


def beside(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Two squares h h c → h 2h c, with the channels and the depth that hold both. UserError for others."""
    sizes = [f"{side.shape[1]}×{side.shape[0]}" for side in (a, b)]
    if a.shape[:2] != b.shape[:2]:
        raise UserError(f"its two sides differ in size: {sizes[0]} and {sizes[1]}.")
    if a.shape[0] != a.shape[1]:
        raise UserError(f"its sides are {sizes[0]}, and only squares can be joined; see `i2i data make resize`.")
    if a.dtype != b.dtype:
        a, b = (side if side.dtype == np.uint16 else side.astype(np.uint16) * np.uint16(257) for side in (a, b))
    if a.shape[2] != b.shape[2]:
        a, b = _alike(a, b)
    return np.concatenate([a, b], axis=1)


def _alike(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Grey becomes colour, and what is opaque says so, where the other side is or has more."""
    counts = {a.shape[2], b.shape[2]}
    if max(counts) > 4:
        raise UserError(f"its two sides have {a.shape[2]} and {b.shape[2]} channels.")
    colour, transparent = max(counts) > 2, bool(counts & {2, 4})

    def promoted(side: np.ndarray) -> np.ndarray:
        opaque = np.full((*side.shape[:2], 1), np.iinfo(side.dtype).max, side.dtype)
        light, alpha = (side[:, :, :-1], side[:, :, -1:]) if side.shape[2] in (2, 4) else (side, opaque)
        light = np.repeat(light, 3, axis=2) if colour and light.shape[2] == 1 else light
        return np.concatenate([light, alpha], axis=2) if transparent else light

    return promoted(a), promoted(b)

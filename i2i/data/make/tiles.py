"""Large pictures cut into tiles; the sides of a pair are cut at the same places. Legend: h height, w width."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console

from i2i.data.crew import QUIET, each
from i2i.data.make.bands import WHOLE, Bands, bands
from i2i.data.make.pixels import lossless, plain, put
from i2i.data.make.places import SIDES, items, named, sides, unique
from i2i.data.make.work import Made, fresh, pictures
from i2i.errors import UserError

RESTS = ("drop", "keep", "shift")
ALIKE = 8  # levels of 255: what differs less from the background belongs to it


@dataclass(frozen=True)
class Grid:
    """Where tiles are.

    rest: what becomes of the strip at the right and the bottom that no whole tile fits in: it is dropped, kept in
    smaller tiles, or covered by tiles shifted back to the border. content: the least share of a tile that is not its
    background, the median colour.
    """

    size: int = 256  # pixels
    stride: int | None = None  # pixels from one tile to the next; None: the size
    rest: str = "drop"
    content: float = 0.0

    def __post_init__(self) -> None:
        if self.rest not in RESTS or self.size < 1 or self.step < 1 or not 0 <= self.content <= 1:
            raise UserError(
                f"expected a size and a stride above 0, a rest of {', '.join(RESTS)} and a content of 0 to 1, "
                f"got {self.size}, {self.stride}, {self.rest} and {self.content}."
            )

    @property
    def step(self) -> int:
        return self.size if self.stride is None else self.stride

    def along(self, length: int) -> list[tuple[int, int]]:
        """(begin, end) of the tiles along a side."""
        whole = [(begin, begin + self.size) for begin in range(0, length - self.size + 1, self.step)]
        covered = whole[-1][1] if whole else 0
        if self.rest == "shift" and whole and covered < length:
            return [*whole, (length - self.size, length)]
        if self.rest == "keep" and covered < length:
            first = whole[-1][0] + self.step if whole else 0
            return whole + [(begin, min(begin + self.size, length)) for begin in range(first, length, self.step)]
        return whole


@dataclass(frozen=True)
class Part:
    """A picture and the folder of its tiles. `counts`: whether a tile needs content in it."""

    bands: Bands
    folder: Path
    counts: bool = True


@dataclass(frozen=True)
class Sheet:
    """Pictures of one size that are cut alike: one, or the sides of a pair and their conditions."""

    path: Path
    name: str
    parts: tuple[Part, ...]

    @property
    def size(self) -> tuple[int, int]:
        """Height, width."""
        return self.parts[0].bands.kind.height, self.parts[0].bands.kind.width


@dataclass(frozen=True)
class Row:
    """One row of tiles."""

    sheet: Sheet
    top: int
    bottom: int


def tiles(
    root: Path,
    out: Path,
    grid: Grid | None = None,
    *,
    whole: int = WHOLE,
    force: bool = False,
    console: Console = QUIET,
) -> Made:
    """Tiles of all pictures below `root`, in the same tree below `out`: field.tif gives field_y00512_x00256.png.

    Nothing is lost: PNG, or TIFF for more than four channels; palettes of segmentation maps stay. Of a pair a tile is
    kept if both sides have enough content. `whole`: pixels beyond which TIFF and .npy are read in bands.
    """
    begin, plan = time.monotonic(), grid or Grid()
    fresh(out, force, root)
    sheets: list[Sheet] = []
    skipped: list[tuple[Path, str]] = []
    for (path, _, _), found in each(
        "looking at sizes", _places(root, out), lambda place: _sheet(*place, whole), console
    ):
        if isinstance(found, str):
            skipped.append((path, found.removeprefix(f"{path}: ")))
        elif not (plan.along(found.size[0]) and plan.along(found.size[1])):
            size = f"{found.size[1]}×{found.size[0]}"
            skipped.append((path, f"it is {size}, smaller than a tile; `--rest keep` takes it as it is"))
        else:
            sheets.append(found)
    made = {sheet.path: 0 for sheet in sheets}
    broken: dict[Path, str] = {}
    total = sum(len(plan.along(sheet.size[0])) for sheet in sheets)
    for row, written in each("cutting", _rows(sheets, plan), lambda row: _cut(row, plan, force), console, total):
        if isinstance(written, str):
            broken[row.sheet.path] = written.removeprefix(f"{row.sheet.path}: ")
        else:
            made[row.sheet.path] += written
    used = len(made) - len(broken)
    return Made(out, used, sum(made.values()), (*skipped, *broken.items()), time.monotonic() - begin)


def content(tile: np.ndarray, tolerance: int = ALIKE) -> float:
    """Share of h w c pixels that differ from the median of their channel by more than `tolerance` levels of 255."""
    scale = 1 if tile.dtype == np.uint8 else 257
    apart = np.zeros(tile.shape[:2], bool)
    for plane in np.moveaxis(tile, 2, 0):
        counted = np.cumsum(np.bincount(plane.ravel()))  # many times faster than sorting
        median = int(np.searchsorted(counted, counted[-1] / 2))
        apart |= np.abs(plane.astype(np.int32) - median) > tolerance * scale
    return float(apart.mean())


def _places(root: Path, out: Path) -> list[tuple[Path, str, tuple[tuple[Path, Path, bool], ...]]]:
    """(file to name it by, name of its tiles, ((file, folder, counts), ...)) of each sheet."""
    folders = sides(root)
    if folders and _all_partners(folders):
        return [
            (
                item.files["A"],
                item.name,
                tuple((path, out / path.parent.relative_to(root), side in SIDES) for side, path in item.files.items()),
            )
            for item in items(folders)
        ]
    found = pictures(root, without=out)
    unique((path.relative_to(root).with_suffix("").as_posix(), path) for path in found)
    return [(path, path.stem, ((path, out / path.parent.relative_to(root), True),)) for path in found]


def _all_partners(folders: dict[str | None, dict[str, Path]]) -> bool:
    """Whether these are pairs: every name is on all sides."""
    return all(len({frozenset(named(folder)) for folder in places.values()}) == 1 for places in folders.values())


def _sheet(path: Path, name: str, files: Sequence[tuple[Path, Path, bool]], whole: int) -> Sheet:
    sheet = Sheet(path, name, tuple(Part(bands(file, whole), folder, counts) for file, folder, counts in files))
    sizes = [f"{part.bands.kind.width}×{part.bands.kind.height}" for part in sheet.parts]
    if len(set(sizes)) > 1:
        raise UserError(f"{path}: its sides differ in size: {', '.join(sizes)}.")
    return sheet


def _rows(sheets: Sequence[Sheet], grid: Grid) -> Iterator[Row]:
    """Rows of tiles. A sheet's pixels are held by its rows alone, and are gone with the last of them."""
    for sheet in sheets:
        parts = tuple(replace(part, bands=replace(part.bands)) for part in sheet.parts)
        for top, bottom in grid.along(sheet.size[0]):
            yield Row(replace(sheet, parts=parts), top, bottom)


def _cut(row: Row, grid: Grid, force: bool) -> int:
    """Writes a row's tiles; returns how many."""
    strips = [part.bands.rows(row.top, row.bottom) for part in row.sheet.parts]
    written = 0
    for left, right in grid.along(row.sheet.size[1]):
        pieces = [strip[:, left:right] for strip in strips]
        if grid.content and not all(
            content(piece, 0 if part.bands.like.palette else ALIKE) >= grid.content
            for part, piece in zip(row.sheet.parts, pieces, strict=True)
            if part.counts
        ):
            continue
        for part, piece in zip(row.sheet.parts, pieces, strict=True):
            target = lossless(part.folder, f"{row.sheet.name}_y{row.top:05}_x{left:05}", piece)
            put(target, piece, plain(piece, part.bands.like), force)
            written += 1
    return written

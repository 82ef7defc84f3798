"""How an embedded data set becomes a folder: unpack a zip, cut tiles from world maps, write arrays out as pictures."""

import math
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np

from i2i.errors import UserError
from i2i.images import is_picture, read, write
from i2i.spec import Spec

MAX_MEMBERS = 200_000
MAX_MEMBER = 2**26  # bytes of one unpacked file
MAX_TOTAL = 2**31  # bytes of all of them


class Zip(Spec):
    """Unpack the pictures of an archive as they are."""

    kind: Literal["zip"]
    file: str

    def sources(self) -> list[str]:
        """Files it is made from, relative to the folder of the cards."""
        return [self.file]

    def prepare(self, cards: Path, folder: Path) -> None:
        """Make `folder`, which does not exist yet."""
        unzip(cards / self.file, folder)


class Cut(Spec):
    """Some tiles of a map, in one folder."""

    folder: str
    map: str  # a key of the card's maps
    tile: int  # side, pixels
    stride: int  # pixels from one tile to the next
    longitudes: list[tuple[float, float]]  # bands, degrees east; no tile crosses a band's edge


class Tiles(Spec):
    """Registered equirectangular world maps, cut into tiles that hold enough land."""

    kind: Literal["tiles"]
    maps: dict[str, str]  # all of one size, twice as wide as high
    water: str  # mask of the same world at any size, white is water
    latitudes: tuple[float, float] = (72.0, -56.0)  # degrees north, top and bottom
    land: float = 0.25  # least share of land in a tile
    cuts: list[Cut]

    def sources(self) -> list[str]:
        """Files it is made from, relative to the folder of the cards."""
        return [*self.maps.values(), self.water]

    def prepare(self, cards: Path, folder: Path) -> None:
        """Make `folder`, which does not exist yet."""
        maps = {key: read(cards / file) for key, file in self.maps.items()}
        water = read(cards / self.water, channels=1)[:, :, 0] / 255
        for cut in self.cuts:
            pixels = maps[cut.map]
            for left, top in corners(cut, pixels.shape[1], self.latitudes, water, self.land):
                name = _place(left, top, pixels.shape[1])
                write(folder / cut.folder / f"{name}.png", pixels[top : top + cut.tile, left : left + cut.tile])


class Npz(Spec):
    """Arrays of grey or colour pictures (n h w [c], uint8) with labels (n,) → a folder per class."""

    kind: Literal["npz"]
    file: str
    splits: dict[str, tuple[str, str]]  # split → the names of its pictures and labels
    classes: list[str]

    def sources(self) -> list[str]:
        """Files it is made from, relative to the folder of the cards."""
        return [self.file]

    def prepare(self, cards: Path, folder: Path) -> None:
        """Make `folder`, which does not exist yet."""
        with np.load(cards / self.file, allow_pickle=False) as arrays:
            for split, (pictures, labels) in self.splits.items():
                for index, (picture, label) in enumerate(zip(arrays[pictures], arrays[labels], strict=True)):
                    write(folder / split / self.classes[label] / f"{index:05}.png", picture)


def unzip(archive: Path, folder: Path) -> None:
    """Copy an archive's pictures below `folder`. UserError if a name leads out of it, if it holds links or devices, two
    names that are one file on some platforms, or sizes beyond all reason, and for what is no whole zip archive."""
    total, names = 0, set()
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [member for member in opened.infolist() if not member.is_dir() and is_picture(member.filename)]
            if len(members) > MAX_MEMBERS:
                raise UserError(f"{archive}: {len(members):,} files, more than the {MAX_MEMBERS:,} that are unpacked.")
            for member in members:
                _check_member(archive, member)
                if (folded := member.filename.casefold()) in names:
                    raise UserError(f"{archive}: {member.filename!r} is there twice, but for capitals.")
                names.add(folded)
                target = folder / PurePosixPath(member.filename)
                target.parent.mkdir(parents=True, exist_ok=True)
                with opened.open(member) as packed, target.open("xb") as file:
                    # The sizes in an archive's headers are claims; count what really comes out.
                    content = packed.read(MAX_MEMBER + 1)
                    total += len(content)
                    if len(content) > MAX_MEMBER or total > MAX_TOTAL:
                        raise UserError(
                            f"{archive}: unpacks to over {MAX_MEMBER:,} bytes a file or {MAX_TOTAL:,} in all."
                        )
                    file.write(content)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError) as problem:
        raise UserError(f"{archive}: not a whole zip archive that can be read ({problem}).") from None


def _check_member(archive: Path, member: zipfile.ZipInfo) -> None:
    name = PurePosixPath(member.filename)
    if name.is_absolute() or ".." in name.parts or "\\" in member.filename or ":" in member.filename:
        raise UserError(f"{archive}: the file name {member.filename!r} leads out of the archive's own folder.")
    mode = member.external_attr >> 16  # as Unix wrote it, 0 from elsewhere
    if mode and not stat.S_ISREG(mode) and stat.S_IFMT(mode):
        raise UserError(f"{archive}: {member.filename!r} is a link or a device, and only files are unpacked.")


def corners(
    cut: Cut, width: int, latitudes: tuple[float, float], water: np.ndarray, land: float
) -> list[tuple[int, int]]:
    """(left, top) in pixels of every tile with enough land, on a map `width` wide; `water` is a mask h w in [0, 1]."""
    top, bottom = (int((90 - latitude) / 360 * width) for latitude in latitudes)
    found = []
    for west, east in cut.longitudes:
        first, last = math.ceil((west + 180) / 360 * width), math.floor((east + 180) / 360 * width) - cut.tile
        for y in range(top, bottom - cut.tile + 1, cut.stride):
            for x in range(first, last + 1, cut.stride):
                scale = water.shape[1] / width
                rows = slice(int(y * scale), max(int((y + cut.tile) * scale), int(y * scale) + 1))
                columns = slice(int(x * scale), max(int((x + cut.tile) * scale), int(x * scale) + 1))
                if 1 - water[rows, columns].mean() >= land:
                    found.append((x, y))
    return found


def _place(left: int, top: int, width: int) -> str:
    """The tile's north-western corner, degrees: W067.50_N12.30."""
    east, north = left / width * 360 - 180, 90 - top / width * 360
    return f"{'E' if east >= 0 else 'W'}{abs(east):06.2f}_{'N' if north >= 0 else 'S'}{abs(north):05.2f}"

"""How an embedded data set becomes a folder: unpack a zip, cut tiles from world maps, write arrays out as pictures."""

import math
from pathlib import Path
from typing import Literal

import numpy as np

from i2i.data.fetching.unpack import unpack
from i2i.images import read, write
from i2i.spec import Spec


class Zip(Spec):
    """Unpack the pictures of an archive as they are."""

    kind: Literal["zip"]
    file: str

    def sources(self) -> list[str]:
        """Files it is made from, relative to the folder of the cards."""
        return [self.file]

    def prepare(self, cards: Path, folder: Path) -> None:
        """Make `folder`, which does not exist yet."""
        unpack(cards / self.file, folder)


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

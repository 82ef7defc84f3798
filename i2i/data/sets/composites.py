"""Digits in the street: arrays of grey glyphs laid in colour over crops of a photograph, beside plain ones.

Side a is what a camera might meet: any colour on any ground, turned, moved and scaled; its class folders say what can
be read. Side b are other glyphs of the same array as they are, light on black. In val and test both sides are made from
the same glyphs under equal names: the truth that training never sees.

Shapes: h w of a glyph as stored, s side of a picture; light is in [0, 1] until it is written.
"""

from pathlib import Path
from typing import Literal

import numpy as np

from i2i.images import read, write
from i2i.spec import Spec

DRY = 0.4  # least share of land under a glyph: the sea is one colour
CLEAR = 0.35  # least difference of brightness between a glyph and what lies under it, before it fades


class Composites(Spec):
    """`glyphs` as Npz has them, over a registered world map; `held_out` training glyphs of each class are val."""

    kind: Literal["composites"]
    glyphs: str  # an npz with (train|test)_images, n h w uint8, and ..._labels, n
    photo: str  # a picture twice as wide as high, a world map
    water: str  # mask of the same world at any size, white is water
    classes: list[str]
    size: int = 16
    each: int = 3  # pictures of side a that are made of a training glyph
    held_out: int = 10
    seed: int = 0

    def sources(self) -> list[str]:
        """Files it is made from, relative to the folder of the cards."""
        return [self.glyphs, self.photo, self.water]

    def prepare(self, cards: Path, folder: Path) -> None:
        """Make `folder`, which does not exist yet."""
        photo = read(cards / self.photo, 3) / 255
        water = read(cards / self.water, 1)[:, :, 0] / 255
        rng = np.random.default_rng(self.seed)
        with np.load(cards / self.glyphs, allow_pickle=False) as arrays:
            told = {split: (arrays[f"{split}_images"] / 255, arrays[f"{split}_labels"]) for split in ("train", "test")}
        glyphs, labels = told["train"]
        of_class = [np.flatnonzero(labels == number) for number in range(len(self.classes))]
        val = np.concatenate([found[: self.held_out] for found in of_class])
        rest = np.concatenate([found[self.held_out :] for found in of_class])

        def on_photo(glyph: np.ndarray) -> np.ndarray:
            return laid_over(ground(photo, water, self.size, rng), moved(glyph, self.size, rng), rng)

        def put(place: str, pixels: np.ndarray) -> None:
            write(folder / f"{place}.png", (pixels * 255).round().astype(np.uint8))

        for index in rest[::2]:  # half of each class for either side: no glyph is on both
            for turn in range(self.each):
                put(f"trainA/{self.classes[labels[index]]}/{index:05}_{turn}", on_photo(glyphs[index]))
        for index in rest[1::2]:
            put(f"trainB/{index:05}", plain(glyphs[index], self.size)[:, :, None])
        for split, chosen in (("val", val), ("test", np.arange(len(told["test"][1])))):
            glyphs, labels = told["test"] if split == "test" else told["train"]
            for index in chosen:
                name = f"{self.classes[labels[index]]}/{index:05}"
                put(f"{split}A/{name}", on_photo(glyphs[index]))
                put(f"{split}B/{name}", plain(glyphs[index], self.size)[:, :, None])


def plain(glyph: np.ndarray, size: int) -> np.ndarray:  # h w → s s
    """Enlarged by straight lines between pixels."""
    from scipy.ndimage import zoom

    large: np.ndarray = zoom(glyph, size / np.array(glyph.shape), order=1, mode="nearest", grid_mode=True)
    return large.clip(0, 1)


def moved(glyph: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:  # h w → s s
    """Turned by up to 9 degrees, scaled by .8 to 1, and moved by up to a tenth of the side."""
    from scipy.ndimage import affine_transform

    large = plain(glyph, size)
    angle, scale = rng.uniform(-0.16, 0.16), rng.uniform(0.8, 1.0)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / scale
    middle = np.full(2, (size - 1) / 2)
    offset = middle - turn @ (middle + rng.uniform(-size / 10, size / 10, 2))
    there: np.ndarray = affine_transform(large, turn, offset, order=1)
    return there.clip(0, 1)


def ground(photo: np.ndarray, water: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:  # s s 3
    """A crop of the map with land in it, each channel stretched to a range of its own, and mirrored at random."""
    height, width = photo.shape[:2]
    scale = water.shape[1] / width
    while True:
        top, left = int(rng.integers(height // 8, height * 6 // 8)), int(rng.integers(width - size))
        rows, columns = (slice(int(at * scale), int((at + size) * scale) + 1) for at in (top, left))
        if 1 - water[rows, columns].mean() >= DRY:
            break
    crop = photo[top : top + size, left : left + size]
    low, high = crop.min((0, 1)), crop.max((0, 1))
    bottom = rng.uniform(0.0, 0.4, 3)
    crop = bottom + (crop - low) / np.maximum(high - low, 0.05) * rng.uniform(0.3, 0.6, 3)
    return crop[:, :: int(rng.choice([-1, 1]))].clip(0, 1)


def laid_over(below: np.ndarray, glyph: np.ndarray, rng: np.random.Generator) -> np.ndarray:  # s s 3, s s → s s 3
    """The glyph in one colour, lighter or darker than what is under it."""
    share = glyph[:, :, None]
    under = (below.mean(2) * glyph).sum() / max(glyph.sum(), 1e-6)
    while True:
        colour = rng.uniform(0, 1, 3)
        if abs(colour.mean() - under) >= CLEAR:
            break
    return (below + (colour - below) * share).clip(0, 1)

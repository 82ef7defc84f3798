"""Photos → pairs of drawing and photo, ready to train on."""

from pathlib import Path

import numpy as np
from rich.console import Console

from i2i.data.crew import QUIET
from i2i.data.drawing import Hand, drawn
from i2i.data.make.pixels import photo, plain, put
from i2i.data.make.places import Photo, carried, photos, seed_of
from i2i.data.make.work import Made, fresh, run


def sketches(
    root: Path,
    out: Path,
    hand: Hand,
    *,
    seed: int = 0,
    link: bool = False,
    force: bool = False,
    console: Console = QUIET,
) -> Made:
    """`out`/trainA holds a drawing of each photo, trainB the photo itself, untouched; likewise val and test.

    Folders below a split become part of the names: cats/1.jpg is cats_1. Each drawing depends on its photo, its name
    and the seed alone. `link`: hard links to the photos in place of copies. Raises UserError when nothing can start.
    """
    fresh(out, force, root)

    def make(found: Photo) -> int:
        drawing = drawn(photo(found.path), hand, np.random.default_rng(seed_of(seed, found.name)))
        carried(found.path, out / f"{found.split}B" / f"{found.flat}{found.path.suffix}", force, link)
        put(out / f"{found.split}A" / f"{found.flat}.png", drawing, plain(drawing), force)
        return 2

    return run("drawing", photos(root, without=out), make, lambda found: found.path, out, console)

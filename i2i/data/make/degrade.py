"""Photos → pairs of a damaged picture and its original: colourisation, restoration, super-resolution, inpainting."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from i2i.data.crew import QUIET
from i2i.data.make.damage import Damage, damaged
from i2i.data.make.pixels import lossless, plain, put, seen
from i2i.data.make.places import Photo, carried, photos, seed_of
from i2i.data.make.work import Made, fresh, run
from i2i.errors import UserError


def degrade(
    root: Path,
    out: Path,
    kinds: Sequence[Damage],
    *,
    seed: int = 0,
    link: bool = False,
    force: bool = False,
    console: Console = QUIET,
) -> Made:
    """`out`/trainA holds a damaged version of each picture in its depth, trainB the picture itself, untouched; likewise
    val and test. Holes are kept in trainmask, white where something is missing, a condition for training.

    Damages follow each other in the order of `kinds`. What happens to a picture depends on its name and the seed alone.
    `link`: hard links to the originals in place of copies. Raises UserError when nothing can start.
    """
    if not kinds:
        raise UserError("give at least one --kind of damage.")
    if [damage.kind for damage in kinds].count("mask") > 1:
        raise UserError("there is one mask for each picture; give mask once.")
    fresh(out, force, root)

    def make(photo: Photo) -> int:
        picture = seen(photo.path)
        worse, mask = damaged(picture.pixels, kinds, np.random.default_rng(seed_of(seed, photo.name)))
        carried(photo.path, out / f"{photo.split}B" / f"{photo.flat}{photo.path.suffix}", force, link)
        put(lossless(out / f"{photo.split}A", photo.flat, worse), worse, plain(worse, picture.kind), force)
        if mask is not None:
            put(out / f"{photo.split}mask" / f"{photo.flat}.png", mask, plain(mask), force)
        return 2 + (mask is not None)

    return run("degrading", photos(root, without=out), make, lambda photo: photo.path, out, console)

"""Weights of other toolkits → models of ours. Files are opened in `opening`, networks recognised in `generators`."""

import hashlib
import tempfile
from pathlib import Path
from typing import cast

from i2i import store, zoo
from i2i.errors import UserError
from i2i.foreign.generators import recognise
from i2i.foreign.opening import MOST, about, weights
from i2i.models.imported import Channels, Recipe
from i2i.nets.blocks import TestStatistics

__all__ = ["import_weights"]


def import_weights(
    file: Path, name: str, *, statistics: str = "picture", force: bool = False, most: int = MOST
) -> Path:
    """Makes a model of a file of weights, known by `name` from then on; returns its model file.

    file: a generator of pytorch-CycleGAN-and-pix2pix (resnet_6blocks, resnet_9blocks, unet_128, unet_256) or of CUT
    (resnet, with or without antialiasing), as torch.save or safetensors wrote it; the architecture is told from it.

    statistics: what batch norms use, where the network has them. `picture`, the statistics of the picture itself, is
    what the test.py of pytorch-CycleGAN-and-pix2pix does, and what its Pix2Pix was trained with at batch size 1;
    `running`, the averages over training, is its `--eval`. Its test.py also keeps dropout on without `--eval`, so that
    each answer differs a little; here dropout is off, and a picture has one answer.

    force: replaces a model of that name. most: bytes that the file may have, and may unpack to.
    Raises UserError for a bad name, one that is taken, and a file that is no such generator; nothing in it is run.
    """
    if statistics not in ("picture", "running"):
        raise UserError(f"There are no statistics {statistics!r}. Known: picture, running.")
    taken = store.folder() / store.check_name(name) / store.FILE
    if taken.exists() and not force:
        raise UserError(f"There is a model {name!r} already ({taken}). Choose another, or use --force.")
    found = weights(file, most)
    try:
        known = recognise(found, cast(TestStatistics, statistics))
    except UserError as problem:
        raise about(file, problem) from None
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    inputs, outputs = int(known.network.inputs), int(known.network.outputs)  # type: ignore[arg-type]
    settings = Recipe(
        model="imported",
        generator=known.generator,
        channels=Channels(a=inputs, b=outputs),
        toolkit=known.toolkit,
        source=file.stem,
        sha256=digest,
    )
    with tempfile.TemporaryDirectory() as temporary:
        made = Path(temporary) / store.FILE
        zoo.save(made, {"a2b": known.network}, settings, 0, "")
        return store.register(made, name)

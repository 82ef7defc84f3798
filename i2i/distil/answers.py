"""The teacher's answers, written once as a paired data set in the student's run folder."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from i2i.cost import say
from i2i.data import Batches, Split, fixed, has
from i2i.data.looks import palette
from i2i.data.make.pixels import lossless, plain, put
from i2i.data.reading import streams
from i2i.data.spec import Look, Palette, depth
from i2i.distil.asking import Asked
from i2i.distil.teacher import Teacher
from i2i.errors import UserError
from i2i.files import atomically
from i2i.translation import COLUMNS as BAR

LESSONS, LIST = "teacher", "lessons.json"  # in the run's folder, in that
WINDOWS = 4096  # that a teacher answers, where its training pictures are fewer
BATCH = 16  # pictures at a time


def answer_all(
    place: Path, teacher: Teacher, asked: Asked, split: Split, windows: int, most: int, console: Console
) -> None:
    """Writes the pairs into the folder `place`: different windows of the training split, and up to `most` pictures of
    the val split as they are tested. Goes on where it was stopped. UserError if it holds those of something else."""
    device, length = teacher.translate.device, streams(asked, split)[teacher.side(asked)]
    key: dict[str, Any] = {
        "teacher": teacher.weights,
        "direction": teacher.direction,
        "training pictures": split.fingerprint,
        "data": asked.model_dump_json(exclude={"workers", "cache"}),
        "windows": max(windows, length),
    }
    path, written = place / LIST, 0
    told = json.loads(path.read_text("utf-8")) if path.is_file() else key
    if other := [word for word in key if told.get(word) != key[word]]:
        raise UserError(
            f"{place} holds the answers of another distillation (different: {', '.join(other)}). Give this one its own "
            f"folder with --run, or move the old one away."
        )
    if "written" in told:
        return
    tell(path, key)  # from here on the folder is this teacher's
    if has(asked, "val"):
        tested = teacher.inputs(fixed(asked, "val", most, device), asked)
        for first in range(0, len(tested), BATCH):
            put_pairs(place, "val", first, tested[first : first + BATCH], None, teacher, asked.bits)
    with Progress(*BAR, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("the teacher's answers", total=key["windows"])
        for x in windows_of(asked, teacher, key["windows"], 2 * length, console):
            put_pairs(place, "train", written, x, None, teacher, asked.bits)
            written += len(x)
            bar.update(task, completed=written)
    tell(path, {**key, "written": written})


def windows_of(asked: Asked, teacher: Teacher, count: int, patience: int, console: Console) -> Iterator[Tensor]:
    """n c h w: inputs as the teacher has learnt from them, each once, until there are `count`, or none of the last
    `patience` was new. The stream is keyed: what was drawn before a stop is drawn again after it."""
    batches = Batches(asked, "train", BATCH, 0, teacher.translate.device, warn=lambda line: say(console, line))
    seen: set[bytes] = set()
    stale = 0
    try:
        while len(seen) < count and stale < patience:
            x, new = teacher.inputs(next(batches), asked), []
            for row, window in enumerate(x.cpu().numpy()):
                digest = hashlib.blake2b(window.tobytes(), digest_size=16).digest()
                stale += 1
                if digest not in seen and len(seen) < count:
                    seen.add(digest)
                    new.append(row)
                    stale = 0
            if new:
                yield x[new]
    finally:
        batches.close()


def put_pairs(place: Path, split: str, first: int, x: Tensor, y: Tensor | None, teacher: Teacher, bits: int) -> None:
    """Writes inputs n c h w, and y or else the teacher's answers, as pictures `first`, ... into {split}A, {split}B and
    {split}CONDITION; nothing if they are there. The answers are to the pictures as they will be read again."""
    names = [f"{first + i:07}" for i in range(len(x))]
    if any((place / f"{split}B").glob(f"{names[-1]}.*")):  # written last
        return
    looks = list(teacher.looks.values())
    planes = [as_pixels(part, look, bits) for part, look in zip(x.split([*map(depth, looks)], 1), looks, strict=True)]
    if y is None:
        top = (2**bits - 1) / 2
        read = [((part + 1) * top).round() / top - 1 if isinstance(look, int) else part
                for part, look in zip(x.split([*map(depth, looks)], 1), looks, strict=True)]  # fmt: skip
        y = teacher.translate.forward(torch.cat(read, dim=1))
    planes.append(as_pixels(y, teacher.answer, bits))
    for i, stem in enumerate(names):
        for folder, pictures in zip((*teacher.looks, "B"), planes, strict=True):
            pixels = pictures[i]
            put(lossless(place / f"{split}{folder}", stem, pixels), pixels, plain(pixels), force=True)


def as_pixels(x: Tensor, look: Look, bits: int) -> np.ndarray:
    """n c h w → n h w c as files hold it: uint8 or uint16, class numbers, or the colours of classes."""
    if isinstance(look, int):
        top = 2**bits - 1
        values = ((x + 1) * (top / 2)).round().clamp(0, top).permute(0, 2, 3, 1).cpu().numpy()
        return values.astype(np.uint8 if bits == 8 else np.uint16)
    numbers = x.argmax(1).cpu().numpy()
    return palette(look)[numbers] if isinstance(look, Palette) else numbers[..., None].astype(np.uint8)


def tell(path: Path, told: Mapping[str, Any]) -> None:
    atomically(path, lambda temporary: temporary.write_text(json.dumps(told, indent=2), "utf-8"))

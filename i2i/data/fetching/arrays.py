"""Sets that are published as arrays, through torchvision's readers → a folder of PNG files for each class."""

import gzip
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from i2i.data.fetching.unpack import COPY, BadArchive, Unpacked, unpack
from i2i.data.sets.cards import Archive
from i2i.images import write

MOST = 2**28  # bytes of one unpacked file; the largest is 47 MB


def write_out(
    archive: Archive,
    files: list[Path],
    folder: Path,
    scratch: Path,
    progress: Callable[[int, int | None], object] = lambda done, total: None,
) -> Unpacked:
    """Makes `folder` of the downloaded files: train/<class>/00000.png, ..., test/...; `scratch` is an empty folder that
    is thrown away afterwards. BadArchive if they are not what torchvision reads."""
    import torchvision.datasets

    assert archive.reader is not None
    if archive.reader == "CIFAR10":
        unpack(files[0], scratch, wanted=lambda name: "batch" in name)
    else:
        raw = scratch / archive.reader / "raw"
        raw.mkdir(parents=True)
        for file in files:
            _gunzip(file, raw / file.name.removesuffix(".gz"))
    reader = getattr(torchvision.datasets, archive.reader)
    written = size = 0
    splits = {}
    for split in ("train", "test"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                # CIFAR-10 comes pickled: its reader checks each file's own sum before it opens it.
                read = reader(str(scratch), train=split == "train", download=False)
        except (RuntimeError, ValueError, AssertionError, KeyError) as problem:
            raise BadArchive(f"{files[0].parent}: torchvision cannot read these files ({problem}).") from None
        splits[split] = np.asarray(read.data), np.asarray(read.targets)
    done, total = 0, sum(pictures.nbytes for pictures, _ in splits.values())
    for split, (pictures, labels) in splits.items():
        for index, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
            path = folder / split / archive.classes[int(label)] / f"{index:05}.png"
            write(path, picture)
            written, size = written + 1, size + path.stat().st_size
            progress(done := done + picture.nbytes, total)
    return Unpacked(written, size)


def _gunzip(packed: Path, target: Path) -> None:
    left = MOST
    try:
        with gzip.open(packed) as source, target.open("xb") as file:
            while piece := source.read(COPY):
                left -= len(piece)
                if left < 0:
                    raise BadArchive(f"{packed}: unpacks to over {MOST:,} bytes, which no set of these does.")
                file.write(piece)
    except (gzip.BadGzipFile, zlib.error, EOFError) as problem:
        raise BadArchive(f"{packed}: not a whole gz file that can be read ({problem}).") from None

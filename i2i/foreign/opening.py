"""A file of weights → named tensors. No byte of it is run, and no more memory is taken than the file has a right to.

torch.save has written three formats: zip since 1.6 of 2020, before it a row of pickles with the bytes of all tensors
behind them, and tar until 2017. A row's storages have no bounds but what its pickle claims, so that the claims are
added up and must come out at the file's length. Tar files are refused: torch does not read them safely.
"""

import io
import json
import shutil
import struct
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors.torch import load_file
from torch import Tensor

from i2i.errors import UserError
from i2i.foreign import pickles

MOST = 2 * 2**30  # bytes, unpacked; the largest published generator of the two toolkits has 0.22 × 10⁹
DESCRIPTION = 2**20  # bytes of a pickle or of a safetensors header; theirs have less than 10⁵
ENTRIES = 10_000  # in a zip
NUMBERS = {f"torch.{kind}" for kind in ("float32", "float64", "float16", "bfloat16", "int64")}
ZIP, TAR, TAR_AT = b"PK\x03\x04", b"ustar", 257
ROW = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")  # the number that each file of the row's format begins with


def weights(path: Path, most: int = MOST) -> dict[str, Tensor]:
    """The tensors in a `.pth` or `.safetensors` file by name: on the CPU, dense, float32 (counters int64).

    `most`: bytes, of the file and of what it unpacks to. Raises UserError for a file that is missing, larger, damaged,
    or anything but the weights of one network.
    """
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise UserError("is no file")
        if size > most:
            raise UserError(f"has {size:,} bytes; at most {most:,} are read")
        with path.open("rb") as file:
            start = file.read(512)
        found = _reader(start)(path, most)
        if strange := {str(tensor.dtype) for tensor in found.values()} - NUMBERS:
            raise UserError(f"has weights of {', '.join(sorted(strange))}. Expected: {', '.join(sorted(NUMBERS))}")
    except UserError as problem:
        raise about(path, problem) from None
    except OSError as problem:
        raise UserError(f"{path} cannot be opened ({problem.strerror or problem}).") from None
    return {name: (tensor.detach().float() if tensor.is_floating_point() else tensor).contiguous()
            for name, tensor in found.items()}  # fmt: skip


def about(path: Path, problem: UserError) -> UserError:
    """The problem as a sentence on the file, of what can be printed: a name in it may be a terminal's command."""
    told = "".join(letter if letter.isprintable() else "?" for letter in str(problem)[:600])
    return UserError(f"{path} {told}.")


def _reader(start: bytes) -> Callable[[Path, int], dict[str, Tensor]]:
    """By the first bytes: a suffix can be anything."""
    if start.startswith(ZIP):
        return _zip
    if start.startswith(ROW):
        return _row
    if start[8:9] == b"{":
        return _safetensors
    if start[TAR_AT:].startswith(TAR):
        raise UserError(
            "is a tar file, as torch.save wrote them until 2017; torch does not read those safely. Where you trust it, "
            "load it with the PyTorch it comes from and save it again"
        )
    raise UserError("is no file of weights. Expected one that torch.save wrote, or .safetensors")


def _zip(path: Path, most: int) -> dict[str, Tensor]:
    try:
        with zipfile.ZipFile(path) as archive:
            return _unzipped(archive, most)
    except (UserError, OSError):
        raise
    except Exception as error:  # a hostile archive raises half a dozen types, from struct.error to RuntimeError
        raise UserError(f"is a damaged zip file ({error or type(error).__name__})") from None


def _unzipped(archive: zipfile.ZipFile, most: int) -> dict[str, Tensor]:
    entries = {entry.filename: entry for entry in archive.infolist()}
    if len(entries) > ENTRIES:
        raise UserError(f"has {len(entries):,} entries; at most {ENTRIES:,} are read")
    if (total := sum(entry.file_size for entry in entries.values())) > most:
        raise UserError(f"unpacks to {total:,} bytes; at most {most:,} are read")
    roots = [name.removesuffix("/data.pkl") for name in entries if name.endswith("/data.pkl") and name.count("/") == 1]
    if len(roots) != 1 or f"{roots[0]}/constants.pkl" in entries:
        raise UserError("is a zip file, but not one of weights alone: it has no data.pkl, or code beside it")
    (root,) = roots
    described = entries[f"{root}/data.pkl"]
    if described.file_size > DESCRIPTION:
        raise UserError(f"has a pickle of {described.file_size:,} bytes; at most {DESCRIPTION:,} are read")
    tree = pickles.read(io.BytesIO(archive.read(described)))
    storages = {stored.storage.key: stored.storage for _, stored in pickles.tensors(tree)}
    for key, storage in storages.items():
        entry = entries.get(f"{root}/data/{key}")
        if entry is None or entry.file_size != storage.bytes:
            there = "none" if entry is None else f"{entry.file_size:,}"
            raise UserError(f"is damaged: it speaks of {storage.bytes:,} bytes of weights and has {there}")
    # torch has an unzip of its own, to which a malformed archive may be another. What it gets is what was looked at.
    wanted = [f"{root}/{name}" for name in ("data.pkl", "version", "byteorder", *(f"data/{key}" for key in storages))]
    with tempfile.TemporaryFile() as plain:
        with zipfile.ZipFile(plain, "w") as copy:
            for name in (name for name in wanted if name in entries):
                with archive.open(entries[name]) as source, copy.open(name, "w", force_zip64=True) as target:
                    shutil.copyfileobj(source, target)
        plain.seek(0)
        return _loaded(plain)


def _row(path: Path, _most: int) -> dict[str, Tensor]:
    with path.open("rb") as file:
        head = io.BytesIO(file.read(DESCRIPTION))
        *_, tree, keys = (pickles.read(head) for _ in range(5))  # magic number, version, machine, weights, their order
        storages = {stored.storage.key: stored.storage for _, stored in pickles.tensors(tree)}
        named = isinstance(keys, list) and all(type(key) is str for key in keys)
        if not named or sorted(keys) != sorted(storages):
            raise UserError("is damaged: its list of storages is not that of its weights")
        needed = head.tell() + sum(8 + storage.bytes for storage in storages.values())  # each behind its length
        if needed != (size := file.seek(0, io.SEEK_END)):
            raise UserError(f"is damaged: it speaks of {needed:,} bytes and has {size:,}")
        file.seek(0)
        return _loaded(file)


def _loaded(file: BinaryIO) -> dict[str, Tensor]:
    try:
        found: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises what its parts raise
        raise UserError(f"is damaged: torch cannot load it ({' '.join(str(error).split())[:200]})") from None
    return found


def _safetensors(path: Path, _most: int) -> dict[str, Tensor]:
    try:
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            if length > DESCRIPTION:
                raise UserError(f"has a header of {length:,} bytes; at most {DESCRIPTION:,} are read")
            json.loads(file.read(length), object_pairs_hook=_once)  # the library takes the last of equal names
        return load_file(path)
    except (UserError, OSError):
        raise
    except Exception as error:  # SafetensorError, ValueError of the JSON, RecursionError where it is deep
        raise UserError(f"is a damaged safetensors file ({error or type(error).__name__})") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    told = dict(pairs)
    if len(told) < len(pairs):
        raise UserError("is damaged: its header has one name twice")
    return told

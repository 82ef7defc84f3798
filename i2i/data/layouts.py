"""What a recipe says under `data:` → the pictures of a split, whatever they are kept in."""

import hashlib

from i2i.data.few import partly_labelled
from i2i.data.folders import WHERE_SIDES, list_folder
from i2i.data.mix import list_mix
from i2i.data.sets.datasets import root as dataset_root
from i2i.data.shards.listing import list_shards
from i2i.data.spec import Data, MixtureData, PartlyLabelledData, Pictures
from i2i.data.split import SPLITS, Split
from i2i.data.tables.manifest import list_manifest
from i2i.errors import UserError

__all__ = ["SPLITS", "WHERE_SIDES", "Split", "has", "open_split"]


def open_split(spec: Data, split: str) -> Split:
    """List the pictures of `split` (train, val or test) of what the recipe names. Raises UserError."""
    if split not in SPLITS:
        raise ValueError(f"expected one of {', '.join(SPLITS)}, got '{split}'")
    if isinstance(spec, MixtureData):
        told = hashlib.sha256(f"{spec.model_dump_json()} {split}".encode()).hexdigest()
        return Split(split, None, (), (), (), False, False, told, told)
    found = _listed(spec, split)
    return partly_labelled(spec, found) if isinstance(spec, PartlyLabelledData) else found


def _listed(spec: Pictures, split: str) -> Split:
    if spec.mix:
        return list_mix(spec, split, open_split)
    if spec.shards is not None:
        return list_shards(spec, spec.shards, split)
    if spec.dataset is not None:
        return list_folder(spec, dataset_root(spec.dataset), split)
    if spec.manifest is not None:
        return list_manifest(spec, spec.manifest.expanduser(), split)
    assert spec.root is not None  # the spec has exactly one of them
    return list_folder(spec, spec.root.expanduser(), split)


def has(spec: Data, split: str) -> bool:
    """Whether there are pictures in a split, of its own or as a share of train."""
    try:
        return len(open_split(spec, split)) > 0
    except UserError:
        return False

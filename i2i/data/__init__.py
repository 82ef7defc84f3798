"""Files → batches. The only door that the floors above come through; everything in it is keyed, never drawn."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from i2i.data.batches import Batch, Batches, fixed, in_order
    from i2i.data.fetching.fetch import fetch
    from i2i.data.gaussians import centres
    from i2i.data.layouts import Split, has, open_split
    from i2i.data.sets.cards import Card, card, names
    from i2i.data.sets.catalogue import Row, describe, rows
    from i2i.data.sets.datasets import missing, root
    from i2i.data.spec import (
        Channels,
        Data,
        Derive,
        Edges,
        Fractions,
        LabelledData,
        MixtureData,
        PairedData,
        PartlyLabelledData,
        Pictures,
        UnlabelledData,
        UnpairedData,
    )

ROOMS = {
    "batches": ("Batch", "Batches", "fixed", "in_order"),
    "fetching.fetch": ("fetch",),
    "gaussians": ("centres",),
    "layouts": ("Split", "has", "open_split"),
    "sets.cards": ("Card", "card", "names"),
    "sets.catalogue": ("Row", "describe", "rows"),
    "sets.datasets": ("missing", "root"),
    "spec": ("Channels", "Data", "Derive", "Edges", "Fractions", "LabelledData", "MixtureData", "PairedData",
             "PartlyLabelledData", "Pictures", "UnlabelledData", "UnpairedData"),
}  # fmt: skip

__all__ = [
    "Batch",
    "Batches",
    "Card",
    "Channels",
    "Data",
    "Derive",
    "Edges",
    "Fractions",
    "LabelledData",
    "MixtureData",
    "PairedData",
    "PartlyLabelledData",
    "Pictures",
    "Row",
    "Split",
    "UnlabelledData",
    "UnpairedData",
    "card",
    "centres",
    "describe",
    "fetch",
    "fixed",
    "has",
    "in_order",
    "missing",
    "names",
    "open_split",
    "root",
    "rows",
]


def __getattr__(name: str) -> Any:
    """Each on first use: what lists, fetches and checks data sets need not wait for torch."""
    for room, things in ROOMS.items():
        if name in things:
            import importlib

            return getattr(importlib.import_module(f"i2i.data.{room}"), name)
    raise AttributeError(f"module 'i2i.data' has no attribute {name!r}")

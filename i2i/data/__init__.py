"""Files → batches. The only module that the floors above import from; everything in it is keyed, never drawn."""

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
    Pictures,
    UnlabelledData,
    UnpairedData,
)

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

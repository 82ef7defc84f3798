"""Files → batches. The only module that the floors above import from; everything in it is keyed, never drawn."""

from i2i.data.batches import Batch, Batches, fixed, in_order
from i2i.data.datasets import Card, card, names, root
from i2i.data.layouts import Split, has, open_split
from i2i.data.mixture import centres
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
    "Split",
    "UnlabelledData",
    "UnpairedData",
    "card",
    "centres",
    "fixed",
    "has",
    "in_order",
    "names",
    "open_split",
    "root",
]

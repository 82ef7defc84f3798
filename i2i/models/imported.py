"""A generator that another toolkit has trained: it translates as any model does, and there is nothing to train it with.

`i2i import` writes the recipe. It has no data and no schedule; what remains is what rebuilds the network, and where it
came from. Shapes: a b channels of the two sides; pictures are in [-1, 1].
"""

from pathlib import Path
from typing import Any, Literal

from pydantic import Field
from torch import nn

from i2i.data import Fractions, PairedData, UnpairedData, has
from i2i.engine.schedule import Phase
from i2i.engine.settings import Settings
from i2i.errors import UserError
from i2i.nets import Generator, UNetSpec
from i2i.spec import Spec

MOST = 64  # channels of a data set's pictures


class Channels(Spec):
    """Of the input and the output: any number, as the networks have them."""

    a: int = Field(3, ge=1)
    b: int = Field(3, ge=1)


class Recipe(Settings):
    model: Literal["imported"]
    data: None = None  # type: ignore[assignment]  # it was trained elsewhere
    schedule: tuple[Phase, ...] = Field((), max_length=0)
    generator: Generator
    channels: Channels = Channels()
    toolkit: Literal["pytorch-CycleGAN-and-pix2pix", "contrastive-unpaired-translation"]
    source: str = Field(description="the imported file's name, without its suffix")
    sha256: str = Field(description="of the imported file")


class Imported(nn.Module):
    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.generator = recipe.generator.build(recipe.channels.a, recipe.channels.b)

    def product(self) -> dict[str, nn.Module]:
        """One direction: the toolkits keep a generator a file."""
        return {"a2b": self.generator}


def pictures(recipe: Recipe, folder: Path | None) -> PairedData | UnpairedData:
    """A folder of two sides as this model's data, to be scored with: pairs where its pictures are, else unpaired.

    Pictures are brought to the side that the toolkits train at, 256 or a U-Net's own. A folder without splits is cut:
    one half is scored, from the other come the colours that trivial answers know. Raises UserError without a folder,
    for one with no two sides, and for a network with more channels than pictures have.
    """
    if folder is None:
        raise UserError(
            f"This model was imported from {recipe.source} and knows no data of its own. Give a folder with two sides, "
            f"such as testA and testB beside trainA and trainB: --data FOLDER"
        )
    if max(recipe.channels.a, recipe.channels.b) > MOST:
        raise UserError(
            f"This model has {recipe.channels.a} channels in and {recipe.channels.b} out; scores are for pictures, "
            f"which have {MOST} at most."
        )
    side = 2**recipe.generator.levels if isinstance(recipe.generator, UNetSpec) else 256
    told: dict[str, Any] = {
        "root": folder,
        "load": side,
        "crop": side,
        "channels": recipe.channels.model_dump(),
        "split": Fractions(val=0, test=0.5),
    }
    paired = PairedData.model_validate({"layout": "paired", **told})
    if has(paired, "train"):
        return paired
    return UnpairedData.model_validate({"layout": "unpaired", **told})

"""What a recipe says under `data:`, one class per layout. Sides a and b are the two halves of a batch."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from i2i.spec import Spec

MOST = 0.5  # a set of which more is unusable is itself broken
Depth = Literal[1, 3]  # channels: grey or colour


class Fractions(Spec):
    """Shares of the training pictures held out as val and test, for folders that have no such split of their own."""

    val: float = Field(default=0.1, ge=0, lt=1)
    test: float = Field(default=0.1, ge=0, lt=1)
    seed: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _leaves_something(self) -> Self:
        if self.val + self.test >= 1:
            raise ValueError(f"val + test must leave pictures to train on, got {self.val} + {self.test}")
        return self


class Channels(Spec):
    """1 (grey) or 3 (colour) for each side of a batch."""

    a: Depth = 3
    b: Depth = 3


class Edges(Spec):
    """Canny's edges, black on white. Thresholds are gradient magnitudes (unnormalised Sobel; a step of 1 gives 4)."""

    kind: Literal["edges"] = "edges"
    low: float = Field(default=0.1, gt=0)
    high: float = Field(default=0.2, gt=0)
    kernel: int = Field(default=5, ge=1)  # of the Gaussian blur, in pixels
    sigma: float = Field(default=1.0, gt=0)  # of the Gaussian blur, in pixels

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.low > self.high or self.kernel % 2 == 0:
            raise ValueError(f"expected low <= high and an odd kernel, got {self.low}, {self.high} and {self.kernel}")
        return self


class Derive(Spec):
    """Side a is made from side b while training, so that a folder of photos is enough."""

    a: Edges

    @field_validator("a", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value


class MixtureData(Spec):
    """2-D points of Gaussians on a ring: the field's smallest test of mode collapse. Batches are (n, 2) float32."""

    layout: Literal["mixture"]
    modes: int = Field(default=8, ge=1)
    radius: float = Field(default=2.0, ge=0)
    std: float = Field(default=0.15, gt=0)  # of each Gaussian, the same along both axes


class Pictures(Spec):
    """What every folder of pictures has in common."""

    dataset: str | None = None  # a name from `datasets/`, or ...
    root: Path | None = None  # ... a folder of your own
    load: int | None = Field(default=None, ge=1)  # resize to this before the crop, pixels; None: native size
    fit: Literal["stretch", "shorter"] = "stretch"  # resize to load × load, or the shorter side to load
    crop: int = Field(ge=1)  # side of the pictures in a batch, pixels
    flip: bool = True  # mirror left-right, half of the time
    augment: tuple[str | dict[str, dict[str, Any]], ...] = ()  # albumentations transforms, run on the crop
    augment_batch: tuple[str | dict[str, dict[str, Any]], ...] = ()  # kornia's, run on the batch on its device
    split: Fractions = Fractions()
    workers: Literal["auto"] | Annotated[int, Field(ge=0)] = "auto"  # auto: 0 on a CPU, up to 8 for a GPU
    skip: float = Field(default=0.01, ge=0, le=MOST)  # share of pictures that may be unusable; above 0, one always may
    cache: Literal["auto", "off"] | Annotated[int, Field(ge=1)] = (
        "auto"  # disk for decoded pictures, bytes; auto: 4 GiB
    )

    @field_validator("augment")
    @classmethod
    def _transforms_exist(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if value:
            from i2i.data.augment import transforms  # albumentations takes a second to import

            transforms(value)
        return value

    @field_validator("augment_batch")
    @classmethod
    def _batch_transforms_exist(cls, value: tuple[Any, ...]) -> tuple[Any, ...]:
        if value:
            from i2i.data.augment_batch import transforms  # as does kornia

            transforms(value)
        return value

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.dataset is None) == (self.root is None):
            raise ValueError("give either `dataset: <name>` or `root: <folder>`, and only one of them")
        if self.load is not None and self.load < self.crop:
            raise ValueError(f"crop must fit into load, got crop {self.crop} and load {self.load}")
        return self


class PairedData(Pictures):
    """Every a has its b: folders trainA/trainB (or train/A, A/train, A), or files with both side by side, a left."""

    layout: Literal["paired"]
    direction: Literal["a2b", "b2a"] = "a2b"  # b2a: the folder's B becomes side a of a batch, and A side b
    derive: Derive | None = None  # root is then a folder of photos alone
    channels: Channels = Channels()

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.derive is not None and self.direction == "b2a":
            raise ValueError("`derive` makes a from b; it has no other direction: leave `direction` out")
        return self


class UnpairedData(Pictures):
    """Two folders of pictures, trainA and trainB, in orders of their own. Equal names in val and test are pairs."""

    layout: Literal["unpaired"]
    channels: Channels = Channels()


class UnlabelledData(Pictures):
    """Pictures at any depth below the folder."""

    layout: Literal["unlabelled"]
    channels: Depth = 3


class LabelledData(Pictures):
    """A folder per class; the sorted names are the labels 0, 1, ..."""

    layout: Literal["labelled"]
    channels: Depth = 3


Data = Annotated[
    PairedData | UnpairedData | UnlabelledData | LabelledData | MixtureData,
    Field(discriminator="layout"),
]

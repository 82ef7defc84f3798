"""What a recipe says under `data:`, one class per layout. Sides a and b are the two halves of a batch."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, field_validator, model_validator

from i2i.spec import Spec

MOST = 0.5  # a set of which more is unusable is itself broken
PLAIN_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
Depth = Annotated[int, Field(ge=1, le=64)]  # channels: 1 grey, 3 colour, 2 and 4 the same with alpha, n what has n


class Labels(Spec):
    """A segmentation map: one-channel pictures whose values are class numbers 0, ..., labels - 1."""

    labels: int = Field(ge=2, le=256)

    @property
    def classes(self) -> int:
        return self.labels


class Palette(Spec):
    """A segmentation map drawn in colours, '#rrggbb' for class 0, 1, ...; any other colour counts as the nearest."""

    palette: tuple[str, ...] = Field(min_length=2, max_length=256)

    @field_validator("palette")
    @classmethod
    def _are_colours(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for colour in value:
            if not COLOUR.fullmatch(colour):
                raise ValueError(f"expected a colour as '#rrggbb', in quotes, got {colour!r}")
        if len({colour.lower() for colour in value}) < len(value):
            raise ValueError("each class needs a colour of its own, and one of these is there twice")
        return value

    @property
    def classes(self) -> int:
        return len(self.palette)


Look = Depth | Labels | Palette  # what a picture holds: channels of light, or classes


def depth(look: Look) -> int:
    """Channels of a picture as a network sees it: classes become one channel each."""
    return look if isinstance(look, int) else look.classes


def carried(look: Look) -> int:
    """Channels of a picture as it is read, resized and kept: class numbers need one."""
    return look if isinstance(look, int) else 1


class Plane(NamedTuple):
    """One of the pictures that make up an item: `a`, `b`, or a condition's name."""

    name: str
    look: Look


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
    """What each side of a batch holds: a number of channels, or a segmentation map's classes."""

    a: Look = 3
    b: Look = 3


class Condition(Spec):
    """One more picture for each input, a mask say, that a translator takes as further channels of side a."""

    name: str
    channels: Look = 1

    @field_validator("name")
    @classmethod
    def _can_name_a_folder(cls, value: str) -> str:
        if not PLAIN_NAME.fullmatch(value) or value in ("a", "b", "label", "weight", "split"):
            raise ValueError(
                f"expected a name of a-z, 0-9 and '_' that is not a, b, label, weight or split; got {value!r}"
            )
        return value


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


Style = Literal["canny", "xdog", "soft", "pencil", "hand", "marker"]
Span = tuple[float, float]  # drawn evenly from between these two


class Sketches(Spec):
    """Drawings of many kinds (`data.drawing`): another style, detail and hand for each photo in each epoch.

    In tests each photo has one drawing of its own, always the same.
    """

    kind: Literal["sketches"]
    styles: tuple[Style, ...] = Field(default=("canny", "xdog", "soft"), min_length=1)
    detail: Span = (0.6, 1.6)  # 1 is the style's own; smaller draws fewer lines
    thickness: tuple[int, int] = (0, 1)  # pixels added around each line
    jitter: Span = (0.0, 1.0)  # standard deviation of the lines' displacement, pixels
    breaks: Span = (0.0, 0.2)  # share of the drawing that is left out

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for name in ("detail", "thickness", "jitter", "breaks"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ValueError(f"{name} is a span [low, high] with 0 <= low <= high, got [{low}, {high}]")
        if self.detail[0] == 0 or self.breaks[1] >= 1:
            raise ValueError("detail must be above 0, and breaks below 1")
        return self


class Derive(Spec):
    """Side a is made from side b while training, so that a folder of photos is enough."""

    a: Annotated[Edges | Sketches, Field(discriminator="kind")]

    @field_validator("a", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return {"kind": value} if isinstance(value, str) else value


POINTS = 10_000  # of a split of a mixture: an endless source has no length, but epochs and scores need one


class MixtureData(Spec):
    """2-D points of Gaussians on a ring: the field's smallest test of mode collapse. Batches are (n, 2) float32."""

    layout: Literal["mixture"]
    modes: int = Field(default=8, ge=1)
    radius: float = Field(default=2.0, ge=0)
    std: float = Field(default=0.15, gt=0)  # of each Gaussian, the same along both axes


class Place(Spec):
    """Where pictures are: exactly one of these is given."""

    dataset: str | None = None  # a name from `datasets/`, or ...
    root: Path | None = None  # ... a folder of your own, or ...
    manifest: Path | None = None  # ... a table of files: .csv, .jsonl or .parquet, or ...
    shards: str | None = (
        None  # ... WebDataset tar files: a folder, or a path or URL such as s3://b/train-{000..099}.tar
    )

    @property
    def places(self) -> int:
        """How many of them are given."""
        return sum(place is not None for place in (self.dataset, self.root, self.manifest, self.shards))


class Part(Place):
    """One of several sets that are mixed."""

    ratio: float = Field(default=1.0, gt=0)  # its share of a batch is ratio / sum of ratios

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.places != 1:
            raise ValueError("each set of a mix needs exactly one of dataset, root, manifest and shards")
        return self


class Pictures(Place):
    """What every collection of pictures has in common."""

    mix: tuple[Part, ...] = ()  # several sets of one layout, in place of a single one
    columns: dict[str, str] = Field(default_factory=dict)  # a, b, label, ... → its name in a manifest or in shards
    buffer: int = Field(default=2048, ge=1)  # pictures of shards that are shuffled together
    bits: Literal[8, 16] = 8  # a sample, as pictures are read, kept and augmented
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

    @property
    def planes(self) -> tuple[Plane, ...]:
        """The pictures that make up one item, in the order in which they are read and kept."""
        raise NotImplementedError

    @property
    def labelled(self) -> bool:
        """Whether a batch ends with the class numbers of its first pictures."""
        return False

    def allowance(self, total: int) -> int:
        """Pictures of `total` that may be unusable: the share `skip`, but one at least: in a small set 1 % is less."""
        return max(1, int(self.skip * total)) if self.skip else 0

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.places + bool(self.mix) != 1:
            raise ValueError(
                "give exactly one of `dataset: <name>`, `root: <folder>`, `manifest: <file>`, `shards: <files>`, `mix`"
            )
        if self.load is not None and self.load < self.crop:
            raise ValueError(f"crop must fit into load, got crop {self.crop} and load {self.load}")
        return self


class PairedData(Pictures):
    """Every a has its b: folders trainA/trainB (or train/A, A/train, A), or files with both side by side, a left."""

    layout: Literal["paired"]
    direction: Literal["a2b", "b2a"] = "a2b"  # b2a: the folder's B becomes side a of a batch, and A side b
    derive: Derive | None = None  # root is then a folder of photos alone
    channels: Channels = Channels()
    condition: tuple[Condition, ...] = ()  # [mask]: pictures in trainmask/ (or train/mask, mask/train, mask)

    @property
    def planes(self) -> tuple[Plane, ...]:
        a, b = Plane("a", self.channels.a), Plane("b", self.channels.b)
        if self.derive is not None:
            return (b,)
        return (a, *(Plane(each.name, each.channels) for each in self.condition), b)

    @property
    def inputs(self) -> int:
        """Channels that a translator takes: those of side a and of every condition."""
        return depth(self.channels.a) + sum(depth(each.channels) for each in self.condition)

    @property
    def outputs(self) -> int:
        return depth(self.channels.b)

    @field_validator("condition", mode="before")
    @classmethod
    def _names_alone(cls, value: Any) -> Any:
        return (
            [{"name": each} if isinstance(each, str) else each for each in value] if isinstance(value, list) else value
        )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.derive is not None and self.direction == "b2a":
            raise ValueError("`derive` makes a from b; it has no other direction: leave `direction` out")
        if self.derive is not None and (
            self.condition or self.channels.b not in (1, 3) or self.channels.a not in (1, 3)
        ):
            raise ValueError("`derive` draws edges of grey or colour photos: channels are 1 or 3, without conditions")
        if len({each.name for each in self.condition}) < len(self.condition):
            raise ValueError("each condition needs a name of its own")
        return self


class UnpairedData(Pictures):
    """Two folders of pictures, trainA and trainB, in orders of their own. Equal names in val and test are pairs.

    With `labels: a` the pictures of side a lie in a folder per class, trainA/<class>/*.png, and a batch is (a, b, y), y
    the labels of a; those of side b lie at any depth, and what they are is not asked.
    """

    layout: Literal["unpaired"]
    channels: Channels = Channels()
    labels: Literal["a"] | None = None  # the side whose classes are known

    @property
    def labelled(self) -> bool:
        return self.labels is not None

    @model_validator(mode="after")
    def _classes_are_folders(self) -> Self:
        parts: tuple[Place, ...] = (self, *self.mix)
        if self.labels and any(each.manifest or each.shards for each in parts):
            raise ValueError(
                "`labels: a` reads the classes from folders, trainA/<class>/; tables and shards do not tell them for "
                "unpaired sides. Give a `root` or a `dataset`."
            )
        return self

    @property
    def planes(self) -> tuple[Plane, ...]:
        """One for each stream: an item of unpaired data is a single picture."""
        return (Plane("a", self.channels.a), Plane("b", self.channels.b))


class UnlabelledData(Pictures):
    """Pictures at any depth below the folder."""

    layout: Literal["unlabelled"]
    channels: Depth = 3

    @property
    def planes(self) -> tuple[Plane, ...]:
        return (Plane("a", self.channels),)


class LabelledData(Pictures):
    """A folder per class; the sorted names are the labels 0, 1, ..."""

    layout: Literal["labelled"]
    channels: Depth = 3

    @property
    def labelled(self) -> bool:
        return True

    @property
    def planes(self) -> tuple[Plane, ...]:
        return (Plane("a", self.channels),)


class PartlyLabelledData(LabelledData):
    """The same, but of the training pictures few have a label. Half of a batch (x, y) are those, gone through again and
    again; the other half are of all pictures, and their y is -1."""

    labels: int | None = Field(default=None, ge=1)  # of each class, drawn with `split.seed`; None: all that there are
    unlabelled: str | None = None  # the class folder whose pictures are of unknown classes

    @model_validator(mode="after")
    def _some_are_unlabelled(self) -> Self:
        if self.labels is None and self.unlabelled is None:
            raise ValueError(
                "say which labels are known: `labels: 5` keeps those of 5 pictures a class, `unlabelled: rest` means "
                "that the pictures in the folder train/rest/ have none"
            )
        if self.mix or self.shards is not None:
            raise ValueError("few labels are drawn from a data set, a folder or a manifest, not from `mix` or `shards`")
        return self


Data = Annotated[
    PairedData | UnpairedData | UnlabelledData | LabelledData | MixtureData,
    Field(discriminator="layout"),
]

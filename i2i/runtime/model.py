"""An exported model as a function on pictures: any size in, the same size out.

Shapes: n pictures, h height, w width, c channels in, o channels out.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from onnxruntime.capi import onnxruntime_pybind11_state as state

from i2i.errors import UserError
from i2i.runtime.binding import runner
from i2i.runtime.planes import Plane, numbers, stacked
from i2i.runtime.providers import Tuning, open_session

FORMAT = "1"
DTYPES: dict[str, type[np.generic]] = {"uint8": np.uint8, "uint16": np.uint16, "float32": np.float32}


@dataclass(frozen=True)
class Card:
    """What an exported model says of itself: the `i2i.*` entries of its metadata."""

    task: str  # translate or sample
    model: str  # pix2pix, cyclegan, ...
    direction: str
    inputs: int  # channels; of noise, where the task is sample
    outputs: int
    multiple: int
    minimum: int
    pixels: str  # uint8, uint16 or float32
    precision: str
    memory: int  # bytes a pixel that its activations take at once
    weights: str  # sha256 of the model file it was made from
    recipe: str  # JSON
    parity: Mapping[str, Any]
    planes: tuple[Plane, ...]  # what the inputs are made of: the picture, then its conditions
    result: Plane  # what the outputs are

    @classmethod
    def read(cls, told: Mapping[str, str], name: str) -> Self:
        """From the metadata of an ONNX file; raises UserError when it was not exported by i2i."""
        if told.get("i2i.format") != FORMAT:
            found = f"format {told['i2i.format']}" if "i2i.format" in told else "no `i2i.format` in its metadata"
            raise UserError(
                f"{name} is not a model that this i2i can run: expected format {FORMAT}, found {found}. "
                f"Export the model again: i2i export --model NAME"
            )
        try:
            later = ("planes", "result")  # that the first files did not have
            fields: dict[str, Any] = {key: told[f"i2i.{key}"] for key in cls.__dataclass_fields__ if key not in later}
            counts = ("inputs", "outputs", "multiple", "minimum", "memory")
            fields |= {key: int(fields[key]) for key in counts} | {"parity": json.loads(fields["parity"])}
            fields |= _planes(told, fields)
        except (KeyError, ValueError, TypeError, RecursionError) as problem:
            raise UserError(f"{name} has damaged metadata ({problem}). Export the model again.") from None
        if fields["pixels"] not in DTYPES or min(fields[key] for key in counts) < 1:
            raise UserError(f"{name} has damaged metadata. Export the model again.")
        return cls(**fields)

    @property
    def bits(self) -> int:
        """Of the pictures that it was trained with."""
        data = json.loads(self.recipe).get("data") or {}
        return 16 if data.get("bits") == 16 else 8


def _planes(told: Mapping[str, str], fields: Mapping[str, Any]) -> dict[str, Any]:
    """`planes` and `result`; what does not say it takes one picture and gives one. ValueError if they do not add up."""
    source, target = fields["direction"].split("2") if "2" in fields["direction"] else ("a", "b")
    if fields["task"] != "translate":
        return {"planes": (), "result": Plane(target, fields["outputs"])}
    planes: tuple[Plane, ...] = (Plane(source, fields["inputs"]),)
    if "i2i.planes" in told:
        planes = tuple(Plane.read(each["name"], each["look"]) for each in json.loads(told["i2i.planes"]))
    result = Plane.read(target, json.loads(told.get("i2i.result", told["i2i.outputs"])))
    apart = len({plane.name for plane in planes}) == len(planes) > 0
    if not apart or sum(p.channels for p in planes) != fields["inputs"] or result.channels != fields["outputs"]:
        raise ValueError("its planes are not its channels")
    return {"planes": planes, "result": result}


class Exported:
    """`model(picture)`: h w c → h w o, in the type the model was exported for; float32 models take values in [-1, 1].

    With conditions `model(picture, mask=mask)`, or all of them stacked along the channels. Where a picture is a
    segmentation map, whole numbers h w are its classes; where the result is one, `labels` makes class numbers of it.

    `device`: auto, cpu, cuda or tensorrt; `.device` is what it got. `name` is what errors call a model given as bytes.
    Raises UserError for a file that cannot be read, is not an exported i2i model, and for a device that does not work.
    """

    def __init__(
        self,
        file: Path | bytes,
        device: str = "auto",
        *,
        threads: int | None = None,
        name: str = "this model",
        tuning: Tuning = Tuning(),
    ) -> None:
        self.file = file
        name = name if isinstance(file, bytes) else str(file)
        self.session, self.device = open_session(file, name, device, threads=threads, tuning=tuning)
        self.card = Card.read(self.session.get_modelmeta().custom_metadata_map, name)
        self.dtype = DTYPES[self.card.pixels]
        self._compute = runner(
            self.session,
            self.device,
            lambda sizes: open_session(file, name, self.device, threads=threads, tuning=tuning, sizes=sizes)[0],
            multiple=self.card.multiple,
            minimum=self.card.minimum,
            graphs=tuning.graphs,
        )
        self.inputs, self.outputs = self.card.inputs, self.card.outputs

    def __call__(self, picture: np.ndarray, /, **conditions: np.ndarray) -> np.ndarray:
        """h w c → h w o. Raises UserError for another type or number of channels, for conditions that are missing,
        unknown or of another size, and for an empty picture."""
        planes = self.card.planes
        if conditions or (picture.shape[2:] != (self.inputs,) and (len(planes) > 1 or any(p.classes for p in planes))):
            picture = stacked(planes, {planes[0].name: picture} | conditions, self.dtype)
        if picture.ndim != 3:
            raise UserError(f"expected one picture of height × width × {self.inputs}, got shape {picture.shape}.")
        return self.run(picture[None])[0]

    def labels(self, scores: np.ndarray) -> np.ndarray:
        """What a model of segmentation maps gives, h w o → h w uint8 class numbers. UserError for other models."""
        if not self.card.result.classes:
            raise UserError("this model makes pictures, which have no classes.")
        return numbers(scores)

    def run(self, pictures: np.ndarray) -> np.ndarray:
        """n h w c → n h w o; all pictures of a batch have one size. Raises as calling does."""
        if self.card.task != "translate":
            raise UserError("this model makes pictures from noise and cannot translate.")
        shape = pictures.shape
        if pictures.ndim != 4 or shape[3] != self.inputs or 0 in shape or pictures.dtype != self.dtype:
            raise UserError(
                f"expected pictures of number × height × width × {self.inputs} {np.dtype(self.dtype)}, "
                f"got shape {shape} {pictures.dtype}."
            )
        channels_first = self.card.pixels == "float32"  # the layout of networks, for whoever feeds them directly
        x = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2) if channels_first else pictures)
        y = self._run({"picture": x}, f"{shape[2]}×{shape[1]}")
        return y.transpose(0, 2, 3, 1) if channels_first else y

    def sample(self, noise: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Noise n z float32, and where the model is conditional labels n int64 → pictures n h w o uint8.

        Raises UserError for other shapes and types, and for a model that translates.
        """
        if self.card.task != "sample":
            raise UserError("this model translates pictures and draws none from noise.")
        given = {"noise": noise} if labels is None else {"noise": noise, "label": labels}
        expected = {
            each.name: ((len(noise), *each.shape[1:]), np.dtype(np.float32 if each.name == "noise" else np.int64))
            for each in self.session.get_inputs()
        }
        got = {name: (values.shape, values.dtype) for name, values in given.items()}
        if got != expected or noise.size == 0:
            told = ["; ".join(f"{name} {shape} {dtype}" for name, (shape, dtype) in e.items()) for e in (expected, got)]
            raise UserError(f"expected {told[0]}, got {told[1]}.")
        return self._run(
            {name: np.ascontiguousarray(values) for name, values in given.items()}, f"a batch of {len(noise)}"
        )

    def _run(self, given: dict[str, np.ndarray], size: str) -> np.ndarray:
        try:
            return self._compute(given)
        except (state.RuntimeException, state.EPFail, state.Fail) as problem:
            words = " ".join(str(problem).split())
            if "alloc" in words or "memory" in words:
                raise UserError(f"{size} is too large for this machine's memory; give a smaller --memory.") from None
            raise UserError(f"the model cannot be run on this picture: {words[:300]}") from None

"""A whole batch changed at once on its device by kornia's transforms, which a GPU does in passing.

All random numbers come from (seed, position, rank), inside a fork of torch's generators: nobody else's draws move.
Legend: n batch, c channels, h height, w width; float32 n c h w in [-1, 1], and segmentation maps uint8 n 1 h w.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch

from i2i.data import keys
from i2i.data.spec import Look, Pictures, UnpairedData
from i2i.errors import UserError, suggest

Change = Callable[[list[torch.Tensor], int], list[torch.Tensor]]


def transforms(steps: Sequence[str | dict[str, dict[str, Any]]]) -> list[Any]:
    """The kornia.augmentation transforms a recipe names: `RandomHorizontalFlip`, `{RandomAffine: {degrees: 10}}`.

    Raises ValueError for a name or an argument that there is not, with the nearest.
    """
    known = _known()
    made = []
    for step in steps:
        if isinstance(step, dict) and len(step) != 1:
            raise ValueError(
                f"expected one transform in each item of augment_batch, got {sorted(step)}; start each with '-'"
            )
        name, arguments = next(iter(step.items())) if isinstance(step, dict) else (step, {})
        if name not in known:
            raise ValueError(f"no transform of kornia's is called '{name}'.{suggest(name, known)}")
        parameters = inspect.signature(known[name]).parameters
        for argument in arguments or {}:
            if argument not in parameters:
                raise ValueError(f"transform '{name}' has no argument '{argument}'.{suggest(argument, parameters)}")
        try:
            made.append(known[name](**{key: _tuples(value) for key, value in (arguments or {}).items()}))
        except Exception as problem:  # kornia checks with whatever comes to hand
            raise ValueError(f"the arguments of transform '{name}' do not fit: {problem}") from None
    return made


def change(spec: Pictures, seed: int, rank: int) -> Change | None:
    """`spec.augment_batch` as a function of (planes of a batch, position); None if there is none.

    The planes of a pair are changed by the same parameters, unpaired sides each by their own. Segmentation maps are
    moved as the others are, to the nearest pixel, and never coloured. Batches are changed as each rank holds them, so
    unlike the order of the pictures this does depend on the number of ranks.
    """
    if not spec.augment_batch:
        return None
    steps = transforms(spec.augment_batch)
    looks = [plane.look for plane in spec.planes]
    alone = isinstance(spec, UnpairedData)

    def apply(planes: list[torch.Tensor], position: int) -> list[torch.Tensor]:
        number = int(keys.generator(keys.BATCH, seed, position, rank).integers(2**63))
        device = planes[0].device
        # Autocast off: half precision would move pictures with the hardware.
        with (
            torch.random.fork_rng(devices=[device] if device.type == "cuda" else []),
            torch.autocast(device.type, enabled=False),
            torch.no_grad(),
        ):
            torch.random.default_generator.manual_seed(number)
            if device.type == "cuda":
                with torch.cuda.device(device):
                    torch.cuda.manual_seed(number)
            changed = [
                (plane + 1) / 2 if isinstance(look, int) else plane.float()  # kornia's range is [0, 1]
                for plane, look in zip(planes, looks, strict=True)
            ]
            for step in steps:
                if alone:
                    changed = [_step(step, [plane], [look])[0] for plane, look in zip(changed, looks, strict=True)]
                else:
                    changed = _step(step, changed, looks)
        return [
            plane.clamp(0, 1) * 2 - 1 if isinstance(look, int) else plane.round().clamp(0, look.classes - 1).byte()
            for plane, look in zip(changed, looks, strict=True)
        ]

    return apply


def _step(step: Any, planes: list[torch.Tensor], looks: list[Look]) -> list[torch.Tensor]:
    """One transform of all planes with one draw, the first picture's, or if all are maps that for a black picture."""
    from kornia.augmentation import GeometricAugmentationBase2D

    changed: dict[int, torch.Tensor] = {}
    order = sorted(range(len(planes)), key=lambda place: not isinstance(looks[place], int))  # pictures first
    for place in order:
        plane, look = planes[place], looks[place]
        try:
            if isinstance(look, int):
                if type(step).__name__ == "RandomGrayscale" and look not in (1, 3):
                    raise ValueError("kornia would take the mean of all channels, whatever they hold")
                changed[place] = step(plane, params=step._params if changed else None)
            elif not isinstance(step, GeometricAugmentationBase2D):
                changed[place] = plane
            else:
                if not changed:
                    step(plane.new_zeros(len(plane), 3, *plane.shape[2:]))
                changed[place] = step.transform_masks(  # to the nearest pixel
                    plane, params=step._params, flags=step.flags, transform=step.transform_matrix
                )
        except Exception as problem:
            raise UserError(
                f"data.augment_batch: {type(step).__name__} cannot be applied to pictures of {_shape(plane)} "
                f"(channels, height, width): {problem}"
            ) from None
        if changed[place].shape != plane.shape:
            raise UserError(
                f"data.augment_batch: {type(step).__name__} must return pictures of {_shape(plane)} (channels, height, "
                f"width), got {_shape(changed[place])}. Leave out what changes the size, which `load` and `crop` set, "
                "and what needs equally many channels on every side."
            )
    return [changed[place] for place in range(len(planes))]


def _shape(pictures: torch.Tensor) -> str:
    return "×".join(str(length) for length in pictures.shape[1:])


def _known() -> dict[str, type]:
    """kornia's transforms of single pictures by name. (Its mixtures of pictures, MixUp say, would mix their labels.)"""
    import kornia.augmentation as kornia

    bases = (kornia.GeometricAugmentationBase2D, kornia.IntensityAugmentationBase2D)
    found = {name: getattr(kornia, name) for name in dir(kornia)}
    return {name: c for name, c in found.items() if isinstance(c, type) and issubclass(c, bases) and "Base" not in name}


def _tuples(value: Any) -> Any:
    """YAML has lists where kornia wants tuples."""
    return tuple(_tuples(part) for part in value) if isinstance(value, list) else value

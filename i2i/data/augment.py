"""One picture, or the halves of a pair, made ready: resize, crop, mirror, augment.

All randomness comes from one numpy Generator per sample, so a sample is the same in any process and on any day.
Legend: h height, w width, c channels; uint8 h w c throughout.
"""

import inspect
import os
import random
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from i2i.data.spec import Pictures
from i2i.errors import UserError, suggest

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # it would look for a newer release online when imported


def transforms(steps: Sequence[str | dict[str, dict[str, Any]]]) -> list[Any]:
    """The albumentations transforms a recipe names, `Blur` or `{ColorJitter: {brightness: .1}}`; ValueError if none."""
    import albumentations

    known = {name for name in dir(albumentations) if _is_transform(getattr(albumentations, name))}
    made = []
    for step in steps:
        if isinstance(step, dict) and len(step) != 1:
            raise ValueError(f"expected one transform in each item of augment, got {sorted(step)}; start each with '-'")
        name, arguments = next(iter(step.items())) if isinstance(step, dict) else (step, {})
        if name not in known:
            raise ValueError(f"no transform is called '{name}'.{suggest(name, known)}")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                transform = getattr(albumentations, name)(**(arguments or {}))
        except (TypeError, ValueError) as problem:
            raise ValueError(f"the arguments of transform '{name}' do not fit: {problem}") from None
        for argument in getattr(transform, "invalid_args", []):  # only a warning there
            known_here = inspect.signature(type(transform).__init__).parameters.keys() - {"self"}
            raise ValueError(f"transform '{name}' has no argument '{argument}'.{suggest(argument, known_here)}")
        made.append(transform)
    return made


def _is_transform(value: Any) -> bool:
    import albumentations

    return isinstance(value, type) and issubclass(value, albumentations.BasicTransform)


def pipeline(spec: Pictures) -> Any:
    """The recipe's augmentations as one albumentations Compose over `image` and `other`; None if there are none."""
    if not spec.augment:
        return None
    import albumentations

    return albumentations.Compose(transforms(spec.augment), additional_targets={"other": "image"})


def resize(picture: np.ndarray, size: int | None, fit: str) -> np.ndarray:
    """To size × size (`stretch`), or until the shorter side is `size` (`shorter`). Bicubic; None leaves it alone."""
    if size is None:
        return picture
    height, width = picture.shape[:2]
    scale = size / min(height, width)
    to = (size, size) if fit == "stretch" else (max(size, round(height * scale)), max(size, round(width * scale)))
    if to == (height, width):
        return picture
    # antialias: the kernel widens when it shrinks (Pillow's does, OpenCV's not), so fine lines do not turn into dots.
    # On uint8 this is Pillow's own algorithm in whole numbers, several times faster: the same bytes on any processor.
    pixels = torch.from_numpy(np.array(picture))[None].permute(0, 3, 1, 2)  # 1 c h w, laid out h w c
    resized = F.interpolate(pixels, size=to, mode="bicubic", antialias=True)
    return np.ascontiguousarray(resized[0].permute(1, 2, 0).numpy())


def crop(picture: np.ndarray, size: int, y: float, x: float) -> np.ndarray:
    """The size × size window at the fractions y, x in [0, 1] of its free way down and to the right."""
    height, width = picture.shape[:2]
    top, left = min(int(y * (height - size + 1)), height - size), min(int(x * (width - size + 1)), width - size)
    return picture[top : top + size, left : left + size]


def mirrored(picture: np.ndarray) -> np.ndarray:
    """Left becomes right."""
    if picture.size < 2**13:
        return picture[:, ::-1]
    return torch.from_numpy(np.array(picture)).flip(1).numpy()  # numpy copies such a view pixel by pixel, 15 × slower


def augmented(sides: list[np.ndarray], spec: Pictures, compose: Any, rng: np.random.Generator) -> list[np.ndarray]:
    """Random crop, mirror and augmentations, the same ones on every side of a pair. `sides` are resized already."""
    y, x, coin = rng.random(3)
    sides = [crop(side, spec.crop, y, x) for side in sides]
    if spec.flip and coin < 0.5:
        sides = [mirrored(side) for side in sides]
    if compose is None:
        return sides
    # One generator for all transforms. (Compose.set_random_seed would give each its own copy of the same stream:
    # every coin would fall alike, and the mirrored pictures would be exactly the rotated ones.)
    compose.set_random_state(rng, random.Random(int(rng.integers(2**63))))
    # Copies: a transform may write into what it is given, and what is given may be the cache's file.
    named = dict(zip(("image", "other"), (np.array(side) for side in sides), strict=False))
    try:
        done = compose(**named)
    except (ValueError, TypeError, KeyError, RuntimeError) as problem:
        raise UserError(f"data.augment cannot be applied to these pictures: {problem}") from None
    for name, side in named.items():
        if done[name].shape != side.shape or done[name].dtype != np.uint8:
            raise UserError(
                f"data.augment must return pictures of {side.shape} uint8 (height, width, channels), "
                f"got {done[name].shape} {done[name].dtype}. Leave out what changes the size or normalises."
            )
    return [done[name] for name in named]

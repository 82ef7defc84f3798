"""The planes of an item made ready: resize, crop, mirror, augment.

All randomness comes from one numpy Generator per sample, so a sample is the same in any process and on any day.
Legend: h height, w width, c channels. A plane is h w c, uint8 or uint16; a segmentation map uint8 h w 1.
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

from i2i.data.looks import planes_of
from i2i.data.spec import Look, Pictures
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
    """The recipe's augmentations as one albumentations Compose over the planes of an item; None if there are none.

    Raises UserError for transforms that would cost pictures of 16 bits their depth.
    """
    if not spec.augment:
        return None
    import albumentations
    import cv2

    steps = transforms(spec.augment)
    for step in steps if spec.bits == 16 else []:
        if _rounds_off(step):
            raise UserError(
                f"data.augment: {type(step).__name__} works in 8 bits and would round off the other 8 of these "
                "pictures. Leave it out, or set bits: 8."
            )
    targets = {f"{kind}{place}": kind for kind in ("image", "mask") for place in range(1, len(spec.planes))}
    return albumentations.Compose(steps, additional_targets=targets, mask_interpolation=cv2.INTER_NEAREST)


def _rounds_off(step: Any) -> bool:
    """Whether a transform makes floats into bytes on its way, which some do and none says: found out by trying."""
    light = np.random.default_rng(0).uniform(0.1, 0.9, (32, 32, 3)).astype(np.float32)
    step.set_random_state(np.random.default_rng(0), random.Random(0))
    try:
        made = np.stack([step(image=light, force_apply=True)["image"] for _ in range(4)])
    except Exception:  # it wants other pictures than these, or other things than a picture
        return False
    new = made[(made != light) & (made > 0) & (made < 1)] if made.shape[1:] == light.shape else light[:0]
    return bool(new.size) and bool((np.abs(new * 255 - np.rint(new * 255)) < 1e-3).mean() > 0.1)


def resize(picture: np.ndarray, size: int | None, fit: str, classes: bool = False) -> np.ndarray:
    """To size × size (`stretch`), or until the shorter side is `size` (`shorter`). Bicubic; None leaves it alone.

    `classes`: each pixel is the one that lies in its place, for the mean of two class numbers is another class.
    uint8 gives the same bytes on any processor, uint16 may differ by 1 where a float falls on the other side of a half.
    """
    if size is None:
        return picture
    height, width = picture.shape[:2]
    scale = size / min(height, width)
    to = (size, size) if fit == "stretch" else (max(size, round(height * scale)), max(size, round(width * scale)))
    if to == (height, width):
        return picture
    if classes:
        rows, columns = (
            (2 * np.arange(new) + 1) * old // (2 * new) for new, old in zip(to, (height, width), strict=True)
        )
        return picture[rows[:, None], columns]
    pixels = torch.from_numpy(np.array(picture))[None].permute(0, 3, 1, 2)  # 1 c h w, laid out h w c
    # antialias: the kernel widens when it shrinks (Pillow's does, OpenCV's not), so fine lines do not turn into dots.
    if picture.dtype == np.uint16:
        resized = F.interpolate(pixels.float(), size=to, mode="bicubic", antialias=True)
        resized = resized.round_().clamp_(0, 65535).to(torch.uint16)
    else:
        # Pillow's own algorithm in whole numbers, several times faster
        resized = F.interpolate(pixels, size=to, mode="bicubic", antialias=True)
    return np.ascontiguousarray(resized[0].permute(1, 2, 0).numpy())


def crop(picture: np.ndarray, size: int, y: float, x: float) -> np.ndarray:
    """The size × size window at the fractions y, x in [0, 1] of its free way down and to the right."""
    height, width = picture.shape[:2]
    top, left = min(int(y * (height - size + 1)), height - size), min(int(x * (width - size + 1)), width - size)
    return picture[top : top + size, left : left + size]


def mirrored(picture: np.ndarray) -> np.ndarray:
    """Left becomes right."""
    if picture.nbytes < 2**13:
        return picture[:, ::-1]
    return torch.from_numpy(np.array(picture)).flip(1).numpy()  # numpy copies such a view pixel by pixel, 15 × slower


def augmented(
    pictures: list[np.ndarray], spec: Pictures, compose: Any, rng: np.random.Generator, stream: int = 0
) -> list[np.ndarray]:
    """Random crop, mirror and augmentations, the same ones on all planes of an item, which are resized already.

    Segmentation maps are moved as the others are, but never coloured nor interpolated. Raises UserError.
    """
    y, x, coin = rng.random(3)
    pictures = [crop(picture, spec.crop, y, x) for picture in pictures]
    if spec.flip and coin < 0.5:
        pictures = [mirrored(picture) for picture in pictures]
    if compose is None:
        return pictures
    # One generator for all transforms. (Compose.set_random_seed would give each its own copy of the same stream:
    # every coin would fall alike, and the mirrored pictures would be exactly the rotated ones.)
    compose.set_random_state(rng, random.Random(int(rng.integers(2**63))))
    looks = [plane.look for plane in planes_of(spec, stream)]
    kinds = ["image" if isinstance(look, int) else "mask" for look in looks]
    names = [f"{kind}{kinds[:place].count(kind) or ''}" for place, kind in enumerate(kinds)]
    given = {name: _given(picture, look) for name, picture, look in zip(names, pictures, looks, strict=True)}
    if "image" not in given:  # albumentations takes its sizes from there
        given["image"] = np.zeros((spec.crop, spec.crop, 3), np.uint8)
    try:
        done = compose(**given)
    except MemoryError:  # which is no transform's fault
        raise
    except Exception as problem:  # whatever comes to hand, and OpenCV's own
        held = ", ".join(f"{picture.shape[2]} × {8 * picture.itemsize} bits" for picture in pictures)
        raise UserError(
            f"data.augment: {_culprit(problem, compose)} cannot be applied to these pictures ({held}): {problem}"
        ) from None
    return [_taken(done[name], given[name], look) for name, look in zip(names, looks, strict=True)]


def _given(picture: np.ndarray, look: Look) -> np.ndarray:
    """A plane as albumentations takes it, h w for classes, [0, 1] for 16 bits. Copies: a transform may write into what
    it is given, and what is given may be the cache's file."""
    if not isinstance(look, int):
        return np.array(picture[:, :, 0])
    return picture.astype(np.float32) / 65535 if picture.dtype == np.uint16 else np.array(picture)


def _taken(done: Any, given: np.ndarray, look: Look) -> np.ndarray:
    """A plane as albumentations gives it, for what `_given` made of it → h w c. UserError for what is none any more."""
    deep = given.dtype == np.float32
    if done.shape != given.shape or done.dtype != given.dtype or (deep and not -0.01 < done.min() <= done.max() < 1.01):
        raise UserError(
            f"data.augment must return pictures of {given.shape} {'uint16' if deep else 'uint8'} (height, width, "
            f"channels), got {done.shape} {done.dtype}. Leave out what changes the size, normalises, or needs equally "
            "many channels on every side."
        )
    if not isinstance(look, int):
        if done.max() >= look.classes:
            raise UserError(
                f"data.augment must leave classes from 0 to {look.classes - 1}, got {done.max()}; "
                "a `fill_mask` has to be one of them."
            )
        return np.asarray(done)[:, :, None]
    return np.rint(done * 65535).clip(0, 65535).astype(np.uint16) if deep else done


def _culprit(problem: Exception, compose: Any) -> str:
    """The name of the transform that raised: Compose does not say."""
    trace = problem.__traceback__
    while trace is not None:
        owner = trace.tb_frame.f_locals.get("self")
        if any(owner is step for step in compose.transforms):
            return type(owner).__name__
        trace = trace.tb_next
    return "it"

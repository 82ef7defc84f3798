"""DiffAugment: the discriminator sees real and fake pictures through the same differentiable augmentations.

Zhao et al. 2020 (arXiv 2006.10738), section 3.2: T is applied to both sides of the game and in both players'
turns, and the generator's gradient passes through it. So D cannot learn a small training set by heart, and yet G does
not learn the augmentations, as it would if only the real pictures had them.

Shapes: n pictures, c channels, h w size; pictures are in [-1, 1], where 0 (grey) is what fills gaps.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from i2i.errors import UserError, suggest

Augmentation = Literal["colour", "translation", "cutout"]

DRAWS = 7  # uniform numbers a picture: brightness, saturation, contrast, down, right, the square's row and column
SHIFT = 1 / 8  # of the side, at most and either way
SQUARE = 1 / 2  # of the side


def diffaugment(x: Tensor, policy: Sequence[Augmentation], draws: Tensor | None = None) -> Tensor:  # n c h w
    """x as D sees it, same shape: the augmentations of `policy` in that order, each drawn for each picture by itself.

    `draws`: n × 7 numbers in [0, 1) that decide them; from torch's global generator unless given. Give the same ones
    to what belongs together: the true and the made answer to one question, and the question (see `geometric`).
    The values are not clamped, so colours may leave [-1, 1]: a clamp would stop the generator's gradient.
    Raises UserError for an unknown augmentation and ValueError for draws of another shape.
    """
    for name in policy:
        if name not in STEPS:
            raise UserError(f"There is no augmentation {name!r} for the discriminator.{suggest(name, STEPS)}")
    if not policy:
        return x
    if draws is None:
        draws = torch.rand(len(x), DRAWS, device=x.device)
    if draws.shape != (len(x), DRAWS):
        raise ValueError(f"diffaugment expected draws of shape {(len(x), DRAWS)}; got {tuple(draws.shape)}")
    for name in policy:
        x = STEPS[name](x, draws)
    return x


def geometric(policy: Sequence[Augmentation]) -> tuple[Augmentation, ...]:
    """The part of a policy that moves pixels. A condition goes the way of its picture, but keeps its colours."""
    return tuple(name for name in policy if name != "colour")


def colour(x: Tensor, draws: Tensor) -> Tensor:  # n c h w, n 7
    """Brightness ± ½ (a quarter of the range), saturation × 0 to 2, contrast × ½ to 1½, in this order."""
    brightness, saturation, contrast = draws[:, :3, None, None, None].unbind(1)  # n 1 1 1 each
    x = x + brightness - 0.5
    grey = x.mean(1, keepdim=True)  # n 1 h w
    x = grey + 2 * saturation * (x - grey)
    mean = x.mean((1, 2, 3), keepdim=True)  # n 1 1 1
    return mean + (contrast + 0.5) * (x - mean)


def translation(x: Tensor, draws: Tensor) -> Tensor:  # n c h w, n 7
    """Moved by a whole number of pixels, up to an eighth of the side either way; what comes in is grey."""
    for dim, column in ((2, 3), (3, 4)):
        side = x.shape[dim]
        furthest = round(SHIFT * side)
        shift = whole(draws[:, column], 2 * furthest + 1) - furthest  # n
        shape = [len(x), 1, 1, 1]
        shape[dim] = side
        source = (torch.arange(side, device=x.device) - shift[:, None]).reshape(shape)  # where each line comes from
        inside = (source >= 0) & (source < side)
        x = torch.gather(x, dim, source.clamp(0, side - 1).expand_as(x)) * inside
    return x


def cutout(x: Tensor, draws: Tensor) -> Tensor:  # n c h w, n 7
    """A square of half the side becomes grey. Its centre is any pixel, so it may hang over the border."""
    hidden = torch.ones(len(x), 1, 1, 1, dtype=torch.bool, device=x.device)
    for dim, column in ((2, 5), (3, 6)):
        side = x.shape[dim]
        length = round(SQUARE * side)
        first = whole(draws[:, column], side) - length // 2  # n
        shape = [len(x), 1, 1, 1]
        shape[dim] = side
        at = torch.arange(side, device=x.device) - first[:, None]
        hidden = hidden & ((at >= 0) & (at < length)).reshape(shape)  # n 1 h w in the end
    return x.masked_fill(hidden, 0.0)


def whole(draws: Tensor, count: int) -> Tensor:
    """Uniform in [0, 1) → 0, 1, ..., count - 1, all equally likely."""
    return (draws * count).long().clamp(max=count - 1)  # rounding can reach count


STEPS = {"colour": colour, "translation": translation, "cutout": cutout}
assert set(STEPS) == set(get_args(Augmentation))

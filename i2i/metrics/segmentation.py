"""Scores of segmentation maps against their truth (Long et al. 2015, arXiv 1411.4038, section 5).

With n_ij pixels of class i that are told to be of class j, and t_i = Σ_j n_ij, over all pictures of a set:

    pixel accuracy  Σ_i n_ii / Σ_i t_i        mean IoU  1/n_cl Σ_i n_ii / (t_i + Σ_j n_ji - n_ii)

Shapes: n pictures, c classes, h w size.
"""

import torch
from torch import Tensor


def counts(fake: Tensor, real: Tensor) -> Tensor:
    """n c h w scores and truth, of which the highest is the class → n 3 c int64: for each class of each picture the
    pixels where it is told and true (n_ii), where it is true (t_i), and where it is told (Σ_j n_ji)."""
    told, true = fake.argmax(1).flatten(1), real.argmax(1).flatten(1)  # n hw
    right = (told == true).long()
    one, none = torch.ones_like(right), torch.zeros(len(real), real.shape[1], dtype=torch.int64, device=real.device)
    return torch.stack(
        [none.scatter_add(1, true, right), none.scatter_add(1, true, one), none.scatter_add(1, told, one)], dim=1
    )


def pixel_accuracy(counted: Tensor) -> float:
    """Of the `counts` of a set, from 0 to 1."""
    right, true, _ = counted.sum(0)
    return (right.sum() / true.sum()).item()


def mean_iou(counted: Tensor) -> float:
    """Of the `counts` of a set, from 0 to 1; over the classes that are true or told somewhere in it."""
    right, true, told = counted.sum(0).double()
    union = true + told - right
    there = union > 0
    return (right[there] / union[there]).mean().item()

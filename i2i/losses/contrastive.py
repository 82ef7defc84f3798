"""Contrastive losses: tell what belongs together from what does not.

Shapes: n pictures, k places of each, u units.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def patch_nce(query: Tensor, key: Tensor, temperature: float = 0.07) -> Tensor:  # n k u both
    """The cross-entropy of finding, among the k keys of its picture, the one at a query's own place: a scalar, float32.

    PatchNCE (Park et al. 2020, section 3) as the mean over places and pictures: -log of exp(q·k₊ / τ) over the sum of
    that and of exp(q·k₋ / τ) for the k - 1 other places. log k where all places look alike, 0 at best.
    Keys are constants: the output is drawn to its input, and nothing is gained by moving the input. Raises ValueError
    where shapes differ.
    """
    if query.shape != key.shape or query.ndim != 3:
        raise ValueError(
            f"patch_nce expected queries and keys of one shape n × k × u; "
            f"got {tuple(query.shape)} and {tuple(key.shape)}"
        )
    with torch.autocast(query.device.type, enabled=False):  # a small difference over 0.07 is a large one
        logits = query.float() @ key.detach().float().mT / temperature  # n k k
        own = torch.arange(query.shape[1], device=query.device).repeat(len(query))
        return F.cross_entropy(logits.flatten(0, 1), own)

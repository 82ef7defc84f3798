"""The Inception score, of a classifier's opinion of pictures: is each something clearly, and are they many things?

Shapes: n pictures, k classes.
"""

import torch
from torch import Tensor

from i2i.errors import UserError

SUM = 1e-3  # by which the probabilities of a picture may miss 1


def inception_score(probabilities: Tensor, splits: int = 10) -> tuple[float, float]:  # n k
    """exp E_x KL(p(y|x) ‖ p(y)) (Salimans et al. 2016, section 4), from 1 to k: mean and deviation over so many
    splits of the pictures, in their order.

    Any classifier's probabilities will do, and only scores by the same one compare; the published figures are those of
    Inception, of 50,000 pictures in 10 splits. It does not look at real pictures: put their own score beside it. A
    generator that draws one good picture of each class has the highest. Biased: it grows with the pictures of a split.
    Raises UserError for what are no probabilities, and for fewer pictures than splits.
    """
    if probabilities.ndim != 2 or splits < 1 or len(probabilities) < splits:
        raise UserError(
            f"The Inception score expects probabilities n × classes of at least {max(splits, 1)} pictures, one for "
            f"each split; got {' × '.join(map(str, probabilities.shape))} and splits={splits}."
        )
    p = probabilities.detach().double()
    if not (p >= 0).all() or not ((p.sum(1) - 1).abs() <= SUM).all():
        raise UserError(
            "The Inception score expects probabilities, ≥ 0 and 1 in sum; logits become some by softmax(1)."
        )
    scores = torch.stack([_score(part) for part in p.tensor_split(splits)])
    return scores.mean().item(), scores.std(correction=0).item()


def _score(p: Tensor) -> Tensor:
    """Where a probability is 0 its term is 0, the limit of p log p."""
    gained: Tensor = torch.special.xlogy(p, p) - torch.special.xlogy(p, p.mean(0))
    return gained.sum(1).mean().exp()

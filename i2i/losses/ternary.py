"""The Domain Transfer Network's three verdicts: what a picture is made from, or that nobody made it.

Taigman et al. 2016 (arXiv 1611.02200), L_D and L_GANG of section 4: D tells pictures made from the source, pictures
made from the target, and the target's own apart, and G wants all that it makes to be taken for the last.

Shapes: n pictures, p q places that are judged; the three logits are the channels.
"""

from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor

Verdict = Literal["from source", "from target", "real"]  # D₁, D₂ and D₃ of the paper
VERDICTS = get_args(Verdict)


def ternary(logits: Tensor, verdict: Verdict) -> Tensor:  # n 3 p q
    """-log D of that verdict, the mean over pictures and places: scalar, in float32.

    log 3 where D knows nothing. Raises ValueError for another number of logits.
    """
    if logits.ndim != 4 or logits.shape[1] != len(VERDICTS):
        raise ValueError(f"ternary expected logits n × 3 × p × q; got {tuple(logits.shape)}")
    return -F.log_softmax(logits.float(), dim=1)[:, VERDICTS.index(verdict)].mean()

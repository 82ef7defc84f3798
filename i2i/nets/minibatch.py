"""Minibatch discrimination (Salimans et al. 2016, section 3.2): a discriminator sees how alike the pictures of a batch
are, so that a generator which always draws the same is found out.

Shapes: n pictures, f features, p q map, b kernels, c dimensions of a kernel.
"""

import torch
from torch import Tensor, nn


def compared(features: int, kernels: int) -> nn.Module:
    """What a discriminator's last layer sees: the hidden features, with `kernels` more if there are any."""
    return MinibatchDiscrimination(features, kernels) if kernels else nn.Identity()


class MinibatchDiscrimination(nn.Module):
    """Appends to the features of each picture how near the others of its batch lie, b sums of n - 1 terms in [0, 1]:

        M_i = f(x_i) T      o(x_i)_b = Σ_{j≠i} exp(-‖M_{i,b} - M_{j,b}‖₁)

    A map is seen by its mean over the places, and o is the same at each of them. Real and fake batches have to pass
    separately, and what a picture is called depends on the others: on the number of processes, too, since each compares
    only its own share. From the authors' code it differs by the paper's formula: no learned bias and scale on o and T.
    In classifiers it belongs to no generator that matches features (ibid., section 5).
    """

    mixes_batch = True  # a batch cannot be played in parts

    def __init__(self, features: int, kernels: int = 100, dim: int = 5) -> None:
        super().__init__()
        self.features, self.kernels, self.dim = features, kernels, dim
        self.tensor = nn.Parameter(torch.empty(features, kernels, dim))  # T
        # Pictures whose features differ by about one are then about one apart: neither all alike nor all strangers.
        nn.init.normal_(self.tensor, 0.0, 1 / (dim * features**0.5))

    @property
    def outputs(self) -> int:
        """Features or channels of what comes out."""
        return self.features + self.kernels

    def forward(self, h: Tensor) -> Tensor:  # n f, or n f p q
        if h.ndim not in (2, 4) or h.shape[1] != self.features:
            raise ValueError(f"MinibatchDiscrimination expected n × {self.features} (× p × q); got {tuple(h.shape)}")
        o = self.likeness(h.mean((2, 3)) if h.ndim == 4 else h).to(h.dtype)  # n b
        if h.ndim == 4:
            o = o[:, :, None, None].expand(-1, -1, *h.shape[2:])
        return torch.cat([h, o], dim=1)  # n f+b (p q)

    def likeness(self, f: Tensor) -> Tensor:  # n f
        """o of the paper, n b, in float32 whatever the precision around it: it is made of small differences."""
        with torch.autocast(f.device.type, enabled=False):
            m = torch.einsum("nf,fbc->nbc", f.float(), self.tensor.float())
            apart = (m[:, None] - m[None]).abs().sum(3)  # n n b
            own = torch.eye(len(f), dtype=torch.bool, device=f.device)[:, :, None]
            return torch.exp(-apart).masked_fill(own, 0).sum(1)

"""Gradient penalties: terms that keep a critic smooth in its input. Multiply them by the recipe's weight.

A critic's verdict on one sample is what the adversarial rules average: the mean over its map, summed over scales.
Each sample's gradient must depend on that sample alone, so a critic with batch norm has no meaningful penalty.

Shapes: n samples, ... any further dimensions.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Critic = Callable[[Tensor], Tensor | Sequence[Tensor]]


def gradient_penalty(critic: Critic, real: Tensor, fake: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """E (‖∇f(x̂)‖₂ - 1)² at random points x̂ between real and fake: WGAN-GP (Gulrajani et al. 2017, equation 3).

    Two-sided, one ε a sample, drawn from `generator` (on the device of the samples). Scalar; differentiable in the
    critic only. Raises ValueError when real and fake differ in shape.
    """
    if real.shape != fake.shape:
        raise ValueError(f"gradient penalty expected fake of shape {tuple(real.shape)}; got {tuple(fake.shape)}")
    each = (len(real), *[1] * (real.ndim - 1))
    epsilon = torch.rand(each, device=real.device, generator=generator)  # n 1 ...
    between = epsilon * real.detach().float() + (1 - epsilon) * fake.detach().float()  # n ...
    norm = input_gradient(critic, between).flatten(1).norm(dim=1)  # n
    return (norm - 1).square().mean()


def r1(critic: Critic, real: Tensor) -> Tensor:
    """½ E ‖∇D(x)‖₂² on real samples (Mescheder et al. 2018, equation 9, for γ = 1). Scalar."""
    return input_gradient(critic, real.detach().float()).flatten(1).square().sum(dim=1).mean() / 2


def input_gradient(critic: Critic, x: Tensor) -> Tensor:  # n ...
    """∂ verdict / ∂ x for each sample, itself differentiable in the critic's weights."""
    x = x.requires_grad_()
    logits = critic(x)
    scales = [logits] if isinstance(logits, Tensor) else logits
    verdict = torch.stack([scale.float().reshape(len(x), -1).mean(dim=1) for scale in scales]).sum()
    (gradient,) = torch.autograd.grad(verdict, x, create_graph=True)
    return gradient  # n ...

"""Losses: pure functions, tensors in, one scalar out. Weights are multiplied where they are used: a model's phase."""

from i2i.losses.adversarial import RULES, Logits, Name, Rule, rule
from i2i.losses.contrastive import patch_nce
from i2i.losses.diffaugment import DRAWS, Augmentation, diffaugment, geometric
from i2i.losses.penalties import gradient_penalty, r1
from i2i.losses.reconstruction import feature_matching, l1, l2, ssim

__all__ = [
    "DRAWS",
    "RULES",
    "Augmentation",
    "Logits",
    "Name",
    "Rule",
    "diffaugment",
    "feature_matching",
    "geometric",
    "gradient_penalty",
    "l1",
    "l2",
    "patch_nce",
    "r1",
    "rule",
    "ssim",
]

"""What the Pix2Pix discriminator is shown. That a step is the paper's: `test_one_step_equals_a_plain_one`."""

import itertools
from typing import Any

import torch
from torch import Tensor

from i2i import recipe
from i2i.engine.game import Game
from i2i.models.pix2pix import Pix2Pix

TREE = {
    "model": "pix2pix",
    "data": {"layout": "paired", "root": "unused", "crop": 16},
    "generator": {"kind": "unet", "levels": 2, "width": 4},
    "discriminator": {"kind": "patch", "layers": 1, "width": 4},
    "schedule": [{"phase": "adversarial", "steps": 1}],
}


def shown(**changes: Any) -> tuple[list[Tensor], Tensor, Tensor]:
    """The pairs that D sees in one step: true, made, and made again for the generator; and the batch."""
    torch.manual_seed(0)
    settings: Any = recipe.build({**TREE, **changes}, "test")
    model = Pix2Pix(settings)
    a, b = torch.rand(2, 4, 3, 16, 16) + 0.1
    pairs: list[Tensor] = []
    model.judge.register_forward_pre_hook(lambda _, inputs: pairs.append(inputs[0].detach()))
    model.adversarial(itertools.repeat((a, b)), Game(model.players(settings)))
    return pairs, a, b


def test_without_a_policy_the_discriminator_sees_the_pictures_as_they_are() -> None:
    (true, made, again), a, b = shown()
    assert torch.equal(true, torch.cat([a, b], dim=1))
    assert torch.equal(made[:, :3], a)
    assert torch.equal(made, again)


def test_true_and_made_answers_and_the_question_are_augmented_alike() -> None:
    (true, made, again), a, _ = shown(diffaugment=["colour", "translation", "cutout"])
    assert torch.equal(made, again)
    assert torch.equal(true[:, :3], made[:, :3])
    assert not torch.equal(true[:, :3], a)
    grey = true[:, :3] == 0
    assert grey.any()
    assert torch.equal(true[:, 3:] == 0, grey)
    assert torch.equal(made[:, 3:] == 0, grey)

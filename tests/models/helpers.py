"""What several model tests share: tiny runs on generated pictures."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from i2i import recipe
from i2i.engine.settings import Settings
from i2i.session import Session

CPU = torch.device("cpu")


def folder(root: Path, count: int = 6, size: int = 16) -> Path:
    """Pictures in trainA and trainB under equal names: smooth colours, b the negative of a."""
    rng = np.random.default_rng(0)
    for side in "AB":
        (root / f"train{side}").mkdir(parents=True)
    for i in range(count):
        small = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
        a = np.asarray(small.resize((size, size), Image.Resampling.BILINEAR))
        Image.fromarray(a).save(root / "trainA" / f"{i}.png")
        Image.fromarray(255 - a).save(root / "trainB" / f"{i}.png")
    return root


TINY: dict[str, dict[str, Any]] = {
    "pix2pix": {
        "data": {"layout": "paired", "crop": 16, "split": {"val": 0, "test": 0}},
        "generator": {"kind": "unet", "levels": 2, "width": 4, "dropout": 0.5},
        "discriminator": {"kind": "patch", "layers": 1, "width": 4, "norm": "batch"},
    },
    "cyclegan": {
        "data": {"layout": "unpaired", "crop": 16, "split": {"val": 0, "test": 0}},
        "generator": {"kind": "resnet", "blocks": 1, "width": 4},
        "discriminator": {"kind": "patch", "layers": 1, "width": 4},
        "history": 4,
    },
}


def tiny(model: str, root: Path, **changes: Any) -> Settings:
    """The smallest recipe that has everything a run can have."""
    tree = {"model": model, "batch": 2, "schedule": [{"phase": "adversarial", "steps": 8}], **TINY[model], **changes}
    tree["data"] = {**tree["data"], "root": str(root)}
    return recipe.build(tree, "test")


def session(settings: Settings, run: Path) -> Session:
    return Session(settings, run, CPU)

"""What several tests share: tiny runs on generated pictures, and all that can be compared of two runs."""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from i2i import evaluation, recipe, selection, store, zoo
from i2i import session as session_module
from i2i.engine import checkpoint, monitor, report
from i2i.engine.ranks import digest
from i2i.engine.settings import Settings
from i2i.selection import Selection
from i2i.session import STATES, Session

CPU = torch.device("cpu")


def folder(root: Path, count: int = 6, size: int = 16, splits: tuple[str, ...] = ("train",)) -> Path:
    """Pictures in trainA and trainB under equal names: smooth colours, b the negative of a."""
    rng = np.random.default_rng(0)
    for split in splits:
        for side in "AB":
            (root / f"{split}{side}").mkdir(parents=True)
        for i in range(count if split == "train" else 2):
            small = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
            a = np.asarray(small.resize((size, size), Image.Resampling.BILINEAR))
            Image.fromarray(a).save(root / f"{split}A" / f"{i}.png")
            Image.fromarray(255 - a).save(root / f"{split}B" / f"{i}.png")
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
EVERY = {"log_every": 3, "validate_every": 2, "sample_every": 4, "save_every": 3, "samples": 2}  # out of step


def tiny(model: str, root: Path, **changes: Any) -> Settings:
    """The smallest recipe that has everything a run can have."""
    schedule = [{"phase": "adversarial", "steps": 8, "lr": "flat-then-linear"}]
    tree = {"model": model, "batch": 2, "schedule": schedule, **TINY[model], **changes}
    tree["data"] = {**TINY[model]["data"], "root": str(root), **changes.get("data", {})}
    return recipe.build(tree, "test")


def session(settings: Settings, run: Path) -> Session:
    return Session(settings, run, CPU)


def cheap(patch: pytest.MonkeyPatch) -> None:
    """No estimates, no report, and scores that cost nothing: `l1` is best at step 4, `bits` tells of every bit."""
    scored: list[int] = []  # the step that is being validated

    def bits(networks: Mapping[str, torch.nn.Module]) -> float:
        told = digest(value for _, network in sorted(networks.items()) for value in network.state_dict().values())
        return int(told[:12], 16) / 2**48

    def remembering(self: Selection, step: int, *arguments: Any) -> None:
        scored[:] = [step]
        score_at(self, step, *arguments)

    def validate(_: Any, product: Any, *__: Any, watch: Callable[[], None], **___: Any) -> dict[str, float]:
        for _ in range(4):  # batches, long enough to be killed in
            watch()
            time.sleep(0.003)
        return {"l1": abs(scored[0] - 4.5), "bits": bits(product)}

    class Told:
        def __init__(self, found: dict[str, float]) -> None:
            self.found = found

        def json(self) -> str:
            return json.dumps({"scores": {"model": {name: {"mean": value} for name, value in self.found.items()}}})

    def of_model(model: zoo.Model, *_: Any, watch: Callable[[], None], **__: Any) -> Told:
        watch()
        return Told({"l1": model.step, "bits": bits(model.product)})

    score_at = Selection.score
    patch.setattr(Selection, "score", remembering)
    patch.setattr(session_module, "fitted", lambda settings, *_: settings)
    patch.setattr(selection, "validate", validate)
    for module in (session_module, selection, evaluation):
        patch.setattr(module, "criterion", lambda _: ("l1", False))
    patch.setattr(evaluation, "of_model", of_model)
    patch.setattr(report, "write", lambda run, *_: run / "report.html")


def everything(run: Session) -> dict[str, Any]:
    """All in memory that a run's future depends on."""
    return {
        "model": run.model.state_dict(),
        "optimisers": {name: player.optimiser.state_dict() for name, player in run.game.players.items()},
        "scalers": {name: scaler.state_dict() for name, scaler in run.game.scalers.items()},
        "ema": run.ema.state_dict() if run.ema else None,
        "counters": [run.done, run.position, run.batches.position, run.returns, run.game.brake],
        "unlogged": run.unlogged,
    }


def outcome(run: Path) -> dict[str, Any]:
    """All on disk that a run comes to, but for times: two runs of equal outcome are the same run."""
    state, passed = checkpoint.newest(run / STATES, CPU)
    return {
        "state": state,
        "passed": passed,
        "steps": sorted(path.name for path in (run / STATES).iterdir()),
        "losses": [(line["step"], line["rate"], line["losses"]) for line in monitor.read(run)],
        "validation": monitor.read(run, monitor.VALIDATION),
        "alarms": monitor.read(run, monitor.ALARMS),
        **{name: (run / name).read_bytes() if (run / name).is_file() else b""
           for name in (store.FILE, store.BEST, "test.json")},
        "samples": {path.name: path.read_bytes() for path in sorted((run / "samples").iterdir())},
        "left": [path.name for path in run.rglob("*.tmp")],
    }  # fmt: skip


def assert_same(a: Any, b: Any, path: str = "") -> None:
    assert type(a) is type(b), path
    if isinstance(a, torch.Tensor):
        assert a.dtype == b.dtype, path
        assert torch.equal(a, b), path
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), path
        for key in a:
            assert_same(a[key], b[key], f"{path}/{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), path
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_same(x, y, f"{path}/{i}")
    else:
        assert a == b, path

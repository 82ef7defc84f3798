"""A line of a recipe switches a technique on, whatever the model: it is played and changes what is learnt."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from i2i import recipe, zoo
from i2i.engine.game import Game
from i2i.models import MODELS
from i2i.nets import DCGANGeneratorSpec

PAIRED: dict[str, Any] = {"layout": "paired", "root": "unused", "crop": 32, "split": {"val": 0, "test": 0}}
UNPAIRED = {**PAIRED, "layout": "unpaired"}
PATCH = {"discriminator": {"kind": "patch", "layers": 1, "width": 4}}
MODEL: dict[str, dict[str, Any]] = {
    "gan": {
        "data": {**PAIRED, "layout": "unlabelled"},
        "generator": {"noise": 4, "width": 8, "depth": 1},
        "discriminator": {"width": 8, "depth": 1},
    },
    "dcgan": {
        "data": {**PAIRED, "layout": "unlabelled"},
        "generator": {"kind": "dcgan", "noise": 4, "width": 4},
        "discriminator": {"kind": "dcgan", "width": 4, "norm": "instance"},
    },
    "pix2pix": {"data": PAIRED, "generator": {"kind": "unet", "levels": 2, "width": 4}, **PATCH},
    "cyclegan": {"data": UNPAIRED, "generator": {"kind": "resnet", "blocks": 1, "width": 4}, **PATCH},
    "cut": {"data": UNPAIRED, "generator": {"kind": "resnet", "blocks": 2, "width": 4}, "patches": 8, **PATCH},
    "unit": {"data": UNPAIRED, "generator": {"kind": "unit", "blocks": 2, "shared": 1, "width": 4}, **PATCH},
    "simgan": {"data": UNPAIRED, "generator": {"kind": "refiner", "blocks": 1, "width": 4}, **PATCH},
    "cartoongan": {"data": UNPAIRED, "generator": {"kind": "cartoon", "blocks": 1, "width": 4}, **PATCH},
    "pix2pixhd": {
        "data": PAIRED,
        "generator": {"kind": "coarse-to-fine", "levels": 1, "blocks": 1, "local_blocks": 1, "width": 4},
        "discriminator": {"kind": "multiscale", "scales": 2, "layers": 0, "width": 4},
    },
}
SWITCH: dict[str, dict[str, Any]] = {
    "wasserstein with WGAN-GP": {"loss": "wasserstein", "penalty": {"kind": "gradient"}},
    "R1": {"penalty": {"kind": "r1"}},
    "hinge": {"loss": "hinge"},
    "one-sided smoothing": {"smooth": 0.9},
    "DiffAugment": {"diffaugment": ["translation", "cutout"]},
    "ADA": {"diffaugment": ["cutout"], "ada": {"pictures": 4, "target": -0.9}},
    "feature matching": {"feature_matching": 10},
    "historical averaging": {"historical": 1},
    "spectral norm": {"discriminator": {"spectral": True}},
    "minibatch discrimination": {"discriminator": {"minibatch": 3}},
}
NOT_FOR = {
    ("pix2pixhd", "feature matching"),  # it has its own
    ("gan", "spectral norm"),  # its networks are those of 2014
}


def phase_of(model: str) -> str:
    return "joint" if model == "pix2pixhd" else "adversarial"


def settings(model: str, switch: str = "") -> Any:
    changes = dict(SWITCH.get(switch, {}))
    tree = {"model": model, "batch": 3, "schedule": [{"phase": phase_of(model), "steps": 3}], **MODEL[model]}
    if "discriminator" in changes:
        changes["discriminator"] = {**tree["discriminator"], **changes["discriminator"]}
    if weight := changes.pop("historical", None):
        names = list(type(recipe.build(tree, "test").players).model_fields)
        changes["players"] = {name: {"historical": weight} for name in names}
    return recipe.build({**tree, **changes}, "test")


def batches(model: str) -> Any:
    draw = torch.Generator().manual_seed(1)
    sides = 1 if model in ("gan", "dcgan") else 2
    for _ in itertools.count():
        x = torch.rand(sides, 3, 3, 32, 32, generator=draw) * 2 - 1
        yield x[0] if sides == 1 else tuple(x)


def played(told: Any, steps: int = 3) -> tuple[Any, Game]:
    torch.manual_seed(0)
    model: Any = MODELS[type(told)](told)
    game = Game(model.players(told))
    torch.manual_seed(1)
    drawn = batches(told.model)
    for _ in range(steps):
        getattr(model, phase_of(told.model))(drawn, game)
    return model, game


def everything(model: Any) -> torch.Tensor:
    return torch.cat([value.flatten().float() for value in model.product().values() for value in value.parameters()])


@pytest.fixture(scope="module")
def plain() -> dict[str, torch.Tensor]:
    return {model: everything(played(settings(model))[0]) for model in MODEL}


@pytest.mark.parametrize("switch", SWITCH)
@pytest.mark.parametrize("model", MODEL)
def test_every_model_takes_every_switch_and_is_moved_by_it(model: str, switch: str, plain: Any) -> None:
    if (model, switch) in NOT_FOR:
        pytest.skip("not for this model")
    moved, game = played(settings(model, switch))
    weights = everything(moved)
    assert weights.isfinite().all()
    assert not torch.equal(weights, plain[model])
    assert all(value.isfinite() for value in game.log.values())


def test_every_adversarial_model_is_here() -> None:
    """DTN and the semi-supervised GAN have discriminators with more verdicts than two, and rules of their own."""
    names = {kind.model_fields["model"].annotation.__args__[0] for kind in MODELS}  # type: ignore[union-attr]
    assert names - set(MODEL) == {"dtn", "semigan", "imported"}


def test_ada_goes_on_where_it_stopped() -> None:
    model, _ = played(settings("cyclegan", "ADA"))
    state = model.state_dict()
    assert {name for name in state if "chance" in name} == {"loss_a.chance", "loss_b.chance"}
    again: Any = MODELS[type(settings("cyclegan", "ADA"))](settings("cyclegan", "ADA"))
    again.load_state_dict(state)
    assert torch.equal(again.loss_b.trust, model.loss_b.trust)
    assert model.loss_b.trust != 0


def test_virtual_batch_norm_is_a_line_of_the_generator_and_is_kept_with_it(tmp_path: Path) -> None:
    told = settings("dcgan").model_copy(update={"generator": DCGANGeneratorSpec(noise=4, width=4, virtual=5)})
    model, _ = played(told)
    net = model.product()["generator"].eval()
    z = torch.randn(3, 4)
    with torch.no_grad():
        assert torch.equal(net(z)[1], net(torch.stack([-z[0], z[1], z[1]]))[1])  # whatever the others are
    zoo.save(tmp_path / "m.safetensors", model.product(), told, 3, "none")
    kept = zoo.load(tmp_path / "m.safetensors", torch.device("cpu")).product["generator"]
    with torch.no_grad():
        assert torch.equal(kept.eval()(z), net(z))


def test_virtual_batch_norm_needs_batch_norms_to_replace() -> None:
    with pytest.raises(ValidationError, match="takes the place of norm: batch"):
        DCGANGeneratorSpec(norm="instance", virtual=5)

"""CUT: its step is the paper's, who is taught by whom, and a run of it is like any other."""

import copy
from math import log
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from i2i import recipe
from i2i.engine.game import Game
from i2i.errors import UserError

from .helpers import folder
from .translators import (
    assert_file_scores_and_export,
    assert_parts_and_ranks_move_like_one,
    assert_resume_is_exact,
    model_of,
    sides,
)

TREE: dict[str, Any] = {
    "model": "cut",
    "data": {"layout": "unpaired", "root": "unused", "crop": 16, "split": {"val": 0, "test": 0}},
    # Weights of a usual size: normalised after two layers of 0.02, gradients are thousands, which Adam alone survives.
    "generator": {"kind": "resnet", "blocks": 2, "width": 4, "init": "kaiming"},
    "discriminator": {"kind": "patch", "layers": 1, "width": 4},
    "head": {"units": 32, "init": "kaiming"},
    "batch": 2,
    "schedule": [{"phase": "adversarial", "steps": 6, "lr": "flat-then-linear"}],
}
FAST = {"weights": {"nce": 10, "identity": 0}, "flip_equivariance": True}
STEPS = 3


def tree(**changes: Any) -> dict[str, Any]:
    return {**TREE, **changes, "data": {**TREE["data"], **changes.get("data", {})}}


def settings(**changes: Any) -> Any:
    return recipe.build(tree(**changes), "test")


def moved(model: nn.Module, before: nn.Module) -> set[str]:
    """The children of which some weight has changed."""
    pairs = zip(model.named_parameters(), before.parameters(), strict=True)
    return {name.split(".")[0] for (name, now), then in pairs if not torch.equal(now, then)}


# ---- the step


def convolved(net: nn.Module, x: Tensor) -> list[Tensor]:
    """Pixels, the two convolutions that halve, the first block: the paper's, in a generator of two blocks."""
    found = [x]
    for i, layer in enumerate(net.encode):
        x = layer(x)
        if i in (3, 6):  # 7×7 norm ReLU | 3×3 norm ReLU | 3×3 norm ReLU
            found.append(x)
    return [*found, net.trunk[0](x)]


def contrasted(model: nn.Module, output: Tensor, source: Tensor, patches: int, turned: Tensor | None) -> Tensor:
    """L_PatchNCE, a place, a layer and a picture at a time."""
    outs, ins = convolved(model.generator, output), convolved(model.generator, source)
    if turned is not None:
        outs = [torch.stack([y.flip(2) if t else y for y, t in zip(seen, turned, strict=True)]) for seen in outs]
    chosen = [torch.randperm(seen.shape[2] * seen.shape[3])[:patches] for seen in outs]
    layers = []
    for out, inside, places, (first, _, second) in zip(outs, ins, chosen, model.head.heads, strict=True):
        terms = []
        for y, x in zip(out, inside, strict=True):

            def sphere(seen: Tensor, at: Any, first: nn.Module = first, second: nn.Module = second) -> Tensor:
                point = second(first(seen.flatten(1)[:, at]).relu())
                return point / point.norm().clamp_min(1e-4)

            keys = torch.stack([sphere(x, at) for at in places]).detach()
            for s, at in enumerate(places):
                logits = keys @ sphere(y, at) / 0.07
                terms.append(logits.logsumexp(0) - logits[s])
        layers.append(torch.stack(terms).mean())
    return torch.stack(layers).mean()


@pytest.mark.parametrize(
    ("kind", "changes"), [("adam", {}), ("sgd", {}), ("sgd", FAST)], ids=["adam", "sgd", "sgd, FastCUT"]
)
def test_a_step_equals_one_written_plainly(kind: str, changes: dict[str, Any]) -> None:
    rate = 2e-4 if kind == "adam" else 1e-3
    player = {"kind": kind, "lr": rate}
    told = settings(patches=6, players={"generator": player, "discriminator": player}, **changes)
    start, data = model_of(told), sides(STEPS)
    ours, plain = copy.deepcopy(start), copy.deepcopy(start)
    game = Game(ours.players(told))
    for step, batch in enumerate(data):
        torch.manual_seed(step)
        ours.adversarial(iter([batch]), game)

    def optimiser(*nets: nn.Module) -> torch.optim.Optimizer:
        weights = [p for net in nets for p in net.parameters()]
        if kind == "adam":
            return torch.optim.Adam(weights, lr=rate, betas=(0.5, 0.999))
        return torch.optim.SGD(weights, lr=rate)

    g, d = plain.generator, plain.judge
    g_optimiser, d_optimiser = optimiser(g, plain.head), optimiser(d)
    x_weight, y_weight = (10, 0) if changes else (1, 1)
    for step, (a, b) in enumerate(data):
        torch.manual_seed(step)
        turned = torch.rand(2) < 0.5 if changes else None
        fake = g(a if turned is None else torch.stack([x.flip(2) if t else x for x, t in zip(a, turned, strict=True)]))
        d_optimiser.zero_grad()
        (0.5 * ((d(b) - 1).pow(2).mean() + d(fake.detach()).pow(2).mean())).backward()
        d_optimiser.step()
        g_optimiser.zero_grad()
        loss = (d(fake) - 1).pow(2).mean() + x_weight * contrasted(plain, fake, a, 6, turned)
        if y_weight:
            loss = loss + contrasted(plain, g(b), b, 6, None)
        loss.backward()
        g_optimiser.step()
    for (name, x), y, z in zip(ours.named_parameters(), plain.parameters(), start.parameters(), strict=True):
        assert (x - y).abs().max() <= 1e-5, name
        assert not torch.equal(x, z), f"{name} did not train"


def test_each_turn_moves_its_player_and_the_heads_move_with_the_generator() -> None:
    told = settings()
    model = model_of(told)
    game, states = Game(model.players(told)), [copy.deepcopy(model)]
    turn = type(game).turn

    class Watched(Game):
        def turn(self, name: str) -> Any:
            states.append(copy.deepcopy(model))
            return turn(self, name)

    game.__class__ = Watched
    model.adversarial(iter(sides(1)), game)
    assert moved(states[2], states[1]) == {"judge"}
    assert moved(model, states[2]) == {"generator", "head"}
    assert list(model.product()) == ["a2b"]
    assert list(game.log) == [
        "discriminator/real", "discriminator/fake", "generator/adversarial", "generator/nce", "generator/identity"
    ]  # fmt: skip


def test_a_picture_finds_its_own_places_and_not_those_of_another() -> None:
    """Its own places, those of the next picture, and a flat picture whose places are all alike."""
    model = model_of(settings(patches=64))
    x = F.interpolate(torch.rand(4, 3, 8, 8) * 2 - 1, size=16)
    own = model.patch_nce(x, x, None).item()
    other = model.patch_nce(x, x.roll(1, 0), None).item()
    flat = model.patch_nce(x[:, :, :1, :1].expand_as(x), x, None).item()
    guessing = (2 * log(64) + 2 * log(16)) / 4  # of 256 and of 64 places 64 are asked, and twice all 16
    assert own < 0.6 * guessing < guessing < other
    assert flat > guessing - 1e-3


def test_the_input_is_a_constant_and_the_output_is_drawn_to_it() -> None:
    model = model_of(settings())
    output, source = (side.clone().requires_grad_() for side in sides(1)[0])
    model.patch_nce(output, source, None).backward()
    assert source.grad is None
    assert output.grad is not None
    assert output.grad.abs().max() > 0


def test_mirrored_features_are_those_of_the_mirrored_picture() -> None:
    """What the flip equivariance of FastCUT asks for is nothing, where the network has no left and right."""
    model = model_of(settings(generator={"kind": "resnet", "blocks": 1, "width": 4}, patches=256))
    with torch.no_grad():
        for parameter in model.generator.parameters():
            if parameter.ndim == 4:
                parameter.copy_((parameter + parameter.flip(3)) / 2)
    a = sides(1)[0][0]
    turned = torch.tensor([True, False])
    # Striding by two begins at the left, so only full size is compared.
    assert model.layers == (0, 2, 3, 4)
    model.layers = (0, 1)
    model.head.heads = nn.ModuleList(
        [model.head.heads[0], nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 32))]
    )
    straight = model.patch_nce(a, a, None)
    mirrored = model.patch_nce(torch.stack([a[0].flip(2), a[1]]), a, turned)
    assert torch.allclose(straight, mirrored, atol=1e-5)


def test_without_its_terms_the_contrast_is_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    told = settings(weights={"nce": 0, "identity": 0})
    model = model_of(told)
    monkeypatch.setattr(model, "patch_nce", lambda *_: pytest.fail("it was computed"))
    game = Game(model.players(told))
    model.adversarial(iter(sides(1)), game)
    assert game.log.keys() == {"generator/adversarial", "discriminator/real", "discriminator/fake"}


# ---- the recipe


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": {"channels": {"a": 1, "b": 3}}}, "same channels on both sides; got a: 1, b: 3"),
        ({"layers": [0, 2, 6]}, r"from 0 to 5 with 2 blocks, such as \[0, 2, 3, 4\]; got \[0, 2, 6\]"),
        ({"layers": [3, 2]}, "ascending order"),
        ({"generator": {"kind": "unet"}}, "generator"),
        ({"weights": {"nec": 1}}, "Did you mean nce"),
        ({"patches": 1}, "patches"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        settings(**changes)


def test_shipped_recipes_are_cut_and_fastcut() -> None:
    """Park et al. 2020, section 4.1 and the appendix."""
    cut: Any = recipe.load("cut_map2satellite")
    assert (cut.weights.nce, cut.weights.identity, cut.flip_equivariance, cut.temperature) == (1, 1, False, 0.07)
    fast: Any = recipe.load("fastcut_map2satellite")
    assert (fast.weights.nce, fast.weights.identity, fast.flip_equivariance) == (10, 0, True)
    assert (cut.loss, cut.head.units) == ("least-squares", 256)


# ---- the run


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder(tmp_path_factory.mktemp("data") / "pictures", splits=("train", "val", "test"))


def test_parts_of_a_batch_and_two_ranks_move_like_one() -> None:
    """With all places asked, since parts and ranks draw them in another order."""
    player = {"kind": "sgd", "lr": 1e-3}
    players = {"generator": player, "discriminator": player}
    assert_parts_and_ranks_move_like_one(tree(batch=4, patches=256, players=players))


def test_a_resumed_run_is_exact(pictures: Path, tmp_path: Path) -> None:
    changes = {"data": {"root": str(pictures)}, "ema": 0.9, "save_every": 1, "validate_every": None, "log": []}
    assert_resume_is_exact(settings(**changes, **FAST), tmp_path)


def test_a_model_is_kept_scored_and_exported_in_its_one_direction(pictures: Path, tmp_path: Path) -> None:
    told = settings(data={"root": str(pictures)}, generator={"kind": "compact", "blocks": 1, "width": 4})
    assert_file_scores_and_export(told, tmp_path, ["a2b"])

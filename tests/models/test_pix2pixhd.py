"""pix2pixHD: its phases move who they should by the paper's losses, and a run of all of them is like any other."""

import copy
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from together import together
from torch import Tensor, nn
from torch.nn import functional as F

from i2i import evaluation, export, recipe, zoo
from i2i.engine.game import Game
from i2i.engine.ranks import Ranks
from i2i.engine.settings import Settings
from i2i.errors import UserError
from i2i.models import MODELS
from i2i.models.pix2pixhd import Pix2PixHD, matching
from i2i.session import Session
from i2i.validation import validate

from .helpers import CPU, assert_same, everything, folder, session

TREE: dict[str, Any] = {
    "model": "pix2pixhd",
    "data": {"layout": "paired", "root": "unused", "crop": 16, "split": {"val": 0, "test": 0}},
    "generator": {"kind": "coarse-to-fine", "levels": 1, "blocks": 1, "local_blocks": 1, "width": 4},
    "discriminator": {"kind": "multiscale", "scales": 2, "layers": 0, "width": 4},
    "batch": 2,
    "schedule": [{"phase": "coarse", "steps": 2}, {"phase": "fine", "steps": 2}, {"phase": "joint", "steps": 2}],
}
PHASES = ("coarse", "fine", "joint")
MOVES = {"coarse": ("globe",), "fine": ("front", "back"), "joint": ("globe", "front", "back")}


def settings(**changes: Any) -> Any:
    tree = {**TREE, **changes}
    return recipe.build({**tree, "data": {**TREE["data"], **changes.get("data", {})}}, "test")


def model_of(told: Settings) -> Pix2PixHD:
    torch.manual_seed(0)
    model: Pix2PixHD = MODELS[type(told)](told)
    return model


def pairs(n: int = 3) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [tuple(torch.rand(2, 2, 3, 16, 16, generator=generator) * 2 - 1) for _ in range(n)]


# ---- the game


@pytest.mark.parametrize("phase", PHASES)
def test_only_the_part_of_the_generator_that_the_phase_names_moves(phase: str) -> None:
    told = settings()
    model = model_of(told)
    before = copy.deepcopy(model)
    getattr(model, phase)(iter(pairs()), Game(model.players(told)))
    for (name, now), then in zip(model.named_parameters(), before.parameters(), strict=True):
        part = name.split(".")[1] if name.startswith("generator") else "judge"
        moves = part == "judge" or part in MOVES[phase] or (part, phase) == ("globe_picture", "coarse")
        assert torch.equal(now, then) != moves, name
    assert model.generator.enhanced == (phase != "coarse")


def test_where_the_global_part_is_fixed_nothing_of_its_pass_is_kept() -> None:
    told = settings()
    model = model_of(told)
    kept = []
    model.generator.globe.register_forward_hook(lambda _, __, output: kept.append(output.requires_grad))
    game = Game(model.players(told))
    for phase in PHASES:
        getattr(model, phase)(iter(pairs()), game)
    assert kept == [True, False, True]


def test_the_first_phase_sees_pictures_of_half_the_size() -> None:
    told = settings()
    model = model_of(told)
    seen: list[torch.Size] = []
    model.judge.judges[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    game = Game(model.players(told))
    for phase in PHASES:
        getattr(model, phase)(iter(pairs()), game)
    assert {shape[-1] for shape in seen[: len(seen) // 3]} == {8}
    assert {shape[-1] for shape in seen[len(seen) // 3 :]} == {16}


def plain_features(judge: nn.Module, x: Tensor) -> list[list[Tensor]]:
    found = []
    for one in judge.judges:  # type: ignore[union-attr]
        layers = [x]
        for stage in one.stages:
            layers.append(stage(layers[-1]))
        found.append(layers[1:])
        x = (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4
    return found


@pytest.mark.parametrize("kind", ["adam", "sgd"])
def test_steps_of_all_phases_equal_steps_written_plainly(kind: str) -> None:
    player = {"kind": kind, "lr": 1e-3} if kind == "adam" else {"kind": "sgd", "lr": 1e-3, "momentum": 0.5}
    told = settings(players={"generator": player, "discriminator": player})
    start, data = model_of(told), pairs(6)
    ours, plain = copy.deepcopy(start), copy.deepcopy(start)
    game = Game(ours.players(told))
    for i, phase in enumerate(phase for phase in PHASES for _ in range(2)):
        getattr(ours, phase)(iter(data[i:]), game)

    g, d = plain.generator, plain.judge
    one, two = g.global_parameters(), g.local_parameters()

    def optimiser(weights: Any) -> torch.optim.Optimizer:
        if kind == "adam":
            return torch.optim.Adam(weights, lr=1e-3, betas=(0.5, 0.999))
        return torch.optim.SGD(weights, lr=1e-3, momentum=0.5)

    movers = {"coarse": optimiser(one), "fine": optimiser(two), "joint": optimiser([*one, *two])}
    judging = optimiser(d.parameters())
    for i, phase in enumerate(phase for phase in PHASES for _ in range(2)):
        a, b = data[i]
        if phase == "coarse":
            a, b = F.interpolate(a, scale_factor=0.5, mode="area"), F.interpolate(b, scale_factor=0.5, mode="area")
        fake = g.globe_picture(g.globe(a)) if phase == "coarse" else g.back(g.front(a) + g.globe(F.avg_pool2d(a, 2)))
        seen, wanted = (plain_features(d, torch.cat([a, x], 1)) for x in (fake, b))
        loss = sum(((layers[-1] - 1) ** 2).mean() for layers in seen)
        for x, y in zip(seen, wanted, strict=True):
            for layer, target in zip(x[:-1], y[:-1], strict=True):
                loss = loss + 10 * (layer - target.detach()).abs().mean()
        movers[phase].zero_grad()
        loss.backward()
        movers[phase].step()
        judging.zero_grad()
        real, made = (plain_features(d, torch.cat([a, x.detach()], 1)) for x in (b, fake))
        verdict = sum(((x[-1] - 1) ** 2).mean() + (y[-1] ** 2).mean() for x, y in zip(real, made, strict=True)) / 2
        verdict.backward()
        judging.step()

    for (name, x), y, z in zip(ours.named_parameters(), plain.parameters(), start.parameters(), strict=True):
        assert (x - y).abs().max() <= 1e-6, name
        assert not torch.equal(x, z), f"{name} did not train"


def test_feature_matching_sums_over_layers_and_scales_leaves_logits_out_and_moves_the_fake_side_alone() -> None:
    fake = [[torch.full((1, 2), 3.0, requires_grad=True), torch.full((1, 1), 9.0)], [torch.zeros(4), torch.ones(1)]]
    real = [[torch.tensor([[1.0, 2.0]], requires_grad=True), torch.zeros(1, 1)], [torch.full((4,), 2.0), torch.ones(1)]]
    loss = matching(fake, real)
    assert loss.item() == pytest.approx((2 + 1) / 2 + 2)
    loss.backward()
    assert fake[0][0].grad.tolist() == [[0.5, 0.5]]  # type: ignore[union-attr]
    assert real[0][0].grad is None


def test_without_feature_matching_the_adversarial_term_is_all() -> None:
    told = settings(weights={"features": 0})
    model = model_of(told)
    game = Game(model.players(told))
    model.joint(iter(pairs()), game)
    assert game.log.keys() == {"joint/adversarial", "discriminator/real", "discriminator/fake"}


def test_a_translator_of_classes_learns_from_them() -> None:
    told = settings(data={"channels": {"a": {"labels": 5}, "b": 3}, "condition": ["boundary"]})
    model = model_of(told)
    assert model.generator.inputs == 6
    game = Game(model.players(told))
    batch = torch.rand(2, 6, 16, 16), torch.rand(2, 3, 16, 16)
    for phase in PHASES:
        getattr(model, phase)(itertools.repeat(batch), game)
    assert all(value.isfinite() for value in game.log.values())
    rows = model.show(batch, {name: net.eval() for name, net in model.product().items()})
    assert list(rows) == ["input", "boundary", "translated", "truth"]


# ---- the recipe


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": {"crop": 18}}, "multiple of 4, at least 8; got 18"),
        ({"discriminator": {"kind": "multiscale", "layers": 1}}, "pictures of 24 px at least.*have 8"),
        ({"discriminator": {"kind": "patch"}}, "discriminator.kind"),
        ({"generator": {"kind": "unet"}}, "generator.kind"),
        ({"weights": {"feature": 1}}, "Did you mean features"),
        ({"data": {"channels": {"b": 4}}, "weights": {"perceptual": 1}}, "needs grey or colour"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        settings(**changes)


def test_a_phase_that_there_is_not_is_refused_with_the_nearest() -> None:
    with pytest.raises(UserError, match=r"no phase 'coarsest'\. Did you mean coarse"):
        recipe.check_schedule(settings(schedule=[{"phase": "coarsest", "steps": 1}]), "test")


def test_building_a_recipe_draws_no_random_numbers() -> None:
    torch.manual_seed(0)
    settings()
    drawn = torch.rand(())
    torch.manual_seed(0)
    assert torch.rand(()) == drawn


# ---- the run


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder(tmp_path_factory.mktemp("data") / "pictures", splits=("train", "val", "test"))


def test_a_run_stopped_in_any_phase_and_resumed_equals_the_whole_one_bit_for_bit(
    pictures: Path, tmp_path: Path
) -> None:
    told = settings(data={"root": str(pictures)}, ema=0.9, save_every=1, validate_every=None, log=[])
    whole = session(told, tmp_path / "whole")
    whole.play()
    expected = everything(whole)
    for stop in (1, 3, 5):
        part = session(told, tmp_path / f"{stop}")
        phase, calls = PHASES[stop // 2], []

        def fails(batches: Any, game: Any, play: Any = getattr(part.model, phase), calls: Any = calls) -> None:
            calls.append(1)
            if len(calls) == 2:
                raise ZeroDivisionError
            play(batches, game)

        setattr(part.model, phase, fails)
        with pytest.raises(ZeroDivisionError):
            part.play()
        rest = session(told, tmp_path / f"{stop}")
        assert rest.done == stop
        rest.play()
        assert_same(expected, everything(rest), f"stopped at {stop}")


def played(ranks: Ranks, told: Settings, run: Path) -> dict[str, np.ndarray]:
    """The weights at the end of a run."""
    one = Session(told, run, CPU, ranks)
    one.play()
    return {name: weight.detach().numpy() for name, weight in one.model.named_parameters()}


def test_two_ranks_learn_what_one_does(pictures: Path, tmp_path: Path) -> None:
    slow = {"kind": "sgd", "lr": 1e-3}  # which shows the scale of a gradient
    told = settings(
        data={"root": str(pictures)}, players={"generator": slow, "discriminator": slow}, validate_every=None, log=[]
    )
    alone = played(Ranks(), told, tmp_path / "alone")
    one, other = together(2, played, told, tmp_path / "two")
    for name, weight in alone.items():
        assert np.array_equal(one[name], other[name]), name
        assert np.abs(weight - one[name]).max() <= 1e-5, name


def test_a_batch_in_parts_learns_the_same() -> None:
    told = settings()
    whole, parts = model_of(told), model_of(told)
    from i2i.engine.accumulate import in_parts

    one, other = Game(whole.players(told)), Game(parts.players(told))
    for phase in PHASES:
        getattr(whole, phase)(iter(pairs()), one)
        in_parts(getattr(parts, phase), iter(pairs()), other, 2)
    for (name, x), y in zip(whole.named_parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(x, y, atol=1e-5, rtol=1e-4, msg=name)


@pytest.mark.parametrize("last", ["coarse", "joint"])
def test_a_model_is_validated_scored_and_exported_whatever_its_last_phase(
    last: str, pictures: Path, tmp_path: Path
) -> None:
    told = settings(data={"root": str(pictures)}, schedule=[{"phase": last, "steps": 1}])
    model = model_of(told)
    getattr(model, last)(iter(pairs()), Game(model.players(told)))
    path = tmp_path / "model.safetensors"
    zoo.save(path, model.product(), told, 1, "print")
    loaded = zoo.load(path, CPU)
    assert loaded.product["a2b"].enhanced == (last != "coarse")
    assert validate(told, loaded.product, CPU)["l1"] > 0
    assert evaluation.of_model(loaded).rows["model"]["l1"][0] > 0
    report = export.export(path, tmp_path / "model.onnx")  # through the gate, or no file
    assert (tmp_path / "model.onnx").is_file(), report
    assert np.isfinite(validate(told, loaded.product, CPU)["perceptual_efflite0"])

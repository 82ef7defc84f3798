"""The semi-supervised GAN: its equations against plain torch, and a classifier beside the generator everywhere."""

import copy
import itertools
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from together import together
from torch import Tensor
from torch.nn import functional as F

from i2i import api, cost, recipe, store, zoo
from i2i.cost import built as built_on
from i2i.cost import fitted
from i2i.data import fixed
from i2i.engine.game import ALONE, Game
from i2i.engine.ranks import Ranks
from i2i.errors import Stopped, UserError
from i2i.images import read, write
from i2i.models.semigan import SemiGAN
from i2i.session import QUIET, Session

from .helpers import CPU, EVERY, assert_same, cheap, everything

SGD = {"kind": "sgd", "lr": 0.05, "momentum": 0.5}
STILL = {"kind": "mlp", "width": 4, "noise": 0.0, "noise_hidden": 0.0}
TREE: dict[str, Any] = {
    "model": "semigan",
    "data": {"layout": "labelled", "labels": 2, "root": "unused", "channels": 1, "crop": 8, "flip": False},
    "classes": 3,
    "batch": 8,
    "generator": {"kind": "dcgan", "noise": 3, "width": 4, "gain": 0.2},
    "discriminator": {"kind": "mlp", "width": 4},
    "players": {"generator": SGD, "discriminator": SGD},
    "schedule": [{"phase": "adversarial", "steps": 6}],
}
CONV = {"kind": "conv", "width": 4}
VIRTUAL = {**TREE["generator"], "virtual": 5}


def built(**changes: Any) -> tuple[SemiGAN, Game]:
    torch.manual_seed(0)
    settings: Any = recipe.build({**TREE, **changes}, "test")
    model = SemiGAN(settings)
    return model, Game(model.players(settings))


def batches(n: int = 8) -> Iterator[tuple[Tensor, Tensor]]:
    draw = torch.Generator().manual_seed(1)
    while True:
        y = torch.randint(3, (n,), generator=draw)
        y[1::2] = -1
        yield torch.rand(n, 1, 8, 8, generator=draw) * 2 - 1, y


@pytest.mark.parametrize(("discriminator", "weight"), [(STILL, 1.0), (TREE["discriminator"], 0.5), (CONV, 0.5)])
def test_its_steps_equal_plain_ones(discriminator: dict[str, Any], weight: float) -> None:
    model, game = built(discriminator=discriminator, weights={"unlabelled": weight})
    plain, start = copy.deepcopy(model), copy.deepcopy(model)
    g, d = plain.generator, plain.judge
    of_g, of_d = (torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.5) for net in (g, d))
    own, data = batches(), batches()
    for step in range(3):
        torch.manual_seed(step)
        model.adversarial(own, game)
        torch.manual_seed(step)
        x, y = next(data)
        of_d.zero_grad()
        labelled, u = d(x[::2]), d(x[1::2])
        made = d(g(torch.randn(4, 3)).detach())
        # As a softmax of four classes, the last of which has the logit 0.
        of_u, of_made = (torch.cat([out, torch.zeros(4, 1)], 1).softmax(1)[:, 3] for out in (u, made))
        loss = F.cross_entropy(labelled, y[::2]) - weight * ((1 - of_u).log().mean() + of_made.log().mean())
        loss.backward()
        of_d.step()
        of_g.zero_grad()
        made_h, real_h = d.layers(g(torch.randn(4, 3))), d.layers(x[1::2])
        (made_h.mean(0) - real_h.mean(0).detach()).pow(2).mean().backward()
        of_g.step()
    for (name, ours), theirs, first in zip(
        model.named_parameters(), plain.parameters(), start.parameters(), strict=True
    ):
        assert (ours - theirs).abs().max() <= 1e-5, name
        assert (ours - first).abs().max() > 1e-5, f"{name} did not train"


def test_each_turn_moves_its_player_alone_and_the_generator_only_matches_features() -> None:
    model, game = built()
    head = model.judge.head
    model.adversarial(batches(), game)
    assert game.log.keys() == {
        "discriminator/classes", "discriminator/real", "discriminator/fake", "generator/matching"
    }  # fmt: skip
    model, game = built()
    before = copy.deepcopy(model.state_dict())
    with game.turn("generator"):
        assert not any(p.requires_grad for p in model.judge.parameters())
    x, y = next(batches())
    with torch.no_grad():
        head.weight.zero_()  # of no matter to features
    model.adversarial(iter([(x, y)]), game)
    assert not any(torch.equal(before[name], value) for name, value in model.named_parameters())


@pytest.mark.parametrize("labels", [[-1] * 4, [0, 1, 2, 0]])
def test_a_share_of_one_kind_alone_is_no_accident(labels: list[int]) -> None:
    model, game = built()
    x, _ = next(batches(4))
    model.adversarial(iter([(x, torch.tensor(labels))]), game)
    assert all(value.isfinite() for value in game.log.values())
    assert (game.log["discriminator/classes"] == 0) == (labels[0] < 0)


def test_noise_is_for_training_alone() -> None:
    model, _ = built()
    x, _ = next(batches())
    d = model.judge
    assert not torch.equal(d(x), d(x))
    d.eval()
    assert torch.equal(d(x), d(x))
    assert torch.equal(d.verdict(d.hidden(x)), d(x))


def test_a_generator_with_virtual_norms_trains_and_keeps_its_reference() -> None:
    model, game = built(generator=VIRTUAL)
    before = copy.deepcopy(model.state_dict())
    for _ in range(2):
        model.adversarial(batches(), game)
    assert torch.equal(before["generator.reference"], model.state_dict()["generator.reference"])
    assert before["generator.reference"].shape == (5, 3)
    assert not any(torch.equal(before[name], value) for name, value in model.named_parameters())
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in model.generator.modules())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": {k: v for k, v in TREE["data"].items() if k != "labels"}}, "say which labels are known: `labels: 5`"),
        ({"data": {**TREE["data"], "labels": 0}}, "labels"),
        ({"classes": 1}, "recipe.semigan.classes"),
        ({"discriminator": {"kind": "dcgan"}}, "discriminator"),
        ({"data": {**TREE["data"], "crop": 12}}, "power of two"),
    ],
)
def test_a_recipe_that_cannot_work_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        SemiGAN(recipe.build({**TREE, **changes}, "test"))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, rng = tmp_path_factory.mktemp("semigan") / "pictures", np.random.default_rng(0)
    for split, count in (("train", 6), ("val", 2), ("test", 2)):
        for number, name in enumerate(("x", "y", "z")):
            for i in range(count):
                picture = rng.integers(0, 60, (8, 8, 1), dtype=np.uint8) + 90 * number
                write(folder / split / name / f"{i}.png", picture.astype(np.uint8))
    return folder


def settings(root: Path, **changes: Any) -> Any:
    return recipe.build({**TREE, **EVERY, "ema": 0.9, "data": {**TREE["data"], "root": str(root)}, **changes}, "test")


def test_as_many_classes_as_the_recipe_says(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"recipe\.classes is 4, but the data has 3 classes: x, y, z"):
        Session(settings(root, classes=4), tmp_path, CPU)


ADAM = {name: {"lr": 1e-3, "historical": 0.1} for name in ("generator", "discriminator")}


@pytest.mark.parametrize("stop", [1, 4])
@pytest.mark.parametrize("changes", [{}, {"generator": VIRTUAL, "players": ADAM}], ids=["plain", "with every piece"])
def test_a_run_stopped_and_resumed_is_the_whole_one(
    changes: dict[str, Any], stop: int, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cheap(monkeypatch)
    from i2i.engine.watch import Watch

    monkeypatch.setattr(Watch, "idle", property(lambda self: False, lambda self, value: None), raising=False)
    whole = Session(settings(root, **changes), tmp_path / "whole", CPU)
    whole.play()
    first = Session(settings(root, **changes), tmp_path / "parts", CPU)
    phase = first.model.adversarial

    def interrupted(data: Any, game: Any) -> None:
        if first.done == stop - 1:
            signal.raise_signal(signal.SIGINT)
        phase(data, game)

    first.model.adversarial = interrupted
    with pytest.raises(Stopped):
        first.play()
    rest = Session(settings(root, **changes), tmp_path / "parts", CPU)
    assert rest.done == stop
    rest.play()
    assert_same(everything(whole), everything(rest))


def weights_of(ranks: Ranks) -> tuple[list[Tensor], list[Tensor]]:
    """Both players' weights after a step on this rank's share of a batch, from noise that all ranks have."""
    torch.manual_seed(0)
    generator = {"kind": "mlp", "noise": 3, "width": 4}  # without norms, which see a rank's own share
    told: Any = recipe.build({**TREE, "discriminator": STILL, "generator": generator}, "test")
    model = SemiGAN(told)
    game, share = Game(model.players(told), ranks=ranks), 8 // ranks.world
    part = tuple(side[ranks.rank * share : (ranks.rank + 1) * share] for side in next(batches()))
    made = torch.randn(4, 3, generator=torch.Generator().manual_seed(2))
    own = itertools.cycle([made[ranks.rank * share // 2 : (ranks.rank + 1) * share // 2]])
    model.latent = lambda *_: (next(own),)  # type: ignore[method-assign]
    model.adversarial(itertools.repeat(part), game)
    return [p.detach() for p in model.judge.parameters()], [p.detach() for p in model.generator.parameters()]


def test_two_processes_have_one_discriminator_which_moves_as_one_alone() -> None:
    """Of the generator the ranks agree, too; but a mean of features is that of a rank's own share."""
    alone, two = weights_of(Ranks()), together(2, weights_of)
    for ours in two:
        for a, b in zip(alone[0], ours[0], strict=True):
            assert (a - b).abs().max() <= 1e-6
    for a, b in zip(two[0][1], two[1][1], strict=True):
        assert torch.equal(a, b)


def test_its_cost_is_that_of_batches_of_which_half_have_labels(root: Path) -> None:
    x, y = cost._some(settings(root).data, 6, CPU)
    assert x.shape == (6, 1, 8, 8)
    assert y.tolist() == [0, -1] * 3


def test_its_cost_is_estimated_and_parts_are_refused_where_norms_mix(root: Path) -> None:
    told = settings(root, memory="auto")
    assert fitted(told, CPU, ALONE, QUIET).accumulate == 1
    with pytest.raises(UserError, match="would change what is learnt"):
        fitted(settings(root, accumulate=2), CPU, ALONE, QUIET)
    free = settings(root, accumulate=2, generator=VIRTUAL)
    model, game = built_on(free, CPU)
    assert fitted(free, CPU, ALONE, QUIET).accumulate == 2
    assert isinstance(model, SemiGAN)
    assert game.players.keys() == {"generator", "discriminator"}


@pytest.mark.parametrize("changes", [{}, {"generator": VIRTUAL, "discriminator": CONV}], ids=["plain", "virtual, conv"])
def test_it_is_trained_scored_sampled_and_exported(root: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    steps = [{"phase": "adversarial", "steps": 4}]
    api.train(settings(root, schedule=steps, **changes), run=tmp_path / "run", name="semigan_test")
    best = zoo.load(tmp_path / "run" / store.BEST, CPU)
    assert 0 <= best.scores["accuracy"] <= 1
    x, y = fixed(best.recipe.data, "val", 6)  # type: ignore[attr-defined]
    assert best.scores["accuracy"] == (best.product["classifier"](x).argmax(1) == y).float().mean().item()
    rows = api.evaluate("semigan_test").rows
    assert {"accuracy", "diversity"} <= rows["model"].keys()
    assert "accuracy" not in rows["training pictures"]
    for folder in (root / "test", root / "test" / "x"):  # of classes, or not
        scores = api.evaluate("semigan_test", data=folder)
        assert scores.pictures == len(list(folder.rglob("*.png")))
        assert "accuracy" not in scores.rows["model"]
    api.sample("semigan_test", tmp_path / "drawn.png", count=4)
    assert read(tmp_path / "drawn.png", 1).std() > 0
    api.export("semigan_test", tmp_path / "model.onnx")
    assert (tmp_path / "model.onnx").is_file()
    with pytest.raises(UserError, match=r"classifier of .* makes no pictures.*product\['classifier'\]"):
        api.export("semigan_test", tmp_path / "classifier.onnx", direction="classifier")
    loaded = zoo.load("semigan_test", CPU)
    assert loaded.ways == ["generator"]
    assert loaded.product["classifier"](torch.zeros(2, 1, 8, 8)).shape == (2, 3)

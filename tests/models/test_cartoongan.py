"""CartoonGAN: its phases move who they should by the paper's losses, and a run of both is like any other."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from together import together
from torch import Tensor, nn
from torch.nn import functional as F

from i2i import evaluation, export, recipe, zoo
from i2i.data.edges import softened
from i2i.data.make.smooth import Brush, smoothed
from i2i.engine.accumulate import in_parts
from i2i.engine.game import Game
from i2i.engine.ranks import Ranks
from i2i.engine.settings import Settings
from i2i.errors import UserError
from i2i.metrics.content import content
from i2i.metrics.features import efflite0
from i2i.models import MODELS
from i2i.models.cartoongan import CartoonGAN
from i2i.session import Session
from i2i.validation import names, validate

from .helpers import CPU, assert_same, everything, folder, session

TREE: dict[str, Any] = {
    "model": "cartoongan",
    "data": {"layout": "unpaired", "root": "unused", "crop": 16, "split": {"val": 0, "test": 0}},
    "generator": {"kind": "cartoon", "blocks": 1, "width": 4},
    "discriminator": {"kind": "cartoon", "width": 4},
    "batch": 2,
    "schedule": [{"phase": "initialisation", "steps": 2}, {"phase": "adversarial", "steps": 3}],
}


def settings(**changes: Any) -> Any:
    tree = {**TREE, **changes}
    return recipe.build({**tree, "data": {**TREE["data"], **changes.get("data", {})}}, "test")


def model_of(told: Settings) -> CartoonGAN:
    torch.manual_seed(0)
    model: CartoonGAN = MODELS[type(told)](told)
    return model


def blocks(n: int, size: int, seed: int) -> Tensor:
    """Pictures with clear edges, as bytes have them."""
    small = torch.randint(0, 256, (n, 3, 4, 4), generator=torch.Generator().manual_seed(seed))
    return F.interpolate(small / 127.5 - 1, size=size)


def batches(n: int = 4) -> list[tuple[Tensor, Tensor]]:
    return [(blocks(2, 16, 2 * i), blocks(2, 16, 2 * i + 1)) for i in range(n)]


# ---- the pictures with blurred edges


def test_the_negatives_are_those_that_i2i_data_make_smooth_writes() -> None:
    cartoons = blocks(3, 64, 0)
    made, brush = softened(cartoons, Brush()), Brush()
    for before, after in zip(cartoons, made, strict=True):
        pixels = ((before + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
        written = torch.from_numpy(smoothed(pixels, brush)).permute(2, 0, 1) / 127.5 - 1
        assert (after - written).abs().max() <= 0.6 / 127.5  # a file's rounding
        untouched = (after == before).all(0)
        assert 0.05 < untouched.float().mean() < 0.97
        assert torch.equal(after[:, untouched], before[:, untouched])
    assert not torch.equal(softened(cartoons, Brush(dilate=9)), made)


def test_the_negatives_are_a_function_of_the_cartoons_alone() -> None:
    cartoons, state = blocks(2, 32, 0), torch.random.get_rng_state()
    whole = softened(cartoons, Brush())
    torch.testing.assert_close(torch.cat([softened(one[None], Brush()) for one in cartoons]), whole, atol=1e-6, rtol=0)
    assert torch.equal(torch.random.get_rng_state(), state)
    grey = softened(cartoons[:, :1], Brush())
    assert grey.shape == (2, 1, 32, 32)
    flat = torch.zeros(1, 3, 16, 16)
    assert torch.equal(softened(flat, Brush()), flat)


# ---- the content term


def test_content_is_a_frozen_layer_at_an_eighth_of_the_size_with_gradients_to_the_picture() -> None:
    x = blocks(2, 32, 0).requires_grad_()
    seen = content("efflite0")(x)
    assert seen.shape == (2, 40, 4, 4)
    assert torch.equal(seen, efflite0("cpu").maps(x)[2])
    seen.square().mean().backward()
    assert x.grad is not None
    assert x.grad.abs().max() > 0


def test_vgg_without_a_network_is_an_error_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    told = settings(content="vgg19")
    model = model_of(told)  # of a file, say, without a network
    with pytest.raises(UserError, match=r"weights of VGG19 could not be had.*--set content=efflite0"):
        model.players(told)


def test_vgg_is_its_conv4_4_of_pictures_with_the_statistics_of_imagenet(monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.models import vgg19

    from i2i.metrics.content import _of_vgg19

    torch.manual_seed(0)
    whole = vgg19()  # random weights in place of the download
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *_, **__: whole.state_dict())
    _of_vgg19.cache_clear()
    x = blocks(1, 32, 0)
    mean, std = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    expected = ((x + 1) / 2 - mean) / std
    pooled = convolutions = 0
    for layer in whole.features:  # conv4_4: the fourth convolution after the third pooling
        expected = layer(expected)
        pooled += isinstance(layer, nn.MaxPool2d)
        convolutions = convolutions + isinstance(layer, nn.Conv2d) if pooled == 3 else 0
        if convolutions == 4:
            break
    found = content("vgg19")(x)
    assert found.shape == (1, 512, 4, 4)
    torch.testing.assert_close(found, expected)
    _of_vgg19.cache_clear()


# ---- the game


def test_the_first_phase_moves_the_generator_alone_by_the_content_term_alone() -> None:
    told = settings()
    model = model_of(told)
    before = copy.deepcopy(model)
    game = Game(model.players(told))
    model.initialisation(iter(batches()), game)
    assert game.log.keys() == {"generator/content"}
    for (name, now), then in zip(model.named_parameters(), before.parameters(), strict=True):
        assert torch.equal(now, then) == name.startswith("judge"), name


def test_the_discriminator_meets_cartoons_fakes_and_cartoons_with_blurred_edges() -> None:
    told = settings()
    model = model_of(told)
    seen: list[Tensor] = []
    model.judge.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    ((photos, cartoons),) = data = batches(1)
    with torch.no_grad():
        fake = model.generator(photos)
    model.adversarial(iter(data), Game(model.players(told)))
    for shown, expected in zip(seen, (cartoons, fake, softened(cartoons, Brush()), fake), strict=True):
        torch.testing.assert_close(shown, expected)


def test_without_the_weight_of_edges_there_are_none() -> None:
    told = settings(weights={"edges": 0})
    model = model_of(told)
    game = Game(model.players(told))
    model.adversarial(iter(batches()), game)
    assert game.log.keys() == {
        "discriminator/real", "discriminator/fake", "generator/adversarial", "generator/content"
    }  # fmt: skip


def test_steps_of_both_phases_equal_steps_written_plainly() -> None:
    player = {"kind": "sgd", "lr": 1e-3, "momentum": 0.5}  # which shows the scale of a loss
    told = settings(players={"generator": player, "discriminator": player})
    start, data = model_of(told), batches()
    ours, plain = copy.deepcopy(start), copy.deepcopy(start)
    game = Game(ours.players(told))
    for i, phase in enumerate(("initialisation", "adversarial", "adversarial", "adversarial")):
        getattr(ours, phase)(iter(data[i:]), game)

    def optimiser(net: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.5)

    g, d, see = plain.generator, plain.judge, efflite0("cpu")
    drawing, judging = optimiser(g), optimiser(d)
    for i, (p, c) in enumerate(data):
        fake = g(p)
        kept = 10 * (see.maps(fake, 3)[2] - see.maps(p, 3)[2]).abs().mean()
        if i == 0:
            loss = kept
        else:
            blurred = softened(c, Brush())
            judging.zero_grad()
            likelihood = F.logsigmoid(d(c)).mean()  # log D
            likelihood = likelihood + F.logsigmoid(-d(fake.detach())).mean()  # log (1 - D)
            likelihood = likelihood + F.logsigmoid(-d(blurred)).mean()
            (-likelihood).backward()
            judging.step()
            loss = -F.logsigmoid(d(fake)).mean() + kept
        drawing.zero_grad()
        loss.backward()
        drawing.step()
    for (name, x), y, z in zip(ours.named_parameters(), plain.parameters(), start.parameters(), strict=True):
        assert (x - y).abs().max() <= 2e-6, name
        assert not torch.equal(x, z), f"{name} did not train"


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
    slow = {"kind": "sgd", "lr": 1e-3}
    told = settings(players={"generator": slow, "discriminator": slow})
    whole, parts = model_of(told), model_of(told)
    one, other = Game(whole.players(told)), Game(parts.players(told))
    for phase in ("initialisation", "adversarial"):
        getattr(whole, phase)(iter(batches()), one)
        in_parts(getattr(parts, phase), iter(batches()), other, 2)
    for (name, x), y in zip(whole.named_parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(x, y, atol=1e-5, rtol=1e-4, msg=name)


# ---- the recipe


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": {"channels": {"a": 3, "b": 4}}}, "channels must be 1 or 3 on both sides, got a: 3, b: 4"),
        ({"edges": {"dilate": 4}}, "odd kernel sides, got 100, 200, 4 and 5"),
        ({"edges": {"low": 300}}, "0 < low <= high"),
        ({"content": "vgg"}, "content.*Did you mean vgg19"),
        ({"weights": {"contents": 1}}, "Did you mean content"),
    ],
)
def test_what_does_not_fit_is_refused_in_words(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        settings(**changes)


# ---- the run


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder(tmp_path_factory.mktemp("data") / "pictures", splits=("train", "val", "test"))


def test_a_run_stopped_in_either_phase_and_resumed_equals_the_whole_one_bit_for_bit(
    pictures: Path, tmp_path: Path
) -> None:
    told = settings(data={"root": str(pictures)}, ema=0.9, save_every=1, validate_every=None, log=[])
    whole = session(told, tmp_path / "whole")
    whole.play()
    expected = everything(whole)
    for stop, phase in ((1, "initialisation"), (3, "adversarial")):
        part, calls = session(told, tmp_path / f"{stop}"), []

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


def test_a_model_is_validated_scored_shown_and_exported(pictures: Path, tmp_path: Path) -> None:
    told = settings(data={"root": str(pictures)})
    model = model_of(told)
    path = tmp_path / "model.safetensors"
    zoo.save(path, model.product(), told, 1, "print")
    loaded = zoo.load(path, CPU)
    found = validate(told, loaded.product, CPU)
    assert found.keys() == set(names(told))
    assert np.isfinite(found["kid_efflite0"])
    assert "kid_efflite0" in evaluation.of_model(loaded).rows["model"]
    assert list(model.show(batches(1)[0], loaded.product)) == ["photo", "as a cartoon", "cartoons"]
    export.export(path, tmp_path / "model.onnx")  # through the gate, or no file
    assert (tmp_path / "model.onnx").is_file()

"""What must hold for a run of any unpaired translator: parts, ranks, stops, model files, scores and exports."""

from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from together import together
from torch import Tensor, nn

from i2i import evaluation, export, recipe, zoo
from i2i.engine.accumulate import in_parts
from i2i.engine.game import Game
from i2i.engine.ranks import Ranks, digest
from i2i.models import MODELS
from i2i.runtime import Exported
from i2i.translator import Translator
from i2i.validation import validate

from .helpers import CPU, assert_same, everything, session


def sides(n: int = 3, batch: int = 2) -> list[tuple[Tensor, Tensor]]:
    draw = torch.Generator().manual_seed(1)
    return [tuple(torch.rand(2, batch, 3, 16, 16, generator=draw) * 2 - 1) for _ in range(n)]


def model_of(told: Any) -> Any:
    torch.manual_seed(0)
    return MODELS[type(told)](told)


def stepped(ranks: Ranks, tree: dict[str, Any], parts: int = 1) -> list[Tensor]:
    """The weights after two steps on this rank's share of a batch of 4. Noise is 0: parts and ranks draw their own."""
    told: Any = recipe.build(tree, "test")
    model = model_of(told)
    game = Game(model.players(told), ranks=ranks)
    share = 4 // ranks.world
    own = slice(ranks.rank * share, (ranks.rank + 1) * share)
    with patch.object(torch, "randn", torch.zeros):
        for batch in sides(2, 4):
            in_parts(model.adversarial, iter([tuple(side[own] for side in batch)]), game, parts)
    ranks.check_equal(model.parameters())
    return [p.detach() for p in model.parameters()]


def assert_parts_and_ranks_move_like_one(tree: dict[str, Any]) -> None:
    whole = stepped(Ranks(), tree)
    others = [stepped(Ranks(), tree, 2), *together(2, stepped, tree)]
    assert digest(others[1]) == digest(others[2])
    for found in others:
        for x, y in zip(whole, found, strict=True):
            assert (x - y).abs().max() <= 1e-5


def assert_resume_is_exact(told: Any, root: Path, stop: int = 3) -> None:
    whole = session(told, root / "whole")
    whole.play()
    part, calls = session(told, root / "part"), iter(range(99))
    phase = part.model.adversarial

    def fails(batches: Any, game: Any) -> None:
        if next(calls) == stop:
            raise ZeroDivisionError
        phase(batches, game)

    part.model.adversarial = fails
    with pytest.raises(ZeroDivisionError):
        part.play()
    rest = session(told, root / "part")
    assert rest.done == stop
    rest.play()
    assert_same(everything(whole), everything(rest))


def assert_file_scores_and_export(told: Any, root: Path, ways: list[str]) -> None:
    """A model file holds all of it, is scored and translates; its last direction passes the gate and is the same."""
    model, path = model_of(told), root / "model.safetensors"
    model.adversarial(iter(sides(1)), Game(model.players(told)))
    product: dict[str, nn.Module] = {name: net.eval() for name, net in model.product().items()}
    zoo.save(path, product, told, 1, "print")
    loaded = zoo.load(path, CPU)
    assert list(loaded.product) == ways
    x = sides(1)[0][0]
    with torch.no_grad():
        assert all(torch.equal(product[way](x), loaded.product[way](x)) for way in ways)
    scores = validate(told, loaded.product, CPU)
    assert ("cycle" in scores) == (len(ways) == 2)
    rows = evaluation.of_model(loaded).rows
    assert {f"model {way}" for way in ways} <= rows.keys() or "model" in rows
    export.export(path, root / "model.onnx", direction=ways[-1])
    picture = (torch.rand(21, 18, 3, generator=torch.Generator().manual_seed(3)) * 255).byte().numpy()
    ours, theirs = Translator(loaded.product[ways[-1]], CPU)(picture), Exported(root / "model.onnx", "cpu")(picture)
    assert abs(ours.astype(int) - theirs.astype(int)).max() <= 1

"""Scores of finished models against hand-made truth, on every layout that has pictures."""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from i2i import evaluation, metrics, recipe, zoo
from i2i.data import Data, in_order
from i2i.errors import Stopped, UserError
from i2i.images import write
from i2i.metrics import Interval
from i2i.models import MODELS
from i2i.scores import Scores

Tree = Callable[..., dict[str, Any]]
CPU = torch.device("cpu")


def data_of(tree: dict[str, Any], **changes: Any) -> Data:
    data: Data = recipe.build({**tree, "data": {**tree["data"], **changes}}, "test").data
    return data


@pytest.fixture
def inverted(tmp_path: Path, noise: Callable[..., np.ndarray]) -> Path:
    """Six training and four test pairs whose b is the negative of a, and more of b for the unpaired test."""
    root = tmp_path / "inverted"
    for split, first, count in (("train", 0, 6), ("test", 10, 4)):
        for i in range(count):
            picture = noise(first + i, 16, 16)
            write(root / f"{split}A" / f"{i}.png", picture)
            write(root / f"{split}B" / f"{i}.png", 255 - picture)
    return root


def negative(x: Tensor) -> Tensor:
    return -x


def test_a_perfect_answer_has_perfect_scores(tiny: Tree, inverted: Path) -> None:
    scores = evaluation.evaluate(negative, data_of(tiny("pix2pix"), root=str(inverted)))
    model = scores.rows["model"]
    assert scores.pictures == 4
    assert model["l1"].value == pytest.approx(0, abs=1e-6)
    assert model["ssim"].value == pytest.approx(1, abs=1e-4)
    assert model["perceptual_efflite0"].value == pytest.approx(0, abs=1e-6)
    assert model["fid_efflite0"].value == pytest.approx(0, abs=1e-3)
    assert model["kid_efflite0"].value <= 0
    assert model["diversity"].value == pytest.approx(1, abs=1e-4)
    assert "cycle" not in model


def test_the_controls_stand_in_the_same_table(tiny: Tree, inverted: Path) -> None:
    rows = evaluation.evaluate(negative, data_of(tiny("pix2pix"), root=str(inverted))).rows
    assert list(rows) == ["model", "constant colour", "mean picture", "copy of the input", "mean/std transfer",
                          "truth", "training pictures"]  # fmt: skip
    for answer in list(rows)[1:5]:
        assert rows[answer]["perceptual_efflite0"].value > 0.01
        assert rows[answer]["fid_efflite0"].value > rows["model"]["fid_efflite0"].value
    assert rows["constant colour"]["diversity"].value == pytest.approx(0, abs=1e-5)
    assert rows["truth"]["l1"] == (0, 0)
    assert rows["truth"]["perceptual_efflite0"] == (0, 0)
    assert list(rows["training pictures"]) == ["fid_efflite0", "kid_efflite0", "diversity"]


def test_scores_are_those_of_the_metrics_over_the_whole_split(tiny: Tree, inverted: Path) -> None:
    data = data_of(tiny("pix2pix"), root=str(inverted))
    batches = list(in_order(data, "test", 3))
    a, b = (torch.cat([batch[side] for batch in batches]) for side in (0, 1))
    row = evaluation.evaluate(lambda x: x * 0.5, data).rows["model"]
    assert row["l1"] == pytest.approx(metrics.mean(metrics.l1(a / 2, b)))
    assert row["perceptual_efflite0"] == pytest.approx(metrics.mean(metrics.perceptual(a / 2, b)), rel=1e-3)
    see = metrics.network("efflite0")
    expected = metrics.compare(see(a / 2).pooled, see(b).pooled, "_efflite0")
    for name, (value, half) in expected.items():
        assert row[name].value == pytest.approx(value, rel=1e-3)
        assert row[name].half == pytest.approx(half, rel=1e-2)


def test_sides_without_pairs_and_of_different_length_are_scored_as_sets(
    tiny: Tree, inverted: Path, noise: Callable[..., np.ndarray]
) -> None:
    for i in range(15):
        write(inverted / "testB" / f"more{i}.png", noise(50 + i, 16, 16))
    data = data_of(tiny("cyclegan"), root=str(inverted))
    given: dict[str, list[int]] = {"a": [], "b": []}

    def look(side: str) -> Callable[[Tensor], Tensor]:
        return lambda x: given[side].append(len(x)) or -x  # type: ignore[func-returns-value]

    there = evaluation.evaluate(look("a"), data, back=negative)
    back = evaluation.evaluate(look("b"), data, direction="b2a")
    assert (sum(given["a"]), sum(given["b"])) == (4, 19)
    assert there.sizes == (4, 19)
    assert list(there.rows["model"]) == ["cycle", "fid_efflite0", "kid_efflite0", "diversity"]
    assert there.rows["model"]["cycle"] == (0, 0)
    assert list(back.rows["model"]) == ["fid_efflite0", "kid_efflite0", "diversity"]
    assert "truth" not in there.rows
    assert there.rows["copy of the input"]["fid_efflite0"].value > 0


def test_pairs_in_an_unpaired_set_are_used(tiny: Tree, inverted: Path) -> None:
    rows = evaluation.evaluate(negative, data_of(tiny("cyclegan"), root=str(inverted)), back=lambda x: x).rows
    assert rows["model"]["l1"].value == pytest.approx(0, abs=1e-6)
    assert rows["model"]["cycle"].value > 0.1
    assert rows["copy of the input"]["correlation"].value == pytest.approx(-1, abs=1e-4)


def dataset(root: Path, noise: Callable[..., np.ndarray], *names: str) -> Path:
    for key, name in enumerate(names):
        write(root / name, noise(key, 16, 16))
    return root


def samples(make: Callable[[int], Tensor]) -> Callable[[int], Iterator[Tensor]]:
    def sample(n: int) -> Iterator[Tensor]:
        yield from make(n).split(5)

    return sample


def test_a_generator_is_scored_beside_as_many_real_pictures(tiny: Tree) -> None:
    data = data_of(tiny("dcgan"), split={"val": 0, "test": 0.5})
    real = torch.cat(list(in_order(data, "test", 4)))
    asked: list[int] = []
    copies = evaluation.evaluate_samples(samples(lambda n: asked.append(n) or real), data)  # type: ignore[func-returns-value]
    assert asked == [6]
    assert copies.sizes == (6,)
    assert copies.rows["model"]["fid_efflite0"].value == pytest.approx(0, abs=1e-3)
    assert copies.rows["model"]["diversity"].value == pytest.approx(1, abs=1e-4)
    assert list(copies.rows) == ["model", "training pictures"]
    constant = evaluation.evaluate_samples(samples(lambda n: torch.zeros(n, 3, 16, 16)), data).rows
    assert constant["model"]["diversity"].value == pytest.approx(0, abs=1e-5)
    assert constant["model"]["kid_efflite0"].value > constant["training pictures"]["kid_efflite0"].value


def test_labels_are_left_out_of_account(tiny: Tree) -> None:
    data = data_of(tiny("dcgan"), layout="labelled", split={"val": 0, "test": 0.5})
    scores = evaluation.evaluate_samples(samples(lambda n: torch.zeros(n, 3, 16, 16)), data)
    assert scores.sizes == (6,)


def test_a_folder_of_ones_own_is_scored_whole_or_by_its_split(
    tiny: Tree, inverted: Path, tmp_path: Path, noise: Callable[..., np.ndarray]
) -> None:
    data = data_of(tiny("pix2pix"), root=str(inverted))
    plain = dataset(tmp_path / "plain", noise, *(f"{side}/{i}.png" for side in "AB" for i in range(5)))
    whole = evaluation.evaluate(negative, data, folder=plain)
    assert (whole.split, whole.sizes, whole.folder) == ("train", (5, 5), plain)
    assert f"of {plain}" in whole.table()
    with_splits = dataset(
        tmp_path / "splits", noise, *(f"{s}{side}/{i}.png" for s in ("train", "test") for side in "AB" for i in "12")
    )
    own = evaluation.evaluate(negative, data, folder=with_splits)
    assert (own.split, own.sizes) == ("test", (2, 2))

    photos = data_of(tiny("dcgan"))
    beside = evaluation.evaluate_samples(samples(lambda n: torch.zeros(n, 3, 16, 16)), photos, folder=plain / "A")
    assert beside.sizes == (5,)


def test_the_controls_learn_from_the_recipes_own_pictures(tiny: Tree, inverted: Path, tmp_path: Path) -> None:
    data = data_of(tiny("pix2pix"), root=str(inverted))
    black = np.zeros((16, 16, 3), np.uint8)
    for side in "AB":
        for i in range(3):
            write(tmp_path / "dark" / side / f"{i}.png", black)
    rows = evaluation.evaluate(negative, data, folder=tmp_path / "dark").rows
    assert rows["constant colour"]["l1"].value == pytest.approx(0.5, abs=0.05)  # black's own would be 0
    gone = data_of(tiny("pix2pix"), root=str(tmp_path / "gone"))
    rows = evaluation.evaluate(negative, gone, folder=inverted).rows
    assert list(rows) == ["model", "copy of the input", "truth"]


def test_inception_scores_have_the_names_of_published_ones(
    tiny: Tree, inverted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lite = metrics.network("efflite0")

    class Other(torch.nn.Module):
        suffix, protocol = "", "some other network"

        def forward(self, x: Tensor) -> metrics.Features:
            return metrics.Features(lite(x).pooled[:, :8], ())

    other = Other()
    monkeypatch.setattr(metrics, "network", lambda name, device="cpu": lite if name == "efflite0" else other)
    scores = evaluation.evaluate(negative, data_of(tiny("pix2pix"), root=str(inverted)), features="inception")
    assert {"fid", "kid", "perceptual_efflite0"} <= scores.rows["model"].keys()
    assert not {"fid_efflite0", "kid_efflite0"} & scores.rows["model"].keys()
    assert list(scores.rows["training pictures"]) == ["fid", "kid", "diversity"]
    assert "some other network" in scores.table()


@pytest.mark.parametrize("model", ["pix2pix", "cyclegan", "dcgan"])
def test_a_model_is_scored_in_all_its_directions(model: str, tiny: Tree) -> None:
    chosen = recipe.build(tiny(model), "test")
    product = {name: net.eval() for name, net in MODELS[type(chosen)](chosen).product().items()}
    loaded = zoo.Model(chosen, product, 1, "", {})
    before = torch.get_rng_state()
    scores = evaluation.of_model(loaded, "train")
    assert torch.equal(torch.get_rng_state(), before)
    assert evaluation.of_model(loaded, "train").json() == scores.json()
    if model != "cyclegan":
        assert "model" in scores.rows
        return
    assert {"model a2b", "model b2a", "copy of the input a2b"} <= scores.rows.keys()
    one = evaluation.of_model(loaded, "train", direction="b2a").rows
    assert one["model"] == scores.rows["model b2a"]
    assert one["model"]["cycle"].value > 0
    with pytest.raises(UserError, match="a2b and b2a, not 'b2c'"):
        evaluation.of_model(loaded, "train", direction="b2c")


def test_what_cannot_be_scored_is_said(tiny: Tree, inverted: Path, tmp_path: Path) -> None:
    pairs, photos, points = (data_of(tiny(model)) for model in ("pix2pix", "dcgan", "gan"))
    with pytest.raises(UserError, match="single side"):
        evaluation.evaluate(negative, photos)
    for wrong in (pairs, points):
        with pytest.raises(UserError, match="collection of pictures"):
            evaluation.evaluate_samples(samples(torch.zeros), wrong)
    with pytest.raises(UserError, match="Did you mean test"):
        evaluation.evaluate(negative, pairs, "tset")
    with pytest.raises(UserError, match="nowhere"):
        evaluation.evaluate(negative, pairs, folder=tmp_path / "nowhere")
    with pytest.raises(UserError, match="Did you mean inception"):
        evaluation.evaluate(negative, pairs, features="incepton")


def test_whoever_watches_can_leave(tiny: Tree) -> None:
    def watch() -> None:
        raise Stopped("enough")

    with pytest.raises(Stopped):
        evaluation.evaluate(negative, data_of(tiny("pix2pix")), watch=watch)
    with pytest.raises(Stopped):
        evaluation.evaluate_samples(samples(lambda n: torch.zeros(n, 3, 16, 16)), data_of(tiny("dcgan")), watch=watch)


def test_table_and_json_say_how_it_was_measured(tiny: Tree) -> None:
    scores = evaluation.evaluate(negative, data_of(tiny("pix2pix")))
    table, told = scores.table(), json.loads(scores.json())
    assert "3 pictures of the test split" in table
    assert "160×160" in table
    assert "not comparable" in table
    assert all(f"\n{answer} " in table for answer in scores.rows)
    assert max(len(line) for line in table.splitlines()) <= 120
    assert (told["split"], told["pictures"], told["folder"]) == ("test", 3, None)
    assert "EfficientNet-Lite0" in told["features"]
    row = scores.rows["model"]["fid_efflite0"]
    assert told["scores"]["model"]["fid_efflite0"] == {"mean": row.value, "interval": row.half}


def test_an_interval_that_is_not_known_is_not_written_as_a_number() -> None:
    scores = Scores("test", (1,), {"model": {"l1": Interval(0.5, math.nan)}}, "none")
    assert json.loads(scores.json())["scores"]["model"]["l1"] == {"mean": 0.5, "interval": None}
    assert "0.500 ±    ?" in scores.table()

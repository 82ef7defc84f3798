"""Every model that ships with i2i is what its card says, and small."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from i2i import evaluation, images, loading, publishing, recipe, store, zoo
from i2i.data import card, missing
from i2i.paths import shared
from i2i.publishing.record import read

SHIPPED = sorted(path.parent for path in shared("models").glob(f"*/{store.FILE}"))
LARGEST = 40_000_000  # bytes of all of them together
NAMED = {"argvalues": SHIPPED, "ids": [folder.name for folder in SHIPPED]}


def test_they_are_all_there_and_small() -> None:
    assert {folder.name for folder in SHIPPED} == {
        "sketch2photo", "line2color", "map2satellite", "night2day", "day2night"
    }  # fmt: skip
    assert sum(file.stat().st_size for folder in SHIPPED for file in folder.rglob("*")) <= LARGEST


@pytest.mark.parametrize("folder", **NAMED)
def test_a_shipped_model_is_what_its_card_says(folder: Path) -> None:
    """Sums, sizes, figures, recipe; that the ONNX is safe and gives the picture of the weights, as the gate asks."""
    assert publishing.check(folder) == []


@pytest.mark.parametrize("folder", **NAMED)
def test_a_shipped_model_is_known_by_its_name_and_trained_by_the_recipe_of_that_name(folder: Path) -> None:
    assert read(folder)["name"] == folder.name
    assert recipe.load(folder / "recipe.yaml") == recipe.load(shared("recipes") / f"{folder.name}.yaml")


@pytest.mark.parametrize("folder", **NAMED)
def test_a_shipped_model_is_free_and_says_whose_pictures_it_has_seen(folder: Path) -> None:
    told = read(folder)
    text = (folder / store.CARD).read_text("utf-8")
    assert "license: apache-2.0" in text
    for each in told["data"]:
        assert card(each["name"]).commercial == "yes"
        assert card(each["name"]).attribution.split()[0] in text
    assert {"train", "test"} <= told["splits"].keys()
    assert told["run"]["trained"] == told["run"]["steps"]


@pytest.mark.parametrize("folder", **NAMED)
def test_a_shipped_model_translates_at_once(folder: Path, fresh_home: Path) -> None:
    """Without its exported form being made first."""
    picture = images.read(shared("datasets") / "earth" / "relief_2048.jpg")[300:397, 500:565]
    for way in read(folder)["directions"]:
        model = loading.load(folder, direction=way, device="cpu")
        result = model(picture[:, :, : model.inputs])
        assert result.shape == (97, 65, model.outputs)
        assert np.ptp(result) > 0
    assert not (fresh_home / "exported").exists()


@pytest.mark.slow
@pytest.mark.parametrize("folder", **NAMED)
def test_the_figures_of_a_shipped_model_are_measured_again(folder: Path) -> None:
    model = zoo.load(folder, torch.device("cpu"))
    if missing(model.recipe.data):
        pytest.skip("its data set is not here")
    for split, told in read(folder)["scores"].items():
        again = json.loads(evaluation.of_model(model, split).json()) if told else {"scores": {}}
        for answer, row in again["scores"].items():
            for name, score in row.items():
                before = told["scores"][answer][name]
                room = 0.02 * (before["interval"] or 0) + 1e-4 * abs(before["mean"]) + 1e-6  # other processors round
                assert abs(score["mean"] - before["mean"]) <= room, f"{split} {answer} {name}"

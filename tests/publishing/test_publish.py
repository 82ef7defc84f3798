"""What is published is complete, measured, repeatable, readable by the hub, and tells nothing of a machine."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from huggingface_hub import ModelCard
from PIL import Image

from i2i import api, evaluation, loading, publishing, recipe, store, translator, zoo
from i2i.data import open_split
from i2i.engine import monitor
from i2i.engine.ranks import digest
from i2i.errors import UserError
from i2i.publishing import folder as making
from i2i.publishing.record import read, weights_sum

CPU = torch.device("cpu")
FILES = {"README.md", "card.json", "model.safetensors", "recipe.yaml", "grid.jpg"}
TRANSLATORS = FILES | {"failures.jpg", "model.a2b.uint8.onnx"}


@pytest.mark.parametrize(
    ("model", "files"),
    [
        ("pix2pix", TRANSLATORS),
        ("cyclegan", TRANSLATORS | {"model.b2a.uint8.onnx"}),
        ("dcgan", FILES | {"model.generator.uint8.onnx"}),
    ],
)
def test_a_published_folder_is_whole_and_agrees_with_its_card(
    published: dict[str, Path], model: str, files: set[str]
) -> None:
    folder = published[model]
    assert {path.name for path in folder.iterdir()} == files
    assert publishing.check(folder) == []
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []


def test_weights_are_those_of_the_run_rounded(published: dict[str, Path], trained: dict[str, Any]) -> None:
    """By hand: the nearest 16-bit float of every kernel of the run's best model."""
    before = zoo.load(trained["pix2pix"].run, CPU).product["a2b"].state_dict()
    after = zoo.load(published["pix2pix"], CPU).product["a2b"].state_dict()
    assert any(value.ndim > 1 and not torch.equal(value, value.half().float()) for value in before.values())
    for key, value in before.items():
        assert torch.equal(after[key], value.half().float() if value.ndim > 1 else value), key
    told = [before[key] for key in sorted(before)]
    assert read(published["pix2pix"])["trained_weights"] == digest(told)


def test_its_own_exported_form_is_used_and_none_is_made(
    published: dict[str, Path], fresh_home: Path, noise: Callable[..., np.ndarray]
) -> None:
    opened = loading.load(published["pix2pix"])
    network = zoo.load(published["pix2pix"], CPU).product["a2b"]
    picture = noise(1, 20, 24)
    away = np.abs(opened(picture).astype(int) - translator.Translator(network, CPU)(picture))
    assert away.max() <= 1
    assert not (fresh_home / "exported").exists()


def test_figures_are_measured_on_the_published_weights(published: dict[str, Path], trained: dict[str, Any]) -> None:
    for name, splits in (("pix2pix", ("val", "test")), ("cyclegan", ("test",))):
        model = zoo.load(published[name], CPU)
        there = zoo.load(trained[name].run, CPU).recipe  # with the folder that the pictures are in
        for split in splits:
            again = json.loads(evaluation.of_model(zoo.Model(there, model.product, 0, "", {}), split).json())
            assert read(published[name])["scores"][split] == again
    assert read(published["pix2pix"])["scores"]["test"]["pictures"] == 3
    assert read(published["dcgan"])["scores"]["test"] is None  # of one picture there are no scores of sets


def test_the_trivial_answers_stand_beside_the_model(published: dict[str, Path]) -> None:
    text = (published["pix2pix"] / "README.md").read_text("utf-8")
    for split in ("### Test: 3 pictures", "### Validation: 2 pictures"):
        table = text[text.index(split) :].split("\n\n")[1]
        for answer in ("**model**", "constant colour", "mean picture", "copy of the input", "mean/std transfer"):
            assert f"| {answer} | " in table


def test_the_hub_s_own_parser_reads_the_same_figures(published: dict[str, Path]) -> None:
    card = ModelCard.load(published["pix2pix"] / "README.md")
    data = card.data
    assert (data.license, data.library_name, data.pipeline_tag) == ("mit", "i2i", "image-to-image")
    assert data.tags == ["maps"]  # the author's word goes first ...
    assert data.model_name == "fields"  # ... but not on figures
    scores = read(published["pix2pix"])["scores"]["test"]["scores"]["model"]
    assert {each.metric_type: each.metric_value for each in data.eval_results} == {
        name: pytest.approx(score["mean"], abs=6e-5) for name, score in scores.items()
    }
    assert {(each.task_type, each.dataset_split) for each in data.eval_results} == {("image-to-image", "test")}
    both = ModelCard.load(published["cyclegan"] / "README.md").data.eval_results
    assert {each.task_name for each in both} == {"Image-to-image, a2b", "Image-to-image, b2a"}
    assert ModelCard.load(published["dcgan"] / "README.md").data.pipeline_tag == "unconditional-image-generation"


def test_the_author_s_words_stand_in_place_of_the_general_ones(published: dict[str, Path]) -> None:
    assert "\n## Good for\n\nfields, *green* ones\n" in (published["pix2pix"] / "README.md").read_text("utf-8")
    assert "good and bad for" not in (published["pix2pix"] / "README.md").read_text("utf-8")
    assert "## What it is good and bad for" in (published["cyclegan"] / "README.md").read_text("utf-8")


def test_no_place_of_the_author_s_machine_is_told(
    published: dict[str, Path], trained: dict[str, Any], pictures: Path
) -> None:
    places = [str(pictures), str(pictures.parent), str(trained["pix2pix"].run.parent), str(Path.home())]
    for folder in published.values():
        for file in folder.iterdir():
            for place in places:
                assert place.encode() not in file.read_bytes(), f"{file} tells {place}"


def test_training_the_published_recipe_gives_the_published_weights(
    published: dict[str, Path], pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pictures)  # where the folder `sides` lies
    done = api.train(published["pix2pix"] / "recipe.yaml", run=tmp_path / "again", name="again")
    again = zoo.load(done.run, CPU)
    assert weights_sum(again.product) == read(published["pix2pix"])["trained_weights"]


def test_the_program_in_the_card_runs(
    published: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, noise: Callable[..., np.ndarray]
) -> None:
    for name, file in (("pix2pix", "model.a2b.uint8.onnx"), ("dcgan", "model.generator.uint8.onnx")):
        shutil.copy(published[name] / file, tmp_path)
        monkeypatch.chdir(tmp_path)
        Image.fromarray(noise(1, 21, 33)).save("input.png")
        blocks = re.findall(r"```python\n(.*?)```", (published[name] / "README.md").read_text("utf-8"), re.DOTALL)
        (program,) = [block for block in blocks if "onnxruntime" in block]
        exec(program, {})
        result = np.asarray(Image.open("output.png"))
        if name == "pix2pix":
            away = np.abs(result.astype(int) - loading.load(published[name])(noise(1, 21, 33)))
            assert away.max() == 0
        else:
            assert result.shape == (16, 16, 3)
        os.remove("output.png")


def test_the_run_s_time_and_steps_are_told(published: dict[str, Path], trained: dict[str, Any]) -> None:
    run = read(published["pix2pix"])["run"]
    last = monitor.read(trained["pix2pix"].run)[-1]
    assert (run["seconds"], run["trained"], run["steps"]) == (last["seconds"], 4, 4)
    assert run["chosen_by"] == "perceptual_efflite0"
    assert read(published["pix2pix"])["rounding"] < 1  # far less than chance


def test_splits_are_told_with_their_fingerprints(published: dict[str, Path], trained: dict[str, Any]) -> None:
    told = read(published["cyclegan"])
    data = zoo.load(trained["cyclegan"].run, CPU).recipe.data
    assert told["splits"]["test"] == {"pictures": [3, 3], "fingerprint": open_split(data, "test").fingerprint}
    assert told["splits"]["train"]["fingerprint"] == told["fingerprint"]


def test_a_model_that_has_but_a_name_is_published_with_what_is_known(
    trained: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "has", lambda data, split: False)  # its pictures are elsewhere
    folder = publishing.publish("pix2pix", tmp_path / "named")
    record, text = read(folder), (folder / "README.md").read_text("utf-8")
    assert record["run"] is None
    assert record["scores"] == {"val": None, "test": None}
    assert "no more is known" in text
    assert "It was not measured" in text
    assert "grid.jpg" not in text
    assert "model-index" not in ModelCard.load(folder / "README.md").data.to_dict()
    assert publishing.check(folder) == []


# What is refused


@pytest.fixture
def unfinished(trained: dict[str, Any], tmp_path: Path) -> Path:
    """A run that stands at step 4 of 9."""
    run = tmp_path / "run"
    shutil.copytree(trained["pix2pix"].run, run)
    lines = [json.dumps(line | {"steps": 9}) for line in monitor.read(run)]
    (run / monitor.METRICS).write_text("\n".join(lines) + "\n")
    return run


def test_an_unfinished_run_is_published_only_if_validation_has_chosen(
    unfinished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making, "has", lambda data, split: False)
    folder = publishing.publish(unfinished, tmp_path / "early")
    assert "the run was not at its end, it stood at 4" in (folder / "README.md").read_text("utf-8")
    (unfinished / store.BEST).unlink()
    with pytest.raises(UserError, match="stands at step 4 of 9, and validation has chosen no model yet"):
        publishing.publish(unfinished, tmp_path / "refused")
    assert not (tmp_path / "refused").exists()


def test_of_several_seeds_the_best_by_validation_is_published(trained: dict[str, Any], tmp_path: Path) -> None:
    from i2i.publishing import sources

    for seed, score in ((0, 0.9), (1, 0.2), (2, 0.5)):  # of a distance: the smallest is the best
        run = tmp_path / "runs" / f"seed{seed}"
        shutil.copytree(trained["pix2pix"].run, run)
        model = zoo.load(run, CPU)
        settings = model.recipe.model_copy(update={"seed": seed})
        zoo.save(run / store.BEST, model.product, settings, 4, model.data, {"perceptual_efflite0": score})
    told = {"seeds": [0, 1, 2], "runs": ["seed0", "seed1", "seed2"], "rows": {}}
    (tmp_path / "runs" / "seeds.json").write_text(json.dumps(told))
    found = sources.find(tmp_path / "runs")
    assert found.model.recipe.seed == 1
    assert found.run == tmp_path / "runs" / "seed1"


def test_what_exists_is_replaced_only_by_force_and_only_if_it_was_published(
    published: dict[str, Path], trained: dict[str, Any], tmp_path: Path
) -> None:
    shutil.copytree(published["pix2pix"], tmp_path / "there")
    with pytest.raises(UserError, match="--force"):
        publishing.publish(trained["pix2pix"].run, tmp_path / "there")
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "thesis.txt").write_text("years")
    with pytest.raises(UserError, match="holds other things"):
        publishing.publish(trained["pix2pix"].run, tmp_path / "work", force=True)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="is a file"):
        publishing.publish(trained["pix2pix"].run, tmp_path / "file", force=True)
    assert (tmp_path / "work" / "thesis.txt").read_text() == "years"


def test_what_fails_on_the_way_leaves_the_old_folder_and_nothing_else(
    published: dict[str, Path], trained: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(published["pix2pix"], tmp_path / "there")

    def refuse(*_: Any, **__: Any) -> None:
        raise UserError("The exported model is not the trained one")

    monkeypatch.setattr(making.export, "export", refuse)
    with pytest.raises(UserError, match="not the trained one"):
        publishing.publish(trained["pix2pix"].run, tmp_path / "there", force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert publishing.check(tmp_path / "there") == []


def test_by_force_the_new_folder_takes_the_place_of_the_old(tmp_path: Path) -> None:
    for name, word in (("made", "new"), ("there", "old")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(word)
    making._appear(tmp_path / "made", tmp_path / "there", tmp_path / "outdated")
    assert (tmp_path / "there" / "file").read_text() == "new"
    assert (tmp_path / "outdated" / "file").read_text() == "old"


@pytest.mark.parametrize(
    ("about", "answer"),
    [
        (b"\xff\xfe", "UTF-8"),
        (b"x" * 100_001, "100,001 characters"),
        (b"---\nlicense: [\n---\nx", "not readable as YAML"),
        (b"---\n- a list\n---\nx", "keys with values"),
    ],
)
def test_words_that_cannot_be_used_are_refused_before_anything_is_made(
    trained: dict[str, Any], tmp_path: Path, about: bytes, answer: str
) -> None:
    (tmp_path / "about.md").write_bytes(about)
    with pytest.raises(UserError, match=answer):
        publishing.publish(trained["pix2pix"].run, tmp_path / "out", about=tmp_path / "about.md")
    with pytest.raises(UserError, match="cannot be read"):
        publishing.publish(trained["pix2pix"].run, tmp_path / "out", about=tmp_path / "nothing.md")
    assert not (tmp_path / "out").exists()


def test_points_exported_models_and_bad_names_are_refused(
    published: dict[str, Path], trained: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="draws points"):
        publishing.publish(trained["gan"].run, tmp_path / "points")
    with pytest.raises(UserError, match="is an exported model"):
        publishing.publish(published["pix2pix"] / "model.a2b.uint8.onnx", tmp_path / "onnx")
    with pytest.raises(UserError, match="cannot be a model's name"):
        publishing.publish(trained["pix2pix"].run, tmp_path / "fine", name="../up")
    assert list(tmp_path.iterdir()) == []


def test_a_published_model_can_be_published_again(published: dict[str, Path]) -> None:
    """Rounding what is rounded changes nothing: somebody who has but the folder can hand it on."""
    from i2i.publishing import sources

    found = sources.find(published["cyclegan"])
    again = zoo.rounded(found.model.product)
    assert weights_sum(again) == weights_sum(found.model.product)
    assert found.run is None


def test_the_recipe_of_the_folder_is_the_one_in_the_weights(published: dict[str, Path]) -> None:
    for folder in published.values():
        assert recipe.load(folder / "recipe.yaml") == zoo.load(folder, CPU).recipe

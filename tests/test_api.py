"""A run from its recipe to its pictures, through the Python API."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import i2i
from i2i import api, images, loading, recipe, store, translation, zoo
from i2i.engine import monitor
from i2i.engine.monitor import Log
from i2i.errors import Stopped, UserError
from i2i.session import Session

Tree = Callable[..., dict[str, Any]]
Noise = Callable[..., np.ndarray]


def settings(tree: dict[str, Any]) -> Any:
    return recipe.build(tree, "test")


# Training


@pytest.mark.parametrize("model", ["pix2pix", "cyclegan", "dcgan", "gan"])
def test_a_finished_run_leaves_everything_there_is_to_look_at(model: str, trained: dict[str, api.Trained]) -> None:
    run = trained[model].run
    assert recipe.load(run / "recipe.yaml").model_dump()["model"] == model
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    assert all(np.isfinite(value) for line in lines for value in line["losses"].values())
    assert [path.name for path in sorted((run / "samples").iterdir())] == ["0000001.png", "0000002.png", "0000004.png"]
    assert all(images.read(path).std() > 0 for path in (run / "samples").iterdir())
    assert any(path.name.startswith("events.out.tfevents") for path in (run / "tensorboard").iterdir())
    best = model in ("pix2pix", "cyclegan")  # what has a val split that can be scored chooses by it
    assert trained[model].model == run / (store.BEST if best else store.FILE)
    assert (run / "test.json").is_file() == best
    assert not list(run.rglob("*.tmp"))


@pytest.mark.parametrize("model", ["pix2pix", "gan"])
def test_the_report_is_one_page_that_needs_nothing_from_elsewhere(model: str, trained: dict[str, api.Trained]) -> None:
    page = trained[model].report.read_text("utf-8")
    assert "http" not in page
    assert "@import" not in page
    found: list[tuple[str, str]] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.extend((name, value or "") for name, value in attrs if name in ("src", "href", "xlink:href", "data"))

    Links().feed(page)
    assert all(value.startswith("#") for _, value in found)  # within the page: matplotlib's glyphs
    assert '["1","samples/0000001.png"],["2","samples/0000002.png"],["4","samples/0000004.png"]' in page
    assert page.count("<svg") == (2 if model == "pix2pix" else 1)  # losses, and validation where there is one
    assert "adversarial" in page  # a curve's label, and the recipe
    assert "finished" in page


def test_a_report_shows_the_recipe_as_text_and_not_as_markup(tiny: Tree, pictures: Path, tmp_path: Path) -> None:
    root = tmp_path / "<b>&$title"
    root.symlink_to(pictures / "sides")
    tree = tiny("pix2pix", steps=1)
    tree["data"]["root"] = str(root)
    page = api.train(settings(tree), run=tmp_path / "<i>run", name="markup").report.read_text("utf-8")
    assert "&lt;b&gt;&amp;$title" in page
    assert "<b>" not in page
    assert "<i>" not in page


def test_a_picture_of_the_users_among_the_samples_breaks_no_report(trained: dict[str, api.Trained]) -> None:
    run, cpu = trained["gan"].run, torch.device("cpu")
    stranger = run / "samples" / "favourite.png"
    stranger.write_bytes(b"")
    try:
        page = Session(zoo.load("gan", cpu).recipe, run, cpu).report()
    finally:
        stranger.unlink()
    assert "favourite" not in page.read_text("utf-8")


def test_a_finished_model_is_known_by_its_name(trained: dict[str, api.Trained]) -> None:
    assert store.find("pix2pix").read_bytes() == trained["pix2pix"].model.read_bytes()
    assert {"pix2pix", "cyclegan", "dcgan", "gan"} <= {entry.name for entry in store.entries()}


def test_training_twice_says_that_it_is_finished(tiny: Tree, trained: dict[str, api.Trained]) -> None:
    before = trained["pix2pix"].model.read_bytes()
    again = api.train(settings(tiny("pix2pix", steps=4)), run=trained["pix2pix"].run, name="pix2pix")
    assert again.already_finished
    assert not trained["pix2pix"].already_finished
    assert again.model.read_bytes() == before


def test_a_finished_run_can_be_given_another_name(tiny: Tree, trained: dict[str, api.Trained]) -> None:
    api.train(settings(tiny("pix2pix", steps=4)), run=trained["pix2pix"].run, name="second-name")
    assert store.find("second-name").read_bytes() == trained["pix2pix"].model.read_bytes()


def test_another_recipe_in_the_same_run_folder_is_refused(tiny: Tree, trained: dict[str, api.Trained]) -> None:
    before = (trained["pix2pix"].run / "recipe.yaml").read_text()
    with pytest.raises(UserError, match="another recipe"):
        api.train(settings(tiny("pix2pix", steps=4, seed=1)), run=trained["pix2pix"].run, name="pix2pix")
    assert (trained["pix2pix"].run / "recipe.yaml").read_text() == before


def test_changed_training_pictures_are_noticed(tiny: Tree, tmp_path: Path, noise: Noise) -> None:
    for side in "AB":
        for i in range(6):
            images.write(tmp_path / "data" / f"train{side}" / f"{i}.png", noise(i, 16, 16))
    tree = tiny("pix2pix")
    tree["data"]["root"] = str(tmp_path / "data")
    api.train(settings(tree), run=tmp_path / "run", name="changing")
    for side in "AB":
        images.write(tmp_path / "data" / f"train{side}" / "new.png", noise(9, 16, 16))
    with pytest.raises(UserError, match="pictures have changed"):
        api.train(settings(tree), run=tmp_path / "run", name="changing")


@pytest.mark.parametrize(("model", "number"), [("cyclegan", signal.SIGINT), ("dcgan", signal.SIGTERM)])
def test_a_stopped_run_goes_on_as_if_never_stopped(
    model: str, number: signal.Signals, tiny: Tree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings(tiny(model, steps=5, ema=0.9, save_every=100))
    whole = api.train(chosen, run=tmp_path / "whole", name="whole")
    log = Log.__call__

    def stop_at_three(self: Log, tick: Any) -> None:
        log(self, tick)
        if tick.step == 3:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        patch.setattr(Log, "__call__", stop_at_three)
        with pytest.raises(Stopped, match="step 3 of 5"):
            api.train(chosen, run=tmp_path / "halves", name="halves")
    assert signal.getsignal(number) == before
    assert zoo.load(tmp_path / "halves", torch.device("cpu")).step == 3
    assert "at step 3 of 5" in (tmp_path / "halves" / "report.html").read_text("utf-8")

    halves = api.train(chosen, run=tmp_path / "halves", name="halves")
    assert halves.resumed
    assert not whole.resumed
    assert halves.model.read_bytes() == whole.model.read_bytes()
    told = [[(line["step"], line["losses"]) for line in monitor.read(run)] for run in (whole.run, halves.run)]
    assert told[0] == told[1]


def test_a_step_that_is_not_finite_ends_the_run_in_words(tiny: Tree, tmp_path: Path) -> None:
    players = {"generator": {"lr": 1e30}, "discriminator": {"lr": 1e30}}
    with pytest.raises(UserError, match="Nothing of that step is kept"):
        api.train(settings(tiny("gan", steps=50, players=players)), run=tmp_path / "run", name="wild")


def test_an_unknown_phase_is_refused_before_anything_is_written(tiny: Tree, tmp_path: Path) -> None:
    wrong = settings(tiny("gan", schedule=[{"phase": "adverserial", "steps": 1}]))
    with pytest.raises(UserError, match="Did you mean adversarial"):
        api.train(wrong, run=tmp_path / "run", name="wrong")
    assert not (tmp_path / "run").exists()


def test_a_wrong_name_is_refused_before_anything_is_written(tiny: Tree, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be a model's name"):
        api.train(settings(tiny("gan")), run=tmp_path / "run", name="../up")
    assert not (tmp_path / "run").exists()


def test_no_gpu_is_an_error_only_for_those_who_ask_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert api.pick_device("auto").type == api.pick_device("cpu").type == "cpu"
    with pytest.raises(UserError, match="no CUDA device"):
        api.pick_device("cuda")
    with pytest.raises(UserError, match="Did you mean cuda"):
        api.pick_device("cudo")


# Sampling


@pytest.mark.parametrize("model", ["gan", "dcgan"])
def test_a_seed_decides_the_samples(model: str, trained: dict[str, api.Trained], tmp_path: Path) -> None:
    paths = [
        i2i.sample(model, tmp_path / name, count=9, seed=seed)
        for name, seed in (("a.png", 1), ("b.png", 1), ("c.png", 2))
    ]
    first, same, other = (images.read(path) for path in paths)
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


def test_samples_never_overwrite_without_force(trained: dict[str, api.Trained], tmp_path: Path) -> None:
    i2i.sample("dcgan", tmp_path / "a.png", count=1)
    with pytest.raises(UserError, match="--force"):
        i2i.sample("dcgan", tmp_path / "a.png", count=4)
    i2i.sample("dcgan", tmp_path / "a.png", count=4, force=True)


def test_samples_go_to_a_picture(trained: dict[str, api.Trained], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"\.png"):
        i2i.sample("dcgan", tmp_path / "samples.xyz")
    with pytest.raises(UserError, match="i2i translate"):
        i2i.sample("pix2pix", tmp_path / "a.png")


# Seeds


def test_several_seeds_are_several_runs_and_validation_picks_one(tiny: Tree, tmp_path: Path, fresh_home: Path) -> None:
    tree = settings(tiny("pix2pix", steps=2, seed=4))
    done = api.train(tree, run=tmp_path / "run", name="seeds", seeds=2)
    each = [tmp_path / "run" / f"seed{seed}" for seed in (4, 5)]
    told = json.loads((tmp_path / "run" / "seeds.json").read_text())
    values = [json.loads((run / "test.json").read_text())["best"]["scores"]["model"]["l1"]["mean"] for run in each]
    assert (told["seeds"], told["runs"]) == ([4, 5], ["seed4", "seed5"])
    assert told["rows"]["l1"]["values"] == values
    assert told["rows"]["l1"]["mean"] == pytest.approx(np.mean(values))
    assert told["rows"]["l1"]["std"] == pytest.approx(np.std(values, ddof=1))
    name = "perceptual_efflite0"
    scores = [zoo.load(run, torch.device("cpu")).scores[name] for run in each]
    assert scores[0] != scores[1]
    assert done.model == each[int(np.argmin(scores))] / store.BEST
    assert store.find("seeds").read_bytes() == done.model.read_bytes()
    page = done.report.read_text("utf-8")
    assert all(f'href="{run.name}/report.html"' in page for run in each)
    assert api.train(tree, run=tmp_path / "run", name="seeds", seeds=2).already_finished


# Scores


def test_scores_stand_beside_the_trivial_answers(trained: dict[str, api.Trained]) -> None:
    scores = i2i.evaluate("pix2pix")
    assert scores.pictures == 3
    assert list(scores.rows) == ["model", "constant colour", "mean picture", "copy of the input", "mean/std transfer",
                                 "truth", "training pictures"]  # fmt: skip
    assert scores.rows["truth"]["l1"] == (0, 0)
    assert scores.rows["truth"]["ssim"][0] == pytest.approx(1)
    assert scores.rows["truth"]["correlation"][0] == pytest.approx(1, abs=1e-5)
    assert scores.rows["constant colour"]["correlation"] == (0, 0)
    assert all(f"\n{answer} " in scores.table() for answer in scores.rows)
    assert json.loads(scores.json())["scores"]["model"]["l1"]["mean"] == scores.rows["model"]["l1"][0]


def test_the_score_of_a_model_is_that_of_its_translations(trained: dict[str, api.Trained], pictures: Path) -> None:
    net = i2i.load("pix2pix")
    errors = []
    for i in range(3):
        a, b = (images.read(pictures / "sides" / f"test{side}" / f"{i}.png") for side in "AB")
        errors.append(np.abs(net(a).astype(float) - b).mean() / 255)
    assert i2i.evaluate("pix2pix").rows["model"]["l1"][0] == pytest.approx(np.mean(errors), abs=2e-3)


def test_scores_know_both_directions(trained: dict[str, api.Trained]) -> None:
    there, back = (i2i.evaluate("cyclegan", direction=direction).rows for direction in ("a2b", "b2a"))
    assert there["copy of the input"]["l1"] == pytest.approx(back["copy of the input"]["l1"])
    assert there["model"]["l1"] != back["model"]["l1"]
    assert there["mean picture"]["l1"] != back["mean picture"]["l1"]


def test_sketches_made_from_photos_have_the_photos_for_truth(tiny: Tree, tmp_path: Path, noise: Noise) -> None:
    for i in range(4):
        for split in ("train", "test"):
            images.write(tmp_path / "photos" / split / f"{i}.png", noise(i, 16, 16))
    tree = tiny("pix2pix", steps=1)
    tree["data"] |= {"root": str(tmp_path / "photos"), "derive": {"a": "edges"}}
    api.train(settings(tree), run=tmp_path / "run", name="sketches")
    rows = i2i.evaluate("sketches").rows
    assert rows["truth"]["l1"] == (0, 0)
    assert rows["copy of the input"]["l1"][0] > 0.1


def test_an_unknown_split_suggests_known_ones(trained: dict[str, api.Trained]) -> None:
    with pytest.raises(UserError, match="Did you mean test"):
        i2i.evaluate("pix2pix", split="tset")


def test_without_pairs_the_translations_are_scored_as_a_set(tiny: Tree, tmp_path: Path, noise: Noise) -> None:
    for folder, first in (("trainA", 0), ("trainB", 3), ("testA", 6), ("testB", 9)):
        for i in range(3):
            images.write(tmp_path / "data" / folder / f"{first + i}.png", noise(first + i, 16, 16))
    tree = tiny("cyclegan", steps=1)
    tree["data"]["root"] = str(tmp_path / "data")
    api.train(settings(tree), run=tmp_path / "run", name="unregistered")
    rows = i2i.evaluate("unregistered").rows
    assert {"fid_efflite0", "kid_efflite0", "diversity", "cycle"} <= rows["model a2b"].keys()
    assert "l1" not in rows["model a2b"]


def test_points_are_no_pictures_to_score(trained: dict[str, api.Trained]) -> None:
    with pytest.raises(UserError, match="collection of pictures"):
        i2i.evaluate("gan")


def test_a_model_is_scored_on_any_folder_of_its_layout(trained: dict[str, api.Trained], pictures: Path) -> None:
    whole, elsewhere = i2i.evaluate("pix2pix"), i2i.evaluate("pix2pix", data=pictures / "sides")
    assert whole.rows["model"]["l1"] == elsewhere.rows["model"]["l1"]
    assert elsewhere.folder == pictures / "sides"
    with pytest.raises(UserError, match="is no folder"):
        i2i.evaluate("pix2pix", data=pictures / "nowhere")


# The package


def test_importing_i2i_does_not_wait_for_torch() -> None:
    code = "import sys, i2i, i2i.cli; assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_package_offers_what_it_lists() -> None:
    rooms = {"load": loading, "translate": translation}
    assert all(getattr(i2i, name) is getattr(rooms.get(name, api), name) for name in i2i.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        i2i.trian  # noqa: B018

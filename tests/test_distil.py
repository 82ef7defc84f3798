"""A student learns what its teacher answers, goes on where it was stopped, and is told what it saves and costs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import typer
from torch import nn
from typer.testing import CliRunner

from i2i import api, distil, evaluation, images, recipe, store, zoo
from i2i.cli.distil import distil as command
from i2i.data import fixed, open_split
from i2i.data.make.pixels import lossless, plain, put
from i2i.distil import answers, asking, running
from i2i.distil.teacher import find
from i2i.errors import Stopped, UserError
from i2i.models import MODELS
from i2i.session import Session
from i2i.translator import Translator

CPU = torch.device("cpu")
STUDENT = """\
model: pix2pix
batch: 2
generator: {kind: compact, blocks: 1, width: 4}
discriminator: {kind: patch, layers: 1, width: 4}
schedule: [{phase: adversarial, steps: 4}]
samples: 2
validate_every: 2
"""
Make = Callable[..., Path]


@pytest.fixture(scope="session")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe of a student; it has no data."""
    path = tmp_path_factory.mktemp("student") / "small.yaml"
    path.write_text(STUDENT)
    return path


@pytest.fixture(scope="session")
def teacher(tiny: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Make:
    """teacher("cyclegan", seed=1, data={...}): a model file with random weights, which are as good."""

    def make(model: str, seed: int = 0, data: dict[str, Any] | None = None, **changes: Any) -> Path:
        tree = tiny(model, **changes)
        settings = recipe.build({**tree, "data": tree["data"] | (data or {})}, "test")
        torch.manual_seed(seed)
        product = MODELS[type(settings)](settings).product()
        for parameter in (p for network in product.values() for p in network.parameters()):
            parameter.data *= 3  # or all answers are the same grey
        path: Path = tmp_path_factory.mktemp(model) / "teacher.safetensors"
        zoo.save(path, product, settings, 1, "")
        return path

    return make


@pytest.fixture(scope="session")
def cycle(teacher: Make, student: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, distil.Distilled]:
    """A CycleGAN and what its b2a has taught."""
    file = teacher("cyclegan")
    return file, distil.distil(
        student, file, run=tmp_path_factory.mktemp("cycle") / "run", direction="b2a", name="cycle"
    )


@pytest.fixture(scope="session")
def pairs(teacher: Make, student: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, distil.Distilled]:
    """A Pix2Pix model and its student."""
    file = teacher("pix2pix")
    return file, distil.distil(student, file, run=tmp_path_factory.mktemp("pairs") / "run", name="pairs")


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.png"))}


def answered(run: Path, split: str, side: str) -> list[np.ndarray]:
    return [images.read(path) for path in sorted((run / distil.LESSONS / f"{split}{side}").glob("*.png"))]


def asked(file: Path, way: str, run: Path, tmp: Path, student: Path, **how: Any) -> Any:
    """The pairs alone, in the folder `run`; returns the student's settings."""
    taught = find(file, way, CPU)
    tree = asking.student(student, [f"{key}={json.dumps(value)}" for key, value in how.pop("set", {}).items()])
    data = asking.questions(taught, tree.get("data", {}), how.pop("named", False), "test")
    settings = asking.settings_of(tree, taught, data, run / distil.LESSONS, "test")
    place, split = run / distil.LESSONS, open_split(data, "train")
    answers.answer_all(place, taught, data, split, how.pop("windows", 64), 8, api.QUIET)
    return settings


# What is taught


def test_the_pairs_are_the_teachers_pictures_and_its_answers_to_them(
    cycle: tuple[Path, distil.Distilled], pictures: Path
) -> None:
    file, done = cycle
    translate = Translator(zoo.load(file, CPU).product["b2a"], CPU)
    for split, side in (("train", "trainB"), ("val", "valB")):
        real = [images.read(path) for path in sorted((pictures / "sides" / side).glob("*.png"))]
        known = {picture.tobytes() for each in real for picture in (each, each[:, ::-1])}
        questions, answers = (answered(done.trained.run, split, side) for side in "AB")
        assert len(questions) == len(answers) >= len(real)
        for question, answer in zip(questions, answers, strict=True):
            assert question.tobytes() in known
            assert np.abs(translate(question).astype(int) - answer).max() <= 1


def test_every_window_is_another_and_mirrored_ones_are_asked_for_themselves(
    cycle: tuple[Path, distil.Distilled],
) -> None:
    questions = answered(cycle[1].trained.run, "train", "A")
    each = {question.tobytes() for question in questions}
    assert 6 < len(each) == len(questions) <= 12  # six pictures of the size of the crop, and their mirror images
    assert any(question[:, ::-1].tobytes() in each for question in questions)
    settings: Any = zoo.load(cycle[1].trained.model, CPU).recipe
    assert settings.data.flip is False


def test_windows_are_cut_as_the_teacher_learnt_and_there_are_as_many_as_are_asked(
    teacher: Make, student: Path, tmp_path: Path
) -> None:
    file = teacher("pix2pix", data={"crop": 8, "load": 12})
    settings = asked(file, "a2b", tmp_path, tmp_path, student, windows=50)
    assert len(answered(tmp_path, "train", "A")) == 50
    assert {picture.shape for picture in answered(tmp_path, "train", "B")} == {(8, 8, 3)}
    assert settings.data.crop == 8
    assert settings.data.load is None


@pytest.mark.parametrize(
    "data",
    [
        {"channels": {"a": 1, "b": 3}},
        {"bits": 16},
        {"channels": {"a": 3, "b": {"labels": 4}}},
        {"channels": {"a": {"palette": ["#000000", "#ff0000", "#00ff00"]}, "b": {"palette": ["#0000ff", "#ffffff"]}}},
        {"channels": {"a": 3, "b": 1}, "condition": ["mask"]},
        {"channels": {"a": 3, "b": 6}},
    ],
    ids=["grey", "deep", "labels", "palette", "condition", "many"],
)
def test_the_student_reads_exactly_what_the_teacher_was_asked_and_said(
    data: dict[str, Any], teacher: Make, student: Path, tmp_path: Path
) -> None:
    root = tmp_path / "data"
    for i in range(3):
        for j, folder in enumerate(("trainA", "trainB", "trainmask", "valA", "valB", "valmask")):
            random = np.random.default_rng(10 * i + j)
            picture = random.integers(0, 256, (16, 16, 3), np.uint8)
            if folder.endswith("B") and data.get("channels", {}).get("b") == {"labels": 4}:
                picture = random.integers(0, 4, (16, 16, 1), np.uint8)
            if folder.endswith("B") and data.get("channels", {}).get("b") == 6:
                picture = random.integers(0, 256, (16, 16, 6), np.uint8)
                pixels = lossless(root / folder, f"{i}", picture)
                put(pixels, picture, plain(picture), force=True)
                continue
            images.write(root / folder / f"{i}.png", picture)
    file = teacher("pix2pix", data={"root": str(root), **data})
    settings = asked(file, "a2b", tmp_path / "run", tmp_path, student)
    network = zoo.load(file, CPU).product["a2b"]
    original: Any = zoo.load(file, CPU).recipe
    for split in ("train", "val"):
        x, y = fixed(settings.data, split, 3)
        made = Translator(network, CPU).forward(x)
        classes = not isinstance(settings.data.channels.b, int)
        step = 0 if classes else 2.0001 / (2**settings.data.bits - 1)
        expected = nn.functional.one_hot(made.argmax(1), made.shape[1]).permute(0, 3, 1, 2) * 2 - 1 if classes else made
        assert (expected - y).abs().max() <= step
    assert torch.equal(fixed(settings.data, "val", 3)[0], fixed(original.data, "val", 3)[0])


def test_drawings_that_are_derived_while_training_are_drawn_for_the_student_too(
    teacher: Make, student: Path, tmp_path: Path, pictures: Path
) -> None:
    told = {
        "root": str(pictures / "classes" / "cat"),
        "derive": {"a": {"kind": "sketches"}},
        "channels": {"a": 1, "b": 3},
    }
    settings = asked(teacher("pix2pix", data=told), "a2b", tmp_path, tmp_path, student, windows=20)
    assert settings.data.derive is None
    assert len({picture.tobytes() for picture in answered(tmp_path, "train", "A")}) == 20  # of four photos


def test_a_recipe_may_say_a_part_of_its_data_or_name_other_pictures(
    teacher: Make, student: Path, tmp_path: Path, pictures: Path
) -> None:
    file, cats = teacher("cyclegan"), pictures / "classes" / "cat"
    asked(file, "a2b", tmp_path / "part", tmp_path, student, set={"data.crop": 12})
    assert {picture.shape for picture in answered(tmp_path / "part", "train", "A")} == {(12, 12, 3)}
    asked(file, "a2b", tmp_path / "cats", tmp_path, student, named=True, set={"data.root": str(cats)})
    known = {side.tobytes() for photo in map(images.read, cats.glob("*.png")) for side in (photo, photo[:, ::-1])}
    assert {picture.tobytes() for picture in answered(tmp_path / "cats", "train", "A")} <= known


# Going on


def test_what_was_answered_before_a_stop_is_left_alone_and_the_rest_is_the_same(
    teacher: Make, student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = teacher("pix2pix", data={"crop": 8})
    asked(file, "a2b", tmp_path / "whole", tmp_path, student)
    put, calls = answers.put_pairs, []

    def stop(place: Path, split: str, first: int, *rest: Any) -> None:
        if split == "train" and first > 16:
            raise KeyboardInterrupt
        put(place, split, first, *rest)

    monkeypatch.setattr(answers, "put_pairs", stop)
    with pytest.raises(KeyboardInterrupt):
        asked(file, "a2b", tmp_path / "cut", tmp_path, student)
    monkeypatch.setattr(answers, "put_pairs", put)
    begun = {path: path.stat().st_mtime_ns for path in (tmp_path / "cut").rglob("*.png")}
    forward = Translator.forward
    monkeypatch.setattr(Translator, "forward", lambda self, x: calls.append(len(x)) or forward(self, x))
    asked(file, "a2b", tmp_path / "cut", tmp_path, student)
    assert {path: path.stat().st_mtime_ns for path in begun} == begun
    assert sum(calls) == 64 - sum(path.parent.name == "trainB" for path in begun)
    assert files(tmp_path / "cut") == files(tmp_path / "whole")
    asked(file, "a2b", tmp_path / "cut", tmp_path, student)
    assert sum(calls) < 64, "nothing is asked twice"


def test_the_same_command_goes_on_and_comes_to_the_same_student(
    teacher: Make, student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, save, trained = teacher("pix2pix"), Session.save, []
    monkeypatch.setattr(running, "compared", lambda *_: {})
    for name in ("straight", "cut"):

        def stop(self: Session) -> None:
            save(self)
            if self.done == 2 and self.run.name == "cut":
                raise Stopped("by a signal")

        monkeypatch.setattr(Session, "save", stop)
        how: dict[str, Any] = {"run": tmp_path / name, "name": name, "overrides": ["save_every=2"]}
        if name == "cut":
            with pytest.raises(Stopped):
                distil.distil(student, file, **how)
            monkeypatch.setattr(Session, "save", save)
        trained.append(distil.distil(student, file, **how).trained)
    assert [done.resumed for done in trained] == [False, True]
    a, b = (zoo.load(done.run / store.FILE, CPU).product["a2b"].state_dict() for done in trained)
    assert all(torch.equal(a[key], b[key]) for key in a)


def test_a_finished_distillation_is_read_and_the_test_split_is_not_scored_again(
    cycle: tuple[Path, distil.Distilled], student: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, done = cycle
    monkeypatch.setattr(evaluation, "evaluate", lambda *_, **__: pytest.fail("scored again"))
    again = distil.distil(student, file, run=done.trained.run, direction="b2a", name="cycle")
    assert again.told == json.loads((done.trained.run / distil.TOLD).read_text()) == done.told
    assert again.trained.already_finished


def test_another_teacher_or_other_pictures_are_refused_and_nothing_is_touched(
    cycle: tuple[Path, distil.Distilled], teacher: Make, student: Path
) -> None:
    file, done = cycle
    run, before = done.trained.run, files(done.trained.run)
    for other, way, how, word in (
        (teacher("cyclegan", seed=1), "b2a", (), "teacher"),
        (file, "a2b", (), "direction"),
        (file, "b2a", ("data.crop=12",), "data"),
    ):
        with pytest.raises(UserError, match=rf"another distillation \(different: .*{word}.*--run"):
            distil.distil(student, other, run=run, direction=way, overrides=how, name="other")
    assert files(run) == before


# What is told


def test_costs_are_counted_as_the_layers_say(cycle: tuple[Path, distil.Distilled]) -> None:
    file, done = cycle
    counts = []

    def count(layer: nn.Conv2d, _: Any, y: torch.Tensor) -> None:
        kernel = layer.kernel_size[0] * layer.kernel_size[1]
        counts.append(y[0].numel() * layer.in_channels // layer.groups * kernel)

    network = zoo.load(done.trained.model, CPU).product["a2b"]
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(count)
    network(torch.zeros(1, 3, 16, 16))
    told, taught = done.told["student"], done.told["teacher"]
    assert told["multiply_adds"] == sum(counts)
    assert told["parameters"] == sum(weight.numel() for weight in network.parameters())
    product = zoo.load(file, CPU).product
    assert taught["parameters"] == sum(weight.numel() for weight in product["b2a"].parameters())
    form = store.exported(file, "b2a", "uint8", store.read_header(file)["sha256"])[-1]
    assert taught["bytes"] == form.stat().st_size
    assert told["milliseconds"] > 0
    assert taught["milliseconds"] > 0
    table = done.table()
    assert f"{taught['parameters'] / told['parameters']:.3g} ×" in table
    assert "student" in table.split("test split")[1]


@pytest.mark.parametrize(("which", "way"), [("cycle", "b2a"), ("pairs", "a2b")])
def test_teacher_and_student_are_scored_beside_the_truth_and_real_pictures(
    which: str, way: str, request: pytest.FixtureRequest
) -> None:
    file, done = request.getfixturevalue(which)
    rows = done.told["test"]["scores"]
    own = evaluation.of_model(zoo.load(file, CPU), direction=way).rows
    assert rows["teacher"]["l1"]["mean"] == own["model"]["l1"].value
    assert rows["constant colour"]["l1"]["mean"] == own["constant colour"]["l1"].value
    assert {"fid_efflite0", "kid_efflite0", "l1"} <= rows["student"].keys() & rows["teacher"].keys()
    # the run's report and `i2i evaluate` say the same
    told = json.loads((done.trained.run / "test.json").read_text())
    assert told["best"]["scores"]["model"] == rows["student"]
    assert told["best"]["scores"]["teacher"] == rows["teacher"]
    assert "teacher" in done.trained.report.read_text().split("Test pictures")[1].split("Samples")[0]
    scores = api.evaluate(done.trained.name)
    assert scores.rows["model"]["l1"].value == pytest.approx(rows["student"]["l1"]["mean"], rel=1e-5)


def test_the_student_is_chosen_beside_the_teacher_and_known_by_its_name(cycle: tuple[Path, distil.Distilled]) -> None:
    file, done = cycle
    model = zoo.load("cycle", CPU)
    settings: Any = model.recipe
    x, _ = fixed(settings.data, "val", 8)
    taught = Translator(zoo.load(file, CPU).product["b2a"], CPU).forward(x)
    made = Translator(model.product["a2b"], CPU).forward(x)
    assert model.scores["l1"] == pytest.approx((taught - made).abs().mean().item() / 2, abs=2 / 255)
    assert done.told["likeness"]["scores"] == model.scores


# What cannot be


def refused(match: str, student: Path, file: Any, run: Path, **how: Any) -> None:
    with pytest.raises(UserError, match=match):
        distil.distil(student, file, run=run, **{"name": "refused", **how})
    assert not run.exists() or not (run / distil.LESSONS).exists()


def test_a_teacher_must_be_known_translate_and_have_the_direction(
    teacher: Make, student: Path, tmp_path: Path, tiny: Callable[..., Any]
) -> None:
    run = tmp_path / "run"
    refused("no model 'nobody'", student, "nobody", run)
    refused("from noise", student, teacher("dcgan"), run)
    refused("a2b, not 'b2a'", student, teacher("pix2pix"), run, direction="b2a")
    refused("a2b and b2a, not 'b2c'", student, teacher("cyclegan"), run, direction="b2c")
    refused("another --name and another --run", student, file := teacher("pix2pix"), file.parent)
    (tmp_path / "model.onnx").write_bytes(b"")
    refused("exported model", student, tmp_path / "model.onnx", run)


def test_a_student_is_a_pix2pix_whose_channels_are_the_teachers(
    teacher: Make, student: Path, tmp_path: Path, tiny: Callable[..., Any], pictures: Path
) -> None:
    run, file = tmp_path / "run", teacher("pix2pix")
    other = tmp_path / "other.yaml"
    other.write_text(recipe.dump(recipe.build(tiny("cyclegan"), "test")))
    refused("model: cyclegan.*recipe of model: pix2pix", other, file, run)
    how = {"overrides": [f"data.root={pictures / 'classes' / 'cat'}", "data.channels=1"]}
    refused("takes 3 channels, and the pictures .* have 1 channels", student, file, run, **how)
    refused("recipe.data.croop", student, file, run, overrides=["data.croop=3"])
    refused("generator.compact.blocs", student, file, run, overrides=["generator.blocs=3"])


def test_pictures_that_are_gone_are_named_with_what_to_type(teacher: Make, student: Path, tmp_path: Path) -> None:
    file = teacher("pix2pix", data={"root": str(tmp_path / "gone")})
    refused(r"(?s)not there: .*gone is no folder.*--set data\.root=FOLDER", student, file, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_several_processes_are_refused(student: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("LOCAL_RANK", "0")
    refused("without torchrun", student, "nobody", tmp_path / "run")


# What ships


def test_the_shipped_recipe_is_a_student_of_any_teacher(teacher: Make, tmp_path: Path) -> None:
    taught = find(teacher("cyclegan"), "a2b", CPU)
    tree = asking.student("distil_compact", ())
    data = asking.questions(taught, tree.get("data", {}), False, "test")
    settings: Any = asking.settings_of(tree, taught, data, tmp_path / distil.LESSONS, "test")
    assert settings.generator.kind == "compact"
    assert recipe.find("distil_compact").read_text().startswith("# i2i distil distil_compact --teacher ")


def test_the_command_passes_on_what_it_is_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    app, got = typer.Typer(), {}

    def take(source: str, teacher: str, **how: Any) -> Any:
        got.update(how, source=source, teacher=teacher)
        raise UserError("enough")

    monkeypatch.setattr(distil, "distil", take)
    app.command()(command)
    said = CliRunner().invoke(app, ["small", "--teacher", "mine", "--set", "batch=3", "--direction", "b2a", "-o", "x"])
    assert isinstance(said.exception, UserError)
    assert (got["source"], got["teacher"], got["overrides"]) == ("small", "mine", ["batch=3"])
    assert (got["direction"], got["run"], got["windows"]) == ("b2a", Path("x"), distil.WINDOWS)

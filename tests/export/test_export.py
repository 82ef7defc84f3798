"""From a model file to one file that runs anywhere, or to an error and no file at all."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from i2i import cli, export, files, recipe, zoo
from i2i.errors import Stopped, UserError
from i2i.export import graph, parity
from i2i.models import MODELS
from i2i.runtime import Exported, guard

from .helpers import Get, almost_equal, oracle, photograph

COMPACT = {"kind": "compact", "blocks": 1, "width": 4}


@pytest.fixture(scope="session")
def saved(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Get:
    """saved("pix2pix", ...): the file of an untrained model."""
    folder = tmp_path_factory.mktemp("saved")

    def save(model: str, name: str = "", **changes: Any) -> Path:
        settings = recipe.build(tiny(model, **changes), "test")
        torch.manual_seed(0)
        path = folder / f"{name or model}.safetensors"
        zoo.save(path, MODELS[type(settings)](settings).product(), settings, 7, "print")
        return path

    return save


@pytest.fixture(scope="session")
def compact(saved: Get) -> Path:
    return saved("pix2pix", "compact", generator=COMPACT)


@pytest.fixture(scope="session")
def made(compact: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, parity.Report]:
    folder = tmp_path_factory.mktemp("made")
    return folder / "compact.onnx", export.export(compact, folder / "compact.onnx")


@pytest.fixture
def quick(traced: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every network's graph is that of a small one, which takes no time."""
    good = traced("compact")
    model = onnx.ModelProto()
    model.CopyFrom(good.model)
    once = graph.Traced(good.module, model, good.program)
    monkeypatch.setattr(graph, "translator", lambda network, pixels="uint8", dtype=None: once)


def test_one_file_holds_all_and_runs_as_the_network(made: Any, compact: Path) -> None:
    path, report = made
    assert [each.name for each in path.parent.iterdir()] == ["compact.onnx"]
    onnx.checker.check_model(str(path), full_check=True)
    assert report.pictures == 24
    picture = photograph(41, 30)
    almost_equal(Exported(path, "cpu")(picture), oracle(zoo.load(compact, torch.device("cpu")).product["a2b"], picture))


def test_what_it_says_of_itself_comes_back(made: Any, compact: Path) -> None:
    path, report = made
    told = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert list(told) == sorted(told)
    card, loaded = Exported(path, "cpu").card, zoo.load(compact, torch.device("cpu"))
    assert (card.task, card.model, card.direction, card.pixels, card.precision) == (
        "translate", "pix2pix", "a2b", "uint8", "fp32"
    )  # fmt: skip
    assert (card.inputs, card.outputs, card.multiple, card.minimum) == (3, 3, 4, 12)
    assert card.memory > 3 * 4
    assert card.parity == json.loads(report.json())
    assert (told["i2i.opset"], told["i2i.step"], told["i2i.data"]) == ("20", "7", loaded.data)
    assert json.loads(told["i2i.recipe"])["generator"]["width"] == 4


def test_no_place_of_this_machine_is_in_the_file(made: Any, pictures: Path) -> None:
    words = made[0].read_bytes()
    assert str(pictures).encode() not in words
    assert json.loads(Exported(made[0], "cpu").card.recipe)["data"]["root"] == "sides"
    assert not re.search(rb"/(work|home|root|tmp|usr|Users)/", words)


def test_our_own_exports_pass_the_guard(made: Any) -> None:
    assert guard.checked(made[0]) == made[0].read_bytes()


def test_two_exports_are_the_same_bytes(made: Any, compact: Path, tmp_path: Path) -> None:
    export.export(compact, tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == made[0].read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_two_processes_write_the_same_bytes(compact: Path, tmp_path: Path, precision: str) -> None:
    sums = []
    for seed in "1", "2":
        out = tmp_path / f"{seed}.onnx"
        code = f"from pathlib import Path; from i2i.export import export; export({str(compact)!r}, Path({str(out)!r}), precision={precision!r})"  # noqa: E501
        environment = {**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, "-c", code], check=True, env=environment, cwd=tmp_path)
        sums.append(hashlib.sha256(out.read_bytes()).hexdigest())
    assert sums[0] == sums[1]


@pytest.mark.slow
@pytest.mark.parametrize("pixels", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_every_form_passes_its_gate_says_what_it_is_and_passes_the_guard(
    compact: Path, tmp_path: Path, pixels: Any, precision: Any
) -> None:
    out = tmp_path / "model.onnx"
    export.export(compact, out, pixels=pixels, precision=precision)
    card = Exported(guard.checked(out), "cpu").card
    assert (card.pixels, card.precision) == (pixels, precision)
    (opset,) = onnx.load(out).opset_import
    assert {entry.key: entry.value for entry in onnx.load(out).metadata_props}["i2i.opset"] == str(opset.version)


@pytest.mark.parametrize("way", ["a2b", "b2a"])
def test_each_direction_is_a_model_of_its_own(
    quick: None, saved: Get, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    path, small, seen = saved("cyclegan", generator=COMPACT), graph.translator, []

    def watched(network: Any, *rest: Any) -> graph.Traced:
        seen.append(network)
        return small(network, *rest)

    monkeypatch.setattr(graph, "translator", watched)
    export.export(path, tmp_path / "m.onnx", direction=way)
    assert Exported(tmp_path / "m.onnx", "cpu").card.direction == way
    product, x = zoo.load(path, torch.device("cpu")).product, torch.rand(1, 3, 16, 16)
    assert [torch.equal(seen[0](x), product[each](x)) for each in ("a2b", "b2a")] == [way == "a2b", way == "b2a"]


def test_a_sampler_draws_what_its_network_draws(saved: Get, tmp_path: Path) -> None:
    report = export.export(saved("dcgan"), tmp_path / "dcgan.onnx")
    assert report.pictures == 8
    drawing = Exported(guard.checked(tmp_path / "dcgan.onnx"), "cpu")
    noise = np.random.default_rng(0).standard_normal((3, drawing.inputs), np.float32)
    assert drawing.sample(noise).shape == (3, 16, 16, 3)
    with pytest.raises(UserError, match=r"expected noise \(3, 8\) float32, got noise \(3, 7\) float32"):
        drawing.sample(noise[:, :7])
    with pytest.raises(UserError, match="label"):
        drawing.sample(noise, np.zeros(3, np.int64))
    with pytest.raises(UserError, match="cannot translate"):
        drawing(photograph(8, 8))


def test_an_imported_model_which_knows_no_data_is_exported(quick: None, tmp_path: Path) -> None:
    told = {"model": "imported", "generator": COMPACT, "toolkit": "contrastive-unpaired-translation", "source": "g"}
    settings = recipe.build({**told, "sha256": "0" * 64}, "test")
    zoo.save(tmp_path / "m.safetensors", MODELS[type(settings)](settings).product(), settings, 0, "")
    export.export(tmp_path / "m.safetensors", tmp_path / "m.onnx")
    assert Exported(tmp_path / "m.onnx", "cpu").card.model == "imported"


def test_it_needs_no_training_pictures(quick: None, saved: Get, tmp_path: Path) -> None:
    data = {"layout": "paired", "root": str(tmp_path / "gone"), "crop": 16}
    export.export(saved("pix2pix", "gone", generator=COMPACT, data=data), tmp_path / "m.onnx")
    assert (tmp_path / "m.onnx").is_file()


# What is wrong leaves nothing behind.


@pytest.fixture
def spoilt(traced: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exporter that writes one weight wrongly."""
    good = traced("compact")
    model = onnx.ModelProto()
    model.CopyFrom(good.model)
    weight = next(each for each in model.graph.initializer if each.name == "network.trunk.0.branch.2.weight")
    values = numpy_helper.to_array(weight).copy()
    values[0] += 1
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    wrong = graph.Traced(good.module, model, good.program)
    monkeypatch.setattr(graph, "translator", lambda network, pixels="uint8", dtype=None: wrong)


def test_a_lying_exporter_writes_nothing(spoilt: None, compact: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"first difference is at \d+\.network\.trunk\.0\.branch\.2\.Conv"):
        export.export(compact, tmp_path / "out" / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_command_then_fails_and_names_the_layer(
    spoilt: None, compact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "m.onnx"
    monkeypatch.setattr(sys, "argv", ["i2i", "export", "--model", str(compact), "-o", str(out)])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code not in (0, None)
    assert "trunk.0.branch.2" in "".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("where", ["gate", "writing"])
def test_who_stops_it_finds_nothing_half_done(
    quick: None, compact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def stop(*_: Any) -> None:
        raise Stopped("Stopped.")

    monkeypatch.setattr(*((parity, "gate") if where == "gate" else (files, "durable")), stop)
    with pytest.raises(Stopped):
        export.export(compact, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_an_old_file_survives_a_failed_export(spoilt: None, compact: Path, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_text("old")
    with pytest.raises(UserError, match="not the trained one"):
        export.export(compact, tmp_path / "m.onnx", force=True)
    assert (tmp_path / "m.onnx").read_text() == "old"


def test_nothing_is_replaced_unasked(quick: None, compact: Path, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_text("old")
    with pytest.raises(UserError, match="exists already"):
        export.export(compact, tmp_path / "m.onnx")
    with pytest.raises(UserError, match="is a folder"):
        export.export(compact, tmp_path, force=True)
    export.export(compact, tmp_path / "m.onnx", force=True)
    assert Exported(tmp_path / "m.onnx", "cpu").card.direction == "a2b"


@pytest.mark.parametrize(
    ("model", "asked", "said"),
    [
        ("pix2pix", {"direction": "b2a"}, "has a2b, not 'b2a'"),
        ("pix2pix", {"precision": "fp17"}, "no 'fp17' to export. Did you mean fp16"),
        ("pix2pix", {"pixels": "uint"}, "no 'uint' to export. Did you mean uint"),
        ("cyclegan", {"direction": "a2c"}, "Did you mean a2b"),
        ("dcgan", {"precision": "fp16"}, "as fp32 and uint8 only"),
        ("dcgan", {"direction": "a2b"}, "has sample, not 'a2b'"),
        ("gan", {}, "draws points, not pictures"),
    ],
)
def test_what_there_is_not_is_told(saved: Get, tmp_path: Path, model: str, asked: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        export.export(saved(model), tmp_path / "m.onnx", **asked)
    assert list(tmp_path.iterdir()) == []


def test_weights_that_no_single_file_holds_are_refused_before_the_work(
    compact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "LARGEST", 1000)
    with pytest.raises(UserError, match="GB of weights"):
        export.export(compact, tmp_path / "m.onnx")


def test_the_kept_form_is_the_exported_one(quick: None, compact: Path, tmp_path: Path) -> None:
    export.export(compact, tmp_path / "m.onnx")
    place = tmp_path / "kept" / "m.onnx"
    assert export.keep(compact, "a2b", "uint8", place) == place
    assert place.read_bytes() == (tmp_path / "m.onnx").read_bytes()

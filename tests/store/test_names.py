"""Names in the store: the user's own before those that ship, taken in from anywhere, removed without a trace."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from i2i import export, recipe, store, translation, zoo
from i2i.cli import app
from i2i.errors import UserError
from i2i.models import MODELS
from i2i.store import names

from .helpers import rewritten


@pytest.fixture
def run(tmp_path: Path, tiny: Callable[..., Any], fresh_home: Path) -> Path:
    """A run folder with a model, a card and an exported form beside it."""
    settings = recipe.build(tiny("pix2pix"), "test")
    torch.manual_seed(0)
    zoo.save(tmp_path / "run" / store.FILE, MODELS[type(settings)](settings).product(), settings, 7, "print")
    (tmp_path / "run" / store.CARD).write_text("a card")
    (tmp_path / "run" / "model.a2b.uint8.onnx").write_bytes(b"a form")
    return tmp_path / "run"


@pytest.fixture
def ships(tmp_path: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of models that ship; it holds `sketch`."""
    (tmp_path / "shipped" / "sketch").mkdir(parents=True)
    (tmp_path / "shipped" / "sketch" / store.FILE).write_bytes((run / store.FILE).read_bytes())
    monkeypatch.setattr(names, "shared", lambda name: tmp_path / "shipped")
    return tmp_path / "shipped"


def test_a_model_is_taken_in_with_its_card_and_its_exported_form(run: Path) -> None:
    file = store.add(run, "mine")
    assert file == store.find("mine")
    assert file.read_bytes() == (run / store.FILE).read_bytes()
    assert (file.parent / store.CARD).read_text() == "a card"
    assert (file.parent / "model.a2b.uint8.onnx").read_bytes() == b"a form"


def test_a_name_is_given_twice_only_by_force_and_the_old_forms_go(run: Path) -> None:
    store.add(run, "mine")
    with pytest.raises(UserError, match="--force"):
        store.add(run, "mine")
    (run / "model.a2b.uint8.onnx").unlink()
    file = store.add(run, "mine", force=True)
    assert not list(file.parent.glob("*.onnx"))


def test_what_is_no_model_is_not_taken_in(tmp_path: Path, run: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(b"no model")
    with pytest.raises(UserError, match="not a readable model file"):
        store.add(tmp_path / "x.safetensors", "x")
    assert not (store.folder() / "x").exists()


def test_a_removed_model_is_gone_and_its_run_is_not(run: Path) -> None:
    store.add(run, "mine")
    kept = store.folder().parent / "exported" / f"{store.read_header(run / store.FILE)['sha256']}.a2b.uint8.onnx"
    kept.parent.mkdir()
    kept.write_bytes(b"")
    store.remove("mine")
    assert not (store.folder() / "mine").exists()
    assert not kept.exists()
    assert (run / store.FILE).is_file()
    with pytest.raises(UserError, match="There is no model 'mine'"):
        store.remove("mine")


def test_what_ships_is_found_listed_and_stays(ships: Path) -> None:
    assert store.find("sketch") == ships / "sketch" / store.FILE
    (entry,) = store.entries()
    assert (entry.name, entry.shipped) == ("sketch", True)
    with pytest.raises(UserError, match="ships with i2i"):
        store.remove("sketch")


def test_a_model_of_ones_own_hides_a_shipped_one(ships: Path, run: Path) -> None:
    own = store.add(run, "sketch")
    assert store.find("sketch") == own
    (entry,) = store.entries()
    assert not entry.shipped
    store.remove("sketch")
    assert store.find("sketch") == ships / "sketch" / store.FILE


def test_the_best_of_a_run_comes_with_what_lies_beside_it(run: Path) -> None:
    (run / store.FILE).rename(run / store.BEST)
    (run / "best.a2b.uint8.onnx").write_bytes(b"the form of the best")
    file = store.add(run, "mine")
    assert (file.parent / "model.a2b.uint8.onnx").read_bytes() == b"the form of the best"
    assert (file.parent / store.CARD).is_file()


def test_a_file_among_others_comes_alone(run: Path) -> None:
    (run / store.FILE).rename(run / "download.safetensors")
    assert [path.name for path in store.add(run / "download.safetensors", "mine").parent.iterdir()] == [store.FILE]


def test_a_replaced_model_leaves_no_card_that_tells_of_it(run: Path) -> None:
    store.add(run, "mine")
    (run / store.CARD).unlink()
    assert not store.add(run, "mine", force=True).with_name(store.CARD).exists()


def test_a_model_replaces_itself_by_nothing(run: Path, tree: Callable[[Path], dict[str, bytes]]) -> None:
    file = store.add(run, "mine")
    before = tree(file.parent)
    assert store.add("mine", "mine", force=True) == file
    assert tree(file.parent) == before


def test_names_come_before_files_and_files_before_folders(
    ships: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sketch").mkdir()
    (tmp_path / "sketch" / store.FILE).touch()
    assert store.find("sketch") == ships / "sketch" / store.FILE
    assert store.find("./sketch") == Path("sketch") / store.FILE
    (tmp_path / "sketch" / store.BEST).touch()
    assert store.find("./sketch").name == store.BEST


def test_a_link_in_the_store_is_removed_and_not_what_it_points_to(run: Path) -> None:
    store.folder().mkdir(parents=True)
    (store.folder() / "mine").symlink_to(run)
    store.remove("mine")
    assert not (store.folder() / "mine").is_symlink()
    assert (run / store.FILE).is_file()


@pytest.mark.parametrize("name", ["../run", "a/b", "..", "", "/etc", "con", "A", "hf:x"])
def test_names_that_lead_elsewhere_are_refused(name: str, run: Path) -> None:
    with pytest.raises(UserError):
        store.add(run, name)
    with pytest.raises(UserError):
        store.remove(name)


@pytest.mark.parametrize(
    "changes",
    [{"recipe": "[]"}, {"recipe": "{}"}, {"scores": "[]"}, {"scores": '{"l1": "x"}'}, {"step": "x"}, {"recipe": "{"}],
)
def test_a_damaged_header_is_said(changes: dict[str, str], run: Path) -> None:
    (run / store.FILE).write_bytes(rewritten((run / store.FILE).read_bytes(), **changes))
    with pytest.raises(UserError, match="damaged header"):
        store.describe(run)


def test_a_header_does_not_speak_to_the_terminal(run: Path) -> None:
    recipe = json.loads(store.read_header(run / store.FILE)["recipe"])
    recipe["data"]["root"] = "\x1b]0;owned\x07"
    (run / store.FILE).write_bytes(rewritten((run / store.FILE).read_bytes(), recipe=json.dumps(recipe)))
    assert "\x1b" not in store.describe(run)


def test_the_list_says_where_each_is_from(ships: Path, run: Path) -> None:
    file = store.add(run, "mine")
    told = CliRunner().invoke(app, ["models", "list"]).stdout.splitlines()
    assert [line.split()[0] for line in told] == ["mine", "sketch"]
    assert str(file) in told[0]
    assert "ships with i2i" in told[1]
    refused = CliRunner().invoke(app, ["models", "remove", "sketch"])
    assert "ships with i2i and cannot be removed" in str(refused.exception)
    assert CliRunner().invoke(app, ["models", "remove", "mine"]).exit_code == 0
    assert not file.exists()


def test_what_ships_is_translated_with_at_once_and_left_as_it_is(
    run: Path, pictures: Path, tmp_path: Path, fresh_home: Path, tree: Callable[[Path], dict[str, bytes]]
) -> None:
    """Its exported form lies beside it: torch is not needed, and nothing is written where packages are installed."""
    package, photo = tmp_path / "models" / "sketch", pictures / "sides" / "testA" / "0.png"
    package.mkdir(parents=True)
    (package / store.FILE).write_bytes((run / store.FILE).read_bytes())
    export.export(run / store.FILE, package / "model.a2b.uint8.onnx", pixels="uint8")
    before, time = tree(tmp_path / "models"), package.stat().st_mtime_ns
    code = f"""
import sys
from pathlib import Path
from i2i import translation
from i2i.store import names
names.shared = lambda name: Path({str(tmp_path)!r}) / name
(done,) = translation.translate([{str(photo)!r}], "sketch", {str(tmp_path / "out.png")!r})
assert done.target, done.error
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert (tree(tmp_path / "models"), package.stat().st_mtime_ns) == (before, time)
    assert not (fresh_home / "exported").exists()


def test_a_shipped_model_without_its_form_gets_one_in_the_users_own_folder(
    ships: Path, pictures: Path, tmp_path: Path, tree: Callable[[Path], dict[str, bytes]]
) -> None:
    before = tree(ships)
    (done,) = translation.translate([pictures / "sides" / "testA" / "0.png"], "sketch", tmp_path / "out.png")
    assert done.target == tmp_path / "out.png"
    assert tree(ships) == before
    weights = store.read_header(ships / "sketch" / store.FILE)["sha256"]
    assert (store.folder().parent / "exported" / f"{weights}.a2b.uint8.onnx").is_file()


def test_a_description_tells_what_the_file_knows(run: Path) -> None:
    told = store.describe(run)
    assert "pix2pix" in told
    assert "a2b" in told
    assert str(run / store.CARD) in told
    assert "a2b beside it" in told

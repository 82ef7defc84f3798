"""Names in the store: the user's own before those that ship, taken in from anywhere, removed without a trace."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from i2i import recipe, store, zoo
from i2i.errors import UserError
from i2i.models import MODELS
from i2i.store import names


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


def test_a_description_tells_what_the_file_knows(run: Path) -> None:
    told = store.describe(run)
    assert "pix2pix" in told
    assert "a2b" in told
    assert str(run / store.CARD) in told
    assert "a2b beside it" in told

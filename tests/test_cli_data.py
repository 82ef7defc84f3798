"""`i2i data ...` and what `i2i train` does about data, as typed: what is said where, and with which exit code."""

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from i2i import api, cli, data, recipe
from i2i.images import write

Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fresh_home: Path) -> Say:
    """say("data", "list"): exit code, stdout and stderr of a command in this process."""

    def run(*words: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["i2i", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            cli.main()
        return int(left.value.code or 0), *capsys.readouterr()

    return run


def photos(folder: Path, count: int, size: int = 24, first: int = 0) -> None:
    """Smooth pictures, each of its own colours, numbered from `first`."""
    for i in range(first, first + count):
        rng = np.random.default_rng(i)
        blocks = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
        write(folder / f"{i:03}.png", blocks.repeat(size // 4, 0).repeat(size // 4, 1))


@pytest.fixture
def far(tmp_path: Path, tiny: Callable[..., Any]) -> Path:
    """A recipe whose data is not here."""
    tree = tiny("pix2pix")
    tree["data"] = {"layout": "paired", "dataset": "facades", "load": 24, "crop": 16}
    path = tmp_path / "far.yaml"
    path.write_text(recipe.dump(recipe.build(tree, "test")))
    return path


# list, info, check


def test_the_list_has_every_set_once_and_is_also_json(say: Say) -> None:
    code, out, _ = say("data", "list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[1:]] == data.names()
    _, told, _ = say("data", "list", "--json")
    assert [row["name"] for row in json.loads(told)] == data.names()


def test_info_tells_how_to_get_a_set(say: Say) -> None:
    code, out, _ = say("data", "info", "horse2zebra")
    assert code == 0
    assert "i2i data fetch horse2zebra" in out
    assert "cyclegan_horse2zebra" in out


def test_an_unknown_set_suggests_the_nearest(say: Say) -> None:
    code, out, err = say("data", "info", "horse2zebr")
    assert (code, out) == (2, "")
    assert "horse2zebra" in err


def test_check_tells_prints_json_and_draws_a_sheet(say: Say, tmp_path: Path) -> None:
    photos(tmp_path / "set" / "train", 12)
    code, out, _ = say("data", "check", tmp_path / "set", "--sheet", tmp_path / "sheet.png")
    assert code == 0
    assert "layout: unlabelled" in out
    assert (tmp_path / "sheet.png").stat().st_size > 1000
    _, told, _ = say("data", "check", tmp_path / "set", "--json")
    assert json.loads(told)["data"]["layout"] == "unlabelled"


def test_check_does_not_begin_when_the_sheet_is_there(say: Say, tmp_path: Path) -> None:
    photos(tmp_path / "set", 3)
    (tmp_path / "sheet.png").write_bytes(b"mine")
    code, out, err = say("data", "check", tmp_path / "set", "--sheet", tmp_path / "sheet.png")
    assert (code, out) == (2, "")
    assert "--force" in err
    assert (tmp_path / "sheet.png").read_bytes() == b"mine"


def test_check_ends_with_1_where_something_has_to_be_mended(say: Say, tmp_path: Path) -> None:
    photos(tmp_path / "set" / "train", 12)
    (tmp_path / "set" / "train" / "900.png").write_bytes(b"")
    code, out, _ = say("data", "check", tmp_path / "set")
    assert code == 1
    assert "900.png" in out


# train


def test_train_asks_before_it_fetches_and_says_how_much(
    far: Path, monkeypatch: pytest.MonkeyPatch, fresh_home: Path
) -> None:
    asked, fetched = [], []

    def fetch(name: str, **_: Any) -> None:
        fetched.append(name)
        for side in "AB":
            photos(fresh_home / "datasets" / name / f"train{side}", 12)

    monkeypatch.setattr(api, "fetch", fetch)

    def agree(question: str) -> bool:
        asked.append(question)
        return True

    api.train(far, run=far.with_suffix(""), device="cpu", may_fetch=agree)
    assert fetched == ["facades"]
    (question,) = asked
    assert "facades" in question
    assert "30.2 MB" in question
    assert "commercial use" in question


def test_train_fetches_nothing_that_nobody_agreed_to(say: Say, far: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "fetch", lambda *_, **__: pytest.fail("fetched"))
    code, _, err = say("train", far, "--run", far.with_suffix(""))
    assert code == 2
    assert "i2i data fetch facades" in err
    assert not far.with_suffix("").exists()


def test_yes_is_consent_where_nobody_can_be_asked(say: Say, far: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = []
    monkeypatch.setattr(api, "fetch", lambda name, **_: fetched.append(name))
    say("train", far, "--run", far.with_suffix(""), "--yes")
    assert fetched == ["facades"]


def test_train_refuses_pictures_that_cannot_work_before_it_begins(
    say: Say, tmp_path: Path, tiny: Callable[..., Any]
) -> None:
    for side in "AB":
        photos(tmp_path / "set" / f"train{side}", 12, size=8)
    tree = tiny("pix2pix")
    tree["data"] = {"layout": "paired", "root": str(tmp_path / "set"), "crop": 16}
    (tmp_path / "small.yaml").write_text(recipe.dump(recipe.build(tree, "test")))
    code, _, err = say("train", tmp_path / "small.yaml", "--run", tmp_path / "run")
    assert code == 2
    assert "smaller than crop: 16" in err
    assert not (tmp_path / "run").exists()


# From a folder as it is to translated pictures


def untouched(folder: Path) -> str:
    """A sum over all that is in a folder."""
    told = [(str(path.relative_to(folder)), path.stat().st_mtime_ns) for path in sorted(folder.rglob("*"))]
    return hashlib.sha256(repr(told).encode()).hexdigest()


@pytest.mark.parametrize("kind", ["sides", "classes", "table"])
def test_a_folder_as_it_is_goes_through_check_training_and_translation(
    kind: str, say: Say, tmp_path: Path, tiny: Callable[..., Any]
) -> None:
    place = root = tmp_path / "set"
    if kind == "classes":
        for number, (split, count) in enumerate((("train", 12), ("val", 3), ("test", 3))):
            for nth, name in enumerate(("hat", "shoe", "skirt")):
                photos(root / split / name, count, first=100 * number + 30 * nth)
    else:
        for split, count in (("train", 12), ("test", 3)):
            for side in "AB":
                photos(root / f"{split}{side}", count)
    if kind == "table":
        say("data", "make", "manifest", root, "-o", root / "pairs.csv")
        place = root / "pairs.csv"
    before = untouched(root)
    _, told, _ = say("data", "check", place, "--crop", "16", "--json")
    block = json.loads(told)["data"]
    if kind == "classes":
        assert block["layout"] == "labelled"
        block |= {"layout": "paired", "derive": {"a": "edges"}, "channels": {"a": 1, "b": 3}}
    assert block["layout"] == "paired"
    tree = tiny("pix2pix")
    tree["data"] = block
    (tmp_path / "own.yaml").write_text(recipe.dump(recipe.build(tree, "test")))
    assert say("train", tmp_path / "own.yaml", "--run", tmp_path / "run")[0] == 0
    pictures = root / ("test/hat" if kind == "classes" else "testA")
    assert say("translate", pictures, "--model", tmp_path / "run", "-o", tmp_path / "out")[0] == 0
    assert len(list((tmp_path / "out").iterdir())) == 3
    assert untouched(root) == before

"""The commands: their surface, their help, their exit codes, and that nobody ever meets a traceback."""

import json
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from i2i import api, cli, images, recipe, store
from i2i.models import MODELS

# What scripts rely on. A change here is a change of the interface: say so in CHANGELOG.md.
SURFACE = {
    "train": {"RECIPE", "-o", "--run", "--set", "--device", "--name", "--seeds", "--yes"},
    "distil": {"RECIPE", "--teacher", "-o", "--run", "--set", "--direction", "--windows", "--device", "--name",
               "--yes"},
    "translate": {"INPUTS", "--model", "--out", "-o", "--direction", "--device", "--quality", "--metadata", "--memory",
                  "--at", "--smooth", "--max-pixels", "--condition", "--force"},
    "sample": {"--model", "-o", "--out", "--count", "--seed", "--device", "--force"},
    "evaluate": {"--model", "--data", "--split", "--direction", "--features", "--device", "--json"},
    "export": {"--model", "--out", "-o", "--to", "--precision", "--pixels", "--direction", "--calibrate", "--title",
               "--examples", "--force"},
    "import": {"FILE", "--as", "--statistics", "--force"},
    "doctor": {"--json"},
    "models list": set(),
    "models info": {"NAME"},
    "models add": {"SOURCE", "--as", "--force"},
    "models remove": {"NAME"},
    "models publish": {"SOURCE", "-o", "--out", "--name", "--about", "--force"},
    "data list": {"--json"},
    "data info": {"NAME"},
    "data fetch": {"NAME", "--archive", "--mirror", "--trust", "--keep", "--force"},
    "data check": {"PLACE", "--crop", "--limit", "--sheet", "--json", "--force"},
    "data make split": {"ROOT", "-o", "--out", "--val", "--test", "--seed", "--distance", "--link", "--copy", "--again",
                        "--force"},
    "data make separate": {"ROOT", "-o", "--out", "--force"},
    "data make join": {"ROOT", "-o", "--out", "--force"},
    "data make resize": {"ROOT", "-o", "--out", "--size", "--fit", "--fill", "--nearest", "--force"},
    "data make sketches": {"ROOT", "-o", "--out", "--style", "--detail", "--thickness", "--jitter", "--breaks",
                           "--seed", "--link", "--copy", "--force"},
    "data make smooth": {"ROOT", "-o", "--out", "--dilate", "--blur", "--force"},
    "data make frames": {"VIDEOS", "-o", "--out", "--every", "--fps", "--scenes", "--distinct", "--from", "--until",
                         "--as", "--force"},
    "data make tiles": {"ROOT", "-o", "--out", "--size", "--stride", "--rest", "--min-content", "--force"},
    "data make degrade": {"ROOT", "-o", "--out", "--kind", "--seed", "--link", "--copy", "--force"},
    "data make shards": {"PLACE", "-o", "--out", "--size", "--count", "--layout", "--condition", "--seed", "--force"},
    "data make manifest": {"ROOT", "-o", "--out", "--layout", "--force"},
}  # fmt: skip


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    """say("train", "quickstart"): runs the `i2i` command in this process, as its entry point does."""

    def run(*words: str | Path) -> Said:
        monkeypatch.setattr(sys, "argv", ["i2i", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            cli.main()
        code = left.value.code
        assert code is None or isinstance(code, int)
        return Said(code or 0, *capsys.readouterr())

    return run


@pytest.fixture
def written(tmp_path: Path, tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, fresh_home: Path) -> Path:
    """A tiny recipe's file in an empty working directory."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "own.yaml"
    path.write_text(recipe.dump(recipe.build(tiny("pix2pix"), "test")))
    return path


def commands(group: Any, before: str = "") -> Iterator[tuple[str, Any]]:
    """(`data fetch`, the command) for every command at any depth."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{before}{name} ")
        else:
            yield f"{before}{name}", command


# The surface


def test_the_commands_and_their_options_are_these() -> None:
    found = {}
    for name, command in commands(typer.main.get_command(cli.app)):
        options = [option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)]
        found[name] = {option if option.startswith("-") else option.upper() for option in options} - {"--help"}
    assert found == SURFACE


@pytest.mark.parametrize("command", SURFACE)
def test_every_help_has_a_worked_example(command: str) -> None:
    said = CliRunner().invoke(cli.app, [*command.split(), "--help"])
    assert said.exit_code == 0
    assert f"i2i {command}" in said.output.split("Example:")[1]


def test_the_examples_in_the_help_name_options_that_exist() -> None:
    for name, command in commands(typer.main.get_command(cli.app)):
        words = command.help.split("`")[1].split()
        assert " ".join(words).startswith(f"i2i {name} ") or " ".join(words) == f"i2i {name}"
        assert {word for word in words if word.startswith("-")} <= SURFACE[name]


def test_help_does_not_wait_for_torch() -> None:
    code = """
import sys
sys.argv = ["i2i", "--help"]
from i2i.cli import main
try:
    main()
except SystemExit:
    heavy = {"torch", "numpy", "PIL", "pydantic", "matplotlib"} & set(sys.modules)
    sys.exit(f"imported {heavy}" if heavy else 0)
"""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert "translate" in done.stdout
    assert (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime) < 0.5  # seconds of one core


def test_python_m_i2i_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "i2i", "models", "--help"], capture_output=True, text=True, check=True)
    assert "i2i models" in done.stdout


# A whole walk


def test_train_translate_evaluate_and_list(
    say: Callable[..., Said], written: Path, tmp_path: Path, noise: Callable[..., np.ndarray]
) -> None:
    images.write(tmp_path / "in" / "a.png", noise(0, 9, 14))

    said = say("train", written, "--set", "schedule.0.steps=3", "--set", "data.flip=false")
    assert (said.code, "own" in said.out) == (0, True)
    assert (tmp_path / "runs" / "own" / "report.html").is_file()
    assert recipe.load(tmp_path / "runs" / "own" / "recipe.yaml").data.flip is False  # type: ignore[attr-defined]

    said = say("train", written, "--set", "schedule.0.steps=3", "--set", "data.flip=false")
    assert (said.code, "already finished" in said.out) == (0, True)

    said = say("translate", "in", "--model", "own", "-o", "out")
    assert (said.code, said.out) == (0, "1 of 1 translated into out\n")
    assert images.read(tmp_path / "out" / "a.png").shape == (9, 14, 3)

    said = say("evaluate", "--model", "own", "--json")
    assert said.code == 0
    assert json.loads(said.out)["pictures"] == 3

    said = say("models", "list")
    assert (said.code, said.out.split()[:3]) == (0, ["own", "pix2pix", "a2b"])


def test_skipped_pictures_are_named_and_the_exit_code_tells(
    say: Callable[..., Said], written: Path, tmp_path: Path, noise: Callable[..., np.ndarray]
) -> None:
    say("train", written)
    images.write(tmp_path / "in" / "a.png", noise(0, 9, 9))
    (tmp_path / "in" / "broken.png").write_bytes(b"\x89PNG")
    said = say("translate", "in", "--model", "own", "-o", "out")
    assert said.code == 1
    assert said.out == "1 of 2 translated into out\n"
    assert "skipped in/broken.png" in said.err

    said = say("translate", "in/a.png", "--model", "own", "-o", "out")
    assert said.code == 1
    assert "--force" in said.err
    assert say("translate", "in/a.png", "--model", "own", "-o", "out", "--force").code == 0


def test_a_stopped_run_is_no_error(
    say: Callable[..., Said], written: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from i2i.errors import Stopped

    def stop(*_: Any, **__: Any) -> None:
        raise Stopped("Stopped at step 3 of 5")

    monkeypatch.setattr(api, "train", stop)
    said = say("train", written)
    assert said.code == 130
    assert said.err == "Stopped at step 3 of 5\n"


def test_a_damaged_model_is_shown_beside_the_others(say: Callable[..., Said], written: Path) -> None:
    say("train", written)
    (store.folder() / "bad").mkdir()
    (store.folder() / "bad" / store.FILE).write_bytes(b"?")
    said = say("models", "list")
    assert said.code == 0
    assert said.out.startswith("own ")
    assert said.err.startswith("bad ")
    assert "damaged" in said.err


def test_an_empty_store_says_what_to_do(say: Callable[..., Said], fresh_home: Path) -> None:
    assert "i2i train quickstart" in say("models", "list").out


# Mistakes


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        ("train quikstart", "Did you mean quickstart"),
        ("train own.yaml --set wieghts.l1=3", "Did you mean weights"),
        ("train own.yaml --set weights.l1=many", "recipe.pix2pix.weights.l1"),
        ("train own.yaml --set nothing", "key=value"),
        ("train own.yaml --set schedule.0.phase=adverserial", "Did you mean adversarial"),
        ("train own.yaml --set data.root=nowhere", "nowhere is no folder"),
        ("train own.yaml --set data.root=[", "--set"),
        ("train own.yaml --device gpu", "There is no device 'gpu'"),
        ("train own.yaml --name ../up", "cannot be a model's name"),
        ("train own.yaml --run own.yaml", "own.yaml"),
        ("train broken.yaml", "not readable as YAML"),
        ("train .", "There is no recipe"),
        ("train " + "x" * 5000, "x"),
        ("translate own.yaml --model nothing", "There is no model 'nothing'"),
        ("translate own.yaml --model .", "holds no finished model"),
        ("translate own.yaml --model own.yaml", "not a readable model file"),
        ("translate own.yaml --model " + "x" * 5000, "x"),
        ("translate nowhere.png --model own", "nowhere.png"),
        ("translate own.yaml --model own.yaml --metadata some", "drop or keep"),
        ("sample --model nothing", "There is no model"),
        ("export --model nothing", "There is no model 'nothing'"),
        ("export --model nothing --to tritn", "Did you mean triton"),
        ("export --model nothing --precision fp17", "Did you mean fp16"),
        ("export --model own.yaml", "not a readable model file"),
        ("export --model nothing -o own.yaml", "exists already"),
        ("evaluate --model nothing", "There is no model"),
    ],
)
def test_a_mistake_gets_an_answer_and_exit_code_2(
    say: Callable[..., Said], written: Path, words: str, answer: str
) -> None:
    (written.parent / "broken.yaml").write_text("model: [")
    said = say(*words.split())
    assert said.code == 2
    assert re.search(r"^error: ", said.err, re.MULTILINE)  # warnings may come first
    assert answer in said.err
    assert "Traceback" not in said.err
    assert said.out == ""


@pytest.mark.parametrize(
    "words", ["tarin x", "train", "train x --stepz 3", "sample --model x --count 0", "translate x"]
)
def test_a_wrong_command_line_is_explained(say: Callable[..., Said], words: str) -> None:
    said = say(*words.split())
    assert said.code == 2
    assert "Usage" in said.err
    assert "Traceback" not in said.err


def test_a_missing_model_suggests_the_nearest(say: Callable[..., Said], written: Path) -> None:
    say("train", written, "--name", "zebra")
    assert "Did you mean zebra" in say("translate", "own.yaml", "--model", "zebr").err


def test_a_run_folder_that_cannot_be_written_is_no_bug(say: Callable[..., Said], written: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = say("train", written, "--run", "file/run")
    assert said.code == 2
    assert "file" in said.err


def test_our_own_bugs_keep_their_traceback(monkeypatch: pytest.MonkeyPatch, written: Path) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(api, "train", broken)
    monkeypatch.setattr(sys, "argv", ["i2i", "train", str(written)])
    with pytest.raises(ZeroDivisionError):
        cli.main()


def test_every_model_can_be_listed_by_the_recipe_that_names_it() -> None:
    assert len({kind.model_fields["model"].annotation for kind in MODELS}) == len(MODELS)

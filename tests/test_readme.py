"""What the README and its neighbours say can be typed, looked up and opened."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

import i2i
from i2i import cli, recipe
from i2i.data import names
from i2i.errors import UserError
from i2i.paths import shared

CLONE = Path(i2i.__file__).parent.parent
README = (CLONE / "README.md").read_text("utf-8")
GUIDE = (CLONE / "CONTRIBUTING.md").read_text("utf-8")
OPENINGS = [path.read_text("utf-8").splitlines()[0].removeprefix("# ") for path in shared("recipes").glob("*.yaml")]
PAGES = {"README.md": README, "CONTRIBUTING.md": GUIDE}


def commands(text: str) -> list[str]:
    """The `i2i ...` commands in a page's code blocks and between backticks, up to a # or two blanks."""
    shells = re.findall(r"^```(?:sh)?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = [line for shell in shells for line in shell.splitlines()]
    told = [*lines, *re.findall(r"`(i2i [^`]+)`", text)]
    return [re.split(r"  +|\s#", line)[0].strip() for line in told if line.startswith("i2i ")]


def parse(command: str) -> dict[str, Any]:
    """What a command would be called with; raises when it is misspelt."""
    group: Any = typer.main.get_command(cli.app)
    words = shlex.split(command)[1:]
    while hasattr(group, "commands"):  # `i2i data fetch`
        name, *words = words
        assert name in group.commands, f"there is no command {name!r}"
        group = group.commands[name]
    parsed: dict[str, Any] = group.make_context(name, words).params
    return parsed


@pytest.mark.parametrize("command", [c for c in sorted({*commands(README), *commands(GUIDE)}) if len(c.split()) > 2])
def test_a_command_in_the_pages_can_be_typed(command: str) -> None:
    told = parse(command)
    if "recipe" in told and told["recipe"] not in ("wgan_fashion", "distil_compact"):  # the guide adds it; has no data
        recipe.load(told["recipe"], told["set_"] or ())
    if "model" in told and told["model"] != "wgan_fashion":
        assert recipe.find(told["model"])  # trained by the recipe of that name


@pytest.mark.parametrize("opening", OPENINGS)
def test_the_command_that_opens_a_recipe_can_be_typed(opening: str) -> None:
    assert parse(re.split(r"  +", opening)[0])["recipe"]


def test_misspelt_commands_would_be_found() -> None:
    assert commands("```sh\ni2i train x   # comment\n```\n`i2i models`") == ["i2i train x", "i2i models"]
    with pytest.raises(AssertionError):
        parse("i2i trian x")
    with pytest.raises(Exception, match="No such option"):
        parse("i2i train x --stes 3")
    with pytest.raises(UserError):
        recipe.load("quikstart")


def test_the_readme_has_the_two_commands_and_some_examples() -> None:
    makefile = (CLONE / "Makefile").read_text("utf-8")
    for target in ("demo", "test"):
        assert re.search(rf"^make {target}\b", README, re.MULTILINE)
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)
    assert len(commands(README)) >= 3


def test_the_readme_names_every_recipe_and_no_other() -> None:
    shipped = {path.stem for path in shared("recipes").glob("*.yaml")}
    rows = re.findall(r"^\| (`.*?`) \|", README, re.MULTILINE)  # first cells: `one`, `two`
    named = set(re.findall(r"`(\w+)`", " ".join(rows)))
    assert named - (set(names()) - shipped) == shipped


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_links_to_is_there(page: str) -> None:
    prose = re.sub(r"^```.*?^```$", "", PAGES[page], flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", prose)
    assert [link for link in links if "://" not in link and not (CLONE / link).exists()] == []


def test_the_rooms_that_the_readme_shows_are_there() -> None:
    rooms = re.findall(r"^  (\w+[/.]\w*)  ", README, re.MULTILINE)
    assert len(rooms) >= 8
    assert [room for room in rooms if not (CLONE / "i2i" / room).exists()] == []


@pytest.mark.parametrize("page", [*PAGES, "CHANGELOG.md", "LICENSE", "datasets/LICENCES.md"])
def test_no_page_is_empty_or_knows_the_machine_it_was_written_on(page: str) -> None:
    text = (CLONE / page).read_text("utf-8")
    assert len(text) > 500
    assert not re.search(r"(?<![\w.:/])/(home|work|root|tmp|Users)/", text)

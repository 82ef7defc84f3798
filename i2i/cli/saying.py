"""How the commands speak: what was asked for on stdout, all else on stderr, and one process speaks for many."""

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

Force = Annotated[bool, typer.Option("--force", help="Overwrite what exists.")]


def say(text: str) -> None:
    typer.echo(text)


def complain(text: str) -> None:
    typer.secho(text, err=True, fg=typer.colors.RED)


def first_process() -> bool:
    """Of those that torchrun has started, one speaks."""
    return os.environ.get("RANK", "0") == "0"


def console() -> "Console":
    """Where progress is shown: beside the output, not in it."""
    from rich.console import Console

    return Console(stderr=True, quiet=not first_process())


def allowed(yes: bool) -> Callable[[str], bool]:
    """Asks a person at a terminal; where there is none, `--yes` is the only consent."""

    def ask(question: str) -> bool:
        if yes or not (sys.stdin.isatty() and first_process()):
            return yes
        return typer.confirm(question, err=True)

    return ask

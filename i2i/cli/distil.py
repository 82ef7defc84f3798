"""`i2i distil`: a trained model teaches a compact one."""

from pathlib import Path
from typing import Annotated

import typer

from i2i.cli.saying import allowed, console, say


def distil(
    recipe: Annotated[str, typer.Argument(help="The student: a recipe of Pix2Pix, a file or a shipped name.")],
    teacher: Annotated[str, typer.Option(help="A model's name (see `i2i models list`), run folder, or file.")],
    run: Annotated[Path | None, typer.Option("-o", "--run", help="The folder [default: runs/TEACHER_RECIPE].")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Change the recipe: key=value. Repeatable.")] = None,
    direction: Annotated[str | None, typer.Option(help="a2b or b2a, where the teacher has both.")] = None,
    windows: Annotated[int, typer.Option(min=1, help="Different pictures that the teacher answers, at least.")] = 4096,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda. auto takes a GPU when one works.")] = "auto",
    name: Annotated[str | None, typer.Option(help="Name of the student [default: TEACHER_RECIPE].")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Fetch the teacher's data without asking.")] = False,
) -> None:
    """Train a compact model to answer as a trained one does, and say what that saves and what it costs.

    The same command goes on with an interrupted run.

    **Example:** `i2i distil distil_compact --teacher quickstart`
    """
    from i2i import distil

    done = distil.distil(
        recipe, teacher, run=run, overrides=set_ or (), direction=direction, windows=windows, device=device, name=name,
        may_fetch=allowed(yes), console=console(),
    )  # fmt: skip
    trained = done.trained
    if trained.already_finished:
        say(f"{trained.run} is already finished; to train anew, give another --run.")
    say(f"{done.table()}\nmodel   {trained.name}  ({trained.model})\nreport  {trained.report}")

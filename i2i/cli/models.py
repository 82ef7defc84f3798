"""`i2i models ...`: what can be translated with, where it comes from, and what becomes of it."""

from pathlib import Path
from typing import Annotated

import typer

from i2i.cli.saying import Force, complain, console, say

app = typer.Typer(
    help="Models: list, describe, add, remove and publish them.", no_args_is_help=True, rich_markup_mode="markdown"
)

Name = Annotated[str, typer.Argument(help="A model's name, run folder, file, or hf:owner/name.")]


@app.command(name="list")
def list_() -> None:
    """List the models that can be translated with: name, kind, size, where they are.

    **Example:** `i2i models list`
    """
    from i2i import store

    entries = store.entries()
    for entry in entries:
        if entry.problem:
            complain(f"{entry.name:24} {entry.problem}")
            continue
        ways, size = " ".join(entry.directions), f"{entry.size / 1e6:.1f} MB"
        where = "ships with i2i" if entry.shipped else f"commit {entry.commit}" if entry.commit else entry.path
        say(f"{entry.name:24} {entry.model:10} {ways:10} {size:>10}  step {entry.step:<8,} {where}")
    if not entries:
        say("No models yet. Train one: i2i train quickstart")


@app.command()
def info(name: Name) -> None:
    """Tell all about a model: what it does, what it learnt from, its scores, its sums.

    **Example:** `i2i models info quickstart`
    """
    from i2i import store

    say(store.describe(name))


@app.command()
def add(
    source: Annotated[str, typer.Argument(help="A run folder, a file, or hf:owner/name[@revision].")],
    name: Annotated[str, typer.Option("--as", help="What the model is called afterwards.")],
    force: Force = False,
) -> None:
    """Give a model a name. From the hub it is fetched once, pinned to its commit, and checked.

    **Example:** `i2i models add runs/mine --as mine`
    """
    from i2i import store

    say(str(store.add(source, name, force=force)))


@app.command()
def remove(name: Annotated[str, typer.Argument(help="A name of `i2i models list`.")]) -> None:
    """Remove a model of your own from the store, or what was fetched from the hub. A run folder keeps its copy.

    **Example:** `i2i models remove mine`
    """
    from i2i import store

    say(f"removed {store.remove(name)}")


@app.command()
def publish(
    source: Annotated[str, typer.Argument(help="A run folder, or a model's name or file.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="The folder that is written.")],
    name: Annotated[str | None, typer.Option(help="What the card calls it [default: the folder's name].")] = None,
    about: Annotated[
        Path | None, typer.Option(help="Markdown on what it is good and bad for; its front matter goes into the card.")
    ] = None,
    force: Force = False,
) -> None:
    """Make the folder that others are given: weights, ONNX, recipe, pictures and a model card as the Hugging Face hub
    reads it. The scores are measured anew, on what is published.

    **Example:** `i2i models publish runs/mine -o mine --about about.md`
    """
    from i2i import publishing

    say(str(publishing.publish(source, out, name=name, about=about, force=force, console=console())))

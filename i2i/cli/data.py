"""`i2i data ...`: what there is, fetch it, look it over, make more of it."""

from pathlib import Path
from typing import Annotated

import typer

from i2i.cli import make
from i2i.cli.saying import Force, console, say
from i2i.errors import UserError

app = typer.Typer(
    help="Data sets: list, fetch, check and make them.", no_args_is_help=True, rich_markup_mode="markdown"
)
app.add_typer(make.app, name="make")

Name = Annotated[str, typer.Argument(help="A data set of `i2i data list`.")]


@app.command(name="list")
def list_(json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False) -> None:
    """List the data sets that i2i knows: layout, pictures, what a download weighs, whether it may earn money.

    **Example:** `i2i data list`
    """
    from i2i.data.sets import catalogue

    say(catalogue.as_json(catalogue.rows()) if json else catalogue.table(catalogue.rows()))


@app.command()
def info(name: Name) -> None:
    """Tell all about a data set: licence, citation, where it lies, how to get it, which recipes use it.

    **Example:** `i2i data info horse2zebra`
    """
    from i2i import data

    say(data.describe(data.card(name)))


@app.command()
def fetch(
    name: Name,
    archive: Annotated[Path | None, typer.Option(help="A file that was downloaded elsewhere, or its folder.")] = None,
    mirror: Annotated[str | None, typer.Option(help="Ask this address, which has MIRROR/NAME/FILE.")] = None,
    trust: Annotated[str | None, typer.Option(help="The sha256 of a new file to accept in place of an old.")] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep what was downloaded.")] = False,
    force: Force = False,
) -> None:
    """Fetch a data set: checked before it is unpacked, and continued where a download broke off.

    **Example:** `i2i data fetch horse2zebra`
    """
    from i2i import data

    said = console()
    say(str(data.fetch(name, archive=archive, base=mirror, trust_sha256=trust, keep=keep, force=force, console=said)))


@app.command()
def check(
    place: Annotated[Path, typer.Argument(help="A folder of pictures, a table (csv, jsonl, parquet), or shards.")],
    crop: Annotated[int | None, typer.Option(min=1, help="Of your recipe, pixels [default: one that fits].")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Pictures to look into [default: 20000].")] = None,
    sheet: Annotated[Path | None, typer.Option(help="Draw a contact sheet into this PNG.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
    force: Force = False,
) -> None:
    """Say what a folder of pictures is, what is wrong with it, and the lines of a recipe that use it.

    Ends with 1 where something has to be mended before i2i can train on it.

    **Example:** `i2i data check pictures/ --sheet sheet.png`
    """
    from i2i.data import check as doctor

    if sheet and sheet.exists() and not force:  # said before the work
        raise UserError(f"{sheet} exists already. Choose another name, or allow replacing it with --force.")
    report = doctor.check(place, crop=crop, limit=limit, console=console())
    say(report.json() if json else report.text())
    if sheet:
        doctor.contact_sheet(report, sheet, force=force)
    raise typer.Exit(report.exit_code)

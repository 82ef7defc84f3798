"""`i2i data make ...`: data sets made from pictures. Each command is a few lines around `i2i.data.make`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from i2i.cli.saying import Force, complain, console, say

if TYPE_CHECKING:
    from i2i.data.make.work import Made

app = typer.Typer(
    help="Make data sets: divide, resize, draw, cut, damage, pack.", no_args_is_help=True, rich_markup_mode="markdown"
)

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A folder of pictures.", show_default=False)]
Out = Annotated[Path, typer.Option("-o", "--out", help="The folder for the results.", show_default=False)]
Seed = Annotated[int, typer.Option(min=0, help="The same seed gives the same result.")]
Link = Annotated[bool, typer.Option("--link/--copy", help="Hard links to the originals, or copies.")]
Layout = Annotated[
    str | None, typer.Option(help="paired, unpaired, labelled or unlabelled [default: found out from the names]")
]


@app.command()
def split(
    root: Folder,
    out: Out,
    val: Annotated[float, typer.Option(min=0, max=1, help="Share of the pictures.")] = 0.1,
    test: Annotated[float, typer.Option(min=0, max=1, help="Share of the pictures.")] = 0.1,
    seed: Seed = 0,
    distance: Annotated[int, typer.Option(min=0, max=11, help="Bits of 64 in which look-alikes may differ.")] = 3,
    link: Link = False,
    again: Annotated[bool, typer.Option("--again", help="Divide anew what is divided already.")] = False,
    force: Force = False,
) -> None:
    """Divide pictures into train, val and test. Look-alikes and pairs stay together; every class has its share.

    **Example:** `i2i data make split photos/ -o divided/ --val 0.1 --test 0.1`
    """
    from i2i.data.make import split as maker

    shares = maker.fractions(val, test, seed)
    _tell(maker.split(root, out, shares, distance=distance, link=link, again=again, force=force, console=console()))


@app.command()
def separate(root: Folder, out: Out, force: Force = False) -> None:
    """Pictures with both sides side by side → folders trainA and trainB.

    **Example:** `i2i data make separate facades/ -o facades_ab/`
    """
    from i2i.data.make import sides

    _tell(sides.separate(root, out, force=force, console=console()))


@app.command()
def join(root: Folder, out: Out, force: Force = False) -> None:
    """Folders trainA and trainB → pictures with both sides side by side.

    **Example:** `i2i data make join maps/ -o maps_joined/`
    """
    from i2i.data.make import sides

    _tell(sides.join(root, out, force=force, console=console()))


@app.command()
def resize(
    root: Folder,
    out: Out,
    size: Annotated[int, typer.Option(min=1, help="Pixels.")] = 256,
    fit: Annotated[str, typer.Option(help="stretch, shorter, pad or crop.")] = "stretch",
    fill: Annotated[int, typer.Option(min=0, max=255, help="Grey of the padding.")] = 255,
    nearest: Annotated[bool, typer.Option("--nearest", help="No new values: for segmentation maps.")] = False,
    force: Force = False,
) -> None:
    """Resize pictures, antialiased. Names, formats and depths stay.

    **Example:** `i2i data make resize photos/ -o small/ --size 256 --fit crop`
    """
    from i2i.data.make import resize as maker

    target = maker.Target(size, fit, fill, nearest)
    _tell(maker.resize(root, out, target, force=force, console=console()))


@app.command()
def sketches(
    root: Folder,
    out: Out,
    style: Annotated[str, typer.Option(help="canny, xdog, soft or pencil.")] = "canny",
    detail: Annotated[float, typer.Option(help="Below 1 fewer lines, above 1 more.")] = 1.0,
    thickness: Annotated[int, typer.Option(help="Pixels added around each line.")] = 0,
    jitter: Annotated[float, typer.Option(help="How much lines tremble, pixels.")] = 0.0,
    breaks: Annotated[float, typer.Option(help="Share of the drawing that is left out.")] = 0.0,
    seed: Seed = 0,
    link: Link = False,
    force: Force = False,
) -> None:
    """Photos → pairs of drawing (A) and photo (B), ready to train on.

    **Example:** `i2i data make sketches photos/ -o sketch2photo/ --style xdog --jitter 1 --breaks 0.1`
    """
    from i2i.data import drawing
    from i2i.data.make import sketches as maker

    hand = drawing.Hand(style, detail, thickness, jitter, breaks)
    _tell(maker.sketches(root, out, hand, seed=seed, link=link, force=force, console=console()))


@app.command()
def smooth(
    root: Folder,
    out: Out,
    dilate: Annotated[int, typer.Option(help="Side of the region around edges, pixels, odd.")] = 5,
    blur: Annotated[int, typer.Option(help="Side of the Gaussian's kernel, pixels, odd.")] = 5,
    force: Force = False,
) -> None:
    """Copies with smoothed edges, the negatives that CartoonGAN's discriminator needs.

    **Example:** `i2i data make smooth cartoons/ -o cartoons_smooth/`
    """
    from i2i.data.make import smooth as maker

    _tell(maker.smooth(root, out, maker.Brush(dilate=dilate, blur=blur), force=force, console=console()))


@app.command()
def frames(
    videos: Annotated[list[Path], typer.Argument(help="Videos, animations, or folders of them.", show_default=False)],
    out: Out,
    every: Annotated[int, typer.Option(min=1, help="Take each so many frames.")] = 1,
    fps: Annotated[float | None, typer.Option(help="Take so many a second.", show_default=False)] = None,
    scenes: Annotated[bool, typer.Option("--scenes", help="One of each scene.")] = False,
    distinct: Annotated[bool, typer.Option("--distinct", help="None that looks like the last one.")] = False,
    first: Annotated[float, typer.Option("--from", help="Begin at so many seconds.")] = 0.0,
    last: Annotated[float | None, typer.Option("--until", help="End at so many seconds.", show_default=False)] = None,
    suffix: Annotated[str, typer.Option("--as", help=".png, .jpg or .webp.")] = ".png",
    force: Force = False,
) -> None:
    """Frames of videos as pictures.

    **Example:** `i2i data make frames walk.mp4 -o walk/ --fps 2 --distinct`
    """
    from i2i.data.make import frames as maker

    choice = maker.Choice(every, fps, scenes, distinct, first, last)
    _tell(maker.frames(videos, out, choice, suffix=suffix, force=force, console=console()))


@app.command()
def tiles(
    root: Folder,
    out: Out,
    size: Annotated[int, typer.Option(min=1, help="Pixels.")] = 256,
    stride: Annotated[int | None, typer.Option(min=1, help="Pixels between tiles [default: SIZE]")] = None,
    rest: Annotated[str, typer.Option(help="What fills no whole tile: drop, keep (smaller) or shift back.")] = "drop",
    content: Annotated[
        float, typer.Option("--min-content", min=0, max=1, help="Least share that is not background.")
    ] = 0.0,
    force: Force = False,
) -> None:
    """Cut large pictures into tiles, pairs at the same places. Names tell where a tile was.

    **Example:** `i2i data make tiles maps/ -o tiles/ --size 512 --stride 256 --min-content 0.2`
    """
    from i2i.data.make import tiles as maker

    grid = maker.Grid(size, stride, rest, content)
    _tell(maker.tiles(root, out, grid, force=force, console=console()))


@app.command()
def degrade(
    root: Folder,
    out: Out,
    kind: Annotated[
        list[str],
        typer.Option(help="grey, blur, noise, lowres, jpeg or mask; with KIND:LOW:HIGH. Repeatable, in this order."),
    ],
    seed: Seed = 0,
    link: Link = False,
    force: Force = False,
) -> None:
    """Pairs of a damaged picture (A) and its original (B): colourise, restore, enlarge, fill in.

    **Example:** `i2i data make degrade photos/ -o restore/ --kind blur:1:3 --kind noise:5:25 --kind jpeg:30:70`
    """
    from i2i.data.make import damage
    from i2i.data.make import degrade as maker

    kinds = [damage.Damage.parse(text) for text in kind]
    _tell(maker.degrade(root, out, kinds, seed=seed, link=link, force=force, console=console()))


@app.command()
def shards(
    place: Annotated[Path, typer.Argument(metavar="DIR|MANIFEST", help="What to pack.", show_default=False)],
    out: Out,
    size: Annotated[str, typer.Option(help="Of a shard, at most: bytes, or 512MB, 1GB.")] = "512MB",
    count: Annotated[int | None, typer.Option(min=1, help="Samples of a shard, at most.", show_default=False)] = None,
    layout: Layout = None,
    condition: Annotated[list[str] | None, typer.Option(help="A condition's column. Repeatable.")] = None,
    seed: Seed = 0,
    force: Force = False,
) -> None:
    """Pack pictures into WebDataset shards, untouched, well mixed, for fast reading from any storage.

    **Example:** `i2i data make shards photos/ -o shards/ --size 256MB`
    """
    from i2i.data.make import shards as maker

    bounds = maker.Bounds(maker.bytes_of(size), count)
    _tell(
        maker.shards(place, out, bounds, layout=layout, conditions=condition, seed=seed, force=force, console=console())
    )


@app.command()
def manifest(
    root: Folder,
    out: Annotated[Path, typer.Option("-o", "--out", help="A .csv, .jsonl or .parquet file.", show_default=False)],
    layout: Layout = None,
    force: Force = False,
) -> None:
    """A table of a folder's files, to be edited, weighted, and trained from.

    **Example:** `i2i data make manifest photos/ -o photos.csv`
    """
    from i2i.data.make import manifest as maker

    _tell(maker.manifest(root, out, layout=layout, force=force))


def _tell(made: "Made") -> NoReturn:
    for path, why in made.skipped:
        complain(f"skipped {path}: {why}".encode("utf-8", "backslashreplace").decode())  # names may be any bytes
    say(made.line())
    raise typer.Exit(1 if made.skipped else 0)

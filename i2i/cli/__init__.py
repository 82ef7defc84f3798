"""The commands. Each is a few lines around `i2i.api`, which is imported late: `i2i --help` must not wait for torch."""

import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from i2i.cli import data, distil, models
from i2i.cli.saying import Force, allowed, complain, console, first_process, say
from i2i.errors import Stopped, UserError

app = typer.Typer(
    name="i2i",
    help="Image-to-image translation: from a folder of pictures to a deployed translator.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
app.add_typer(data.app, name="data")
app.add_typer(models.app, name="models")

Device = Annotated[str, typer.Option(help="auto, cpu or cuda. auto takes a GPU when one works.")]
Runtime = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or tensorrt. auto takes a GPU when one works.")]
ModelName = Annotated[str, typer.Option("--model", help="A model's name (see `i2i models list`), run folder, or file.")]


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(help="A recipe's file, or the name of a shipped one.")],
    run: Annotated[Path | None, typer.Option("-o", "--run", help="The run's folder [default: runs/RECIPE].")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Change the recipe: key=value. Repeatable.")] = None,
    device: Device = "auto",
    name: Annotated[str | None, typer.Option(help="Name of the model afterwards [default: RECIPE].")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Train with so many seeds and keep the best by validation.")] = 1,
    yes: Annotated[bool, typer.Option("--yes", help="Fetch the data that the recipe names without asking.")] = False,
) -> None:
    """Train a recipe. The same command goes on with an interrupted run; torchrun starts it on several GPUs.

    **Example:** `i2i train quickstart --set batch=8 --set schedule.0.steps=200 --run runs/short`
    """
    from i2i import api

    done = api.train(
        recipe, run=run, overrides=set_ or (), device=device, name=name, seeds=seeds, console=console(),
        may_fetch=allowed(yes),
    )  # fmt: skip
    if not first_process():
        return
    if done.already_finished:
        say(f"{done.run} is already finished; to train anew, give another --run.")
    say(f"model   {done.name}  ({done.model})\nreport  {done.report}")


app.command()(distil.distil)


@app.command()
def translate(
    inputs: Annotated[list[str], typer.Argument(help="Pictures, animations, videos, folders, or patterns.")],
    model: ModelName,
    out: Annotated[Path, typer.Option("-o", "--out", help="A folder, or for one input a file.")] = Path("translated"),
    direction: Annotated[str | None, typer.Option(help="a2b or b2a, where the model has both.")] = None,
    device: Runtime = "auto",
    quality: Annotated[int, typer.Option(min=1, max=100, help="Of JPEG, WebP and videos.")] = 95,
    metadata: Annotated[str, typer.Option(help="drop or keep what a camera wrote: place, time, model.")] = "drop",
    memory: Annotated[
        float | None,
        typer.Option(min=0.01, help="GB for a picture; larger ones go in tiles [default: 4, tiles in 0.8]"),
    ] = None,
    at: Annotated[
        str,
        typer.Option(help="Work at so many pixels of the shorter side: a number, native, or trained, for larger ones."),
    ] = "trained",
    smooth: Annotated[float, typer.Option(min=0, max=1, help="How much flicker of videos is averaged away.")] = 0.0,
    max_pixels: Annotated[int, typer.Option(help="Files that claim more are not read.")] = 2**28,
    condition: Annotated[
        list[str] | None,
        typer.Option(help="NAME=FOLDER or NAME=FILE: a mask, say, that the model takes as well. Repeatable."),
    ] = None,
    force: Force = False,
) -> None:
    """Translate pictures and videos. Each comes back in the size and the format it was given.

    **Example:** `i2i translate drawings/ cat.png --model quickstart -o coloured/`
    """
    from i2i import plan, translation

    results = translation.translate(
        inputs, model, out, condition=plan.conditions(condition or ()), direction=direction, device=device,
        quality=quality, metadata=metadata, at=at, memory=int(memory * 1e9) if memory else None,
        smooth=smooth, max_pixels=max_pixels, force=force, console=console(),
    )  # fmt: skip
    failed = [result for result in results if result.target is None]
    for result in failed:
        complain(f"skipped {result.source}: {result.error.removeprefix(f'{result.source}: ')}")
    say(f"{len(results) - len(failed)} of {len(results)} translated into {out}")
    raise typer.Exit(1 if failed else 0)


@app.command()
def sample(
    model: ModelName,
    out: Annotated[Path, typer.Option("-o", "--out", help="The picture to write.")] = Path("samples.png"),
    count: Annotated[int, typer.Option(min=1, help="How many samples.")] = 64,
    seed: Annotated[int, typer.Option(help="The same seed gives the same samples.")] = 0,
    device: Device = "auto",
    force: Force = False,
) -> None:
    """Sample a generator from noise (GAN, DCGAN) into one picture.

    **Example:** `i2i sample --model dcgan_digits -o digits.png --count 100`
    """
    from i2i import api

    say(f"{api.sample(model, out, count=count, seed=seed, device=device, force=force)}")


@app.command()
def evaluate(
    model: ModelName,
    data: Annotated[Path | None, typer.Option(help="Other pictures, in the layout of the recipe's.")] = None,
    split: Annotated[str, typer.Option(help="val or test; a folder without splits is scored whole.")] = "test",
    direction: Annotated[str | None, typer.Option(help="a2b or b2a, where the model has both.")] = None,
    features: Annotated[str, typer.Option(help="Of FID and KID: efflite0, or inception (a download).")] = "efflite0",
    device: Device = "auto",
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Score a model on pictures it was not trained with, beside the trivial answers it has to beat.

    **Example:** `i2i evaluate --model quickstart`
    """
    from i2i import api

    scores = api.evaluate(model, data=data, split=split, direction=direction, features=features, device=device)
    say(scores.json() if json else scores.table())


@app.command()
def export(
    model: ModelName,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="A file; a folder for triton [default: NAME]")] = None,
    to: Annotated[str, typer.Option(help="onnx: a file. triton: for a server. web: a page without one.")] = "onnx",
    precision: Annotated[str, typer.Option(help="fp32, fp16 or int8.")] = "fp32",
    pixels: Annotated[str, typer.Option(help="What it takes: uint8, uint16, or float32 in NCHW.")] = "uint8",
    direction: Annotated[str | None, typer.Option(help="a2b or b2a, where the model has both.")] = None,
    calibrate: Annotated[Path | None, typer.Option(help="Pictures for int8 [default: the training ones].")] = None,
    title: Annotated[str | None, typer.Option(help="Of the page [default: NAME].")] = None,
    examples: Annotated[Path | None, typer.Option(help="Pictures to try on the page: the first 12.")] = None,
    force: Force = False,
) -> None:
    """Export a model that is proven to give the same picture, for any size.

    **Example:** `i2i export --model quickstart -o page.html --to web`
    """
    from i2i import api

    path, report = api.export(
        model, out, to=to, precision=precision, pixels=pixels, direction=direction, calibrate=calibrate, title=title,
        examples=examples, force=force,
    )  # fmt: skip
    say(f"{path}\n{report.line()}")


@app.command(name="import")
def import_(
    file: Annotated[Path, typer.Argument(help="Weights of pytorch-CycleGAN-and-pix2pix or CUT: FILE.pth")],
    name: Annotated[str, typer.Option("--as", help="What the model is called afterwards.")],
    statistics: Annotated[str, typer.Option(help="Of batch norm at test: picture or running.")] = "picture",
    force: Force = False,
) -> None:
    """Import a generator that another toolkit has trained. No code in the file is ever run.

    **Example:** `i2i import latest_net_G_A.pth --as horse2zebra`
    """
    from i2i import foreign

    say(f"{foreign.import_weights(file, name, statistics=statistics, force=force)}")


@app.command()
def doctor(
    json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Say what this machine has, what really works, and what to do about the rest.

    **Example:** `i2i doctor`
    """
    from i2i import checkup

    findings = checkup.checkup()
    say(checkup.json(findings) if json else checkup.table(findings))
    raise typer.Exit(1 if any(finding.state == "bad" for finding in findings) else 0)


def leave(number: int, frame: FrameType | None) -> None:
    """SIGTERM outside of training, which has its own way: what is written is whole, the rest is left out."""
    raise Stopped("Stopped.")


def main() -> None:
    """The `i2i` command. What the user can mend is printed alone; anything else is our bug and keeps its traceback."""
    signal.signal(signal.SIGTERM, leave)
    try:
        app()
    except Stopped as stopped:
        complain(str(stopped))
        sys.exit(130)  # what shells give a command that Ctrl-C ended
    except (UserError, OSError) as error:  # a full disk or a folder that is not ours is no bug either
        complain(f"error: {error}")
        sys.exit(2)


if __name__ == "__main__":
    main()

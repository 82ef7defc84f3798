"""The Python API: `i2i.train`, `i2i.evaluate`, `i2i.sample`, `i2i.api.export`; what translates is in `translation`.

The commands are thin calls of these.
"""

import tempfile
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast, get_args

import numpy as np
import torch
from rich.console import Console

from i2i import evaluation, images, loading, recipe, store, zoo
from i2i import export as exporting
from i2i.cost import say
from i2i.data import Data, check, fetch, missing
from i2i.engine import checkpoint, report
from i2i.engine.pictures import scatter, sheet
from i2i.engine.ranks import Ranks, from_torchrun, join, leave
from i2i.engine.settings import Settings
from i2i.engine.watch import Watch
from i2i.errors import UserError, suggest
from i2i.export.parity import Report
from i2i.models import MODELS
from i2i.plan import plan
from i2i.results import conclude, over_seeds
from i2i.scores import Scores
from i2i.session import Session

QUIET = Console(quiet=True)
REPORT = "report.html"
FORMS = ("onnx", "triton", "web")
EXAMPLES = 12  # pictures that a page offers


@dataclass(frozen=True)
class Trained:
    """What a training run left: its folder, its model file, the name the model is known by, its report."""

    run: Path
    model: Path
    name: str
    report: Path
    resumed: bool
    already_finished: bool


def never(question: str) -> bool:
    """Nothing is downloaded unless somebody has agreed to it."""
    return False


def pick_device(name: str = "auto") -> torch.device:
    """`auto` takes a CUDA device when one works; `cuda` without one is an error, never a silent CPU."""
    if name not in ("auto", "cpu", "cuda"):
        raise UserError(f"There is no device {name!r}.{suggest(name, ('auto', 'cpu', 'cuda'))}")
    works = torch.cuda.is_available()
    if name == "cuda" and not works:
        raise UserError(
            "--device cuda: torch sees no CUDA device here. Check `nvidia-smi` and that torch is a CUDA build, "
            "or use --device auto."
        )
    if not works or name == "cpu":
        return torch.device("cpu")
    here = torch.device("cuda", from_torchrun().local)  # each process of a machine has its own
    if here.index >= torch.cuda.device_count():
        raise UserError(
            f"torchrun has started more processes than the {torch.cuda.device_count()} GPUs of this machine; "
            f"lower --nproc-per-node."
        )
    torch.cuda.set_device(here)
    return here


def train(
    source: str | Path | Settings,
    *,
    run: str | Path | None = None,
    overrides: Iterable[str] = (),
    device: str = "auto",
    name: str | None = None,
    seeds: int = 1,
    may_fetch: Callable[[str], bool] = never,
    console: Console = QUIET,
) -> Trained:
    """Trains a recipe (a file, a shipped name, or settings), or goes on with its run, or says that it is finished.

    `run`: the run's folder, `runs/<recipe>` unless given. `overrides`: `key=value` changes to the recipe. `name`: what
    the model is known by afterwards, the recipe's name unless given; it is the best by validation where there was one.
    `seeds`: trains that many times, from the recipe's seed upwards, each in its own folder below `run`, and keeps the
    best by validation. `may_fetch` is asked before data that the recipe names is downloaded, with a sentence that says
    how much. Started by torchrun, all its processes train one model. Raises UserError.
    """
    settings = source if isinstance(source, Settings) else recipe.load(source, overrides)
    recipe.check_schedule(settings, "this")  # also settings that were made in Python, not read from a file
    stem = "model" if isinstance(source, Settings) else recipe.find(source).stem
    name = store.check_name(name or stem.lower())
    folder = Path(run) if run else Path("runs") / stem
    place = pick_device(device)
    _ready(settings.data, may_fetch, console)
    ranks = join(place, settings.timeout)
    try:
        if seeds == 1:
            done = _train(settings, folder, place, ranks, console)
        else:
            done = _train_seeds(settings, folder, place, ranks, console, seeds)
    finally:
        leave()
    if ranks.first:
        store.register(done.model, name)
    return replace(done, name=name)


def _ready(data: Data, may_fetch: Callable[[str], bool], console: Console) -> None:
    """Brings the data that is named and not here, and says what is wrong with it before anything is written."""
    for told in missing(data):
        if may_fetch(
            f"Fetch the data set {told.name}, {told.title} ({told.weight}; commercial use: {told.commercial})?"
        ):
            fetch(told.name, console=console)
    findings = check.quick(data)
    wrong = [finding for finding in findings if finding.severity == "error"]
    if wrong:
        lines = "\n".join(finding.text() for finding in wrong)
        raise UserError(f"The training pictures cannot be used as they are:\n{lines}")
    for finding in findings:
        if finding.severity != "note":
            say(console, finding.text())


def _train(settings: Settings, run: Path, device: torch.device, ranks: Ranks, console: Console) -> Trained:
    """One run, to its end and its test scores."""
    with checkpoint.locked(run) if ranks.first else nullcontext():
        session = Session(settings, run, device, ranks, console)
        began, already = session.done > 0, session.finished
        if not already:
            session.play()
        elif ranks.first:
            session.mend()
        if ranks.first:
            with Watch() as watch:
                try:
                    conclude(run, device, watch.check)
                except UserError as error:  # the run is finished and its model is there, whatever the test pictures are
                    say(console, f"The test split was not scored: {error}")
                watch.check()
            session.report()
    return Trained(run, store.find(run) if ranks.first else run / store.FILE, "", run / REPORT, began, already)


def _train_seeds(
    settings: Settings, run: Path, device: torch.device, ranks: Ranks, console: Console, count: int
) -> Trained:
    """Runs that differ in nothing but the seed; what is kept is the one that validation likes best."""
    seeds = range(settings.seed, settings.seed + count)
    each = [_train(settings.model_copy(update={"seed": seed}), run / f"seed{seed}", device, ranks, console)
            for seed in seeds]  # fmt: skip
    if not ranks.first:
        return each[0]
    best = over_seeds(run, seeds, [done.run for done in each]) or each[0].run
    page = report.write(run, run.name, recipe.dump(settings), f"{settings.model}, {count} seeds; kept: {best.name}")
    began, already = any(done.resumed for done in each), all(done.already_finished for done in each)
    return Trained(run, store.find(best), "", page, began, already)


def evaluate(
    model: str | Path,
    *,
    data: str | Path | None = None,
    split: str = "test",
    direction: str | None = None,
    features: str = "efflite0",
    device: str = "auto",
) -> Scores:
    """Scores a model on a split of the data in its recipe, or of the folder `data` in the same layout, beside the
    trivial answers it has to beat. An exported model is scored as it is. `direction`: all that it has unless given.
    `features`: efflite0, or inception."""
    folder = Path(data) if data else None
    if folder and not folder.is_dir():
        raise UserError(f"--data {folder} is no folder (seen from {Path.cwd()}).")
    if store.find(model).suffix == ".onnx":
        exported = loading.load(model, direction=direction, device=device)
        return evaluation.of_exported(exported, split, folder=folder, features=features)
    loaded = zoo.load(model, pick_device(device))
    return evaluation.of_model(loaded, split, direction=direction, folder=folder, features=features)


def export(
    model: str | Path,
    out: str | Path | None = None,
    *,
    to: str = "onnx",
    direction: str | None = None,
    precision: str = "fp32",
    pixels: str = "uint8",
    calibrate: str | Path | None = None,
    title: str | None = None,
    examples: str | Path | None = None,
    force: bool = False,
) -> tuple[Path, Report]:
    """Writes a model (name, run folder, file) for other machines: returns where it is, and how far it is from its torch
    form.

    `to`: onnx, one file; triton, a repository for a server; web, a page that needs no server (`out` ends in .html: one
    file) with a `title` and the pictures of `examples` to try. `precision`: fp32, fp16 or int8, which is fitted to the
    pictures of `calibrate`, the training pictures if None. Raises UserError, and leaves nothing, when the exported
    model gives other pictures.
    """
    for word, known in ((to, FORMS), (precision, get_args(exporting.Precision)), (pixels, get_args(exporting.Pixels))):
        if word not in known:
            raise UserError(f"There is no {word!r} to export.{suggest(word, known)}")
    name = store.check_name(Path(model).stem.lower() if Path(model).exists() else str(model))
    target = Path(out) if out else Path(name if to != "onnx" else f"{name}.onnx")
    if target.exists() and not force:
        raise UserError(f"{target} exists already. Choose another name, or allow replacing it with --force.")
    fitted_to, tried = _pictures(calibrate), _pictures(examples)[:EXAMPLES]  # missing ones are told first
    with tempfile.TemporaryDirectory() as folder:
        file = target if to == "onnx" else Path(folder) / "model.onnx"
        report = exporting.export(
            model,
            file,
            direction=direction,
            precision=cast(exporting.Precision, precision),
            pixels=cast(exporting.Pixels, pixels),
            calibrate=fitted_to,
            force=force,
        )
        if to == "triton":
            from i2i.deploy.triton import triton

            triton(file, target, name=name, force=force)
        elif to == "web":
            from i2i.deploy.web import web

            web(file, target, title=title or name, examples=tried, force=force)
    return target, report


def _pictures(given: str | Path | None) -> list[Path]:
    """The pictures of a folder, a file or a pattern."""
    return [source for source, _ in plan([given], Path()) if images.is_picture(source)] if given else []


def sample(
    model: str | Path, out: str | Path, *, count: int = 64, seed: int = 0, device: str = "auto", force: bool = False
) -> Path:
    """A picture of `count` samples of a generator from noise: a grid, or a scatter plot of points. Returns its path."""
    target, place = Path(out), pick_device(device)
    if target.exists() and not force:
        raise UserError(f"{target} exists; use --force to overwrite it.")
    loaded = zoo.load(model, place)
    if "generator" not in loaded.product:
        raise UserError(f"{model} translates pictures and has no noise to sample. Use: i2i translate --model {model}")
    torch.manual_seed(seed)
    latent = MODELS[type(loaded.recipe)].latent(loaded.recipe, count)
    with torch.inference_mode():
        samples = loaded.product["generator"](*(part.to(place) for part in latent))
    picture = scatter({"generated": samples}) if samples.ndim == 2 else sheet(samples)
    images.write(target, np.asarray(picture), force=force)
    return target

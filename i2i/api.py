"""The Python API: `i2i.train`, `i2i.translate`, `i2i.load`, `i2i.sample`. The commands are thin calls of these."""

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from glob import glob
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from i2i import evaluation, images, recipe, store, zoo
from i2i.cost import say
from i2i.data import open_split
from i2i.engine import checkpoint, report
from i2i.engine.pictures import scatter, sheet
from i2i.engine.ranks import Ranks, from_torchrun, join, leave
from i2i.engine.settings import Settings
from i2i.engine.watch import Watch
from i2i.errors import UserError, suggest
from i2i.models import MODELS
from i2i.results import conclude, over_seeds
from i2i.scores import Scores
from i2i.session import Session
from i2i.translator import Translator

QUIET = Console(quiet=True)
REPORT = "report.html"


@dataclass(frozen=True)
class Trained:
    """What a training run left: its folder, its model file, the name the model is known by, its report."""

    run: Path
    model: Path
    name: str
    report: Path
    resumed: bool
    already_finished: bool


@dataclass(frozen=True)
class Translated:
    """One picture's fate: `target` was written, or `error` says why not."""

    source: Path
    target: Path | None
    error: str = ""


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
    console: Console = QUIET,
) -> Trained:
    """Trains a recipe (a file, a shipped name, or settings), or goes on with its run, or says that it is finished.

    `run`: the run's folder, `runs/<recipe>` unless given. `overrides`: `key=value` changes to the recipe. `name`: what
    the model is known by afterwards, the recipe's name unless given; it is the best by validation where there was one.
    `seeds`: trains that many times, from the recipe's seed upwards, each in its own folder below `run`, and keeps the
    best by validation. Started by torchrun, all its processes train one model. Raises UserError.
    """
    settings = source if isinstance(source, Settings) else recipe.load(source, overrides)
    recipe.check_schedule(settings, "this")  # also settings that were made in Python, not read from a file
    open_split(settings.data, "train")  # what is missing is said before anything is written
    stem = "model" if isinstance(source, Settings) else recipe.find(source).stem
    name = store.check_name(name or stem.lower())
    folder = Path(run) if run else Path("runs") / stem
    place = pick_device(device)
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


def load(model: str | Path, *, direction: str | None = None, device: str = "auto") -> Translator:
    """A translator from a model's name, run folder or file. `direction`: `a2b` unless given, or `b2a` if it has it."""
    place = pick_device(device)
    return translator_of(zoo.load(model, place), model, direction or "a2b", place)


def translator_of(loaded: zoo.Model, name: str | Path, direction: str, place: torch.device) -> Translator:
    """One direction of a loaded model; `name` is what errors call it."""
    if "generator" in loaded.product:
        raise UserError(f"{name} makes pictures from noise and cannot translate. Use: i2i sample --model {name}")
    if direction not in loaded.product:
        raise UserError(f"{name} translates {' and '.join(loaded.product)}, not {direction!r}.")
    return Translator(loaded.product[direction], place)


def translate(
    inputs: Sequence[str | Path],
    model: str | Path,
    out: str | Path = "translated",
    *,
    direction: str | None = None,
    device: str = "auto",
    force: bool = False,
    console: Console = QUIET,
) -> list[Translated]:
    """Translates pictures: files, folders (all below them) and globs. Each comes back in the size it was given.

    `out` is a folder, or with one input file a picture's name. Files that cannot be read or written are reported in
    the result and skipped; an existing target is left alone unless `force`. Raises UserError when nothing can start.
    """
    jobs = plan(inputs, Path(out))
    translator = load(model, direction=direction, device=device)
    results = []
    for source, target in track(jobs, "translating", console=console, disable=len(jobs) < 2):
        try:
            if target.exists() and not force:
                raise UserError(f"{target} exists; use --force to overwrite it")
            target.parent.mkdir(parents=True, exist_ok=True)
            images.write(target, translator(images.read(source, translator.inputs)), force=force)
            results.append(Translated(source, target))
        except (UserError, OSError) as error:
            results.append(Translated(source, None, str(error)))
        except torch.OutOfMemoryError:
            results.append(Translated(source, None, "too large for the device's memory; try --device cpu"))
    return results


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
    trivial answers it has to beat. `direction`: all that it has unless given. `features`: efflite0, or inception."""
    folder = Path(data) if data else None
    if folder and not folder.is_dir():
        raise UserError(f"--data {folder} is no folder (seen from {Path.cwd()}).")
    loaded = zoo.load(model, pick_device(device))
    return evaluation.of_model(loaded, split, direction=direction, folder=folder, features=features)


def plan(inputs: Sequence[str | Path], out: Path) -> list[tuple[Path, Path]]:
    """(source, target) for all pictures that the inputs name; a folder's tree is kept below `out`."""
    jobs: list[tuple[Path, Path]] = []
    for given in inputs:
        path = Path(given)
        if path.is_dir():
            found = sorted(file for file in path.rglob("*") if images.is_picture(file) and out not in file.parents)
            if not found:
                raise UserError(f"The folder {given} has no pictures ({', '.join(sorted(images.SUFFIXES))}).")
            jobs += [(file, writable(out / file.relative_to(path))) for file in found]
        else:
            matches = [path] if path.exists() else [Path(match) for match in sorted(glob(str(given), recursive=True))]
            if not matches:
                raise UserError(f"There is no file or folder {str(given)!r}, and nothing matches it as a pattern.")
            jobs += [(file, writable(out / file.name)) for file in matches if file.is_file()]
    if images.is_picture(out) and not out.is_dir():
        if len(jobs) == 1:
            return [(jobs[0][0], out)]
        raise UserError(f"--out {out} names one picture, but there are {len(jobs)} to translate; give a folder.")
    clashes = len(jobs) - len({target for _, target in jobs})
    if clashes:
        raise UserError(f"{clashes} of the inputs have the same name as another; translate their folders one by one.")
    return jobs


def writable(target: Path) -> Path:
    """The target, as PNG where its own format can be read but not written (GIF, PPM)."""
    return target if target.suffix.lower() in images.WRITABLE else target.with_suffix(".png")


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

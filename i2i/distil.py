"""Distillation: a trained translator teaches a compact one, which goes where the teacher is too heavy.

Li et al. 2020, GAN Compression (arXiv 2003.08936), section 3.1: what a trained generator answers is pseudo ground
truth. So there is one way to learn from any teacher, also from one that learnt without pairs, and it is Pix2Pix:

    L = L_cGAN(G', D) + λ E|G'(x) - G(x)|₁        G the teacher, G' the student

The teacher answers the very windows that its student is shown, cropped, mirrored and augmented as in its own training
(Beyer et al. 2022, arXiv 2106.05237: a consistent teacher), not whole pictures that are cropped later: its norms see
the whole picture and its borders, so a window of an answer is not the answer to the window. The answers are written
once, as a paired data set in the run's folder. What trains on it is the ordinary machinery, which resumes bit for bit.
Shapes: n pictures, c channels, h w size; pictures are in [-1, 1].
"""

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field, TypeAdapter, ValidationError
from rich.console import Console
from rich.progress import Progress
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from i2i import api, evaluation, loading, recipe, store, zoo
from i2i.api import QUIET, Trained, never
from i2i.cost import say
from i2i.data import (
    Batches,
    Data,
    LabelledData,
    PairedData,
    Split,
    UnlabelledData,
    UnpairedData,
    fetch,
    fixed,
    has,
    in_order,
    missing,
    open_split,
)
from i2i.data.looks import palette
from i2i.data.make.pixels import lossless, plain, put
from i2i.data.reading import streams
from i2i.data.spec import Look, Palette, depth
from i2i.engine import checkpoint, report
from i2i.engine.ranks import from_torchrun
from i2i.engine.settings import Settings
from i2i.engine.watch import Watch
from i2i.errors import UserError
from i2i.files import atomically
from i2i.metrics import Interval
from i2i.models import imported
from i2i.results import TEST
from i2i.runtime import Exported
from i2i.scores import Scores
from i2i.translation import COLUMNS as BAR
from i2i.translator import Translator
from i2i.validation import looks_of

Asked = PairedData | UnpairedData | UnlabelledData | LabelledData  # the pictures that a teacher is asked

LESSONS, LIST, TOLD = "teacher", "lessons.json", "distilled.json"  # in the run's folder, in that, in the run's folder
WINDOWS = 4096  # that a teacher answers, where its training pictures are fewer
BATCH = 16  # pictures at a time
ROUNDS = 20  # timings of each model
PLACES = ("dataset", "root", "manifest", "shards", "mix")
READY = (  # how pictures are made ready: what a recipe does not say is as the teacher has learnt it
    "bits", "load", "fit", "crop", "flip", "augment", "augment_batch", "split", "skip", "workers", "cache",
)  # fmt: skip
ROWS = (("multiply_adds", "multiply-adds", "G", 1e9), ("parameters", "parameters", "M", 1e6),
        ("bytes", "exported file", "MB", 1e6), ("milliseconds", "one picture", "ms", 1.0))  # fmt: skip


@dataclass(frozen=True)
class Teacher:
    """`looks`: what its inputs hold, by their folder: A, then its conditions. `answer`: what its answers hold."""

    name: str
    file: Path
    model: zoo.Model
    direction: str
    weights: str  # sha256
    translate: Translator
    looks: dict[str, Look]
    answer: Look

    def side(self, data: Data) -> int:
        """Where in a batch its inputs are."""
        return 1 if isinstance(data, UnpairedData) and self.direction == "b2a" else 0

    def inputs(self, batch: Any, data: Data) -> Tensor:
        """n c h w."""
        x: Tensor = batch if isinstance(batch, Tensor) else batch[self.side(data)]
        return x


@dataclass(frozen=True)
class Distilled:
    """A student's run, and what its `distilled.json` tells of it and its teacher."""

    trained: Trained
    told: Mapping[str, Any]

    def table(self) -> str:
        """For people: what is saved, then what it costs in quality."""
        teacher, student, side = self.told["teacher"], self.told["student"], self.told["side"]
        lines = [f"{'':20}{'teacher':>12}{'student':>12}{'ratio':>10}"]
        for key, word, unit, scale in ROWS:
            a, b = teacher[key] / scale, student[key] / scale
            lines.append(f"{word:20}{f'{a:.3g} {unit}':>12}{f'{b:.3g} {unit}':>12}{f'{a / b:.3g} ×':>10}")
        lines.append(f"of {side} × {side} pixels; time of the exported forms, in turns, on {self.told['device']}")
        if test := self.told["test"]:
            rows = {name: {column: Interval(s["mean"], math.nan if s["interval"] is None else s["interval"])
                           for column, s in row.items()} for name, row in test["scores"].items()}  # fmt: skip
            lines.append(Scores(test["split"], tuple(test["sizes"]), rows, test["features"]).table())
        return "\n".join(lines)


def distil(
    source: str | Path,
    teacher: str | Path,
    *,
    run: str | Path | None = None,
    overrides: Iterable[str] = (),
    direction: str | None = None,
    windows: int = WINDOWS,
    device: str = "auto",
    name: str | None = None,
    may_fetch: Callable[[str], bool] = never,
    console: Console = QUIET,
) -> Distilled:
    """Trains the Pix2Pix recipe `source` to answer as `teacher` (name, run folder, model file) does, or goes on.

    `data` of the recipe may be left out, in part or as a whole: what it does not say is as in the teacher's own recipe.
    If it names pictures, the teacher is asked those (`layout: unlabelled` unless it says otherwise). `direction`: a2b
    unless given. `windows`: so many different ones are answered, and no fewer than there are training pictures. `run`
    and `name`: `runs/TEACHER_RECIPE` and `TEACHER_RECIPE` unless given. `may_fetch`: see `api.train`.

    The student is chosen by its likeness to the teacher on the val split. On the test split both are scored, once,
    beside the truth where there is one and beside real pictures. Raises UserError.
    """
    if from_torchrun().world > 1:
        raise UserError("i2i distil works in one process; start it without torchrun.")
    place = api.pick_device(device)
    taught, tree, path = _teacher(teacher, direction, place), _tree(source, overrides), str(recipe.find(source))
    stem = f"{_stem(teacher)}_{Path(path).stem}{'' if taught.direction == 'a2b' else '_b2a'}"
    name, folder = store.check_name(name or stem.lower()), Path(run) if run else Path("runs") / stem
    if name == str(teacher) or folder.resolve() == taught.file.parent.resolve():
        raise UserError(f"{teacher} is the teacher; its student needs another --name and another --run.")
    named = any((tree.get("data") or {}).get(key) for key in PLACES)
    asked = _asked(taught, tree.get("data") or {}, named, path)
    settings = _settings(tree, taught, asked, folder, path)
    for card in missing(asked):
        if may_fetch(f"Fetch the data set {card.name}, {card.title} ({card.weight}; commercial: {card.commercial})?"):
            fetch(card.name, console=console)
    try:
        split = open_split(asked, "train")
    except UserError as error:
        raise UserError(
            f"The pictures that {teacher} is to be asked are not there: {error}\n"
            f"Bring them back, or name others: --set data.root=FOLDER"
        ) from None
    with checkpoint.locked(folder), Watch():
        _answer(folder / LESSONS, taught, asked, split, windows, settings.validate_pictures, console)
    trained = api.train(settings, run=folder, device=device, name=name, console=console)
    scored = asked if named and isinstance(asked, PairedData | UnpairedData) else taught.model.recipe.data
    with checkpoint.locked(folder), Watch() as watch:
        return Distilled(trained, _compared(trained, taught, settings, scored, place, watch.check, console))


def _teacher(name: str | Path, direction: str | None, device: torch.device) -> Teacher:
    """Raises UserError for a model that has no weights file, makes pictures from noise, or lacks the direction."""
    file, way = store.find(name), direction or "a2b"
    if file.suffix == ".onnx":
        raise UserError(f"{name} is an exported model. Give the model file that it was made from: {store.FILE}")
    model = zoo.load(file, device)
    if "generator" in model.product:
        raise UserError(f"{name} makes pictures from noise, and a teacher translates pictures.")
    if way not in model.product:
        raise UserError(f"{name} translates {' and '.join(model.product)}, not {way!r}.")
    told: Any = model.recipe if isinstance(model.recipe, imported.Recipe) else model.recipe.data
    looks = {"A": getattr(told.channels, way[0])} | {
        each.name: each.channels for each in getattr(told, "condition", ())
    }
    weights, translate = store.read_header(file)["sha256"], Translator(model.product[way], device)
    return Teacher(str(name), file, model, way, weights, translate, looks, getattr(told.channels, way[2]))


def _stem(teacher: str | Path) -> str:
    """What a teacher is called in the names of its students: hf:owner/name@revision → name."""
    path = Path(teacher).absolute()
    return path.parent.name if path.name in (store.FILE, store.BEST) else path.name.partition("@")[0]


def _tree(source: str | Path, overrides: Iterable[str]) -> dict[str, Any]:
    """The student's recipe as plain data, since its `data` may be missing. UserError if it is not of Pix2Pix."""
    path, tree = recipe.find(source), recipe.read(source, overrides)
    if tree.get("model") != "pix2pix":
        raise UserError(
            f"{path} is a recipe of model: {tree.get('model')}; a student learns from pairs, its inputs and the "
            f"teacher's answers. Give a recipe of model: pix2pix, such as distil_compact."
        )
    return tree


def _asked(teacher: Teacher, said: Mapping[str, Any], named: bool, source: str) -> Asked:
    """The pictures that the teacher is asked: of its own recipe, or those that `said` has `named`; the recipe's data.

    Raises UserError where there are none, and where they do not have the teacher's channels.
    """
    own: dict[str, Any] = teacher.model.recipe.data.model_dump() if teacher.model.recipe.data else {}
    if not own and not named:
        raise UserError(
            f"{teacher.name} was imported and knows no data of its own. Name the pictures that it is to be asked: "
            f"--set data.root=FOLDER --set data.crop=256"
        )
    tree = own | {key: value for key, value in said.items() if key != "layout"}
    if named:
        tree = {"layout": "unlabelled", **{key: own[key] for key in READY if key in own}, **said}
        way = teacher.direction if tree["layout"] == "unpaired" else "a2b"  # the questions of pairs are their side a
        sides = {way[0]: teacher.looks["A"], way[2]: teacher.answer}
        tree.setdefault("channels", sides if tree["layout"] in ("paired", "unpaired") else teacher.looks["A"])
    try:
        data: Asked = TypeAdapter(Annotated[Asked, Field(discriminator="layout")]).validate_python(tree)
        looks = looks_of(data, teacher.side(data))
    except ValidationError as error:
        lines = [f"  recipe.data.{'.'.join(map(str, e['loc'][1:]))}: {e['msg']}" for e in error.errors()]
        raise UserError("\n".join([f"{source} does not say which pictures a teacher is asked:", *lines])) from None
    if looks != list(teacher.looks.values()):
        raise UserError(
            f"{teacher.name} takes {_told(teacher.looks.values())}, and the pictures that {source} names have "
            f"{_told(looks)}. Set data.channels{' and data.condition' if len(teacher.looks) > 1 else ''} to fit."
        )
    return data


def _told(looks: Iterable[Look]) -> str:
    return " and ".join(f"{depth(look)} {'channels' if isinstance(look, int) else 'classes'}" for look in looks)


def _settings(tree: Mapping[str, Any], teacher: Teacher, asked: Asked, run: Path, source: str) -> Settings:
    """The student's recipe: its data are the pairs in the run's folder, whose windows are ready."""
    data = {
        "layout": "paired",
        "root": str((run / LESSONS).resolve()),
        "channels": {"a": teacher.looks["A"], "b": teacher.answer},
        "condition": [{"name": name, "channels": look} for name, look in teacher.looks.items() if name != "A"],
        "bits": asked.bits,
        "crop": asked.crop,
        "flip": False,  # a mirrored answer is not the answer to the mirrored picture
        "split": {"val": 0, "test": 0},
        "workers": asked.workers,
        "cache": asked.cache,
    }
    settings = recipe.build({**tree, "data": data}, source)
    recipe.check_schedule(settings, source)
    return settings


def _answer(
    place: Path, teacher: Teacher, asked: Asked, split: Split, windows: int, most: int, console: Console
) -> None:
    """Writes the pairs into the folder `place`: different windows of the training split, and up to `most` pictures of
    the val split as they are tested. Goes on where it was stopped. UserError if it holds those of something else."""
    device, length = teacher.translate.device, streams(asked, split)[teacher.side(asked)]
    key: dict[str, Any] = {
        "teacher": teacher.weights,
        "direction": teacher.direction,
        "training pictures": split.fingerprint,
        "data": asked.model_dump_json(exclude={"workers", "cache"}),
        "windows": max(windows, length),
    }
    path, written = place / LIST, 0
    told = json.loads(path.read_text("utf-8")) if path.is_file() else key
    if other := [word for word in key if told.get(word) != key[word]]:
        raise UserError(
            f"{place} holds the answers of another distillation (different: {', '.join(other)}). Give this one its own "
            f"folder with --run, or move the old one away."
        )
    if "written" in told:
        return
    _tell(path, key)  # from here on the folder is this teacher's
    if has(asked, "val"):
        tested = teacher.inputs(fixed(asked, "val", most, device), asked)
        for first in range(0, len(tested), BATCH):
            _put(place, "val", first, tested[first : first + BATCH], None, teacher, asked.bits)
    with Progress(*BAR, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("the teacher's answers", total=key["windows"])
        for x in _windows(asked, teacher, key["windows"], 2 * length, console):
            _put(place, "train", written, x, None, teacher, asked.bits)
            written += len(x)
            bar.update(task, completed=written)
    _tell(path, {**key, "written": written})


def _windows(asked: Asked, teacher: Teacher, count: int, patience: int, console: Console) -> Iterator[Tensor]:
    """n c h w: inputs as the teacher has learnt from them, each once, until there are `count`, or none of the last
    `patience` was new. The stream is keyed: what was drawn before a stop is drawn again after it."""
    batches = Batches(asked, "train", BATCH, 0, teacher.translate.device, warn=lambda line: say(console, line))
    seen: set[bytes] = set()
    stale = 0
    try:
        while len(seen) < count and stale < patience:
            x, new = teacher.inputs(next(batches), asked), []
            for row, window in enumerate(x.cpu().numpy()):
                digest = hashlib.blake2b(window.tobytes(), digest_size=16).digest()
                stale += 1
                if digest not in seen and len(seen) < count:
                    seen.add(digest)
                    new.append(row)
                    stale = 0
            if new:
                yield x[new]
    finally:
        batches.close()


def _put(place: Path, split: str, first: int, x: Tensor, y: Tensor | None, teacher: Teacher, bits: int) -> None:
    """Writes inputs n c h w, and y or else the teacher's answers, as pictures `first`, ... into {split}A, {split}B and
    {split}CONDITION; nothing if they are there. The answers are to the pictures as they will be read again."""
    names = [f"{first + i:07}" for i in range(len(x))]
    if any((place / f"{split}B").glob(f"{names[-1]}.*")):  # written last
        return
    looks = list(teacher.looks.values())
    planes = [_pixels(part, look, bits) for part, look in zip(x.split([*map(depth, looks)], 1), looks, strict=True)]
    if y is None:
        top = (2**bits - 1) / 2
        read = [((part + 1) * top).round() / top - 1 if isinstance(look, int) else part
                for part, look in zip(x.split([*map(depth, looks)], 1), looks, strict=True)]  # fmt: skip
        y = teacher.translate.forward(torch.cat(read, dim=1))
    planes.append(_pixels(y, teacher.answer, bits))
    for i, stem in enumerate(names):
        for folder, pictures in zip((*teacher.looks, "B"), planes, strict=True):
            pixels = pictures[i]
            put(lossless(place / f"{split}{folder}", stem, pixels), pixels, plain(pixels), force=True)


def _pixels(x: Tensor, look: Look, bits: int) -> np.ndarray:
    """n c h w → n h w c as files hold it: uint8 or uint16, class numbers, or the colours of classes."""
    if isinstance(look, int):
        top = 2**bits - 1
        values = ((x + 1) * (top / 2)).round().clamp(0, top).permute(0, 2, 3, 1).cpu().numpy()
        return values.astype(np.uint8 if bits == 8 else np.uint16)
    numbers = x.argmax(1).cpu().numpy()
    return palette(look)[numbers] if isinstance(look, Palette) else numbers[..., None].astype(np.uint8)


def _compared(
    trained: Trained,
    teacher: Teacher,
    settings: Settings,
    scored: Data | None,
    device: torch.device,
    watch: Callable[[], None],
    console: Console,
) -> dict[str, Any]:
    """What teacher and student cost and what they score; `distilled.json`, read if it is there: the test split is
    scored once. Writes the test scores of both where the run's report looks for them."""
    run, path = trained.run, trained.run / TOLD
    student = zoo.load(trained.model, device)
    sums = {"teacher": teacher.weights, "student": store.read_header(trained.model)["sha256"]}
    if path.is_file():
        told: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if {who: told[who]["weights"] for who in sums} == sums:
            return told
    side, where = settings.data.crop, "cpu" if device.type == "cpu" else "auto"  # type: ignore[union-attr]
    forms = [
        loading.load(file, direction=way, device=where, console=console)
        for file, way in ((teacher.file, teacher.direction), (trained.model, "a2b"))
    ]
    answer = Translator(student.product["a2b"], device)
    told = {
        "side": side,
        "device": forms[0].device,
        "teacher": {"name": teacher.name, "direction": teacher.direction, "weights": teacher.weights}
        | _costs(teacher.translate, teacher.file, teacher.direction, side),
        "student": {"name": trained.name, "direction": "a2b", "weights": sums["student"]}
        | _costs(answer, trained.model, "a2b", side),
        "likeness": {"split": "val", "scores": student.scores},  # of the student's answers to the teacher's
        "test": None,
    }
    for who, milliseconds in zip(("teacher", "student"), _milliseconds(forms, side), strict=True):
        told[who]["milliseconds"] = milliseconds
    if isinstance(scored, PairedData | UnpairedData) and has(scored, "test"):
        told["test"] = _scored(run, teacher, student, scored, device, watch)
    _tell(path, told)
    note = f"{settings.model} on {device.type}, finished; a student of {teacher.name}"
    report.write(run, run.name, recipe.dump(settings), note, evaluation.criterion(settings))
    return told


def _costs(translator: Translator, file: Path, direction: str, side: int) -> dict[str, int]:
    """Of one direction, for a picture of side × side."""
    places = store.exported(file, direction, "uint8", store.read_header(file)["sha256"])
    with FlopCounterMode(display=False) as counter:
        translator.forward(torch.zeros(1, translator.inputs, side, side, device=translator.device))
    return {
        "multiply_adds": counter.get_total_flops() // 2,  # it counts the two apart
        "parameters": sum(weight.numel() for weight in translator.network.parameters()),
        "bytes": next(place.stat().st_size for place in places if place.is_file()),
    }


def _milliseconds(models: Iterable[Exported], side: int) -> list[float]:
    """Medians for one picture of noise. They take turns, so that a busy moment is nobody's."""
    shown = [(model, np.random.default_rng(0).integers(0, 256, (1, side, side, model.inputs), np.uint8))
             for model in models]  # fmt: skip
    taken: list[list[float]] = [[] for _ in shown]
    for turn in range(ROUNDS + 1):
        for (model, picture), times in zip(shown, taken, strict=True):
            began = time.perf_counter()
            model.run(picture)
            if turn:  # the first one warms up
                times.append(1000 * (time.perf_counter() - began))
    return [median(times) for times in taken]


def _scored(
    run: Path,
    teacher: Teacher,
    student: zoo.Model,
    scored: PairedData | UnpairedData,
    device: torch.device,
    watch: Callable[[], None],
) -> dict[str, Any]:
    """Student, teacher and controls on the test split, as JSON; also into the run's `test.json`, for its report.

    Afterwards the run's folder has a test split with the truth, where there is one, for `i2i evaluate`; during training
    there was none, so that nothing else was scored on what is not real."""

    def score(translate: Translator) -> Scores:
        way = teacher.direction if isinstance(scored, UnpairedData) else "a2b"
        return evaluation.evaluate(translate.forward, scored, "test", way, device=device, watch=watch)

    own = score(teacher.translate).rows["model"]

    def beside(model: zoo.Model) -> dict[str, Any]:
        scores = score(Translator(model.product["a2b"], device))
        rows = {"model": scores.rows["model"], "teacher": own, **scores.rows}
        told: dict[str, Any] = json.loads(replace(scores, rows=rows).json())
        return told

    final = zoo.load(run / store.FILE, device)
    best = beside(student)
    last = best if final.step == student.step else beside(final)
    told = {"final": last, "final_step": final.step}
    if (run / store.BEST).is_file():
        told |= {"best": best, "best_step": student.step, "chosen_by": evaluation.criterion(student.recipe)[0]}
    _tell(run / TEST, told)
    if open_split(scored, "test").registered:
        source, first = teacher.side(scored), 0
        for batch in in_order(scored, "test", BATCH, device):
            _put(run / LESSONS, "test", first, batch[source], batch[1 - source], teacher, scored.bits)
            first += len(batch[source])
    rows = {"student" if name == "model" else name: row for name, row in best["scores"].items()}
    return best | {"scores": rows}


def _tell(path: Path, told: Mapping[str, Any]) -> None:
    atomically(path, lambda temporary: temporary.write_text(json.dumps(told, indent=2), "utf-8"))

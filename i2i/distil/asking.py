"""What a student's recipe says, and what its teacher's adds: the pictures that the teacher is asked."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from i2i import recipe
from i2i.data import LabelledData, PairedData, UnlabelledData, UnpairedData
from i2i.data.spec import Look, depth
from i2i.distil.teacher import Teacher
from i2i.engine.settings import Settings
from i2i.errors import UserError
from i2i.validation import looks_of

Asked = PairedData | UnpairedData | UnlabelledData | LabelledData  # the pictures that a teacher is asked

PLACES = ("dataset", "root", "manifest", "shards", "mix")
READY = (  # how pictures are made ready: what a recipe does not say is as the teacher has learnt it
    "bits", "load", "fit", "crop", "flip", "augment", "augment_batch", "split", "skip", "workers", "cache",
)  # fmt: skip


def student(source: str | Path, overrides: Iterable[str]) -> dict[str, Any]:
    """The student's recipe as plain data, since its `data` may be missing. UserError if it is not of Pix2Pix."""
    path, tree = recipe.find(source), recipe.read(source, overrides)
    if tree.get("model") != "pix2pix":
        raise UserError(
            f"{path} is a recipe of model: {tree.get('model')}; a student learns from pairs, its inputs and the "
            f"teacher's answers. Give a recipe of model: pix2pix, such as distil_compact."
        )
    return tree


def questions(teacher: Teacher, said: Mapping[str, Any], named: bool, source: str) -> Asked:
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
            f"{teacher.name} takes {told(teacher.looks.values())}, and the pictures that {source} names have "
            f"{told(looks)}. Set data.channels{' and data.condition' if len(teacher.looks) > 1 else ''} to fit."
        )
    return data


def told(looks: Iterable[Look]) -> str:
    return " and ".join(f"{depth(look)} {'channels' if isinstance(look, int) else 'classes'}" for look in looks)


def settings_of(tree: Mapping[str, Any], teacher: Teacher, asked: Asked, place: Path, source: str) -> Settings:
    """The student's recipe: its data are the pairs in the folder `place`, whose windows are ready."""
    data = {
        "layout": "paired",
        "root": str(place.resolve()),
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

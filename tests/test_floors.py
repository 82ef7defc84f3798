"""Imports go only downwards. The floors, from the ground up; what stands on one floor does not know its neighbours."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import i2i

FLOORS = (
    ("errors", "spec", "paths", "files", "images"),  # the ground
    ("store", "nets", "losses", "data", "metrics", "runtime"),
    ("engine",),
    ("models",),
    ("recipe",),
    ("zoo",),
    ("translator",),
    ("export", "foreign", "deploy", "checkup"),
    ("plan", "loading"),
    ("translation",),
    ("scores", "cost"),
    ("validation",),
    ("evaluation",),
    ("selection",),
    ("session", "results"),
    ("publishing",),
    ("api",),
    ("distil",),
    ("cli",),
    ("__main__",),
)
ROOMS_WITH_ORDER = ("errors", "spec", "paths", "files", "images")  # these may use each other
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}


def room_of(module: str) -> str:
    """`i2i.nets.unet` → `nets`."""
    return module.split(".")[1]


def imports(path: Path, package: Path) -> Iterator[tuple[int, str]]:
    """(line, module) of everything in `path` that comes from i2i, wherever in the file it is imported."""
    parts = ("i2i", *path.relative_to(package).with_suffix("").parts)
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = [*parts[: len(parts) - node.level]] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            found = [f"i2i.{alias.name}" for alias in node.names] if module == "i2i" else [module]
        else:
            continue
        yield from ((node.lineno, name) for name in found if name.startswith("i2i."))


def upward(package: Path) -> list[str]:
    """The imports of a package that climb the stairs, as `file:line imports module`."""
    wrong = []
    for path in sorted(package.rglob("*.py")):
        relative = path.relative_to(package)
        if relative == Path("__init__.py"):
            continue  # the door of the house: see below
        here = relative.with_suffix("").parts[0]
        assert here in LEVEL, f"{relative}: on which floor does {here} stand? Enter it in FLOORS."
        for line, module in imports(path, package):
            there = room_of(module)
            if there.startswith("__") and there not in LEVEL:
                continue  # i2i.__version__
            assert there in LEVEL, f"{relative}:{line} imports {module}, which has no floor"
            ground = there in ROOMS_WITH_ORDER and here in ROOMS_WITH_ORDER
            if here != there and not ground and LEVEL[there] >= LEVEL[here]:
                wrong.append(f"{relative}:{line} imports {module}")
    return wrong


def test_imports_go_only_downwards() -> None:
    assert upward(Path(i2i.__file__).parent) == []


def test_every_room_of_the_plan_exists() -> None:
    package = Path(i2i.__file__).parent
    assert [room for room in LEVEL if not (package / room).is_dir() and not (package / f"{room}.py").is_file()] == []


def test_the_door_imports_nothing_before_it_is_asked() -> None:
    package = Path(i2i.__file__).parent
    tree = ast.parse((package / "__init__.py").read_text("utf-8"))
    assert not [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module != "typing"]
    assert not [node for node in tree.body if isinstance(node, ast.Import)]


def test_nets_and_losses_need_no_training_machinery() -> None:
    """Somebody who copies these two folders out of here gets what they came for."""
    package = Path(i2i.__file__).parent
    for room in ("nets", "losses"):
        needed = {room_of(m) for path in (package / room).glob("*.py") for _, m in imports(path, package)} - {room}
        assert needed <= {"errors", "spec"}


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("engine/loop.py", "from i2i.models import MODELS"),
        ("engine/loop.py", "from ..models import MODELS"),
        ("engine/loop.py", "from .. import models"),
        ("engine/loop.py", "import i2i.models.cyclegan"),
        ("engine/loop.py", "from i2i import models"),
        ("engine/loop.py", "def late():\n    from i2i.models import MODELS"),
        ("engine/loop.py", "if TYPE_CHECKING:\n    from i2i.api import train"),
        ("nets/unet.py", "from i2i.losses import l1"),
        ("data/layouts.py", "from i2i.nets import UNet"),
        ("losses/l1.py", "import i2i.metrics"),
        ("models/gan.py", "from i2i.recipe import load"),
        ("recipe.py", "from i2i import zoo"),
        ("zoo.py", "from i2i.translator import Translator"),
        ("evaluation.py", "from i2i.session import Session"),
        ("errors.py", "from i2i.data import names"),
        ("api.py", "from i2i.cli import app"),
    ],
)
def test_an_import_upwards_or_sideways_is_found(file: str, code: str, tmp_path: Path) -> None:
    path = tmp_path / "i2i" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(code)
    (wrong,) = upward(tmp_path / "i2i")
    assert wrong.startswith(f"{file}:")


@pytest.mark.parametrize(
    ("file", "code"),
    [
        ("engine/loop.py", "from i2i.engine.game import Game\nfrom i2i.spec import Spec\nimport torch"),
        ("nets/unet.py", "from i2i.nets.blocks import norm2d\nfrom .init import initialise\nimport i2i.errors"),
        ("models/gan.py", "from i2i.engine.game import Game\nfrom i2i.nets import MLP\nfrom i2i.data import Data"),
        ("zoo.py", "from i2i import __version__, recipe"),
        ("images.py", "from i2i.errors import UserError"),
    ],
)
def test_an_import_downwards_is_fine(file: str, code: str, tmp_path: Path) -> None:
    path = tmp_path / "i2i" / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(code)
    assert upward(tmp_path / "i2i") == []


def test_a_room_without_a_floor_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "attic.py").write_text("")
    with pytest.raises(AssertionError, match="on which floor"):
        upward(tmp_path)

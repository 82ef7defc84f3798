"""The check of a published folder finds whatever is not as the card says."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper

from i2i.publishing import check
from i2i.publishing.record import FILE, read, sums, write


def replaced(path: Path, old: str, new: str) -> None:
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def booked(folder: Path) -> None:
    """The sums are brought up to date: what is wrong is in the files themselves."""
    write(folder, read(folder) | {"files": sums(folder)})
    text = (folder / "README.md").read_text("utf-8")
    told = "\n".join(each["sha256"] for each in read(folder)["files"].values())
    (folder / "README.md").write_text(f"{text}\n{told}\n", "utf-8")
    write(folder, read(folder) | {"files": sums(folder)})


def figure(folder: Path) -> None:
    told = read(folder)
    told["scores"]["test"]["scores"]["model"]["l1"]["mean"] += 0.1
    write(folder, told)


def another_figure(folder: Path) -> None:
    """In the front matter alone."""
    text = (folder / "README.md").read_text("utf-8")
    start = text.index("value: ") + len("value: ")
    (folder / "README.md").write_text(f"{text[:start]}9{text[start:]}", "utf-8")
    booked(folder)


def step(folder: Path) -> None:
    write(folder, read(folder) | {"step": 5})


def other_weights(folder: Path) -> None:
    """The exported form says that it is of another model."""
    path = folder / "model.a2b.uint8.onnx"
    model = onnx.load(path)
    (told,) = [each for each in model.metadata_props if each.key == "i2i.weights"]
    told.value = "0" * 64
    onnx.save(model, path)
    booked(folder)


def other_pictures(folder: Path) -> None:
    """The exported form says what is right and computes something else."""
    path = folder / "model.a2b.uint8.onnx"
    model = onnx.load(path)
    kernel = max(model.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    kernel.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(kernel), kernel.name))
    onnx.save(model, path)
    booked(folder)


def unsafe(folder: Path) -> None:
    path = folder / "model.a2b.uint8.onnx"
    model = onnx.load(path)
    model.graph.node[0].op_type = "Loop"
    onnx.save(model, path)
    booked(folder)


def other_recipe(folder: Path) -> None:
    replaced(folder / "recipe.yaml", "batch: 2", "batch: 3")
    booked(folder)


@pytest.mark.parametrize(
    ("damage", "answer"),
    [
        (lambda folder: flipped(folder / "model.safetensors"), "model.safetensors is not what was published"),
        (lambda folder: flipped(folder / "grid.jpg"), "grid.jpg is not what was published"),
        (lambda folder: (folder / "failures.jpg").unlink(), "failures.jpg is missing"),
        (lambda folder: (folder / "notes.txt").write_text("x"), "notes.txt is not in the record"),
        (lambda folder: replaced(folder / "README.md", "not chosen", "chosen"), "README.md is not what was published"),
        (figure, "does not tell the test score l1"),
        (another_figure, "the figures in its front matter"),
        (step, "has step 4, card.json says 5"),
        (other_weights, "was made from other weights"),
        (other_pictures, "gives other pictures"),
        (unsafe, "is refused"),
        (other_recipe, "is not the recipe"),
        (lambda folder: (folder / FILE).unlink(), "holds no published model"),
        (lambda folder: (folder / FILE).write_text("{"), "is damaged"),
        (lambda folder: (folder / FILE).write_text('{"format": "9"}'), "format '9'"),
        (lambda folder: (folder / FILE).write_text('{"format": "1"}'), "does not tell"),
    ],
)
def test_damage_is_found(
    published: dict[str, Path], tmp_path: Path, damage: Callable[[Path], object], answer: str
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(published["pix2pix"], folder)
    damage(folder)
    assert any(answer in line for line in check(folder)), check(folder)


def test_a_whole_copy_has_no_damage(published: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(published["pix2pix"], tmp_path / "copy")
    booked(tmp_path / "copy")
    assert check(tmp_path / "copy") == []


def test_a_picture_that_cannot_be_opened_is_found(published: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(published["pix2pix"], tmp_path / "copy")
    (tmp_path / "copy" / "grid.jpg").write_bytes(b"no picture")
    booked(tmp_path / "copy")
    assert any("grid.jpg is no picture" in line for line in check(tmp_path / "copy"))


def test_the_record_is_plain_json(published: dict[str, Path]) -> None:
    for folder in published.values():
        json.loads((folder / FILE).read_text("utf-8"), parse_constant=lambda word: pytest.fail(word))

"""More than RGB, from a folder to translated files: deep grey, alpha, many channels, arrays, classes, conditions.

Files are written and read back by other libraries than i2i's own readers, and what a file should hold is what the torch
network says of pixels that were put together by hand.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
import tifffile
import torch
from PIL import Image

from i2i import api, evaluation, export, loading, recipe, zoo
from i2i.data import Batches
from i2i.deploy.triton import triton
from i2i.deploy.web import web
from i2i.engine.game import Game
from i2i.errors import UserError
from i2i.images import maps
from i2i.models import MODELS
from i2i.models.pix2pix import Pix2Pix
from i2i.plan import conditions
from i2i.runtime import Exported
from i2i.runtime.planes import Plane
from i2i.translation import Translated, translate
from i2i.translator import Translator
from i2i.validation import views

CPU = torch.device("cpu")
H, W = 13, 21  # of what is translated: other than the pictures of training
COLOURS = ("#000000", "#ff0000", "#0000ff")
Draw = Callable[[np.random.Generator, int, int], np.ndarray]


def numbers(top: int, channels: int, dtype: Any = np.uint8) -> Draw:
    """Smooth pictures, h w channels, of values up to `top`."""

    def draw(rng: np.random.Generator, h: int, w: int) -> np.ndarray:
        small = rng.random((3, 3, channels))
        large = np.stack([cv2.resize(small[..., k], (w, h)) for k in range(channels)], axis=2)
        return np.rint(large * top).astype(dtype)

    return draw


def classes(count: int) -> Draw:
    return lambda rng, h, w: np.kron(rng.integers(0, count, (5, 5)), np.ones((8, 8)))[:h, :w].astype(np.uint8)


def floats(rng: np.random.Generator, h: int, w: int) -> np.ndarray:
    return (numbers(65535, 2)(rng, h, w) / np.float32(65535)).astype(np.float32)


def save_png(path: Path, array: np.ndarray) -> None:
    """Red green blue, grey, with alpha or not; 8 or 16 bits."""
    order = {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[array.shape[2]]
    assert cv2.imwrite(str(path), np.ascontiguousarray(array[..., order]))


def read_png(path: Path) -> np.ndarray:
    array = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert array is not None
    array = array[..., None] if array.ndim == 2 else array
    return array[..., {1: [0], 3: [2, 1, 0], 4: [2, 1, 0, 3]}[array.shape[2]]]


def save_tiff(path: Path, array: np.ndarray) -> None:
    planar = "contig" if array.shape[2] > 1 else None
    tifffile.imwrite(path, array.squeeze(), photometric="minisblack", planarconfig=planar)


def read_tiff(path: Path) -> np.ndarray:
    array = tifffile.imread(path)
    return array[..., None] if array.ndim == 2 else array


def save_grey(path: Path, array: np.ndarray) -> None:
    Image.fromarray(array).save(path)


def save_drawn(path: Path, array: np.ndarray) -> None:
    Image.fromarray(maps.rgb(*COLOURS)[array]).save(path)


def unit(array: np.ndarray) -> np.ndarray:
    """As a network sees light: [-1, 1]."""
    top = 1 if array.dtype.kind == "f" else np.iinfo(array.dtype).max
    return array.astype(np.float64) / top * 2 - 1


def apart(count: int) -> Callable[[np.ndarray], np.ndarray]:
    """As a network sees classes."""
    return lambda array: np.eye(count)[array] * 2 - 1


@dataclass(frozen=True)
class Side:
    look: Any
    suffix: str
    draw: Draw
    save: Callable[[Path, np.ndarray], None]
    seen: Callable[[np.ndarray], np.ndarray] = unit


def np_save(path: Path, array: np.ndarray) -> None:
    np.save(path, array)


GREY16 = Side(1, ".png", numbers(65535, 1, np.uint16), save_png)
RGB16 = Side(3, ".png", numbers(65535, 3, np.uint16), save_png)
RGB = Side(3, ".png", numbers(255, 3), save_png)
RGBA = Side(4, ".png", numbers(255, 4), save_png)
FIVE = Side(5, ".tif", numbers(255, 5), save_tiff)
ONE = Side(1, ".tif", numbers(255, 1), save_tiff)
ARRAY = Side(2, ".npy", floats, np_save)
MAP = Side({"palette": list(COLOURS)}, ".png", classes(3), save_drawn, apart(3))
LABELS = Side({"labels": 4}, ".png", classes(4), save_grey, apart(4))
MASK = Side(1, ".png", numbers(255, 1), save_png)


def fill(root: Path, sides: Mapping[str, Side], count: int = 4) -> Path:
    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for i in range(count):
            for name, side in sides.items():
                folder = root / f"{split}{name}"
                folder.mkdir(parents=True, exist_ok=True)
                side.save(folder / f"{i}{side.suffix}", side.draw(rng, 16, 16))
    return root


def tree(root: Path, sides: Mapping[str, Side], bits: int = 8) -> dict[str, Any]:
    conditions = [{"name": n, "channels": side.look} for n, side in sides.items() if n not in "AB"]
    channels = {"a": sides["A"].look, "b": sides["B"].look}
    return {
        "model": "pix2pix",
        "data": {"layout": "paired", "root": str(root), "crop": 16, "channels": channels, "condition": conditions,
                 "bits": bits},
        "generator": {"kind": "unet", "levels": 2, "width": 4},
        "discriminator": {"kind": "patch", "layers": 1, "width": 4},
        "batch": 2, "samples": 2, "log_every": 1, "sample_every": 2, "save_every": 2,
        "schedule": [{"phase": "adversarial", "steps": 2}],
    }  # fmt: skip


def train(told: dict[str, Any], folder: Path) -> Path:
    """A model of two steps, in its file."""
    settings = recipe.build(told, "test")
    torch.manual_seed(0)
    model = MODELS[type(settings)](settings)
    game, batches = Game(model.players(settings)), Batches(settings.data, "train", 2)
    for _ in range(2):
        model.adversarial(batches, game)
    zoo.save(folder / "model.safetensors", model.product(), settings, 2, "print")
    return folder / "model.safetensors"


def answer(model: Path, *seen: np.ndarray) -> np.ndarray:
    """What the torch network makes of planes h w c in [-1, 1], h w o in [-1, 1]."""
    network = Translator(zoo.load(model, CPU).product["a2b"], CPU)
    x = torch.from_numpy(np.concatenate(seen, axis=2).astype(np.float32)).permute(2, 0, 1)[None]
    made: np.ndarray = network.forward(x)[0].permute(1, 2, 0).numpy()
    return made


def near(got: np.ndarray, expected: np.ndarray, top: int) -> None:
    """Whole numbers up to `top`, within a step of what is expected in [-1, 1]."""
    assert got.shape == expected.shape
    assert np.abs(got.astype(np.float64) - np.clip((expected + 1) * top / 2, 0, top)).max() <= 1


def all_done(results: list[Translated]) -> list[Path]:
    assert not [result.error for result in results if result.error]
    return [result.target for result in results if result.target]


@pytest.mark.parametrize(
    ("a", "b", "bits", "read", "top"),
    [
        (GREY16, RGB16, 16, read_png, 65535),
        (RGBA, RGBA, 8, read_png, 255),
        (FIVE, ONE, 8, read_tiff, 255),
    ],
    ids=["deep grey to deep colour", "transparency to transparency", "five channels to one"],
)
def test_pictures_of_other_channels_go_from_file_to_file(
    a: Side, b: Side, bits: int, read: Callable[[Path], np.ndarray], top: int, tmp_path: Path
) -> None:
    model = train(tree(fill(tmp_path / "data", {"A": a, "B": b}), {"A": a, "B": b}, bits), tmp_path)
    picture = a.draw(np.random.default_rng(7), H, W)
    (tmp_path / "in").mkdir()
    a.save(tmp_path / "in" / f"x{a.suffix}", picture)
    (target,) = all_done(translate([tmp_path / "in"], model, tmp_path / "out"))
    assert target.name == f"x{b.suffix}"
    made = read(target)
    assert made.dtype == (np.uint16 if top > 255 else np.uint8)
    near(made, answer(model, unit(picture)), top)
    rows = evaluation.of_model(zoo.load(model, CPU)).rows
    assert rows["truth"]["l1"].value == 0
    assert ("copy of the input" in rows) == (a is b)
    assert rows["model"]["fid_efflite0"].value >= 0


def test_arrays_of_floats_come_back_as_floats(tmp_path: Path) -> None:
    sides = {"A": ARRAY, "B": ARRAY}
    model = train(tree(fill(tmp_path / "data", sides), sides, 16), tmp_path)
    picture = floats(np.random.default_rng(7), H, W)
    np.save(tmp_path / "x.npy", picture)
    (target,) = all_done(translate([tmp_path / "x.npy"], model, tmp_path / "out"))
    made = np.load(target)
    assert (made.dtype, made.shape) == (np.float32, (H, W, 2))
    near(made * 65535, answer(model, unit(picture)), 65535)
    assert evaluation.of_model(zoo.load(model, CPU)).rows["copy of the input"]["l1"].value > 0


def test_a_map_drawn_in_colours_becomes_a_picture(tmp_path: Path) -> None:
    sides = {"A": MAP, "B": RGB}
    model = train(tree(fill(tmp_path / "data", sides), sides), tmp_path)
    drawing = classes(3)(np.random.default_rng(7), H, W)
    (tmp_path / "in").mkdir()
    near_colours = np.clip(maps.rgb(*COLOURS)[drawing].astype(int) + 9, 0, 255).astype(np.uint8)
    Image.fromarray(near_colours).save(tmp_path / "in" / "x.png")
    Image.fromarray(drawing).convert("P").save(tmp_path / "in" / "other.png")  # of greys
    results = translate([tmp_path / "in"], model, tmp_path / "out")
    (target,) = [result.target for result in results if result.source.name == "x.png"]
    assert target is not None
    expected = answer(model, apart(3)(drawing))
    near(read_png(target), expected, 255)
    called = loading.load(model)
    assert np.array_equal(called(drawing), called(maps.one_hot(drawing, 3)))
    near(called(drawing.astype(np.int64)), expected, 255)
    with pytest.raises(UserError, match="a: expected class numbers from 0 to 2"):
        called(drawing + np.uint8(3))
    assert "copy of the input" not in evaluation.of_model(zoo.load(model, CPU)).rows


def test_a_picture_becomes_a_map(tmp_path: Path) -> None:
    sides = {"A": RGB, "B": LABELS}
    model = train(tree(fill(tmp_path / "data", sides), sides), tmp_path)
    picture = RGB.draw(np.random.default_rng(7), H, W)
    (tmp_path / "in").mkdir()
    save_png(tmp_path / "in" / "x.png", picture)
    Image.fromarray(picture).save(tmp_path / "in" / "photo.jpg", quality=95)
    Image.fromarray(picture).save(
        tmp_path / "in" / "moving.gif", save_all=True, append_images=[Image.new("RGB", (W, H))]
    )
    np.save(tmp_path / "in" / "array.npy", picture)
    targets = {path.name: path for path in all_done(translate([tmp_path / "in"], model, tmp_path / "out"))}
    assert sorted(targets) == ["array.npy", "moving.gif", "photo.png", "x.png"]  # no JPEG holds classes
    scores = answer(model, unit(picture))
    first, second = np.sort(scores, axis=2)[..., -1], np.sort(scores, axis=2)[..., -2]
    sure = first - second > 2 / 32767.5  # what 16 bits can tell apart
    assert sure.mean() > 0.9
    with Image.open(targets["x.png"]) as made:
        assert (made.mode, made.size) == ("P", (W, H))
        told = np.asarray(made)
        assert np.array_equal(np.asarray(made.convert("RGB")), maps.colours(4)[told])
    assert np.array_equal(told[sure], scores.argmax(axis=2)[sure])
    assert np.array_equal(np.load(targets["array.npy"]), told)
    with Image.open(targets["moving.gif"]) as moving:
        assert moving.n_frames == 2
    called = loading.load(model, pixels="uint16")
    assert np.array_equal(called.labels(called(picture * np.uint16(257))), told)
    with pytest.raises(UserError, match="JPEG cannot hold the class numbers"):
        raise UserError(translate([tmp_path / "in" / "x.png"], model, tmp_path / "x.jpg")[0].error)
    with pytest.raises(UserError, match="--smooth blends colours"):
        translate([tmp_path / "in"], model, tmp_path / "out", smooth=0.5)
    loaded = zoo.load(model, CPU)
    found = evaluation.validate(loaded.recipe, loaded.product, CPU)
    assert list(found) == ["l1", "perceptual_efflite0", "pixel_accuracy", "mean_iou"]
    assert evaluation.criterion(loaded.recipe) == ("mean_iou", True)
    truth = evaluation.of_model(loaded).rows["truth"]
    assert (truth["pixel_accuracy"].value, truth["mean_iou"].value) == (1, 1)
    assert "psnr" not in truth


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of a picture and its mask, from a whole run: with sample grids, validation and scores at the end."""
    folder, sides = tmp_path_factory.mktemp("masked"), {"A": RGB, "mask": MASK, "B": RGB}
    told = tree(fill(folder / "data", sides), sides) | {"validate_every": 2}
    done = api.train(recipe.build(told, "test"), run=folder / "run", name="masked")
    return done.run


@pytest.fixture(scope="module")
def file(masked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its exported form, made once."""
    path = tmp_path_factory.mktemp("exported") / "model.onnx"
    export.export(masked, path)
    return path


PICTURE, OTHER = (RGB.draw(np.random.default_rng(key), H, W) for key in (1, 2))
STENCIL, SECOND = (MASK.draw(np.random.default_rng(key), H, W) for key in (3, 4))


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """in/x.png and in/deep/y.jpg, with masks mask/x.png and mask/deep/y.png."""
    for folder in ("in/deep", "mask/deep"):
        (tmp_path / folder).mkdir(parents=True)
    save_png(tmp_path / "in" / "x.png", PICTURE)
    Image.fromarray(OTHER).save(tmp_path / "in" / "deep" / "y.jpg")
    save_png(tmp_path / "mask" / "x.png", STENCIL)
    save_png(tmp_path / "mask" / "deep" / "y.png", SECOND)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_picture_is_translated_with_its_mask(masked: Path, file: Path, work: Path) -> None:
    targets = all_done(translate(["in"], file, "out", condition={"mask": "mask"}))
    assert sorted(str(path) for path in targets) == ["out/deep/y.jpg", "out/x.png"]
    expected = answer(masked, unit(PICTURE), unit(STENCIL))
    near(read_png(Path("out/x.png")), expected, 255)
    (alone,) = all_done(translate(["in/x.png"], file, "one.png", condition={"mask": "mask/x.png"}))
    assert np.array_equal(read_png(alone), read_png(Path("out/x.png")))
    assert not np.array_equal(answer(masked, unit(PICTURE), unit(SECOND)), expected)


def test_masks_below_the_inputs_are_not_inputs(file: Path, work: Path) -> None:
    (work / "mask").rename(work / "in" / "mask")
    assert len(all_done(translate(["in"], file, "out", condition={"mask": "in/mask"}))) == 2


def test_what_has_no_mask_of_its_name_is_reported_and_the_rest_is_done(file: Path, work: Path) -> None:
    (work / "mask" / "x.png").rename(work / "mask" / "z.png")
    results = translate(["in"], file, "out", condition={"mask": "mask"})
    assert [(str(result.source), bool(result.target)) for result in results] == [
        ("in/deep/y.jpg", True), ("in/x.png", False),
    ]  # fmt: skip
    assert "mask has no file named 'x' for its mask" in results[1].error
    assert not Path("out/x.png").exists()


def test_a_mask_of_another_size_is_refused_with_both_sizes(file: Path, work: Path) -> None:
    save_png(work / "mask" / "x.png", STENCIL[:, :-1])
    (result,) = translate(["in/x.png"], file, "out", condition={"mask": "mask"})
    assert f"in/x.png: the picture has {W}×{H} pixels, and its mask {W - 1}×{H}" in result.error


@pytest.mark.parametrize(
    ("condition", "told"),
    [
        ({}, "translates a picture together with its mask. .* --condition mask=FOLDER"),
        ({"mask": "mask", "depth": "mask"}, "this model takes mask, not 'depth'"),
        ({"mask": "nowhere"}, "--condition mask=nowhere: there is no such"),
        ({"mask": "mask/x.png"}, "is one file, and there are 2 inputs"),
    ],
)
def test_conditions_that_do_not_fit_stop_it_at_once(
    condition: dict[str, str], told: str, file: Path, work: Path
) -> None:
    with pytest.raises(UserError, match=told):
        translate(["in"], file, "out", condition=condition)


def test_conditions_are_read_from_a_command_line() -> None:
    assert conditions(["mask=a=b/", "depth=x.png"]) == {"mask": "a=b/", "depth": "x.png"}
    for words in (["mask"], ["mask="], ["=x"], ["mask=a", "mask=b"]):
        with pytest.raises(UserError, match="as in --condition mask=masks/"):
            conditions(words)


def animate(path: Path, *frames: np.ndarray) -> None:
    first, *others = [Image.fromarray(frame.squeeze()) for frame in frames]
    first.save(path, save_all=True, append_images=others, duration=40, lossless=True)


def frames_of(path: Path) -> list[np.ndarray]:
    with Image.open(path) as opened:
        made = []
        for i in range(opened.n_frames):
            opened.seek(i)
            made.append(np.asarray(opened.convert("RGB")))
        return made


def test_an_animation_takes_a_still_mask_or_one_as_long(masked: Path, file: Path, work: Path) -> None:
    animate(work / "film.png", PICTURE, OTHER)
    animate(work / "masks.png", STENCIL, SECOND)
    (target,) = all_done(translate(["film.png"], file, "still.png", condition={"mask": "mask/x.png"}))
    for got, frame in zip(frames_of(target), (PICTURE, OTHER), strict=True):
        near(got, answer(masked, unit(frame), unit(STENCIL)), 255)
    (target,) = all_done(translate(["film.png"], file, "both.png", condition={"mask": "masks.png"}))
    for got, frame, mask in zip(frames_of(target), (PICTURE, OTHER), (STENCIL, SECOND), strict=True):
        near(got, answer(masked, unit(frame), unit(mask)), 255)
    animate(work / "masks.png", STENCIL, SECOND, STENCIL)
    (result,) = translate(["film.png"], file, "three.png", condition={"mask": "masks.png"})
    assert "masks.png has 3 frames, and film.png 2" in result.error
    assert not Path("three.png").exists()
    (result,) = translate(["in/x.png"], file, "four.png", condition={"mask": "masks.png"})
    assert "masks.png has 3 frames, and in/x.png 1" in result.error


def test_a_video_takes_a_still_mask_or_one_as_long(file: Path, work: Path) -> None:
    frames = [np.full((16, 16, 3), 60 * k, np.uint8) for k in range(3)]
    for name, count in (("film.avi", 3), ("short.avi", 2), ("film.mkv", 3), ("short.mkv", 2)):
        writer = cv2.VideoWriter(str(work / name), cv2.VideoWriter.fourcc(*"MJPG"), 25, (16, 16))
        for frame in frames[:count]:
            writer.write(frame)
        writer.release()
    save_png(work / "still.png", np.full((16, 16, 1), 200, np.uint8))
    for mask in ("still.png", "film.avi"):
        assert all_done(translate(["film.avi"], file, "out.mp4", condition={"mask": mask}, force=True))
    for film, mask in (("film.avi", "short.avi"), ("film.mkv", "short.mkv"), ("short.mkv", "film.mkv")):
        (result,) = translate([film], file, "no.mp4", condition={"mask": mask})
        assert result.error.startswith(mask)
        assert "as long as what it belongs to" in result.error
        assert not Path("no.mp4").exists()


def test_conditions_are_cut_into_tiles_with_their_picture(file: Path, work: Path) -> None:
    rng = np.random.default_rng(5)
    picture, mask = RGB.draw(rng, 256, 300), MASK.draw(rng, 256, 300)
    save_png(work / "large.png", picture)
    save_png(work / "mask" / "large.png", mask)
    (whole,) = all_done(translate(["large.png"], file, "whole.png", condition={"mask": "mask"}))
    card = loading.load(file).card
    memory = 160 * 160 * card.memory * 4 + 10**6
    (tiled,) = all_done(translate(["large.png"], file, "tiled.png", condition={"mask": "mask"}, memory=memory))
    assert np.abs(read_png(whole).astype(int) - read_png(tiled)).max() <= 2


def test_the_python_api_takes_conditions_by_name_or_stacked(file: Path) -> None:
    model = loading.load(file)
    assert model.card.planes == (Plane("a", 3), Plane("mask", 1))
    assert model.card.result == Plane("b", 3)
    stacked = model(np.concatenate([PICTURE, STENCIL], axis=2))
    assert np.array_equal(model(PICTURE, mask=STENCIL), stacked)
    assert np.array_equal(model(PICTURE, mask=STENCIL[..., 0]), stacked)
    with pytest.raises(UserError, match=r"together with its mask.*model\(picture, mask=\.\.\.\)"):
        model(PICTURE)
    with pytest.raises(UserError, match="takes mask, not 'masks'"):
        model(PICTURE, masks=STENCIL)
    with pytest.raises(UserError, match=f"has {W}×{H} pixels, and its mask {W}×{H - 1}"):
        model(PICTURE, mask=STENCIL[1:])
    with pytest.raises(UserError, match="mask: expected height × width × 1 uint8"):
        model(PICTURE, mask=PICTURE)


def test_a_run_with_a_mask_is_scored_shown_and_exported(masked: Path, file: Path, tmp_path: Path) -> None:
    assert list((masked / "samples").glob("*.png"))
    loaded, batch = zoo.load(masked, CPU), (torch.zeros(2, 4, 16, 16), torch.zeros(2, 3, 16, 16))
    shown = Pix2Pix(loaded.recipe).show(batch, loaded.product)
    assert list(shown) == ["input", "mask", "translated", "truth"]
    assert {tuple(row.shape) for row in shown.values()} == {(2, 3, 16, 16)}
    (view,) = views(loaded.recipe, loaded.product, batch, CPU)
    assert view.source is not None
    assert view.source.shape[1] == 3  # without the mask
    rows = api.evaluate(masked).rows
    assert rows["copy of the input"]["l1"].value > 0  # that of the picture alone
    exported = evaluation.of_exported(Exported(file), folder=masked.parent / "data").rows
    assert exported["model"]["l1"].value == pytest.approx(rows["model"]["l1"].value, abs=1e-3)
    served, page = tmp_path / "triton", tmp_path / "page.html"
    for deploy in (lambda: triton(file, served, name="masked"), lambda: web(file, page, title="masked")):
        with pytest.raises(UserError, match="takes a picture together with its mask"):
            deploy()
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_int8_is_fitted_to_the_training_pictures_and_their_masks(masked: Path, tmp_path: Path) -> None:
    assert export.export(masked, tmp_path / "small.onnx", precision="int8").psnr >= 35
    with pytest.raises(UserError, match="together with its mask, and --calibrate gives pictures alone"):
        export.export(masked, tmp_path / "no.onnx", precision="int8", calibrate=[masked.parent / "data/testA/0.png"])
    assert not (tmp_path / "no.onnx").exists()


def test_files_that_do_not_tell_their_planes_take_one_picture(file: Path) -> None:
    model = onnx.load(file)
    told = {entry.key: entry.value for entry in model.metadata_props}
    without = {key: value for key, value in told.items() if key not in ("i2i.planes", "i2i.result")}
    onnx.helper.set_model_props(model, without)
    old = Exported(model.SerializeToString(), "cpu")
    assert (old.card.planes, old.card.result) == ((Plane("a", 4),), Plane("b", 3))
    for lie in ('[{"name": "a", "look": 3}]', '[{"name": "a", "look": {"labels": 900}}]', "[]", "5", '[{"name": 1}]'):
        onnx.helper.set_model_props(model, told | {"i2i.planes": lie})
        with pytest.raises(UserError, match="damaged metadata"):
            Exported(model.SerializeToString(), "cpu")


def test_cyclegan_knows_sides_of_different_kinds(tmp_path: Path) -> None:
    sides = {"A": MAP, "B": RGBA}
    told = tree(fill(tmp_path / "data", sides), sides)
    told |= {"model": "cyclegan", "weights": {"identity": 0}}
    told["data"] = {key: value for key, value in told["data"].items() if key != "condition"} | {"layout": "unpaired"}
    model = zoo.load(train(told, tmp_path), CPU)
    assert (model.product["a2b"].inputs, model.product["a2b"].outputs) == (3, 4)
    rows = evaluation.of_model(model, direction="b2a").rows
    assert "mean_iou" in rows["model"]  # equal names in test are pairs
    with pytest.raises(UserError, match="a: 3 classes, b: 4"):
        recipe.build(told | {"weights": {"identity": 1}}, "test")

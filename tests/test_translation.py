"""Files in, the same kind of files out, through the exported form of a model, which is made once."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import i2i
from i2i import api, export, images, store, translation
from i2i.errors import Stopped, UserError
from i2i.loading import load
from i2i.runtime import Exported, scale
from i2i.translation import translate

Noise = Callable[..., np.ndarray]


def fill(folder: Path, noise: Noise, *names: str) -> None:
    for key, name in enumerate(names):
        images.write(folder / name, noise(key, 10 + key, 13))


def size(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def test_a_folder_comes_back_as_the_same_tree_in_the_same_sizes(
    trained: dict[str, api.Trained], tmp_path: Path, noise: Noise
) -> None:
    fill(tmp_path / "in", noise, "a.png", "deep/b.jpg", "deep/er/c.webp")
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    results = translate([tmp_path / "in"], "pix2pix", tmp_path / "out")
    assert not any(result.error for result in results)
    written = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*"))
    assert written == ["a.png", "deep/b.jpg", "deep/er/c.webp"]
    for result in results:
        assert result.target is not None
        assert size(result.target) == size(result.source)


def test_what_is_written_is_what_the_translator_says(
    trained: dict[str, api.Trained], tmp_path: Path, noise: Noise
) -> None:
    fill(tmp_path, noise, "a.png")
    translate([tmp_path / "a.png"], trained["pix2pix"].run, tmp_path / "out")
    expected = load("pix2pix")(images.read(tmp_path / "a.png"))
    assert np.array_equal(images.read(tmp_path / "out" / "a.png"), expected)


def test_a_picture_comes_back_in_its_size_whatever_size_it_was_worked_at(
    trained: dict[str, api.Trained], tmp_path: Path, noise: Noise
) -> None:
    images.write(tmp_path / "a.png", noise(1, 40, 61))
    translate([tmp_path / "a.png"], "pix2pix", tmp_path / "out", at=20)
    small = scale.resized(images.read(tmp_path / "a.png"), (20, 30))
    expected = scale.resized(load("pix2pix")(small), (40, 61))
    assert np.array_equal(images.read(tmp_path / "out" / "a.png"), expected)
    with pytest.raises(UserError, match="native or trained"):
        translate([tmp_path / "a.png"], "pix2pix", tmp_path / "out", at="big", force=True)


def test_larger_pictures_are_worked_on_at_the_scale_of_the_training(
    trained: dict[str, api.Trained], tmp_path: Path, noise: Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scale, "working_side", lambda card, at: 20 if at == "trained" else None)
    for name, height in (("near", 29), ("far", 31)):
        images.write(tmp_path / f"{name}.png", noise(1, height, 61))
    translate([tmp_path / "near.png", tmp_path / "far.png"], "pix2pix", tmp_path / "out")
    model, (near, far) = load("pix2pix"), (images.read(tmp_path / f"{name}.png") for name in ("near", "far"))
    assert np.array_equal(images.read(tmp_path / "out" / "near.png"), model(near))
    expected = scale.resized(model(scale.resized(far, (20, 39))), (31, 61))
    assert np.array_equal(images.read(tmp_path / "out" / "far.png"), expected)


def test_one_picture_can_be_given_a_file_to_go_to(
    trained: dict[str, api.Trained], tmp_path: Path, noise: Noise
) -> None:
    fill(tmp_path, noise, "a.png", "b.png")
    translate([tmp_path / "a.png"], "pix2pix", tmp_path / "new" / "b.jpg")
    assert size(tmp_path / "new" / "b.jpg") == size(tmp_path / "a.png")
    with pytest.raises(UserError, match="one file, but there are 2"):
        translate([tmp_path / "a.png", tmp_path / "b.png"], "pix2pix", tmp_path / "both.png")
    assert not (tmp_path / "both.png").exists()


def test_a_pattern_names_many_pictures(trained: dict[str, api.Trained], tmp_path: Path, noise: Noise) -> None:
    fill(tmp_path / "in", noise, "a1.png", "a2.png", "b.png", "deep/a3.png")
    translate([str(tmp_path / "in" / "**" / "a*.png")], "pix2pix", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a1.png", "a2.png", "a3.png"]


def test_a_name_with_brackets_is_a_name_and_not_a_pattern(
    trained: dict[str, api.Trained], tmp_path: Path, noise: Noise
) -> None:
    fill(tmp_path, noise, "a[1].png")
    assert translate([tmp_path / "a[1].png"], "pix2pix", tmp_path / "out")[0].target is not None


def test_two_pictures_of_one_name_are_refused(trained: dict[str, api.Trained], tmp_path: Path, noise: Noise) -> None:
    fill(tmp_path, noise, "x/a.png", "y/a.png")
    with pytest.raises(UserError, match="same name"):
        translate([tmp_path / "x", tmp_path / "y"], "pix2pix", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_is_overwritten_without_force(
    trained: dict[str, api.Trained], tmp_path: Path, noise: Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, noise, "a.png")
    before = (tmp_path / "a.png").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(Exported, "run", lambda *_: pytest.fail("translated in vain"))
        (result,) = translate([tmp_path / "a.png"], "pix2pix", tmp_path)  # onto itself
    assert result.target is None
    assert "--force" in result.error
    assert (tmp_path / "a.png").read_bytes() == before
    (result,) = translate([tmp_path / "a.png"], "pix2pix", tmp_path, force=True)
    assert result.target == tmp_path / "a.png"
    assert (tmp_path / "a.png").read_bytes() != before


def test_a_broken_picture_is_named_and_the_others_are_done(
    trained: dict[str, api.Trained], tmp_path: Path, noise: Noise
) -> None:
    fill(tmp_path / "in", noise, "a.png", "c.png")
    (tmp_path / "in" / "b.png").write_bytes((tmp_path / "in" / "a.png").read_bytes()[:60])
    (tmp_path / "in" / "empty.png").touch()
    results = {result.source.name: result for result in translate([tmp_path / "in"], "pix2pix", tmp_path / "out")}
    assert [name for name, result in results.items() if result.error] == ["b.png", "empty.png"]
    assert "b.png" in results["b.png"].error
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]


def test_a_second_run_does_not_translate_the_first_ones_results(
    trained: dict[str, api.Trained], tmp_path: Path, noise: Noise
) -> None:
    fill(tmp_path, noise, "a.png")
    for _ in range(2):
        results = translate([tmp_path], "pix2pix", tmp_path / "translated", force=True)
        assert [result.source for result in results] == [tmp_path / "a.png"]


def test_cyclegan_translates_both_ways(trained: dict[str, api.Trained], noise: Noise) -> None:
    picture = noise(0, 16, 16)
    there, back = load("cyclegan", direction="a2b"), load("cyclegan", direction="b2a")
    assert not np.array_equal(there(picture), back(picture))
    assert np.array_equal(load("cyclegan")(picture), there(picture))
    with pytest.raises(UserError, match="a2b and b2a, not 'b2c'"):
        load("cyclegan", direction="b2c")
    with pytest.raises(UserError, match="translates a2b, not 'b2a'"):
        load("pix2pix", direction="b2a")


@pytest.mark.parametrize("model", ["gan", "dcgan"])
def test_a_generator_from_noise_cannot_translate(model: str, trained: dict[str, api.Trained], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="i2i sample"):
        load(model)


def test_inputs_that_are_not_there_are_named(trained: dict[str, api.Trained], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.png"):
        translate([tmp_path / "nowhere.png"], "pix2pix", tmp_path / "out")
    with pytest.raises(UserError, match="no pictures"):
        translate([tmp_path], "pix2pix", tmp_path / "out")


def test_a_deep_picture_stays_deep_and_an_8_bit_one_does_not(
    trained: dict[str, api.Trained], tmp_path: Path, noise: Noise
) -> None:
    values = np.random.default_rng(0).integers(0, 65536, (20, 31), dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.tiff")
    fill(tmp_path, noise, "flat.png")
    deep, flat = translate([tmp_path / "deep.tiff", tmp_path / "flat.png"], "pix2pix", tmp_path / "out")
    assert deep.target is not None
    assert flat.target is not None
    with images.opened(deep.target) as reader:
        assert (reader.kind.bits, reader.kind.width, reader.kind.height) == (16, 31, 20)
        (frame,) = reader.frames(3, 16)
    expected = load("pix2pix", pixels="uint16")(np.repeat(values[:, :, None], 3, 2))
    assert np.array_equal(frame.pixels, expected)
    assert len(np.unique(frame.pixels % 257)) > 1  # more than 8 bits stretched
    with images.opened(flat.target) as reader:
        assert reader.kind.bits == 8


def test_alpha_goes_round_the_model(trained: dict[str, api.Trained], tmp_path: Path, noise: Noise) -> None:
    rgba = noise(0, 12, 17, 4)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    translate([tmp_path / "a.png"], "pix2pix", tmp_path / "out")
    with Image.open(tmp_path / "out" / "a.png") as picture:
        assert picture.mode == "RGBA"
        assert np.array_equal(np.asarray(picture)[:, :, 3], rgba[:, :, 3])


def test_an_animation_stays_one_with_its_frames_in_order(
    trained: dict[str, api.Trained], tmp_path: Path, noise: Noise
) -> None:
    frames = [Image.fromarray(noise(i, 16, 16)) for i in range(5)]
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:], duration=70, loop=0, lossless=True)
    translate([tmp_path / "a.webp"], "pix2pix", tmp_path / "out", quality=100)
    with images.opened(tmp_path / "out" / "a.webp") as reader:
        seen = list(reader.frames(3))
    model = load("pix2pix")
    assert len(seen) == 5
    for frame, source in zip(seen, frames, strict=True):
        away = np.abs(frame.pixels.astype(int) - model(np.asarray(source))).mean()
        assert away < 12  # WebP's losses; another frame would be some 40 away
        assert frame.duration == 70


def test_many_pictures_come_back_in_their_order_and_as_themselves(
    trained: dict[str, api.Trained], tmp_path: Path, noise: Noise
) -> None:
    """Reading and writing overlap with the model; nothing may change places."""
    names = [f"{i:02}.png" for i in range(23)]
    fill(tmp_path / "in", noise, *names)
    (tmp_path / "in" / "07.png").write_bytes(b"no picture")
    results = translate([tmp_path / "in"], "pix2pix", tmp_path / "out")
    assert [result.source.name for result in results] == names
    assert [bool(result.error) for result in results] == [name == "07.png" for name in names]
    model = load("pix2pix")
    for result in results:
        if result.target:
            assert np.array_equal(images.read(result.target), model(images.read(result.source)))


# The exported form


@pytest.fixture
def made(trained: dict[str, api.Trained], fresh_home: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Where exported forms were made, in a store of its own that holds `pix2pix`."""
    places: list[Path] = []
    keep = export.keep

    def noted(*told: object) -> Path:
        places.append(keep(*told))  # type: ignore[arg-type]
        return places[-1]

    monkeypatch.setattr(export, "keep", noted)
    store.register(trained["pix2pix"].model, "pix2pix")
    return places


def test_the_exported_form_is_made_once_and_anew_when_it_is_damaged_or_the_model_changes(
    made: list[Path], trained: dict[str, api.Trained], noise: Noise
) -> None:
    picture = noise(0, 17, 18)
    first = load("pix2pix")(picture)
    assert np.array_equal(load("pix2pix")(picture), first)
    assert [place.parent for place in made] == [Path(os.environ["I2I_HOME"]) / "exported"]
    made[0].write_bytes(made[0].read_bytes()[:-1000])
    assert np.array_equal(load("pix2pix")(picture), first)
    assert len(made) == 2
    store.register(trained["cyclegan"].model, "pix2pix")
    assert not made[0].exists()
    assert not np.array_equal(load("pix2pix")(picture), first)
    assert len(made) == 3


def test_a_run_and_its_name_share_one_exported_form(
    made: list[Path], trained: dict[str, api.Trained], noise: Noise
) -> None:
    load("pix2pix")
    load(trained["pix2pix"].run)
    assert len(made) == 1


def test_a_form_that_lies_beside_the_model_is_taken(
    made: list[Path], trained: dict[str, api.Trained], noise: Noise
) -> None:
    load("pix2pix")
    made[0].rename(store.folder() / "pix2pix" / "model.a2b.uint8.onnx")
    load("pix2pix")
    assert len(made) == 1


def test_translating_with_a_model_that_was_exported_before_does_not_import_torch(
    trained: dict[str, api.Trained], tmp_path: Path, noise: Noise
) -> None:
    load("pix2pix")
    fill(tmp_path, noise, "a.png")
    words = ["translate", str(tmp_path / "a.png"), "--model", "pix2pix", "-o", str(tmp_path / "out")]
    code = f"import sys; sys.modules['torch'] = None; sys.argv = ['i2i', *{words!r}]; from i2i.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(images.read(tmp_path / "out" / "a.png"), load("pix2pix")(images.read(tmp_path / "a.png")))


def test_an_exported_file_translates_and_is_scored_by_its_path(
    trained: dict[str, api.Trained], tmp_path: Path, pictures: Path, noise: Noise
) -> None:
    path, report = api.export("cyclegan", tmp_path / "there.onnx", direction="b2a")
    assert report is not None
    assert report.error <= 1e-4
    picture = noise(0, 16, 19)
    assert np.array_equal(load(path)(picture), load("cyclegan", direction="b2a")(picture))
    with pytest.raises(UserError, match="translates b2a, not 'a2b'"):
        load(path, direction="a2b")
    with pytest.raises(UserError, match="--data"):
        i2i.evaluate(path)
    ours, theirs = (i2i.evaluate(each, direction="b2a", data=pictures / "sides") for each in (path, "cyclegan"))
    shared = theirs.rows["model"].keys() & ours.rows["model"].keys()
    assert "kid_efflite0" in shared
    for column in shared:
        assert ours.rows["model"][column][0] == pytest.approx(theirs.rows["model"][column][0], rel=0.02, abs=1e-3)


def test_a_stop_leaves_whole_files_only(
    trained: dict[str, api.Trained], tmp_path: Path, noise: Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "in", noise, *(f"{i}.png" for i in range(9)))
    count = 0

    def stopping(*told: object, **more: object) -> np.ndarray:
        nonlocal count
        count += 1
        if count == 5:
            raise Stopped("Stopped.")
        return run(*told, **more)  # type: ignore[arg-type]

    run = translation.tiles.translate
    monkeypatch.setattr(translation.tiles, "translate", stopping)
    with pytest.raises(Stopped):
        translate([tmp_path / "in"], "pix2pix", tmp_path / "out")
    for path in (tmp_path / "out").iterdir():
        assert path.suffix == ".png"
        images.read(path)

"""Resizing: the pixels that training would make itself, in files of the same kind."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from i2i.data.make.resize import Target, fitted, nearest, resize, smooth
from i2i.errors import UserError
from i2i.images import Kind, opened, read, write, writer
from i2i.images.media import Frame

Scene = Callable[..., np.ndarray]


def saved(path: Path, pixels: np.ndarray, alpha: np.ndarray | None = None, **told: object) -> None:
    kind = Kind("PNG", pixels.shape[1], pixels.shape[0], channels=pixels.shape[2], alpha=alpha is not None, **told)  # type: ignore[arg-type]
    with writer(path, kind) as file:
        file.add(Frame(pixels, alpha))


@pytest.mark.parametrize("size", [(16, 16), (100, 30)])
def test_smooth_is_pillows_bicubic(scene: Scene, size: tuple[int, int]) -> None:
    picture = scene(3, 60, 90)
    theirs = np.asarray(Image.fromarray(picture).resize(size[::-1], Image.Resampling.BICUBIC))
    assert np.abs(smooth(picture, *size).astype(int) - theirs).max() <= 1


def test_sixteen_bits_follow_eight(scene: Scene) -> None:
    picture = scene(4, 60)
    deep = smooth(picture.astype(np.uint16) * 257, 20, 20)
    assert deep.dtype == np.uint16
    assert np.abs(deep / 257 - smooth(picture, 20, 20)).max() <= 2  # which rounds twice
    assert len(np.unique(deep % 257)) > 50  # and are finer


def test_fine_stripes_become_grey_and_not_stripes() -> None:
    stripes = np.zeros((64, 64, 1), np.uint8)
    stripes[:, ::2] = 255
    assert np.ptp(smooth(stripes, 16, 16)[2:-2, 2:-2]) <= 4


@pytest.mark.parametrize(
    ("fit", "expected"),
    [("stretch", (20, 20)), ("shorter", (20, 40)), ("pad", (20, 20)), ("crop", (20, 20))],
)
def test_every_fit_gives_the_size_it_promises(scene: Scene, fit: str, expected: tuple[int, int]) -> None:
    picture = scene(5, 30, 60)
    assert fitted(picture, Target(20, fit)).shape == (*expected, 3)


def test_crop_is_the_centre_and_pad_keeps_all_of_it() -> None:
    picture = np.zeros((10, 20, 1), np.uint8)
    picture[:, 5:15] = 200
    assert (fitted(picture, Target(10, "crop")) == 200).all()
    padded = fitted(picture, Target(20, "pad", fill=7))
    assert (padded[5:15] == picture).all()
    assert (padded[:5] == 7).all()
    assert (padded[15:] == 7).all()
    deep = fitted(picture.astype(np.uint16), Target(20, "pad", fill=7))
    assert (deep[:5] == 7 * 257).all()


def test_the_same_pixels_as_load_and_fit_of_a_recipe(photos: Path, tmp_path: Path, scene: Scene) -> None:
    from i2i.data.augment import resize as training

    picture = scene(6, 50, 70)
    for fit in ("stretch", "shorter"):
        assert (fitted(picture, Target(32, fit)) == training(picture, 32, fit)).all()


def test_nearest_makes_no_new_values(scene: Scene) -> None:
    numbers = np.random.default_rng(0).choice([0, 3, 200], (31, 17, 1)).astype(np.uint8)
    assert set(np.unique(nearest(numbers, 64, 5))) <= {0, 3, 200}
    assert (nearest(numbers, 62, 34) == numbers.repeat(2, axis=0).repeat(2, axis=1)).all()
    ramp = np.arange(9, dtype=np.uint8)
    assert nearest(ramp.reshape(1, 9, 1), 1, 3).ravel().tolist() == [1, 4, 7]  # the middle of three
    assert nearest(ramp.reshape(9, 1, 1), 3, 1).ravel().tolist() == [1, 4, 7]


def test_a_palette_stays_when_a_map_is_resized(tmp_path: Path) -> None:
    numbers = np.arange(64, dtype=np.uint8).reshape(8, 8) % 5
    picture = Image.fromarray(numbers)
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    (tmp_path / "in").mkdir()
    picture.save(tmp_path / "in" / "map.png")
    resize(tmp_path / "in", tmp_path / "out", Target(16, nearest=True))
    with Image.open(tmp_path / "out" / "map.png") as result:
        assert result.mode == "P"
        assert (np.asarray(result) == numbers.repeat(2, axis=0).repeat(2, axis=1)).all()
        assert result.getpalette()[3:6] == [255, 0, 0]  # type: ignore[index]


def test_names_formats_depths_and_alpha_stay(tmp_path: Path, scene: Scene) -> None:
    root, out = tmp_path / "in", tmp_path / "out"
    write(root / "train" / "a.jpg", scene(1))
    saved(root / "train" / "deep.png", scene(2).astype(np.uint16) * 257, bits=16)
    saved(root / "b" / "clear.png", scene(3), scene(4)[:, :, 0])
    saved(root / "seven.tif", np.dstack([scene(5), scene(6), scene(7)[:, :, :1]]))
    made = resize(root, out, Target(24))
    assert made.skipped == ()
    for path in ("train/a.jpg", "train/deep.png", "b/clear.png", "seven.tif"):
        before, after = opened(root / path).kind, opened(out / path).kind
        assert (after.format, after.channels, after.alpha, after.bits) == (
            before.format,
            before.channels,
            before.alpha,
            before.bits,
        )
        assert (after.width, after.height) == (24, 24)


def test_nothing_bleeds_from_under_transparency(tmp_path: Path) -> None:
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:, :16] = (0, 0, 255)
    pixels[:, 16:] = (255, 0, 0)  # red that nobody can see
    alpha = np.where(np.arange(32) < 16, 255, 0).astype(np.uint8)[None].repeat(32, axis=0)
    (tmp_path / "in").mkdir()
    Image.fromarray(np.dstack([pixels, alpha])).save(tmp_path / "in" / "x.png")
    resize(tmp_path / "in", tmp_path / "out", Target(8))
    result = np.asarray(Image.open(tmp_path / "out" / "x.png")).astype(int)
    seen = result[result[:, :, 3] > 40]
    assert (seen[:, 0] < 20).all()
    assert (seen[:, 2] > 200).all()


def test_all_frames_of_an_animation_are_resized(tmp_path: Path, scene: Scene) -> None:
    (tmp_path / "in").mkdir()
    first, *others = (Image.fromarray(scene(key)) for key in range(3))
    first.save(tmp_path / "in" / "x.webp", save_all=True, append_images=others, duration=100, lossless=True)
    resize(tmp_path / "in", tmp_path / "out", Target(10))
    assert opened(tmp_path / "out" / "x.webp").kind.frames == 3
    assert read(tmp_path / "out" / "x.webp").shape == (10, 10, 3)


def test_a_thin_strip_does_not_become_a_giant(tmp_path: Path) -> None:
    write(tmp_path / "in" / "x.png", np.zeros((1, 4000, 3), np.uint8))
    made = resize(tmp_path / "in", tmp_path / "out", Target(8192, "shorter"))
    assert "more than" in made.skipped[0][1]


def test_settings_that_make_no_sense_are_refused() -> None:
    for told in ({"size": 0}, {"size": 8, "fit": "squeeze"}, {"size": 8, "fill": 300}):
        with pytest.raises(UserError, match="expected a size"):
            Target(**told)  # type: ignore[arg-type]

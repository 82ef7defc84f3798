"""Frames of videos: the right ones, under the number they have in the video."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from i2i.data import Data, open_split
from i2i.data.make.frames import Choice, frames, taking
from i2i.errors import UserError
from i2i.images import Kind, read, writer
from i2i.images.media import Frame

pytest.importorskip("av")

Scene = Callable[..., np.ndarray]


def still(key: int, scene: Scene, count: int) -> Iterator[Frame]:
    """A scene that brightens slowly, 25 frames a second."""
    for i in range(count):
        yield Frame(np.clip(scene(key, 64).astype(int) // 2 + i, 0, 255).astype(np.uint8), duration=40)


def film(path: Path, scene: Scene) -> None:
    """Three scenes of 20 frames."""
    with writer(path, Kind("MP4", 64, 64, frames=None, fps=25.0, info={"period": 1 / 25})) as file:
        for key in (1, 2, 3):
            for frame in still(key, scene, 20):
                file.add(frame)


def numbers(choice: Choice, *parts: Iterator[Frame]) -> list[int]:
    return [number for number, _ in taking((frame for part in parts for frame in part), choice)]


def test_every_so_many_and_so_many_a_second(scene: Scene) -> None:
    assert numbers(Choice(every=7), still(1, scene, 30)) == [0, 7, 14, 21, 28]
    assert numbers(Choice(fps=5), still(1, scene, 26)) == [0, 5, 10, 15, 20, 25]
    assert numbers(Choice(fps=1000), still(1, scene, 5)) == [0, 1, 2, 3, 4]
    uneven = [Frame(scene(1), duration=ms) for ms in (10, 900, 90, 500, 500, 1)]
    assert numbers(Choice(fps=2), iter(uneven)) == [0, 2, 3, 4, 5]
    late = [Frame(scene(1), duration=ms) for ms in (1000, 10, 10, 10, 100, 1)]
    assert numbers(Choice(fps=10), iter(late)) == [0, 1, 5]  # what was missed is not made up for


def test_from_and_until(scene: Scene) -> None:
    assert numbers(Choice(first=0.4, last=0.6), still(1, scene, 30)) == [10, 11, 12, 13, 14]
    assert numbers(Choice(fps=5, first=0.5), still(1, scene, 26)) == [13, 18, 23]


def test_one_frame_of_each_scene(scene: Scene) -> None:
    parts = [still(key, scene, 20) for key in (1, 2, 3)]
    assert numbers(Choice(scenes=True), *parts) == [0, 20, 40]
    assert numbers(Choice(scenes=True, first=0.2), *(still(key, scene, 20) for key in (1, 2))) == [5, 20]


def test_a_flash_is_no_scene(scene: Scene) -> None:
    flash = Frame(np.full((64, 64, 3), 255, np.uint8), duration=40)
    parts = [still(1, scene, 20), iter([flash]), still(1, scene, 20)]
    assert len(numbers(Choice(scenes=True), *parts)) <= 2


def test_frames_like_the_last_one_are_left_out(scene: Scene) -> None:
    parts = [still(key, scene, 10) for key in (1, 2, 1)]
    assert numbers(Choice(distinct=True), *parts) == [0, 10, 20]


def test_frames_of_a_video_are_pictures_to_train_on(tmp_path: Path, scene: Scene, spec: Callable[..., Data]) -> None:
    film(tmp_path / "walk.mp4", scene)
    made = frames([tmp_path / "walk.mp4"], tmp_path / "out", Choice(every=10))
    assert (made.sources, made.files, made.skipped) == (1, 6, ())
    found = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert found == [f"walk_{number:06}.png" for number in range(0, 60, 10)]
    expected = scene(2, 64).astype(int) // 2
    assert np.abs(read(tmp_path / "out" / "walk_000020.png").astype(int) - expected).mean() < 4
    assert (
        len(open_split(spec(layout="unlabelled", root=tmp_path / "out", crop=8, split={"val": 0, "test": 0}), "train"))
        == 6
    )


def test_a_video_that_is_cut_short_gives_what_it_has(tmp_path: Path, scene: Scene) -> None:
    film(tmp_path / "walk.mkv", scene)
    content = (tmp_path / "walk.mkv").read_bytes()
    (tmp_path / "walk.mkv").write_bytes(content[: len(content) * 2 // 3])
    made = frames([tmp_path], tmp_path / "out")
    assert len(made.skipped) == 1
    assert f"({made.files:,} frames were written)" in made.skipped[0][1]
    assert 5 < made.files < 60


def test_animations_of_a_folder_and_names_that_clash(tmp_path: Path, scene: Scene) -> None:
    first, *others = (Image.fromarray(scene(key)) for key in range(4))
    first.save(tmp_path / "x.gif", save_all=True, append_images=others, duration=50)
    assert frames([tmp_path], tmp_path / "out", Choice(every=2), suffix=".jpg").files == 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["x_000000.jpg", "x_000002.jpg"]
    first.save(tmp_path / "x.webp", save_all=True, append_images=others, duration=50)
    with pytest.raises(UserError, match="one name, 'x'"):
        frames([tmp_path / "x.gif", tmp_path / "x.webp"], tmp_path / "p")


def test_choices_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    for told in ({"every": 0}, {"fps": 0.0}, {"every": 2, "fps": 1.0}, {"first": 2.0, "last": 1.0}):
        with pytest.raises(UserError):
            Choice(**told)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no file or folder"):
        frames([tmp_path / "nothing.mp4"], tmp_path / "out")
    with pytest.raises(UserError, match="no videos"):
        frames([tmp_path], tmp_path / "out")
    with pytest.raises(UserError, match=r"not '\.tga'"):
        frames([tmp_path], tmp_path / "out", suffix=".tga")

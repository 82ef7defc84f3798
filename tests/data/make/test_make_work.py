"""What all makers share: nothing is lost, nothing is half, and what was skipped is said."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from i2i.data.crew import each
from i2i.data.drawing import Hand
from i2i.data.make.damage import Damage
from i2i.data.make.degrade import degrade
from i2i.data.make.places import carried, items, seed_of, sides
from i2i.data.make.places import photos as photos_of
from i2i.data.make.resize import Target, resize
from i2i.data.make.sketches import sketches
from i2i.data.make.split import split
from i2i.data.make.tiles import Grid, tiles
from i2i.data.make.work import Made, fresh, pictures, run
from i2i.errors import UserError
from i2i.images import write

Tree = Callable[[Path], dict[str, bytes]]


def test_a_folder_that_holds_something_is_not_written_into(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("precious")
    with pytest.raises(UserError, match="not empty"):
        resize(photos, tmp_path / "out", Target(8))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]
    resize(photos, tmp_path / "out", Target(8), force=True)
    assert (tmp_path / "out" / "mine.txt").read_text() == "precious"


def test_results_never_go_where_the_pictures_are(photos: Path, tmp_path: Path) -> None:
    for force in (False, True):
        with pytest.raises(UserError, match="read from"):
            fresh(photos / "..", force, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file"):
        fresh(tmp_path / "file", True)


def test_results_below_the_pictures_are_not_taken_for_pictures(photos: Path) -> None:
    resize(photos, photos / "small", Target(8))
    again = resize(photos, photos / "small", Target(8), force=True)
    assert again.sources == 6
    assert len(pictures(photos)) == 12


def test_unreadable_pictures_are_told_and_the_others_made(photos: Path, tmp_path: Path, tree: Tree) -> None:
    (photos / "train" / "broken.png").write_bytes((photos / "train" / "a.png").read_bytes()[:100])
    (photos / "train" / "empty.jpg").write_bytes(b"")
    made = resize(photos, tmp_path / "out", Target(8))
    assert [path.name for path, _ in made.skipped] == ["broken.png", "empty.jpg"]
    assert all(str(path) not in why for path, why in made.skipped)
    assert (made.sources, made.files) == (6, 6)
    assert len(tree(tmp_path / "out")) == 6  # no half file, and nothing temporary
    assert "2 skipped" in made.line()


def test_an_error_of_the_disk_ends_the_work(tmp_path: Path) -> None:
    def full(number: int) -> int:
        if number == 3:
            raise OSError(28, "No space left on device")
        return 1

    with pytest.raises(OSError, match="No space"):
        run("working", range(1000), full, lambda number: Path(str(number)), tmp_path)


def test_results_come_in_order_from_several_threads_with_few_waiting() -> None:
    threads, ahead, done = set(), [], [0]

    def jobs() -> object:
        for number in range(60):
            ahead.append(number - done[0])
            yield number

    def work(number: int) -> int:
        threads.add(threading.get_ident())
        return number * number

    for number, result in each("squares", jobs(), work):  # type: ignore[arg-type]
        assert result == number * number
        done[0] = number
    assert done[0] == 59
    assert max(ahead) < 40  # memory does not grow with the number of pictures


def test_hidden_files_and_folders_are_no_pictures(tmp_path: Path) -> None:
    for name in ("._a.png", ".cache/b.png", "c.txt", "d.PNG", "e/f.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    assert [path.name for path in pictures(tmp_path)] == ["d.PNG", "f.png"]
    with pytest.raises(UserError, match="no such folder"):
        pictures(tmp_path / "nowhere")


@pytest.mark.parametrize("pattern", ["{split}{side}", "{split}/{side}", "{side}/{split}"])
def test_sides_and_conditions_are_found_wherever_they_may_be(tmp_path: Path, pattern: str) -> None:
    for part in ("train", "test"):
        for side in ("A", "B", "mask"):
            write(tmp_path / pattern.format(split=part, side=side) / "1.png", np.zeros((4, 4, 3), np.uint8))
    (tmp_path / "notes").mkdir()
    found = sides(tmp_path)
    assert {part: sorted(places) for part, places in found.items()} == {
        "train": ["A", "B", "mask"],
        "test": ["A", "B", "mask"],
    }
    assert [(item.split, item.name) for item in items(found)] == [("train", "1"), ("test", "1")]


def test_folders_that_only_begin_like_a_split_are_no_conditions(tmp_path: Path) -> None:
    for name in ("trainA", "trainB", "training", "trained", "trainmask", "train_depth"):
        for i in range(4):
            write(tmp_path / name / f"{'x' if name == 'training' else ''}{i}.png", np.zeros((4, 4, 3), np.uint8))
    for i in range(2, 4):
        (tmp_path / "trained" / f"{i}.png").unlink()
    (tmp_path / "trainmask" / "3.png").unlink()
    assert sorted(sides(tmp_path)["train"]) == ["A", "B", "depth", "mask"]
    with pytest.raises(UserError, match="trainmask: 3"):
        items(sides(tmp_path))


def test_a_picture_without_a_partner_is_named(tmp_path: Path) -> None:
    write(tmp_path / "trainA" / "1.png", np.zeros((4, 4, 3), np.uint8))
    write(tmp_path / "trainA" / "2.png", np.zeros((4, 4, 3), np.uint8))
    write(tmp_path / "trainB" / "1.png", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(UserError, match=r"1 pictures .*trainB: 2\."):
        items(sides(tmp_path))


def test_photos_keep_their_split_and_two_of_one_name_are_refused(photos: Path) -> None:
    assert [(photo.split, photo.name, photo.flat) for photo in photos_of(photos)] == [
        ("train", "a", "a"),
        ("train", "b", "b"),
        ("train", "c", "c"),
        ("train", "cats/d", "cats_d"),
        ("test", "e", "e"),
        ("test", "f", "f"),
    ]
    write(photos / "train" / "cats_d.png", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(UserError, match="one name, 'cats_d'"):
        photos_of(photos)


def test_pairs_are_not_taken_for_photos(tmp_path: Path) -> None:
    for side in "AB":
        write(tmp_path / f"train{side}" / "1.png", np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(UserError, match="trainB say"):
        photos_of(tmp_path)


def test_files_are_carried_byte_for_byte_and_links_take_no_disk(photos: Path, tmp_path: Path) -> None:
    source = photos / "train" / "b.jpg"
    carried(source, tmp_path / "o" / "copy.jpg", False)
    carried(source, tmp_path / "o" / "link.jpg", False, link=True)
    assert (tmp_path / "o" / "copy.jpg").read_bytes() == source.read_bytes()
    assert (tmp_path / "o" / "link.jpg").samefile(source)
    assert not (tmp_path / "o" / "copy.jpg").samefile(source)
    carried(source, tmp_path / "o" / "link.jpg", True, link=True)
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == ["copy.jpg", "link.jpg"]
    with pytest.raises(UserError, match="exists already"):
        carried(photos / "train" / "a.png", tmp_path / "o" / "copy.jpg", False)
    with pytest.raises(UserError, match="file that is read"):
        carried(source, source.parent / ".." / "train" / "b.jpg", True, link=True)
    assert source.read_bytes() == (tmp_path / "o" / "copy.jpg").read_bytes()


def test_a_seed_of_its_own_for_every_name() -> None:
    assert seed_of(0, "a") == seed_of(0, "a")
    assert len({seed_of(seed, name) for seed in range(20) for name in "abc"}) == 60
    assert 0 <= seed_of(0, "a") < 2**63


def test_the_summary_says_it_in_one_line() -> None:
    assert Made(Path("out"), 1, 1200, (), 2.0).line() == "1 picture → 1,200 files in out (2.0 s)"


def test_every_kind_of_file_is_worked_on_or_told(tmp_path: Path, tree: Tree) -> None:
    rng = np.random.default_rng(0)
    root = tmp_path / "in"
    root.mkdir()
    write(root / "one.png", np.zeros((1, 1, 3), np.uint8))
    np.save(root / "numbers.npy", rng.integers(0, 9, (9, 9), dtype=np.uint8))
    np.save(root / "five.npy", rng.integers(0, 256, (9, 9, 5), dtype=np.uint8))
    tifffile.imwrite(root / "float.tif", rng.random((9, 9, 3), np.float32), photometric="rgb")
    tifffile.imwrite(root / "two.tif", rng.integers(0, 65536, (9, 9, 2)).astype(np.uint16), planarconfig="contig")
    indexed = Image.fromarray(rng.integers(0, 3, (9, 9), dtype=np.uint8))
    indexed.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    for suffix in ("tif", "bmp", "gif"):
        indexed.save(root / f"indexed_{suffix}.{suffix}")
    skipped = {
        "smooth": resize(root, tmp_path / "smooth", Target(5, "pad")).skipped,
        "canny": sketches(root, tmp_path / "canny", Hand()).skipped,
        "soft": sketches(root, tmp_path / "soft", Hand("soft", thickness=2, jitter=1, breaks=0.1)).skipped,
        "tiles": tiles(root, tmp_path / "tiles", Grid(4, rest="keep")).skipped,
        "degrade": degrade(root, tmp_path / "degrade", [Damage.parse("blur"), Damage.parse("mask")]).skipped,
        "split": split(root, tmp_path / "split").skipped,
    }
    named = {maker: sorted(path.name for path, _ in some) for maker, some in skipped.items()}
    assert named == {
        "smooth": [],
        "canny": ["five.npy", "two.tif"],
        "soft": ["five.npy", "two.tif"],
        "tiles": [],
        "degrade": [],
        "split": [],
    }
    assert not [name for name in tree(tmp_path) if "tmp" in name]
    (root / "five.npy").unlink()
    maps = resize(root, tmp_path / "maps", Target(5, nearest=True))
    assert [path.name for path, _ in maps.skipped] == ["float.tif"]

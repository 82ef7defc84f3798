"""Folders of photos → pairs of drawings and photos."""

from collections.abc import Callable
from pathlib import Path

from i2i.data import Data, open_split
from i2i.data.drawing import Hand
from i2i.data.make.sketches import sketches
from i2i.images import read

Tree = Callable[[Path], dict[str, bytes]]


def test_pairs_are_ready_to_train_on(photos: Path, tmp_path: Path, spec: Callable[..., Data]) -> None:
    made = sketches(photos, tmp_path / "out", Hand("xdog"))
    assert (made.sources, made.files, made.skipped) == (6, 12, ())
    data = spec(layout="paired", root=tmp_path / "out", crop=32, split={"val": 0})
    train = open_split(data, "train")
    assert [Path(str(path)).name for path in train.files[1]] == ["a.png", "b.jpg", "c.png", "cats_d.png"]
    assert len(open_split(data, "test")) == 2
    assert (tmp_path / "out" / "trainB" / "b.jpg").read_bytes() == (photos / "train" / "b.jpg").read_bytes()
    for a, b in zip(*train.files, strict=True):
        assert read(Path(str(a))).shape == read(Path(str(b))).shape


def test_a_drawing_depends_on_its_photo_name_and_seed_alone(photos: Path, tmp_path: Path, tree: Tree) -> None:
    hand = Hand("canny", thickness=1, jitter=2, breaks=0.3)
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        sketches(photos, tmp_path / name, hand, seed=seed)
    (photos / "train" / "a.png").unlink()
    sketches(photos, tmp_path / "fewer", hand)
    one, same, other, fewer = (tree(tmp_path / name) for name in ("one", "same", "other", "fewer"))
    assert one == same
    assert all(one[name] == content for name, content in fewer.items())
    assert all(one[name] != other[name] for name in one if name.startswith("trainA"))
    (photos / "train" / "twin.png").write_bytes((photos / "train" / "c.png").read_bytes())
    sketches(photos, tmp_path / "twins", hand)
    twins = tree(tmp_path / "twins")
    assert twins["trainB/twin.png"] == twins["trainB/c.png"]
    assert twins["trainA/twin.png"] != twins["trainA/c.png"]

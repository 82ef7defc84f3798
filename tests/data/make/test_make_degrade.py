"""Damage with known amounts, drawn by key, and pairs for restoration."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from i2i.data import Data, open_split
from i2i.data.make.damage import KINDS, Damage, damaged, holes
from i2i.data.make.degrade import degrade
from i2i.data.make.pixels import plain, put
from i2i.data.make.resize import smooth
from i2i.errors import UserError
from i2i.images import opened, read

Scene = Callable[..., np.ndarray]
Tree = Callable[[Path], dict[str, bytes]]


def done(pixels: np.ndarray, *texts: str, seed: int = 0) -> np.ndarray:
    return damaged(pixels, [Damage.parse(text) for text in texts], np.random.default_rng(seed))[0]


def test_grey_is_pillows_luma(scene: Scene) -> None:
    picture = scene(0)
    assert (done(picture, "grey")[:, :, 0] == np.asarray(Image.fromarray(picture).convert("L"))).all()


def test_noise_has_the_deviation_it_was_asked_for() -> None:
    for dtype, scale in ((np.uint8, 1), (np.uint16, 257)):
        noisy = done(np.full((200, 200, 3), 128 * scale, dtype), "noise:12")
        assert noisy.dtype == dtype
        assert 11.5 < (noisy / scale).std() < 12.5
        assert abs((noisy / scale).mean() - 128) < 0.3
        assert abs(np.corrcoef(noisy[:, :, 0].ravel(), noisy[:, :, 1].ravel())[0, 1]) < 0.03


def test_blur_spreads_a_point_by_its_sigma() -> None:
    point = np.zeros((61, 61, 1), np.uint16)
    point[30, 30] = 65535
    spread = done(point, "blur:3")[:, :, 0].astype(float)
    distance = (np.arange(61) - 30) ** 2
    assert abs(np.sqrt((spread.sum(axis=0) * distance).sum() / spread.sum()) - 3) < 0.1


def test_lowres_holds_no_more_than_the_small_picture(scene: Scene) -> None:
    picture = scene(1, 64)
    small = smooth(picture, 16, 16)
    assert (done(picture, "lowres:4") == smooth(small, 64, 64)).all()
    assert done(scene(1, 30, 50), "lowres:4").shape == (30, 50, 3)


def test_jpeg_is_pillows_at_that_quality(scene: Scene) -> None:
    picture = scene(2)
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=20)
    assert (done(picture, "jpeg:20") == np.asarray(Image.open(file))).all()
    with pytest.raises(UserError, match="8 bits"):
        done(picture.astype(np.uint16), "jpeg")


@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.9])
def test_holes_cover_exactly_their_share(share: float) -> None:
    for seed in range(3):
        mask = holes(90, 120, share, np.random.default_rng(seed))
        assert mask.shape == (90, 120, 1)
        assert np.count_nonzero(mask == 255) == round(share * 90 * 120)
        assert np.count_nonzero((mask != 0) & (mask != 255)) == 0


def test_holes_are_grey_and_all_else_is_untouched(scene: Scene) -> None:
    for picture, grey in ((scene(3), 128), (scene(3).astype(np.uint16) * 257, 128 * 257)):
        worse, mask = damaged(picture, [Damage.parse("mask:0.4")], np.random.default_rng(0))
        assert mask is not None
        assert (worse[mask[:, :, 0] > 0] == grey).all()
        assert (worse[mask[:, :, 0] == 0] == picture[mask[:, :, 0] == 0]).all()


def test_damages_follow_each_other_in_their_order(scene: Scene) -> None:
    picture = scene(4)
    assert (done(done(picture, "blur:2"), "jpeg:30") == done(picture, "blur:2", "jpeg:30")).all()
    assert (done(picture, "blur:2", "jpeg:30") != done(picture, "jpeg:30", "blur:2")).any()


def test_amounts_are_drawn_from_their_range() -> None:
    grey = np.full((80, 80, 1), 128, np.uint8)
    deviations = [done(grey, "noise:5:40", seed=seed).std() for seed in range(40)]
    assert 4 < min(deviations) < 12
    assert 33 < max(deviations) < 41


@pytest.mark.parametrize(
    ("text", "told"),
    [("blr", "Did you mean blur"), ("blur:x", "LOW:HIGH"), ("blur:3:1", "smaller first"), ("blur:1:2:3", "LOW:HIGH"),
     ("jpeg:200", "from 1 to 95"), ("grey:3", "no amount"), ("noise:nan", "from 0 to 255")],
)  # fmt: skip
def test_amounts_that_make_no_sense_are_refused(text: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        Damage.parse(text)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_pairs_of_every_kind_are_ready_to_train_on(
    photos: Path, tmp_path: Path, spec: Callable[..., Data], kind: str
) -> None:
    made = degrade(photos, tmp_path / "out", [Damage.parse(kind)])
    assert made.skipped == ()
    more = {"condition": ["mask"]} if kind == "mask" else {}
    data = spec(layout="paired", root=tmp_path / "out", crop=32, split={"val": 0}, **more)
    train = open_split(data, "train")
    assert len(train) == 4
    for files in zip(*train.files, strict=True):
        assert len({read(Path(str(path))).shape for path in files}) == 1
    assert (tmp_path / "out" / "trainB" / "b.jpg").read_bytes() == (photos / "train" / "b.jpg").read_bytes()
    if kind == "mask":
        assert set(np.unique(read(tmp_path / "out" / "testmask" / "e.png", 1))) == {0, 255}


def test_depth_and_channels_stay(tmp_path: Path, scene: Scene) -> None:
    deep = scene(5).astype(np.uint16) * 257
    seven = np.dstack([scene(6), scene(7), scene(8)[:, :, :1]])
    put(tmp_path / "in" / "deep.png", deep, plain(deep), False)
    put(tmp_path / "in" / "seven.tif", seven, plain(seven), False)
    made = degrade(tmp_path / "in", tmp_path / "out", [Damage.parse("blur"), Damage.parse("noise")])
    assert made.skipped == ()
    assert opened(tmp_path / "out" / "trainA" / "deep.png").kind.bits == 16
    assert opened(tmp_path / "out" / "trainA" / "seven.tif").kind.channels == 7


def test_what_happens_depends_on_name_and_seed_alone(photos: Path, tmp_path: Path, tree: Tree) -> None:
    kinds = [Damage.parse(text) for text in ("noise", "mask")]
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        degrade(photos, tmp_path / name, kinds, seed=seed)
    (photos / "train" / "a.png").unlink()
    degrade(photos, tmp_path / "fewer", kinds)
    one, same, other, fewer = (tree(tmp_path / name) for name in ("one", "same", "other", "fewer"))
    assert one == same
    assert all(one[name] == content for name, content in fewer.items())
    assert all(one[name] != other[name] for name in one if "B/" not in name)
    (photos / "train" / "twin.png").write_bytes((photos / "train" / "c.png").read_bytes())
    degrade(photos, tmp_path / "twins", kinds)
    twins = tree(tmp_path / "twins")
    assert twins["trainB/twin.png"] == twins["trainB/c.png"]
    assert twins["trainA/twin.png"] != twins["trainA/c.png"]


def test_one_mask_and_at_least_one_damage(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="at least one"):
        degrade(photos, tmp_path / "out", [])
    with pytest.raises(UserError, match="mask once"):
        degrade(photos, tmp_path / "out", [Damage.parse("mask")] * 2)

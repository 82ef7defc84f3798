"""Sketches drawn while training: the same drawing for the same key, another in each epoch, fixed ones in tests."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import cv2
import numpy as np
import pytest
import torch
from pydantic import ValidationError

from i2i import api, recipe, store
from i2i.data import Batches, Data, drawing, fixed, in_order
from i2i.data.check import quick
from i2i.data.drawing import HANDS, STYLES, Hand, drawn, with_sketch
from i2i.data.marker import marker
from i2i.data.spec import Style
from i2i.errors import UserError
from i2i.images import write

Make = Callable[..., Data]
ALL = [*STYLES, "hand"]
PHOTOS = 6


def photo(key: int, size: int = 24) -> np.ndarray:
    """Smooth blobs, uint8 size size 3, of which every style makes some lines."""
    noise = np.random.default_rng(key).standard_normal((size, size, 3)).astype(np.float32)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2.5), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for split, first in (("train", 0), ("val", 100), ("test", 200)):
        for i in range(PHOTOS if split == "train" else 3):
            write(folder / split / f"{i}.png", photo(first + i))
    return folder


@pytest.fixture
def sketched(photos: Path, spec: Make) -> Make:
    """sketched(styles=..., **data): the data of a recipe that derives sketches from the photos."""

    def told(styles: Any = ALL, derive: dict[str, Any] | None = None, **more: Any) -> Data:
        a = {"kind": "sketches", "styles": styles, **(derive or {})}
        data = {"layout": "paired", "root": photos, "derive": {"a": a}, "channels": {"a": 1, "b": 3}, "crop": 16}
        return spec(**data | {"workers": 0, "cache": "off"} | more)

    return told


def taken(data: Data, first: int, last: int, **more: Any) -> list[tuple[torch.Tensor, torch.Tensor]]:
    batches = Batches(data, batch=4, position=first, **more)
    try:
        return [next(batches) for _ in range(last - first)]
    finally:
        batches.close()


def equal(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(x, y) for these, those in zip(one, other, strict=True) for x, y in zip(these, those, strict=True)
    )


def test_a_batch_is_a_drawing_and_its_photo(sketched: Make) -> None:
    ((a, b),) = taken(sketched(flip=False, crop=24, styles=["canny"], derive={**PLAIN, "detail": [1, 1]}), 0, 1)
    assert a.shape == (4, 1, 24, 24)
    assert b.shape == (4, 3, 24, 24)
    for lines, light in zip(a, b, strict=True):
        seen = ((light.permute(1, 2, 0) + 1) * 127.5).round().byte().numpy()
        expected = drawn(seen, Hand("canny"), np.random.default_rng(0))[:, :, 0]
        assert torch.equal(lines[0], torch.from_numpy(expected).float() / 127.5 - 1)


PLAIN = {"thickness": [0, 0], "jitter": [0, 0], "breaks": [0, 0]}


def test_a_resumed_stream_draws_what_the_uninterrupted_one_drew(sketched: Make) -> None:
    whole = taken(sketched(), 0, 5, seed=3)  # several epochs
    for position in range(1, 5):
        assert equal(taken(sketched(), position, 5, seed=3), whole[position:])


def test_drawings_hang_neither_on_workers_nor_on_ranks_nor_on_the_cache(sketched: Make) -> None:
    whole = taken(sketched(), 0, 3)
    assert equal(taken(sketched(workers=2), 0, 3), whole)
    for _ in range(2):  # filled, then read
        assert equal(taken(sketched(cache="auto"), 0, 3), whole)
    ranks = [taken(sketched(), 0, 3, rank=rank, world=2) for rank in (0, 1)]
    joined = [tuple(torch.cat(sides) for sides in zip(*both, strict=True)) for both in zip(*ranks, strict=True)]
    assert equal(joined, whole)


def test_each_epoch_and_seed_draws_anew_and_global_randomness_has_no_say(sketched: Make) -> None:
    one = sketched(flip=False, crop=24)
    first, second = taken(one, 0, 1)[0], taken(one, 0, 1, seed=1)[0]
    assert not torch.equal(first[0], second[0])
    by_photo: dict[bytes, set[bytes]] = {}
    for a, b in taken(one, 0, 6):  # four epochs of six photos
        for lines, light in zip(a, b, strict=True):
            by_photo.setdefault(light.numpy().tobytes(), set()).add(lines.numpy().tobytes())
    assert [len(drawings) for drawings in by_photo.values()] == [4] * PHOTOS
    np.random.seed(1)
    torch.manual_seed(1)
    cv2.setRNGSeed(1)
    state = torch.get_rng_state()
    assert equal(taken(one, 0, 1), [first])
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("split", ["val", "test"])
def test_drawings_of_tests_are_always_the_same(split: str, sketched: Make) -> None:
    once = [torch.cat(side) for side in zip(*in_order(sketched(), split, 2), strict=True)]
    again = [torch.cat(side) for side in zip(*in_order(sketched(workers=2), split, 3), strict=True)]
    assert equal([once], [again])
    assert equal([fixed(sketched(), split, 3)], [once])
    assert len({lines.numpy().tobytes() for lines in once[0]}) == 3


def test_every_style_is_drawn_and_the_spans_are_kept(sketched: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    hands: list[Hand] = []
    monkeypatch.setattr(drawing, "drawn", lambda photo, hand, rng: hands.append(hand) or photo)
    told = sketched(derive={"detail": [0.5, 2], "thickness": [1, 3], "jitter": [0.25, 0.5], "breaks": [0.1, 0.3]})
    for i in range(600):
        with_sketch([photo(0)], told, np.random.default_rng(i))
    counts = {style: sum(hand.style == style for hand in hands) for style in ALL}
    assert min(counts.values()) > 600 / len(ALL) * 0.7
    assert {hand.thickness for hand in hands} == {1, 2, 3}
    for name, low, high in (("detail", 0.5, 2), ("jitter", 0.25, 0.5), ("breaks", 0.1, 0.3)):
        values = [getattr(hand, name) for hand in hands]
        assert low <= min(values) < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < max(values) <= high


@pytest.mark.parametrize("style", [*STYLES, *HANDS])
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (1, 9), (7, 201), (33, 65)])
def test_pictures_of_every_size_and_depth_are_drawn(shape: tuple[int, int], style: str) -> None:
    deep = np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint16) * 257
    draw = HANDS.get(style) or (lambda photo, detail, rng: STYLES[style](photo, detail))
    lines = draw((deep // 257).astype(np.uint8), 1.3, np.random.default_rng(1))
    assert (lines.shape, lines.dtype) == (shape, np.uint8)
    if style in get_args(Style):
        hand = Hand(style, 1.3, 1, 1.0, 0.2)
        lines = drawn(deep, hand, np.random.default_rng(1))
        assert (lines == drawn((deep // 257).astype(np.uint8), hand, np.random.default_rng(1))).all()


def test_grey_deep_and_three_channel_sketches_are_batches_of_their_own_kind(
    sketched: Make, photos: Path, tmp_path: Path
) -> None:
    ((a, b),) = taken(sketched(channels={"a": 3, "b": 3}), 0, 1)
    assert torch.equal(a, a[:, :1].expand(-1, 3, -1, -1))
    ((same, _),) = taken(sketched(), 0, 1)
    assert torch.equal(a[:, :1], same)
    ((a, b),) = taken(sketched(channels={"a": 1, "b": 1}), 0, 1)
    assert (a.shape, b.shape) == ((4, 1, 16, 16),) * 2
    ((deep, light),) = taken(sketched(bits=16), 0, 1)  # of photos of 8 bits: the same drawings
    assert torch.equal(deep, same)
    assert -1 <= light.min() < light.max() <= 1


def test_photos_are_drawn_after_they_are_augmented(sketched: Make) -> None:
    whole = {"flip": False, "crop": 24, "styles": ["canny"], "derive": {**PLAIN, "detail": [1, 1]}}
    ((a, b),) = taken(sketched(augment=[{"HorizontalFlip": {"p": 1.0}}], **whole), 0, 1)
    ((plain, light),) = taken(sketched(**whole), 0, 1)
    assert torch.equal(b.flip(3), light)
    assert (a.flip(3) != plain).float().mean() < 0.1  # Canny's ties fall to one side


def test_shards_and_mixtures_are_drawn_too(sketched: Make, photos: Path, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "train-000000.tar", "w") as tar:
        for i in range(4):
            content = (photos / "train" / f"{i}.png").read_bytes()
            member = tarfile.TarInfo(f"{i:06}.png")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    ((a, b),) = taken(sketched(root=None, shards=str(tmp_path), split={"val": 0, "test": 0}), 0, 1)
    assert (a.shape[1], b.shape[1]) == (1, 3)
    both = [{"root": str(photos)}, {"root": str(photos), "ratio": 2}]
    ((a, b),) = taken(sketched(root=None, mix=both), 0, 1)
    assert (a.shape[1], b.shape[1]) == (1, 3)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"condition": ["mask"]}, "without conditions"),
        ({"channels": {"a": 2, "b": 3}}, "channels are 1 or 3"),
        ({"channels": {"a": 1, "b": 4}}, "channels are 1 or 3"),
        ({"direction": "b2a"}, "leave `direction` out"),
        ({"styles": ["cany"]}, "canny"),
        ({"styles": []}, "at least 1"),
        ({"derive": {"detail": [0, 1]}}, "above 0"),
        ({"derive": {"jitter": [2, 1]}}, "0 <= low <= high"),
        ({"derive": {"breaks": [0, 1]}}, "below 1"),
    ],
)
def test_what_cannot_be_sketched_is_refused(more: dict[str, Any], message: str, sketched: Make) -> None:
    with pytest.raises(ValidationError, match=message):
        sketched(**more)


def test_photos_that_are_drawn_are_not_augmented_afterwards(sketched: Make) -> None:
    with pytest.raises(UserError, match=r"Use data\.augment"):
        taken(sketched(augment_batch=["RandomHorizontalFlip"]), 0, 1)


def test_a_model_of_sketches_is_checked_trained_and_scored_on_a_folder_of_photos(
    tiny: Callable[..., dict[str, Any]], photos: Path, tmp_path: Path, fresh_home: Path
) -> None:
    data = {"layout": "paired", "root": str(photos), "crop": 16, "channels": {"a": 1, "b": 3}}
    told = tiny("pix2pix", data=data | {"derive": {"a": {"kind": "sketches", "styles": ["hand"]}}})
    settings: Any = recipe.build(told, "test")
    assert not [finding for finding in quick(settings.data) if "error" in str(finding)]
    done = api.train(settings, run=tmp_path / "run", name="sketch")
    scores = api.evaluate(done.model, data=photos / "test", device="cpu")
    assert scores.sizes
    assert api.evaluate(done.model, data=photos / "test", device="cpu").rows == scores.rows
    assert "sketch" in [entry.name for entry in store.entries()]


def test_a_marker_draws_outlines_of_areas_and_no_texture() -> None:
    y, x = np.mgrid[:96, :96] - 47.5
    disc = np.where((np.hypot(x, y) < 30)[:, :, None], [200, 30, 30], [240, 240, 240])
    noisy = np.clip(disc + np.random.default_rng(0).normal(0, 12, disc.shape), 0, 255).astype(np.uint8)
    lines = marker(noisy, 1.0, np.random.default_rng(0))
    rows, columns = np.nonzero(lines < 128)
    radii = np.hypot(rows - 47.5, columns - 47.5)
    assert len(radii) > 150
    assert (np.abs(radii - 30) < 7).mean() > 0.98
    assert np.abs(radii - 30).mean() > 0.2  # by hand, not by compass
    assert (marker(noisy, 1.0, np.random.default_rng(0)) == lines).all()
    assert (marker(noisy, 1.0, np.random.default_rng(1)) != lines).any()
    assert (marker(np.full((40, 40, 3), 99, np.uint8), 1.0, np.random.default_rng(0)) == 255).all()

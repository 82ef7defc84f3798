"""All planes of an item go through the same crop, mirror and change, whatever each of them holds."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from i2i.data import Batches, Data, fixed, in_order
from i2i.errors import UserError

Make = Callable[..., Data]

CLASSES = 12
PALETTE = [f"#{10 + 20 * number:02x}{200 - 10 * number:02x}{5 * number:02x}" for number in range(CLASSES)]
SIZE = 48
MOVES = [
    {"Affine": {"rotate": [-30, 30], "scale": [0.8, 1.3], "p": 0.8}},
    {"ElasticTransform": {"alpha": 20, "p": 0.5}},
    {"RandomRotate90": {"p": 0.5}},
    {"Perspective": {"p": 0.5}},
]
COLOURS = [
    {"RandomBrightnessContrast": {"brightness_limit": [0.2, 0.3], "p": 1.0}},
    {"GaussNoise": {"p": 1.0}},
    {"RandomGamma": {"p": 1.0}},
]
MOVES_BATCH = [
    {"RandomAffine": {"degrees": 30.0, "scale": [0.8, 1.2], "p": 0.8}},
    {"RandomHorizontalFlip": {}},
    {"RandomPerspective": {"p": 0.5}},
]
COLOURS_BATCH = [{"RandomBrightness": {"brightness": [0.5, 0.6], "p": 1.0}}, {"RandomErasing": {"p": 1.0}}]


def scene(key: int) -> np.ndarray:
    """SIZE × SIZE class numbers in blocks of 8, no two neighbours alike; class 0 is left to what comes from outside."""
    blocks = np.random.default_rng(key).permutation(36).reshape(6, 6) % (CLASSES - 1) + 1
    return np.kron(blocks, np.ones((8, 8), int)).astype(np.uint8)


@pytest.fixture
def told(tmp_path: Path, spec: Make) -> Callable[..., Data]:
    """told(...): five scenes, of which each plane is another account: grey light, numbers, colours, deep light."""
    for key in range(5):
        numbers = scene(key)
        light = (20 * numbers).astype(np.uint8)
        planes = {
            "A": Image.fromarray(np.dstack([light] * 3)),
            "mask": Image.fromarray(light),
            "depth": Image.fromarray(light.astype(np.uint16) * 257),
            "zones": Image.fromarray(numbers),
            "B": Image.fromarray(np.array([list(bytes.fromhex(each[1:])) for each in PALETTE], np.uint8)[numbers]),
        }
        for name, picture in planes.items():
            (tmp_path / f"train{name}").mkdir(exist_ok=True)
            picture.save(tmp_path / f"train{name}" / f"{key}.png")
    common = {
        "layout": "paired", "root": tmp_path, "crop": 32, "split": {"val": 0, "test": 0},
        "channels": {"a": 3, "b": {"palette": PALETTE}},
        "condition": ["mask", {"name": "depth"}, {"name": "zones", "channels": {"labels": CLASSES}}],
    }  # fmt: skip
    return lambda **more: spec(**common | more)


def take(spec: Data, n: int = 4, batch: int = 5, **more: Any) -> list[Any]:
    batches = Batches(spec, batch=batch, **more)
    given = list(islice(batches, n))
    batches.close()
    return given


def agree(a: torch.Tensor, b: torch.Tensor) -> None:
    """Planes of one scene: light 20 × the class, in steps of 1 of 255, inside of its blocks."""
    light, mask, depth, zones = a.split([3, 1, 1, CLASSES], dim=1)
    assert (light - mask).abs().max() < 1e-5
    assert (light - depth).abs().max() < 0.009
    assert torch.equal(zones, b)
    assert set(b.unique().tolist()) == {-1, 1}
    levels = (light[:, :1] + 1) * 127.5 / 20
    highest, lowest = (sign * torch.nn.functional.max_pool2d(sign * levels, 3, 1, 1) for sign in (1, -1))
    inside = highest - lowest < 0.1
    assert inside.float().mean() > 0.05
    assert torch.equal(levels.round()[inside].long(), b.argmax(1, keepdim=True)[inside])


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(
    "more", [{}, {"load": 40}, {"augment": MOVES}, {"augment_batch": MOVES_BATCH}], ids=["plain", "load", "cpu", "gpu"]
)
def test_planes_stay_registered(more: Any, bits: int, told: Callable[..., Data]) -> None:
    spec = told(bits=bits, **more)
    batches = take(spec)
    for a, b in batches:
        assert a.shape == (5, 3 + 1 + 1 + CLASSES, 32, 32)
        assert b.shape == (5, CLASSES, 32, 32)
        agree(a, b)
    assert not torch.equal(batches[0][1], batches[1][1])
    for a, b in (fixed(spec, "train", 5), *in_order(spec, "train", 2)):
        agree(a, b)


@pytest.mark.parametrize("more", [{"augment": COLOURS}, {"augment_batch": COLOURS_BATCH}], ids=["cpu", "gpu"])
@pytest.mark.parametrize("bits", [8, 16])
def test_colours_change_and_classes_do_not(more: Any, bits: int, told: Callable[..., Data]) -> None:
    looks = {"condition": [{"name": "zones", "channels": {"labels": CLASSES}}], "bits": bits}
    for (a, b), (was_a, was_b) in zip(take(told(**looks, **more)), take(told(**looks)), strict=True):
        assert torch.equal(b, was_b)
        assert torch.equal(a[:, 3:], was_a[:, 3:])
        assert not torch.equal(a[:, :3], was_a[:, :3])


@pytest.mark.parametrize("more", [{"augment": MOVES}, {"augment_batch": MOVES_BATCH}], ids=["cpu", "gpu"])
def test_maps_alone_are_moved_together(more: Any, tmp_path: Path, told: Callable[..., Data]) -> None:
    zones = {"name": "zones", "channels": {"labels": CLASSES}}
    spec = told(channels={"a": {"labels": 256}, "b": {"palette": PALETTE}}, condition=[zones], **more)
    plain = take(told(channels={"a": {"labels": 256}, "b": {"palette": PALETTE}}, condition=[zones]))
    for (a, b), (_, was) in zip(take(spec), plain, strict=True):
        numbers = a[:, :256].argmax(1)
        assert set(numbers.unique().tolist()) <= {20 * number for number in range(CLASSES)}
        assert torch.equal(numbers // 20, b.argmax(1))
        assert torch.equal(a[:, 256:], b)
        assert not torch.equal(b, was)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_resumed_stream_equals_the_whole_one(workers: int, told: Callable[..., Data]) -> None:
    spec = told(bits=16, augment=MOVES, augment_batch=MOVES_BATCH, workers=workers)
    whole = take(told(bits=16, augment=MOVES, augment_batch=MOVES_BATCH, cache="off"), batch=3, n=5)
    for (a, b), (x, y) in zip(take(spec, batch=3, n=2, position=3), whole[3:], strict=True):
        assert torch.equal(a, x)
        assert torch.equal(b, y)


def test_the_other_direction_swaps_the_sides_and_not_the_conditions(told: Callable[..., Data]) -> None:
    there = fixed(told(channels={"a": 3, "b": 3}), "train", 5)
    back = fixed(told(channels={"a": 3, "b": 3}, direction="b2a"), "train", 5)
    assert torch.equal(there[0][:, :3], back[1])
    assert torch.equal(there[1], back[0][:, :3])
    assert torch.equal(there[0][:, 3:], back[0][:, 3:])


def test_a_plane_of_another_size_is_named(tmp_path: Path, told: Callable[..., Data]) -> None:
    Image.new("L", (SIZE, SIZE + 1)).save(tmp_path / "trainmask/2.png")
    with pytest.raises(UserError, match=r"2\.png: .* differ in size: a 48×48, mask 48×49, depth 48×48.*`load: 286"):
        take(told(skip=0))
    agree(*fixed(told(load=48, crop=48, condition=told().condition), "train", 1))


def test_a_missing_condition_is_skipped_as_any_picture(tmp_path: Path, told: Callable[..., Data]) -> None:
    spec = told()
    (tmp_path / "trainmask/2.png").write_bytes(b"rubbish")
    said: list[str] = []
    for a, b in take(spec, 6, warn=said.append):
        agree(a, b)
    assert len(said) == 1
    assert "trainmask/2.png: not a picture" in said[0]


@pytest.mark.parametrize(
    ("coloured", "moved"),
    [
        ({"augment": COLOURS}, {"augment": MOVES + COLOURS}),
        ({"augment_batch": COLOURS_BATCH}, {"augment_batch": MOVES_BATCH + COLOURS_BATCH}),
    ],
    ids=["cpu", "gpu"],
)
def test_unpaired_maps_are_moved_and_not_coloured(
    coloured: Any, moved: Any, tmp_path: Path, told: Callable[..., Data], spec: Make
) -> None:
    told()
    sides = {"a": 3, "b": {"palette": PALETTE}}
    common = {"layout": "unpaired", "root": tmp_path, "crop": 32, "channels": sides, "split": {"val": 0, "test": 0}}
    plain, bright, away = (take(spec(**common | more)) for more in ({}, coloured, moved))
    for (a, b), (bright_a, bright_b), (_, away_b) in zip(plain, bright, away, strict=True):
        assert not torch.equal(a, bright_a)
        assert torch.equal(b, bright_b)
        assert not torch.equal(b, away_b)
        assert ((away_b + 1).sum(1) == 2).all()

"""The stream is a pure function of (seed, position): exact resume, any number of workers, no global randomness."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from kornia.filters import canny

from i2i.data import Batches, Data, Edges, centres, fixed, in_order
from i2i.data.augment import resize
from i2i.data.edges import connected, edges, grown
from i2i.errors import UserError
from i2i.images import read, write

Make = Callable[..., Data]
Fill = Callable[..., None]

AUGMENT = ["VerticalFlip", {"ColorJitter": {"brightness": 0.3}}, {"Affine": {"rotate": 20, "p": 0.7}}]


@pytest.fixture
def folder(tmp_path: Path, fill: Fill) -> Path:
    """Five pictures on side A, seven on side B; the first five pairs have equal names."""
    fill(tmp_path / "trainA", 5)
    fill(tmp_path / "trainB", 7, first=100)
    return tmp_path


def unpaired(spec: Make, folder: Path, **more: Any) -> Data:
    whole = {"val": 0, "test": 0}
    return spec(layout="unpaired", root=folder, load=14, crop=8, split=whole, augment=AUGMENT, **more)


def take(spec: Data, n: int, **more: Any) -> list[Any]:
    batches = Batches(spec, batch=more.pop("batch", 3), **more)
    taken = list(islice(batches, n))
    batches.close()
    return taken


def equal(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    return len(one) == len(other) and all(equal(x, y) for x, y in zip(one, other, strict=True))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_stream_equals_the_uninterrupted_one(workers: int, folder: Path, spec: Make) -> None:
    whole = take(unpaired(spec, folder, workers=0), 7, seed=3)  # several epoch edges, some inside a batch
    for position in range(7) if workers == 0 else (4,):
        rest = take(unpaired(spec, folder, workers=workers), 7 - position, seed=3, position=position)
        assert equal(rest, whole[position:]), position


@pytest.mark.parametrize("layout", ["paired", "unlabelled", "labelled", "mixture"])
def test_every_layout_resumes_exactly(layout: str, tmp_path: Path, spec: Make, fill: Fill) -> None:
    for name in {"paired": ("A", "B"), "labelled": ("x", "y")}.get(layout, (".",)):
        fill(tmp_path / name, 5)
    told = (
        spec(layout="mixture") if layout == "mixture" else spec(layout=layout, root=tmp_path, crop=8, augment=AUGMENT)
    )
    whole = take(told, 6)
    assert equal(take(told, 3, position=3), whole[3:])
    assert not equal(whole[0], take(told, 1, seed=1)[0])


def test_position_counts_what_was_given(folder: Path, spec: Make) -> None:
    batches = Batches(unpaired(spec, folder, workers=2), batch=2, position=10)
    next(batches), next(batches)
    assert batches.position == 12  # and not what workers have prepared meanwhile
    assert batches.epoch_length == 3
    assert batches.waited > 0
    batches.close()


@pytest.mark.parametrize("workers", [0, 1])
def test_next_touches_no_global_randomness(workers: int, folder: Path, spec: Make) -> None:
    def states() -> tuple[Any, ...]:
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[index]

    before = states()
    take(unpaired(spec, folder, workers=workers), 3)
    assert states() == before


def test_ranks_share_one_order(folder: Path, spec: Make) -> None:
    told = unpaired(spec, folder)
    whole = take(told, 3, batch=4)
    ranks = [take(told, 3, batch=4, rank=rank, world=2) for rank in (0, 1)]
    for step in range(3):
        for side in (0, 1):
            assert torch.equal(torch.cat([ranks[0][step][side], ranks[1][step][side]]), whole[step][side])
    with pytest.raises(UserError, match="multiple of the 3 processes"):
        Batches(told, batch=4, world=3)


def test_each_side_of_an_epoch_holds_every_picture_once(folder: Path, spec: Make) -> None:
    plain = spec(layout="unpaired", root=folder, crop=16, flip=False, split={"val": 0, "test": 0})
    batches = take(plain, 35, batch=1)
    for side, length in ((0, 5), (1, 7)):
        seen = [hash(batch[side].numpy().tobytes()) for batch in batches]
        epochs = [seen[start : start + length] for start in range(0, 35, length)]
        assert all(len(set(epoch)) == length for epoch in epochs)
        assert len({tuple(epoch) for epoch in epochs}) > 1  # and every epoch has an order of its own


def test_unpaired_sides_are_independent(tmp_path: Path, spec: Make, fill: Fill) -> None:
    fill(tmp_path / "trainA", 6)
    fill(tmp_path / "trainB", 6)
    a, b = take(spec(layout="unpaired", root=tmp_path, crop=16, flip=False, split={"val": 0, "test": 0}), 1, batch=6)[0]
    assert not torch.equal(a, b)


def test_pairs_change_shape_together_and_randomly(tmp_path: Path, spec: Make, fill: Fill) -> None:
    fill(tmp_path / "A", 6)
    fill(tmp_path / "B", 6)
    told = spec(layout="paired", root=tmp_path, load=14, crop=8, augment=[*AUGMENT, "RandomRotate90", "GaussNoise"])
    given = take(told, 6)
    assert all(torch.equal(a, b) for a, b in given)
    assert not torch.equal(given[0][0], take(told, 1, seed=1)[0][0])


def test_transforms_toss_coins_of_their_own(tmp_path: Path, spec: Make) -> None:
    corner = np.zeros((4, 4, 3), np.uint8)
    corner[0, 0] = 255
    write(tmp_path / "x.png", corner)
    told = spec(
        layout="unlabelled", root=tmp_path, crop=4, flip=False, augment=["HorizontalFlip", "VerticalFlip"],
        split={"val": 0, "test": 0},
    )  # fmt: skip
    where = {tuple(x.amax(1)[0].argmax().item() // k % 4 for k in (4, 1)) for x in take(told, 40, batch=1)}
    assert where == {(0, 0), (0, 3), (3, 0), (3, 3)}


def test_pictures_are_floats_from_minus_one_to_one(tmp_path: Path, spec: Make) -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    write(tmp_path / "x.png", ramp)
    told = spec(layout="unlabelled", root=tmp_path, crop=16, flip=False)
    x = take(told, 1, batch=2)[0]
    assert (x.shape, x.dtype, x.is_contiguous()) == ((2, 3, 16, 16), torch.float32, True)
    assert (x.min().item(), x.max().item()) == (-1, 1)
    back = ((x[0].permute(1, 2, 0) + 1) * 127.5).round().byte().numpy()
    assert np.array_equal(back, ramp)


def test_mirroring_is_the_only_change_where_nothing_else_is_asked(tmp_path: Path, spec: Make, fill: Fill) -> None:
    fill(tmp_path, 1)
    still = fixed(spec(layout="unlabelled", root=tmp_path, crop=16), "train", 1)[0]
    given = [x[0] for x in take(spec(layout="unlabelled", root=tmp_path, crop=16), 20, batch=1)]
    mirrored = [torch.equal(x, still.flip(-1)) for x in given]
    assert all(m or torch.equal(x, still) for m, x in zip(mirrored, given, strict=True))
    assert 0 < sum(mirrored) < 20


def test_derived_edges_are_black_on_white_and_aligned(tmp_path: Path, spec: Make) -> None:
    photo = np.full((32, 32, 3), 60, np.uint8)
    photo[:, 20:] = 220  # one vertical step
    write(tmp_path / "x.png", photo)
    told = spec(layout="paired", root=tmp_path, crop=24, derive={"a": "edges"}, channels={"a": 1})
    for a, b in (fixed(told, "train", 1), *take(told, 5, batch=1)):
        assert a.shape == (1, 1, 24, 24)
        assert set(a.unique().tolist()) == {-1, 1}
        step = (b[0, 0].diff(dim=1).abs() > 0.5).nonzero()[:, 1].unique()
        lines = (a[0, 0, 4:-4] == -1).nonzero()[:, 1].unique()
        assert len(lines) == 1
        assert (lines - step).abs().max() <= 1
    assert fixed(spec(layout="paired", root=tmp_path, crop=24, derive={"a": "edges"}), "train", 1)[0].shape[1] == 3


def test_derived_edges_are_kornia_s_own_only_sooner() -> None:
    smooth = torch.nn.functional.interpolate(
        torch.rand(4, 3, 9, 9, generator=torch.Generator().manual_seed(0)), size=48
    )
    photos = smooth * 2 - 1
    _, expected = canny((photos + 1) / 2, 0.3, 1.2, 5, (1.0, 1.0))
    _, strong_only = canny((photos + 1) / 2, 1.2, 1.2, 5, (1.0, 1.0))
    assert expected.sum() > strong_only.sum() > 0  # hysteresis does add weak pixels here
    lines = edges(photos, Edges(low=0.3, high=1.2), 1)
    assert torch.equal(lines, 1 - 2 * expected)


def test_edges_connect_alike_on_every_device() -> None:
    draw = torch.Generator().manual_seed(0)
    weak = torch.rand(3, 1, 64, 64, generator=draw) < 0.4
    strong = weak & (torch.rand(3, 1, 64, 64, generator=draw) < 0.01)
    assert torch.equal(connected(weak, strong), grown(weak, strong))
    assert strong.sum() < connected(weak, strong).sum() < weak.sum()


def test_test_pictures_are_resized_to_crop_or_cut_from_the_centre(tmp_path: Path, spec: Make, fill: Fill) -> None:
    fill(tmp_path, 1, size=20)
    native = read(tmp_path / "000.png")
    resized = fixed(spec(layout="unlabelled", root=tmp_path, load=14, crop=12), "train", 1)[0]
    assert torch.equal(resized, as_tensor(resize(native, 12, "stretch")))
    centre = fixed(spec(layout="unlabelled", root=tmp_path, crop=12), "train", 1)[0]
    assert torch.equal(centre, as_tensor(native[4:16, 4:16]))


def test_fit_shorter_keeps_the_proportions() -> None:
    wide = np.zeros((10, 30, 3), np.uint8)
    assert resize(wide, 20, "shorter").shape == (20, 60, 3)
    assert resize(wide, 20, "stretch").shape == (20, 20, 3)
    assert resize(wide[:, :, :1], 20, "shorter").shape == (20, 60, 1)


def test_fixed_is_stable_and_spread(tmp_path: Path, spec: Make, fill: Fill) -> None:
    fill(tmp_path, 9)
    told = spec(layout="unlabelled", root=tmp_path, crop=16, augment=AUGMENT, split={"val": 0, "test": 0})
    assert torch.equal(fixed(told, "train", 3), fixed(told, "train", 3))
    everything = fixed(told, "train", 99)
    assert len(everything) == 9
    assert torch.equal(fixed(told, "train", 3), everything[[0, 4, 8]])


def test_in_order_gives_the_split_once(folder: Path, spec: Make) -> None:
    told = unpaired(spec, folder)
    given = list(in_order(told, "train", 4))
    assert [(len(a), len(b)) for a, b in given] == [(4, 4), (1, 3)]
    assert [(len(a), len(b)) for a, b in in_order(told, "train", 6)] == [(5, 6), (0, 1)]
    assert torch.equal(torch.cat([b for _, b in given])[[0, 6]], torch.cat([fixed(told, "train", 2)[1]])[[0, 1]])


def test_mixture_points_lie_on_the_ring_and_differ_by_split(spec: Make) -> None:
    told = spec(layout="mixture", modes=5, radius=3, std=0.01)
    x = take(told, 1, batch=500)[0]
    assert (x.shape, x.dtype) == ((500, 2), torch.float32)
    nearest = torch.cdist(x, centres(told)).min(1)
    assert nearest.values.max() < 0.06
    assert nearest.indices.unique().tolist() == [0, 1, 2, 3, 4]
    assert equal(fixed(told, "val", 9), fixed(told, "val", 9))
    assert not equal(fixed(told, "val", 9), fixed(told, "test", 9))
    assert sum(len(points) for points in in_order(told, "test", 3000)) == 10_000


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_picture_is_named_without_a_worker_s_traceback(
    workers: int, tmp_path: Path, spec: Make, fill: Fill
) -> None:
    fill(tmp_path, 1)
    (tmp_path / "000.png").write_bytes(b"rubbish")
    told = spec(layout="unlabelled", root=tmp_path, crop=8, workers=workers)
    with pytest.raises(UserError, match=r"^[^\n]*000\.png: not a picture[^\n]*$"):
        take(told, 1)
    assert not multiprocessing.active_children()


def test_a_process_that_forgets_to_close_still_ends(tmp_path: Path, fill: Fill) -> None:
    fill(tmp_path, 4)
    script = (
        "from i2i.data import Batches, UnlabelledData\n"
        f"batches = Batches(UnlabelledData(layout='unlabelled', root={str(tmp_path)!r}, crop=8, workers=1), batch=2)\n"
        "next(batches)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)


def test_workers_outlive_one_signal_and_no_more(tmp_path: Path, spec: Make, fill: Fill) -> None:
    fill(tmp_path, 4)
    batches = Batches(spec(layout="unlabelled", root=tmp_path, crop=8, workers=1), batch=2)
    next(batches)
    (worker,) = multiprocessing.active_children()
    for each in (signal.SIGINT, signal.SIGTERM):
        os.kill(worker.pid or 0, each)
    for _ in range(5):
        next(batches)
    with pytest.raises(RuntimeError, match="worker"):  # noqa: PT012, the loader notices when it pleases
        os.kill(worker.pid or 0, signal.SIGTERM)
        worker.join(timeout=10)
        list(islice(batches, 10))
    assert not worker.is_alive()
    batches.close()


def test_pictures_smaller_than_the_crop_say_what_to_type(tmp_path: Path, spec: Make, fill: Fill) -> None:
    fill(tmp_path, 1)
    with pytest.raises(UserError, match=r"16×16.*`load: 32`"):
        take(spec(layout="unlabelled", root=tmp_path, crop=32), 1)


def test_halves_of_different_size_say_what_to_type(tmp_path: Path, spec: Make, fill: Fill) -> None:
    fill(tmp_path / "A", 1)
    fill(tmp_path / "B", 1, size=20)
    told = spec(layout="paired", root=tmp_path, crop=8)
    with pytest.raises(UserError, match="16×16 and 20×20"):
        take(told, 1)
    with pytest.raises(UserError, match="16×16 and 20×20"):
        fixed(told, "train", 1)


def test_an_augmentation_that_changes_the_size_is_refused(tmp_path: Path, spec: Make, fill: Fill) -> None:
    fill(tmp_path, 1)
    for step in ({"Resize": {"height": 4, "width": 4}}, "Normalize"):
        with pytest.raises(UserError, match=r"must return pictures of \(8, 8, 3\) uint8"):
            take(spec(layout="unlabelled", root=tmp_path, crop=8, augment=[step]), 1)


def as_tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture.copy()).permute(2, 0, 1).float() / 127.5 - 1

"""A batch is changed on its device: pairs together, by key, and without a draw from anybody's generator."""

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from i2i.data import Batches, Data, fixed
from i2i.errors import UserError
from i2i.images import write

Make = Callable[..., Data]
Fill = Callable[..., None]

STEPS = [
    {"RandomAffine": {"degrees": 30, "translate": [0.1, 0.1], "padding_mode": "reflection", "p": 0.7}},
    {"ColorJitter": {"brightness": 0.3, "hue": 0.1, "p": 0.7}},
    {"RandomGaussianNoise": {"std": 0.1, "p": 0.5}},
]


@pytest.fixture
def told(tmp_path: Path, spec: Make, fill: Fill) -> Callable[..., Data]:
    """told(...): six pairs whose two halves are the same picture."""
    for side in "AB":
        fill(tmp_path / f"train{side}", 6)
    common = {"root": tmp_path, "layout": "paired", "crop": 16, "split": {"val": 0, "test": 0}}
    return lambda **more: spec(**{"augment_batch": STEPS, **common, **more})


def take(spec: Data, n: int = 4, **more: Any) -> list[Any]:
    batches = Batches(spec, batch=6, **more)
    given = list(islice(batches, n))
    batches.close()
    return given


def test_the_halves_of_a_pair_are_changed_alike(told: Callable[..., Data]) -> None:
    plain = take(told(augment_batch=[]))
    for (a, b), (was, _) in zip(take(told()), plain, strict=True):
        assert torch.equal(a, b)
        assert not torch.equal(a, was)
        assert (a.shape, a.dtype) == ((6, 3, 16, 16), torch.float32)
        assert a.min() >= -1
        assert a.max() <= 1


@pytest.fixture
def noise(tmp_path: Path, spec: Make) -> Callable[..., torch.Tensor]:
    """noise(...): what is added to a batch of pictures of one grey, so that nothing is clipped; n c h w."""
    for side in "AB":
        for i in range(6):
            write(tmp_path / f"grey/train{side}" / f"{i}.png", np.full((16, 16, 3), 127, np.uint8))
    steps = [{"RandomGaussianNoise": {"std": 0.02, "p": 1.0}}]

    def added(layout: str = "paired", side: int = 0, **more: Any) -> torch.Tensor:
        told = spec(layout=layout, root=tmp_path / "grey", crop=16, augment_batch=steps, split={"val": 0, "test": 0})
        return take(told, 1, **more)[0][side] - (127 / 127.5 - 1)

    return added


def test_unpaired_sides_are_changed_each_by_itself(noise: Callable[..., torch.Tensor]) -> None:
    assert torch.equal(noise("paired", 0), noise("paired", 1))
    assert not torch.allclose(noise("unpaired", 0), noise("unpaired", 1), atol=0.01)


def test_the_changes_are_kornia_s(told: Callable[..., Data]) -> None:
    plain = take(told(augment_batch=[], flip=False))
    mirrored = take(told(augment_batch=[{"RandomHorizontalFlip": {"p": 1.0}}], flip=False))
    negative = take(told(augment_batch=[{"RandomInvert": {"p": 1.0}}], flip=False))
    for (was, _), (flipped, _), (inverted, _) in zip(plain, mirrored, negative, strict=True):
        assert torch.allclose(flipped, was.flip(-1), atol=1e-6)
        assert torch.allclose(inverted, -was, atol=1e-6)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_resumed_stream_is_changed_as_the_whole_one(workers: int, told: Callable[..., Data]) -> None:
    whole = take(told())
    for position in (1, 3):
        rest = take(told(workers=workers), 4 - position, position=position)
        assert all(torch.equal(a, x) for (a, _), (x, _) in zip(rest, whole[position:], strict=True))


def test_batches_ranks_and_seeds_have_changes_of_their_own(noise: Callable[..., torch.Tensor]) -> None:
    keyed = [noise(world=2), noise(world=2, rank=1), noise(world=2, position=1), noise(world=2, seed=1)]
    assert torch.equal(keyed[0], noise(world=2))
    for i, one in enumerate(keyed):
        assert 0.03 < one.std() < 0.05  # 0.02 of [0, 1] is 0.04 of [-1, 1]
        assert not any(torch.allclose(one, other, atol=0.01) for other in keyed[:i])


def test_no_global_generator_moves_or_matters(told: Callable[..., Data]) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    given = take(told())
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert all(torch.equal(a, x) for (a, _), (x, _) in zip(take(told()), given, strict=True))


def test_labels_drawings_and_tests_keep_what_they_mean(tmp_path: Path, spec: Make, fill: Fill) -> None:
    for name in "xy":
        fill(tmp_path / name, 3)
    common = {"root": tmp_path, "crop": 16, "split": {"val": 0, "test": 0}}
    labelled = {"layout": "labelled", **common}
    for (x, y), (was, same) in zip(take(spec(augment_batch=STEPS, **labelled)), take(spec(**labelled)), strict=True):
        assert torch.equal(y, same)
        assert not torch.equal(x, was)
    drawn = {"layout": "paired", "derive": {"a": "edges"}, **common}
    edges, photos = take(spec(augment_batch=STEPS, **drawn), 1)[0]
    assert set(edges.unique().tolist()) <= {-1, 1}  # drawn after the change, so never blurred by it
    assert not torch.equal(photos, take(spec(**drawn), 1)[0][1])
    assert torch.equal(fixed(spec(augment_batch=STEPS, **drawn), "train", 3)[1], fixed(spec(**drawn), "train", 3)[1])


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ("RandomAfine", "mean RandomAffine"),
        ("RandomMixUp", "no transform of kornia's"),
        ("AugmentationBase2D", "no transform of kornia's"),
        ({"RandomAffine": {"degree": 10}}, "no argument 'degree'.*mean degrees"),
        ({"RandomAffine": {}}, "do not fit.*degrees"),
        ({"RandomAffine": {"degrees": "far"}}, "arguments of transform 'RandomAffine' do not fit"),
        ({"RandomAffine": {"degrees": 1}, "RandomInvert": {}}, "one transform in each item"),
    ],
)
def test_a_wrong_transform_says_what_fits(step: Any, said: str, spec: Make) -> None:
    with pytest.raises(ValidationError, match=said):
        spec(layout="unlabelled", root="x", crop=8, augment_batch=[step])


def test_what_does_not_fit_the_pictures_says_so(told: Callable[..., Data]) -> None:
    with pytest.raises(UserError, match=r"augment_batch: CenterCrop must return pictures of 3×16×16.*got 3×8×8"):
        take(told(augment_batch=[{"CenterCrop": {"size": 8}}]), 1)
    with pytest.raises(UserError, match=r"must return pictures of 1×16×16.*got 3×16×16.*equally many channels"):
        take(told(augment_batch=[{"RandomGaussianNoise": {"p": 1.0}}], channels={"a": 3, "b": 1}), 1)
    four = {"channels": {"a": 4, "b": 4}}
    for step in ({"RandomGrayscale": {"p": 1.0}}, {"RandomHue": {"hue": [0.1, 0.2], "p": 1.0}}):
        (name,) = step
        with pytest.raises(UserError, match=f"augment_batch: {name} cannot be applied to pictures of 4×16×16"):
            take(told(augment_batch=[step], **four), 1)
    assert take(told(**{"augment_batch": [STEPS[0], STEPS[2]]} | four), 1)[0][0].shape == (6, 4, 16, 16)
    with pytest.raises(UserError, match="augment_batch: RandomHue cannot be applied to pictures of 1×16×16"):
        take(told(augment_batch=[{"RandomHue": {"hue": [0.1, 0.2], "p": 1.0}}], channels={"a": 1, "b": 1}), 1)

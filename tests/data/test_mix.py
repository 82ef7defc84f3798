"""Several sets are one: every batch holds each part's share, each part keeps its own epochs, and resume is exact."""

import io
import tarfile
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from i2i.data import Batches, Data, fixed, in_order, open_split
from i2i.data.turns import PERIOD, mixed, turns
from i2i.data.walks import Plain
from i2i.errors import UserError
from i2i.images import read, write

Make = Callable[..., Data]
Fill = Callable[..., None]

WHOLE = {"val": 0, "test": 0}


@pytest.fixture(autouse=True)
def _own_home(fresh_home: Path) -> None:
    """No test finds another's index."""


@pytest.fixture
def sets(tmp_path: Path, fill: Fill) -> Path:
    """Three sets of pairs: a folder of 5, a manifest of 12 with weights, shards of 9."""
    for name, n, first in (("folder", 5, 0), ("table", 12, 100), ("tars", 9, 200)):
        fill(tmp_path / name / "A", n, first=first)
        fill(tmp_path / name / "B", n, first=first + 1000)
    rows = "".join(f"A/{i:03}.png,B/{i:03}.png,{i % 3 + 1}\n" for i in range(12))
    (tmp_path / "table/rows.csv").write_text("a,b,weight\n" + rows)
    for i in range(3):
        with tarfile.open(tmp_path / "tars" / f"train-{i}.tar", "w") as tar:
            for k in range(3 * i, 3 * i + 3):
                for side in "AB":
                    content = (tmp_path / "tars" / side / f"{k:03}.png").read_bytes()
                    member = tarfile.TarInfo(f"{k:03}.{side.lower()}.png")
                    member.size = len(content)
                    tar.addfile(member, io.BytesIO(content))
    return tmp_path


def three(sets: Path) -> list[dict[str, Any]]:
    return [
        {"root": sets / "folder", "ratio": 1},
        {"manifest": sets / "table/rows.csv", "ratio": 2},
        {"shards": str(sets / "tars"), "ratio": 1},
    ]


def mix(spec: Make, parts: list[dict[str, Any]], **more: Any) -> Data:
    return spec(**{"layout": "paired", "mix": parts, "crop": 16, "split": WHOLE, "flip": False} | more)


def parts_of(spec: Data, n: int, batch: int, **more: Any) -> list[list[str]]:
    """For each of n batches, the set that each sample comes from."""
    batches = Batches(spec, batch=batch, **more)
    found = [[Path(str(f).split("!")[0]) for f in batches.files(p, p + 1)[::2]] for p in range(n)]
    batches.close()
    return [["tars" if path.suffix == ".tar" else path.parts[-3] for path in files] for files in found]


def test_every_batch_holds_the_shares_of_its_parts(sets: Path, spec: Make) -> None:
    given = parts_of(mix(spec, three(sets)), 40, 8)
    assert all(Counter(batch) == {"folder": 2, "table": 4, "tars": 2} for batch in given)
    assert len({tuple(batch) for batch in given}) > 30
    odd = parts_of(mix(spec, three(sets)), 40, 3)
    assert Counter(sum(map(Counter, odd), Counter())) == {"folder": 30, "table": 60, "tars": 30}
    assert all(1 <= Counter(batch)["table"] <= 2 for batch in odd)


@pytest.mark.parametrize(
    "ratios", [(3, 1), (1, 1, 1), (0.5, 0.25, 0.25), (0.7, 0.2, 0.1), (1e-3, 1), (3.14159, 1, 2.71828)]
)
def test_no_part_is_ever_off_by_a_whole_sample(ratios: tuple[float, ...]) -> None:
    order, before = turns(ratios)
    period = len(order)
    assert period <= PERIOD
    share = before[-1] / period
    assert np.abs(share - np.array(ratios) / sum(ratios)).max() < 1e-4
    exact = np.arange(period + 1)[:, None] * share
    assert (np.floor(exact - 1e-9) <= before).all()
    assert (before <= np.ceil(exact + 1e-9)).all()


def test_each_part_has_epochs_of_its_own(sets: Path, spec: Make) -> None:
    walk = mixed([Plain(4), Plain(10), Plain(4)], [1, 1, 2])
    slots = [walk.slot(3, 0, at) for at in range(800)]
    for first, n in ((0, 4), (4, 10), (14, 4)):
        own = [slot for slot in slots if first <= slot.item < first + n]
        for start in range(0, len(own) - n, n):
            assert {slot.item for slot in own[start : start + n]} == set(range(first, first + n))
            assert {slot.epoch for slot in own[start : start + n]} == {start // n}
    assert len({(slot.epoch, slot.draw) for slot in slots}) == 800
    ours = [[slot.item for slot in slots if first <= slot.item < first + 4] for first in (0, 14)]
    assert [item + 14 for item in ours[0]] != ours[1][:200]  # equal parts go through orders of their own


def test_a_mix_is_as_long_as_its_parts_and_tested_one_after_the_other(sets: Path, spec: Make) -> None:
    told = mix(spec, three(sets))
    split = open_split(told, "train")
    assert len(split) == 26
    assert split.registered
    assert split.stamp is None  # shards have none
    a, b = (torch.cat(side) for side in zip(*in_order(told, "train", 7), strict=True))
    expected = [
        sets / name / "A" / f"{i:03}.png" for name, n in (("folder", 5), ("table", 12), ("tars", 9)) for i in range(n)
    ]
    assert torch.equal(a, torch.stack([as_batch(path) for path in expected]))
    assert torch.equal(b[25], as_batch(sets / "tars/B/008.png"))
    some = fixed(told, "train", 13)[0]
    found = [next(i for i in range(26) if torch.equal(a[i], x)) for x in some]
    assert found == sorted(set(found))
    counts = np.histogram(found, (0, 5, 17, 26))[0]
    assert np.abs(counts - [2.5, 6, 4.5]).max() <= 0.5
    folders = open_split(mix(spec, three(sets)[:2]), "train")
    assert folders.stamp is not None


def test_held_out_shares_are_those_of_the_parts(sets: Path, spec: Make) -> None:
    told = mix(spec, three(sets)[:2], split={"val": 0.2, "test": 0})
    parts = [
        spec(layout="paired", crop=16, split=told.split, **{k: v for k, v in p.items() if k != "ratio"})
        for p in three(sets)[:2]
    ]  # type: ignore[union-attr]
    for split in ("train", "val"):
        assert list(open_split(told, split).files[0]) == [f for p in parts for f in open_split(p, split).files[0]]


@pytest.mark.parametrize("layout", ["paired", "unpaired"])
def test_a_mix_resumes_at_every_position(layout: str, sets: Path, spec: Make) -> None:
    more = {"layout": layout, "load": 20, "flip": True, "augment": ["VerticalFlip"], "buffer": 4}
    parts = three(sets)[:2] if layout == "unpaired" else three(sets)
    whole = taken(mix(spec, parts, **more), 0, 12)
    for position in range(1, 12, 3):
        assert equal(taken(mix(spec, parts, **more), position, 12), whole[position:]), position
    for workers, world in ((2, 1), (0, 2), (2, 2)):
        assert equal(taken(mix(spec, parts, workers=workers, **more), 7, 12, world), whole[7:]), (workers, world)


def taken(spec: Data, first: int, last: int, world: int = 1) -> list[torch.Tensor]:
    """Batches first, ..., last - 1 of six samples, those of all ranks put together, a beside b."""
    ranks = []
    for rank in range(world):
        batches = Batches(spec, batch=6, seed=5, position=first, rank=rank, world=world)
        ranks.append([torch.cat(tuple(sides), 1) for sides in islice(batches, last - first)])
        batches.close()
    return [torch.cat(parts) for parts in zip(*ranks, strict=True)]


def equal(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return len(one) == len(other) and all(torch.equal(x, y) for x, y in zip(one, other, strict=True))


def test_classes_are_the_union_of_names(tmp_path: Path, spec: Make, fill: Fill) -> None:
    for name, classes in (("one", ("cat", "dog")), ("two", ("ant", "dog"))):
        for i, each in enumerate(classes):
            fill(tmp_path / name / each, 2, first=10 * i)
    told = mix(spec, [{"root": tmp_path / "one"}, {"root": tmp_path / "two"}], layout="labelled")
    split = open_split(told, "train")
    assert split.classes == ("ant", "cat", "dog")
    assert list(split.labels) == [1, 1, 2, 2, 0, 0, 2, 2] == fixed(told, "train", 8)[1].tolist()
    _, labels = next(Batches(told, batch=4))
    assert set(labels.tolist()) <= {0, 1, 2}


def test_unusable_pictures_are_replaced_from_their_own_part(sets: Path, spec: Make) -> None:
    for i in range(4):
        (sets / f"folder/A/00{i}.png").write_bytes(b"")
    batches = Batches(mix(spec, three(sets)[:2], skip=0.5), batch=12, warn=lambda _: None)
    good, part = as_batch(sets / "folder/A/004.png"), 0
    for a, _ in islice(batches, 10):
        part += sum(torch.equal(x, good) for x in a)
    assert part == 40


def test_an_error_names_its_part(sets: Path, spec: Make, fill: Fill) -> None:
    with pytest.raises(UserError, match=r"data\.mix\[1\] \(nowhere\): data\.root: nowhere is no folder"):
        open_split(mix(spec, [{"root": sets / "folder"}, {"root": "nowhere"}]), "train")
    with pytest.raises(UserError, match=r"data\.mix\[0\] \(.*folder\): .*data\.split\.val is 0"):
        open_split(mix(spec, three(sets)), "val")
    write(sets / "joined/x.png", np.zeros((16, 32, 3), np.uint8))
    with pytest.raises(
        UserError, match=r"mix\[1\] \(.*joined\) keeps its pairs side by side in one, and data\.mix\[0\]"
    ):
        open_split(mix(spec, [{"root": sets / "folder"}, {"root": sets / "joined"}]), "train")


def test_the_fingerprint_follows_the_parts_and_their_ratios(sets: Path, spec: Make) -> None:
    told = [
        open_split(mix(spec, parts), "train").fingerprint for parts in (three(sets), three(sets)[:2], three(sets)[::-1])
    ]
    more = [*three(sets)[:2], {**three(sets)[2], "ratio": 5}]
    assert len({*told, open_split(mix(spec, more), "train").fingerprint}) == 4
    assert open_split(mix(spec, three(sets)), "train").fingerprint == told[0]


def as_batch(path: Path) -> torch.Tensor:
    return torch.from_numpy(read(path).copy()).permute(2, 0, 1).float() / 127.5 - 1

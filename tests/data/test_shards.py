"""Shards are read where they lie or fetched whole; what is damaged or hostile is named; nothing is lost or doubled."""

import hashlib
import http.server
import io
import json
import pickle
import tarfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import webdataset
from PIL import Image

from i2i.data import Batches, Data, Split, fixed, in_order, open_split
from i2i.data.make.shards import Bounds
from i2i.data.make.shards import shards as made
from i2i.data.reference import Member
from i2i.data.shards import remote, tars
from i2i.errors import UserError
from i2i.images import write

Make = Callable[..., Data]

WHOLE = {"val": 0, "test": 0}


@pytest.fixture(autouse=True)
def _own_home(fresh_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test finds another's shards, and none waits."""
    monkeypatch.setattr(remote, "WAIT", 0.001)


def png(key: int, size: int = 16) -> bytes:
    """`picture` as a file."""
    file = io.BytesIO()
    Image.fromarray(picture(key, size)).save(file, "png")
    return file.getvalue()


def picture(key: int, size: int = 16) -> np.ndarray:
    """(size, size, 3) uint8: noise of its own for each key."""
    return np.random.default_rng(key).integers(0, 256, (size, size, 3), dtype=np.uint8)


def shard(path: Path, members: list[tuple[str, bytes]], **more: Any) -> Path:
    """A tar file of (name, content)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", **more) as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def pairs(first: int, n: int) -> list[tuple[str, bytes]]:
    """n samples whose a is picture i and whose b is picture 1000 + i."""
    return [
        (f"{i:06}.{side}.png", png(i + 1000 * (side == "b"))) for i in range(first, first + n) for side in ("a", "b")
    ]


def listing(folder: Path, **more: Any) -> None:
    """index.json, as `i2i data make shards` writes it."""
    splits: dict[str, list[dict[str, Any]]] = {}
    for path in sorted(folder.glob("*.tar")):
        with tarfile.open(path) as tar:
            samples = len({name.split(".")[0] for name in tar.getnames()})
        told = {"file": path.name, "bytes": path.stat().st_size, "samples": samples}
        told["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
        splits.setdefault(path.name.split("-")[0], []).append(told)
    folder.joinpath("index.json").write_text(json.dumps({"format": 1, "layout": "paired", "splits": splits} | more))


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six shards of 10 pairs and one of 4, with their listing; 000 to 063."""
    folder = tmp_path_factory.mktemp("stored")
    for i in range(7):
        shard(folder / f"train-{i:06}.tar", pairs(10 * i, 10 if i < 6 else 4))
    listing(folder)
    return folder


def paired(spec: Make, shards: Any, **more: Any) -> Data:
    return spec(**{"layout": "paired", "shards": str(shards), "crop": 16, "split": WHOLE, "flip": False} | more)


def keys_of(spec: Data, n: int, batch: int = 1, **more: Any) -> list[int]:
    """The keys of the samples of the first n batches."""
    batches = Batches(spec, batch=batch, **more)
    found = [file for p in range(n) for file in batches.files(p, p + 1)[::2]]
    batches.close()
    return [int(file.name[:6]) for file in found if isinstance(file, Member)]


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


# --- what is in them -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("listed", [True, False])
def test_shards_hold_the_same_as_the_webdataset_library_reads(listed: bool, stored: Path, spec: Make) -> None:
    where = stored if listed else f"{stored}/train-{{000000..000006}}.tar"
    split = open_split(paired(spec, where), "train")
    theirs = list(webdataset.WebDataset([str(p) for p in sorted(stored.glob("*.tar"))], shardshuffle=False))
    assert len(split) == len(theirs) == 64
    for i, sample in enumerate(theirs):
        for side, name in zip(split.files, ("a.png", "b.png"), strict=True):
            assert side[i].read() == sample[name]
            assert side[i].suffix == ".png"
            assert str(side[i]).endswith(f"!{sample['__key__']}.{name}")
    a, b = next(in_order(paired(spec, where), "train", 64))
    assert torch.equal(a[63], as_batch(63))
    assert torch.equal(b[63], as_batch(1063))
    assert split.stamp is None
    assert split.registered


def test_conditions_classes_and_single_pictures_are_members(tmp_path: Path, spec: Make) -> None:
    shard(tmp_path / "m/x.tar", [m for i in range(3) for m in [*pairs(i, 1), (f"{i:06}.mask.png", png(i + 50))]])
    told = paired(spec, tmp_path / "m", condition=["mask"])
    assert [side[2].name for side in open_split(told, "train").files] == [f"000002.{x}.png" for x in ("a", "b", "mask")]
    shard(tmp_path / "c/x.tar", [m for i in range(4) for m in ((f"{i}.png", png(i)), (f"{i}.cls", b"%d\n" % (i % 3)))])
    labelled = spec(layout="labelled", shards=str(tmp_path / "c"), crop=16, split=WHOLE)
    split = open_split(labelled, "train")
    assert (list(split.labels), split.classes) == ([0, 1, 2, 0], ("0", "1", "2"))
    listing(tmp_path / "c", classes=["x", "y", "z"], splits={"train": [{**entry(tmp_path / "c/x.tar"), "samples": 4}]})
    assert open_split(labelled, "train").classes == ("x", "y", "z")
    assert fixed(labelled, "train", 4)[1].tolist() == [0, 1, 2, 0]
    listing(tmp_path / "c", classes=["x", "y"], splits={"train": [{**entry(tmp_path / "c/x.tar"), "samples": 4}]})
    with pytest.raises(UserError, match=r"x\.tar: a sample of class 2, where there are 2 classes"):
        list(open_split(labelled, "train").labels)
    shard(
        tmp_path / "u/x.tar",
        [(f"dir/{i}.jpg.png", png(i)) for i in range(3)] + [("dir/._0.png", b""), ("x.txt", b"")][:1],
    )
    assert len(open_split(spec(layout="unlabelled", shards=str(tmp_path / "u"), crop=16, split=WHOLE), "train")) == 3


def entry(path: Path) -> dict[str, Any]:
    return {"file": path.name, "bytes": path.stat().st_size, "samples": 1}


@pytest.mark.parametrize("layout", ["paired", "unpaired", "labelled"])
def test_a_folder_made_into_shards_holds_the_same(layout: str, tmp_path: Path, spec: Make) -> None:
    sides = ("trainmask", "trainA", "trainB") if layout == "paired" else ("trainA", "trainB")
    for k, folder in enumerate(("train/cat", "train/dog") if layout == "labelled" else sides):
        for i in range(6 if folder != "trainB" or layout == "paired" else 9):
            write(tmp_path / "folder" / folder / f"{i}.png", picture(100 * k + i))
    made(tmp_path / "folder", tmp_path / "shards", Bounds(count=4), layout=layout)
    more: dict[str, Any] = {"condition": ["mask"]} if layout == "paired" else {}
    told = [
        spec(layout=layout, crop=16, split=WHOLE, **more, **place)
        for place in ({"root": tmp_path / "folder"}, {"shards": str(tmp_path / "shards")})
    ]
    old, new = (open_split(each, "train") for each in told)
    assert [len(side) for side in new.files] == [len(side) for side in old.files]
    assert new.classes == old.classes
    assert contents(new, layout) == contents(old, layout)


def contents(split: Split, layout: str) -> list[list[Any]]:
    """For each stream, the bytes and the class of every item, sorted: shards are mixed once."""
    streams = [[(file,) for file in side] for side in split.files]
    streams = streams if layout == "unpaired" else [[sum(item, ()) for item in zip(*streams, strict=True)]]
    labels = list(split.labels) or [0] * max(len(stream) for stream in streams)
    return [
        sorted(
            (label, *(file.read_bytes() if isinstance(file, Path) else file.read() for file in item))
            for item, label in zip(stream, labels, strict=False)
        )
        for stream in streams
    ]


def test_fields_can_be_renamed(tmp_path: Path, spec: Make) -> None:
    members = [(f"{i}.{name}", png(i + k)) for i in range(3) for k, name in ((0, "jpg"), (50, "seg.png"), (90, "png"))]
    shard(tmp_path / "x.tar", members)
    told = paired(spec, tmp_path, columns={"a": "seg", "b": "jpg"})
    assert [side[1].name for side in open_split(told, "train").files] == ["1.seg.png", "1.jpg"]
    with pytest.raises(UserError, match="no 'c' to be named"):
        open_split(paired(spec, tmp_path, columns={"c": "jpg"}), "train")
    with pytest.raises(UserError, match=r"'0' has several pictures for one: jpg, png, seg\.png.*`columns: \{a: jpg\}`"):
        open_split(spec(layout="unlabelled", shards=str(tmp_path), crop=8), "train")


def test_pairs_side_by_side_are_seen_in_the_first_sample(tmp_path: Path, spec: Make) -> None:
    both = np.concatenate([picture(1), picture(2)], 1)
    write(tmp_path / "x.png", both)
    shard(tmp_path / "x.tar", [(f"{i}.png", (tmp_path / "x.png").read_bytes()) for i in range(3)])
    a, b = fixed(paired(spec, tmp_path / "x.tar"), "train", 1)
    assert torch.equal(a[0], as_batch(1))
    assert torch.equal(b[0], as_batch(2))


@pytest.mark.parametrize("listed", [True, False])
def test_unpaired_samples_may_hold_one_side(listed: bool, tmp_path: Path, spec: Make) -> None:
    shard(tmp_path / "train-0.tar", [(f"A/{i}.a.png", png(i)) for i in range(5)] + [("B/0.b.png", png(100))])
    shard(tmp_path / "train-1.tar", [(f"B/{i}.b.png", png(100 + i)) for i in range(1, 7)])
    if listed:
        counts = [{"a": 5, "b": 1}, {"b": 6}]
        told = [{**entry(tmp_path / f"train-{i}.tar"), "samples": 6, "pictures": counts[i]} for i in (0, 1)]
        listing(tmp_path, splits={"train": told})
    unpaired = spec(layout="unpaired", shards=str(tmp_path), crop=16, split=WHOLE, flip=False, buffer=3)
    split = open_split(unpaired, "train")
    assert [len(side) for side in split.files] == [5, 7]
    assert listed or not split.registered
    batches = Batches(unpaired, batch=1)
    seen = [[x.numpy().tobytes() for x in batch] for batch in islice(batches, 35)]
    for side, n, first in ((0, 5, 0), (1, 7, 100)):
        whole = {as_batch(first + i)[None].numpy().tobytes() for i in range(n)}
        assert all({pair[side] for pair in seen[start : start + n]} == whole for start in range(0, 35, n))


# --- splits ----------------------------------------------------------------------------------------------------------


def test_names_tell_the_split(tmp_path: Path, spec: Make) -> None:
    for i, name in enumerate(("train-0", "train-1", "val-0", "test-0")):
        shard(tmp_path / f"{name}.tar", pairs(10 * i, 3))
    found = {s: [f.name[:6] for f in open_split(paired(spec, tmp_path), s).files[0]] for s in ("train", "val", "test")}
    assert found["val"] == ["000020", "000021", "000022"]
    assert (len(found["train"]), found["test"][0]) == (6, "000030")
    shard(tmp_path / "validation-1.tar", pairs(0, 1))
    with pytest.raises(UserError, match=r"which split is validation-1\.tar\?"):
        open_split(paired(spec, tmp_path), "train")


@pytest.mark.parametrize(("shards", "whole"), [(20, True), (3, False), (1, False)])
def test_shares_of_shards_are_disjoint_and_complete(shards: int, whole: bool, tmp_path: Path, spec: Make) -> None:
    for i in range(shards):
        shard(tmp_path / f"{i:03}.tar", [m for k in range(20) for m in ((f"{20 * i + k:06}.png", b"x"),)])
    told = spec(layout="unlabelled", shards=str(tmp_path), crop=8, split={"val": 0.1, "test": 0.2})
    found = {s: [(f.shard, f.name) for f in open_split(told, s).files[0]] for s in ("train", "val", "test")}
    assert [len(own) for own in found.values()] == [14 * shards, 2 * shards, 4 * shards]
    assert len({each for own in found.values() for each in own}) == 20 * shards
    places = {split: {place for place, _ in own} for split, own in found.items()}
    assert (not places["train"] & places["val"]) == whole
    none = spec(layout="unlabelled", shards=str(tmp_path), crop=8, split={"val": 0, "test": 0.2})
    with pytest.raises(UserError, match=r"no 'val' shards, and data\.split\.val is 0"):
        open_split(none, "val")
    walk = open_split(told, "train").walks[0]
    assert sorted(walk.slot(0, 0, at).item for at in range(len(walk))) == list(range(14 * shards))


# --- order -----------------------------------------------------------------------------------------------------------


def test_an_epoch_holds_every_sample_once_and_windows_stay_near(stored: Path, spec: Make) -> None:
    told = paired(spec, stored, buffer=16)
    seen = keys_of(told, 64 * 6)
    for epoch in range(6):
        own = seen[64 * epoch : 64 * epoch + 64]
        assert sorted(own) == list(range(64))
        for at in range(48):  # 16 samples in a row lie in two windows, which are 32 places: at most 5 shards
            assert len({key // 10 for key in own[at : at + 16]}) <= 5
    assert len({tuple(key // 10 for key in seen[64 * e : 64 * e + 8]) for e in range(6)}) > 3
    assert keys_of(told, 64, seed=1) != seen[:64]
    assert keys_of(paired(spec, stored, buffer=10**6), 64) != seen[:64]
    inside = paired(spec, stored, buffer=1)
    ordered = keys_of(inside, 64)
    assert all(b == a + 1 for a, b in pairwise(ordered) if a % 10 < 9 and a != 63)


def test_windows_have_other_edges_in_every_epoch(stored: Path, spec: Make) -> None:
    walk = open_split(paired(spec, stored / "train-000000.tar", buffer=5), "train").walks[0]
    firsts = [{walk.slot(0, 0, 10 * epoch + at).item for at in range(5)} for epoch in range(30)]
    assert len({frozenset(first) for first in firsts}) > 3  # of one shard, too


@pytest.mark.parametrize("place", ["local", "http"])
def test_a_stream_of_shards_resumes_at_every_position(
    place: str, stored: Path, spec: Make, serve: Callable[..., str]
) -> None:
    where = stored if place == "local" else serve(stored)
    more = {"buffer": 12, "load": 20, "flip": True, "augment": ["VerticalFlip"]}
    whole = taken(paired(spec, stored, **more), 0, 14)
    told = paired(spec, where, **more)
    for position in range(1, 14, 3) if place == "local" else (5,):
        assert equal(taken(told, position, 14), whole[position:]), position
    for workers, world in ((2, 1), (0, 2), (2, 2)):
        assert equal(taken(paired(spec, where, workers=workers, **more), 4, 14, world), whole[4:]), (workers, world)


def test_pictures_to_look_at_come_from_few_shards(tmp_path: Path, spec: Make) -> None:
    for i in range(30):
        shard(tmp_path / f"{i:03}.tar", [(f"{10 * i + k:06}.png", png(k, 4)) for k in range(10)])
    split = open_split(spec(layout="unlabelled", shards=str(tmp_path), crop=4, split=WHOLE), "train")
    chosen = split.walks[0].spread(64)
    assert len(chosen) == len(set(chosen)) == 64
    assert len({item // 10 for item in chosen}) == 8
    assert (chosen[0], chosen[-1]) == (0, 299)
    assert sorted(split.walks[0].spread(1000)) == list(range(300))


def test_a_damaged_picture_is_replaced_from_its_own_shard(tmp_path: Path, spec: Make) -> None:
    for i in range(3):
        members = pairs(10 * i, 10)
        if i == 1:
            members[7] = (members[7][0], b"rubbish")
        shard(tmp_path / f"train-{i}.tar", members)
    said: list[str] = []
    batches = Batches(paired(spec, tmp_path, skip=0.1), batch=30, warn=said.append)
    a, _ = next(batches)
    assert list(batches.skipped) == [f"{tmp_path}/train-1.tar!000013.b.png"]
    assert "not a picture" in said[0]
    bad = batches._order.slots(0)[0]
    at = [slot.item for slot in bad].index(13)
    taken_from = [k for k in range(30) if torch.equal(a[at], as_batch(k))]
    assert taken_from[0] // 10 == 1


def test_a_shard_without_a_usable_picture_is_left_at_last(tmp_path: Path, spec: Make) -> None:
    shard(tmp_path / "train-0.tar", [(f"{i:06}.png", b"rubbish") for i in range(3)])
    shard(tmp_path / "train-1.tar", [(f"{i:06}.png", png(i)) for i in range(3, 40)])
    told = spec(layout="unlabelled", shards=str(tmp_path), crop=16, split=WHOLE, skip=0.5)
    batches = Batches(told, batch=40, warn=lambda _: None)
    assert len(next(batches)) == 40


# --- hostile and broken ----------------------------------------------------------------------------------------------


def _link(kind: bytes) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        with tarfile.open(path, "w") as tar:
            member = tarfile.TarInfo("0.a.png")
            member.type, member.linkname = kind, "/etc/passwd"
            tar.addfile(member)

    return make


def _cut(at: int) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        shard(path, pairs(0, 5))
        path.write_bytes(path.read_bytes()[:at])

    return make


def _huge_header(path: Path) -> None:
    member = tarfile.TarInfo("././@LongLink")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 2**30
    path.write_bytes(member.tobuf(tarfile.GNU_FORMAT) + bytes(2**21))


def _negative(path: Path) -> None:
    block = bytearray(tarfile.TarInfo("0.a.png").tobuf(tarfile.GNU_FORMAT))
    block[124:136] = b"\xff" * 10 + b"\xfe\x00"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    path.write_bytes(bytes(block) + bytes(1024))


def _flipped(path: Path) -> None:
    shard(path, pairs(0, 5))
    content = bytearray(path.read_bytes())
    with tarfile.open(path) as tar:
        at = tar.getmembers()[4].offset
    content[at + 5] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_link(tarfile.SYMTYPE), "is a link or a device"),
        (_link(tarfile.LNKTYPE), "is a link or a device"),
        (_link(tarfile.CHRTYPE), "is a link or a device"),
        (_cut(5000), "not a whole tar file"),
        (_cut(512 * 6), "not a whole tar file"),
        (_cut(300), "not a whole tar file"),
        (_cut(0), "not a whole tar file"),
        (_flipped, "not a whole tar file .*damaged header"),
        (_huge_header, "not a whole tar file .*a header of [0-9,]{13} bytes"),
        (_negative, "not a whole tar file"),
        (lambda path: path.write_bytes(b"rubbish" * 999), "not a whole tar file"),
        (lambda path: shard(path, pairs(0, 3)[:-1]), r"'000002' has no picture 'b' .*it has a\.png"),
        (lambda path: shard(path, [*pairs(0, 1), *pairs(0, 1)]), r"two files 'a\.png'"),
        (lambda path: shard(path, []), "no samples"),
        (lambda path: shard(path, pairs(0, 5)).write_bytes(_gz(path)), "It may be compressed: unpack it first"),
    ],
)
def test_a_broken_or_hostile_shard_is_named(
    make: Callable[[Path], object], said: str, tmp_path: Path, spec: Make
) -> None:
    shard(tmp_path / "train-0.tar", pairs(0, 5))
    make(tmp_path / "train-1.tar")
    with pytest.raises(UserError, match=rf"train-1\.tar: .*{said}"):
        open_split(paired(spec, tmp_path), "train")


def _gz(path: Path) -> bytes:
    import gzip

    return gzip.compress(path.read_bytes())


@pytest.mark.parametrize("label", [b"", b"x", b"-1", b"1.0", b"9" * 20, b"1" * 1000])
def test_a_label_is_a_class_number(label: bytes, tmp_path: Path, spec: Make) -> None:
    shard(tmp_path / "x.tar", [("0.png", png(0)), ("0.cls", label)])
    with pytest.raises(UserError, match=r"x\.tar: expected a class number in 0\.cls"):
        open_split(spec(layout="labelled", shards=str(tmp_path), crop=8), "train")


def test_more_samples_than_a_shard_may_have_are_refused(
    tmp_path: Path, spec: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard(tmp_path / "x.tar", pairs(0, 5))
    monkeypatch.setattr(tars, "MAX_SAMPLES", 3)
    with pytest.raises(UserError, match="more than 3 samples in one shard"):
        open_split(paired(spec, tmp_path), "train")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "format"),
        ({"splits": {"train": [{"file": "../x.tar", "bytes": 1, "samples": 1}]}}, "name of a file beside"),
        ({"splits": {"train": [{"file": "x.tar", "bytes": 0, "samples": 1}]}}, "greater than or equal to 1"),
        ({"splits": {"validation": []}}, "'train', 'val' or 'test'"),
        ({"splits": {}}, "lists"),
    ],
)
def test_a_listing_that_is_wrong_says_where(change: dict[str, Any], said: str, tmp_path: Path, spec: Make) -> None:
    shard(tmp_path / "train-0.tar", pairs(0, 2))
    listing(tmp_path, **change)
    with pytest.raises(UserError, match=rf"index\.json.*{said}|none of the shards .*{said}"):
        open_split(paired(spec, tmp_path), "train")


def test_a_listing_and_its_shards_must_agree(tmp_path: Path, spec: Make) -> None:
    path = shard(tmp_path / "train-0.tar", pairs(0, 3))
    listing(tmp_path, splits={"train": [{**entry(path), "samples": 4}]})
    with pytest.raises(UserError, match=r"train-0\.tar: holds 3 pictures 'a', and 4 are listed"):
        list(open_split(paired(spec, tmp_path), "train").files[0])
    listing(tmp_path, splits={"train": [{**entry(path), "bytes": 9}]})
    with pytest.raises(UserError, match=r"expected 9 bytes as index\.json says, got \d+"):
        open_split(paired(spec, tmp_path), "train")
    (tmp_path / "index.json").write_text("{")
    with pytest.raises(UserError, match="is no list of shards"):
        open_split(paired(spec, tmp_path), "train")


def test_what_is_not_there_is_said(tmp_path: Path, spec: Make) -> None:
    with pytest.raises(UserError, match=r"nothing at .*nowhere\. Expected train-000000\.tar"):
        open_split(paired(spec, tmp_path / "nowhere"), "train")
    with pytest.raises(UserError, match=r"0\.tar: No such file"):
        open_split(paired(spec, tmp_path / "{0..1}.tar"), "train")
    shard(tmp_path / "0.tar", pairs(0, 2))
    split = open_split(paired(spec, tmp_path / "0.tar"), "train")
    (tmp_path / "0.tar").unlink()
    with pytest.raises(UserError, match=r"0\.tar!000001\.a\.png: the shard cannot be read"):
        split.files[0][1].read()


def test_a_changed_shard_is_looked_through_again(tmp_path: Path, spec: Make) -> None:
    shard(tmp_path / "0.tar", pairs(0, 2))
    assert len(open_split(paired(spec, tmp_path), "train")) == 2
    shard(tmp_path / "0.tar", pairs(0, 5))
    assert len(open_split(paired(spec, tmp_path), "train")) == 5


def test_headers_are_read_once(stored: Path, spec: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    told = paired(spec, stored)
    first = list(open_split(told, "train").files[0])
    monkeypatch.setattr("i2i.data.shards.index.scan", None)
    assert list(open_split(told, "train").files[0]) == first
    assert pickle.loads(pickle.dumps(open_split(told, "train"))).files[0][63] == first[63]


def test_a_listing_spares_reading_headers_at_the_start(
    stored: Path, spec: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    scanned: list[Path] = []
    scan = tars.scan
    monkeypatch.setattr("i2i.data.shards.index.scan", lambda path, *more: scanned.append(path) or scan(path, *more))
    split = open_split(paired(spec, stored), "train")
    assert not scanned
    split.files[0][35].read()
    assert [path.name for path in scanned] == ["train-000003.tar"]


# --- from elsewhere --------------------------------------------------------------------------------------------------


class Handler(http.server.SimpleHTTPRequestHandler):
    """A server that knows ranges, and breaks when it is told to."""

    ranges = True
    cuts: dict[str, list[int]] = {}  # noqa: RUF012, by file, after how many bytes each of the next answers breaks off
    asked: list[str] = []  # noqa: RUF012

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        self.asked.append(path.name)
        if not path.is_file():
            super().do_GET()
            return
        content, told = path.read_bytes(), self.headers.get("Range")
        first, last = 0, len(content) - 1
        if told and self.ranges:
            start, _, end = told.removeprefix("bytes=").partition("-")
            first, last = int(start), min(int(end or last), last)
        part = content[first : last + 1]
        self.send_response(206 if told and self.ranges else 200)
        self.send_header("Content-Length", str(len(part)))
        if self.ranges:
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
        self.end_headers()
        cut = self.cuts.get(path.name)
        self.wfile.write(part[: cut.pop(0)] if cut else part)
        if cut is not None:
            self.close_connection = True

    def end_headers(self) -> None:
        if self.command == "HEAD" and self.ranges:
            self.send_header("Accept-Ranges", "bytes")
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """serve(folder, ranges=True): its URL; the server counts in Handler.asked what is asked for."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    servers = []

    def start(folder: Path, ranges: bool = True, cuts: dict[str, list[int]] | None = None) -> str:
        kind = type("Own", (Handler,), {"ranges": ranges, "cuts": cuts or {}})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(kind, directory=str(folder)))
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        Handler.asked.clear()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("ranges", [True, False])
def test_shards_are_fetched_whole_and_once(ranges: bool, stored: Path, spec: Make, serve: Callable[..., str]) -> None:
    told = paired(spec, serve(stored, ranges))
    a, b = next(in_order(told, "train", 64))
    assert torch.equal(a, torch.stack([as_batch(i) for i in range(64)]))
    assert torch.equal(b, torch.stack([as_batch(1000 + i) for i in range(64)]))
    asked = [name for name in Handler.asked if name.endswith(".tar")]
    Handler.asked.clear()
    assert len(set(asked)) == 7
    assert torch.equal(next(in_order(told, "train", 64))[0], a)
    assert not [name for name in Handler.asked if name.endswith(".tar")]
    assert (
        open_split(told, "train").fingerprint
        != open_split(paired(spec, stored / "train-000001.tar"), "train").fingerprint
    )


@pytest.mark.parametrize("where", ["", "/train-{000000..000006}.tar"])
def test_shards_elsewhere_need_no_listing(
    where: str, stored: Path, tmp_path: Path, spec: Make, serve: Callable[..., str]
) -> None:
    for path in stored.glob("*.tar"):
        (tmp_path / path.name).symlink_to(path)
    url = serve(tmp_path)
    split = open_split(paired(spec, url + where), "train")
    assert [file.name[:6] for file in split.files[0]] == [f"{i:06}" for i in range(64)]


def test_shards_in_memory_are_a_file_system_like_any_other(stored: Path, spec: Make) -> None:
    import fsspec

    fs = fsspec.filesystem("memory")
    for path in stored.iterdir():
        fs.pipe_file(f"/bucket/{path.name}", path.read_bytes())
    told = paired(spec, "memory://bucket")
    assert torch.equal(fixed(told, "train", 64)[0], fixed(paired(spec, stored), "train", 64)[0])
    fs.rm("/bucket", recursive=True)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_connection_is_taken_up_again(
    ranges: bool, stored: Path, spec: Make, serve: Callable[..., str]
) -> None:
    cuts = {"train-000002.tar": [3000, 1, 5000]}
    told = paired(spec, serve(stored, ranges, cuts))
    assert torch.equal(fixed(told, "train", 64)[0], fixed(paired(spec, stored), "train", 64)[0])
    assert not cuts["train-000002.tar"]


def test_a_connection_that_stays_broken_names_the_url(stored: Path, spec: Make, serve: Callable[..., str]) -> None:
    url = serve(stored, True, {"train-000002.tar": [0] * 99})
    batches = Batches(paired(spec, url, buffer=1000), batch=64)
    with pytest.raises(UserError, match=rf"{url}/train-000002\.tar: could not be read .* in 5 tries"):
        next(batches)
    with pytest.raises(UserError, match=r"none of the shards that .* lists"):
        open_split(paired(spec, f"{url}/nothing-{{0..9}}.tar"), "train")


def test_a_shard_that_is_not_the_listed_one_is_refused(
    stored: Path, tmp_path: Path, spec: Make, serve: Callable[..., str]
) -> None:
    for path in stored.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    changed = bytearray((tmp_path / "train-000003.tar").read_bytes())
    changed[700] ^= 1
    (tmp_path / "train-000003.tar").write_bytes(changed)
    told = paired(spec, serve(tmp_path))
    with pytest.raises(UserError, match=r"train-000003\.tar: expected sha256 \w+, got \w+"):
        fixed(told, "train", 64)
    (tmp_path / "train-000003.tar").write_bytes(changed + b"\0" * 512)
    with pytest.raises(UserError, match=r"train-000003\.tar: expected [\d,]+ bytes, got [\d,]+"):
        fixed(told, "train", 64)
    assert not list((remote.home() / "cache/shards").glob("*.part"))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("gs://bucket/x.tar", "gs://bucket.*needs one more package.*gcsfs"),
        ("s5://bucket/x.tar", "s5://bucket"),
    ],
)
def test_a_missing_plug_in_says_what_to_install(url: str, said: str, spec: Make) -> None:
    with pytest.raises(UserError, match=said):
        open_split(paired(spec, url), "train")


def test_fetched_shards_keep_to_their_budget(
    stored: Path, spec: Make, serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    size = (stored / "train-000000.tar").stat().st_size
    monkeypatch.setattr(remote, "BUDGET", 3 * size + 100)
    told = paired(spec, serve(stored))
    largest = 0
    for a, _ in in_order(told, "train", 4):
        kept = sum(path.stat().st_size for path in (remote.home() / "cache/shards").glob("*.tar"))
        largest = max(largest, kept)
        assert len(a) == 4
    assert 2 * size < largest <= 3 * size + 100
    split = open_split(told, "train")
    split.files[0][5].read()
    split.files[0][63].read(), split.files[0][55].read()
    Handler.asked.clear()
    split.files[0][5].read()  # used last but two, so it is still there
    assert not Handler.asked
    monkeypatch.setattr(remote, "SPARE", 2**60)
    with pytest.raises(UserError, match="do not fit on the disk"):
        split.files[0][15].read()


def test_a_shard_that_makes_room_for_another_while_it_is_read_is_fetched_again(
    stored: Path, spec: Make, serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    member = open_split(paired(spec, serve(stored)), "train").files[0][5]
    content, where = member.read(), remote.local
    removed: list[Path] = []

    def just_removed(*told: str) -> Path:
        path = where(*told)
        if not removed:
            path.unlink()
            removed.append(path)
        return path

    monkeypatch.setattr("i2i.data.reference.local", just_removed)
    assert member.read() == content
    assert removed


def test_the_next_shards_are_fetched_ahead(stored: Path, spec: Make, serve: Callable[..., str]) -> None:
    batches = Batches(paired(spec, serve(stored), buffer=10), batch=2)
    next(batches)
    for _ in range(200):
        if len({name for name in Handler.asked if name.endswith(".tar")}) >= 3:
            break
        threading.Event().wait(0.02)
    fetched = len({name for name in Handler.asked if name.endswith(".tar")})
    needed = len({file.shard for file in batches.files(0, 1) if isinstance(file, Member)})
    assert needed < fetched < 7


def as_batch(key: int) -> torch.Tensor:
    return torch.from_numpy(picture(key)).permute(2, 0, 1).float() / 127.5 - 1

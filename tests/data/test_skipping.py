"""A picture that cannot be used costs its own place and no other: named once, replaced by key, within a budget."""

import multiprocessing
import re
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
from i2i.images import write

Make = Callable[..., Data]
Fill = Callable[..., None]

WHOLE = {"val": 0, "test": 0}
BAD = {"03.jpg": "damaged or cut short", "07.png": "0 bytes", "11.jpg": "not a picture", "12.png": "8×8.*smaller"}


def grey(level: int, size: int = 16) -> np.ndarray:
    return np.full((size, size, 3), level, np.uint8)


def level(x: torch.Tensor) -> int:
    """The grey of a picture of one colour, c h w in [-1, 1]."""
    return int(((x.mean() + 1) * 127.5).round())


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """24 pictures, each of one grey (10 × its number), in every disguise of the field; in `clean` the bad are whole."""
    folder, clean = tmp_path / "mixed", tmp_path / "clean"
    for i in range(24):
        for home in (folder, clean):
            write(home / f"{i:02}.{'jpg' if i in (0, 3, 11) else 'png'}", grey(10 * i))
    Image.fromarray(grey(0)).convert("CMYK").save(folder / "00.jpg")
    Image.fromarray(np.full((16, 16), 10 * 257, np.uint16)).save(folder / "01.png")  # 16-bit grey
    Image.fromarray(grey(20)).quantize(4).save(folder / "02.png")  # palette
    frames = [Image.fromarray(grey(g)) for g in (40, 200)]
    frames[0].save(folder / "04.png", save_all=True, append_images=frames[1:])  # animated
    Image.fromarray(grey(50)).save(folder / "05.png", format="WEBP", lossless=True)  # renamed
    Image.fromarray(grey(60)).convert("RGBA").save(folder / "06.png")
    whole = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(whole).save(folder / "03.jpg")
    (folder / "03.jpg").write_bytes((folder / "03.jpg").read_bytes()[:1500])
    (folder / "07.png").write_bytes(b"")
    (folder / "11.jpg").write_bytes(b"rubbish")
    write(folder / "12.png", grey(120, 8), force=True)
    return tmp_path


def run(spec: Data, n: int, batch: int = 6, **more: Any) -> tuple[list[Any], list[str], Batches]:
    said: list[str] = []
    batches = Batches(spec, batch=batch, warn=said.append, **more)
    given = list(islice(batches, n))
    batches.close()
    return given, said, batches


def plain(spec: Make, root: Path, **more: Any) -> Data:
    return spec(**{"layout": "unlabelled", "root": root, "crop": 16, "flip": False, "split": WHOLE, "skip": 0.2} | more)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_mixed_folder_trains_in_a_stable_order(workers: int, mixed: Path, spec: Make) -> None:
    clean = torch.cat(run(plain(spec, mixed / "clean"), 8)[0])
    given, said, batches = run(plain(spec, mixed / "mixed", workers=workers), 8)
    assert {Path(path).name for path in batches.skipped} == BAD.keys()
    for name, reason in BAD.items():
        (line,) = [line for line in said if name in line]
        assert re.search(reason, line)
        assert line.endswith("of at most 4).")
    assert len(said) == 4  # each of them once, in two epochs
    expected = [level(x) for x in clean]
    got = [level(x) for x in torch.cat(given)]
    replaced = [now for was, now in zip(expected, got, strict=True) if was in (30, 70, 110, 120)]
    others = [(was, now) for was, now in zip(expected, got, strict=True) if was not in (30, 70, 110, 120)]
    assert all(was == now for was, now in others)
    assert len(replaced) == 8
    assert not {30, 70, 110, 120} & set(replaced)
    assert len(set(replaced)) > 3


def test_replacements_depend_on_no_worker_rank_or_resume(mixed: Path, spec: Make) -> None:
    told = plain(spec, mixed / "mixed")
    whole = run(told, 8)[0]
    for position in range(1, 8):
        assert torch.equal(torch.cat(run(told, 8 - position, position=position)[0]), torch.cat(whole[position:]))
    with_workers = run(plain(spec, mixed / "mixed", workers=2, cache="off"), 4, position=4)[0]
    assert torch.equal(torch.cat(with_workers), torch.cat(whole[4:]))
    for world in (2, 3):
        ranks = [run(told, 8, rank=rank, world=world)[0] for rank in range(world)]
        assert all(torch.equal(torch.cat(parts), x) for *parts, x in zip(*ranks, whole, strict=True))


def test_a_replacement_gets_a_window_of_its_own(tmp_path: Path, spec: Make, fill: Fill) -> None:
    fill(tmp_path, 2, size=32)
    (tmp_path / "000.png").write_bytes(b"")
    given = run(plain(spec, tmp_path, crop=8), 1, batch=2)[0][0]
    assert not torch.equal(given[0], given[1])


def test_labels_follow_the_replacement(tmp_path: Path, spec: Make) -> None:
    for label, name in enumerate("xyz"):
        for i in range(5):
            write(tmp_path / name / f"{i}.png", grey(label))
    for bad in ("x/0", "x/1", "y/3"):
        (tmp_path / f"{bad}.png").write_bytes(b"")
    given, _, batches = run(plain(spec, tmp_path, layout="labelled"), 5, batch=15)
    assert len(batches.skipped) == 3
    for x, y in given:
        assert [level(one) for one in x] == y.tolist()


def test_more_than_the_budget_stops_and_names_five(tmp_path: Path, spec: Make, fill: Fill) -> None:
    fill(tmp_path, 30)
    for i in range(20):
        (tmp_path / f"{i:03}.png").write_bytes(b"rubbish")
    for workers in (0, 2):
        told, said = plain(spec, tmp_path, workers=workers), []
        batches = Batches(told, batch=2, warn=said.append)
        with pytest.raises(UserError, match=r"8 of 30 pictures cannot be used so far; `skip: 0\.2` allows 6") as caught:
            list(islice(batches, 20))
        assert len(re.findall(r"\d\d\d\.png: not a picture", str(caught.value))) == 5
        assert "--set data.skip=0.5" in str(caught.value)
        assert len(said) <= 6
        assert not multiprocessing.active_children()


def test_one_may_be_skipped_in_a_small_set_and_none_where_skip_is_zero(tmp_path: Path, spec: Make, fill: Fill) -> None:
    fill(tmp_path, 10)
    (tmp_path / "003.png").write_bytes(b"")
    assert len(run(plain(spec, tmp_path, skip=0.01), 10)[2].skipped) == 1
    with pytest.raises(UserError, match=r"003\.png: expected a picture, got 0 bytes.*--set data\.skip=0\.01"):
        run(plain(spec, tmp_path, skip=0), 10)
    (tmp_path / "004.png").write_bytes(b"")
    with pytest.raises(UserError, match="2 of 10 pictures"):
        run(plain(spec, tmp_path, skip=0.01), 10)


def test_a_side_without_any_usable_picture_stops(tmp_path: Path, spec: Make, fill: Fill) -> None:
    fill(tmp_path / "trainA", 50)
    fill(tmp_path / "trainB", 1)
    (tmp_path / "trainB/000.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"000\.png.*none to take its place"):
        run(plain(spec, tmp_path, layout="unpaired"), 1, batch=1)


def test_a_file_that_vanishes_during_training_is_skipped(tmp_path: Path, spec: Make, fill: Fill) -> None:
    fill(tmp_path, 10)
    said: list[str] = []
    batches = Batches(plain(spec, tmp_path, cache="off"), batch=5, warn=said.append)
    next(batches), next(batches)
    (tmp_path / "004.png").unlink()
    list(islice(batches, 4))
    assert list(batches.skipped) == [str(tmp_path / "004.png")]
    assert "no such file" in said[0]


@pytest.mark.parametrize("which", ["differ", "broken", "small"])
def test_bad_pairs_are_skipped_whole_and_named(which: str, tmp_path: Path, spec: Make, fill: Fill) -> None:
    fill(tmp_path / "A", 8)
    fill(tmp_path / "B", 8)
    if which == "broken":
        (tmp_path / "B/002.png").write_bytes(b"x")
    else:
        write(tmp_path / "B/002.png", grey(0, 12), force=True)
    if which == "small":
        write(tmp_path / "A/002.png", grey(0, 12), force=True)
    given, said, _ = run(plain(spec, tmp_path, layout="paired"), 2, batch=8)
    assert all(torch.equal(a, b) for a, b in given)
    says = {"differ": r"A/002.*: 16×16 and 12×12", "broken": r"B/002.*not a picture", "small": r"A/002.*12×12.*smaller"}
    assert re.search(says[which], said[0])
    with pytest.raises(UserError, match=r"002\.png"):
        fixed(plain(spec, tmp_path, layout="paired"), "train", 8)


def test_what_is_tested_is_never_replaced(mixed: Path, spec: Make) -> None:
    told = plain(spec, mixed / "mixed")
    with pytest.raises(UserError, match=r"03\.jpg: the picture is damaged"):
        fixed(told, "train", 24)
    with pytest.raises(UserError, match=r"03\.jpg: the picture is damaged"):
        list(in_order(told, "train", 4))
    (mixed / "mixed/03.jpg").unlink()
    with pytest.raises(UserError, match=r"07\.png: expected a picture, got 0 bytes"):
        fixed(told, "train", 23)


def test_resized_pairs_are_tested_although_their_sizes_differ(tmp_path: Path, spec: Make, fill: Fill) -> None:
    fill(tmp_path / "A", 2)
    fill(tmp_path / "B", 2, size=20)
    a, b = fixed(plain(spec, tmp_path, layout="paired", load=18), "train", 2)
    assert a.shape == b.shape == (2, 3, 16, 16)


def test_files_names_what_a_batch_was_made_from(mixed: Path, spec: Make) -> None:
    told = plain(spec, mixed / "mixed")
    for rank in (0, 1):
        given, _, batches = run(told, 8, rank=rank, world=2)
        for position, x in enumerate(given):
            named = batches.files(position, position + 1)
            assert [int(path.stem) * 10 for path in named] == [level(one) for one in x]
        assert batches.files(0, 8) == [path for p in range(8) for path in batches.files(p, p + 1)]
    assert batches.files(3, 3) == []


def test_files_names_both_sides(tmp_path: Path, spec: Make, fill: Fill) -> None:
    fill(tmp_path / "A", 4)
    fill(tmp_path / "B", 4)
    for layout in ("paired", "unpaired"):
        batches = Batches(plain(spec, tmp_path, layout=layout), batch=2)
        named = batches.files(1, 2)
        assert sorted(path.parent.name for path in named) == ["A", "A", "B", "B"]
    assert Batches(spec(layout="mixture"), batch=2).files(0, 5) == []

"""Dividing without leaks: what looks alike, belongs together or has one name is never on two sides."""

import io
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from i2i.data import Data, open_split
from i2i.data.make.split import Member, assigned, fractions, split, together
from i2i.data.spec import Fractions
from i2i.errors import UserError
from i2i.images import write

Scene = Callable[..., np.ndarray]
Spec = Callable[..., Data]


def where(out: Path) -> dict[str, str]:
    """Name of a file, with its class → its split."""
    return {
        path.relative_to(out / name).as_posix(): name
        for name in ("train", "val", "test")
        for path in (out / name).rglob("*")
        if path.is_file()
    }


def counts(places: dict[str, str]) -> list[int]:
    return [list(places.values()).count(name) for name in ("train", "val", "test")]


def members(*names: str, kind: str = "") -> list[Member]:
    return [Member(name, kind, ()) for name in names]


def test_shares_are_exact_and_files_are_the_same(tmp_path: Path, scene: Scene, spec: Spec) -> None:
    for i in range(40):
        write(tmp_path / "in" / f"{i:02}.png", scene(i))
    made = split(tmp_path / "in", tmp_path / "out", Fractions(val=0.2, test=0.1))
    places = where(tmp_path / "out")
    assert counts(places) == [28, 8, 4]
    assert made.note.startswith("train 28, val 8, test 4")
    for name, home in places.items():
        assert (tmp_path / "out" / home / name).read_bytes() == (tmp_path / "in" / name).read_bytes()
    data = spec(layout="unlabelled", root=tmp_path / "out", crop=8)
    assert [len(open_split(data, name)) for name in ("train", "val", "test")] == [28, 8, 4]


def test_copies_and_near_copies_always_land_on_one_side(tmp_path: Path, scene: Scene) -> None:
    for i in range(12):
        picture = scene(i, 96)
        write(tmp_path / "in" / f"{i:02}_first.png", picture)
        write(tmp_path / "in" / f"z{i:02}_same.png", picture)
        write(tmp_path / "in" / f"m{i:02}_small.png", cv2.resize(picture, (60, 60), interpolation=cv2.INTER_AREA))
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=70)
        (tmp_path / "in" / f"a{i:02}_jpeg.jpg").write_bytes(file.getvalue())
    for seed in range(5):
        split(tmp_path / "in", tmp_path / f"out{seed}", Fractions(val=0.25, test=0.25, seed=seed))
        places = where(tmp_path / f"out{seed}")
        assert counts(places) == [24, 12, 12]
        for i in range(12):
            assert len({home for name, home in places.items() if f"{i:02}_" in name}) == 1


def test_pairs_stay_together_and_a_copy_on_either_side_joins_them(tmp_path: Path, scene: Scene, spec: Spec) -> None:
    for i in range(20):
        write(tmp_path / "in" / "A" / f"{i}.png", scene(i if i != 13 else 2))  # two pairs with one input
        write(tmp_path / "in" / "B" / f"{i}.png", scene(100 + (i if i != 17 else 5)))  # two with one output
        write(tmp_path / "in" / "mask" / f"{i}.png", np.zeros((48, 48), np.uint8))  # all blank, which tells nothing
    for seed in range(4):
        out = tmp_path / f"out{seed}"
        split(tmp_path / "in", out, Fractions(val=0.2, test=0.2, seed=seed))
        home = {path.stem: path.parent.name[:-1] for path in out.glob("*A/*.png")}
        assert len(home) == 20
        assert home["13"] == home["2"]
        assert home["17"] == home["5"]
        for side in ("B", "mask"):
            assert {path.stem: path.parent.name.removesuffix(side) for path in out.glob(f"*{side}/*.png")} == home
        assert sorted(list(home.values()).count(name) for name in ("val", "test")) == [4, 4]
        data = spec(layout="paired", root=out, crop=8, condition=["mask"])
        assert sum(len(open_split(data, name)) for name in ("train", "val", "test")) == 20


def test_every_class_has_its_share(tmp_path: Path, scene: Scene, spec: Spec) -> None:
    for kind, count in (("cat", 20), ("dog", 10), ("emu", 3)):
        for i in range(count):
            write(tmp_path / "in" / kind / f"{i}.png", scene(1000 * len(kind) + 100 * ord(kind[0]) + i))
    split(tmp_path / "in", tmp_path / "out", Fractions(val=0.1, test=0.2))
    places = where(tmp_path / "out")
    by_class = {
        kind: counts({name: home for name, home in places.items() if name.startswith(kind)})
        for kind in ("cat", "dog", "emu")
    }
    assert by_class == {"cat": [14, 2, 4], "dog": [7, 1, 2], "emu": [1, 1, 1]}
    assert open_split(spec(layout="labelled", root=tmp_path / "out", crop=8), "test").classes == ("cat", "dog", "emu")


def test_one_added_picture_moves_at_most_two_others() -> None:
    names = [f"{i:03}" for i in range(200)]
    shares = Fractions(val=0.15, test=0.15, seed=3)
    before: dict[str, str] = {}
    for count in range(3, 200):
        found = members(*names[:count])
        now = assigned(found, [[i] for i in range(count)], shares)
        assert sum(now[name] != before[name] for name in before) <= 2
        before = now


def test_a_division_that_is_replaced_leaves_no_picture_on_two_sides(tmp_path: Path, scene: Scene) -> None:
    for i in range(20):
        write(tmp_path / "in" / f"{i}.png", scene(i))
    for seed in range(3):
        split(tmp_path / "in", tmp_path / "out", Fractions(val=0.3, test=0.3, seed=seed), force=True)
        assert len(list((tmp_path / "out").rglob("*.png"))) == 20
    with pytest.raises(UserError, match="holds"):
        split(tmp_path / "in", tmp_path, force=True)
    assert len(list((tmp_path / "in").iterdir())) == 20


def test_another_seed_divides_otherwise_and_the_same_alike(tmp_path: Path, scene: Scene) -> None:
    for i in range(20):
        write(tmp_path / "in" / f"{i}.png", scene(i))
    for name, seed in (("one", 1), ("again", 1), ("two", 2)):
        split(tmp_path / "in", tmp_path / name, Fractions(seed=seed))
    assert where(tmp_path / "one") == where(tmp_path / "again") != where(tmp_path / "two")


@pytest.mark.parametrize("seed", range(6))
def test_groups_that_are_too_large_for_a_share_go_to_train(seed: int) -> None:
    found = members(*"abcdefghij")
    groups = [[0, 1, 2, 3], *([i] for i in range(4, 10))]
    places = assigned(found, groups, Fractions(val=0.2, test=0.2, seed=seed))
    assert {places[name] for name in "abcd"} == {"train"}
    assert counts(places) == [6, 2, 2]


def test_samples_are_joined_by_any_of_their_pictures() -> None:
    far = [1 << 60, 255 << 20, 255 << 40, 0b1010101 << 8]
    assert together([(far[0], far[1]), (far[2],), (far[3], far[0] | 1), (far[2] ^ 6,)], 3) == [[0, 2], [1, 3]]


def test_what_is_divided_is_only_divided_anew_when_asked_for(tmp_path: Path, scene: Scene) -> None:
    for i in range(12):
        write(tmp_path / "in" / ("train" if i < 8 else "test") / f"{i}.png", scene(i % 8))  # four pictures leak
    with pytest.raises(UserError, match="--again"):
        split(tmp_path / "in", tmp_path / "out")
    split(tmp_path / "in", tmp_path / "out", Fractions(val=0.2, test=0.2), again=True)
    places = where(tmp_path / "out")
    assert len(places) == 12
    assert all(places[f"{i}.png"] == places[f"{i + 8}.png"] for i in range(4))


def test_equal_names_of_two_splits_get_on_when_divided_anew(tmp_path: Path, scene: Scene) -> None:
    for i in range(10):
        write(tmp_path / "in" / "train" / "cat" / f"{i}.png", scene(i))
        write(tmp_path / "in" / "test" / "cat" / f"{i}.png", scene(50 + i))
    split(tmp_path / "in", tmp_path / "out", again=True)
    names = {f"cat/{i}.png" for i in range(10)} | {f"cat/test_{i}.png" for i in range(10)}
    places = where(tmp_path / "out")
    assert places.keys() == names
    home = places["cat/test_3.png"]
    assert (tmp_path / "out" / home / "cat/test_3.png").read_bytes() == (tmp_path / "in/test/cat/3.png").read_bytes()


def test_unpaired_sides_are_divided_each_for_itself(tmp_path: Path, scene: Scene, spec: Spec) -> None:
    for i in range(20):
        write(tmp_path / "in" / "trainA" / f"horse{i}.png", scene(i))
        if i < 10:
            write(tmp_path / "in" / "trainB" / f"zebra{i}.png", scene(50 + i))
    split(tmp_path / "in", tmp_path / "out")
    data = spec(layout="unpaired", root=tmp_path / "out", crop=8)
    sizes = [[len(side) for side in open_split(data, name).files] for name in ("train", "val", "test")]
    assert sizes == [[16, 8], [2, 1], [2, 1]]


def test_links_share_the_files_and_broken_pictures_are_left_out(tmp_path: Path, scene: Scene) -> None:
    for i in range(10):
        write(tmp_path / "in" / f"{i}.png", scene(i))
    (tmp_path / "in" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    made = split(tmp_path / "in", tmp_path / "out", link=True)
    assert [path.name for path, _ in made.skipped] == ["broken.png"]
    places = where(tmp_path / "out")
    assert len(places) == 10
    assert all((tmp_path / "out" / home / name).samefile(tmp_path / "in" / name) for name, home in places.items())


def test_classes_called_a_and_b_among_other_letters_are_no_sides(tmp_path: Path, scene: Scene) -> None:
    for letter in "ABC":
        for i in range(5):
            write(tmp_path / "in" / letter / f"{i}.png", scene(ord(letter) * 10 + i))
    split(tmp_path / "in", tmp_path / "out", Fractions(val=0.2, test=0.2))
    places = where(tmp_path / "out")
    assert counts(places) == [9, 3, 3]
    assert {name[0] for name, home in places.items() if home == "val"} == {"A", "B", "C"}


def test_pictures_that_belong_nowhere_are_counted(tmp_path: Path, scene: Scene) -> None:
    for i in range(12):
        for side in "AB":
            write(tmp_path / "in" / f"train{side}" / f"{i}.png", scene(i + 100 * ord(side)))
    write(tmp_path / "in" / "drafts" / "x.png", scene(0))
    assert split(tmp_path / "in", tmp_path / "out").note.endswith("1 pictures in other folders were left out")


def test_a_set_of_look_alikes_says_so(tmp_path: Path, scene: Scene) -> None:
    for i in range(10):
        write(tmp_path / "in" / f"{i}.png", scene(0 if i < 6 else i))
    made = split(tmp_path / "in", tmp_path / "out")
    assert "6 look-alikes in 1 groups, the largest of 6" in made.note


def test_shares_that_leave_nothing_are_refused() -> None:
    for val, test in ((0.5, 0.5), (1, 0), (-0.1, 0.1)):
        with pytest.raises(UserError, match="leave pictures"):
            fractions(val, test)

"""Cards are complete, embedded sets are small, licensed, whole, and keep train, val and test on different ground."""

import multiprocessing
import re
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

from i2i.data import Data, card, fixed, names, open_split, root
from i2i.data.prepare import unzip
from i2i.errors import UserError
from i2i.images import read
from i2i.paths import shared

EMBEDDED = [name for name in names() if card(name).make]
EARTH = [name for name in EMBEDDED if name.startswith("earth")]


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("I2I_HOME", str(folder))
        yield folder  # type: ignore[misc]


def test_the_promised_sets_have_cards() -> None:
    assert {"fluent_line2d3d", "earth_day2night", "earth_map2sat", "fashion_mnist", "digits"} <= set(EMBEDDED)
    assert {"earth_day2night_unpaired", "earth_map2sat_unpaired"} <= set(EMBEDDED)
    assert {"horse2zebra", "facades", "edges2shoes", "day2night", "faces"} <= set(names())
    assert all(card(name).name == name for name in names())


def test_all_that_is_embedded_is_small() -> None:
    assert sum(path.stat().st_size for path in shared("datasets").rglob("*") if path.is_file()) <= 20_000_000


@pytest.mark.parametrize("name", EMBEDDED)
def test_an_embedded_set_is_whole_and_licensed(name: str) -> None:
    folder, told = root(name), card(name)
    counts = {key: sum(1 for _ in (folder / key).rglob("*.png")) for key in told.counts}
    assert counts == told.counts
    assert {path.name for path in folder.iterdir() if path.is_dir()} == set(told.counts)
    heading = re.search(rf"^## .*\b{name}\b.*$", (shared("datasets") / "LICENCES.md").read_text("utf-8"), re.M)
    assert heading, f"LICENCES.md has no section on {name}"
    assert told.licence
    assert told.attribution


@pytest.mark.parametrize("name", EMBEDDED)
def test_an_embedded_set_opens_under_its_own_layout(name: str) -> None:
    size = {"digits": 8, "fashion_mnist": 28}.get(name, 64)
    spec = TypeAdapter(Data).validate_python({"layout": card(name).layout, "dataset": name, "crop": size})
    for split in ("train", "val", "test"):
        first = fixed(spec, split, 2)[0]
        assert first.shape == (2, 3, size, size)
        assert first.std() > 0.02
    if card(name).layout == "unpaired":
        assert open_split(spec, "test").registered
        assert open_split(spec, "val").registered


def spans(name: str) -> dict[str, set[int]]:
    """The columns of the 2048 px wide map that each folder's tiles cover."""
    found = {}
    for folder in sorted(path for path in root(name).iterdir() if path.is_dir()):
        columns: set[int] = set()
        for path in folder.glob("*.png"):
            degrees = float(path.name[1:7]) * (1 if path.name[0] == "E" else -1)
            left = round((degrees + 180) / 360 * 2048)
            columns |= set(range(left, left + read(path).shape[1]))
        found[folder.name] = columns
    return found


@pytest.mark.parametrize("name", EARTH)
def test_no_longitude_is_in_two_splits(name: str) -> None:
    on = spans(name)
    train = on["trainA"] | on["trainB"]
    assert not train & on["valA"]
    assert not train & on["testA"]
    assert not on["valA"] & on["testA"]
    if name.endswith("unpaired"):
        assert not on["trainA"] & on["trainB"]
    else:
        assert on["trainA"] == on["trainB"]
    assert {column * 16 // 2048 for column in on["testA"]} <= {5, 8, 12}


def test_sides_of_an_earth_tile_show_the_same_ground() -> None:
    """Seas are blue on the map and by day; that agrees within a tile, and not with another place's tile."""
    folder = root("earth_map2sat")

    def blueness(path: Path) -> np.ndarray:
        pixels = read(path).astype(float)
        return (pixels[:, :, 2] - pixels[:, :, 0]).ravel()

    relief, day = ([blueness(path) for path in sorted((folder / side).glob("*.png"))] for side in ("testA", "testB"))
    pairs = [(a, b) for a, b in zip(relief, day, strict=True) if a.std() > 20 and b.std() > 20]
    own = [np.corrcoef(a, b)[0, 1] for a, b in pairs]
    others = [np.corrcoef(pairs[i][0], pairs[i - 7][1])[0, 1] for i in range(len(pairs))]
    assert len(pairs) > 20
    assert np.median(own) > 0.6 > 0.3 > np.median(others)


def test_digits_train_and_test_share_no_picture() -> None:
    folder = root("digits")
    train, test = ({path.read_bytes() for path in (folder / split).rglob("*.png")} for split in ("train", "test"))
    assert len(train & test) == 0


def test_an_unknown_set_suggests_the_nearest() -> None:
    with pytest.raises(UserError, match=r"'horse2zebras'.*Did you mean horse2zebra"):
        card("horse2zebras")
    with pytest.raises(UserError, match="no data set"):
        root("../../etc")


def test_a_set_that_does_not_ship_says_where_it_is_and_where_to_put_it(home: Path) -> None:
    with pytest.raises(UserError) as told:
        root("horse2zebra")
    for part in ("cyclegan/datasets/horse2zebra.zip", "a74d9d39", str(home / "datasets/horse2zebra"), "trainA/*.jpg"):
        assert part in str(told.value)
    with pytest.raises(UserError, match="yours to bring"):
        root("faces")
    (home / "datasets/horse2zebra/trainA").mkdir(parents=True)
    assert root("horse2zebra") == home / "datasets/horse2zebra"


def test_a_prepared_set_is_used_again_and_an_outdated_one_made_anew() -> None:
    folder = root("earth_map2sat")
    (folder / "mark").touch()
    root("earth_map2sat")
    assert (folder / "mark").exists()
    (folder / ".card").write_text("an older card")
    root("earth_map2sat")
    assert not (folder / "mark").exists()
    assert not list(folder.parent.glob(".earth_map2sat.*"))  # no rubbish stays behind


def test_two_processes_may_prepare_one_set_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("I2I_HOME", str(tmp_path))
    with multiprocessing.get_context("fork").Pool(2) as pool:
        folders = pool.map(root, ["digits", "digits"], chunksize=1)
    assert folders[0] == folders[1]
    assert sum(1 for _ in folders[0].rglob("*.png")) == 1797
    assert [path.name for path in (tmp_path / "datasets").iterdir()] == ["digits"]


@pytest.mark.parametrize("name", ["../out.png", "/abs.png", "a\\..\\b.png", "C:x.png"])
def test_an_archive_cannot_write_outside_its_folder(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(UserError, match="leads out of"):
        unzip(tmp_path / "bad.zip", tmp_path / "folder")
    assert not (tmp_path / "out.png").exists()


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.png", bytes(100_000))
    monkeypatch.setattr("i2i.data.prepare.MAX_MEMBER", 50_000)
    with pytest.raises(UserError, match="unpacks to over 50,000 bytes"):
        unzip(tmp_path / "bomb.zip", tmp_path / "folder")


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_an_archive_brings_files_and_nothing_else(mode: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        member = zipfile.ZipInfo("a.png")
        member.external_attr = (mode | 0o777) << 16
        archive.writestr(member, "/etc/passwd")
    with pytest.raises(UserError, match="link or a device"):
        unzip(tmp_path / "bad.zip", tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_names_that_differ_in_capitals_alone_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr("a.png", b"x")
        archive.writestr("A.PNG", b"y")
    with pytest.raises(UserError, match="but for capitals"):
        unzip(tmp_path / "bad.zip", tmp_path / "folder")


@pytest.mark.parametrize("damage", [b"", b"PK\3\4 but no archive", None])
def test_what_is_no_whole_archive_is_refused_in_words(damage: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "bad.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(range(256)) * 40)
    whole = path.read_bytes()
    path.write_bytes(whole[:60] + bytes(40) + whole[100:] if damage is None else damage)
    with pytest.raises(UserError, match="not a whole zip"):
        unzip(path, tmp_path / "folder")

"""Cards are complete, embedded sets are small, licensed, whole, and keep train, val and test on different ground."""

import json
import multiprocessing
import re
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import torchvision.datasets
from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAML

from i2i.data import Card, Data, card, describe, fixed, names, open_split, root, rows
from i2i.data.sets.catalogue import as_json, recipes, table
from i2i.errors import UserError
from i2i.images import read
from i2i.paths import shared

EMBEDDED = [name for name in names() if card(name).make]
FETCHED = [name for name in names() if card(name).fetchable]
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


CYCLEGAN = {  # set, archive: bytes and sha256 as TensorFlow Datasets records them
    ("apple2orange", "apple2orange"): (78456409, "845a191e9af8926408ea597001cd03a452e3300a1f44a79fe329b3d59f6e3eb8"),
    ("cezanne2photo", "cezanne2photo"): (279885071, "3a6c10ca21f9485862f1cbd707744b9dc258954a04631271d23a3605eeb63cff"),
    ("cityscapes_unpaired", "cityscapes"): (
        279601602, "d2f6910fd056c1ee9873777ae838e7ac4a2c833598ae62a04188e5ab2f4ea036"
    ),
    ("facades_unpaired", "facades"): (35135868, "9a31ebf3a31b9b5cd195dd5bf62e9308e00cb94604d1019e3889ac84248695c0"),
    ("horse2zebra", "horse2zebra"): (116867962, "a74d9d392eecca9966b51287a76ca126af473d9de4f3e8fc0e9cda08fa1730a1"),
    ("iphone2dslr_flower", "iphone2dslr_flower"): (
        339964458, "8fcb5e374d631b107e1d961b8c4cd0a186aa2a4ff3e279923f4c426128de7113"
    ),
    ("maps_unpaired", "maps"): (1476754427, "639534f69dbf9f36bef8d6292a7698006361221f83f0285d7c9ca78afe6e8a9e"),
    ("monet2photo", "monet2photo"): (305231073, "88f91b00fc228f97c9411fbf1880ec1d119c98f1722e4cfcfaa2fb35fac05b04"),
    ("summer2winter_yosemite", "summer2winter_yosemite"): (
        132640856, "167fe1726807a9d22bd106b4a6c0bd7953b688af924ac1bf967439c4961e49f9"
    ),
    ("ukiyoe2photo", "ukiyoe2photo"): (292946532, "02a2a2fb5ecf425ca1bf86aca7304377da64a2a1d3b86df54eb65e4068bf3b08"),
    ("vangogh2photo", "vangogh2photo"): (306590349, "362c3473e70be0944bda08d49d660eafdc2854df55d697835b8186d1d79caaff"),
}  # fmt: skip
PIX2PIX = {  # set → archive; nobody publishes a checksum
    "facades": "facades", "cityscapes": "cityscapes", "maps": "maps", "edges2shoes": "edges2shoes",
    "edges2handbags": "edges2handbags", "day2night": "night2day",
}  # fmt: skip


@pytest.mark.parametrize(("name", "archive"), CYCLEGAN)
def test_the_cyclegan_sets_are_as_published(name: str, archive: str) -> None:
    told = card(name)
    assert told.layout == "unpaired"
    assert told.archive is not None
    (file,) = told.archive.files
    assert file.urls == (
        f"http://efrosgans.eecs.berkeley.edu/cyclegan/datasets/{archive}.zip",
        f"https://people.eecs.berkeley.edu/~taesung_park/CycleGAN/datasets/{archive}.zip",
    )
    assert (file.bytes, file.sha256) == CYCLEGAN[name, archive]
    assert set(told.counts) == {"trainA", "trainB", "testA", "testB"}


@pytest.mark.parametrize("name", PIX2PIX)
def test_the_pix2pix_sets_are_as_published(name: str) -> None:
    told = card(name)
    assert told.layout == "paired"
    assert told.archive is not None
    (file,) = told.archive.files
    assert file.urls == (f"http://efrosgans.eecs.berkeley.edu/pix2pix/datasets/{PIX2PIX[name]}.tar.gz",)
    assert (file.bytes, file.sha256, file.md5) == (None, None, None)
    assert told.direction


@pytest.mark.parametrize(("name", "reader"), [("mnist", "MNIST"), ("fashion_mnist_full", "FashionMNIST")])
def test_the_digits_and_clothes_are_what_torchvision_reads(name: str, reader: str) -> None:
    published, archive = getattr(torchvision.datasets, reader), card(name).archive
    assert archive is not None
    assert archive.reader == reader
    assert [(file.name, file.md5) for file in archive.files] == published.resources
    for file in archive.files:
        assert {f"{mirror}{file.name}" for mirror in published.mirrors} <= set(file.urls)
        assert file.sha256
    spoken = [re.sub(r"^\d - ", "", each).lower() for each in published.classes]
    assert archive.classes == tuple("0123456789") if name == "mnist" else len(archive.classes) == len(spoken)


def test_cifar_is_what_torchvision_reads() -> None:
    archive = card("cifar10").archive
    assert archive is not None
    (file,) = archive.files
    assert (file.url, file.md5) == (torchvision.datasets.CIFAR10.url, torchvision.datasets.CIFAR10.tgz_md5)
    assert (file.bytes, len(archive.classes)) == (170498071, 10)


@pytest.mark.parametrize("name", names())
def test_a_card_says_what_it_must(name: str) -> None:
    told = card(name)
    assert all((told.title, told.licence, told.attribution, told.source))
    assert set(told.counts) <= {f"{split}{side}" for split in ("train", "val", "test") for side in ("", "A", "B")}
    if told.archive is not None:
        assert told.archive.expects
        for file in told.archive.files:
            assert all(urlsplit(url).scheme in ("http", "https") and urlsplit(url).hostname for url in file.urls)
            assert {url.rsplit("/", 1)[1] for url in file.urls} == {file.name}
            assert file.bytes or file.about, "a user is asked before so much is downloaded: how much is it?"
            assert not (file.bytes and file.about)
        assert len({file.name for file in told.archive.files}) == len(told.archive.files)


def test_no_two_sets_have_one_title() -> None:
    titles = [row.title for row in rows()]
    assert len(set(titles)) == len(titles)


def test_the_licences_page_speaks_of_every_set() -> None:
    page = (shared("datasets") / "LICENCES.md").read_text("utf-8")
    for name in names():
        told = card(name)
        if told.make:
            assert told.commercial == "yes"
            assert re.search(rf"^## .*\b{name}\b", page, re.M)
        else:
            assert f"| {name} | {' '.join(told.licence.split())} | {told.commercial} |" in page


@pytest.mark.parametrize(
    "change",
    [
        {"commercial": "perhaps"}, {"archive": None}, {"layout": "loose"}, {"licence": None}, {"unheard": 1},
        {"archive": {"expects": "x", "files": [{"url": "http://a/b", "sha256": "abc"}]}},
        {"archive": {"expects": "x", "files": [{"url": "http://a/b", "bytes": 0}]}},
        {"archive": {"expects": "x", "files": [{"url": "http://a/b"}, {"url": "http://a/c"}]}},
    ],
)  # fmt: skip
def test_a_card_that_is_wrong_is_refused(change: dict[str, object]) -> None:
    whole = card("horse2zebra").model_dump(mode="json")
    Card.model_validate(whole)
    with pytest.raises(ValidationError):
        Card.model_validate({**whole, **change})


def test_a_recipe_that_names_a_set_is_known_to_it() -> None:
    assert recipes("horse2zebra") == ["cyclegan_horse2zebra"]
    assert recipes("facades") == ["pix2pix_facades"]
    named = set(re.findall(r"dataset: (\w+)", "".join(path.read_text() for path in shared("recipes").glob("*.yaml"))))
    assert named <= set(names())
    assert {name for name in names() if recipes(name)} == named | {name for name in names() if card(name).recipes}


@pytest.mark.parametrize("name", [name for name in names() if (kept := card(name).archive) and not kept.files])
def test_a_set_that_is_brought_names_a_recipe_that_takes_it(name: str) -> None:
    assert recipes(name)
    assert f"recipes:     {', '.join(recipes(name))}" in describe(card(name))


def test_a_set_that_is_brought_is_used_by_its_folder_until_it_lies_where_its_name_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("I2I_HOME", str(tmp_path))
    away = describe(card("cats"))
    assert "data: {layout: unlabelled, root: FOLDER, crop: ...}" in away
    assert away.endswith("i2i train pix2pix_edges2cats --set data.root=FOLDER")
    assert "dataset: cats" not in away
    assert describe(card("afhq")).endswith("--set data.root=FOLDER/train/cat")
    assert "fits the class cat alone" in " ".join(describe(card("afhq")).split())
    folder = tmp_path / "datasets" / "afhq"
    (folder / "train" / "cat").mkdir(parents=True)
    here = describe(card("afhq"))
    assert "data: {layout: labelled, dataset: afhq, crop: ...}" in here
    assert here.endswith(f"--set data.root={folder / 'train/cat'}")
    assert "data.root" not in describe(card("digits"))


@pytest.mark.parametrize(("name", "recipe"), [(name, each) for name in names() for each in card(name).recipes])
def test_a_recipe_that_a_card_tells_ships_and_takes_a_folder(name: str, recipe: str) -> None:
    tree = YAML(typ="safe").load((shared("recipes") / f"{recipe}.yaml").read_text("utf-8"))
    assert tree["data"]["root"]
    assert "dataset" not in tree["data"]


@pytest.mark.parametrize("name", names())
def test_everything_of_a_card_is_described(name: str) -> None:
    told, text = card(name), " ".join(describe(card(name)).split())
    for part in (told.title, told.licence, told.attribution, told.citation, told.source, told.notes, told.direction):
        assert part is None or " ".join(part.split()) in text
    for file in told.archive.files if told.archive else ():
        assert all(part in text for part in (*file.urls, file.sha256 or "not published"))
    assert all(f"{count:,}" in text for count in told.counts.values())
    assert all(recipe in text for recipe in recipes(name))
    assert f"dataset: {name}" in text or "root: FOLDER" in text


def test_the_list_has_every_set_and_what_it_costs() -> None:
    found = {row.name: row for row in rows()}
    assert list(found) == names()
    assert (found["horse2zebra"].pictures, found["horse2zebra"].size) == (2661, 116867962)
    assert (found["facades"].size, found["facades"].exact) == (30168306, False)
    assert (found["mnist"].size, found["mnist"].exact) == (9912422 + 28881 + 1648877 + 4542, True)
    assert (found["digits"].state, found["digits"].size) == ("embedded", None)
    assert found["faces"].state == "bring your own"
    assert [found[name].weight for name in ("horse2zebra", "facades", "digits")] == ["116.9 MB", "about 30.2 MB", ""]


def test_the_list_is_a_table_and_json() -> None:
    listed = rows()
    lines = table(listed).splitlines()
    assert len(lines) == len(listed) + 1
    for row, line in zip(listed, lines[1:], strict=True):
        assert line.startswith(f"{row.name} ")
        assert line.endswith(row.title)
        assert lines[0].index("state") == line.index(row.state, len(row.name))
    told = json.loads(as_json(listed))
    assert [each["name"] for each in told] == names()
    assert set(told[0]) == {
        "name", "title", "layout", "pictures", "size", "exact", "weight", "licence", "commercial", "state"
    }  # fmt: skip


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
    size = {"digits": 8, "fashion_mnist": 28, "digits_on_photos": 16, "eyes": 32}.get(name, 64)
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


def test_a_set_that_does_not_ship_says_what_to_type_and_where_it_is(home: Path) -> None:
    with pytest.raises(UserError) as told:
        root("horse2zebra")
    for part in (
        "Fetch it, 116.9 MB", "commercial use: no", "i2i data fetch horse2zebra\n", "cyclegan/datasets/horse2zebra.zip",
        "people.eecs.berkeley.edu", "116,867,962 bytes", "a74d9d39",
        "i2i data fetch horse2zebra --archive horse2zebra.zip", str(home / "datasets/horse2zebra"), "trainA/*.jpg",
    ):  # fmt: skip
        assert part in str(told.value)
    with pytest.raises(UserError, match=r"(?s)about 30\.2 MB.*state no checksum"):
        root("facades")
    with pytest.raises(UserError, match=r"(?s)get these files elsewhere.*--archive FOLDER"):
        root("mnist")
    with pytest.raises(UserError, match="yours to bring"):
        root("faces")
    (home / "datasets/horse2zebra/trainA").mkdir(parents=True)
    assert root("horse2zebra") == home / "datasets/horse2zebra"


def test_nothing_is_downloaded_but_by_fetch(home: Path) -> None:
    """`no_network` lets no connection through; these do not even try one."""
    for name in FETCHED:
        if not (home / "datasets" / name).exists():
            with pytest.raises(UserError, match=f"i2i data fetch {name}"):
                root(name)


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

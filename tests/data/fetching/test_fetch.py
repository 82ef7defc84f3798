"""A set comes whole into its place, from the network or from a file, or the place stays as it was."""

import gzip
import json
import multiprocessing
import os
import pickle
import signal
import time
from collections.abc import Callable, Iterator
from hashlib import md5, sha256
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter
from rich.console import Console
from ruamel.yaml import YAML

from i2i.data import Data, card, describe, fetch, missing, open_split, root, rows
from i2i.data.fetching import arrays, sources, trust
from i2i.data.fetching import fetch as fetching
from i2i.data.sets import cards as carding
from i2i.errors import UserError
from i2i.images import read
from i2i.paths import shared

from .helpers import HURRY, Reply, Server, noise, tarred, zipped

FORK = multiprocessing.get_context("fork")
UNPAIRED = {f"toys/{side}/{i}.jpg": noise(i, 3000) for side in ("trainA", "trainB", "testA", "testB") for i in range(3)}
PAIRS = {f"houses/{split}/{i}.jpg": noise(i, 3000) for split in ("train", "val", "test") for i in range(3)}
ZIP, TAR, OTHER = zipped(UNPAIRED), tarred(PAIRS), tarred({**PAIRS, "houses/train/9.jpg": b"new"})
SUM = {content: sha256(content).hexdigest() for content in (ZIP, TAR, OTHER)}


def told(name: str, layout: str, **archive: Any) -> dict[str, Any]:
    common = {"title": "a set", "licence": "MIT", "commercial": "yes", "attribution": "me", "source": "here"}
    return {"name": name, "layout": layout, **common, "archive": {"expects": "pictures", **archive}}


def idx(values: np.ndarray) -> bytes:
    """The file format of MNIST, packed."""
    header = bytes([0, 0, 8, values.ndim]) + b"".join(size.to_bytes(4, "big") for size in values.shape)
    return gzip.compress(header + values.astype(np.uint8).tobytes())


DIGITS = {
    "train": (np.random.default_rng(0).integers(0, 256, (12, 28, 28), np.uint8), np.arange(12) % 3),
    "t10k": (np.random.default_rng(1).integers(0, 256, (5, 28, 28), np.uint8), np.arange(5) % 3),
}
DIGIT_FILES = {
    f"{split}-{what}-ubyte.gz": idx(values)
    for split, (pictures, labels) in DIGITS.items()
    for what, values in (("images-idx3", pictures), ("labels-idx1", labels))
}


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of cards: toys, with checksums and a mirror; houses, without; digits, of several files; mine."""
    folder = tmp_path / "cards"
    folder.mkdir()
    monkeypatch.setattr(carding, "shared", lambda name: folder if name == "datasets" else shared(name))
    toys = {"url": "http://a.example/x/toys.zip", "mirrors": ["http://b.example/toys.zip"], "bytes": len(ZIP)}
    write(folder, told("toys", "unpaired", files=[{**toys, "sha256": SUM[ZIP]}]), counts={"trainA": 3, "trainB": 3})
    write(folder, told("houses", "paired", files=[{"url": "http://a.example/houses.tar.gz", "about": 30_000}]))
    files = [
        {"url": f"http://a.example/{name}", "bytes": len(content), "sha256": sha256(content).hexdigest()}
        for name, content in DIGIT_FILES.items()
    ]
    write(folder, told("digits", "labelled", files=files, reader="MNIST", classes=["nil", "one", "two"]))
    write(folder, told("mine", "unlabelled"))
    return folder


def write(folder: Path, tree: dict[str, Any], **more: Any) -> None:
    with (folder / f"{tree['name']}.yaml").open("w") as file:
        YAML(typ="safe", pure=True).dump({**tree, **more}, file)


@pytest.fixture
def home(cards: Path, fresh_home: Path) -> Path:
    return fresh_home


@pytest.fixture
def console() -> Console:
    return Console(file=StringIO(), width=300)


def said(console: Console) -> str:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def bring(name: str, server: Server, **more: Any) -> Path:
    return fetch(name, base=server.base, patience=HURRY, **more)


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.jpg")}


def inside(content: dict[str, bytes]) -> dict[str, bytes]:
    return {name.split("/", 1)[1]: what for name, what in content.items()}


def nothing_half(home: Path, *sets: str) -> None:
    """Of the sets that may be there, each is whole; nothing else is."""
    found = [path.name for path in (home / "datasets").iterdir()] if (home / "datasets").is_dir() else []
    assert sorted(found) == sorted(sets)


def spec(**told: Any) -> Data:
    return TypeAdapter(Data).validate_python({"crop": 1, **told})


def test_a_zip_becomes_a_set_without_its_top_folder(server: Server, home: Path, console: Console) -> None:
    server.serve("/toys/toys.zip", Reply(ZIP))
    folder = bring("toys", server, console=console)
    assert folder == home / "datasets" / "toys" == root("toys")
    assert files(folder) == inside(UNPAIRED)
    assert len(open_split(spec(layout="unpaired", dataset="toys"), "test")) == 3
    assert [path.name for path in (home / "downloads").iterdir()] == [".toys.lock"]
    assert "toys: 12 pictures, 36.0 kB" in said(console)
    assert "its card speaks of 6 pictures" in said(console)
    assert not trust.lock_file().exists()  # its checksum is published
    nothing_half(home, "toys")


def test_a_tar_gz_becomes_a_set(server: Server, home: Path) -> None:
    server.serve("/houses/houses.tar.gz", Reply(TAR))
    assert files(bring("houses", server)) == inside(PAIRS)
    assert len(open_split(spec(layout="paired", dataset="houses"), "val")) == 3


def test_a_set_that_is_here_is_not_fetched_again(server: Server, home: Path, console: Console) -> None:
    server.serve("/toys/toys.zip", Reply(ZIP))
    folder = bring("toys", server)
    assert bring("toys", server, console=console) == folder
    assert len(server.seen["/toys/toys.zip"]) == 1
    assert f"toys is here: {folder}" in said(console)


def test_force_fetches_anew_and_replaces(server: Server, home: Path) -> None:
    server.serve("/toys/toys.zip", Reply(ZIP))
    folder = bring("toys", server)
    (folder / "trainA" / "0.jpg").unlink()
    (folder / "more.jpg").touch()
    assert files(bring("toys", server, force=True)) == inside(UNPAIRED)
    assert len(server.seen["/toys/toys.zip"]) == 2
    nothing_half(home, "toys")


def test_a_failed_replacement_leaves_the_old_set(server: Server, home: Path) -> None:
    server.serve("/toys/toys.zip", Reply(ZIP), Reply(b"no", 404))
    folder = bring("toys", server)
    with pytest.raises(UserError, match="404"):
        bring("toys", server, force=True)
    assert files(folder) == inside(UNPAIRED)


def test_downloads_are_kept_if_told(server: Server, home: Path) -> None:
    server.serve("/toys/toys.zip", Reply(ZIP))
    bring("toys", server, keep=True)
    assert (home / "downloads" / "toys" / "toys.zip").read_bytes() == ZIP


def test_the_published_addresses_are_asked_in_their_order(
    home: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.base)  # which answers for every host
    monkeypatch.delenv("no_proxy", raising=False)
    server.serve("http://a.example/x/toys.zip", Reply(b"no", 404))
    server.serve("http://b.example/toys.zip", Reply(ZIP))
    assert files(fetch("toys", patience=HURRY)) == inside(UNPAIRED)
    assert list(server.seen) == ["http://a.example/x/toys.zip", "http://b.example/toys.zip"]


def test_without_a_network_it_is_said_what_to_get_and_to_type(server: Server, home: Path) -> None:
    with pytest.raises(UserError) as caught:
        bring("toys", server)
    for part in (
        "toys.zip could not be fetched", "404", "http://a.example/x/toys.zip", "or  http://b.example/toys.zip",
        f"{len(ZIP):,} bytes, sha256 {SUM[ZIP]}", "i2i data fetch toys --archive toys.zip",
    ):  # fmt: skip
        assert part in str(caught.value)
    nothing_half(home)


def test_another_file_is_never_unpacked(server: Server, home: Path) -> None:
    server.serve("/toys/toys.zip", Reply(zipped({**UNPAIRED, "toys/trainA/0.jpg": noise(9, 3000)})))
    with pytest.raises(UserError, match="serves another file: expected"):
        bring("toys", server)
    nothing_half(home)


@pytest.mark.parametrize("given", ["file", "folder"])
def test_an_archive_from_elsewhere_is_checked_and_taken(given: str, tmp_path: Path, home: Path) -> None:
    path = tmp_path / "usb" / "toys.zip"
    path.parent.mkdir()
    path.write_bytes(ZIP)
    folder = fetch("toys", archive=path if given == "file" else path.parent)
    assert files(folder) == inside(UNPAIRED)
    assert path.read_bytes() == ZIP
    assert json.loads((folder / fetching.RECORD).read_text())["from"] == [str(path)]


@pytest.mark.parametrize("change", [lambda c: c[:-1], lambda c: bytes([c[0] ^ 1]) + c[1:], lambda c: b""])
def test_a_wrong_archive_from_elsewhere_is_refused(
    change: Callable[[bytes], bytes], tmp_path: Path, home: Path
) -> None:
    path = tmp_path / "toys.zip"
    path.write_bytes(change(ZIP))
    with pytest.raises(UserError, match=r"(?s)not the file toys.zip of toys: expected.*i2i data fetch toys --archive"):
        fetch("toys", archive=path)
    nothing_half(home)


def test_an_archive_that_is_not_there_is_told(tmp_path: Path, home: Path) -> None:
    for given in (tmp_path / "none.zip", tmp_path):
        with pytest.raises(UserError, match=r"expected toys.zip, or a folder with that in it"):
            fetch("toys", archive=given)


def test_an_archive_that_cannot_be_read_is_told(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "toys.zip"
    path.write_bytes(ZIP)

    def unreadable(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(sources, "sums", unreadable)  # the tests may run as root, who reads everything
    with pytest.raises(UserError, match=r"cannot be read .*Permission denied"):
        fetch("toys", archive=path)


def test_a_download_that_was_spoilt_since_is_fetched_anew(server: Server, home: Path) -> None:
    server.serve("/toys/toys.zip", Reply(ZIP))
    kept = home / "downloads" / "toys" / "toys.zip"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(ZIP[:-1] + b"x")
    assert files(bring("toys", server)) == inside(UNPAIRED)
    assert len(server.seen["/toys/toys.zip"]) == 1


def test_what_has_no_checksum_is_trusted_at_first_and_written_down(
    server: Server, home: Path, console: Console
) -> None:
    server.serve("/houses/houses.tar.gz", Reply(TAR))
    bring("houses", server, console=console)
    assert "no https address and has no published checksum: nobody vouches" in said(console)
    assert f"It is trusted as it came now, sha256 {SUM[TAR]}" in said(console)
    lock = json.loads((home / "datasets.lock").read_text())
    entry = lock["files"]["houses/houses.tar.gz"]
    assert (entry["bytes"], entry["sha256"]) == (len(TAR), SUM[TAR])
    assert entry["url"] == f"{server.base}/houses/houses.tar.gz"
    assert SUM[TAR] in describe(card("houses"))


def test_another_file_than_the_first_time_is_refused_until_it_is_trusted(server: Server, home: Path) -> None:
    server.serve("/houses/houses.tar.gz", Reply(TAR, etag='"1"'), Reply(OTHER, etag='"2"'))
    folder = bring("houses", server)
    with pytest.raises(UserError) as caught:
        bring("houses", server, force=True)
    for part in (SUM[TAR], SUM[OTHER], f"i2i data fetch houses --trust {SUM[OTHER]}", "datasets.lock"):
        assert part in str(caught.value)
    assert files(folder) == inside(PAIRS)
    with pytest.raises(UserError, match="not the 123 to be trusted"):
        bring("houses", server, force=True, trust_sha256="123")
    folder.rename(home / "aside")
    assert "train/9.jpg" in files(bring("houses", server, trust_sha256=SUM[OTHER]))
    seen = trust.seen("houses", "houses.tar.gz")
    assert seen is not None
    assert seen.sha256 == SUM[OTHER]
    (home / "datasets" / "houses").rename(home / "aside2")
    bring("houses", server)  # trusted from now on


def test_the_second_look_at_what_was_refused_needs_no_download(server: Server, home: Path) -> None:
    server.serve("/houses/houses.tar.gz", Reply(OTHER))
    trust.remember("houses", "houses.tar.gz", url="u", size=len(TAR), sha256=SUM[TAR])
    for _ in range(2):
        with pytest.raises(UserError, match="is not what it was"):
            bring("houses", server)
    bring("houses", server, trust_sha256=SUM[OTHER])
    assert len(server.seen["/houses/houses.tar.gz"]) == 1


def test_force_downloads_once_more_what_was_refused(server: Server, home: Path) -> None:
    server.serve("/houses/houses.tar.gz", Reply(OTHER, etag='"2"'), Reply(TAR, etag='"1"'))
    trust.remember("houses", "houses.tar.gz", url="u", size=len(TAR), sha256=SUM[TAR])
    with pytest.raises(UserError, match="is not what it was"):
        bring("houses", server)
    assert files(bring("houses", server, force=True)) == inside(PAIRS)


def test_an_archive_from_elsewhere_must_be_the_trusted_one_too(tmp_path: Path, home: Path) -> None:
    trust.remember("houses", "houses.tar.gz", url="u", size=len(TAR), sha256=SUM[TAR])
    path = tmp_path / "houses.tar.gz"
    path.write_bytes(OTHER)
    with pytest.raises(UserError, match=f"--archive {path} --trust {SUM[OTHER]}"):
        fetch("houses", archive=path)
    path.write_bytes(TAR)
    fetch("houses", archive=path)


def test_what_does_not_unpack_is_not_trusted(server: Server, home: Path) -> None:
    """A connection that ends early, of a server that says nothing of the length, looks like a whole file."""
    server.serve("/houses/houses.tar.gz", Reply(TAR[:-2000], length=None))
    with pytest.raises(UserError, match="not a whole"):
        bring("houses", server)
    assert not trust.lock_file().exists()
    nothing_half(home)
    server.serve("/houses/houses.tar.gz", Reply(TAR))
    assert files(bring("houses", server)) == inside(PAIRS)


def test_the_lock_file_is_sorted_and_keeps_what_others_wrote(home: Path) -> None:
    for name in ("b", "a", "c"):
        trust.remember(name, "f", url="u", size=1, sha256="0" * 64)
    assert list(json.loads(trust.lock_file().read_text())["files"]) == ["a/f", "b/f", "c/f"]
    with FORK.Pool(4) as pool:
        pool.map(_enter, range(12))
    assert len(json.loads(trust.lock_file().read_text())["files"]) == 15


def _enter(index: int) -> None:
    trust.remember(f"s{index}", "f", url="u", size=1, sha256="1" * 64)


@pytest.mark.parametrize("content", ["", "{", '{"format": 2}', '{"files": {"a": {"bytes": -1}}}', "\udcff"])
def test_a_damaged_lock_file_is_told_and_left_alone(content: str, home: Path) -> None:
    home.mkdir()
    trust.lock_file().write_bytes(content.encode("utf-8", "surrogateescape"))
    before = trust.lock_file().read_bytes()
    with pytest.raises(UserError, match=r"datasets\.lock is damaged.*repair it, or remove it"):
        trust.remember("a", "f", url="u", size=1, sha256="0" * 64)
    assert trust.lock_file().read_bytes() == before


def test_a_file_far_beyond_what_is_known_of_it_is_not_taken(server: Server, home: Path) -> None:
    server.serve("/houses/houses.tar.gz", Reply(noise(0, 4 * 30_000 + 1), length="chunked"))
    with pytest.raises(UserError, match="more than the 120,000 bytes"):
        bring("houses", server)


def test_arrays_become_folders_of_classes(server: Server, home: Path) -> None:
    for name, content in DIGIT_FILES.items():
        server.serve(f"/digits/{name}", Reply(content))
    folder = bring("digits", server)
    for split, (pictures, labels) in {"train": DIGITS["train"], "test": DIGITS["t10k"]}.items():
        for index, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
            path = folder / split / ("nil", "one", "two")[label] / f"{index:05}.png"
            assert (read(path, channels=1)[:, :, 0] == picture).all()
    assert sum(1 for _ in folder.rglob("*.png")) == 17
    assert open_split(spec(layout="labelled", dataset="digits"), "test").classes == ("nil", "one", "two")


def test_arrays_come_from_a_folder_of_files(tmp_path: Path, home: Path) -> None:
    for name, content in DIGIT_FILES.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=r"expected train-images.*a folder with that in it"):
        fetch("digits", archive=tmp_path / "train-images-idx3-ubyte.gz")
    fetch("digits", archive=tmp_path)
    assert sum(1 for _ in (home / "datasets" / "digits").rglob("*.png")) == 17


@pytest.mark.parametrize("damage", [b"no gz", gzip.compress(b"no arrays"), gzip.compress(bytes(20))[:-3]])
def test_arrays_that_cannot_be_read_are_told(damage: bytes, tmp_path: Path, cards: Path, home: Path) -> None:
    for name, content in DIGIT_FILES.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(damage)
    urls = [{"url": f"http://a.example/{name}"} for name in DIGIT_FILES]
    write(cards, told("digits", "labelled", files=urls, reader="MNIST", classes=["nil", "one", "two"]))
    with pytest.raises(UserError, match=r"cannot read these files|not a whole gz"):
        fetch("digits", archive=tmp_path)
    nothing_half(home)


def test_cifar_is_read_from_its_own_archive(
    tmp_path: Path, cards: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same files as the real ones, smaller; each batch is checked against its own sum before it is opened."""
    from torchvision.datasets import CIFAR10

    pixels = np.random.default_rng(0).integers(0, 256, (6, 3, 32, 32), np.uint8)
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    batches = {
        name: pickle.dumps({"data": pixels[i : i + 1].reshape(1, -1), "labels": [i % 2]})
        for i, name in enumerate(names)
    }
    batches["batches.meta"] = pickle.dumps({"label_names": ["cat", "dog"]})
    listed = [[name, md5(batches[name]).hexdigest()] for name in names]
    monkeypatch.setattr(CIFAR10, "train_list", listed[:5])
    monkeypatch.setattr(CIFAR10, "test_list", listed[5:])
    meta = {"filename": "batches.meta", "key": "label_names", "md5": md5(batches["batches.meta"]).hexdigest()}
    monkeypatch.setattr(CIFAR10, "meta", meta)
    content = tarred({f"cifar-10-batches-py/{name}": what for name, what in batches.items()})
    path = tmp_path / "cifar.tar.gz"
    path.write_bytes(content)
    archive = {"reader": "CIFAR10", "classes": ["cat", "dog"], "files": [{"url": "http://a.example/cifar.tar.gz"}]}
    write(cards, told("cifar", "labelled", **archive))
    folder = fetch("cifar", archive=path)
    assert (read(folder / "train/dog/00001.png") == pixels[1].transpose(1, 2, 0)).all()
    assert (read(folder / "test/dog/00000.png") == pixels[5].transpose(1, 2, 0)).all()
    listed[0][1] = "0" * 32
    with pytest.raises(UserError, match="torchvision cannot read"):
        fetch("cifar", archive=path, force=True)
    assert (folder / "train/dog/00001.png").exists()


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ({"a/b/1.jpg": b"1", "c/2.jpg": b"2"}, "pictures are in a/b, c"),
        ({"readme.txt": b"1"}, "what was unpacked is not"),
        ({"../x.jpg": b"1"}, "leads out of"),
    ],
)
def test_an_archive_without_the_sets_pictures_is_refused(
    content: dict[str, bytes], match: str, tmp_path: Path, cards: Path, home: Path
) -> None:
    path = tmp_path / "toys.zip"
    path.write_bytes(zipped(content))
    write(cards, told("toys", "unpaired", files=[{"url": "http://a.example/toys.zip"}]))
    with pytest.raises(UserError, match=match):
        fetch("toys", archive=path)
    nothing_half(home)
    assert not trust.lock_file().exists()


@pytest.mark.parametrize("top", ["", "one/", "one/two/"])
def test_folders_around_the_set_are_taken_off(top: str, tmp_path: Path, cards: Path, home: Path) -> None:
    path = tmp_path / "toys.zip"
    path.write_bytes(zipped({f"{top}train/{i}.jpg": b"x" for i in range(3)}))
    write(cards, told("toys", "paired", files=[{"url": "http://a.example/toys.zip"}]))
    assert sorted(files(fetch("toys", archive=path))) == ["train/0.jpg", "train/1.jpg", "train/2.jpg"]


def test_a_full_disk_leaves_the_download_and_nothing_half(
    server: Server, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.serve("/toys/toys.zip", Reply(ZIP))

    def full(*_: object, **__: object) -> None:
        raise UserError("unpacking needs 1 GB")

    with monkeypatch.context() as patch:
        patch.setattr(fetching, "room_for", full)
        with pytest.raises(UserError, match="unpacking needs"):
            bring("toys", server)
    nothing_half(home)
    bring("toys", server)
    assert len(server.seen["/toys/toys.zip"]) == 1


def test_a_home_that_cannot_be_written_to_is_told(
    home: Path, server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("I2I_HOME", str(tmp_path / "file"))
    with pytest.raises(UserError, match="writing failed"):
        bring("toys", server)


@pytest.fixture
def child() -> Iterator[Callable[..., int]]:
    """child(work): the pid of a forked process at `work`."""
    started: list[int] = []

    def start(work: Callable[[], object]) -> int:
        if not (pid := os.fork()):
            try:
                work()
            finally:
                os._exit(0)
        started.append(pid)
        return pid

    yield start
    for pid in started:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


def wait_for(what: Callable[[], object]) -> None:
    late = time.monotonic() + 20
    while not what():
        assert time.monotonic() < late
        time.sleep(0.01)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def test_a_process_killed_while_downloading_is_continued_by_the_next(
    server: Server, home: Path, child: Callable[..., int]
) -> None:
    server.serve("/toys/toys.zip", Reply(ZIP, pause=0.1, piece=4000), Reply(ZIP))
    part = home / "downloads" / "toys" / "toys.zip.part"
    pid = child(lambda: bring("toys", server))
    wait_for(lambda: part.is_file() and part.stat().st_size >= 8000)
    kill(pid)
    kept = part.stat().st_size
    assert kept < len(ZIP)
    nothing_half(home)
    assert files(bring("toys", server)) == inside(UNPAIRED)
    assert server.asked("/toys/toys.zip") == ["", f"bytes={kept}-"]
    assert [path.name for path in (home / "downloads").iterdir()] == [".toys.lock"]


@pytest.mark.parametrize("place", ["unpack", "_check_layout"])
def test_a_process_killed_while_unpacking_leaves_nothing_half(
    place: str, server: Server, home: Path, child: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    server.serve("/toys/toys.zip", Reply(ZIP))
    real = getattr(fetching, place)
    mark = home.parent / "there"

    def stuck(*args: Any, **told: Any) -> Any:
        done = real(*args, **told)
        mark.touch()
        time.sleep(30)
        return done

    with monkeypatch.context() as patch:
        patch.setattr(fetching, place, stuck)
        pid = child(lambda: bring("toys", server))
        wait_for(mark.exists)
        kill(pid)
    assert not (home / "datasets" / "toys").exists()
    assert len(list((home / "datasets").glob(".toys.*"))) == 1
    with pytest.raises(UserError, match="i2i data fetch toys"):
        root("toys")
    assert files(bring("toys", server)) == inside(UNPAIRED)
    assert len(server.seen["/toys/toys.zip"]) == 1  # the download was whole
    nothing_half(home, "toys")


@pytest.mark.parametrize("place", ["from_network", "unpack", "_check_layout"])
def test_an_interrupt_leaves_nothing_half_and_no_lock(
    place: str, server: Server, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.serve("/toys/toys.zip", Reply(ZIP))

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fetching, place, interrupted)
        with pytest.raises(KeyboardInterrupt):
            bring("toys", server)
    nothing_half(home)
    assert files(bring("toys", server)) == inside(UNPAIRED)


def test_of_two_processes_one_fetches_and_the_other_waits(server: Server, home: Path) -> None:
    server.serve("/toys/toys.zip", Reply(ZIP, pause=0.05, piece=8000))
    with FORK.Pool(3) as pool:
        told = pool.map(_fetch, [server.base] * 3, chunksize=1)
    assert {folder for folder, _ in told} == {str(home / "datasets" / "toys")}
    assert len(server.seen["/toys/toys.zip"]) == 1
    assert sum("Another process fetches toys" in what for _, what in told) == 2
    nothing_half(home, "toys")


def _fetch(base: str) -> tuple[str, str]:
    console = Console(file=StringIO(), width=300)
    return str(fetch("toys", base=base, patience=HURRY, console=console)), said(console)


def test_progress_shows_how_much_and_how_long(server: Server, home: Path) -> None:
    server.serve("/toys/toys.zip", Reply(ZIP))
    console = Console(file=StringIO(), width=120, force_terminal=True)
    bring("toys", server, console=console)
    for part in ("fetching toys.zip", "checking toys.zip", "unpacking toys", "/s", "0:00:00"):
        assert part in said(console)


def test_what_is_brought_or_unknown_cannot_be_fetched(home: Path) -> None:
    with pytest.raises(UserError, match="yours to bring"):
        fetch("mine")
    with pytest.raises(UserError, match=r"no data set is called 'toy'.*toys"):
        fetch("toy")


def test_a_recipe_tells_what_is_missing(server: Server, home: Path) -> None:
    def names(**told: Any) -> list[str]:
        return [card.name for card in missing(spec(**told))]

    parts = [{"dataset": "toys"}, {"root": "x"}, {"dataset": "houses"}, {"dataset": "toys"}]
    mixed = {"layout": "unlabelled", "mix": parts}
    assert names(layout="unpaired", dataset="toys") == ["toys"]
    assert names(**mixed) == ["toys", "houses"]
    assert names(layout="unlabelled", dataset="mine") == []
    assert names(layout="unlabelled", root="x") == []
    server.serve("/toys/toys.zip", Reply(ZIP))
    bring("toys", server)
    assert names(**mixed) == ["houses"]
    assert missing(TypeAdapter(Data).validate_python({"layout": "mixture"})) == []


def test_the_list_tells_what_is_here(server: Server, home: Path) -> None:
    server.serve("/toys/toys.zip", Reply(ZIP))
    assert {row.name: row.state for row in rows()} == dict.fromkeys(("digits", "houses", "toys"), "to fetch") | {
        "mine": "bring your own"
    }
    bring("toys", server)
    states = {row.name: (row.state, row.size, row.exact) for row in rows()}
    assert states["toys"] == ("here", len(ZIP), True)
    assert states["houses"] == ("to fetch", 30_000, False)
    assert f"12 pictures, 36.0 kB, from {server.base}/toys/toys.zip" in describe(card("toys"))


def test_a_gz_bomb_among_the_arrays_is_refused(
    tmp_path: Path, cards: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrays, "MOST", 2**20)
    for name, content in DIGIT_FILES.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(bytes(2**21)))
    urls = [{"url": f"http://a.example/{name}"} for name in DIGIT_FILES]
    write(cards, told("digits", "labelled", files=urls, reader="MNIST", classes=["nil", "one", "two"]))
    with pytest.raises(UserError, match="unpacks to over 1,048,576 bytes"):
        fetch("digits", archive=tmp_path)
    nothing_half(home)

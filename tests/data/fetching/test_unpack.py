"""An archive's pictures come out as they are, and a hostile archive brings nothing anywhere."""

import gzip
import io
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from i2i.data.fetching import disk
from i2i.data.fetching import unpack as unpacking
from i2i.data.fetching.unpack import Caps, Unpacked, room_for, unpack
from i2i.errors import UserError

from .helpers import in_little_room, noise, tarred, zipped

SIZES = (0, 1, 511, 512, 513, 1024, 5000, 2_000_000)
FILES = {f"facades/{split}/{size}.jpg": noise(size, size) for split in ("train", "val") for size in SIZES}
LONG = "deep/" * 5 + "n" * 150 + ".png"  # more than a tar header's 100 characters
KINDS: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "zip": zipped,
    "tar": lambda files: tarred(files, "w"),
    "tar.gz": tarred,
    "pax": lambda files: tarred(files, format=tarfile.PAX_FORMAT),
    "ustar": lambda files: tarred(files, format=tarfile.USTAR_FORMAT),
}


def archive(folder: Path, content: bytes) -> Path:
    path = folder / "archive"
    path.write_bytes(content)
    return path


def there(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def entry(name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", link: str = "", gz: bool = True) -> bytes:
    """A tar archive with one good picture and then one entry as told."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz" if gz else "w") as opened:
        for told, of, what in (("good.png", tarfile.REGTYPE, b"good"), (name, kind, content)):
            info = tarfile.TarInfo(told)
            info.type, info.size, info.linkname = of, len(what), link
            opened.addfile(info, io.BytesIO(what))
    return stream.getvalue()


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_come_out_as_they_went_in(kind: str, tmp_path: Path) -> None:
    content = KINDS[kind](FILES)
    told: list[tuple[int, int | None]] = []
    path = archive(tmp_path, content)
    done = unpack(path, tmp_path / "out", progress=lambda done, total: told.append((done, total)))
    assert there(tmp_path / "out") == FILES
    assert done == Unpacked(16, sum(map(len, FILES.values())))
    assert told[-1] == (len(content), len(content))
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert path.read_bytes() == content


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "pax"])
def test_long_and_foreign_names_are_kept(kind: str, tmp_path: Path) -> None:
    files = {LONG: b"1", "Straße/käse.png": b"2"}
    unpack(archive(tmp_path, KINDS[kind](files)), tmp_path / "out")
    assert there(tmp_path / "out") == files


@pytest.mark.parametrize("kind", KINDS)
def test_only_pictures_come_out(kind: str, tmp_path: Path) -> None:
    others = {"README.md": b"x", ".DS_Store": b"x", "a/._1.jpg": b"x", "a/run.sh": b"x", "Thumbs.db": b"x"}
    unpack(archive(tmp_path, KINDS[kind]({**others, "a/1.jpg": b"1"})), tmp_path / "out")
    assert there(tmp_path / "out") == {"a/1.jpg": b"1"}


@pytest.mark.parametrize("name", ["../out.png", "/abs.png", "a/../../out.png", "a\\..\\b.png", "C:x.png", "../notes"])
@pytest.mark.parametrize("kind", ["zip", "tar.gz", "pax"])
def test_a_name_cannot_lead_out_of_the_folder(name: str, kind: str, tmp_path: Path) -> None:
    path = archive(tmp_path, KINDS[kind]({name: b"x"}))
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match="leads out of"):
        unpack(path, tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*"))
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "out"])


def test_a_name_in_an_extended_header_cannot_either(tmp_path: Path) -> None:
    """The plain header says good.png, the one before it another name."""
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        name = "../" * 3 + "n" * 150 + ".png"
        with pytest.raises(UserError, match="leads out of"):
            unpack(archive(tmp_path, tarred({name: b"x"}, format=form)), tmp_path / "out")


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, b"Z"]
)
@pytest.mark.parametrize("name", ["a.png", "notes"])
def test_a_tar_brings_files_and_nothing_else(kind: bytes, name: str, tmp_path: Path) -> None:
    path = archive(tmp_path, entry(name, kind, link="/etc/passwd"))
    with pytest.raises(UserError, match="link or a device"):
        unpack(path, tmp_path / "out")
    assert there(tmp_path / "out") == {"good.png": b"good"}


def test_a_link_cannot_be_written_through(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as opened:
        link = tarfile.TarInfo("d")
        link.type, link.linkname = tarfile.SYMTYPE, str(tmp_path)
        opened.addfile(link)
        inside = tarfile.TarInfo("d/x.png")
        opened.addfile(inside)
    with pytest.raises(UserError, match="link or a device"):
        unpack(archive(tmp_path, stream.getvalue()), tmp_path / "out")
    assert not (tmp_path / "x.png").exists()


def test_sparse_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="link or a device"):
        unpack(archive(tmp_path, entry("a.png", tarfile.GNUTYPE_SPARSE)), tmp_path / "out")


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
@pytest.mark.parametrize("name", ["a.png", "notes"])
def test_a_zip_brings_files_and_nothing_else(mode: int, name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as opened:
        member = zipfile.ZipInfo(name)
        member.external_attr = (mode | 0o777) << 16
        opened.writestr(member, "/etc/passwd")
    with pytest.raises(UserError, match="link or a device"):
        unpack(tmp_path / "bad.zip", tmp_path / "out")
    assert there(tmp_path / "out") == {}


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
@pytest.mark.parametrize("pair", [("a.png", "A.PNG"), ("a/1.png", "A/2.png"), ("ä.png", "a\u0308.png"), ("x", "X")])
def test_names_that_are_one_on_some_platforms_are_refused(kind: str, pair: tuple[str, str], tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"twice|one name on some platforms"):
        unpack(archive(tmp_path, KINDS[kind](dict.fromkeys(pair, b"x"))), tmp_path / "out")


def test_one_name_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is there twice"):
        unpack(archive(tmp_path, entry("good.png", content=b"other")), tmp_path / "out")
    assert there(tmp_path / "out") == {"good.png": b"good"}


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_file_that_is_also_a_folder_is_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="one name on some platforms"):
        unpack(archive(tmp_path, KINDS[kind]({"a.png": b"x", "a.png/b.png": b"x"})), tmp_path / "out")


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
@pytest.mark.parametrize("name", ["zeros.png", "zeros.bin"])
def test_one_file_of_too_much_is_refused(kind: str, name: str, tmp_path: Path) -> None:
    path = archive(tmp_path, KINDS[kind]({name: bytes(100_000)}))
    assert path.stat().st_size < 2000
    with pytest.raises(UserError, match="over 50,000 bytes a file"):
        unpack(path, tmp_path / "out", caps=Caps(member=50_000))


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
@pytest.mark.parametrize("suffix", ["png", "bin"])
def test_a_bomb_of_many_files_is_refused(
    kind: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "LEAST_TOTAL", 500_000)
    path = archive(tmp_path, KINDS[kind]({f"{i}.{suffix}": bytes(100_000) for i in range(10)}))
    with pytest.raises(UserError, match="in all, which no pictures do"):
        unpack(path, tmp_path / "out")
    assert sum(map(len, there(tmp_path / "out").values())) <= 500_000


def test_a_zip_that_lies_about_its_size_gives_no_more_than_it_says(tmp_path: Path) -> None:
    """The directory says 10 bytes, the content unpacks to 100,000."""
    content = zipped({"a.png": bytes(100_000)})
    lying = content.replace((100_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    with pytest.raises(UserError, match="not a whole"):
        unpack(archive(tmp_path, lying), tmp_path / "out")


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_too_many_files_are_refused(kind: str, tmp_path: Path) -> None:
    path = archive(tmp_path, KINDS[kind]({f"{i}.txt": b"" for i in range(11)}))
    with pytest.raises(UserError, match="more than 10 files"):
        unpack(path, tmp_path / "out", caps=Caps(members=10))


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_a_header_is_not_read_into_memory_whatever_it_claims(kind: bytes, tmp_path: Path) -> None:
    info = tarfile.TarInfo("h")
    info.type, info.size = kind, 2**40
    with pytest.raises(UserError, match="a header of 1,099,511,627,776 bytes"):
        unpack(archive(tmp_path, gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(10_000))), tmp_path / "out")


def test_a_header_of_a_negative_size_is_refused(tmp_path: Path) -> None:
    for kind in (tarfile.XHDTYPE, tarfile.REGTYPE):
        info = tarfile.TarInfo("h.png")
        info.type, info.size = kind, -1000
        with pytest.raises(UserError, match=r"a header of -1,000 bytes|does not add up"):
            unpack(archive(tmp_path, info.tobuf(tarfile.GNU_FORMAT) + bytes(10_000)), tmp_path / "out")


@pytest.mark.parametrize("record", [b"0 a=b\n", b"99 path=x\n", b"x path=x\n", b" \n", b"11 size=-7\n"])
def test_a_header_that_does_not_add_up_is_refused(record: bytes, tmp_path: Path) -> None:
    info = tarfile.TarInfo("h")
    info.type, info.size = tarfile.XHDTYPE, len(record)
    content = info.tobuf(tarfile.USTAR_FORMAT) + record + bytes(-len(record) % 512)
    with pytest.raises(UserError, match="does not add up"):
        unpack(archive(tmp_path, content + entry("a.png", gz=False)), tmp_path / "out")


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.6, 0.97])
def test_a_cut_archive_is_refused_in_words(kind: str, share: float, tmp_path: Path) -> None:
    content = KINDS[kind](FILES)
    if kind != "zip":  # a tar ends with padding
        content = content if kind == "tar.gz" else content[: content.rstrip(b"\0").__len__() + 512]
    with pytest.raises(UserError, match="not a whole"):
        unpack(archive(tmp_path, content[: int(share * len(content))]), tmp_path / "out")


@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_flipped_bit_is_noticed(kind: str, tmp_path: Path) -> None:
    content = bytearray(KINDS[kind]({"a.png": noise(1, 9000)}))
    content[5000] ^= 1
    with pytest.raises(UserError, match="not a whole"):
        unpack(archive(tmp_path, bytes(content)), tmp_path / "out")


def test_a_stream_that_never_ends_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "MOST_AFTER", 2**16)
    content = gzip.compress(entry("a.png", gz=False) + bytes(2**17))
    with pytest.raises(UserError, match="goes on after its end"):
        unpack(archive(tmp_path, content), tmp_path / "out")


@pytest.mark.parametrize("content", [b"", b"PK\3\4 but no archive", b"\x1f\x8b but no gz", b"<html>", bytes(3000)])
def test_what_is_no_archive_is_refused_in_words(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not a whole zip, tar or tar.gz"):
        unpack(archive(tmp_path, content), tmp_path / "out")


def test_an_encrypted_zip_is_refused_in_words(tmp_path: Path) -> None:
    content = bytearray(zipped({"a.png": b"x" * 100}))
    for at in (content.index(b"PK\3\4") + 6, content.index(b"PK\1\2") + 8):
        content[at] |= 1  # the flag
    with pytest.raises(UserError, match=r"not a whole.*encrypted"):
        unpack(archive(tmp_path, bytes(content)), tmp_path / "out")


def test_a_full_disk_is_noticed_before_unpacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = archive(tmp_path, zipped({"a.png": noise(0, 50_000) + bytes(50_000)}))
    for free, enough in ((100_000, True), (99_999, False)):
        usage = type("Usage", (), {"free": disk.SPARE + free})()
        monkeypatch.setattr(disk.shutil, "disk_usage", lambda _, usage=usage: usage)
        if enough:
            room_for(path, tmp_path)
        else:
            with pytest.raises(UserError, match="unpacking archive needs 100"):
                room_for(path, tmp_path)


@pytest.mark.parametrize(("size", "room"), [(200_000, 100_000), (5000, 3000)])
def test_a_disk_that_gets_full_is_told_in_words(size: int, room: int, tmp_path: Path) -> None:
    path = archive(tmp_path, zipped({"a.png": noise(0, size)}))
    told = in_little_room(room, lambda: unpack(path, tmp_path / "out"))
    assert "UserError" in told
    assert "the disk is full" in told
    assert "left as it is" in told


@pytest.mark.parametrize("kind", ["zip", "tar", "pax"])
def test_no_damage_whatsoever_ends_in_anything_but_words(kind: str, tmp_path: Path) -> None:
    """Bytes are changed at random, in headers more often than not; what still unpacks stays in its folder."""
    small = {f"a/{i}.png": noise(i, 40) for i in range(4)} | {LONG: b"x"}
    whole = gzip.decompress(KINDS[kind](small)) if kind == "pax" else KINDS[kind](small)
    generator = np.random.default_rng(0)
    refused = 0
    for attempt in range(120):
        content = bytearray(whole)
        for at in generator.integers(0, len(whole), generator.integers(1, 6)):
            content[at] = generator.choice([0, 1, 47, 46, 255, int(generator.integers(256))])
        try:
            unpack(archive(tmp_path, bytes(content)), tmp_path / f"out{attempt}")
        except UserError:
            refused += 1
    assert refused > 20
    assert {path.name.rstrip("0123456789") for path in tmp_path.iterdir()} == {"archive", "out"}

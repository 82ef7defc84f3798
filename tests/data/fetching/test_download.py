"""Whatever a server does, a download ends with the right file, or with none and a reason."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from i2i.data.fetching import disk
from i2i.data.fetching import download as downloading
from i2i.data.fetching.download import Sums, Wanted, Wrong, download
from i2i.data.fetching.http import Refused
from i2i.errors import UserError

from .helpers import HURRY, Reply, Server, in_little_room, noise

SIZE = 300_000
FILE = noise(1, SIZE)
OTHER = noise(2, SIZE)
SHA = sha256(FILE).hexdigest()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "downloads" / "set.zip"


def known(*urls: str) -> Wanted:
    return Wanted(urls, SIZE, SHA)


def unknown(*urls: str) -> Wanted:
    return Wanted(urls)


def bring(wanted: Wanted, target: Path, **told: Any) -> str:
    """The address that served; the file is then the right one, and alone."""
    url, got = download(wanted, target, patience=HURRY, **told)
    assert target.read_bytes() == FILE
    assert (got.bytes, got.sha256) == (SIZE, SHA)
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    return url


def refused(wanted: Wanted, target: Path, match: str) -> None:
    with pytest.raises(Refused, match=match):
        download(wanted, target, patience=HURRY)
    assert not target.exists()


def leave_part(target: Path, content: bytes, url: str = "", validator: str = "") -> None:
    """What a killed process has left."""
    target.parent.mkdir(parents=True)
    target.with_name(f"{target.name}.part").write_bytes(content)
    if url:
        told = json.dumps({"url": url, "validator": validator})
        target.with_name(f"{target.name}.part.json").write_text(told)


def test_a_file_comes_and_its_progress_is_told(server: Server, target: Path) -> None:
    told: list[tuple[int, int | None]] = []
    url = server.serve("/a.zip", Reply(FILE))
    assert bring(known(url), target, progress=lambda done, total: told.append((done, total))) == url
    assert told[0] == (0, SIZE)
    assert told[-1] == (SIZE, SIZE)
    assert server.seen["/a.zip"][0]["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("stop", [0, 1, 65_536, SIZE - 1])
@pytest.mark.parametrize(
    ("length", "wanted"),
    [("true", known), ("true", unknown), ("chunked", known), ("chunked", unknown), (None, known)],
)
def test_a_broken_download_is_resumed(
    stop: int, length: str | None, wanted: Callable[..., Wanted], server: Server, target: Path
) -> None:
    url = server.serve("/a.zip", Reply(FILE, stop=stop, length=length), Reply(FILE))
    bring(wanted(url), target)
    assert server.asked("/a.zip") == ["", f"bytes={stop}-" if stop else ""]


def test_it_breaks_at_every_part_and_is_resumed_each_time(server: Server, target: Path) -> None:
    url = server.serve("/a.zip", *[Reply(FILE, stop=SIZE // 3)] * 2, Reply(FILE))
    bring(known(url), target)
    assert server.asked("/a.zip") == ["", "bytes=100000-", "bytes=200000-"]


@pytest.mark.parametrize("wanted", [known, unknown])
def test_a_later_process_goes_on_where_one_was_killed(
    wanted: Callable[..., Wanted], server: Server, target: Path
) -> None:
    url = server.serve("/a.zip", Reply(FILE))
    leave_part(target, FILE[:123_456], url, '"one"')
    bring(wanted(url), target)
    assert server.asked("/a.zip") == ["bytes=123456-"]
    assert server.seen["/a.zip"][0]["If-Range"] == '"one"'


def test_one_that_was_killed_at_the_very_end_needs_nothing_more(server: Server, target: Path) -> None:
    url = server.serve("/a.zip", Reply(FILE))
    leave_part(target, FILE, url, '"one"')
    bring(unknown(url), target)
    assert server.asked("/a.zip") == [f"bytes={SIZE}-"]  # answered by 416: nothing is left
    target.unlink()
    target.parent.rmdir()
    leave_part(target, FILE)
    bring(known(url), target)
    assert len(server.seen["/a.zip"]) == 1


def test_a_server_that_ignores_ranges_starts_again(server: Server, target: Path) -> None:
    url = server.serve("/a.zip", Reply(FILE, stop=100_000), Reply(FILE, ranges=False))
    bring(known(url), target)
    assert server.asked("/a.zip") == ["", "bytes=100000-"]


@pytest.mark.parametrize("wanted", [known, unknown])
def test_a_file_that_changes_between_two_parts_is_fetched_whole(
    wanted: Callable[..., Wanted], server: Server, target: Path
) -> None:
    url = server.serve("/a.zip", Reply(OTHER, stop=100_000, etag='"old"'), Reply(FILE, etag='"new"'))
    bring(wanted(url), target)
    assert server.seen["/a.zip"][1]["If-Range"] == '"old"'


@pytest.mark.parametrize("etag", [None, 'W/"one"'])
def test_what_cannot_be_told_apart_is_never_put_together(etag: str | None, server: Server, target: Path) -> None:
    """Neither a version by the server, or one that only means much the same, nor a checksum by the publishers: another
    file's rest would go unnoticed."""
    url = server.serve("/a.zip", Reply(OTHER, stop=100_000, etag=etag), Reply(FILE, etag=etag))
    bring(unknown(url), target)
    assert server.asked("/a.zip") == ["", ""]


def test_a_version_is_known_to_its_own_server_alone(server: Server, target: Path) -> None:
    first = server.serve("/a.zip", Reply(OTHER, stop=100_000), Reply(b"", 404))
    second = server.serve("/b.zip", Reply(FILE))  # by chance under the same ETag
    assert bring(unknown(first, second), target) == second
    assert server.asked("/b.zip") == [""]


@pytest.mark.parametrize("etag", [None, 'W/"one"'])
def test_with_a_checksum_parts_may_come_from_anywhere(etag: str | None, server: Server, target: Path) -> None:
    first = server.serve("/a.zip", Reply(FILE, stop=100_000, etag=etag), Reply(b"", 404))
    second = server.serve("/b.zip", Reply(FILE, etag=etag))
    assert bring(known(first, second), target) == second
    assert server.asked("/b.zip") == ["bytes=100000-"]


def test_parts_that_do_not_fit_are_fetched_once_more_as_one(server: Server, target: Path) -> None:
    url = server.serve("/a.zip", Reply(OTHER, stop=100_000, etag=None), Reply(FILE, etag=None))
    bring(known(url), target)
    assert server.asked("/a.zip") == ["", "bytes=100000-", ""]


def test_a_part_that_is_longer_than_the_file_is_thrown_away(server: Server, target: Path) -> None:
    url = server.serve("/a.zip", Reply(FILE))
    leave_part(target, FILE + b"more", url, '"one"')
    bring(known(url), target)
    assert server.asked("/a.zip") == [""]


def test_a_server_without_the_part_that_is_there_starts_again(server: Server, target: Path) -> None:
    """Its file has become shorter: 416."""
    url = server.serve("/a.zip", Reply(FILE))
    leave_part(target, FILE + b"more", url, '"one"')
    bring(unknown(url), target)
    assert server.asked("/a.zip") == [f"bytes={SIZE + 4}-", ""]


def test_a_server_that_sends_another_part_starts_again(server: Server, target: Path) -> None:
    lie = Reply(FILE, 206, headers={"Content-Range": f"bytes 5-{SIZE - 1}/{SIZE}"})
    url = server.serve("/a.zip", Reply(FILE, stop=100_000), lie, Reply(FILE))
    bring(known(url), target)
    assert server.asked("/a.zip") == ["", "bytes=100000-", ""]


@pytest.mark.parametrize("length", [None, "chunked"])
@pytest.mark.parametrize("wanted", [known, unknown])
def test_a_server_need_not_say_how_long_the_file_is(
    length: str | None, wanted: Callable[..., Wanted], server: Server, target: Path
) -> None:
    bring(wanted(server.serve("/a.zip", Reply(FILE, length=length))), target)


@pytest.mark.parametrize("length", [SIZE - 1, SIZE + 1, 3])
def test_a_wrong_length_is_refused_before_anything_is_loaded(length: int, server: Server, target: Path) -> None:
    refused(known(server.serve("/a.zip", Reply(FILE, length=length))), target, f"expected 300,000 bytes.*{length:,}")
    assert not target.with_name("set.zip.part").exists()


def test_a_server_that_promises_more_than_it_has_is_left(server: Server, target: Path) -> None:
    refused(unknown(server.serve("/a.zip", Reply(FILE, length=SIZE + 9, ranges=False))), target, "broke off")
    assert len(server.seen["/a.zip"]) == 3


@pytest.mark.parametrize("length", [None, "chunked"])
def test_more_than_the_known_size_is_never_written(length: str | None, server: Server, target: Path) -> None:
    refused(known(server.serve("/a.zip", Reply(FILE * 4, length=length))), target, "more than the 300,000 bytes")
    assert not target.with_name("set.zip.part").exists()


@pytest.mark.parametrize("length", ["true", None, "chunked"])
def test_a_file_of_unknown_size_has_a_limit(length: str | None, server: Server, target: Path) -> None:
    url = server.serve("/a.zip", Reply(FILE, length=length))
    refused(Wanted((url,), most=SIZE - 1), target, r"more than the 299,999|no more than 299,999")
    bring(Wanted((url,), most=SIZE), target)


def test_a_tar_gz_that_a_server_names_encoded_stays_packed(server: Server, target: Path) -> None:
    bring(known(server.serve("/a.tar.gz", Reply(FILE, encoding="x-gzip"))), target)


def test_another_file_of_the_same_length_is_refused_with_both_sums(server: Server, target: Path) -> None:
    url = server.serve("/a.zip", Reply(OTHER))
    with pytest.raises(Wrong, match=f"(?s){SHA}.*{sha256(OTHER).hexdigest()}"):
        download(known(url), target, patience=HURRY)
    assert list(target.parent.glob("*.part")) == []
    assert not target.exists()


def test_md5_is_looked_at_too() -> None:
    wanted = Wanted(("u",), md5="0" * 32)
    assert "md5" in Sums(1, "1" * 64, "f" * 32).differ(wanted)
    assert Sums(1, "1" * 64, "0" * 32).differ(wanted) == ""


@pytest.mark.parametrize(
    "page",
    [
        Reply(b"<!doctype html><title>moved</title>", kind="text/html; charset=utf-8"),
        Reply(b"\n <html>moved</html>", kind="application/zip"),
        Reply(b"<?xml version='1.0'?><Error/>", length="chunked"),
    ],
)
def test_a_web_page_in_place_of_the_file_is_a_dead_link(page: Reply, server: Server, target: Path) -> None:
    url = server.serve("/a.zip", page)
    refused(unknown(url), target, "web page in place of the file")
    assert len(server.seen["/a.zip"]) == 1


@pytest.mark.parametrize("status", [401, 403, 404, 410, 451])
def test_what_is_gone_is_asked_for_once(status: int, server: Server, target: Path) -> None:
    refused(known(server.serve("/a.zip", Reply(b"no", status))), target, f"{status}")
    assert len(server.seen["/a.zip"]) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_asked_for_again(status: int, server: Server, target: Path) -> None:
    bring(known(server.serve("/a.zip", Reply(b"no", status), Reply(b"no", status), Reply(FILE))), target)
    assert len(server.seen["/a.zip"]) == 3


def test_a_server_says_how_long_to_wait(server: Server, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(downloading.time, "sleep", waits.append)
    busy = Reply(b"no", 503, headers={"Retry-After": "7"})
    never = Reply(b"no", 503, headers={"Retry-After": "86400"})
    bring(known(server.serve("/a.zip", busy, never, Reply(FILE))), target)
    assert waits == [7, 60]


def test_waits_grow_and_end(server: Server, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(downloading.time, "sleep", waits.append)
    refused(known(server.serve("/a.zip", Reply(b"no", 500))), target, "500.*tried 3 times")
    assert waits == [0.01, 0.02]


def test_a_server_that_always_starts_again_is_left_in_the_end(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt brings much, but never more than the one before."""
    monkeypatch.setattr(downloading, "GAIN", 1000)
    url = server.serve("/a.zip", Reply(FILE, stop=200_000, ranges=False))
    refused(known(url), target, "tried 3 times")
    assert len(server.seen["/a.zip"]) == 3


def test_one_that_breaks_often_but_gets_on_is_not_left(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloading, "GAIN", 10_000)
    bring(known(server.serve("/a.zip", Reply(FILE, stop=40_000))), target)
    assert len(server.seen["/a.zip"]) == 8 > HURRY.attempts


def test_silence_is_a_break(server: Server, target: Path) -> None:
    slow = Reply(FILE, pause=1.0)
    notes: list[str] = []
    bring(known(server.serve("/a.zip", slow, Reply(FILE))), target, note=notes.append)
    assert "it does not answer in time" in notes[0] or "nothing came for 0.4 s" in notes[0]
    assert len(server.seen["/a.zip"]) == 2


def test_a_trickle_is_a_break(server: Server, target: Path) -> None:
    """A byte now and then, never silent for long."""
    trickle = Reply(FILE, pause=0.05, piece=10)
    notes: list[str] = []
    bring(known(server.serve("/a.zip", trickle, Reply(FILE))), target, note=notes.append)
    assert "less than 10,000 bytes a second" in notes[0]


def test_mirrors_are_tried_in_their_order(server: Server, target: Path) -> None:
    dead, wrong, right, never = (f"/{name}.zip" for name in ("dead", "wrong", "right", "never"))
    urls = [
        server.serve(dead, Reply(b"no", 404)),
        server.serve(wrong, Reply(OTHER)),
        server.serve(right, Reply(FILE)),
        server.serve(never, Reply(FILE)),
    ]
    assert bring(known(*urls), target) == urls[2]
    assert [len(server.seen[path]) for path in (dead, wrong, right, never)] == [1, 1, 1, 0]


def test_all_reasons_are_told(server: Server, target: Path) -> None:
    urls = [server.serve("/a", Reply(b"no", 404)), server.serve("/b", Reply(b"<p>", kind="text/html"))]
    refused(known(*urls), target, rf"(?s){urls[0]}\s+404.*{urls[1]}\s+serves a web page")


def test_no_server_and_no_host_are_told(server: Server, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.http.shutdown()
    server.http.server_close()
    refused(known(f"{server.base}/a.zip"), target, r"no connection \(\[Errno \d+\] Connection refused\); tried 3 times")
    import socket

    def unheard(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unheard)
    refused(known("http://nowhere.example/a.zip"), target, "its host is not found; is there a network")


def test_a_server_of_doubtful_identity_is_not_asked(server: Server, target: Path) -> None:
    """It speaks no TLS where TLS is asked for."""
    url = server.serve("/a.zip", Reply(FILE)).replace("http:", "https:")
    refused(known(url), target, "no trusted connection")
    assert server.seen["/a.zip"] == []


def test_what_is_no_address_is_told(target: Path) -> None:
    for url in ("http://", "ftp://a.example/a.zip", "nowhere"):
        refused(known(url), target, r"cannot be asked|neither http nor https")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed_with_the_range(status: int, server: Server, target: Path) -> None:
    url = server.serve("/old.zip", Reply(status=status, headers={"Location": "/new.zip"}))
    server.serve("/new.zip", Reply(FILE, stop=100_000), Reply(FILE))
    bring(known(url), target)
    assert server.asked("/new.zip") == ["", "bytes=100000-"]


def test_a_loop_of_redirects_ends(server: Server, target: Path) -> None:
    server.serve("/b.zip", Reply(status=302, headers={"Location": "/a.zip"}))
    url = server.serve("/a.zip", Reply(status=302, headers={"Location": "/b.zip"}))
    refused(known(url), target, "redirects more than 10 times")


def test_a_redirect_must_not_lead_to_files(server: Server, target: Path) -> None:
    url = server.serve("/a.zip", Reply(status=302, headers={"Location": "file:///etc/passwd"}))
    refused(known(url), target, "neither http nor https")


def test_a_redirect_must_not_lead_from_https_to_http(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first step is answered as if it had come by https."""
    import requests

    asked: list[str] = []

    def answer(self: requests.Session, url: str, **_: object) -> requests.Response:
        asked.append(url)
        response = requests.Response()
        response.status_code, response.url = 302, url
        response.headers["Location"] = f"{server.base}/a.zip"
        response.raw = type("Raw", (), {"close": lambda self: None, "release_conn": lambda self: None})()
        return response

    monkeypatch.setattr(requests.Session, "get", answer)
    refused(known("https://safe.example/a.zip"), target, "from https down to http")
    assert asked == ["https://safe.example/a.zip"]


def test_a_full_disk_is_noticed_before_the_download(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk.shutil, "disk_usage", lambda _: type("Usage", (), {"free": disk.SPARE + SIZE + 9})())
    url = server.serve("/a.zip", Reply(FILE))
    with pytest.raises(UserError, match=r"needs 300\.\d kB, and .* are free"):
        download(Wanted((url,), SIZE, SHA, spare=10), target, patience=HURRY)
    bring(Wanted((url,), SIZE, SHA, spare=9), target)


@pytest.mark.parametrize("piece", [700, 2**16])
def test_a_disk_that_gets_full_keeps_what_came(piece: int, server: Server, target: Path) -> None:
    url = server.serve("/a.zip", Reply(FILE, piece=piece))
    told = in_little_room(150_000, lambda: download(known(url), target, patience=HURRY))
    assert "UserError" in told
    assert "the disk is full" in told
    assert "set.zip.part; the same command goes on from there" in told
    assert not target.exists()
    kept = target.with_name("set.zip.part").stat().st_size
    assert 100_000 < kept <= 150_000
    bring(known(url), target)
    assert server.asked("/a.zip") == ["", f"bytes={kept}-"]


def test_a_proxy_of_the_environment_is_used(server: Server, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.base)
    monkeypatch.delenv("no_proxy", raising=False)
    server.serve("http://far.example/a.zip", Reply(FILE))
    bring(known("http://far.example/a.zip"), target)
    assert len(server.seen["http://far.example/a.zip"]) == 1

"""Models of the hub, against a server that speaks as it does: pinned, checked, and offline after the first time."""

import hashlib
import http.server
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

from i2i import recipe, store, zoo
from i2i.errors import UserError
from i2i.models import MODELS
from i2i.store import hub, pins

from .helpers import rewritten

FIRST, SECOND = "a" * 40, "b" * 40


class Hub(http.server.ThreadingHTTPServer):
    """`commits`: revision → commit; `files`: (commit, name) → bytes; `asked`: what was requested; `got`: what was sent.

    What can go wrong: `claim` is the size that it tells, `names` the commit, `sends` what it sends for the file, `cut`
    how many answers break off half-way, `refuses` the error code of every answer, `slow` the seconds an answer takes.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.commits = {"main": FIRST}
        self.files: dict[tuple[str, str], bytes] = {}
        self.asked: list[str] = []
        self.got: list[tuple[str, str | None]] = []
        self.claim: int | None = None
        self.names = self.refuses = ""
        self.sends = b""
        self.cut = 0
        self.slow = 0.0


class Answer(http.server.BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.answer(False)

    def do_GET(self) -> None:
        self.answer(True)

    def answer(self, body: bool) -> None:
        refused, commit, content = self.looked_up()
        if refused is not None:
            self.send_response(403 if refused == "GatedRepo" else 404)
            self.send_header("X-Error-Code", refused)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if not body and self.server.sends:  # as of large files, which lie elsewhere
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{self.server.server_port}{self.path}?signature=geheim")
            self.send_header("X-Linked-Size", str(len(content)))
        else:
            self.send_response(206 if self.headers["Range"] else 200)
        self.send_header("X-Repo-Commit", self.server.names or commit)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        sent = self.server.sends or content
        start = int((self.headers["Range"] or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        self.send_header("Content-Length", str(self.server.claim or len(sent) - start))
        self.end_headers()
        if not body:
            return
        self.server.got.append((self.path.partition("?")[0].rpartition("/")[2], self.headers["Range"]))
        time.sleep(self.server.slow)
        self.server.cut, whole = self.server.cut - 1, self.server.cut <= 0
        self.wfile.write(sent[start:] if whole else sent[start : (start + len(sent)) // 2])

    def looked_up(self) -> tuple[str | None, str, bytes]:
        """The hub's word for why not, the commit, the file."""
        owner, name, _, revision, *file = [*self.path.partition("?")[0].strip("/").split("/"), "", "", ""][:5]
        if owner == "api":
            return "", "", b""
        self.server.asked.append(self.path)
        if self.server.refuses or (owner, name) != ("somebody", "sketches"):
            return self.server.refuses or "RepoNotFound", "", b""
        commit = self.server.commits.get(revision, revision)
        if commit not in {commit for commit, _ in self.server.files}:
            return "RevisionNotFound", "", b""
        content = self.server.files.get((commit, file[0]))
        return ("EntryNotFound", "", b"") if content is None else (None, commit, content)

    def log_message(self, *_: Any) -> None:
        """Silence."""


@pytest.fixture
def served(
    tmp_path: Path, tiny: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, fresh_home: Path
) -> Iterator[Hub]:
    """The hub with one model, somebody/sketches, of which there are two commits."""
    with Hub() as server:
        for commit, seed in ((FIRST, 0), (SECOND, 1)):
            model, settings = tmp_path / commit / store.FILE, recipe.build(tiny("pix2pix"), "test")
            torch.manual_seed(seed)
            zoo.save(model, MODELS[type(settings)](settings).product(), settings, 7, "print")
            server.files[commit, store.FILE] = model.read_bytes()
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}/")
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield server
        server.shutdown()


def kept() -> list[str]:
    """The files of the hub that are here, whole or in part."""
    return sorted(path.name for path in (store.folder().parent / "hub").rglob("*") if path.is_file())


def test_a_model_of_the_hub_is_found_and_whole(served: Hub) -> None:
    assert store.find("hf:somebody/sketches").read_bytes() == served.files[FIRST, store.FILE]
    assert pins.pinned("somebody/sketches", "main") == {
        "commit": FIRST,
        "sha256": {store.FILE: hashlib.sha256(served.files[FIRST, store.FILE]).hexdigest()},
    }


def test_it_is_fetched_once_and_stays_what_it_was(served: Hub) -> None:
    first = store.find("hf:somebody/sketches")
    served.commits["main"] = SECOND
    served.asked.clear()
    assert store.find("hf:somebody/sketches") == first
    assert served.asked == []  # the hub may be gone


def test_an_update_takes_what_the_name_means_today(served: Hub) -> None:
    store.find("hf:somebody/sketches")
    assert hub.update("hf:somebody/sketches")[1] is False
    served.commits["main"] = SECOND
    file, changed = hub.update("hf:somebody/sketches")
    assert changed
    assert store.find("hf:somebody/sketches") == file
    assert file.read_bytes() == served.files[SECOND, store.FILE]


def test_a_revision_can_be_named(served: Hub) -> None:
    file = store.find(f"hf:somebody/sketches@{SECOND}")
    assert file.read_bytes() == served.files[SECOND, store.FILE]
    assert store.find("hf:somebody/sketches").read_bytes() == served.files[FIRST, store.FILE]


def test_an_exported_form_comes_along(served: Hub) -> None:
    served.files[FIRST, "model.a2b.uint8.onnx"] = b"an exported form"
    assert (store.find("hf:somebody/sketches").parent / "model.a2b.uint8.onnx").read_bytes() == b"an exported form"


def test_the_model_card_comes_along_into_the_users_store(served: Hub) -> None:
    served.files[FIRST, store.CARD] = b"license: cc0"
    file = store.add("hf:somebody/sketches", "mine")
    assert file.with_name(store.CARD).read_bytes() == b"license: cc0"


def test_another_file_under_a_pinned_commit_is_refused_every_time(served: Hub) -> None:
    store.find("hf:somebody/sketches").unlink()
    served.files[FIRST, store.FILE] = served.files[SECOND, store.FILE]
    for _ in range(2):
        with pytest.raises(UserError, match="as it is now: i2i models add hf:somebody/sketches --as NAME"):
            store.find("hf:somebody/sketches")
    assert kept() == []
    file = store.add("hf:somebody/sketches", "taken", force=True)
    assert file.read_bytes() == served.files[SECOND, store.FILE] == store.find("hf:somebody/sketches").read_bytes()


def test_no_other_file_of_a_repository_is_asked_for(served: Hub) -> None:
    served.files[FIRST, "modeling.py"] = b"raise SystemExit"
    store.find("hf:somebody/sketches")
    assert {path.rpartition("/")[2] for path in served.asked} == {store.FILE, store.CARD, *pins.FORMS}


def test_a_header_cannot_name_files(served: Hub) -> None:
    """What a model file says of its directions and sums is a stranger's word."""
    told = rewritten(served.files[FIRST, store.FILE], directions="a2b,../../../x", sha256="../../*")
    served.files[FIRST, store.FILE] = told
    file = store.find("hf:somebody/sketches")
    assert {path.rpartition("/")[2] for path in served.asked} == {store.FILE, store.CARD, *pins.FORMS}
    header = store.read_header(file)
    for way, weights in (("a2b", header["sha256"]), ("../../../x", "0" * 64)):
        with pytest.raises(UserError, match="damaged header"):
            store.exported(file, way, "uint8", weights)
    with pytest.raises(UserError, match="damaged header"):
        store.describe("hf:somebody/sketches")
    precious = store.folder().parent / "precious"
    precious.touch()
    store.remove("hf:somebody/sketches")
    assert precious.exists()


def test_a_cut_download_is_resumed(served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1000)
    served.cut = 1
    assert store.find("hf:somebody/sketches").read_bytes() == served.files[FIRST, store.FILE]
    (first, none), (again, there) = served.got
    assert (first, none, again) == (store.FILE, None, store.FILE)
    assert there == f"bytes={len(served.files[FIRST, store.FILE]) // 2 // 1000 * 1000}-"


def test_two_processes_fetch_it_once(served: Hub) -> None:
    served.slow = 0.3
    code = "from i2i import store; print(store.find('hf:somebody/sketches'))"
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    one, other = (process.communicate(timeout=60)[0] for process in both)
    assert one == other
    assert Path(one.strip()).read_bytes() == served.files[FIRST, store.FILE]
    assert [file for file, _ in served.got] == [store.FILE]


def test_a_hub_that_answers_with_another_commit_is_refused(served: Hub) -> None:
    served.names = SECOND
    with pytest.raises(UserError, match=f"asked for the commit {FIRST}, the hub answers with {SECOND}"):
        store.find(f"hf:somebody/sketches@{FIRST}")
    served.names = ""
    store.find("hf:somebody/sketches").unlink()
    served.names = SECOND
    with pytest.raises(UserError, match=f"asked for the commit {FIRST}, the hub answers with {SECOND}"):
        store.find("hf:somebody/sketches")
    served.names = "../../x"
    served.commits["v1"] = FIRST
    with pytest.raises(UserError, match="names no commit for 'v1'"):
        store.find("hf:somebody/sketches@v1")


@pytest.mark.parametrize("change", ["another", "longer", "shorter"])
def test_what_arrives_is_what_was_promised(change: str, served: Hub) -> None:
    content = served.files[FIRST, store.FILE]
    served.sends = {"another": content[:-1] + b"x", "longer": content + b"x", "shorter": content[:-1]}[change]
    with pytest.raises(UserError, match="arrived damaged" if change == "another" else "cannot be fetched") as told:
        store.find("hf:somebody/sketches")
    assert "geheim" not in str(told.value)
    assert not [name for name in kept() if name.endswith((".safetensors", ".incomplete"))]
    assert pins.read() == {}
    served.sends = b""
    assert store.find("hf:somebody/sketches").read_bytes() == content


def test_what_is_pinned_asks_no_network_and_needs_no_client(served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    file = store.find("hf:somebody/sketches")
    served.asked.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with FileLock(store.folder().parent / ".hub.lock"):  # nor does it wait for another process that fetches
        assert store.find("hf:somebody/sketches") == file
    assert "commit" in store.describe("hf:somebody/sketches")
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set"):
        store.find("hf:somebody/sketches@v2")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with pytest.raises(UserError, match=r"pip install 'i2i\[hub\]'"):
        store.find("hf:somebody/sketches@v2")
    assert served.asked == []


def test_a_link_where_the_model_belongs_is_replaced_not_followed(served: Hub, tmp_path: Path) -> None:
    file = store.find("hf:somebody/sketches")
    file.unlink()
    file.symlink_to(tmp_path / "elsewhere")
    assert not store.find("hf:somebody/sketches").is_symlink()
    assert not (tmp_path / "elsewhere").exists()


def test_fetched_models_are_listed_and_removed_by_their_name(served: Hub) -> None:
    served.commits["v1"] = FIRST
    file = store.find("hf:somebody/sketches")
    assert store.find("hf:somebody/sketches@v1") == file
    form = store.exported(file, "a2b", "uint8", store.read_header(file)["sha256"])[1]
    form.parent.mkdir()
    form.touch()
    told = {entry.name: (entry.commit, entry.path, entry.model) for entry in store.entries()}
    assert told == dict.fromkeys(("hf:somebody/sketches", "hf:somebody/sketches@v1"), (FIRST, file, "pix2pix"))
    store.remove("hf:somebody/sketches")
    assert file.is_file()  # v1 is the same commit
    assert [entry.name for entry in store.entries()] == ["hf:somebody/sketches@v1"]
    assert store.remove("hf:somebody/sketches@v1") == file.parent
    assert not file.parent.exists()
    assert not form.exists()
    assert store.entries() == []
    with pytest.raises(UserError, match="was not fetched"):
        store.remove("hf:somebody/sketches")


def test_no_secret_is_told(served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://me:pass@127.0.0.1:9")
    with pytest.raises(UserError, match="cannot be fetched") as told:
        store.find("hf:somebody/sketches")
    assert "pass" not in str(told.value)
    text = "Illegal header 'Bearer hf_abcDEF', my.token at https://me:pass@cdn.x/f?X-Signature=0a&b=c'"
    assert hub._without_secrets(text, "my.token") == (
        "Illegal header 'Bearer ***', *** at https://***@cdn.x/f?X-Signature=***&b=***'"
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hf:somebody/else", "no such repository"),
        ("hf:somebody/sketches@v9", "no revision 'v9'"),
        ("hf:somebody", "names no model of the hub"),
        ("hf:../../etc", "names no model of the hub"),
        ("hf:a/b/c", "names no model of the hub"),
        ("hf:a/b@../x", "names no model of the hub"),
        ("hf:./b", "names no model of the hub"),
        ("hf:a/..", "names no model of the hub"),
        ("hf:a--b/c", "names no model of the hub"),
        ("hf:a\\b/c", "names no model of the hub"),
        ("hf:a/b\n", "names no model of the hub"),
        ("hf:a/b@x?y", "names no model of the hub"),
    ],
)
def test_what_is_not_there_is_said(name: str, message: str, served: Hub) -> None:
    with pytest.raises(UserError, match=message):
        store.find(name)


def test_a_repository_without_a_model_of_ours_is_refused(served: Hub) -> None:
    del served.files[FIRST, store.FILE]
    served.files[FIRST, "pytorch_model.bin"] = b"\x80\x04"
    with pytest.raises(UserError, match=r"holds no model\.safetensors"):
        store.find("hf:somebody/sketches")


def test_what_is_not_ours_is_refused_and_not_kept(served: Hub) -> None:
    served.files[FIRST, store.FILE] = b"weights of something else"
    with pytest.raises(UserError, match=r"is no model of i2i: model\.safetensors is not a readable"):
        store.find("hf:somebody/sketches")
    assert kept() == []


def test_terms_that_are_not_accepted_are_said(served: Hub) -> None:
    served.refuses = "GatedRepo"
    with pytest.raises(UserError, match="asks for terms to be accepted"):
        store.find("hf:somebody/sketches")


def test_a_file_beyond_the_cap_is_not_fetched(served: Hub) -> None:
    served.claim = hub.LARGEST + 1
    with pytest.raises(UserError, match="at most"):
        store.find("hf:somebody/sketches")
    assert not list(store.folder().parent.glob("hub/**/*.safetensors"))


def test_a_hub_that_cannot_be_reached_is_said(served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="cannot be fetched"):
        store.find("hf:somebody/sketches")


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "[1]", '{"a/b@main": 1}', '{"a/b@main": {"commit": "../x", "sha256": {}}}', '{"../x@main": {}}',
     json.dumps({"a/b@main": {"commit": FIRST, "sha256": {"model.safetensors": "0" * 64, "../x": "0" * 64}}})],
)  # fmt: skip
def test_a_damaged_list_of_pins_is_no_reason_to_forget_them(text: str, served: Hub) -> None:
    store.find("hf:somebody/sketches")
    pinned = store.folder().parent / "hub.json"
    assert json.loads(pinned.read_text())
    pinned.write_text(text)
    with pytest.raises(UserError, match="damaged"):
        store.find("hf:somebody/sketches")
    (entry,) = store.entries()
    assert "damaged" in entry.problem

"""Models of the hub, against a server that speaks as it does: pinned, checked, and offline after the first time."""

import hashlib
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from i2i import recipe, store, zoo
from i2i.errors import UserError
from i2i.models import MODELS
from i2i.store import hub

FIRST, SECOND = "a" * 40, "b" * 40


class Hub(http.server.ThreadingHTTPServer):
    """`commits`: revision → commit; `files`: (commit, name) → bytes; `asked`: what was requested."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.commits = {"main": FIRST}
        self.files: dict[tuple[str, str], bytes] = {}
        self.asked: list[str] = []
        self.claim: int | None = None


class Answer(http.server.BaseHTTPRequestHandler):
    server: Hub

    def do_HEAD(self) -> None:
        self.answer(False)

    def do_GET(self) -> None:
        self.answer(True)

    def answer(self, body: bool) -> None:
        refused, commit, content = self.looked_up()
        if refused is not None:
            self.send_response(404)
            self.send_header("X-Error-Code", refused)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("X-Repo-Commit", commit)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(self.server.claim or len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def looked_up(self) -> tuple[str | None, str, bytes]:
        """The hub's word for why not, the commit, the file."""
        owner, name, _, revision, *file = [*self.path.strip("/").split("/"), "", "", ""][:5]
        if (owner, name) == ("api", "agent-harnesses"):
            return "", "", b""
        self.server.asked.append(self.path)
        if (owner, name) != ("somebody", "sketches"):
            return "RepoNotFound", "", b""
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
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        yield server
        server.shutdown()


def test_a_model_of_the_hub_is_found_and_whole(served: Hub) -> None:
    assert store.find("hf:somebody/sketches").read_bytes() == served.files[FIRST, store.FILE]
    assert hub.pin("hf:somebody/sketches") == {
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


def test_another_file_under_a_pinned_commit_is_refused(served: Hub) -> None:
    store.find("hf:somebody/sketches").unlink()
    served.files[FIRST, store.FILE] = served.files[SECOND, store.FILE]
    with pytest.raises(UserError, match="not what it was"):
        store.find("hf:somebody/sketches")


def test_no_other_file_of_a_repository_is_asked_for(served: Hub) -> None:
    served.files[FIRST, "modeling.py"] = b"raise SystemExit"
    store.find("hf:somebody/sketches")
    assert {path.rpartition("/")[2] for path in served.asked} == {store.FILE, "model.a2b.uint8.onnx"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hf:somebody/else", "no such repository"),
        ("hf:somebody/sketches@v9", "no revision 'v9'"),
        ("hf:somebody", "names no model of the hub"),
        ("hf:../../etc", "names no model of the hub"),
        ("hf:a/b/c", "names no model of the hub"),
        ("hf:a/b@../x", "names no model of the hub"),
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


def test_a_file_beyond_the_cap_is_not_fetched(served: Hub) -> None:
    served.claim = hub.LARGEST + 1
    with pytest.raises(UserError, match="at most"):
        store.find("hf:somebody/sketches")
    assert not list(store.folder().parent.glob("hub/**/*.safetensors"))


def test_a_hub_that_cannot_be_reached_is_said(served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UserError, match="cannot be fetched"):
        store.find("hf:somebody/sketches")


def test_a_damaged_list_of_pins_is_no_reason_to_forget_them(served: Hub) -> None:
    store.find("hf:somebody/sketches")
    pins = store.folder().parent / "hub.json"
    assert json.loads(pins.read_text())
    pins.write_text("{")
    with pytest.raises(UserError, match="damaged"):
        store.find("hf:somebody/sketches")

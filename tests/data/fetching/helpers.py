"""A server on this machine that serves well or badly, as told, and small archives for it."""

import io
import os
import resource
import signal
import tarfile
import threading
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np

from i2i.data.fetching.http import Patience

HURRY = Patience(connect=2, silent=0.4, attempts=3, backoff=0.01, least=10_000, window=0.3)


@dataclass(frozen=True)
class Reply:
    """How one request is answered."""

    content: bytes = b""
    status: int = 200
    stop: int | None = None  # the connection is closed after so many bytes of this answer
    length: int | str | None = "true"  # Content-Length: the true one, a number, none, or "chunked" in place of it
    ranges: bool = True
    etag: str | None = '"one"'
    kind: str = "application/octet-stream"
    encoding: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    pause: float = 0.0  # seconds before each piece of `piece` bytes
    piece: int = 2**16


class Server:
    """`replies[path]`: the answers to the first, second, ... request; the last one also to those after it."""

    def __init__(self) -> None:
        self.replies: dict[str, list[Reply]] = {}
        self.seen: dict[str, list[dict[str, str]]] = defaultdict(list)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                before = len(outer.seen[self.path])
                outer.seen[self.path].append(dict(self.headers))
                replies = outer.replies.get(self.path, [Reply(b"nothing here", 404)])
                try:
                    answer(self, replies[min(before, len(replies) - 1)])
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that were killed
        self.base = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def serve(self, path: str, *replies: Reply) -> str:
        """The address of `path`, which is answered so."""
        self.replies[path] = list(replies)
        return f"{self.base}{path}"

    def asked(self, path: str) -> list[str]:
        """The Range of each request so far, '' where there was none."""
        return [headers.get("Range", "") for headers in self.seen[path]]


def answer(handler: BaseHTTPRequestHandler, reply: Reply) -> None:
    content, status, told = reply.content, reply.status, dict(reply.headers)
    wanted = handler.headers.get("Range", "")
    other = handler.headers.get("If-Range", reply.etag) != reply.etag
    if wanted and reply.ranges and status == 200 and not other:
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(content):
            status, told["Content-Range"], content = 416, f"bytes */{len(content)}", b""
        else:
            told["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            status, content = 206, content[start:]
    handler.send_response(status)
    told["Content-Type"] = reply.kind
    if reply.etag:
        told["ETag"] = reply.etag
    if reply.encoding:
        told["Content-Encoding"] = reply.encoding
    chunked = reply.length == "chunked"
    if chunked:
        told["Transfer-Encoding"] = "chunked"
    elif reply.length is not None:
        told["Content-Length"] = str(len(content) if reply.length == "true" else reply.length)
    else:
        told["Connection"] = "close"
    for key, value in told.items():
        handler.send_header(key, value)
    handler.end_headers()
    sent = content if reply.stop is None else content[: reply.stop]
    for at in range(0, len(sent), reply.piece):
        if reply.pause:
            time.sleep(reply.pause)
        piece = sent[at : at + reply.piece]
        handler.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n" if chunked else piece)
        handler.wfile.flush()
    if chunked and reply.stop is None:
        handler.wfile.write(b"0\r\n\r\n")
    if reply.stop is not None or reply.length != "true":
        handler.close_connection = True


def noise(key: int, n: int) -> bytes:
    """n bytes that no packing makes smaller."""
    return np.random.default_rng(key).bytes(n)


def zipped(files: dict[str, bytes]) -> bytes:
    """A zip archive of these files."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def tarred(files: dict[str, bytes], mode: str = "w:gz", format: int = tarfile.GNU_FORMAT) -> bytes:
    """A tar archive of these files, whose folders are entries too."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode, format=format) as archive:  # type: ignore[call-overload]
        for folder in sorted({str(Path(name).parent) for name in files} - {"."}):
            entry = tarfile.TarInfo(folder)
            entry.type = tarfile.DIRTYPE
            archive.addfile(entry)
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()


def in_little_room(room: int, work: Callable[[], object]) -> str:
    """What `work` raised in a process whose files cannot grow beyond `room` bytes, which stands for a full disk."""
    reading, writing = os.pipe()
    if not (pid := os.fork()):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        try:
            work()
        except BaseException as problem:
            os.write(writing, repr(problem).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        told = pipe.read().decode()
    os.waitpid(pid, 0)
    return told

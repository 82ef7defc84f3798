"""One request for a file, or for the rest of it, and what the answer is worth."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from i2i import __version__

if TYPE_CHECKING:
    from requests import Response, Session

CHUNK = 2**18  # bytes
REDIRECTS = 10
LONGEST_WAIT = 60.0  # seconds, whatever a server asks for
PASSING = {408, 425, 429, 500, 502, 503, 504}  # states of a server that may be over in a moment
PART = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
WHOLE = re.compile(r"bytes \*/(\d+)")


@dataclass(frozen=True)
class Patience:
    """How long a server may take. Seconds, but for `attempts` and `least`."""

    connect: float = 15.0
    silent: float = 30.0  # without a single byte
    attempts: int = 5  # in a row that bring nothing
    backoff: float = 1.0  # after the first of them; then twice that, ...
    least: int = 1024  # bytes a second, over any `window`
    window: float = 60.0


class Refused(Exception):
    """This address does not serve the file, and asking again will not change that."""


class Broken(Exception):
    """It may work the next time: after `wait` seconds, and from the first byte if what is there cannot be continued."""

    def __init__(self, told: str, wait: float = 0.0, restart: bool = False) -> None:
        super().__init__(told)
        self.wait, self.restart = wait, restart


@dataclass(frozen=True)
class Answer:
    """What comes: bytes from `start` on of a file of `total` bytes (None: the server does not say)."""

    start: int
    total: int | None
    validator: str  # ETag or date of this version of the file, '' where the server gives none
    pieces: Iterator[bytes]


@contextmanager
def ask(session: "Session", url: str, start: int, validator: str, patience: Patience) -> Iterator[Answer]:
    """Asks for a file from byte `start` on, if it is still the version of `validator`. Raises Refused and Broken, also
    while the pieces are read."""
    import requests

    headers = {"User-Agent": f"i2i/{__version__}", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if validator:
            headers["If-Range"] = validator  # of another version it then sends the whole
    try:
        response = _followed(session, url, headers, patience)
    except requests.exceptions.SSLError as problem:
        raise Refused(f"no trusted connection ({_cause(problem)})") from None
    except requests.exceptions.Timeout:
        raise Broken("it does not answer in time") from None
    except requests.exceptions.ConnectionError as problem:
        if "NameResolution" in repr(problem):
            raise Refused("its host is not found; is there a network?") from None
        raise Broken(f"no connection ({_cause(problem)})") from None
    except (requests.exceptions.RequestException, ValueError) as problem:
        raise Refused(f"cannot be asked ({_cause(problem)})") from None
    with response:
        yield _judged(response, start, patience)


def _followed(session: "Session", url: str, headers: dict[str, str], patience: Patience) -> "Response":
    """The answer at the end of the redirects, which may lead from http to https, but not back."""
    at = url
    for _ in range(REDIRECTS):
        if urlsplit(at).scheme not in ("http", "https"):
            raise Refused(f"leads to {at}, which is neither http nor https")
        response = session.get(
            at, headers=headers, stream=True, allow_redirects=False, timeout=(patience.connect, patience.silent)
        )
        target = session.get_redirect_target(response)
        if target is None:
            return response
        response.close()
        before, at = at, urljoin(at, target)
        if urlsplit(before).scheme == "https" and urlsplit(at).scheme == "http":
            raise Refused(f"leads from https down to {at}, where anybody on the way can change the file")
    raise Refused(f"redirects more than {REDIRECTS} times")


def _judged(response: "Response", start: int, patience: Patience) -> Answer:
    status, headers = response.status_code, response.headers
    if status in PASSING:
        after = headers.get("Retry-After", "")
        raise Broken(f"{status} {response.reason}", wait=min(float(after) if after.isdecimal() else 0.0, LONGEST_WAIT))
    etag = headers.get("ETag", "")
    validator = etag if etag and not etag.startswith("W/") else headers.get("Last-Modified", "")
    if status == 416:  # nothing after `start`
        whole = WHOLE.fullmatch(headers.get("Content-Range", ""))
        if start and whole and int(whole[1]) == start:
            return Answer(start, start, validator, iter(()))
        raise Broken("it has no such part of the file", restart=True)
    if status not in (200, 206):
        raise Refused(f"{status} {response.reason}")
    if "html" in headers.get("Content-Type", "").lower():
        raise Refused("serves a web page in place of the file; the link is dead")
    pieces = _pieces(response, patience)
    if status == 200:
        length = headers.get("Content-Length", "")
        return Answer(0, int(length) if length.isdecimal() else None, validator, pieces)
    part = PART.fullmatch(headers.get("Content-Range", ""))
    if not part or int(part[1]) != start:
        raise Broken("it sends another part of the file than was asked for", restart=True)
    return Answer(start, int(part[2]) if part[2].isdecimal() else None, validator, pieces)


def _pieces(response: "Response", patience: Patience) -> Iterator[bytes]:
    """The bytes as they are on the server: a tar.gz is not unpacked on the way, though some servers name it encoded."""
    from urllib3.exceptions import HTTPError, ReadTimeoutError

    since, got = time.monotonic(), 0
    try:
        while piece := response.raw.read1(CHUNK, decode_content=False):
            yield piece
            got += len(piece)
            if (spent := time.monotonic() - since) >= patience.window:
                if got < patience.least * spent:
                    raise Broken(f"it sends less than {patience.least:,} bytes a second")
                since, got = time.monotonic(), 0
    except ReadTimeoutError:
        raise Broken(f"nothing came for {patience.silent:g} s") from None
    except (HTTPError, OSError):
        raise Broken("the connection broke off") from None


def _cause(problem: Exception) -> str:
    """The words at the core of what `requests` raises, which tells of pools and retries around them."""
    inner = getattr(problem.args[0], "reason", None) if problem.args else None
    return " ".join(str(inner or problem).rpartition(": ")[2].split())[:160]

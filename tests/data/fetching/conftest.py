"""The server of each test."""

from collections.abc import Iterator

import pytest

from .helpers import Server


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()

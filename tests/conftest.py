"""Real servers for all tests: those of LANEWAY_TEST_REDIS_URL and LANEWAY_TEST_MONGO_URL, else embedded ones on free ports.

Each test has a key prefix and a database of its own, so nothing is ever flushed and tests share servers.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pymongo
import pytest
import redis

from laneway.dev import embedded


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis or Valkey. The embedded one syncs once a second: what needs `always` starts a server of its own."""
    folder = tmp_path_factory.mktemp("valkey")
    yield from _server("LANEWAY_TEST_REDIS_URL", lambda: embedded.valkey(folder, appendfsync="everysec"))


@pytest.fixture(scope="session")
def mongo_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that speaks MongoDB's protocol."""
    folder: Path = tmp_path_factory.mktemp("mongo")
    yield from _server("LANEWAY_TEST_MONGO_URL", lambda: embedded.mongo(folder))


@pytest.fixture
def prefix(redis_url: str) -> Iterator[str]:
    """A key prefix that no other test has. A server that was given is left without its keys."""
    name = "t" + secrets.token_hex(8)
    yield name
    if "LANEWAY_TEST_REDIS_URL" in os.environ:
        with redis.Redis.from_url(redis_url) as client:
            for key in client.scan_iter(match=f"{{{name}:*", count=1000):
                client.unlink(key)


@pytest.fixture
def mongo_database(mongo_url: str) -> Iterator[str]:
    """Name of a database that no other test has; dropped at the end."""
    name = "t" + secrets.token_hex(8)
    yield name
    with pymongo.MongoClient[dict[str, object]](mongo_url, serverSelectionTimeoutMS=2000) as client:
        client.drop_database(name)


def _server(variable: str, start: Callable[[], AbstractContextManager[embedded.Embedded]]) -> Iterator[str]:
    if url := os.environ.get(variable):
        yield url
        return
    try:
        running = start()
        server = running.__enter__()
    except embedded.EmbeddedError as error:
        if "CI" in os.environ:
            raise
        pytest.skip(str(error))
    try:
        yield server.url
    finally:
        running.__exit__(None, None, None)

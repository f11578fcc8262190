"""Real servers that all tests of a process share: those named in LANEWAY_TEST_REDIS_URL and LANEWAY_TEST_MONGO_URL, else embedded
ones on free ports.

Each test has a key prefix and a database of its own, so nothing is ever flushed.
"""

from __future__ import annotations

import gc
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pymongo
import pytest
import redis

from laneway.dev import embedded

REDIS_VARIABLE, MONGO_VARIABLE = "LANEWAY_TEST_REDIS_URL", "LANEWAY_TEST_MONGO_URL"

SLOWEST_FIRST = (
    "package", "worker", "dev", "api", "test_open_files.py", "docs", "bench", "helm", "cli", "scaling", "operator", "lanes", "doctor", "client", "storage",
)  # fmt: skip
"""Folders and files of tests/ by how long their longest file takes."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Hand out long files first, so that at the end no process is left alone with one."""
    root = Path(__file__).parent

    def rank(item: pytest.Item) -> int:
        folder = item.path.relative_to(root).parts[0]
        return SLOWEST_FIRST.index(folder) if folder in SLOWEST_FIRST else len(SLOWEST_FIRST)

    items.sort(key=rank)


def pytest_collectstart() -> None:
    """Keep the garbage collector from visiting the tests and what they import, which are there until the end."""
    gc.disable()


def pytest_collection_finish() -> None:
    """See `pytest_collectstart`."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a Redis or Valkey: see `serve_redis`."""
    yield from serve_redis(tmp_path_factory.mktemp("valkey"))


@pytest.fixture(scope="session")
def mongo_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a server that speaks MongoDB's protocol."""
    folder = tmp_path_factory.mktemp("mongo")
    yield from _server(MONGO_VARIABLE, lambda: embedded.mongo(folder))


@pytest.fixture
def prefix(redis_url: str) -> Iterator[str]:
    """Return a key prefix that no other test has. On a server that was given, its keys are deleted afterwards."""
    name = "t" + secrets.token_hex(8)
    yield name
    if REDIS_VARIABLE in os.environ:
        with redis.Redis.from_url(redis_url) as client:
            for key in client.scan_iter(match=f"{{{name}:*", count=1000):
                client.unlink(key)


@pytest.fixture
def mongo_database(mongo_url: str) -> Iterator[str]:
    """Return the name of a database that no other test has. On a server that was given, it is dropped afterwards."""
    name = "t" + secrets.token_hex(8)
    yield name
    drop_from_given_server(mongo_url, name)


def drop_from_given_server(mongo_url: str, database: str) -> None:
    """Drop a test's database. The embedded server's data goes with it, and it takes long to drop a large database."""
    if MONGO_VARIABLE in os.environ:
        with pymongo.MongoClient[dict[str, object]](mongo_url, serverSelectionTimeoutMS=2000) as client:
            client.drop_database(database)


def serve_redis(folder: Path) -> Iterator[str]:
    """Yield the address of a Redis or Valkey. The embedded one syncs once a second; a test that needs `always` starts its own."""
    yield from _server(REDIS_VARIABLE, lambda: embedded.valkey(folder, appendfsync="everysec"))


def _server(variable: str, start: Callable[[], AbstractContextManager[embedded.Embedded]]) -> Iterator[str]:
    """Yield the address in the variable, or that of a server that is started. Skips, or fails in CI, if it cannot start."""
    if url := os.environ.get(variable):
        yield url
        return
    with ExitStack() as stack:
        try:
            server = stack.enter_context(start())
        except embedded.EmbeddedError as error:
            if "CI" in os.environ:
                raise
            pytest.skip(str(error))
        yield server.url

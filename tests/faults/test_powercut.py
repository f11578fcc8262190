"""Promise 1 at the level of Redis: with `appendfsync always` a power cut loses no acknowledged write.

The same clients and cuts lose writes under `everysec`, which shows that the model of a disk can lose them at all.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from random import Random

import pytest
import redis

from chaos.system.preload import NoCompilerError, preload_library
from chaos.system.redis_server import RedisServer
from laneway.dev.embedded import EmbeddedError, valkey_binary

CLIENTS = 4
CUTS = 10


@pytest.fixture(autouse=True, scope="module")
def _tools() -> None:
    try:
        preload_library("disk")
        valkey_binary()
    except (NoCompilerError, EmbeddedError) as reason:
        if "CI" in os.environ:
            raise
        pytest.skip(str(reason))


class Writer(threading.Thread):
    """Appends to a list of its own until the server is gone, and remembers the last answer."""

    def __init__(self, server: RedisServer, name: str, size: int) -> None:
        super().__init__()
        self.client, self.list, self.size, self.acknowledged = server.client(), name, size, 0

    def run(self) -> None:
        with self.client:
            try:
                while True:
                    self.acknowledged = self.client.rpush(self.list, b"x" * self.size)
            except redis.exceptions.RedisError:
                return


def write_and_cut(server: RedisServer, after_seconds: float, random: Random) -> tuple[int, int, int]:
    """Write with some clients until the power cut. Returns acknowledged writes, missing ones among them, and unsynced bytes."""
    writers = [Writer(server, f"list-{number}", random.randrange(1, 300)) for number in range(CLIENTS)]
    for writer in writers:
        writer.start()
    deadline = time.monotonic() + 10
    while not all(writer.acknowledged for writer in writers):
        assert time.monotonic() < deadline, "a client gets no answer"
    if after_seconds:
        threading.Event().wait(after_seconds)  # cut at a random moment
    cut = server.cut_power(random if random.random() < 0.5 else None)
    for writer in writers:
        writer.join(10)
        assert not writer.is_alive()
    server.start()
    with server.client() as client:
        missing = sum(max(0, writer.acknowledged - client.llen(writer.list)) for writer in writers)
        client.delete(*(writer.list for writer in writers))
    return sum(writer.acknowledged for writer in writers), missing, cut.unsynced_bytes


def run(tmp_path: Path, appendfsync: str, cuts: int, *, rewrite: bool = False) -> tuple[int, int, int]:
    """Return acknowledged writes, missing ones among them, and how many of the cuts lost any."""
    random = Random(tmp_path.name)
    server = RedisServer(tmp_path, appendfsync=appendfsync)
    acknowledged = missing = lossy = 0
    try:
        server.start()
        for _ in range(cuts):
            if rewrite:
                with server.client() as client:
                    client.set("ballast", b"b" * 20_000_000)
                    client.bgrewriteaof()
            wrote, lost, _ = write_and_cut(server, random.uniform(0, 0.3), random)
            acknowledged, missing, lossy = acknowledged + wrote, missing + lost, lossy + (lost > 0)
    finally:
        server.kill()
    print(f"appendfsync {appendfsync}: {acknowledged} writes in {cuts} cuts, {missing} lost, in {lossy} cuts")
    return acknowledged, missing, lossy


def test_always_loses_no_acknowledged_write_in_a_power_cut(tmp_path: Path) -> None:
    acknowledged, missing, _ = run(tmp_path, "always", CUTS)
    assert acknowledged > CUTS * CLIENTS
    assert missing == 0


def test_always_loses_nothing_while_the_file_is_rewritten(tmp_path: Path) -> None:
    _, missing, _ = run(tmp_path, "always", CUTS, rewrite=True)
    assert missing == 0


def test_everysec_loses_writes(tmp_path: Path) -> None:
    """Without a loss here the tests above would prove nothing."""
    _, missing, lossy = run(tmp_path, "everysec", CUTS)
    assert missing > 0
    assert lossy > 0


def test_a_kill_alone_loses_nothing_even_with_everysec(tmp_path: Path) -> None:
    """The page cache survives a killed process, so a power cut needs a model."""
    server = RedisServer(tmp_path, appendfsync="everysec")
    server.start()
    try:
        with server.client() as client:
            for number in range(100):
                client.rpush("list", number)
        server.kill()
        server.start()
        with server.client() as client:
            assert client.llen("list") == 100
    finally:
        server.kill()


def test_a_full_disk_refuses_writes_and_a_slow_one_delays_them(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    try:
        with server.client() as client:
            client.set("before", 1)
            server.slow_disk(80)
            begun = time.monotonic()
            client.set("slow", 1)
            assert time.monotonic() - begun > 0.08
            server.fill_disk(True)
            with pytest.raises(redis.exceptions.RedisError):
                client.set("full", 1)
        server.fill_disk(False)
        server.kill()
        server.start()
        with server.client() as client:
            assert client.mget("before", "slow", "full") == [b"1", b"1", None]
    finally:
        server.kill()

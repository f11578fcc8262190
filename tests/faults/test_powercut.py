"""Promise 1, below the application: with `appendfsync always` a power cut takes nothing that was acknowledged.

The same clients and cuts lose writes under `everysec`: that is how it is known that the model can find a loss.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from random import Random

import pytest
import redis

from chaos.system.preload import NoCompilerError, built
from chaos.system.redis_server import Server
from laneway.dev.embedded import EmbeddedError
from laneway.dev.embedded.servers import valkey_binary

CLIENTS = 4
CUTS = 10


@pytest.fixture(autouse=True, scope="module")
def _tools() -> None:
    try:
        built("disk")
        valkey_binary()
    except (NoCompilerError, EmbeddedError) as reason:
        if "CI" in os.environ:
            raise
        pytest.skip(str(reason))


class Writer(threading.Thread):
    """Appends 1, 2, 3... to a list of its own until the server is gone; remembers the last answer it had."""

    def __init__(self, server: Server, name: str, size: int) -> None:
        super().__init__()
        self.client, self.list, self.size, self.acknowledged = server.client(), name, size, 0

    def run(self) -> None:
        with self.client:
            try:
                while True:
                    self.acknowledged = self.client.rpush(self.list, b"x" * self.size)
            except redis.exceptions.RedisError:
                return


def write_and_cut(server: Server, after_seconds: float, random: Random) -> tuple[int, int, int]:
    """Some clients write until the power goes. Returns writes acknowledged, of them missing, bytes not synced."""
    writers = [Writer(server, f"list-{number}", random.randrange(1, 300)) for number in range(CLIENTS)]
    for writer in writers:
        writer.start()
    deadline = time.monotonic() + 10
    while not all(writer.acknowledged for writer in writers):
        assert time.monotonic() < deadline, "a client gets no answer"
    if after_seconds:
        threading.Event().wait(after_seconds)  # the moment of the cut is what is random here
    cut = server.cut(random if random.random() < 0.5 else None)
    for writer in writers:
        writer.join(10)
        assert not writer.is_alive()
    server.start()
    with server.client() as client:
        missing = sum(max(0, writer.acknowledged - client.llen(writer.list)) for writer in writers)
        client.delete(*(writer.list for writer in writers))
    return sum(writer.acknowledged for writer in writers), missing, cut.unsynced_bytes


def run(tmp_path: Path, appendfsync: str, cuts: int, *, rewrite: bool = False) -> tuple[int, int, int]:
    """Acknowledged writes, missing ones, and cuts that lost something, over some cuts."""
    random = Random(tmp_path.name)
    server = Server(tmp_path, appendfsync=appendfsync)
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


def test_everysec_is_seen_to_lose_writes(tmp_path: Path) -> None:
    """Without this the tests above would prove nothing."""
    _, missing, lossy = run(tmp_path, "everysec", CUTS)
    assert missing > 0
    assert lossy > 0


def test_a_kill_alone_loses_nothing_even_with_everysec(tmp_path: Path) -> None:
    """The page cache survives a killed process: why a power cut needs a model."""
    server = Server(tmp_path, appendfsync="everysec")
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
    server = Server(tmp_path)
    server.start()
    try:
        with server.client() as client:
            client.set("before", 1)
            server.disk_slow(80)
            begun = time.monotonic()
            client.set("slow", 1)
            assert time.monotonic() - begun > 0.08
            server.disk_full(True)
            with pytest.raises(redis.exceptions.RedisError):
                client.set("full", 1)
        server.disk_full(False)
        server.kill()
        server.start()
        with server.client() as client:
            assert client.mget("before", "slow", "full") == [b"1", b"1", None]
    finally:
        server.kill()

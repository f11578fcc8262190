"""Embedded servers keep what they acknowledged and end with the process that started them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pymongo
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from laneway.dev import embedded
from laneway.dev.embedded import ports

Mongo = pymongo.MongoClient[dict[str, object]]


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition was not met in time"
        time.sleep(0.01)


def has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_valkey_keeps_what_it_acknowledged_through_a_kill(tmp_path: Path) -> None:
    with embedded.valkey(tmp_path) as server, redis.Redis.from_url(server.url) as client:
        before = server.pid
        client.set("kept", "1")
        server.kill()
        server.restart()
        assert server.pid != before
        assert client.get("kept") == b"1"
        assert client.config_get("appendfsync") == {"appendfsync": "always"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert has_ended(server.pid)


def test_mongo_keeps_what_it_acknowledged_through_a_kill(tmp_path: Path) -> None:
    with embedded.mongo(tmp_path) as server, Mongo(server.url) as client:
        client.test.things.insert_one({"_id": "kept"})
        server.kill()
        server.restart()
        assert client.test.things.find_one() == {"_id": "kept"}
    assert has_ended(server.pid)


def test_data_survives_into_the_next_run_with_another_password(tmp_path: Path) -> None:
    urls = set()
    for run in range(2):
        with embedded.valkey(tmp_path / "v") as v, embedded.mongo(tmp_path / "m") as m:
            urls |= {v.url, m.url}
            with redis.Redis.from_url(v.url) as client:
                assert client.incr("runs") == run + 1
            with Mongo(m.url) as mongo_client:
                mongo_client.test.runs.insert_one({"_id": run})
                assert mongo_client.test.runs.count_documents({}) == run + 1
    assert len(urls) == 4


def test_both_require_a_password_and_show_it_nowhere(tmp_path: Path) -> None:
    with embedded.valkey(tmp_path / "v") as v, embedded.mongo(tmp_path / "m") as m:
        assert (m.folder / "mongo.log").read_text() == "", (
            "not even a warning of Python's about how it was started"
        )
        for server in (v, m):
            password = server.url.split(":")[2].split("@")[0]
            assert password not in Path(f"/proc/{server.pid}/cmdline").read_text()
            assert password not in Path(f"/proc/{server.pid}/environ").read_text()
            for path in (p for p in server.folder.rglob("*") if p.is_file()):
                assert password.encode() not in path.read_bytes(), path
        with (
            redis.Redis(
                port=int(v.url.rsplit(":", 1)[1].split("/")[0]), retry=Retry(NoBackoff(), 0)
            ) as client,
            pytest.raises(redis.AuthenticationError),
        ):
            client.ping()
        with (
            Mongo("mongodb://" + m.url.split("@")[1].split("?")[0]) as mongo_client,
            pytest.raises(pymongo.errors.OperationFailure),
        ):
            mongo_client.test.things.find_one()


@pytest.mark.parametrize("start", [embedded.valkey, embedded.mongo])
def test_a_busy_port_is_reported(start: Callable[..., object], tmp_path: Path) -> None:
    with embedded.valkey(tmp_path / "first") as first:
        port = int(first.url.rsplit(":", 1)[1].split("/")[0])
        with pytest.raises(embedded.EmbeddedError, match="in use"), start(tmp_path / "second", port=port):  # type: ignore[attr-defined]
            pass


def test_no_port_is_handed_out_twice_by_any_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port that was handed out is free until its server listens, so being free proves nothing."""
    first = embedded.free_port()
    few = (first, first + 30)
    monkeypatch.setattr(ports, "_PORTS", few)
    ours = [embedded.free_port() for _ in range(8)]
    program = (
        "from laneway.dev.embedded import free_port, ports\n"
        f"ports._PORTS = {few}\n"
        "print(*(free_port() for _ in range(8)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    theirs = [int(port) for port in done.stdout.split()]
    assert len({*ours, *theirs}) == 16


def test_servers_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    program = (
        "import sys, time, pathlib\n"
        "from laneway.dev import embedded\n"
        "with embedded.valkey(pathlib.Path('v')) as v, embedded.mongo(pathlib.Path('m')) as m:\n"
        "    print(v.pid, m.pid, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 2
    os.kill(parent.pid, signal.SIGKILL)
    parent.communicate()
    for pid in pids:
        wait_until(lambda pid=pid: has_ended(pid))  # type: ignore[misc]

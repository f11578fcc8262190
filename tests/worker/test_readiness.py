"""A worker says whether it can serve jobs and what is missing, and others' faults do not end it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from prometheus_client import CollectorRegistry, generate_latest

from laneway.dev import embedded
from laneway.lanes.keys import Keys
from laneway.lanes.store import AsyncLanes, connect_async
from laneway.redis_address import parse
from laneway.worker.lease_keeper import readiness
from laneway.worker.lease_keeper.pool import Pool
from laneway.worker.lease_keeper.readiness import Readiness
from tests.servers.redis_6 import redis_6
from tests.worker.running import System, Worker, fresh, running, wait_for


class _Process:
    in_turn = True
    in_flight = 0


def _serving_pool() -> Pool:
    pool: Any = Pool()
    pool.processes[1] = _Process()
    return pool  # type: ignore[no-any-return]


def _ask(worker: Worker, path: str) -> tuple[int, dict[str, Any]]:
    """Status and document; 0 while the port is closed."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{worker.port}{path}", timeout=5) as answer:
            return answer.status, json.load(answer) if path == "/readyz" else {}
    except urllib.error.HTTPError as error:
        return error.code, json.load(error) if path == "/readyz" else {}
    except OSError:
        return 0, {}


def _problems(worker: Worker) -> dict[str, str]:
    status, document = _ask(worker, "/readyz")
    problems: dict[str, str] = document.get("problems", {})
    assert status == (503 if problems else 200) or not document
    return problems


def _changes(worker: Worker) -> list[dict[str, Any]]:
    return [line for line in worker.lines() if line["event"] == "readiness_changed"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[embedded.Embedded]:
    (tmp_path / "valkey").mkdir()
    with embedded.valkey(tmp_path / "valkey") as server:
        yield server


def test_what_is_missing_before_and_while_the_pool_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = _serving_pool()
    ready = Readiness(pool)
    assert ready.problems().keys() == {"handlers"}
    assert not ready.is_alive
    ready._looped_at = time.monotonic()
    assert ready.is_alive
    assert ready.problems().keys() == {"no_answer"}
    pool.processes[1].in_turn = False
    assert ready.problems().keys() == {"no_answer"}, "between two turns"
    monkeypatch.setattr(readiness, "BETWEEN_TURNS_SECONDS", 0)
    assert ready.problems().keys() == {"no_answer", "pool"}
    pool.is_stopping = True
    assert ready.problems().keys() == {"no_answer", "stopping"}


def test_an_event_loop_that_stands_still_is_neither_ready_nor_alive() -> None:
    ready = Readiness(_serving_pool())
    ready._looped_at = time.monotonic() - readiness.STALL_SECONDS - 1
    assert "stalled" in ready.problems()
    assert not ready.is_alive


ROUNDS: list[tuple[str, Callable[[redis.Redis], object], str]] = [
    ("is full", lambda client: client.config_set("maxmemory", 1), "no_memory"),
    ("is a replica", lambda client: client.execute_command("REPLICAOF", "127.0.0.1", "1"), "read_only"),
    ("has no replica", lambda client: client.config_set("min-replicas-to-write", 1), "too_few_replicas"),
    (
        "refuses a command",
        lambda client: client.execute_command("ACL", "SETUSER", "default", "-zadd"),
        "acl",
    ),
]
MENDED = [
    ("CONFIG", "SET", "maxmemory", 0),
    ("REPLICAOF", "NO", "ONE"),
    ("CONFIG", "SET", "min-replicas-to-write", 0),
    ("ACL", "SETUSER", "default", "+@all"),
]


def test_every_fault_of_redis_is_named_in_problems_and_metrics_until_it_is_over(
    server: embedded.Embedded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "INTERVAL_SECONDS", 0.02)
    monkeypatch.setattr(readiness, "RETRY_SECONDS", 0.02)
    ready = Readiness(_serving_pool())
    registry = CollectorRegistry()
    registry.register(ready)

    async def until(reasons: set[str]) -> None:
        async with asyncio.timeout(10):
            while ready.problems().keys() != reasons:  # noqa: ASYNC110 - another thread's answer
                await asyncio.sleep(0.01)

    async def scenario() -> None:
        client = connect_async(server.url)
        watching = asyncio.create_task(ready.watch_forever(AsyncLanes(client, Keys("own"))))
        await until(set())
        with redis.Redis.from_url(server.url) as admin:
            for _, break_it, reason in ROUNDS:
                break_it(admin)
                await until({reason})
                assert not ready.is_store_ready
                page = generate_latest(registry).decode()
                assert f'laneway_worker_problem{{reason="{reason}"}} 1.0' in page
                assert "laneway_worker_ready 0.0" in page
                for command in MENDED:
                    admin.execute_command(*command)
                await until(set())
            admin.config_set("maxmemory-policy", "allkeys-lru")
            async with asyncio.timeout(10):
                while "eviction" not in ready.warnings():  # noqa: ASYNC110 - another thread's answer
                    await asyncio.sleep(0.01)
            page = generate_latest(registry).decode()
            assert 'laneway_worker_warning{reason="eviction"} 1.0' in page
            assert "laneway_worker_ready 1.0" in page
        watching.cancel()
        await client.aclose()

    asyncio.run(scenario())


def test_a_worker_whose_redis_is_away_is_not_ready_and_lives_on(
    server: embedded.Embedded, tmp_path: Path
) -> None:
    with fresh(server.url, tmp_path) as system, running(system) as worker:
        wait_for(lambda: _ask(worker, "/readyz")[0] == 200)
        wait_for(lambda: _changes(worker))
        lease_keeper, celery = worker.lease_keeper, worker.celery
        server.kill()
        wait_for(lambda: "no_answer" in _problems(worker))
        assert _ask(worker, "/healthz")[0] == 200
        server.start()
        wait_for(lambda: _ask(worker, "/readyz")[0] == 200, 40)
        assert (worker.lease_keeper, worker.celery) == (lease_keeper, celery)
        changes = wait_for(lambda: _changes(worker)[2:] and _changes(worker))
        assert [line["ready"] for line in changes] == [True, False, True]
        assert "no_answer" in changes[1]["problems"]
        user = system.user()
        system.ended(user, system.enqueue(user, "work", {}))
        _assert_turns_follow_deaths(worker)
        worker.terminate()
        assert worker.exit_code() == 0


@pytest.mark.parametrize(
    "lacks",
    [
        "-evalsha",
        *(pytest.param(one, marks=pytest.mark.thorough) for one in ("-script", "resetkeys ~other:*")),
    ],
)
def test_a_worker_that_lacks_a_right_from_the_start_says_so_and_serves_once_it_has_it(
    server: embedded.Embedded, tmp_path: Path, lacks: str
) -> None:
    """It does not end: a restart would give it no right."""
    rights = ["on", ">secret", "~*", "&*", "+@all"]
    with redis.Redis.from_url(server.url) as admin:
        admin.execute_command("ACL", "SETUSER", "limited", *rights, *lacks.split())
        address = parse(server.url)
        url = f"redis://limited:secret@{address.host}:{address.port}/{address.database}"
        with fresh(url, tmp_path) as system, running(system, wait=False) as worker:
            wait_for(lambda: "acl" in _problems(worker), 30, what=worker.tail)
            assert _ask(worker, "/healthz")[0] == 200
            lease_keeper = worker.lease_keeper
            wait_for(lambda: any("acl" in line["problems"] for line in _changes(worker)))
            admin.execute_command("ACL", "SETUSER", "limited", "reset", *rights)
            wait_for(lambda: _ask(worker, "/readyz")[0] == 200, 40, what=worker.tail)
            assert worker.lease_keeper == lease_keeper
            user = system.user()
            system.ended(user, system.enqueue(user, "work", {}), 60)


def test_a_worker_on_a_redis_that_is_too_old_says_so_and_does_not_end(tmp_path: Path) -> None:
    with (
        redis_6(tmp_path / "redis") as server,
        fresh(server.url, tmp_path) as system,
        running(system, wait=False) as worker,
    ):
        wait_for(lambda: "too_old" in _problems(worker), 30, what=worker.tail)
        assert _ask(worker, "/healthz")[0] == 200
        lease_keeper, supervisor = worker.lease_keeper, worker.pid
        wait_for(lambda: any("too_old" in line["problems"] for line in _changes(worker)))
        refused = len([line for line in worker.lines() if line["event"] == "redis_unavailable"])
        wait_for(
            lambda: (
                len([line for line in worker.lines() if line["event"] == "redis_unavailable"]) > refused + 3
            )
        )
        assert (worker.lease_keeper, worker.pid) == (lease_keeper, supervisor)
        assert worker.process.poll() is None


def _assert_turns_follow_deaths(worker: Worker) -> None:
    """Turn messages are lost when idle processes die. No job is enqueued that would push new ones, so the lease keeper must."""
    dead = set(worker.pool)
    for pid in dead:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not dead & set(worker.pool) and worker.ready(), what=worker.tail)
    with redis.Redis.from_url(worker.system.redis_url) as client:
        # Celery waits for turn messages, each process for a wake-up.
        wait_for(lambda: client.info("clients")["blocked_clients"] == 1 + len(dead), what=worker.tail)
    wait_for(lambda: _ask(worker, "/readyz")[0] == 200, what=worker.tail)


def test_a_worker_that_imports_its_handlers_says_so(system: System) -> None:
    with running(system, wait=False, handlers="tests.worker.slow_import") as worker:
        wait_for(lambda: _problems(worker).keys() == {"handlers"})
        assert _ask(worker, "/healthz")[0] == 503

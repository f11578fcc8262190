"""A worker whose start takes long waits, says for what, and gives up after a time that is a setting."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from laneway.dev import embedded
from laneway.lanes.model import JobState
from laneway.worker.lease_keeper import pool_health
from laneway.worker.lease_keeper.pool import Pool
from tests.worker.running import System, fresh, running, wait_for


class _Process:
    in_turn = True
    in_flight = 0


def test_a_pool_gets_longer_for_its_start_than_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_health, "CHECK_SECONDS", 0.01)
    monkeypatch.setattr(pool_health, "PATIENCE_SECONDS", 0.1)

    async def broken_after(*, whole_first: bool) -> float:
        pool: Any = Pool()
        if whole_first:
            pool.processes[1] = _Process()
        began = time.monotonic()
        broken = asyncio.create_task(
            pool_health.wait_until_broken(pool, None, 1, 1.0, lambda: True)  # type: ignore[arg-type]
        )
        await asyncio.sleep(0.05)
        pool.processes.clear()
        assert await broken == "the pool has 0 of 1 processes"
        return time.monotonic() - began

    assert asyncio.run(broken_after(whole_first=False)) > 0.9
    assert asyncio.run(broken_after(whole_first=True)) < 0.9


def test_the_patience_with_a_pool_stands_still_while_redis_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_health, "CHECK_SECONDS", 0.01)
    monkeypatch.setattr(pool_health, "PATIENCE_SECONDS", 0.1)
    is_store_ready = False

    async def scenario() -> None:
        nonlocal is_store_ready
        pool: Any = Pool()
        broken = asyncio.create_task(
            pool_health.wait_until_broken(pool, None, 1, 0.1, lambda: is_store_ready)  # type: ignore[arg-type]
        )
        await asyncio.sleep(0.5)
        assert not broken.done()
        is_store_ready = True
        assert await asyncio.wait_for(broken, 5) == "the pool has 0 of 1 processes"

    asyncio.run(scenario())


def test_a_worker_that_waits_for_an_import_in_vain_says_so(system: System) -> None:
    with running(system, wait=False, handlers="tests.worker.slow_import", worker_start_seconds=1) as worker:
        assert worker.exit_code(20) == 1
        (line,) = [line for line in worker.lines() if line["event"] == "start_timed_out"]
        assert line["limit_seconds"] == 1
        assert "LANEWAY_HANDLERS" in line["reason"]


SLOW = """
import time
from pathlib import Path
from laneway import handler

while not Path("imported").exists():
    time.sleep(0.02)

@handler("slow")
def slow(payload):
    return payload
"""


@pytest.mark.thorough
def test_a_slow_import_is_reported_and_waited_for(system: System) -> None:
    """It takes a quarter of a minute here: the first line comes after ten seconds. A job is served at once afterwards."""
    (system.folder / "mine.py").write_text(SLOW)
    user = system.user()
    ids = system.enqueue(user, "slow", 1)
    with running(system, wait=False, handlers="mine") as worker:

        def reported() -> list[dict[str, Any]]:
            return [line for line in worker.lines() if line["event"] == "lease_keeper_awaited"]

        (line,) = wait_for(reported, 30, what=worker.tail)
        assert "LANEWAY_HANDLERS" in line["reason"]
        (system.folder / "imported").touch()
        (job,) = system.ended(user, ids, 30)
        assert job.state is JobState.SUCCEEDED


def test_a_worker_waits_for_redis(tmp_path: Path) -> None:
    (tmp_path / "valkey").mkdir()
    with embedded.valkey(tmp_path / "valkey") as server, fresh(server.url, tmp_path) as system:
        server.kill()
        with running(system, wait=False) as worker:
            wait_for(lambda: any(line["event"] == "redis_unavailable" for line in worker.lines()), 60)
            server.start()
            worker.await_ready()
            user = system.user()
            system.ended(user, system.enqueue(user, "work", {}))

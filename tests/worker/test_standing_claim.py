"""A claim that waits in Redis while its process stands by."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from chaos.system.proxy import Proxy
from laneway.dev import embedded
from laneway.lanes.commands import Claim
from laneway.lanes.errors import LaneError, StoreUnavailable
from laneway.lanes.store import AsyncLanes, connect_async
from laneway.worker.pool.standing_claim import ClaimResult, StandingClaim
from laneway.worker.redis_clock import RedisClock
from tests.lanes.driver import Driver
from tests.worker.running import System, running, wait_for

LONG_SECONDS = 8.0
CLAIM = Claim(5, lease_seconds=30)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[embedded.Embedded]:
    """A server of its own, where the only client that waits is that of the test."""
    with embedded.valkey(tmp_path, appendfsync="no") as server:
        yield server


@pytest.fixture
def lanes(server: embedded.Embedded) -> Iterator[Driver]:
    driver = Driver(server.url, "own")
    yield driver
    driver.close()


@asynccontextmanager
async def standing_claim(lanes: Driver, url: str) -> AsyncIterator[StandingClaim]:
    client = connect_async(url, timeout_seconds=LONG_SECONDS + 2)
    yield StandingClaim(AsyncLanes(client, lanes.keys), RedisClock())
    await client.aclose()


def waits(lanes: Driver) -> bool:
    return bool(lanes.client.info("clients")["blocked_clients"])


async def begun(standing: StandingClaim, lanes: Driver, seconds: float = LONG_SECONDS) -> asyncio.Task[None]:
    waiting = asyncio.create_task(standing.wait(CLAIM, asyncio.Event(), seconds))
    await asyncio.to_thread(wait_for, lambda: waits(lanes))
    return waiting


async def taken(standing: StandingClaim, waiting: asyncio.Task[None]) -> ClaimResult:
    await asyncio.wait_for(waiting, LONG_SECONDS / 2)
    result = standing.take()
    assert result is not None
    return result


def test_redis_makes_the_claim_though_its_process_can_send_nothing_more(
    lanes: Driver, server: embedded.Embedded
) -> None:
    async def run() -> None:
        port = urlsplit(server.url).port or 0
        proxy = Proxy(port)
        proxy.start()
        async with standing_claim(lanes, server.url.replace(str(port), str(proxy.port))) as standing:
            waiting = await begun(standing, lanes)
            proxy.stall()
            (job_id,) = lanes.enqueue("ann")
            await asyncio.to_thread(wait_for, lambda: len(lanes.leases()) == 1)
            proxy.heal()
            result = await taken(standing, waiting)
            assert [lease.job_id for lease in result.claimed.leases] == [job_id]
        proxy.stop()

    asyncio.run(run())


def test_after_the_timeout_it_is_made_anyway(lanes: Driver, server: embedded.Embedded) -> None:
    """As a retry is due that no wake-up announces."""

    async def run() -> None:
        async with standing_claim(lanes, server.url) as standing:
            waiting = await begun(standing, lanes, 1.0)
            lanes.enqueue("ann")
            first = await taken(standing, waiting)
            lanes.release(*first.claimed.leases, delay=0.3)
            lanes.client.delete(lanes.keys.wakeups)
            waiting = await begun(standing, lanes, 0.5)
            result = await taken(standing, waiting)
            assert [lease.user for lease in result.claimed.leases] == ["ann"]

    asyncio.run(run())


def test_a_withdrawn_claim_takes_no_job_later(lanes: Driver, server: embedded.Embedded) -> None:
    async def run() -> None:
        async with standing_claim(lanes, server.url) as standing:
            waiting = await begun(standing, lanes)
            await standing.withdraw()
            assert (await taken(standing, waiting)).claimed.leases == ()
            assert not waits(lanes)
            lanes.enqueue("ann")
            assert not standing.is_over
            assert lanes.leases() == set()
            again = asyncio.create_task(standing.wait(CLAIM, asyncio.Event(), LONG_SECONDS))
            assert len((await taken(standing, again)).claimed.leases) == 1

    asyncio.run(run())


def test_a_local_event_ends_the_wait_and_keeps_the_claim(lanes: Driver, server: embedded.Embedded) -> None:
    async def run() -> None:
        async with standing_claim(lanes, server.url) as standing:
            local = asyncio.Event()
            waiting = asyncio.create_task(standing.wait(CLAIM, local, LONG_SECONDS))
            await asyncio.to_thread(wait_for, lambda: waits(lanes))
            local.set()
            await asyncio.wait_for(waiting, 2)
            assert not standing.is_over
            assert waits(lanes)
            lanes.enqueue("ann")
            result = await taken(standing, asyncio.create_task(standing.wait(CLAIM, asyncio.Event(), 1)))
            assert len(result.claimed.leases) == 1

    asyncio.run(run())


def test_a_server_that_has_forgotten_the_script_still_claims(
    lanes: Driver, server: embedded.Embedded
) -> None:
    async def run() -> None:
        async with standing_claim(lanes, server.url) as standing:
            waiting = await begun(standing, lanes)
            lanes.client.script_flush()
            lanes.enqueue("ann")
            assert len((await taken(standing, waiting)).claimed.leases) == 1

    asyncio.run(run())


@pytest.mark.parametrize("refusal", ["ACL SETUSER default -blpop", "SET {own:0}:1:wakeups text"])
def test_a_refused_wait_is_an_error_unless_there_are_jobs(
    lanes: Driver, server: embedded.Embedded, refusal: str
) -> None:
    """Otherwise the process would ask again and again without a pause."""
    lanes.enqueue("ann")
    lanes.client.execute_command(*refusal.split())

    async def run() -> None:
        async with standing_claim(lanes, server.url) as standing:
            waiting = asyncio.create_task(standing.wait(CLAIM, asyncio.Event(), LONG_SECONDS))
            result = await taken(standing, waiting)
            assert [lease.user for lease in result.claimed.leases] == ["ann"]
            await standing.wait(CLAIM, asyncio.Event(), LONG_SECONDS)
            with pytest.raises(LaneError):
                standing.take()

    asyncio.run(run())


def test_a_lost_connection_is_an_error(lanes: Driver, server: embedded.Embedded) -> None:
    async def run() -> None:
        async with standing_claim(lanes, server.url) as standing:
            waiting = await begun(standing, lanes)
            lanes.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            await asyncio.wait_for(waiting, 2)
            with pytest.raises(StoreUnavailable):
                standing.take()

    asyncio.run(run())


def test_a_claim_that_waited_long_is_as_old_as_its_leases(lanes: Driver, server: embedded.Embedded) -> None:
    """The leases run from the moment of the claim, not from that of the call, and never from a later one."""

    async def run() -> None:
        async with standing_claim(lanes, server.url) as standing:
            first = await taken(standing, asyncio.create_task(standing.wait(CLAIM, asyncio.Event(), 0.05)))
            assert first.claimed.leases == ()
            waiting = await begun(standing, lanes)
            await asyncio.sleep(0.5)  # time is what is measured
            before = time.monotonic()
            lanes.enqueue("ann")
            result = await taken(standing, waiting)
            assert result.claimed_at <= time.monotonic()
            assert result.claimed_at > before - 0.4, "not from the call on"

    asyncio.run(run())


@pytest.mark.thorough  # three workers
def test_no_job_is_kept_by_workers_that_stop_while_jobs_arrive(system: System) -> None:
    """Leases last a minute here: a job that a stopped worker had claimed would wait for so long."""
    user, stop = system.user(), threading.Event()
    options: dict[str, Any] = {"lease_seconds": 60, "worker_processes": 2}

    def feed() -> int:
        fed = 0
        while not stop.is_set():  # one after another, so that the processes stand by before each
            fed += len(system.ended(user, system.enqueue(user, "work", {}), 10))
        return fed

    with running(system, **options), ThreadPoolExecutor(1) as feeder:
        fed = feeder.submit(feed)
        for _ in range(2):
            with running(system, **options) as leaving:
                pids = set(leaving.pool)
                wait_for(lambda pids=pids: pids & {run.pid for run in system.notes.runs(user)})  # type: ignore[misc]
                leaving.terminate()
                assert leaving.exit_code(20) == 0
        stop.set()
        assert fed.result(20) > 2
    assert {run.outcome for run in system.notes.runs(user)} == {"returned"}


def test_the_clock_gives_the_earliest_moment() -> None:
    clock = RedisClock()
    sent_at = time.monotonic() - 2  # the reply took two seconds
    clock.set(1_000_000_000, sent_at=sent_at)
    assert clock.earliest(1_000_000_000) == pytest.approx(sent_at, abs=1e-5)
    assert clock.earliest(1_001_000_000) == pytest.approx(sent_at + 1, abs=1e-5)
    assert clock.earliest(2_000_000_000) <= time.monotonic()

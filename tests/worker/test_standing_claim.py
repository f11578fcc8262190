"""A claim that waits in Redis while its process stands by."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import Mock
from urllib.parse import urlsplit

import pytest
import redis.asyncio

from chaos.system.proxy import Proxy
from laneway.dev import embedded
from laneway.lanes.commands import Claim
from laneway.lanes.errors import LaneError, StoreUnavailable
from laneway.lanes.store import AsyncLanes, connect_async
from laneway.worker.pool.jobs import Batch
from laneway.worker.pool.messenger import Messenger
from laneway.worker.pool.standing_claim import ClaimResult, StandingClaim
from laneway.worker.redis_clock import RedisClock
from tests.lanes.driver import Driver
from tests.worker.running import System, running, wait_for
from tests.worker.turn_loops import running_jobs, turn_loop

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


class Waiter:
    """A process that stands by."""

    def __init__(self, lanes: Driver, client: redis.asyncio.Redis) -> None:
        self.driver, self.lanes, self.wake = lanes, AsyncLanes(client, lanes.keys), asyncio.Event()
        self.standing = StandingClaim(self.lanes, self.lanes, RedisClock(), self.wake)

    def is_blocked(self) -> bool:
        return bool(self.driver.client.info("clients")["blocked_clients"])

    async def begin(self, seconds: float = LONG_SECONDS) -> asyncio.Task[None]:
        """Wait, and return once Redis has the claim."""
        waiting = asyncio.create_task(self.standing.wait(CLAIM, seconds))
        await asyncio.to_thread(wait_for, self.is_blocked)
        return waiting

    async def result(self, waiting: asyncio.Task[None] | None = None) -> ClaimResult:
        """What came of the wait, or of a new one."""
        waiting = waiting or asyncio.create_task(self.standing.wait(CLAIM, LONG_SECONDS))
        await asyncio.wait_for(waiting, LONG_SECONDS / 2)
        self.wake.clear()  # as a turn does before it looks
        return self.standing.take()


@asynccontextmanager
async def waiter(lanes: Driver, url: str) -> AsyncIterator[Waiter]:
    client = connect_async(url, timeout_seconds=LONG_SECONDS + 2)
    yield Waiter(lanes, client)
    await client.aclose()


@contextmanager
def proxied(server: embedded.Embedded) -> Iterator[tuple[Proxy, str]]:
    port = urlsplit(server.url).port or 0
    proxy = Proxy(port)
    proxy.start()
    yield proxy, server.url.replace(f":{port}/", f":{proxy.port}/")
    proxy.stop()


def users_of(result: ClaimResult) -> list[str]:
    return [lease.user for lease in result.claimed.leases]


def test_redis_makes_the_claim_though_its_process_can_send_nothing_more(
    lanes: Driver, server: embedded.Embedded
) -> None:
    async def run(proxy: Proxy, url: str) -> None:
        async with waiter(lanes, url) as one:
            waiting = await one.begin()
            proxy.stall()
            lanes.enqueue("ann")
            await asyncio.to_thread(wait_for, lambda: len(lanes.leases()) == 1)
            proxy.heal()
            assert users_of(await one.result(waiting)) == ["ann"]

    with proxied(server) as (proxy, url):
        asyncio.run(run(proxy, url))


def test_after_the_timeout_it_is_made_anyway(lanes: Driver, server: embedded.Embedded) -> None:
    """As a retry is due that no wake-up announces."""

    async def run() -> None:
        async with waiter(lanes, server.url) as one:
            lanes.enqueue("ann")
            first = await one.result()
            lanes.release(*first.claimed.leases, delay=0.3)
            lanes.client.delete(lanes.keys.wakeups)
            assert users_of(await one.result(await one.begin(0.5))) == ["ann"]

    asyncio.run(run())


def test_a_claim_whose_wait_was_ended_takes_no_job_later(lanes: Driver, server: embedded.Embedded) -> None:
    async def run() -> None:
        async with waiter(lanes, server.url) as one:
            waiting = await one.begin()
            await one.standing.end_wait()
            assert users_of(await one.result(waiting)) == []
            assert not one.is_blocked()
            lanes.enqueue("ann")
            assert lanes.leases() == set()
            assert users_of(await one.result()) == ["ann"]

    asyncio.run(run())


def test_what_a_wait_gives_that_redis_ends_late_is_noticed(lanes: Driver, server: embedded.Embedded) -> None:
    """Otherwise its jobs would wait until their leases run out: a turn without room waits for nothing but `wake`."""

    async def run(proxy: Proxy, url: str) -> None:
        async with waiter(lanes, url) as one:
            waiting = await one.begin()
            proxy.stall()
            await one.standing.end_wait()
            assert not one.standing.has_result
            lanes.enqueue("ann")
            proxy.heal()
            await asyncio.wait_for(one.wake.wait(), 5)
            assert users_of(await one.result(waiting)) == ["ann"]

    with proxied(server) as (proxy, url):
        asyncio.run(run(proxy, url))


def test_a_local_event_ends_the_wait_and_keeps_the_claim(lanes: Driver, server: embedded.Embedded) -> None:
    async def run() -> None:
        async with waiter(lanes, server.url) as one:
            waiting = await one.begin()
            one.wake.set()
            await asyncio.wait_for(waiting, 2)
            assert not one.standing.has_result
            assert one.is_blocked()
            one.wake.clear()
            lanes.enqueue("ann")
            assert users_of(await one.result()) == ["ann"]

    asyncio.run(run())


def test_a_server_that_has_forgotten_the_script_still_claims(
    lanes: Driver, server: embedded.Embedded
) -> None:
    async def run() -> None:
        async with waiter(lanes, server.url) as one:
            waiting = await one.begin()
            lanes.client.script_flush()
            lanes.enqueue("ann")
            assert users_of(await one.result(waiting)) == ["ann"]

    asyncio.run(run())


@pytest.mark.parametrize("refusal", ["ACL SETUSER default -blpop", "SET {own:0}:1:wakeups text"])
def test_a_refused_wait_is_an_error_unless_there_are_jobs(
    lanes: Driver, server: embedded.Embedded, refusal: str
) -> None:
    """Otherwise the process would ask again and again without a pause."""
    lanes.enqueue("ann")
    lanes.client.execute_command(*refusal.split())

    async def run() -> None:
        async with waiter(lanes, server.url) as one:
            assert users_of(await one.result()) == ["ann"]
            with pytest.raises(LaneError):
                await one.result()

    asyncio.run(run())


def test_a_lost_connection_is_an_error(lanes: Driver, server: embedded.Embedded) -> None:
    async def run() -> None:
        async with waiter(lanes, server.url) as one:
            waiting = await one.begin()
            lanes.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            with pytest.raises(StoreUnavailable):
                await one.result(waiting)

    asyncio.run(run())


def test_a_claim_that_waited_long_is_as_old_as_its_leases(lanes: Driver, server: embedded.Embedded) -> None:
    """The leases run from the moment of the claim, not from that of the call, and never from a later one."""

    async def run() -> None:
        async with waiter(lanes, server.url) as one:
            waiting = await one.begin()
            await asyncio.sleep(0.5)  # time is what is measured
            before = time.monotonic()
            lanes.enqueue("ann")
            result = await one.result(waiting)
            assert before - 0.4 < result.claimed_at <= time.monotonic()

    asyncio.run(run())


def test_a_turn_that_ends_leaves_no_claim_in_redis(lanes: Driver, server: embedded.Embedded) -> None:
    async def run() -> None:
        async with waiter(lanes, server.url) as one:
            turns = turn_loop(running_jobs(), one.standing, one.wake, Messenger("w1", one.lanes, Mock()))
            serving = asyncio.create_task(turns.serve())
            await asyncio.to_thread(wait_for, one.is_blocked)
            turns.shut_down()
            await asyncio.wait_for(serving, 5)
            assert not one.is_blocked()

    asyncio.run(run())


def test_a_process_without_room_gives_back_what_its_claim_took(
    lanes: Driver, server: embedded.Embedded
) -> None:
    async def run() -> None:
        async with waiter(lanes, server.url) as one:
            jobs = running_jobs()
            turns = turn_loop(jobs, one.standing, one.wake, Messenger("w1", one.lanes, Mock()))
            serving = asyncio.create_task(turns.serve())
            await asyncio.to_thread(wait_for, one.is_blocked)
            jobs.batch = Batch(1, [], time.monotonic())  # a batch runs: there is no room
            (job_id,) = lanes.enqueue("ann")
            await asyncio.to_thread(wait_for, lambda: lanes.client.exists(lanes.keys.wakeups))
            assert lanes.leases() == set()
            assert lanes.where("ann", job_id) == ["waiting"]
            jobs.batch = None
            turns.shut_down()
            await asyncio.wait_for(serving, 5)

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
    clock.set(1_000_000_000, sent_at)
    assert clock.earliest(1_000_000_000) == pytest.approx(sent_at, abs=1e-5)
    assert clock.earliest(1_001_000_000) == pytest.approx(sent_at + 1, abs=1e-5)
    assert clock.earliest(2_000_000_000) <= time.monotonic()

"""When the janitor runs, and whose rules it follows."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from laneway.janitor import Janitor
from laneway.lanes.commands import Cancel
from laneway.lanes.keys import Keys
from laneway.lanes.store import Lanes, connect
from laneway.operator import janitor_host
from laneway.operator.janitor_host import DisconnectRules, JanitorHost
from laneway.presence import PresenceSweeper
from laneway.storage.activity_writer import ActivityWriter
from laneway.storage.history_writer import HistoryWriter
from laneway.storage.mongo import connect_janitor
from laneway.telemetry.job_log import JobLog
from tests.lanes.driver import Driver

FALLBACK, OLD, NEW = DisconnectRules(60, "purge"), DisconnectRules(5, "drain"), DisconnectRules(7, "purge")


@pytest.fixture
def make(
    redis_url: str, prefix: str, mongo_url: str, mongo_database: str
) -> Callable[[DisconnectRules], Janitor]:
    keys = Keys(prefix)
    history = HistoryWriter(connect_janitor(mongo_url)[mongo_database])

    def janitor(rules: DisconnectRules) -> Janitor:
        return Janitor(
            Lanes(connect(redis_url), keys),
            history,
            ActivityWriter(connect_janitor(mongo_url)[mongo_database]),
            PresenceSweeper(Lanes(connect(redis_url), keys)),
            JobLog("operator", "ERROR"),
            grace_seconds=rules.grace_seconds,
            policy=rules.policy,
            backlog=1000,
        )

    return janitor


class Role:
    """Whether this operator leads, and how often the host has checked."""

    leading, checks = False, 0

    def checked(self, _seconds: float) -> None:
        self.checks += 1

    async def await_checks(self) -> None:
        """Wait until the host has checked three more times."""
        enough = self.checks + 3
        await until(lambda: self.checks >= enough)


@asynccontextmanager
async def hosted(make: Callable[[DisconnectRules], Janitor], role: Role) -> AsyncIterator[JanitorHost]:
    host = JanitorHost(make, FALLBACK, 0.05, lambda: role.leading)
    task = asyncio.create_task(host.run(role.checked))
    try:
        yield host
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=10)
    assert task.cancelled()


async def until(condition: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def janitors() -> int:
    return sum(thread.name == "janitor" for thread in threading.enumerate())


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(janitor_host, "CHECK_SECONDS", 0.01)
    monkeypatch.setattr(janitor_host, "NO_POOL_SECONDS", 0.3)


def test_the_janitor_runs_only_while_this_operator_leads(make: Callable[[DisconnectRules], Janitor]) -> None:
    async def run() -> None:
        role = Role()
        async with hosted(make, role) as host:
            await role.await_checks()
            assert host.rules is None
            role.leading = True
            host.set_pool("pool", "2026-01-01T00:00:00Z", OLD)
            await until(lambda: host.rules == OLD and host.stats.last_pass > 0)
            role.leading = False
            await until(lambda: host.rules is None and janitors() == 0)
            role.leading = True
            await role.await_checks()
            assert host.rules is None, "rules from before another operator led"
            host.set_pool("pool", "2026-01-01T00:00:00Z", NEW)
            await until(lambda: host.rules == NEW)
        assert janitors() == 0

    asyncio.run(run())


def test_the_oldest_pools_rules_apply_and_changes_are_followed(
    make: Callable[[DisconnectRules], Janitor],
) -> None:
    async def run() -> None:
        role = Role()
        role.leading = True
        async with hosted(make, role) as host:
            host.set_pool("a-new-one", "2026-02-01T00:00:00Z", NEW)
            host.set_pool("old", "2026-01-01T00:00:00Z", OLD)
            await until(lambda: host.rules == OLD)
            host.set_pool("old", "2026-01-01T00:00:00Z", DisconnectRules(6, "drain"))
            await until(lambda: host.rules == DisconnectRules(6, "drain"))
            host.remove_pool("old")
            await until(lambda: host.rules == NEW)
            await until(lambda: janitors() == 1)

    asyncio.run(run())


def test_without_a_pool_the_fallback_applies_after_a_while(
    make: Callable[[DisconnectRules], Janitor],
) -> None:
    """The first pool may not have been read yet, and its rules may be milder."""

    async def run() -> None:
        role = Role()
        role.leading = True
        began = time.monotonic()
        async with hosted(make, role) as host:
            await until(lambda: host.rules is not None)
            assert host.rules == FALLBACK
            assert time.monotonic() - began >= janitor_host.NO_POOL_SECONDS

    asyncio.run(run())


def test_a_replaced_pools_rules_apply_until_it_is_back(
    make: Callable[[DisconnectRules], Janitor],
) -> None:
    """The fallback may say `purge` where the pool says `drain`."""

    async def run() -> None:
        role = Role()
        role.leading = True
        async with hosted(make, role) as host:
            host.set_pool("pool", "2026-01-01T00:00:00Z", OLD)
            await until(lambda: host.rules == OLD)
            host.remove_pool("pool")
            await role.await_checks()
            assert host.rules == OLD
            await until(lambda: host.rules == FALLBACK)

    asyncio.run(run())


def test_statistics_add_up_over_all_janitors(
    make: Callable[[DisconnectRules], Janitor], redis_url: str, prefix: str
) -> None:
    lanes = Driver(redis_url, prefix)

    async def run() -> None:
        role = Role()
        role.leading = True
        async with hosted(make, role) as host:
            host.set_pool("pool", "2026-01-01T00:00:00Z", OLD)
            (lease,) = lanes.started("ann", max_attempts=1)
            lanes.age(lease)
            await until(lambda: host.stats.leases_expired == 1)
            assert lanes.run(Cancel("ann", lease.job_id)) == "cancelled"  # or it would be claimed again below
            host.set_pool("pool", "2026-01-01T00:00:00Z", NEW)
            await until(lambda: host.rules == NEW)
            lanes.age(*lanes.started("bob", max_attempts=1))
            await until(lambda: host.stats.leases_expired == 2)

    asyncio.run(run())
    lanes.close()

"""When the janitor runs, and by whose rules."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from laneway.janitor import Janitor
from laneway.lanes.keys import Keys
from laneway.lanes.store import Lanes, connect
from laneway.operator import janitor_host
from laneway.operator.janitor_host import Housekeeping, Rules
from laneway.presence import PresenceSweeper
from laneway.storage.history import HistoryWriter
from laneway.telemetry.job_log import JobLog
from tests.lanes.driver import Driver

FALLBACK, OLD, NEW = Rules(60, "purge"), Rules(5, "drain"), Rules(7, "purge")


@pytest.fixture
def make(redis_url: str, prefix: str, mongo_url: str, mongo_database: str) -> Callable[[Rules], Janitor]:
    keys = Keys(prefix)
    history = HistoryWriter.connect(mongo_url, mongo_database)

    def janitor(rules: Rules) -> Janitor:
        return Janitor(
            Lanes(connect(redis_url), keys),
            history,
            PresenceSweeper(connect(redis_url), keys),
            JobLog("operator", "ERROR"),
            grace_seconds=rules.grace_seconds,
            policy=rules.policy,
            backlog=1000,
        )

    return janitor


class Role:
    acting, looks = False, 0

    def looked(self, _seconds: float) -> None:
        self.looks += 1

    async def look_on(self) -> None:
        """Until it has looked around some more."""
        enough = self.looks + 3
        await until(lambda: self.looks >= enough)


@asynccontextmanager
async def kept(make: Callable[[Rules], Janitor], role: Role) -> AsyncIterator[Housekeeping]:
    keeping = Housekeeping(make, FALLBACK, 0.05, lambda: role.acting)
    task = asyncio.create_task(keeping.run(role.looked))
    try:
        yield keeping
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
    monkeypatch.setattr(janitor_host, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(janitor_host, "PATIENCE_SECONDS", 0.3)


def test_it_runs_while_this_operator_acts_and_no_longer(make: Callable[[Rules], Janitor]) -> None:
    async def run() -> None:
        role = Role()
        async with kept(make, role) as keeping:
            await role.look_on()
            assert keeping.rules is None
            role.acting = True
            keeping.pool_seen("pool", "2026-01-01T00:00:00Z", OLD)
            await until(lambda: keeping.rules == OLD and keeping.stats.last_pass > 0)
            role.acting = False
            await until(lambda: keeping.rules is None and janitors() == 0)
            role.acting = True
            await role.look_on()
            assert keeping.rules is None, "what the pool wanted before another operator acted"
            keeping.pool_seen("pool", "2026-01-01T00:00:00Z", NEW)
            await until(lambda: keeping.rules == NEW)
        assert janitors() == 0

    asyncio.run(run())


def test_the_oldest_pool_gives_the_rules_and_a_change_is_followed(make: Callable[[Rules], Janitor]) -> None:
    async def run() -> None:
        role = Role()
        role.acting = True
        async with kept(make, role) as keeping:
            keeping.pool_seen("a-new-one", "2026-02-01T00:00:00Z", NEW)
            keeping.pool_seen("old", "2026-01-01T00:00:00Z", OLD)
            await until(lambda: keeping.rules == OLD)
            keeping.pool_seen("old", "2026-01-01T00:00:00Z", Rules(6, "drain"))
            await until(lambda: keeping.rules == Rules(6, "drain"))
            keeping.pool_gone("old")
            await until(lambda: keeping.rules == NEW)
            await until(lambda: janitors() == 1)

    asyncio.run(run())


def test_without_a_pool_the_settings_count_but_only_after_a_while(make: Callable[[Rules], Janitor]) -> None:
    """The first pool may not have been looked at yet, and may want something else done with people's jobs."""

    async def run() -> None:
        role = Role()
        role.acting = True
        began = time.monotonic()
        async with kept(make, role) as keeping:
            await until(lambda: keeping.rules is not None)
            assert keeping.rules == FALLBACK
            assert time.monotonic() - began >= janitor_host.PATIENCE_SECONDS

    asyncio.run(run())


def test_a_pool_that_is_made_anew_keeps_its_rules_meanwhile(make: Callable[[Rules], Janitor]) -> None:
    """The settings may say `purge` where the pool says `drain`."""

    async def run() -> None:
        role = Role()
        role.acting = True
        async with kept(make, role) as keeping:
            keeping.pool_seen("pool", "2026-01-01T00:00:00Z", OLD)
            await until(lambda: keeping.rules == OLD)
            keeping.pool_gone("pool")
            await role.look_on()
            assert keeping.rules == OLD
            await until(lambda: keeping.rules == FALLBACK)

    asyncio.run(run())


def test_what_has_been_done_is_counted_over_all_janitors(
    make: Callable[[Rules], Janitor], redis_url: str, prefix: str
) -> None:
    lanes = Driver(redis_url, prefix)

    async def run() -> None:
        role = Role()
        role.acting = True
        async with kept(make, role) as keeping:
            keeping.pool_seen("pool", "2026-01-01T00:00:00Z", OLD)
            lanes.age(*lanes.started("ann", max_attempts=1))
            await until(lambda: keeping.stats.leases_expired == 1)
            keeping.pool_seen("pool", "2026-01-01T00:00:00Z", NEW)
            await until(lambda: keeping.rules == NEW)
            lanes.age(*lanes.started("bob", max_attempts=1))
            await until(lambda: keeping.stats.leases_expired == 2)

    asyncio.run(run())
    lanes.close()

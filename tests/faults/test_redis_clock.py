"""The clock of Redis jumps forward and back: ids stay in order and nothing is lost.

After a jump forward all leases have expired at once, and their holders get time to renew them. After a jump back, everything that
waits for a moment (a retry, the lease of a dead worker) waits longer by the length of the jump.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from chaos import collection
from chaos.clients.load import Load, LoadPlan
from chaos.event_times import acceptances, handler_starts
from chaos.system.preload import CLOCK_VARIABLE
from chaos.system.programs import wait_for
from chaos.system.system import LEASE_SECONDS, System

pytestmark = [pytest.mark.timeout(240), pytest.mark.usefixtures("tools")]
USERS = [f"user{number}" for number in range(12)]
OFF_SECONDS = (15, 0, -15, 300)
RESUME_SECONDS = 10.0


def test_a_clock_that_jumps_loses_nothing_and_keeps_order(tmp_path: Path) -> None:
    with System(tmp_path, apis=1, workers=1).running() as system:
        load = Load(LoadPlan(system.urls, str(system.records), USERS, 30, 1, live=0.5, secret=system.secret))
        accepted, started = acceptances(system.records), handler_starts(system.records)
        for off_seconds in OFF_SECONDS:
            wait_for(lambda: len(accepted.after(0)) > 50, 20, "requests are accepted")
            from_ns = time.monotonic_ns() - int(LEASE_SECONDS * 1e9)
            system.redis.kill()
            system.redis.extra_environment = {CLOCK_VARIABLE: str(off_seconds)}
            system.redis.start()
            up_ns = time.monotonic_ns()
            system.record_redis_trouble(from_ns)
            for times in (accepted, started):
                wait_for(
                    lambda times=times, up_ns=up_ns: len(times.after(up_ns)) > 30,  # type: ignore[misc]
                    RESUME_SECONDS,
                    f"work goes on with a clock that is off by {off_seconds} s",
                )
        stats = load.stop()
        collection.await_quiet(system, USERS)
        collection.record_endings(system, USERS)
        verdict = collection.judge_users(system, USERS)
    print(f"clock of Redis off by {OFF_SECONDS} s in turn: {stats.accepted} jobs accepted, none lost")
    assert verdict.clean, verdict.violations[:5]

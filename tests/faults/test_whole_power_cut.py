"""Promise 1 for the whole system: 50 power cuts of Redis under load lose no request that was answered with 200.

The same clients and cuts lose requests under `everysec`, which shows that this test can find a loss.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from random import Random

import pytest

from chaos import collection
from chaos.checker.verdict import Rule, Verdict
from chaos.clients.load import Load, LoadPlan
from chaos.event_times import acceptances
from chaos.system.programs import wait_for
from chaos.system.system import System

pytestmark = [pytest.mark.timeout(400), pytest.mark.usefixtures("tools")]
USERS = [f"user{number}" for number in range(20)]
ACCEPTED_SECONDS = 20.0


def cut_and_judge(
    folder: Path, cuts: int, appendfsync: str, accepted_between: int
) -> tuple[Verdict, int, int]:
    """Cut the power at random moments, each time after at least `accepted_between` acceptances. Returns the verdict, the number
    of accepted jobs, and the bytes that were never synced."""
    random = Random(appendfsync)
    with System(folder, apis=1, workers=1, appendfsync=appendfsync).running() as system:
        load = Load(LoadPlan(system.urls, str(system.records), USERS, 100, 1, live=0, secret=system.secret))
        accepted, unsynced = acceptances(system.records), 0
        since_ns = time.monotonic_ns()
        for _ in range(cuts):
            wait_for(
                lambda since_ns=since_ns: len(accepted.after(since_ns)) >= accepted_between,  # type: ignore[misc]
                ACCEPTED_SECONDS,
                "requests are accepted again",
            )
            threading.Event().wait(random.uniform(0, 0.2))  # cut at a random moment
            from_ns = time.monotonic_ns()
            unsynced += system.redis.cut_power(random if random.random() < 0.5 else None).unsynced_bytes
            since_ns = time.monotonic_ns()
            system.redis.start()
            system.record_redis_trouble(from_ns)
        stats = load.stop()
        collection.await_quiet(system, USERS)
        collection.record_endings(system, USERS)
        return collection.judge_users(system, USERS), stats.accepted, unsynced


def test_no_acknowledged_request_is_lost_in_50_power_cuts(tmp_path: Path) -> None:
    verdict, accepted, _ = cut_and_judge(tmp_path, 50, "always", 10)
    print(f"50 power cuts, {accepted} jobs acknowledged, none lost")
    assert verdict.clean, verdict.violations[:5]
    assert accepted > 500


def test_everysec_loses_acknowledged_requests(tmp_path: Path) -> None:
    verdict, accepted, unsynced = cut_and_judge(tmp_path, 5, "everysec", 20)
    lost = sum(violation.rule is Rule.LOST for violation in verdict.violations)
    print(f"everysec: 5 power cuts, {accepted} jobs acknowledged, {lost} lost, {unsynced} bytes never synced")
    assert lost > 0

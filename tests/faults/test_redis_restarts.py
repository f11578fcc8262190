"""Redis restarts 20 times under load, and workers resume by themselves each time.

Celery's consumers sometimes receive nothing after a reconnect (celery issues 8091, 9054). A process that serves a turn does not
need Celery's consumer to claim jobs.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from chaos import collection
from chaos.clients.load import Load, LoadPlan
from chaos.event_times import EventTimes, acceptances, handler_starts
from chaos.records import join_attempts, read_lines
from chaos.system.procfs import process_names
from chaos.system.programs import wait_for
from chaos.system.system import System

pytestmark = [pytest.mark.timeout(400), pytest.mark.usefixtures("tools")]
USERS = [f"user{number}" for number in range(20)]
RESTARTS = 20
FIRST_SECONDS = 5.0
AWAY_SECONDS = (0, 0, 0.5, 1.5, 3)


def test_workers_resume_by_themselves_after_20_restarts(tmp_path: Path) -> None:
    took = []
    with System(
        tmp_path, apis=1, settings={"turn_seconds": 3}
    ).running() as system:  # so that turns end often
        load = Load(LoadPlan(system.urls, str(system.records), USERS, 40, 1, live=0, secret=system.secret))
        accepted, started = acceptances(system.records), handler_starts(system.records)
        for number in range(RESTARTS):
            from_ns = time.monotonic_ns()
            if number % 2:
                system.redis.kill()
            else:
                system.redis.stop()
            threading.Event().wait(AWAY_SECONDS[number % len(AWAY_SECONDS)])
            system.redis.start()
            up_ns = time.monotonic_ns()
            system.record_redis_trouble(from_ns)
            first_ns = _first(accepted, up_ns, f"a request is accepted after restart {number + 1}")
            first_ns = _first(started, first_ns, f"a job starts after restart {number + 1}")
            took.append((first_ns - up_ns) / 1e9)
        up_ns = time.monotonic_ns()
        pool = set(process_names(pid for worker in system.workers for pid in worker.pool))
        wait_for(lambda: pool <= _busy(system, up_ns), 30, "every process of every pool has work again")
        stats = load.stop()
        collection.await_quiet(system, USERS)
        collection.record_endings(system, USERS)
        verdict = collection.judge_users(system, USERS)
    print(f"first job after {', '.join(f'{seconds:.2f}' for seconds in took)} s; {stats.accepted} accepted")
    assert max(took) < FIRST_SECONDS
    assert verdict.clean, verdict.violations[:5]


def _first(times: EventTimes, after_ns: int, what: str) -> int:
    return wait_for(lambda: times.after(after_ns), 30, what)[0]


def _busy(system: System, since_ns: int) -> set[str]:
    """Return the processes in which a job has started since then."""
    return {
        attempt.process
        for attempt in join_attempts(read_lines(system.records))
        if attempt.start_ns > since_ns
    }

"""A rolling restart of everything under load fails no request and charges no attempt.

Requests go to APIs that were ready within the last 0.2 s, as a Kubernetes Service sends them. Each is sent once, so every answer
but 200 is a failed request. Each program gets SIGTERM, as from a kubelet; the next one follows when the system is ready again.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from chaos import collection
from chaos.clients.load import Load, LoadPlan
from chaos.event_times import acceptances, handler_ends
from chaos.records import read_history
from chaos.system.programs import wait_for
from chaos.system.system import System

pytestmark = [pytest.mark.timeout(300), pytest.mark.timing, pytest.mark.usefixtures("tools")]
USERS = [f"user{number}" for number in range(20)]
RATE = 60.0
ROUNDS = 1


def test_a_rolling_restart_fails_no_request_and_charges_no_job(tmp_path: Path) -> None:
    with System(tmp_path).running() as system:
        load = Load(LoadPlan(system.urls, str(system.records), USERS, RATE, 1, calm=True))
        accepted, ended = acceptances(system.records), handler_ends(system.records)
        wait_for(lambda: len(accepted.after(0)) > 2 * RATE, 20, "the load is steady")
        begun_ns = time.monotonic_ns()
        for _ in range(ROUNDS):
            for program in system.programs:
                starts = program.starts
                os.kill(program.pid, signal.SIGTERM)
                wait_for(lambda p=program, s=starts: p.starts > s, 30, f"{program.name} ends and starts")  # type: ignore[misc]
                system.await_ready(30)
        seconds = (time.monotonic_ns() - begun_ns) / 1e9
        accepted_meanwhile, ended_meanwhile = len(accepted.after(begun_ns)), len(ended.after(begun_ns))
        stats = load.stop()
        collection.await_quiet(system, USERS)
        collection.record_endings(system, USERS)
        verdict = collection.judge_users(system, USERS)
        attempts = read_history(system.records, system.limits).attempts
    print(
        f"{ROUNDS} rolling restart(s) of 2 APIs and 2 workers in {seconds:.0f} s: {accepted_meanwhile} accepted, {ended_meanwhile} ended, answers {stats.statuses}, "
        f"slowest {stats.slowest_seconds}"
    )
    assert set(stats.statuses) == {"200"}
    assert accepted_meanwhile > RATE * seconds / 2
    assert ended_meanwhile > RATE * seconds / 2
    assert max(one.attempt for one in attempts) == 1
    assert len(attempts) == len({one.job_id for one in attempts})
    assert verdict.clean, verdict.violations[:5]

"""A rolling restart of everything under load: not one failed request, and no job is charged for it.

Requests go where readiness was seen within the last 0.2 s, as a Kubernetes Service sends them, and each is sent once: whatever is
not answered with 200 has failed. Each program gets SIGTERM, as from a kubelet, and the next one follows when it is ready again.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from chaos import collection
from chaos.clients.load import Load, Plan
from chaos.event_times import acceptances, ends
from chaos.records import read
from chaos.system.programs import wait_for
from chaos.system.system import System

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("tools")]
USERS = [f"user{number}" for number in range(20)]
RATE = 60.0
ROUNDS = 1


def test_a_rolling_restart_fails_no_request_and_charges_no_job(tmp_path: Path) -> None:
    with System(tmp_path).running() as system:
        load = Load(Plan(system.urls, str(system.records), USERS, RATE, 1, calm=True))
        accepted, ended = acceptances(system.records), ends(system.records)
        wait_for(lambda: len(accepted.after(0)) > 2 * RATE, 20, "the load is steady")
        begun_ns = time.monotonic_ns()
        for _ in range(ROUNDS):
            for program in system.programs:
                starts = program.starts
                os.kill(program.pid, signal.SIGTERM)
                wait_for(lambda p=program, s=starts: p.starts > s, 30, f"{program.name} ends and starts")  # type: ignore[misc]
                system.await_ready(30)
        seconds = (time.monotonic_ns() - begun_ns) / 1e9
        count, worked = len(accepted.after(begun_ns)), len(ended.after(begun_ns))
        told = load.stop()
        collection.await_quiet(system, USERS)
        collection.collect(system, USERS)
        verdict = collection.verdict(system, USERS)
        attempts = [one.attempt for one in read(system.records, system.limits).attempts]
    print(
        f"{ROUNDS} rolling restart(s) of 2 APIs and 2 workers in {seconds:.0f} s: {count} accepted, {worked} ended, answers {told.statuses}, "
        f"slowest {told.slowest}"
    )
    assert set(told.statuses) == {"200"}
    assert count > RATE * seconds / 2
    assert worked > RATE * seconds / 2
    assert max(attempts) == 1
    assert verdict.clean, verdict.violations[:5]

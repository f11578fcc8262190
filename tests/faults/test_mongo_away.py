"""With MongoDB away enqueueing and processing go on, what needs it answers 503 soon, and nothing is missing afterwards."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import httpx
import pytest

from chaos import collection
from chaos.clients.client import PASSWORD
from chaos.clients.load import Load, Plan, signed
from chaos.event_times import acceptances, ends
from chaos.system.programs import wait_for
from chaos.system.system import System

SHORT_SECONDS, LONG_SECONDS = 10.0, 600.0
USERS = [f"user{number}" for number in range(20)]
RATE = 40.0
ANSWER_SECONDS = 1.5
pytestmark = pytest.mark.usefixtures("tools")


@pytest.mark.parametrize(
    "away_seconds",
    [
        pytest.param(SHORT_SECONDS, marks=pytest.mark.timeout(120)),
        pytest.param(LONG_SECONDS, marks=[pytest.mark.slow, pytest.mark.timeout(LONG_SECONDS + 300)]),
    ],
)
def test_enqueueing_and_processing_go_on_without_mongodb(tmp_path: Path, away_seconds: float) -> None:
    with System(tmp_path, apis=1, workers=1).running() as system:
        load = Load(Plan(system.urls, str(system.records), USERS, RATE, 1, live=0.2))
        accepted, ended = acceptances(system.records), ends(system.records)
        wait_for(lambda: len(accepted.after(0)) > RATE, 20, "requests are accepted")
        from_ns = time.monotonic_ns()
        system.mongo.kill()
        threading.Event().wait(away_seconds)
        log_in, took, job_state = _needs_mongo(system)
        went_on, worked = len(accepted.after(from_ns)), len(ended.after(from_ns))
        with system.redis.client() as redis:
            waiting, memory = redis.llen("{laneway:0}:1:outbox"), redis.info("memory")["used_memory"]
        back_from = time.monotonic()
        system.mongo.start()
        told = load.stop()
        collection.await_quiet(system, USERS)
        print(
            f"MongoDB away {away_seconds:.0f} s: {went_on} jobs accepted, {worked} attempts ended, {waiting} ended jobs waited in "
            f"Redis ({memory / 1e6:.0f} MB), stored {time.monotonic() - back_from:.1f} s after it was back"
        )
        collection.collect(system, USERS)
        verdict = collection.verdict(system, USERS)
    assert set(told.statuses) == {"200"}
    assert went_on > RATE * away_seconds / 2
    assert worked > RATE * away_seconds / 2
    assert waiting > 0
    assert log_in == 503
    assert took < ANSWER_SECONDS
    assert job_state == 200
    assert verdict.clean, verdict.violations[:5]


def _needs_mongo(system: System) -> tuple[int, float, int]:
    """Status of a log-in and how long it took; status of looking at a job that Redis has."""
    begun = time.monotonic()
    body = {"username": USERS[0], "password": PASSWORD}
    log_in = httpx.post(f"{system.urls[0]}/api/login", json=body, timeout=10).status_code
    took = time.monotonic() - begun
    headers = {"Authorization": f"Bearer {signed(system.secret, 'looker')}"}
    job = {"type": "wait", "request": {"ms": 1, "tag": "t"}}
    answer = httpx.post(f"{system.urls[0]}/api/enqueue", json=job, headers=headers, timeout=10)
    job_id = answer.raise_for_status().json()["job_id"]
    looked = httpx.get(f"{system.urls[0]}/api/jobs/{job_id}", headers=headers, timeout=10)
    return log_in, took, looked.status_code

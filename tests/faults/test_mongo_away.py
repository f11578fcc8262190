"""With MongoDB away, enqueueing and processing go on, log-in answers 503 quickly, and nothing is missing afterwards."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import httpx
import pytest

from chaos import collection
from chaos.clients.client import PASSWORD
from chaos.clients.load import Load, LoadPlan
from chaos.clients.tokens import authorization
from chaos.event_times import acceptances, handler_ends
from chaos.system.programs import wait_for
from chaos.system.system import System

SHORT_SECONDS, LONG_SECONDS = 10.0, 600.0
USERS = [f"user{number}" for number in range(20)]
RATE = 40.0
ANSWER_SECONDS = 1.5
pytestmark = [pytest.mark.timing, pytest.mark.usefixtures("tools")]


@pytest.mark.parametrize(
    "away_seconds",
    [
        pytest.param(SHORT_SECONDS, marks=pytest.mark.timeout(120)),
        pytest.param(LONG_SECONDS, marks=[pytest.mark.slow, pytest.mark.timeout(LONG_SECONDS + 300)]),
    ],
)
def test_enqueueing_and_processing_go_on_without_mongodb(tmp_path: Path, away_seconds: float) -> None:
    with System(tmp_path, apis=1, workers=1).running() as system:
        load = Load(LoadPlan(system.urls, str(system.records), USERS, RATE, 1, live=0.2))
        accepted, ended = acceptances(system.records), handler_ends(system.records)
        wait_for(lambda: len(accepted.after(0)) > RATE, 20, "requests are accepted")
        from_ns = time.monotonic_ns()
        system.mongo.kill()
        threading.Event().wait(away_seconds)
        log_in, took, job_state = _requests_without_mongo(system)
        accepted_meanwhile, ended_meanwhile = len(accepted.after(from_ns)), len(ended.after(from_ns))
        with system.redis.client() as redis:
            waiting, memory = redis.llen(system.keys.outbox), redis.info("memory")["used_memory"]
        restarted = time.monotonic()
        system.mongo.start()
        stats = load.stop()
        collection.await_quiet(system, USERS)
        print(
            f"MongoDB away {away_seconds:.0f} s: {accepted_meanwhile} jobs accepted, {ended_meanwhile} attempts ended, {waiting} ended jobs waited in "
            f"Redis ({memory / 1e6:.0f} MB), stored {time.monotonic() - restarted:.1f} s after it was back"
        )
        collection.record_endings(system, USERS)
        verdict = collection.judge_users(system, USERS)
    assert set(stats.statuses) == {"200"}
    assert accepted_meanwhile > RATE * away_seconds / 2
    assert ended_meanwhile > RATE * away_seconds / 2
    assert waiting > 0
    assert log_in == 503
    assert took < ANSWER_SECONDS
    assert job_state == 200
    assert verdict.clean, verdict.violations[:5]


def _requests_without_mongo(system: System) -> tuple[int, float, int]:
    """Return the status of a log-in and its seconds, and the status of a request for a job that is in Redis."""
    begun = time.monotonic()
    body = {"username": USERS[0], "password": PASSWORD}
    log_in = httpx.post(f"{system.urls[0]}/api/login", json=body, timeout=10).status_code
    took = time.monotonic() - begun
    headers = authorization(system.secret, "looker")
    job = {"type": "wait", "request": {"ms": 1, "tag": "t"}}
    answer = httpx.post(f"{system.urls[0]}/api/enqueue", json=job, headers=headers, timeout=10)
    job_id = answer.raise_for_status().json()["job_id"]
    read = httpx.get(f"{system.urls[0]}/api/jobs/{job_id}", headers=headers, timeout=10)
    return log_in, took, read.status_code

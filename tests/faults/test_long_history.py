"""A history that grew long before anybody listed jobs.

The embedded server builds an index first, which takes longer than a request may take. Until the index is ready the API answers 503.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import pymongo
import pytest

from chaos.clients.tokens import sign_token
from chaos.system.programs import wait_for
from chaos.system.system import System

JOBS, USERS, PIECE = 30_000, 100, 1000
ANSWER_SECONDS = 2.0


def _job(number: int) -> dict[str, Any]:
    user = f"user{number % USERS:03d}"
    fixed = {"type": "echo", "request": b"{}", "state": "succeeded", "attempts": 1, "max_attempts": 3}
    return {"_id": f"{user}/{number:025x}", "user": user, "finished_us": 1, "result": b"1", **fixed}


@pytest.mark.timing
@pytest.mark.usefixtures("tools")
@pytest.mark.timeout(200)
def test_jobs_can_be_listed_although_the_index_takes_longer_than_a_request(tmp_path: Path) -> None:
    with System(tmp_path, apis=1, workers=0, proxied=False).running() as system:
        with pymongo.MongoClient[dict[str, Any]](system.mongo.url) as mongo:
            for first in range(0, JOBS, PIECE):
                mongo["laneway"]["history"].insert_many([_job(first + number) for number in range(PIECE)])
        headers, slowest = {"Authorization": f"Bearer {sign_token(system.secret, 'user007')}"}, 0.0
        statuses: set[int] = set()

        def listed() -> httpx.Response | None:
            nonlocal slowest
            begun = time.monotonic()
            answer = http.get("/api/jobs?limit=10")
            slowest = max(slowest, time.monotonic() - begun)
            statuses.add(answer.status_code)
            return answer if answer.status_code == 200 else None

        begun = time.monotonic()
        with httpx.Client(base_url=system.urls[0], headers=headers, timeout=30) as http:
            answer = wait_for(listed, 120, "jobs are listed", poll_seconds=0.5)
        print(
            f"{JOBS:,} jobs could be listed after {time.monotonic() - begun:.1f} s, slowest answer {slowest:.2f} s"
        )
    assert answer is not None
    assert len(answer.json()["jobs"]) == 10
    assert statuses <= {200, 503}
    assert slowest < ANSWER_SECONDS

"""What the clients send again, against a real API that is full or whose Redis does not answer: until it is accepted, and once."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from laneway.dev import embedded
from tests.api.running import Api, in_thread, settings_of, wait_for
from tests.client.test_client import Either, make, of

__all__ = ["make"]


def refusals(api: Api, status: int) -> float:
    """How many enqueues have been answered so."""
    name = rf'laneway_api_request_seconds_count{{method="POST",route="/api/enqueue",status="{status}"}} (.+)'
    found = re.search(name, api.metrics())
    return float(found[1]) if found else 0


def enqueue_meanwhile(api: Api, client: Either, status: int, mend: Callable[[], object]) -> str:
    """Enqueue, mend what keeps the API from accepting once it has refused, and return the job's id."""
    before = refusals(api, status)
    with ThreadPoolExecutor(1) as pool:
        enqueueing = pool.submit(client.enqueue, "echo", "again")
        try:
            wait_for(lambda: refusals(api, status) > before)
        finally:
            mend()
        return str(enqueueing.result(30).id)


def test_a_full_lane_is_tried_again_after_the_time_that_the_api_names(
    start_api: Callable[..., Api], make: Callable[..., Either]
) -> None:
    api = start_api(lane_length=1)
    user = api.user()
    api.enqueue(user, "first")
    answer = api.http.post("/api/enqueue", json={"request": 1}, headers=api.auth(user))
    assert answer.status_code == 429
    assert float(answer.headers["retry-after"]) >= 1

    def purge() -> None:
        api.http.post(f"/api/admin/lanes/{user}/purge", headers=api.admin()).raise_for_status()

    job_id = enqueue_meanwhile(api, of(api, make, user), 429, purge)
    queued = [one for one in jobs(api, user) if one["state"] == "queued"]
    assert [(one["job_id"], one["request"]) for one in queued] == [(job_id, "again")]


def test_what_was_answered_503_is_accepted_once_redis_is_back(
    tmp_path: Path, mongo_url: str, mongo_database: str, make: Callable[..., Either]
) -> None:
    with (
        embedded.valkey(tmp_path / "valkey", appendfsync="no") as server,
        in_thread(settings_of(server.url, mongo_url, "retried", mongo_database)) as api,
    ):
        user = api.user()
        client = of(api, make, user)
        os.kill(server.pid, signal.SIGSTOP)
        job_id = enqueue_meanwhile(api, client, 503, lambda: os.kill(server.pid, signal.SIGCONT))
        # Redis carries out what it had received while it stood still: the same key makes one job of all tries.
        assert [one["job_id"] for one in jobs(api, user)] == [job_id]


def jobs(api: Api, user: str) -> list[dict[str, Any]]:
    return list(api.http.get("/api/jobs", headers=api.auth(user)).json()["jobs"])

"""`GET /api/jobs/{id}/why`: the reason why a job has not started, and its facts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from laneway.lanes.commands import Enqueue, Report, ReportKind
from laneway.lanes.errors import StoreUnavailable
from laneway.lanes.model import JobState
from laneway.lanes.store import AsyncLanes
from tests.api.running import Api, problem
from tests.lanes.driver import new_job


@pytest.fixture
def api(start_api: Callable[..., Api]) -> Api:
    """Alone with its ring: lanes of other tests would take turns, too."""
    return start_api()


def why(api: Api, user: str, job_id: str) -> dict[str, Any]:
    reply = api.http.get(f"/api/jobs/{job_id}/why", headers=api.auth(user))
    assert reply.status_code == 200, reply.text
    answer = dict(reply.json())
    assert answer["job_id"] == job_id
    assert answer["sentence"].endswith(".")
    return answer


def test_no_worker_takes_jobs(api: Api) -> None:
    user = api.user()
    job_id = api.enqueue(user)
    fresh = why(api, user, job_id)
    assert (fresh["reason"], fresh["state"]) == ("next", "queued")
    assert fresh["sentence"] == "It is the next of its lane, and the lane is number 1 of 1 that take turns."
    api.lanes.client.zadd(api.lanes.keys.ring, {user: api.lanes.now_us() - 60_000_000})
    stalled = why(api, user, job_id)
    assert stalled["reason"] == "no-worker"
    assert stalled["facts"]["ring_wait_seconds"] >= 60
    assert "none runs" in stalled["sentence"]


def test_the_workers_are_busy_with_others(api: Api) -> None:
    other, user = api.user(), api.user()
    api.enqueue(other)
    api.start(other)
    job_id = api.enqueue(user)
    api.lanes.client.zadd(api.lanes.keys.ring, {user: api.lanes.now_us() - 60_000_000})
    answer = why(api, user, job_id)
    assert (answer["reason"], answer["facts"]["in_flight"]) == ("next", 1)
    assert "busy with 1 job." in answer["sentence"]


@pytest.mark.parametrize(("current", "is_at_maximum"), [(4, True), (3, False)])
def test_the_pool_is_at_its_maximum(api: Api, current: int, is_at_maximum: bool) -> None:
    other, user = api.user(), api.user()
    api.enqueue(other)
    api.start(other)
    body = {"replicas": {"current": current}, "rule": {"max_replicas": 4}}
    api.lanes.run(Report(ReportKind.POOLS, "workers", body, 60))
    api.lanes.run(Report(ReportKind.POOLS, "unscalable", {"replicas": None, "rule": None}, 60))
    answer = why(api, user, api.enqueue(user))
    assert answer["facts"]["pools_at_maximum"] == ({"workers": 4} if is_at_maximum else {})
    assert ("pool 'workers' is at its maximum of 4 pods." in answer["sentence"]) is is_at_maximum
    behind = why(api, user, api.enqueue(user))
    assert (behind["reason"], behind["facts"]["pools_at_maximum"]) == ("behind", {}), (
        "more workers do not help it"
    )


def test_others_of_the_lane_come_first(api: Api) -> None:
    user = api.user()
    ids = [api.enqueue(user) for _ in range(3)]
    answer = why(api, user, ids[2])
    assert (answer["reason"], answer["facts"]["in_front"]) == ("behind", 2)
    assert "2 jobs start before it" in answer["sentence"]
    (lease,) = api.lanes.claim(1)
    blocked = why(api, user, ids[1])
    assert blocked["reason"] == "behind"
    assert lease.job_id in blocked["sentence"]
    assert why(api, user, ids[0])["reason"] == "claimed"


def test_the_slots_are_taken(api: Api) -> None:
    user = api.user()
    ids = [api.enqueue(user) for _ in range(7)]
    leases = api.start(user)
    api.lanes.finish(leases[0], state=JobState.RETRYING, delay=60, body=b'{"type":"E"}')
    answer = why(api, user, ids[6])
    assert answer["reason"] == "slots-taken"
    assert answer["sentence"] == (
        "All 5 slots of the lane are taken, 1 of them by jobs that wait for their next attempt, and 1 job starts before it."
    )
    taken = {slot["job_id"]: slot["state"] for slot in answer["facts"]["taken"]}
    assert taken == {ids[0]: "retrying"} | dict.fromkeys(ids[1:5], "running")
    assert why(api, user, ids[5])["sentence"].endswith("and it is the next to start.")
    retrying = why(api, user, ids[0])
    assert (retrying["reason"], retrying["state"]) == ("retry-later", "retrying")
    assert retrying["sentence"].startswith("Attempt 1 of 3 failed; the next one starts at 20")
    assert datetime.fromisoformat(retrying["facts"]["starts_after"]) > datetime.now(UTC)
    assert why(api, user, ids[1])["reason"] == "running"


def test_the_lane_is_paused(api: Api) -> None:
    user = api.user()
    job_id = api.enqueue(user)
    assert api.http.post(f"/api/admin/lanes/{user}/pause", headers=api.admin()).status_code == 200
    answer = why(api, user, job_id)
    assert (answer["reason"], answer["facts"]["paused"], answer["facts"]["ring_place"]) == (
        "paused",
        True,
        None,
    )


@pytest.mark.parametrize("type_", ["echo", "newer"])
def test_no_worker_knows_the_type(api: Api, type_: str) -> None:
    """A worker gives such a job back, and the API itself may not know the type either."""
    user = api.user()
    (job_id,) = api.lanes.run(Enqueue(user, [new_job(type_=type_)])).job_ids
    api.lanes.release(*api.lanes.claim(1), delay=60)
    answer = why(api, user, job_id)
    assert answer["reason"] == "returned"
    assert answer["facts"]["type_known"] == (type_ == "echo")
    assert answer["facts"]["taken"][0]["state"] == "returned"
    assert f"handler for the type '{type_}'" in answer["sentence"]
    assert ("neither" in answer["sentence"]) == (type_ == "newer")


def test_the_type_is_at_its_limit(api: Api) -> None:
    """Whoever waits is told what for, and how many come before."""
    users = [api.user() for _ in range(3)]
    ids = [api.enqueue(user) for user in users]
    leases = api.lanes.claim(3)
    api.lanes.ask(*leases, running=1)
    first, second = (why(api, user, job_id) for user, job_id in zip(users[1:], ids[1:], strict=True))
    assert first["reason"] == second["reason"] == "type-limit"
    assert first["sentence"] == (
        "Type 'echo' is at its limit of 1 running, over all users; it is the first that waits."
    )
    assert second["sentence"].endswith("; 1 job waits for the type before it.")
    assert second["facts"]["type_limit"] == {
        "type": "echo",
        "running": 1,
        "max_running": 1,
        "max_starts": None,
        "period_seconds": None,
        "waiting": 2,
        "place": 2,
    }
    assert why(api, users[0], ids[0])["facts"]["type_limit"] is None


def test_the_rate_of_the_type_is_used_up(api: Api) -> None:
    users = [api.user() for _ in range(2)]
    ids = [api.enqueue(user) for user in users]
    api.lanes.ask(*api.lanes.claim(2), starts=1, period_seconds=60)
    answer = why(api, users[1], ids[1])
    assert answer["reason"] == "type-limit"
    assert answer["sentence"].startswith(
        "Of type 'echo' at most 1 job may start in a minute, over all users, and the next try is at 20"
    )


def test_a_job_that_has_ended(api: Api) -> None:
    user = api.user()
    job_id = api.end(user)
    for archived in (False, True):
        if archived:
            api.archive()
        answer = why(api, user, job_id)
        assert (answer["reason"], answer["state"], answer["facts"]) == ("ended", "succeeded", None)
        assert answer["sentence"].startswith("It has ended: it succeeded at 20")


def test_redis_refuses_to_write(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    user = api.user()
    job_id = api.enqueue(user)
    run = AsyncLanes.run

    async def refusing(self: AsyncLanes, command: Any) -> Any:
        if command.script == "enqueue":
            raise StoreUnavailable("OOM", "Redis has no memory left")
        return await run(self, command)

    monkeypatch.setattr(AsyncLanes, "run", refusing)
    answer = why(api, user, job_id)
    assert (answer["reason"], answer["sentence"]) == (
        "store-read-only",
        "Nothing starts, because of Redis: Redis has no memory left.",
    )


def test_another_users_job_is_not_explained(api: Api) -> None:
    job_id = api.enqueue(api.user())
    for which in (job_id, "0" * 25):
        problem(api.http.get(f"/api/jobs/{which}/why", headers=api.auth(api.user())), 404, "unknown-job")

"""`delay` and `not_before`: jobs that enter their lane later."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from laneway.lanes.model import JobState
from tests.api.running import Api, problem

SOON = 1e-6


def moment(**ahead: float) -> str:
    return (datetime.now(UTC) + timedelta(**ahead)).isoformat()


def test_a_delayed_job_is_queued_without_a_position_and_says_when_it_enters(api: Api) -> None:
    user, at = api.user(), "2027-01-01T12:00:00.5+02:00"
    reply = api.http.post("/api/enqueue", json={"request": 1, "not_before": at}, headers=api.auth(user))
    assert reply.json()["position"] == 0
    job = api.job(user, reply.json()["job_id"])
    assert (job["state"], job["position"], job["started_at"]) == ("queued", None, None)
    assert job["not_before"] == job["enqueued_at"] == "2027-01-01T10:00:00.500000Z"
    queue = api.http.get("/api/queue", headers=api.auth(user)).json()
    assert (queue["queued"], queue["delayed"], queue["oldest_seconds"]) == (0, 1, None)
    listed = api.http.get("/api/jobs?state=queued", headers=api.auth(user)).json()["jobs"]
    assert listed == [job]


def test_why_says_when_it_is_due(api: Api) -> None:
    user = api.user()
    job_id = api.enqueue(user, not_before="2027-01-01T10:00:00Z")
    why = api.http.get(f"/api/jobs/{job_id}/why", headers=api.auth(user)).json()
    assert (why["reason"], why["state"], why["facts"]) == ("delayed", "queued", None)
    assert why["sentence"] == "It is not due: it enters the lane at 2027-01-01T10:00:00.000000Z."


def test_it_starts_when_it_is_due(api: Api) -> None:
    user = api.user()
    later, now = api.enqueue(user, delay=3600), api.enqueue(user)
    due = api.enqueue(user, delay=SOON)
    assert [lease.job_id for lease in api.start(user)] == [now, due]
    job = api.job(user, due)
    assert (job["state"], job["not_before"]) == (JobState.RUNNING, None)
    assert api.job(user, later)["not_before"] is not None


def test_each_request_of_a_batch_has_a_delay_of_its_own(api: Api) -> None:
    user, at = api.user(), moment(hours=2)
    requests = [{"request": 0, "delay": 3600}, {"request": 1}, {"request": 2, "not_before": at}]
    reply = api.http.post("/api/enqueue/batch", json={"requests": requests}, headers=api.auth(user))
    assert reply.status_code == 200, reply.text
    jobs = [api.job(user, job_id) for job_id in reply.json()["job_ids"]]
    assert [job["request"] for job in jobs] == [0, 1, 2]
    assert [job["not_before"] is not None for job in jobs] == [True, False, True]
    assert datetime.fromisoformat(jobs[2]["not_before"]) == datetime.fromisoformat(at)
    assert [jobs[i]["position"] for i in range(3)] == [None, 1, None]


@pytest.mark.parametrize(
    "delay", [{"delay": 0}, {"not_before": "2020-01-01T00:00:00Z"}, {"not_before": "1969-01-01T00:00:00Z"}]
)
def test_what_is_past_delays_nothing(api: Api, delay: dict[str, Any]) -> None:
    user = api.user()
    job = api.job(user, api.enqueue(user, **delay))
    assert (job["position"], job["not_before"]) == (1, None)


YEAR = 365 * 86_400


@pytest.mark.parametrize(
    ("delay", "pointer", "text"),
    [
        ({"delay": -1}, "delay", "from 0 to 31536000"),
        ({"delay": YEAR + 1}, "delay", "from 0 to 31536000"),
        ({"delay": "60"}, "delay", "number of seconds"),
        ({"delay": True}, "delay", "number of seconds"),
        ({"delay": None}, "delay", "number of seconds"),
        ({"not_before": None}, "not_before", "RFC 3339"),
        ({"not_before": 1}, "not_before", "RFC 3339"),
        ({"not_before": "tomorrow"}, "not_before", "RFC 3339"),
        ({"not_before": "2026-12-24"}, "not_before", "RFC 3339"),
        ({"not_before": "2026-12-24T18:00:00"}, "not_before", "time zone"),
        ({"not_before": "2026-13-24T18:00:00Z"}, "not_before", "RFC 3339"),
        ({"not_before": "2099-01-01T00:00:00Z"}, "not_before", "at most 365 days"),
        ({"not_before": "9999-12-31T23:59:59-23:59"}, "not_before", "at most 365 days"),
        ({"delay": 1, "not_before": "2027-01-01T00:00:00Z"}, "", "not both"),
    ],
)
def test_a_bad_delay_is_pointed_at(api: Api, delay: dict[str, Any], pointer: str, text: str) -> None:
    user = api.user()
    one = {"request": 1, **delay}
    place = f"/{pointer}" if pointer else ""
    for path, body, start in (
        ("/api/enqueue", one, "#/body"),
        ("/api/enqueue/batch", {"requests": [{"request": 1}, one]}, "#/body/requests/1"),
    ):
        answer = problem(api.http.post(path, json=body, headers=api.auth(user)), 400, "bad-request")
        assert answer["errors"][0]["pointer"] == start + place
        assert text in answer["detail"]
    assert api.http.get("/api/queue", headers=api.auth(user)).json()["delayed"] == 0


def test_an_idempotency_key_covers_the_delay(api: Api) -> None:
    user = api.user()

    def enqueue(**delay: Any) -> Any:
        headers = api.auth(user) | {"idempotency-key": "k"}
        return api.http.post("/api/enqueue", json={"request": 1, **delay}, headers=headers)

    first = enqueue(delay=3600).json()
    assert enqueue(delay=3600).json() == first
    problem(enqueue(delay=60), 400, "idempotency-mismatch")
    problem(enqueue(), 400, "idempotency-mismatch")


def test_a_delayed_job_is_cancelled_at_once(api: Api) -> None:
    user = api.user()
    job_id = api.enqueue(user, delay=3600)
    reply = api.http.delete(f"/api/jobs/{job_id}", headers=api.auth(user))
    assert reply.json()["state"] == "cancelled"
    assert api.job(user, job_id)["state"] == "cancelled"
    api.archive()
    assert api.job(user, job_id)["request"] is None


def test_a_purge_takes_delayed_jobs(api: Api) -> None:
    user = api.user()
    api.enqueue(user, delay=3600)
    reply = api.http.post(f"/api/admin/lanes/{user}/purge", headers=api.admin())
    assert reply.json()["cancelled"] == 1
    assert api.lanes.delayed(user) == []

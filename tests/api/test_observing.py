"""What administrators see of the deployment as a whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from laneway.api import lane_ranking
from laneway.lanes import survey
from laneway.lanes.commands import Start
from laneway.lanes.model import JobState
from laneway.storage import activity_writer
from laneway.storage.activity_writer import ActivityWriter
from laneway.storage.history_writer import HistoryWriter
from laneway.worker.lease_keeper.pool import Pool
from laneway.worker.lease_keeper.readiness import Readiness
from laneway.worker.lease_keeper.self_report import reporter
from tests.api.running import Api, problem, wait_for


@pytest.fixture
def api(start_api: Callable[..., Api]) -> Api:
    """With a database and lanes of its own: the answers are about everybody."""
    return start_api()


def get(api: Api, path: str, **params: Any) -> dict[str, Any]:
    reply = api.http.get(f"/api/admin/{path}", params=params, headers=api.admin())
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def test_the_overview_counts_what_was_accepted_and_what_has_ended(
    start_api: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activity_writer, "FLUSH_SECONDS", 0.05)
    api = start_api()
    user = api.user()
    api.enqueue(user)
    batch = {"requests": [{"request": n} for n in range(4)]}
    for _ in range(2):  # a repeated request is accepted once
        key = {"idempotency-key": "k"}
        api.http.post("/api/enqueue/batch", json=batch, headers=api.auth(user) | key)
    later = {"request": None, "delay": 60}
    assert api.http.post("/api/enqueue", json=later, headers=api.auth(user)).status_code == 200
    api.end(api.user())
    activity = ActivityWriter(api.mongo())
    activity.ended(HistoryWriter(api.mongo()).store(api.outbox()))
    activity.flush()
    wait_for(lambda: get(api, "overview")["total"]["accepted"] == 6)
    found = get(api, "overview", step=60)
    assert found["step_seconds"] == 60
    assert len(found["points"]) in (60, 61)
    assert found["total"]["ended"] == {"succeeded": 1, "failed": 0, "cancelled": 0}
    assert set(found["total"]["run_seconds"]) == {"p50", "p95", "p99"}
    now = found["now"]
    assert (now["jobs"], now["in_flight"], now["retrying"], now["delayed"]) == (5, 0, 0, 1)
    empty = found["points"][0]
    assert (empty["accepted"], empty["wait_seconds"]) == (0, None)
    begin = datetime.fromisoformat(empty["at"])
    assert begin == datetime.fromisoformat(found["from"])
    assert begin.second == 0


def test_hours_reach_further_back_than_minutes(api: Api) -> None:
    now = datetime.now(UTC)
    month = {"from": (now - timedelta(days=30)).isoformat(), "to": now.isoformat()}
    assert len(get(api, "overview", step=3600, **month)["points"]) in (720, 721)
    three_days = {"from": (now - timedelta(hours=72)).isoformat(), "to": now.isoformat()}
    assert len(get(api, "overview", **three_days)["points"]) in (4320, 4321)
    refused: list[tuple[dict[str, Any], str]] = [
        ({"step": 60, **month}, "72 hours"),
        ({"step": 3600, "from": (now - timedelta(days=99)).isoformat()}, "90 days"),
        ({"from": now.isoformat(), "to": (now - timedelta(hours=1)).isoformat()}, "before"),
        ({"step": 90}, ""),
        ({"from": "2026-01-01T00:00:00"}, ""),
        ({"from": "9999-12-31T23:59:59-14:00"}, "before"),
    ]
    for wrong, says in refused:
        reply = api.http.get("/api/admin/overview", params=wrong, headers=api.admin())
        assert says in reply.text
        assert reply.status_code == 400, wrong


def test_workers_with_what_they_run(api: Api) -> None:
    pool = Pool()
    report = reporter("pod-1:7", pool, Readiness(pool))()
    report = replace(report, body=report.body | {"host": "pod-1", "processes": [21, 22], "in_flight": 1})
    api.lanes.run(report)
    user = api.user()
    api.lanes.enqueue(user, 4)
    here, dead, claimed, batched = api.lanes.claim()
    api.lanes.run(Start("pod-1:22", [here], [api.lanes.now_us()]))
    api.lanes.run(Start("pod-0:5", [dead], [api.lanes.now_us()]))
    api.lanes.run(Start("pod-1:7", [batched], [api.lanes.now_us()]))  # as the lease keeper does
    found = get(api, "workers")
    (worker,) = found["workers"]
    assert (worker["name"], worker["host"], worker["processes"]) == ("pod-1:7", "pod-1", 2)
    assert (worker["state"], list(worker["problems"])) == ("not_ready", ["handlers"])
    job, of_a_batch = worker["jobs"]
    assert of_a_batch["job_id"] == batched.job_id
    assert (job["job_id"], job["user"], job["type"], job["attempt"]) == (here.job_id, user, "echo", 1)
    assert datetime.fromisoformat(job["started_at"]) > datetime.now(UTC) - timedelta(minutes=1)
    assert [(one["job_id"], one["worker"]) for one in found["jobs_without_worker"]] == [
        (dead.job_id, "pod-0:5")
    ]
    assert not found["truncated"]
    assert claimed.job_id not in str(found), "it does not run yet"


def test_without_an_operator_there_are_no_pools_and_a_sentence_says_so(api: Api) -> None:
    found = get(api, "pools")
    assert found["pools"] == []
    assert "no operator has reported a pool" in found["note"]


def test_lanes_by_backlog_wait_and_failures(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane_ranking, "FRESH_SECONDS", 0)
    monkeypatch.setattr(survey, "PAGE_LANES", 2)
    for user in ("eve", "eve", "gone"):  # "gone" has failures and no lane
        api.end(user, JobState.FAILED, b'{"type":"E"}')
    for user, jobs in (("dan", 2), ("ann", 1), ("eve", 4), ("bob", 2)):
        api.lanes.enqueue(user, jobs)
    api.archive()

    def by(sort: str, limit: int = 100) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            page = get(api, "lanes", sort=sort, limit=limit, after=after)
            found += page["lanes"]
            assert not page["truncated"]
            if (after := page["next"]) is None:
                return found

    orders = {
        "user": ["ann", "bob", "dan", "eve"],
        "backlog": ["eve", "bob", "dan", "ann"],
        "wait": ["dan", "ann", "eve", "bob"],
        "failures": ["eve", "gone"],
    }
    for sort, order in orders.items():
        for limit in (100, 1, 3):
            assert [lane["user"] for lane in by(sort, limit)] == order, (sort, limit)
    assert [lane["failures"] for lane in by("failures")] == [2, 1]
    assert by("failures")[1] == {
        "user": "gone", "jobs": 0, "taken": 0, "slots": 5, "waits_since": None, "failures": 1,
    }  # fmt: skip
    assert by("wait")[0]["waits_since"] < by("wait")[1]["waits_since"]
    for user in ("anna", "annz"):
        api.lanes.enqueue(user)
    for sort in ("user", "backlog"):
        page = get(api, "lanes", sort=sort, name="ANN", limit=2)
        rest = get(api, "lanes", sort=sort, name="ANN", limit=2, after=page["next"])
        assert [lane["user"] for lane in page["lanes"] + rest["lanes"]] == ["ann", "anna", "annz"], sort
    reply = api.http.get("/api/admin/lanes?sort=wait&after=x", headers=api.admin())
    problem(reply, 400, "bad-request")


def test_users_by_name_and_role_with_log_in_and_jobs(api: Api) -> None:
    credentials = {"password": "correct horse battery"}
    for user in ("anna", "annabel", "bob"):
        reply = api.http.post("/api/register", json={"username": user, **credentials})
        assert reply.status_code == 201
    api.http.put("/api/admin/users/annabel/role", json={"role": "admin"}, headers=api.admin())
    assert api.http.post("/api/login", json={"username": "Anna", **credentials}).status_code == 200
    assert api.http.post("/api/login", json={"username": "bob", "password": "wrong"}).status_code == 400
    api.lanes.enqueue("anna", 2)

    def names(**params: Any) -> list[str]:
        return [user["username"] for user in get(api, "users", **params)["users"]]

    assert names() == ["anna", "annabel", "bob"]
    assert names(name="ANN") == ["anna", "annabel"]
    assert names(name="ann", role="admin") == ["annabel"]
    assert names(name="ann", after="anna") == ["annabel"]
    assert names(name=".*") == []
    anna, _, bob = get(api, "users")["users"]
    assert (anna["jobs"], bob["jobs"], bob["last_login_at"]) == (2, 0, None)
    assert datetime.fromisoformat(anna["last_login_at"]) > datetime.now(UTC) - timedelta(minutes=1)


def test_only_administrators_see_the_overview(api: Api) -> None:
    problem(api.http.get("/api/admin/overview", headers=api.auth(api.user())), 403, "forbidden")

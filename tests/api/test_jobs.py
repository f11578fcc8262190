"""`/api/jobs`: one job wherever it is, the list over Redis and MongoDB, and cancelling."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from laneway.lanes.model import JobState
from tests.api.running import Api, problem, wait_for

FIELDS = {
    "job_id",
    "type",
    "request",
    "state",
    "attempts",
    "position",
    "progress",
    "result",
    "error",
    "enqueued_at",
    "started_at",
    "finished_at",
}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def listed(api: Api, user: str, **query: Any) -> dict[str, Any]:
    reply = api.http.get("/api/jobs", params=query, headers=api.auth(user))
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def ids(page: dict[str, Any]) -> list[str]:
    return [job["job_id"] for job in page["jobs"]]


def all_pages(api: Api, user: str, **query: Any) -> list[str]:
    found: list[str] = []
    cursor, name = "", "after" if query.get("order") == "oldest" else "before"
    for _ in range(200):
        page = listed(api, user, **{name: cursor}, **query)
        found += ids(page)
        if page["next"] is None:
            return found
        cursor = page["next"]
    pytest.fail("the list has no end")


def test_many_jobs_are_read_by_their_ids_wherever_they_are(api: Api) -> None:
    user, other = api.user(), api.user()
    archived = [api.end(user) for _ in range(3)]
    api.archive()
    failed = api.end(user, JobState.FAILED, b'{"type":"E","message":"m"}')
    live = [api.enqueue(user, n) for n in range(60)]
    mine = [*archived, failed, *live]
    wanted = [*mine, api.enqueue(other), "0" * 25]
    assert ids(listed(api, user, job_id=wanted, limit=100)) == mine[::-1]
    assert ids(listed(api, user, job_id=wanted, limit=100, order="oldest")) == mine
    assert listed(api, user, job_id=wanted, limit=100)["next"] is None
    assert all_pages(api, user, job_id=wanted, limit=7) == mine[::-1]
    assert all_pages(api, user, job_id=wanted, limit=7, order="oldest") == mine
    assert ids(listed(api, user, job_id=wanted, state="failed")) == [failed]
    assert ids(listed(api, user, job_id=[archived[0], live[0]], state="queued")) == [live[0]]
    assert ids(listed(api, user, job_id=archived[1])) == [archived[1]]
    headers = api.auth(user)
    for malformed in (["7"], ["0" * 24 + "g"], [""], [f"{n:025x}" for n in range(101)]):
        reply = api.http.get("/api/jobs", params={"job_id": malformed}, headers=headers)
        assert reply.status_code == 400, malformed


def test_a_page_of_jobs_read_by_their_ids_is_cut_where_it_is_large(api: Api) -> None:
    user = api.user()
    large = "x" * 250_000
    mine = [api.enqueue(user, large) for _ in range(40)]
    page = listed(api, user, job_id=mine)
    assert 30 < len(page["jobs"]) < 40
    assert all_pages(api, user, job_id=mine) == mine[::-1]


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_large_ended_jobs_and_live_ones_are_all_found_by_their_ids(api: Api, order: str) -> None:
    """MongoDB is asked more than once: an answer of it ends after so many bytes. Live jobs among the rest are neither lost nor listed twice."""
    user = api.user()
    ended = [api.end(user, body=b'"%b"' % (b"x" * 900_000)) for _ in range(12)]
    api.archive()
    live = [api.enqueue(user, n) for n in range(4)]
    mine = sorted([*live, *ended], reverse=order == "newest")
    assert len(listed(api, user, job_id=mine, order=order, limit=100)["jobs"]) < len(mine)
    assert all_pages(api, user, job_id=mine, order=order, limit=100) == mine


def test_a_queued_job(api: Api) -> None:
    user = api.user()
    api.enqueue(user, 1)
    job = api.job(user, api.enqueue(user, {"a": [1]}, type="wordcount"))
    assert job.keys() >= FIELDS
    assert (job["state"], job["type"], job["request"], job["attempts"]) == (
        "queued",
        "wordcount",
        {"a": [1]},
        0,
    )
    assert job["position"] == 2
    assert TIME.fullmatch(job["enqueued_at"])
    assert [job[name] for name in ("progress", "result", "error", "started_at", "finished_at")] == [None] * 5


def test_a_job_from_start_to_history(api: Api) -> None:
    user = api.user()
    job_id = api.end(user, body=b'{"n": 1}')
    live = api.job(user, job_id)
    assert (live["state"], live["result"], live["error"], live["attempts"]) == (
        "succeeded",
        {"n": 1},
        None,
        1,
    )
    assert live["position"] is None
    assert TIME.fullmatch(live["started_at"])
    assert TIME.fullmatch(live["finished_at"])
    api.archive()
    assert not api.lanes.job(job_id)
    assert api.job(user, job_id) == live


def test_a_failed_job_shows_its_error(api: Api) -> None:
    user = api.user()
    job_id = api.end(user, JobState.FAILED, b'{"type": "ValueError", "message": "no"}')
    for archived in (False, True):
        if archived:
            api.archive()
        job = api.job(user, job_id)
        assert (job["state"], job["error"], job["result"]) == (
            "failed",
            {"type": "ValueError", "message": "no"},
            None,
        )


def test_a_running_and_a_retrying_job(api: Api) -> None:
    user = api.user()
    api.enqueue(user)
    (lease,) = api.start(user)
    job = api.job(user, lease.job_id)
    assert (job["state"], job["attempts"], job["position"]) == ("running", 1, None)
    api.lanes.finish(lease, state=JobState.RETRYING, delay=60, body=b'{"type":"E"}')
    job = api.job(user, lease.job_id)
    assert (job["state"], job["error"]) == ("retrying", {"type": "E"})


@pytest.mark.parametrize("state", ["queued", "running", "ended"])
@pytest.mark.parametrize("damage", ["deleted", "unreadable"])
def test_a_job_whose_request_redis_has_lost_costs_no_answer(api: Api, state: str, damage: str) -> None:
    """Before anybody has noticed it. Who claims it notices, and then it has failed and says why."""
    user, admin = api.user(), api.admin()
    job_ids = [api.enqueue(user, number) for number in range(3)]
    leases = api.start(user) if state != "queued" else []
    if state == "ended":
        api.lanes.finish(*leases)
    key = api.lanes.key(f"spec:{job_ids[1]}")
    api.lanes.client.delete(key)
    if damage == "unreadable":
        api.lanes.client.set(key, "garbage")
    mine = api.auth(user)
    for path, headers in {
        "/api/jobs": mine,
        "/api/jobs?order=oldest&type=echo": mine,
        f"/api/jobs?state={'succeeded' if state == 'ended' else state}": mine,
        f"/api/jobs/{job_ids[0]}/why": mine,
        f"/api/jobs/{job_ids[2]}": mine,
        "/api/queue": mine,
        "/api/admin/lanes": admin,
        "/api/admin/ring": admin,
        "/api/admin/workers": admin,
        "/api/admin/overview": admin,
        f"/api/admin/jobs/{user}": admin,
    }.items():
        reply = api.http.get(path, headers=headers)
        assert reply.status_code == 200, (path, reply.text)
    for path in ("", "/why", "/logs"):
        reply = api.http.get(f"/api/jobs/{job_ids[1]}{path}", headers=mine)
        assert reply.status_code in (200, 404), (path, reply.text)
    assert {job_ids[0], job_ids[2]} <= set(ids(listed(api, user)))
    assert "laneway_redis_up 1.0" in api.metrics()
    if state == "queued":
        api.start(user)
        assert api.job(user, job_ids[1])["state"] == "failed"
        assert "lost" in str(api.job(user, job_ids[1]))
        assert ids(listed(api, user)) == job_ids[::-1]


def test_another_users_job_is_not_found(api: Api) -> None:
    user, other = api.user(), api.user()
    job_id, ended = api.enqueue(user), api.end(api.user())
    for method in ("GET", "DELETE"):
        problem(api.http.request(method, f"/api/jobs/{job_id}", headers=api.auth(other)), 404, "unknown-job")
        problem(api.http.request(method, f"/api/jobs/{ended}", headers=api.auth(other)), 404, "unknown-job")
    api.archive()
    for method in ("GET", "DELETE"):
        problem(api.http.request(method, f"/api/jobs/{ended}", headers=api.auth(other)), 404, "unknown-job")
    assert ids(listed(api, other)) == []
    assert api.job(user, job_id)["state"] == "queued"


@pytest.mark.parametrize("job_id", ["x", "0" * 25, "0" * 24, "g" * 25, "%00", "..", "a%2Fb", "0" * 5000, "é"])
@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_a_malformed_job_id_is_not_found(api: Api, method: str, job_id: str) -> None:
    reply = api.http.request(method, f"/api/jobs/{job_id}", headers=api.auth(api.user()))
    assert reply.status_code in (404, 405)
    assert reply.headers["content-type"] == "application/problem+json"
    assert len(reply.content) < 500


def test_cancelling_a_queued_job(api: Api) -> None:
    user = api.user()
    job_id = api.enqueue(user)
    reply = api.http.delete(f"/api/jobs/{job_id}", headers=api.auth(user))
    assert (reply.status_code, reply.json()["state"]) == (200, "cancelled")
    job = api.job(user, job_id)
    assert (job["state"], job["reason"]) == ("cancelled", "cancelled by the user")
    problem(api.http.delete(f"/api/jobs/{job_id}", headers=api.auth(user)), 409, "already-ended")
    api.archive()
    problem(api.http.delete(f"/api/jobs/{job_id}", headers=api.auth(user)), 409, "already-ended")
    assert api.job(user, job_id)["state"] == "cancelled"


def test_a_job_that_is_cancelled_is_logged(api: Api, capfd: pytest.CaptureFixture[str]) -> None:
    """By its user, or by an administrator who purges the lane."""
    user = api.user()
    one, purged = api.enqueue(user), api.enqueue(user)
    assert api.http.delete(f"/api/jobs/{one}", headers=api.auth(user)).status_code == 200
    reply = api.http.post(f"/api/admin/lanes/{user}/purge", headers=api.admin())
    assert reply.json()["cancelled"] == 1
    out: list[str] = []

    def logged() -> list[dict[str, Any]]:
        out.append(capfd.readouterr().out)
        lines = [json.loads(line) for line in "".join(out).splitlines() if line.startswith("{")]
        found = [line for line in lines if line["event"] == "cancelled" and line["user"] == user]
        return found if len(found) == 2 else []

    assert [line["job_id"] for line in wait_for(logged)] == [one, purged]


def test_cancelling_a_running_job_asks_it_to_stop(api: Api) -> None:
    user = api.user()
    api.enqueue(user)
    (lease,) = api.start(user)
    reply = api.http.delete(f"/api/jobs/{lease.job_id}", headers=api.auth(user))
    assert (reply.status_code, reply.json()["state"]) == (200, "running")
    assert api.lanes.cancels() >= {lease.job_id}
    api.lanes.finish(lease)


def test_an_ended_job_runs_again(api: Api) -> None:
    """With the same payload, to the byte; a failed one is no dead letter any more."""
    user = api.user()
    request = {"n": 9007199254740993, "text": "ä"}
    job_id = api.enqueue(user, request)
    path = f"/api/jobs/{job_id}/again"
    problem(api.http.post(path, headers=api.auth(user)), 409, "not-ended")
    (lease,) = api.start(user)
    problem(api.http.post(path, headers=api.auth(user)), 409, "not-ended")
    api.lanes.finish(lease, state=JobState.FAILED, body=b'"E"')
    api.archive()
    key = {"idempotency-key": "again"}
    reply = api.http.post(path, headers=api.auth(user) | key)
    assert (reply.status_code, reply.json()["position"]) == (200, 1)
    again = reply.json()["job_id"]
    assert (api.job(user, again)["request"], api.job(user, again)["state"]) == (request, "queued")
    assert api.job(user, job_id)["state"] == "failed"
    assert api.mongo()["dead_letters"].count_documents({"user": user}) == 0
    assert api.http.post(path, headers=api.auth(user) | key).json()["job_id"] == again
    problem(api.http.post(path, headers=api.auth(api.user())), 404, "unknown-job")


# -- lists --------------------------------------------------------------------------------------------------------


def test_the_list_is_newest_first_over_redis_and_mongodb(api: Api) -> None:
    user = api.user()
    archived = [api.end(user) for _ in range(3)]
    api.archive()
    in_outbox = [api.end(user) for _ in range(2)]
    queued = [api.enqueue(user) for _ in range(3)]
    expected = [*archived, *in_outbox, *queued][::-1]
    assert ids(listed(api, user)) == expected
    assert listed(api, user)["next"] is None
    for limit in (1, 2, 3, 7, 8, 100):
        assert all_pages(api, user, limit=limit) == expected
    for state, jobs in {
        "succeeded": archived + in_outbox,
        "queued": queued,
        "running": [],
        "failed": [],
    }.items():
        assert all_pages(api, user, limit=2, state=state) == jobs[::-1]


def test_paging_continues_while_jobs_move_from_redis_to_mongodb(api: Api) -> None:
    user = api.user()
    expected = [api.end(user) for _ in range(6)][::-1]
    first = listed(api, user, limit=2)
    api.archive()
    api.end(user)
    rest = all_pages(api, user, limit=2)
    assert ids(first) + ids(listed(api, user, limit=4, before=first["next"])) == expected
    assert rest[1:] == expected


def test_older_jobs_may_still_be_queued_while_newer_ones_have_ended(api: Api) -> None:
    user = api.user()
    old = [api.enqueue(user) for _ in range(60)]
    mine = api.start(user)
    api.lanes.finish(*mine)
    api.archive()
    assert all_pages(api, user, limit=7) == old[::-1]
    assert (
        all_pages(api, user, limit=7, state="queued")
        == [i for i in old if i not in {m.job_id for m in mine}][::-1]
    )


def test_a_page_of_large_jobs_ends_early(api: Api) -> None:
    user = api.user()
    large = "x" * 260_000
    expected = [api.enqueue(user, large) for _ in range(40)][::-1]
    page = listed(api, user, limit=100)
    assert 25 <= len(page["jobs"]) < 40
    assert page["next"] == page["jobs"][-1]["job_id"]
    assert all_pages(api, user, limit=100) == expected


def test_a_rare_state_is_found_behind_many_jobs(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages may be short, but no job is left out."""
    monkeypatch.setattr("laneway.storage.history_reader.MAX_SCAN", 4)
    monkeypatch.setattr("laneway.api.lookup.MAX_SCANNED", 4)
    monkeypatch.setattr("laneway.api.lookup.PIECE", 2)
    user = api.user()
    failed = [api.end(user, JobState.FAILED, b"1")]
    for _ in range(9):
        api.end(user)
    failed.append(api.end(user, JobState.FAILED, b"1"))
    api.archive()
    for _ in range(7):
        api.enqueue(user)
    assert all_pages(api, user, limit=5, state="failed") == failed[::-1]


# -- filters ------------------------------------------------------------------------------------------------------


def test_several_states_types_and_errors(api: Api) -> None:
    """Over Redis and MongoDB alike."""
    user = api.user()
    timeout = b'{"type":"TimeoutError","message":"the \\"model\\" took too l\xc3\xb6ng"}'
    old = [api.end(user), api.end(user, JobState.FAILED, timeout), api.end(user, JobState.FAILED, b'"E"')]
    api.archive()
    fresh = [
        api.end(user, JobState.FAILED, timeout),
        api.enqueue(user, type="wordcount", request={"text": ""}),
    ]
    queries: list[tuple[dict[str, Any], list[str]]] = [
        ({"state": ["succeeded", "queued"]}, [old[0], fresh[1]]),
        ({"state": ["failed"]}, [old[1], old[2], fresh[0]]),
        ({"type": "wordcount"}, [fresh[1]]),
        ({"type": "echo", "state": ["succeeded", "queued"]}, [old[0]]),
        ({"error": "timeouterror"}, [old[1], fresh[0]]),
        ({"error": '"MODEL"'}, [old[1], fresh[0]]),
        ({"error": "lÖng"}, [old[1], fresh[0]]),
        ({"error": "no such error"}, []),
        ({"id": old[1]}, [old[1]]),
        ({"id": old[1][:3]}, [*old, *fresh]),
        ({"id": "f" * 25}, []),
    ]
    for query, expected in queries:
        for limit in (1, 100):
            assert all_pages(api, user, limit=limit, **query) == expected[::-1], query
            assert all_pages(api, user, limit=limit, order="oldest", **query) == expected, query


def test_a_range_of_time(api: Api) -> None:
    user = api.user()
    ids = [api.end(user) for _ in range(4)]
    api.archive()
    ids += [api.enqueue(user) for _ in range(4)]
    times = [api.job(user, job_id)["enqueued_at"] for job_id in ids]
    for first in range(0, 8, 3):
        for last in range(first, 8, 2):
            query = {"since": times[first], "until": times[last], "limit": 2}
            assert all_pages(api, user, **query) == ids[first:last][::-1]
            assert all_pages(api, user, order="oldest", **query) == ids[first:last]
    assert all_pages(api, user, since="0001-01-01T00:00:00Z", until="9999-12-31T23:59:59Z") == ids[::-1]
    assert all_pages(api, user, since="9999-12-31T23:59:59Z") == []
    assert all_pages(api, user, until="1970-01-01T00:00:00+05:00") == []


def test_the_oldest_first_over_redis_and_mongodb(api: Api) -> None:
    """Older jobs may still be queued while newer ones have been archived."""
    user = api.user()
    ids = [api.enqueue(user) for _ in range(60)]
    api.lanes.finish(*api.start(user)[2:])
    api.archive()
    for limit in (1, 7, 100):
        assert all_pages(api, user, order="oldest", limit=limit) == ids
    queued = all_pages(api, user, order="oldest", limit=7, state="queued")
    assert queued == ids[5:]


def test_a_rare_error_is_found_behind_many_jobs(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("laneway.storage.history_reader.MAX_SCAN", 4)
    user = api.user()
    rare = [api.end(user, JobState.FAILED, b'"rare"')]
    for _ in range(9):
        api.end(user, JobState.FAILED, b'"common"')
    rare.append(api.end(user, JobState.FAILED, b'"rare"'))
    api.archive()
    for limit in (1, 5):
        assert all_pages(api, user, limit=limit, error="rare") == rare[::-1]
        assert all_pages(api, user, limit=limit, error="rare", order="oldest") == rare


def test_a_cursor_of_the_other_order_is_refused(api: Api) -> None:
    for query, wrong in (({"order": "oldest"}, "before"), ({}, "after")):
        reply = api.http.get("/api/jobs", params={**query, wrong: "0" * 25}, headers=api.auth(api.user()))
        assert problem(reply, 400, "bad-request")["errors"][0]["pointer"] == f"#/query/{wrong}"


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0},
        {"limit": 101},
        {"limit": "x"},
        {"state": "done"},
        {"state": ""},
        {"state": ["queued", "done"]},
        {"id": "xyz"},
        {"since": "yesterday"},
        {"until": "2026-11-28T18:00:00"},
        {"order": "random"},
        {"error": "x" * 201},
        {"before": "x"},
        {"before": "0" * 26},
    ],
)
def test_a_malformed_query_is_refused(api: Api, query: dict[str, Any]) -> None:
    document = problem(
        api.http.get("/api/jobs", params=query, headers=api.auth(api.user())), 400, "bad-request"
    )
    assert document["errors"][0]["pointer"].startswith(f"#/query/{next(iter(query))}")


def test_a_deeply_nested_payload_comes_back_unchanged(start_api: Callable[..., Api]) -> None:
    api = start_api()
    user = api.user()
    deep: Any = 1
    for _ in range(240):
        deep = [deep]
    assert api.job(user, api.enqueue(user, deep))["request"] == deep

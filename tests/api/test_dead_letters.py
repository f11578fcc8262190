"""`POST /api/admin/dead-letters/retry`: many dead letters at once, in the order of their lanes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from laneway.lanes.commands import Enqueue
from laneway.lanes.model import JobState
from laneway.storage.failure import UNSORTED
from tests.api.running import Api, problem
from tests.lanes.driver import new_job


@pytest.fixture
def api(start_api: Callable[..., Api]) -> Api:
    """With dead letters of its own: a retry for all users takes everybody's."""
    return start_api()


def fail(api: Api, user: str, number: int, type_: str = "echo") -> str:
    """A job that has failed; its payload is a number. Returns its id."""
    job = new_job(b"%d" % number, type_=type_)
    api.lanes.run(Enqueue(user, [job]))
    (lease,) = api.start(user)
    api.lanes.finish(lease, state=JobState.FAILED, body=b'{"type":"E"}')
    return lease.job_id


def retry(api: Api, headers: dict[str, str] | None = None, **body: Any) -> dict[str, Any]:
    reply = api.http.post("/api/admin/dead-letters/retry", json=body, headers=headers or api.admin())
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def queued(api: Api, user: str) -> list[int]:
    """The payloads that wait, in the order in which they will start."""
    page = api.http.get(
        "/api/jobs", params={"state": "queued", "order": "oldest", "limit": 100}, headers=api.auth(user)
    )
    return [job["request"] for job in page.json()["jobs"]]


def letters(api: Api) -> int:
    return int(api.mongo()["dead_letters"].count_documents({}))


def test_all_are_retried_in_the_order_of_their_lanes(api: Api) -> None:
    users = sorted(api.user() for _ in range(3))
    for number in range(7):
        for user in users:
            fail(api, user, number)
    api.archive()
    assert retry(api, dry_run=True) == {"dry_run": True, "count": 21, "refused": [], "next": None}
    assert letters(api) == 21
    counts, after = [], ""
    while True:
        done = retry(api, limit=5, after=after)
        counts.append(done["count"])
        if done["next"] is None:
            break
        after = done["next"]
    assert counts == [5, 5, 5, 5, 1]
    assert [queued(api, user) for user in users] == [list(range(7))] * 3
    assert letters(api) == 0
    entries = api.http.get("/api/admin/audit", headers=api.admin()).json()["entries"]
    assert [entry["details"]["count"] for entry in entries] == counts[::-1]


def test_two_administrators_at_once_retry_each_once_and_in_order(api: Api) -> None:
    user = api.user()
    for number in range(20):
        fail(api, user, number)
    api.archive()
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(retry, api, limit=1000) for _ in range(2)]:
            done.result()
    assert queued(api, user) == list(range(20))
    assert letters(api) == 0


def test_only_those_of_a_user_and_a_type(api: Api) -> None:
    user, other = api.user(), api.user()
    fail(api, user, 1)
    fail(api, user, 2, "sleep")
    fail(api, other, 3)
    api.archive()
    listed = api.http.get(
        "/api/admin/dead-letters", params={"user": user, "type": "sleep"}, headers=api.admin()
    )
    assert [job["request"] for job in listed.json()["jobs"]] == [2]
    assert retry(api, user=user, type="echo", dry_run=True)["count"] == 1
    assert retry(api, user=user.upper(), type="echo")["count"] == 1
    assert (queued(api, user), queued(api, other)) == ([1], [])
    assert letters(api) == 2


def test_a_full_lane_ends_the_call_and_the_next_one_goes_on(start_api: Callable[..., Api]) -> None:
    api = start_api(lane_length=2)
    user = api.user()
    for number in range(4):
        fail(api, user, number)
    api.archive()
    first = retry(api)
    assert (first["count"], queued(api, user)) == (2, [0, 1])
    assert first["next"]
    reply = api.http.post("/api/admin/dead-letters/retry", json={"after": first["next"]}, headers=api.admin())
    problem(reply, 429, "lane-full")
    api.lanes.finish(*api.start(user))
    assert (retry(api, after=first["next"])["count"], queued(api, user)) == (2, [2, 3])


def test_what_fails_again_meanwhile_is_not_retried_without_end(api: Api) -> None:
    user = api.user()
    fail(api, user, 1)
    fail(api, user, 2)
    api.archive()
    first = retry(api, limit=1)
    (lease,) = api.start(user)
    api.lanes.finish(lease, state=JobState.FAILED, body=b'{"type":"E"}')
    api.archive()
    second = retry(api, limit=1, after=first["next"])
    assert (first["count"], second["count"], queued(api, user)) == (1, 1, [2])
    assert retry(api, limit=1, after=second["next"])["next"] is None
    assert letters(api) == 1


@pytest.mark.parametrize("after", ["ann/0", "@1", "ann/0@x", "ann/0@-1", "ann/0@" + "9" * 19])
def test_a_cursor_that_is_none_is_refused(api: Api, after: str) -> None:
    reply = api.http.post("/api/admin/dead-letters/retry", json={"after": after}, headers=api.admin())
    problem(reply, 400, "bad-request")


def test_what_no_handler_takes_stays_a_dead_letter(api: Api) -> None:
    user = api.user()
    gone = fail(api, user, 1, "gone")
    fail(api, user, 2)
    api.archive()
    done = retry(api)
    assert (done["count"], done["next"]) == (1, None)
    assert [(one["user"], one["job_id"]) for one in done["refused"]] == [(user, gone)]
    assert queued(api, user) == [2]
    assert letters(api) == 1


def test_a_purge_beside_a_retry_loses_nothing(api: Api) -> None:
    """Each request ends as a dead letter, queued, or cancelled by the purge: once."""
    user = api.user()
    for number in range(30):
        fail(api, user, number)
    api.archive()
    headers = api.admin()
    with ThreadPoolExecutor(2) as pool:
        retrying = pool.submit(retry, api, headers, limit=1000)
        while not retrying.done():
            api.http.post(f"/api/admin/lanes/{user}/purge", headers=headers)
        assert retrying.result()["count"] == 30
    page = api.http.get("/api/jobs", params={"limit": 100, "order": "oldest"}, headers=api.auth(user)).json()
    again = [(job["request"], job["state"]) for job in page["jobs"] if job["state"] != "failed"]
    assert [number for number, _ in again] == list(range(30))
    assert {state for _, state in again} <= {"queued", "cancelled"}


def test_a_group_of_failures_is_retried_and_another_dropped(api: Api) -> None:
    user = api.user()
    for number, type_ in enumerate(["echo", "echo", "sleep", "echo"]):
        fail(api, user, number, type_)
    api.archive()

    def groups() -> list[tuple[str, str, int]]:
        found = api.http.get("/api/admin/failures", headers=api.admin()).json()
        assert not found["truncated"]
        return [(group["type"], group["failure"], group["count"]) for group in found["groups"]]

    def drop(**body: Any) -> dict[str, Any]:
        reply = api.http.post("/api/admin/dead-letters/drop", json=body, headers=api.admin())
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    assert groups() == [("echo", "E", 3), ("sleep", "E", 1)]
    listed = api.http.get("/api/admin/dead-letters?type=echo&failure=E", headers=api.admin()).json()
    assert len(listed["jobs"]) == 3
    assert drop(type="sleep", failure="other")["count"] == 0
    assert drop(type="sleep", failure="E", dry_run=True) == {"dry_run": True, "count": 1, "more": False}
    assert drop(type="sleep", failure="E") == {"dry_run": False, "count": 1, "more": False}
    assert retry(api, type="echo", failure="E")["count"] == 3
    assert groups() == []
    assert queued(api, user) == [0, 1, 3]
    (dropped,) = [
        entry
        for entry in api.http.get("/api/admin/audit", headers=api.admin()).json()["entries"]
        if entry["action"] == "dead_letters_dropped" and entry["details"]["count"]
    ]
    assert dropped["details"] == {"type": "sleep", "failure": "E", "count": 1}


def test_dead_letters_without_a_kind_of_failure_are_a_group_of_their_own(api: Api) -> None:
    user = api.user()
    for number in range(3):
        fail(api, user, number)
    api.archive()
    old = api.mongo().dead_letters
    old.update_many({"user": user, "request": {"$ne": b"0"}}, {"$unset": {"failure": 1}})

    def groups() -> list[tuple[str, int]]:
        found = api.http.get(f"/api/admin/failures?user={user}", headers=api.admin()).json()
        return [(group["failure"], group["count"]) for group in found["groups"]]

    assert groups() == [(UNSORTED, 2), ("E", 1)]
    body = {"user": user, "failure": UNSORTED}
    reply = api.http.post("/api/admin/dead-letters/drop", json=body, headers=api.admin())
    assert reply.json()["count"] == 2
    assert groups() == [("E", 1)]

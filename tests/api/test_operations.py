"""Operations: one action on all jobs that match, which go on whatever process dies."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from laneway.api.operations import runner
from laneway.delivery_lanes import DELIVERY, DeliveryLane
from laneway.lanes.commands import Cancel, Enqueue
from laneway.lanes.model import JobState
from laneway.storage.failure import UNSORTED
from laneway.storage.mongo import now
from tests.api.running import Api, Process, problem, process, settings_of, wait_for
from tests.lanes.driver import new_job

OWN, ALL = "/api/operations", "/api/admin/operations"


@pytest.fixture
def api(start_api: Callable[..., Api]) -> Api:
    """With jobs of its own: an operation on all users takes everybody's."""
    return start_api()


def fail(api: Api, user: str, number: int, type_: str = "echo") -> str:
    """A job that has failed; its payload is a number. Returns its id."""
    job = new_job(b"%d" % number, type_=type_)
    api.lanes.run(Enqueue(user, [job]))
    (lease,) = api.start(user)
    api.lanes.finish(lease, state=JobState.FAILED, body=b'{"type":"E"}')
    return lease.job_id


def start(api: Api, path: str, headers: dict[str, str], action: str, **body: Any) -> dict[str, Any]:
    reply = api.http.post(path, json={"action": action, **body}, headers=headers)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def look(api: Api, path: str, headers: dict[str, str], operation_id: str) -> dict[str, Any]:
    reply = api.http.get(f"{path}/{operation_id}", headers=headers)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def end(api: Api, path: str, headers: dict[str, str], operation_id: str) -> dict[str, Any]:
    """Return the operation once it has ended."""

    def ended() -> dict[str, Any] | None:
        found = look(api, path, headers, operation_id)
        return None if found["state"] == "running" else found

    return wait_for(ended, 40) or {}


def do(api: Api, path: str, headers: dict[str, str], action: str, **body: Any) -> dict[str, Any]:
    """Carry an operation out, and return it."""
    started = start(api, path, headers, action, **body)
    return end(api, path, headers, started["operation"]["operation_id"])


def jobs(api: Api, user: str, **params: Any) -> list[dict[str, Any]]:
    """All jobs of the user, oldest first."""
    found: list[dict[str, Any]] = []
    after = ""
    while True:
        query = {"order": "oldest", "limit": 100, "after": after, **params}
        reply = api.http.get("/api/jobs", params=query, headers=api.auth(user))
        if reply.status_code == 503:  # the embedded server builds the index on the first listing
            continue
        page = reply.json()
        found += page["jobs"]
        if not (after := page["next"]):
            return found


def queued(api: Api, user: str) -> list[Any]:
    """The payloads that wait, in the order in which they will start."""
    return [job["request"] for job in jobs(api, user, state="queued")]


def letters(api: Api) -> int:
    return int(api.mongo()["dead_letters"].count_documents({}))


def audited(api: Api, action: str) -> list[dict[str, Any]]:
    entries = api.http.get("/api/admin/audit", headers=api.admin()).json()["entries"]
    return [entry for entry in entries if entry["action"] == action]


# -- cancel ------------------------------------------------------------------------------------------------------------


def test_a_user_cancels_what_matches_and_nothing_else(api: Api) -> None:
    user, other = api.user(), api.user()
    headers = api.auth(user)
    many = [new_job(b"%d" % number, type_="echo" if number % 3 else "sleep") for number in range(450)]
    api.lanes.run(Enqueue(user, many))  # more than one piece
    delayed = api.enqueue(user, "later", delay=500)
    kept = api.enqueue(user, "later", type="sleep", delay=500)
    api.enqueue(other, "other's")
    dry = start(api, OWN, headers, "cancel", type="echo", dry_run=True)
    assert (dry["count"], dry["at_least"], dry["operation"]) == (301, False, None)
    assert len(queued(api, user)) == 452
    done = do(api, OWN, headers, "cancel", type="echo", as_of=dry["as_of"])
    assert (done["state"], done["total"], done["done"], done["not_done"]) == ("finished", 301, 301, 0)
    assert done["finished_at"]
    assert queued(api, user) == [*range(0, 450, 3), "later"]
    assert api.job(user, delayed)["state"] == "cancelled"
    assert done["operation_id"] in api.job(user, delayed)["reason"]
    assert api.job(user, kept)["state"] == "queued"
    assert queued(api, other) == ["other's"]
    assert audited(api, "operation_started") == []


def test_running_jobs_are_asked_to_stop_only_if_they_match(api: Api) -> None:
    user = api.user()
    headers = api.auth(user)
    for number in range(8):
        api.enqueue(user, number)
    running = api.start(user)
    assert len(running) == 5
    assert do(api, OWN, headers, "cancel", state=["queued"])["done"] == 3
    assert api.lanes.cancels() == set()
    assert do(api, OWN, headers, "cancel", state=["retrying"])["done"] == 0
    assert do(api, OWN, headers, "cancel")["done"] == 5
    assert {entry.partition(":")[0] for entry in api.lanes.cancels()} == {lease.job_id for lease in running}


def test_a_job_that_starts_meanwhile_is_left_alone(api: Api) -> None:
    """The operation is about queued jobs: one that has started since it was found is none."""
    user = api.user()
    job_id = api.enqueue(user)
    api.start(user)
    operation = _pending(api, user, [f"{user}/{job_id}"], action="cancel", states=["queued"])
    done = end(api, OWN, api.auth(user), operation)
    assert (done["done"], done["not_done"]) == (0, 1)
    assert done["reasons"] == [{"reason": "it had started", "count": 1}]
    assert done["examples"] == [{"user": user, "job_id": job_id, "reason": "it had started"}]
    assert api.lanes.cancels() == set()


def test_what_is_accepted_after_the_dry_run_stays(api: Api) -> None:
    user = api.user()
    api.enqueue(user, 1)
    dry = start(api, OWN, api.auth(user), "cancel", dry_run=True)
    api.enqueue(user, 2)
    api.enqueue(user, 3, delay=100)
    assert do(api, OWN, api.auth(user), "cancel", as_of=dry["as_of"])["done"] == 1
    assert queued(api, user) == [2, 3]


def test_times_of_acceptance_limit_it(api: Api) -> None:
    user = api.user()
    ids = [api.enqueue(user, number) for number in range(3)]
    middle = api.job(user, ids[1])["enqueued_at"]
    count = start(api, OWN, api.auth(user), "cancel", since=middle, dry_run=True)["count"]
    assert (count, do(api, OWN, api.auth(user), "cancel", until=middle)["done"]) == (2, 1)
    assert queued(api, user) == [1, 2]


def test_an_administrator_cancels_jobs_of_all_users(api: Api) -> None:
    users = [api.user() for _ in range(60)]  # more lanes than are looked at together
    for user in users:
        api.enqueue(user, 1)
        api.enqueue(user, 2, type="sleep")
    api.enqueue(users[0], 3, delay=500)
    api.lanes.run(Enqueue(users[30], [new_job(b"4") for _ in range(250)]))  # more than one piece of a lane
    headers = api.admin()
    done = do(api, ALL, headers, "cancel", type="echo")
    assert (done["total"], done["done"], done["user"]) == (311, 311, None)
    assert [queued(api, user) for user in users] == [[2]] * 60
    (entry,) = audited(api, "operation_started")
    assert entry["details"] == {
        "operation": done["operation_id"],
        "count": 311,
        "kind": "cancel",
        "type": "echo",
    }
    assert do(api, ALL, headers, "cancel", user=users[5].upper())["done"] == 1
    assert [queued(api, user) for user in users[5:7]] == [[], [2]]


def test_deliveries_of_webhooks_are_no_jobs_of_all_users(api: Api) -> None:
    user = api.user()
    lanes = [DeliveryLane(user, "0a", is_test).name for is_test in (False, True)]
    for lane in lanes:
        api.lanes.run(Enqueue(lane, [new_job(type_=DELIVERY)]))
    api.enqueue(user)
    done = do(api, ALL, api.admin(), "cancel")
    assert (done["total"], done["done"], done["not_done"]) == (1, 1, 0)
    assert [lease.user for lease in api.lanes.claim()] == lanes
    assert do(api, ALL, api.admin(), "cancel", user=lanes[0])["done"] == 1, "unless their lane is named"


# -- dead letters ------------------------------------------------------------------------------------------------------


def test_all_are_retried_in_the_order_of_their_lanes(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("laneway.api.operations.selection.PIECE", 5)
    users = sorted(api.user() for _ in range(3))
    for number in range(7):
        for user in users:
            fail(api, user, number)
    api.archive()
    headers = api.admin()
    assert start(api, ALL, headers, "retry", dry_run=True)["count"] == 21
    assert letters(api) == 21
    done = do(api, ALL, headers, "retry")
    assert (done["state"], done["total"], done["done"]) == ("finished", 21, 21)
    assert [queued(api, user) for user in users] == [list(range(7))] * 3
    assert letters(api) == 0


def test_a_user_retries_and_drops_own_dead_letters(api: Api) -> None:
    user, other = api.user(), api.user()
    for number in range(3):
        fail(api, user, number, "sleep" if number == 2 else "echo")
    fail(api, other, 1)
    api.archive()
    assert do(api, OWN, api.auth(user), "retry", type="echo", failure="E")["done"] == 2
    assert do(api, OWN, api.auth(user), "drop", failure="other")["done"] == 0
    assert do(api, OWN, api.auth(user), "drop")["done"] == 1
    assert (queued(api, user), queued(api, other), letters(api)) == ([0, 1], [], 1)


def test_operations_at_once_retry_each_once_and_in_order(api: Api) -> None:
    user = api.user()
    for number in range(20):
        fail(api, user, number)
    api.archive()
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(do, api, ALL, api.admin(), "retry") for _ in range(2)]
        assert sum(one.result()["done"] for one in both) == 20
    assert queued(api, user) == list(range(20))
    assert letters(api) == 0


def test_a_full_lane_is_waited_for_and_other_operations_go_on(start_api: Callable[..., Api]) -> None:
    api = start_api(lane_length=2)
    user, other = api.user(), api.user()
    for number in range(4):
        fail(api, user, number)
    api.archive()
    headers = api.auth(user)
    id_ = start(api, OWN, headers, "retry")["operation"]["operation_id"]
    waiting = wait_for(lambda: (found := look(api, OWN, headers, id_))["waits_for"] and found)
    assert (waiting["done"], queued(api, user)) == (2, [0, 1])
    assert "the lane is full" in waiting["waits_for"]
    api.enqueue(other, 1)
    assert do(api, OWN, api.auth(other), "cancel")["done"] == 1
    api.lanes.finish(*api.start(user))
    done = end(api, OWN, headers, id_)
    assert (done["done"], done["waits_for"], queued(api, user)) == (4, None, [2, 3])


def test_a_lane_that_stays_full_does_not_hold_up_the_others(
    start_api: Callable[..., Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "PATIENCE_SECONDS", 0.7)
    monkeypatch.setattr("laneway.api.operations.selection.PIECE", 3)
    api = start_api(lane_length=2)
    first, second = sorted(api.user() for _ in range(2))
    for number in range(7):
        fail(api, first, number)
    fail(api, second, 9)
    api.archive()
    done = do(api, ALL, api.admin(), "retry")
    assert (done["state"], done["done"], done["not_done"]) == ("finished", 3, 5)
    assert [reason["count"] for reason in done["reasons"]] == [5]
    assert "the lane is full" in done["reasons"][0]["reason"]
    assert (queued(api, first), queued(api, second), letters(api)) == ([0, 1], [9], 5)


def test_what_fails_again_meanwhile_is_not_retried_without_end(api: Api) -> None:
    user = api.user()
    fail(api, user, 1)
    api.archive()
    before = start(api, ALL, api.admin(), "retry", dry_run=True)["as_of"]
    fail(api, user, 2)
    api.archive()
    assert do(api, ALL, api.admin(), "retry", as_of=before)["done"] == 1
    assert (queued(api, user), letters(api)) == ([1], 1)


def test_what_no_handler_takes_stays_a_dead_letter_with_its_reason(api: Api) -> None:
    user = api.user()
    gone = fail(api, user, 1, "gone")
    fail(api, user, 2)
    api.archive()
    done = do(api, ALL, api.admin(), "retry")
    assert (done["done"], done["not_done"]) == (1, 1)
    (example,) = done["examples"]
    assert (example["user"], example["job_id"]) == (user, gone)
    assert "known types" in example["reason"]
    assert (queued(api, user), letters(api)) == ([2], 1)


def test_a_purge_beside_a_retry_loses_nothing_and_keeps_the_order(api: Api) -> None:
    """Each request ends as queued, or cancelled by the purge: once, and in the order of acceptance."""
    user = api.user()
    for number in range(150):
        fail(api, user, number)
    api.archive()
    headers = api.admin()
    with ThreadPoolExecutor(2) as pool:
        retrying = pool.submit(do, api, ALL, headers, "retry", user=user)
        while not retrying.done():
            api.http.post(f"/api/admin/lanes/{user}/purge", headers=headers)
        assert retrying.result()["done"] == 150
    again = [(job["request"], job["state"]) for job in jobs(api, user) if job["state"] != "failed"]
    assert [number for number, _ in again] == list(range(150))
    assert {state for _, state in again} <= {"queued", "cancelled"}
    assert letters(api) == 0


def test_dead_letters_without_a_kind_of_failure_are_dropped_as_a_group(api: Api) -> None:
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
    assert do(api, ALL, api.admin(), "drop", user=user, failure=UNSORTED)["done"] == 2
    assert groups() == [("E", 1)]


# -- what holds for all of them ----------------------------------------------------------------------------------------


def _pending(api: Api, user: str, keys: list[str], *, settled: bool = True, **changes: Any) -> str:
    """An operation as a process leaves it that dies with these jobs pending. Returns its id."""
    target = {
        "user": user,
        "type": "",
        "failure": "",
        "states": changes.pop("states", ["queued", "running", "retrying"]),
        "since_us": 0,
        "until_us": 2**51 - 1,
    }
    id_ = f"{api.lanes.now_us():013x}00000000"
    document = {
        "_id": id_,
        "by": user,
        "is_admins": False,
        "target": target,
        "begun_us": api.lanes.now_us(),
        "total": len(keys),
        "is_total_low": False,
        "created_at": now(),
        "state": "running",
        "finished_at": None,
        "done": 0,
        "not_done": 0,
        "reasons": [],
        "examples": [],
        "waits_for": None,
        "waits_since_us": 0,
        "cursor": "",
        "is_selected": True,
        "pending": keys,
        "is_settled": settled,
        "holder": "a process that died",
        "held_until_us": 0,
    }
    api.mongo()["operations"].insert_one(document | changes)
    return id_


@pytest.mark.parametrize("action", ["retry", "drop"])
def test_dead_letters_that_a_dead_process_dealt_with_are_counted_once(api: Api, action: str) -> None:
    """It died after the step and before it was saved."""
    user = api.user()
    keys = [f"{user}/{fail(api, user, number)}" for number in range(3)]
    api.archive()
    api.mongo()["dead_letters"].delete_one({"_id": keys[0]})
    operation = _pending(api, user, keys, settled=False, action=action)
    done = end(api, OWN, api.auth(user), operation)
    assert (done["done"], done["not_done"], letters(api)) == (3, 0, 0)
    operation = _pending(api, user, keys[:1], settled=True, action=action)
    done = end(api, OWN, api.auth(user), operation)
    assert done["reasons"] == [{"reason": "somebody else had retried or dropped it", "count": 1}]


def test_a_letter_that_was_enqueued_by_a_dead_process_is_not_enqueued_again(api: Api) -> None:
    user = api.user()
    job_id = fail(api, user, 7)
    api.archive()
    api.http.post(f"/api/admin/dead-letters/{user}/{job_id}/retry", headers=api.admin())
    letter = api.mongo()["history"].find_one({"_id": f"{user}/{job_id}"})
    api.mongo()["dead_letters"].insert_one(letter | {"failure": "E"})
    operation = _pending(api, user, [f"{user}/{job_id}"], settled=False, action="retry")
    assert end(api, OWN, api.auth(user), operation)["done"] == 1
    assert (queued(api, user), letters(api)) == ([7], 0)


def test_jobs_that_a_dead_process_cancelled_are_counted_once(api: Api) -> None:
    user = api.user()
    ids = [api.enqueue(user, number) for number in range(3)]
    keys = [f"{user}/{job_id}" for job_id in ids]
    operation = _pending(api, user, keys, settled=False, action="cancel", held_until_us=2**51)
    api.lanes.run(Cancel(user, ids[0], f"cancelled by the user (operation {operation})"))
    api.lanes.run(Cancel(user, ids[1], "by hand"))
    api.mongo()["operations"].update_one({"_id": operation}, {"$set": {"held_until_us": 0}})
    done = end(api, OWN, api.auth(user), operation)
    assert (done["done"], done["reasons"]) == (2, [{"reason": "it had ended", "count": 1}])


@pytest.mark.thorough  # tests of what a dead process left show each step
@pytest.mark.parametrize("kills", [1, 3])
def test_an_operation_outlives_the_process_that_runs_it(
    redis_url: str, mongo_url: str, prefix: str, mongo_database: str, tmp_path: Path, kills: int
) -> None:
    """A process of production that works on it is killed, and so are its successors. Everything is done, in order, counted once."""
    settings = settings_of(redis_url, mongo_url, prefix, mongo_database)
    with ExitStack() as stack:
        api = stack.enter_context(process(settings, tmp_path / "0.log")).api
        user = api.user()
        headers = api.auth(user)
        numbers = range(700)
        for first in range(0, 700, 100):
            batch = [new_job(b"%d" % number) for number in numbers[first : first + 100]]
            api.lanes.run(Enqueue(user, batch))
        for _ in range(140):
            api.lanes.finish(*api.start(user), state=JobState.FAILED, body=b'{"type":"E"}')
        api.archive()
        assert letters(api) == 700
        id_ = start(api, OWN, headers, "retry")["operation"]["operation_id"]
    for killed in range(1, kills + 1):
        with process(settings, tmp_path / f"{killed}.log") as running:
            running.api.mongo()["operations"].update_one({"_id": id_}, {"$set": {"held_until_us": 0}})
            wait_for(_goes_on(running, id_))
            running.kill()
    with process(settings, tmp_path / "last.log") as running:
        running.api.mongo()["operations"].update_one({"_id": id_}, {"$set": {"held_until_us": 0}})
        done = end(running.api, OWN, headers, id_)
        assert (done["state"], done["done"], done["not_done"]) == ("finished", 700, 0)
        assert queued(running.api, user) == list(numbers)
        assert letters(running.api) == 0


def _document(running: Process, id_: str) -> dict[str, Any]:
    return dict(running.api.mongo()["operations"].find_one({"_id": id_}))


def _goes_on(running: Process, id_: str) -> Callable[[], bool]:
    before = _document(running, id_)["done"]

    def goes_on() -> bool:
        now_ = _document(running, id_)
        return bool(now_["done"] > before or now_["state"] != "running")

    return goes_on


def test_it_can_be_cancelled(start_api: Callable[..., Api]) -> None:
    api = start_api(lane_length=1)
    user = api.user()
    for number in range(3):
        fail(api, user, number)
    api.archive()
    headers = api.auth(user)
    id_ = start(api, OWN, headers, "retry")["operation"]["operation_id"]
    wait_for(lambda: look(api, OWN, headers, id_)["waits_for"])
    reply = api.http.post(f"{OWN}/{id_}/cancel", headers=headers)
    assert (reply.status_code, reply.json()["state"], reply.json()["done"]) == (200, "cancelled", 1)
    problem(api.http.post(f"{OWN}/{id_}/cancel", headers=headers), 409, "operation-ended")
    api.lanes.finish(*api.start(user))
    done = do(api, OWN, headers, "drop")  # a runner has looked for work since
    assert (done["done"], queued(api, user)) == (2, [])
    assert look(api, OWN, headers, id_)["state"] == "cancelled"


def test_others_do_not_see_it_and_administrators_do(api: Api) -> None:
    user, other, admin = api.user(), api.user(), api.admin()
    done = do(api, OWN, api.auth(user), "cancel")
    path = f"/{done['operation_id']}"
    problem(api.http.get(OWN + path, headers=api.auth(other)), 404, "unknown-operation")
    problem(api.http.post(f"{OWN}{path}/cancel", headers=api.auth(other)), 404, "unknown-operation")
    assert api.http.get(OWN, headers=api.auth(other)).json() == {"operations": [], "next": None}
    assert look(api, ALL, admin, done["operation_id"]) == done
    second = do(api, OWN, api.auth(user), "cancel")
    first_page = api.http.get(ALL, params={"limit": 1}, headers=admin).json()
    assert [one["operation_id"] for one in first_page["operations"]] == [second["operation_id"]]
    rest = api.http.get(ALL, params={"before": first_page["next"]}, headers=admin).json()
    assert rest["operations"] == [done]
    problem(api.http.post(f"{ALL}{path}/cancel", headers=admin), 409, "operation-ended")


def test_an_administrator_ends_the_operation_of_a_user(start_api: Callable[..., Api]) -> None:
    api = start_api(lane_length=1)
    user = api.user()
    for number in range(2):
        fail(api, user, number)
    api.archive()
    id_ = start(api, OWN, api.auth(user), "retry")["operation"]["operation_id"]
    reply = api.http.post(f"{ALL}/{id_}/cancel", headers=api.admin())
    assert reply.json()["state"] == "cancelled"
    (entry,) = audited(api, "operation_cancelled")
    assert (entry["user"], entry["details"]) == (user, {"operation": id_})


def test_a_user_has_no_more_than_a_few_at_once(start_api: Callable[..., Api]) -> None:
    api = start_api(lane_length=1)
    user = api.user()
    for number in range(2):
        fail(api, user, number)
    api.archive()
    for _ in range(10):
        start(api, OWN, api.auth(user), "retry")
    reply = api.http.post(OWN, json={"action": "retry"}, headers=api.auth(user))
    problem(reply, 409, "too-many-operations")
    assert len(api.http.get(OWN, headers=api.auth(user)).json()["operations"]) == 10


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"action": "purge"},
        {"action": "cancel", "failure": "E"},
        {"action": "retry", "state": ["queued"]},
        {"action": "drop", "since": "2026-01-01T00:00:00Z"},
        {"action": "cancel", "state": ["succeeded"]},
        {"action": "cancel", "state": []},
        {"action": "cancel", "since": "2026-01-01T00:00:00"},
        {"action": "cancel", "since": "1700000000"},
        {"action": "cancel", "since": 1700000000},
        {"action": "cancel", "until": True},
        {"action": "cancel", "user": "ann"},
    ],
)
def test_a_malformed_operation_is_refused(api: Api, body: dict[str, Any]) -> None:
    problem(api.http.post(OWN, json=body, headers=api.auth(api.user())), 400, "bad-request")


def test_operations_are_kept_for_a_month_and_go_with_their_user(api: Api) -> None:
    user = api.user()
    done = do(api, OWN, api.auth(user), "cancel")
    collection = api.mongo()["operations"]
    document = collection.find_one({"_id": done["operation_id"]})
    assert document["expires_at"] - document["finished_at"] == timedelta(days=30)
    assert collection.index_information()["expires_at_1"]["expireAfterSeconds"] == 0

"""`unique_key`: no second job of the caller while one with the same key has not ended."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from laneway.lanes.model import JobState
from tests.api.running import Api, problem, wait_for
from tests.api.test_health import series

FAILED = b'{"type":"E"}'


def send(api: Api, user: str, key: str = "k", **fields: Any) -> dict[str, Any]:
    body = {"request": 1, "unique_key": key, **fields}
    reply = api.http.post("/api/enqueue", json=body, headers=api.auth(user))
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def fail(api: Api, user: str, key: str = "k") -> str:
    """A job with the key that has failed and is a dead letter. Returns its id."""
    job_id = send(api, user, key)["job_id"]
    api.lanes.finish(*api.start(user), state=JobState.FAILED, body=FAILED)
    api.archive()
    return str(job_id)


def test_a_duplicate_is_answered_with_the_first_job_until_that_has_ended(api: Api) -> None:
    user, other = api.user(), api.user()
    first = send(api, user)
    assert (first["message"], first["position"], first["duplicate"]) == ("accepted", 1, False)
    again = send(api, user, request=2, type="wordcount")
    assert again == first | {"message": "duplicate", "duplicate": True}
    assert send(api, other)["duplicate"] is False
    (lease,) = api.start(user)
    assert send(api, user) == again | {"position": 0}
    api.lanes.finish(lease)
    second = send(api, user)
    assert (second["duplicate"], second["job_id"] != first["job_id"]) == (False, True)
    job = api.job(user, second["job_id"])
    assert (job["unique_key"], job["request"], job["type"]) == ("k", 1, "echo")


def test_the_history_knows_the_key(api: Api) -> None:
    user = api.user()
    job_id = send(api, user)["job_id"]
    api.lanes.finish(*api.start(user))
    api.archive()
    assert api.job(user, job_id)["unique_key"] == "k"
    assert api.job(user, api.enqueue(user))["unique_key"] is None


def test_a_batch_says_which_are_duplicates(api: Api) -> None:
    user = api.user()
    held = send(api, user)["job_id"]
    requests = [
        {"request": 0, "unique_key": "k"},
        {"request": 1, "unique_key": "l"},
        {"request": 2},
        {"request": 3, "unique_key": "l"},
    ]
    reply = api.http.post("/api/enqueue/batch", json={"requests": requests}, headers=api.auth(user)).json()
    ids = reply["job_ids"]
    assert (reply["duplicates"], reply["position"]) == ([0, 3], 1)
    assert (ids[0], ids[3]) == (held, ids[1])
    listed = api.http.get("/api/jobs?order=oldest", headers=api.auth(user)).json()["jobs"]
    assert [job["job_id"] for job in listed] == [held, ids[1], ids[2]]


@pytest.mark.parametrize("key", ["", "k" * 129, "a b", "a\tb", "a\nb", "é", 1, None, True, ["k"]])
def test_a_malformed_key_is_pointed_at_and_enqueues_nothing(api: Api, key: object) -> None:
    user = api.user()
    one = {"request": 1, "unique_key": key}
    for path, body, start in (
        ("/api/enqueue", one, "#/body"),
        ("/api/enqueue/batch", {"requests": [{"request": 1}, one]}, "#/body/requests/1"),
    ):
        answer = problem(api.http.post(path, json=body, headers=api.auth(user)), 400, "bad-request")
        assert answer["errors"][0]["pointer"] == f"{start}/unique_key"
        assert "1 to 128 visible ASCII characters" in answer["detail"]
    assert api.http.get("/api/queue", headers=api.auth(user)).json()["queued"] == 0


def test_the_longest_key_is_accepted(api: Api) -> None:
    user = api.user()
    key = "".join(map(chr, range(0x21, 0x7F)))[:94] + "k" * 34
    assert api.job(user, send(api, user, key)["job_id"])["unique_key"] == key


def test_an_idempotency_key_covers_the_unique_key(api: Api) -> None:
    user = api.user()

    def enqueue(**fields: Any) -> Any:
        headers = api.auth(user) | {"idempotency-key": "i"}
        return api.http.post("/api/enqueue", json={"request": 1, **fields}, headers=headers)

    first = enqueue(unique_key="k").json()
    assert enqueue(unique_key="k").json() == first
    problem(enqueue(unique_key="l"), 400, "idempotency-mismatch")
    problem(enqueue(), 400, "idempotency-mismatch")


def test_a_duplicate_is_not_counted_as_accepted(start_api: Callable[..., Api]) -> None:
    def accepted(api: Api) -> float:
        return series(api.metrics(), "laneway_jobs_total").get('{state="queued"}', 0)

    api = start_api()
    user, before = api.user(), accepted(api)
    send(api, user)
    send(api, user)
    assert accepted(start_api()) == before + 1, "read from another: a page is kept for a moment"


def test_many_clients_at_once_make_one_job(api: Api) -> None:
    user = api.user()
    api.auth(user)
    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(lambda _: send(api, user), range(64)))
    assert [reply["duplicate"] for reply in replies].count(False) == 1
    assert len({reply["job_id"] for reply in replies}) == 1
    assert api.http.get("/api/queue", headers=api.auth(user)).json()["queued"] == 1


def test_an_ended_job_does_not_run_again_while_another_has_its_key(api: Api) -> None:
    user = api.user()
    failed = fail(api, user)
    send(api, user)
    path, headers = f"/api/jobs/{failed}/again", api.auth(user) | {"idempotency-key": "again"}
    problem(api.http.post(path, headers=headers), 409, "unique-key-taken")
    assert api.mongo()["dead_letters"].count_documents({"user": user}) == 1
    api.lanes.finish(*api.start(user))
    again = api.http.post(path, headers=headers).json()
    assert api.job(user, again["job_id"])["unique_key"] == "k"
    assert send(api, user)["job_id"] == again["job_id"]
    assert api.mongo()["dead_letters"].count_documents({"user": user}) == 0


def test_a_dead_letter_whose_key_is_taken_stays(api: Api) -> None:
    user = api.user()
    failed = fail(api, user)
    send(api, user)
    path = f"/api/admin/dead-letters/{user}/{failed}/retry"
    for _ in range(2):
        problem(api.http.post(path, headers=api.admin()), 409, "unique-key-taken")
    assert api.mongo()["dead_letters"].count_documents({"user": user}) == 1
    api.lanes.finish(*api.start(user))
    retried = api.http.post(path, headers=api.admin()).json()
    assert send(api, user) == retried | {"message": "duplicate", "duplicate": True}
    assert api.mongo()["dead_letters"].count_documents({"user": user}) == 0


def test_an_operation_leaves_the_dead_letters_whose_key_is_taken(start_api: Callable[..., Api]) -> None:
    api = start_api()
    user = api.user()
    failed = [fail(api, user, key) for key in ("a", "b", "a", "c")]
    send(api, user, "c")

    def retry() -> dict[str, Any]:
        path, headers = "/api/operations", api.auth(user)
        started = api.http.post(path, json={"action": "retry"}, headers=headers).json()["operation"]

        def ended() -> dict[str, Any]:
            operation = api.http.get(f"{path}/{started['operation_id']}", headers=headers).json()
            return dict(operation) if operation["finished_at"] else {}

        return wait_for(ended)

    done = retry()
    assert (done["done"], done["not_done"]) == (2, 2)
    assert [one["job_id"] for one in done["examples"]] == failed[2:]
    assert [reason["count"] for reason in done["reasons"]] == [2]
    assert api.mongo()["dead_letters"].count_documents({"user": user}) == 2
    api.lanes.finish(*api.start(user))
    assert retry()["done"] == 2


def put(api: Api, user: str, **fields: Any) -> Any:
    body = {"request": 7, "every_seconds": 3600, **fields}
    return api.http.put("/api/schedules/s", json=body, headers=api.auth(user))


def test_a_schedule_has_a_unique_key(api: Api) -> None:
    user = api.user()
    assert put(api, user, unique_key="k").json()["unique_key"] == "k"
    run = api.http.post("/api/schedules/s/run", headers=api.auth(user)).json()
    assert send(api, user)["job_id"] == run["job_id"]
    problem(api.http.post("/api/schedules/s/run", headers=api.auth(user)), 409, "unique-key-taken")
    assert put(api, user).json()["unique_key"] is None
    assert api.http.post("/api/schedules/s/run", headers=api.auth(user)).status_code == 200
    problem(put(api, user, unique_key="a b"), 400, "bad-request")

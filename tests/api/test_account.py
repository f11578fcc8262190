"""`/api/account`: the password, and the end of an account."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from laneway.api.revocations import Revocations
from laneway.lanes.errors import StoreUnavailable
from laneway.lanes.model import JobState
from laneway.storage.users import Role
from tests.api.running import Api, problem
from tests.api.test_keys import PASSWORD, bearer, make_key, registered

NEW = "another horse battery"


def login(api: Api, user: str, password: str = PASSWORD) -> httpx.Response:
    return api.http.post("/api/login", json={"username": user, "password": password})


def logged_in(api: Api, user: str, password: str = PASSWORD) -> dict[str, str]:
    return {"authorization": f"Bearer {login(api, user, password).json()['token']}"}


def change(api: Api, headers: dict[str, str], **body: Any) -> httpx.Response:
    return api.http.put(
        "/api/account/password", json={"password": PASSWORD, "new_password": NEW} | body, headers=headers
    )


def delete(api: Api, headers: dict[str, str], password: str = PASSWORD) -> httpx.Response:
    return api.http.post("/api/account/delete", json={"password": password}, headers=headers)


# -- the password -------------------------------------------------------------------------------------------------


def test_a_new_password_ends_other_log_ins_and_no_api_key(api: Api) -> None:
    user = registered(api)
    mine, other = logged_in(api, user), logged_in(api, user)
    key = make_key(api, mine)
    reply = change(api, mine)
    assert reply.status_code == 200, reply.text
    fresh = {"authorization": f"Bearer {reply.json()['token']}"}
    for ended in (mine, other):
        problem(api.http.get("/api/queue", headers=ended), 401, "invalid-token")
        problem(api.http.post("/api/enqueue", json={"request": 1}, headers=ended), 401, "invalid-token")
    for valid in (fresh, bearer(key), logged_in(api, user, NEW)):
        assert api.http.get("/api/queue", headers=valid).status_code == 200
        assert api.http.post("/api/enqueue", json={"request": 1}, headers=valid).status_code == 200
    problem(login(api, user), 400, "invalid-credentials")


def test_a_new_password_closes_streams(api: Api) -> None:
    user = registered(api)
    headers, opened = logged_in(api, user), threading.Event()

    def read() -> None:
        with api.http.stream("GET", "/api/events", headers=headers) as reply:
            for _ in reply.iter_lines():
                opened.set()

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        assert opened.wait(10)
        started = time.monotonic()
        assert change(api, headers).status_code == 200
        reading.result(timeout=5)
        assert time.monotonic() - started < api.settings.heartbeat_seconds / 2


def test_a_stream_whose_end_was_not_published_ends_with_the_next_heartbeat(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = registered(api)
    monkeypatch.setattr("laneway.api.live.hub.Hub.end_log_ins", lambda *_: _nothing())
    headers = logged_in(api, user)
    with api.http.stream("GET", "/api/events", headers=headers) as reply:
        lines = reply.iter_lines()
        next(lines)
        assert change(api, headers).status_code == 200
        assert len(list(lines)) < 50, "it ends"


async def _nothing() -> None:
    pass


def test_a_wrong_or_weak_password_changes_nothing(api: Api) -> None:
    user = registered(api)
    headers = logged_in(api, user)
    problem(change(api, headers, password="wrong password"), 400, "invalid-credentials")
    for weak in ("short", "password", user):
        document = problem(change(api, headers, new_password=weak), 400, "unacceptable-password")
        assert document["errors"][0]["pointer"] == "#/body/new_password"
    assert login(api, user).status_code == 200
    assert api.http.get("/api/queue", headers=headers).status_code == 200


def test_an_api_key_changes_neither_password_nor_account(api: Api) -> None:
    user = registered(api)
    headers = bearer(
        make_key(api, logged_in(api, user), scopes=["enqueue", "read", "write", "keys", "admin"])
    )
    problem(change(api, headers), 403, "log-in-needed")
    problem(delete(api, headers), 403, "log-in-needed")


# -- the end ------------------------------------------------------------------------------------------------------


def test_a_deleted_account_leaves_nothing_that_works(api: Api) -> None:
    user = registered(api)
    headers = logged_in(api, user)
    key = make_key(api, headers)
    api.end(user)
    api.end(user, JobState.FAILED, b'{"type":"E"}')
    api.archive()
    running = api.enqueue(user)
    (lease,) = api.start(user)
    waiting = [api.enqueue(user) for _ in range(3)] + [api.enqueue(user, delay=3600)]
    reply = delete(api, headers)
    assert (reply.status_code, reply.json()) == (200, {"message": f"deleted {user}"})
    for ended in (headers, bearer(key)):
        problem(api.http.get("/api/queue", headers=ended), 401, "invalid-token")
        problem(api.http.post("/api/enqueue", json={"request": 1}, headers=ended), 401, "invalid-token")
    problem(login(api, user), 400, "invalid-credentials")
    taken = {"username": user.upper(), "password": NEW}
    problem(api.http.post("/api/register", json=taken), 400, "cannot-register")
    database = api.mongo()
    for name in ("history", "dead_letters", "api_keys"):
        assert database[name].count_documents({"user": user}) == 0
    assert "password" not in database["users"].find_one({"_id": user})
    assert [job_id for _, job_id in api.lanes.lane(user)] == [running]
    assert running in api.lanes.cancels()
    api.lanes.finish(lease)
    api.archive()
    assert {found["_id"] for found in database["history"].find({"user": user})} == {
        f"{user}/{job_id}" for job_id in (running, *waiting)
    }, "only what ended with or after the account"
    users = api.http.get("/api/admin/users", params={"after": user[:-1]}, headers=api.admin()).json()["users"]
    assert user not in {found["username"] for found in users}


def test_a_wrong_password_deletes_nothing(api: Api) -> None:
    user = registered(api)
    headers = logged_in(api, user)
    problem(delete(api, headers, "wrong password"), 400, "invalid-credentials")
    assert login(api, user).status_code == 200


def test_the_last_administrator_stays(start_api: Any) -> None:
    api = start_api()
    one, other = registered(api), registered(api)
    users = api.mongo()["users"]
    users.update_many({}, {"$set": {"role": "admin"}})
    assert delete(api, logged_in(api, one)).status_code == 200
    headers = logged_in(api, other)
    problem(delete(api, headers), 409, "last-administrator")
    assert api.http.get("/api/admin/users", headers=api.auth(other, Role.ADMIN)).status_code == 200
    assert login(api, other).status_code == 200


def test_a_deletion_that_failed_is_repeated(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is deleted before what belongs to it, and a long history takes several calls."""
    user = registered(api)
    headers = logged_in(api, user)
    for _ in range(3):
        api.end(user)
    api.archive()
    monkeypatch.setattr("laneway.storage.history_reader.ERASED_TOGETHER", 2)
    monkeypatch.setattr("laneway.api.deletion.ERASE_SECONDS", 0)
    problem(delete(api, headers), 503, "history-long")
    monkeypatch.setattr("laneway.api.deletion.ERASE_SECONDS", 5)
    revoke = Revocations.revoke_log_ins

    async def away(*_: Any) -> float:
        raise StoreUnavailable("away")

    monkeypatch.setattr(Revocations, "revoke_log_ins", away)
    problem(delete(api, headers), 503, "store-unavailable")
    monkeypatch.setattr(Revocations, "revoke_log_ins", revoke)
    assert delete(api, headers).status_code == 200
    problem(login(api, user), 400, "invalid-credentials")

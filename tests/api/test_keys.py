"""`/api/keys`: making, using and revoking API keys, and what each scope allows."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import httpx
import pytest

from laneway.storage import key_format
from laneway.storage.api_keys import ApiKeys
from laneway.storage.users import Role, UsersUnavailable
from tests.api.running import Api, problem, wait_for

PASSWORD = "correct horse battery"


def registered(api: Api) -> str:
    """A user in MongoDB: a key of a user who does not exist is refused."""
    user = api.user()
    reply = api.http.post("/api/register", json={"username": user, "password": PASSWORD})
    assert reply.status_code == 201, reply.text
    return user


def make_key(api: Api, headers: dict[str, str], **options: Any) -> dict[str, Any]:
    reply = api.http.post("/api/keys", json={"name": "k", **options}, headers=headers)
    assert reply.status_code == 201, reply.text
    return dict(reply.json())


def bearer(key: dict[str, Any]) -> dict[str, str]:
    return {"authorization": f"Bearer {key['key']}"}


def enqueue(api: Api, headers: dict[str, str]) -> httpx.Response:
    return api.http.post("/api/enqueue", json={"request": 1}, headers=headers)


def queue(api: Api, headers: dict[str, str]) -> httpx.Response:
    return api.http.get("/api/queue", headers=headers)


def test_a_key_is_used_listed_and_revoked(api: Api) -> None:
    user = registered(api)
    key = make_key(api, api.auth(user), name="importer")
    assert key_format.id_of(key["key"]) == key["key_id"]
    assert key["scopes"] == ["enqueue", "read"]
    lifetime = datetime.fromisoformat(key["expires_at"]) - datetime.fromisoformat(key["created_at"])
    assert round(lifetime.total_seconds()) == 90 * 86_400
    job_id = enqueue(api, bearer(key)).json()["job_id"]
    assert api.job(user, job_id)["user"] == user
    assert api.http.get(f"/api/jobs/{job_id}", headers=bearer(key)).status_code == 200
    (listed,) = api.http.get("/api/keys", headers=api.auth(user)).json()["keys"]
    assert listed["last_used_at"] is not None
    assert "key" not in listed
    assert {name: listed[name] for name in listed if name != "last_used_at"} == {
        name: key[name] for name in key if name not in ("key", "last_used_at")
    }
    path = f"/api/keys/{key['key_id']}"
    problem(api.http.delete(path, headers=api.auth(registered(api))), 404, "unknown-key")
    assert api.http.delete(path, headers=api.auth(user)).status_code == 204
    for reply in (enqueue(api, bearer(key)), queue(api, bearer(key))):
        problem(reply, 401, "invalid-token")
    problem(api.http.delete(path, headers=api.auth(user)), 404, "unknown-key")
    assert api.http.get("/api/keys", headers=api.auth(user)).json() == {"keys": []}


def test_a_key_costs_one_query_not_one_for_each_request(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither for requests one after another nor for those that come together with a key not known yet."""
    reads: list[str] = []
    use = ApiKeys.use

    async def counted(self: ApiKeys, text: str) -> Any:
        reads.append(text)
        return await use(self, text)

    monkeypatch.setattr(ApiKeys, "use", counted)
    key = make_key(api, api.auth(registered(api)))
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: enqueue(api, bearer(key)), range(24)))
    assert [reply.status_code for reply in replies] == [200] * 24
    assert queue(api, bearer(key)).status_code == 200
    assert reads == [key["key"]]


def test_a_known_key_outlives_an_outage_of_mongodb(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read again in the background, so that nobody waits for MongoDB."""
    user = registered(api)
    known, unknown = make_key(api, api.auth(user)), make_key(api, api.auth(user))
    assert queue(api, bearer(known)).status_code == 200
    tried = threading.Event()

    async def away(_self: ApiKeys, _text: str) -> None:
        tried.set()
        raise UsersUnavailable("away")

    monkeypatch.setattr(ApiKeys, "use", away)
    monkeypatch.setattr("laneway.api.callers.FRESH_SECONDS", 0)
    assert queue(api, bearer(known)).status_code == 200
    assert tried.wait(10)
    assert enqueue(api, bearer(known)).status_code == 200
    problem(queue(api, bearer(unknown)), 503, "users-unavailable")
    monkeypatch.setattr("laneway.api.callers.USABLE_SECONDS", 0)
    problem(queue(api, bearer(known)), 503, "users-unavailable")


def test_a_revoked_key_is_refused_by_a_process_that_remembers_it(start_api: Callable[..., Api]) -> None:
    one, other = start_api(), start_api()
    user = registered(one)
    key = make_key(one, one.auth(user))
    assert enqueue(other, bearer(key)).status_code == 200
    assert one.http.delete(f"/api/keys/{key['key_id']}", headers=one.auth(user)).status_code == 204
    for reply in (enqueue(other, bearer(key)), queue(other, bearer(key))):
        document = problem(reply, 401, "invalid-token")
        assert "API key has been revoked" in document["detail"]
        assert "log in" not in document["detail"], "that would not help a program"


def test_a_stream_ends_when_its_key_is_revoked(api: Api) -> None:
    """At once, not with the next heartbeat. Streams of other keys and tokens go on."""
    user = registered(api)
    key, other = make_key(api, api.auth(user)), make_key(api, api.auth(user))

    def messages(headers: dict[str, str], opened: threading.Event) -> list[str]:
        with api.http.stream("GET", "/api/events", headers=headers) as reply:
            assert reply.status_code == 200
            seen = []
            for line in reply.iter_lines():
                seen.append(line)
                opened.set()
                if "running" in line:
                    break
            return seen

    with ThreadPoolExecutor(2) as pool:
        first, second = threading.Event(), threading.Event()
        revoked = pool.submit(messages, bearer(key), first)
        stays = pool.submit(messages, bearer(other), second)
        assert first.wait(10)
        assert second.wait(10)
        started = time.monotonic()
        assert api.http.delete(f"/api/keys/{key['key_id']}", headers=api.auth(user)).status_code == 204
        revoked.result(timeout=5)
        assert time.monotonic() - started < api.settings.heartbeat_seconds / 2
        assert not stays.done()
        api.enqueue(user)
        api.start(user)
        assert any("running" in line for line in stays.result(timeout=10))


def test_an_expired_key_is_refused(api: Api) -> None:
    key = make_key(api, api.auth(registered(api)), expires_in=1)
    wait_for(lambda: queue(api, bearer(key)).status_code == 401)
    assert "expired" in problem(queue(api, bearer(key)), 401, "invalid-token")["detail"]


@pytest.mark.parametrize("spoil", [lambda text: text[:-1], str.upper, lambda text: text + "A"])
def test_a_key_with_a_mistake_is_told_from_a_revoked_one(api: Api, spoil: Callable[[str], str]) -> None:
    key = make_key(api, api.auth(registered(api)))
    headers = {"authorization": f"Bearer {spoil(key['key'])}"}
    document = problem(enqueue(api, headers), 401, "invalid-token")
    assert "revoked" not in document["detail"]


def test_a_key_that_was_never_made_is_refused(api: Api) -> None:
    headers = {"authorization": f"Bearer {key_format.new_text()}"}
    for reply in (enqueue(api, headers), queue(api, headers)):
        problem(reply, 401, "invalid-token")


# -- scopes -------------------------------------------------------------------------------------------------------

CALLS: dict[str, list[tuple[str, str, Any]]] = {
    "enqueue": [
        ("POST", "/api/enqueue", {"request": 1}),
        ("POST", "/api/enqueue/batch", {"requests": [{"request": 1}]}),
    ],
    "read": [("GET", "/api/jobs", None), ("GET", "/api/queue", None), ("GET", "/api/account", None)],
    "write": [("DELETE", f"/api/jobs/{'0' * 25}", None)],
    "keys": [("GET", "/api/keys", None), ("DELETE", "/api/keys/0", None)],
    "admin": [("GET", "/api/admin/lanes", None), ("GET", "/api/admin/users", None)],
}


@pytest.mark.parametrize("scope", list(CALLS))
def test_a_key_may_do_what_its_scope_allows_and_nothing_else(api: Api, scope: str) -> None:
    user = registered(api)
    api.mongo()["users"].update_one({"_id": user}, {"$set": {"role": "admin"}})
    headers = bearer(make_key(api, api.auth(user, Role.ADMIN), scopes=[scope]))
    for needed, calls in CALLS.items():
        for method, path, body in calls:
            reply = api.http.request(method, path, json=body, headers=headers)
            if needed == scope:
                assert reply.status_code in (200, 404), (path, reply.text)
            else:
                problem(reply, 403, "missing-scope")
    if scope != "read":
        problem(api.http.get("/api/events", headers=headers), 403, "missing-scope")
    if scope != "write":
        problem(api.http.get("/api/connect", headers=headers), 403, "missing-scope")
    problem(api.http.post("/api/logout", headers=headers), 403, "log-in-needed")


def test_a_key_makes_no_user_an_administrator(api: Api) -> None:
    headers = bearer(make_key(api, api.auth(registered(api)), scopes=["admin"]))
    problem(api.http.get("/api/admin/users", headers=headers), 403, "forbidden")


def test_a_key_makes_keys_only_with_its_own_rights(api: Api) -> None:
    user = registered(api)
    plain = bearer(make_key(api, api.auth(user)))
    problem(api.http.post("/api/keys", json={"name": "k"}, headers=plain), 403, "missing-scope")
    maker = bearer(make_key(api, api.auth(user), scopes=["keys", "read"], expires_in=3600))
    child = make_key(api, maker, scopes=["read"], expires_in=600)
    assert queue(api, bearer(child)).status_code == 200
    for more in ({"scopes": ["enqueue"]}, {"scopes": ["read"]}, {"scopes": ["read"], "expires_in": None}):
        reply = api.http.post("/api/keys", json={"name": "k", **more}, headers=maker)
        problem(reply, 403, "missing-scope")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/body/name"),
        ({"name": ""}, "#/body/name"),
        ({"name": "k", "scopes": []}, "#/body/scopes"),
        ({"name": "k", "scopes": ["everything"]}, "#/body/scopes/0"),
        ({"name": "k", "expires_in": 0}, "#/body/expires_in"),
        ({"name": "k", "more": 1}, "#/body/more"),
    ],
)
def test_a_malformed_key_is_refused(api: Api, body: dict[str, Any], pointer: str) -> None:
    document = problem(
        api.http.post("/api/keys", json=body, headers=api.auth(api.user())), 400, "bad-request"
    )
    assert document["errors"][0]["pointer"] == pointer


def test_a_user_has_a_bounded_number_of_keys(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("laneway.storage.api_keys.MAX_KEYS", 2)
    headers = api.auth(registered(api))
    for _ in range(2):
        make_key(api, headers)
    problem(api.http.post("/api/keys", json={"name": "k"}, headers=headers), 409, "too-many-keys")


def test_the_account_shows_who_the_caller_is(api: Api) -> None:
    user = registered(api)
    account = api.http.get("/api/account", headers=api.auth(user)).json()
    assert (account["username"], account["role"], account["scopes"]) == (user, "user", None)
    assert account["created_at"]
    key = make_key(api, api.auth(user))
    assert api.http.get("/api/account", headers=bearer(key)).json()["scopes"] == ["enqueue", "read"]

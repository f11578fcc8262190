"""`/api/admin/...`: who may, and what it does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from secrets import token_hex
from typing import Any

import pytest

from laneway.api.tokens import Tokens
from laneway.lanes.commands import Enqueue
from laneway.lanes.model import JobState, NewJob
from laneway.storage.audit import Audit
from laneway.storage.users import Role, UsersUnavailable
from tests.api.running import SECRET, Api, problem, wait_for

JOB = "0" * 25
ENDPOINTS = [
    ("GET", "/lanes"),
    ("POST", "/lanes/ann/pause"),
    ("POST", "/lanes/ann/resume"),
    ("POST", "/lanes/ann/purge"),
    ("PUT", "/lanes/ann/limit"),
    ("GET", "/jobs/ann"),
    ("GET", f"/jobs/ann/{JOB}"),
    ("GET", f"/jobs/ann/{JOB}/why"),
    ("GET", f"/jobs/ann/{JOB}/logs"),
    ("GET", "/dead-letters"),
    ("POST", f"/dead-letters/ann/{JOB}/retry"),
    ("DELETE", f"/dead-letters/ann/{JOB}"),
    ("POST", "/operations"),
    ("GET", "/operations"),
    ("GET", "/operations/OPERATION"),
    ("POST", "/operations/OPERATION/cancel"),
    ("GET", "/overview"),
    ("GET", "/ring"),
    ("GET", "/workers"),
    ("GET", "/pools"),
    ("GET", "/failures"),
    ("GET", "/audit"),
    ("GET", "/users"),
    ("GET", "/users/ann/keys"),
    ("DELETE", "/users/ann/keys/KEY"),
    ("GET", "/users/ann/schedules"),
    ("POST", "/users/ann/schedules/NAME/pause"),
    ("POST", "/users/ann/schedules/NAME/resume"),
    ("DELETE", "/users/ann/schedules/NAME"),
    ("GET", "/users/ann/webhooks"),
    ("POST", "/users/ann/webhooks/WEBHOOK/disable"),
    ("POST", "/users/ann/webhooks/WEBHOOK/enable"),
    ("POST", "/invitations"),
    ("PUT", "/users/ann/role"),
]


class Admin:
    def __init__(self, api: Api) -> None:
        self.api = api
        self.headers = api.admin()

    def __call__(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        reply = self.api.http.request(method, f"/api/admin{path}", headers=self.headers, **options)
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    def pages(self, path: str, name: str, **query: Any) -> Iterator[dict[str, Any]]:
        after = ""
        while True:
            page = self("GET", path, params={"after": after, **query})
            yield from page[name]
            if page["next"] is None:
                return
            after = page["next"]


@pytest.fixture
def admin(api: Api) -> Admin:
    return Admin(api)


@pytest.mark.parametrize(("method", "path"), ENDPOINTS)
def test_administration_needs_the_role(api: Api, method: str, path: str) -> None:
    body = (
        {"json": {"slots": 1}}
        if path.endswith("limit")
        else {"json": {"role": "user"}}
        if path.endswith("role")
        else {"json": {"action": "cancel"}}
        if path == "/operations" and method == "POST"
        else {}
    )
    problem(api.http.request(method, "/api/admin" + path, **body), 401, "invalid-token")
    problem(
        api.http.request(method, "/api/admin" + path, headers=api.auth(api.user()), **body), 403, "forbidden"
    )


def test_the_list_of_admin_endpoints_is_complete(api: Api) -> None:
    paths: dict[str, dict[str, Any]] = api.http.get("/openapi.json").json()["paths"]
    documented = {
        (method.upper(), path)
        for path, operations in paths.items()
        if path.startswith("/api/admin")
        for method in operations
    }
    assert documented == {
        (
            method,
            "/api/admin"
            + path.replace("/ann", "/{user}")
            .replace(JOB, "{job_id}")
            .replace("OPERATION", "{operation_id}")
            .replace("KEY", "{key_id}")
            .replace("NAME", "{name}")
            .replace("WEBHOOK", "{webhook_id}"),
        )
        for method, path in ENDPOINTS
    }


def test_the_jobs_of_any_user(api: Api, admin: Admin) -> None:
    user = api.user()
    ended = api.end(user, JobState.FAILED, b'{"type":"E"}')
    api.archive()
    queued = api.enqueue(user)
    assert [job["job_id"] for job in admin("GET", f"/jobs/{user}")["jobs"]] == [queued, ended]
    assert [job["job_id"] for job in admin("GET", f"/jobs/{user}", params={"state": "failed"})["jobs"]] == [
        ended
    ]
    for job_id in (queued, ended):
        assert admin("GET", f"/jobs/{user}/{job_id}") == api.job(user, job_id)
    assert admin("GET", f"/jobs/{user}/{ended}/why")["reason"] == "ended"
    other = api.user()
    for path in (f"/jobs/{other}/{queued}", f"/jobs/{other}/{queued}/why"):
        problem(api.http.get(f"/api/admin{path}", headers=admin.headers), 404, "unknown-job")


def test_what_administrators_do_is_recorded(api: Api, admin: Admin) -> None:
    """Who, what, to whom, from where and when; reading is not recorded, nor what was refused."""
    user = api.user()
    api.enqueue(user)
    admin("POST", f"/lanes/{user}/pause")
    admin("PUT", f"/lanes/{user}/limit", json={"slots": 2})
    admin("POST", f"/lanes/{user}/resume")
    admin("POST", f"/lanes/{user}/purge")
    admin("GET", f"/jobs/{user}")
    api.http.post(f"/api/admin/lanes/{user}/pause", headers=api.auth(user))
    entries: list[dict[str, Any]] = []
    before = ""
    while len([entry for entry in entries if entry["user"] == user]) < 4:
        page = admin("GET", "/audit", params={"limit": 2, "before": before})
        entries += page["entries"]
        assert page["next"], "the log has no end before these entries"
        before = page["next"]
    assert [entry["at"] for entry in entries] == sorted((entry["at"] for entry in entries), reverse=True)
    mine = [entry for entry in entries if entry["user"] == user]
    assert [(entry["action"], entry["details"]) for entry in mine] == [
        ("lane_purged", {"cancelled": 1}),
        ("lane_resumed", {}),
        ("lane_limited", {"slots": 2}),
        ("lane_paused", {}),
    ]
    assert {entry["address"] for entry in mine} == {"127.0.0.1"}
    assert {(entry["by"], entry["key_id"]) for entry in mine} == {
        (api.tokens.verify(admin.headers["authorization"].encode()).user, None)
    }


def test_an_outage_of_mongodb_stops_no_administrator(
    api: Api, admin: Admin, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    async def away(*_: Any, **__: Any) -> None:
        raise UsersUnavailable("away")

    monkeypatch.setattr(Audit, "add", away)
    user = api.user()
    assert admin("POST", f"/lanes/{user}/pause") == {"message": "paused"}
    lines = [
        line for line in capfd.readouterr().out.splitlines() if user in line or "audit_unrecorded" in line
    ]
    assert any('"event":"lane_paused"' in line for line in lines)
    assert any('"event":"audit_unrecorded"' in line for line in lines)


def test_the_list_of_lanes(api: Api, admin: Admin) -> None:
    users = sorted(api.user() for _ in range(5))
    for user in users:
        api.enqueue(user)
    api.start(users[2])
    lines = {line["user"]: line for line in admin.pages("/lanes", "lanes", limit=2)}
    assert [user for user in lines if user in users] == users
    running = {"user": users[2], "jobs": 1, "taken": 1, "slots": 5, "waits_since": None, "failures": None}
    assert lines[users[2]] == running


def test_a_long_page_of_lanes_is_read_in_pieces(api: Api, admin: Admin) -> None:
    """Up to 500 lanes come in one answer, and Redis reads 100 at a time."""
    prefix = api.user()
    users = sorted(f"{prefix}-{number:03}" for number in range(205))
    for user in users:
        api.lanes.run(Enqueue(user, [NewJob(token_hex(6), "echo", b"1", 3)]))
    page = admin("GET", "/lanes", params={"name": prefix, "limit": 203})
    assert [line["user"] for line in page["lanes"]] == users[:203]
    page = admin("GET", "/lanes", params={"name": prefix, "limit": 500, "after": page["next"]})
    assert [line["user"] for line in page["lanes"]] == users[203:]
    assert page["next"] is None
    assert admin("GET", "/lanes", params={"name": prefix, "limit": 205})["next"] == users[-1]
    too_many = api.http.get("/api/admin/lanes", headers=admin.headers, params={"limit": 501})
    assert too_many.status_code == 400


def test_pause_and_resume(api: Api, admin: Admin) -> None:
    user = api.user()
    api.enqueue(user)
    assert admin("POST", f"/lanes/{user}/pause") == {"message": "paused"}
    assert admin("POST", f"/lanes/{user}/pause") == {"message": "was paused"}
    assert user not in api.lanes.ring()
    assert api.http.get("/api/queue", headers=api.auth(user)).json()["paused"]
    assert admin("POST", f"/lanes/{user}/resume") == {"message": "resumed"}
    assert user in api.lanes.ring()


def test_a_limit_and_the_default_again(api: Api, admin: Admin) -> None:
    user = api.user()
    assert "2 slots" in admin("PUT", f"/lanes/{user}/limit", json={"slots": 2})["message"]
    assert api.http.get("/api/queue", headers=api.auth(user)).json()["slots"] == 2
    assert "5 slots" in admin("PUT", f"/lanes/{user}/limit", json={"slots": None})["message"]


@pytest.mark.parametrize(
    "body", [{}, {"slots": 0}, {"slots": 101}, {"slots": "5"}, {"slots": True}, {"slots": 1.5}, [], {"x": 1}]
)
def test_a_malformed_limit_is_refused(api: Api, admin: Admin, body: Any) -> None:
    problem(api.http.put("/api/admin/lanes/ann/limit", json=body, headers=admin.headers), 400, "bad-request")


@pytest.mark.parametrize("user", ["*", "a b", "%00", "a%2Fb"])
def test_the_lane_of_an_impossible_user_is_refused(api: Api, admin: Admin, user: str) -> None:
    """`*` would set the default of all lanes."""
    reply = api.http.put(f"/api/admin/lanes/{user}/limit", json={"slots": 1}, headers=admin.headers)
    assert reply.status_code in (400, 404)
    assert api.http.get("/api/queue", headers=api.auth(api.user())).json()["slots"] == 5


def test_purge_cancels_jobs_that_do_not_run(api: Api, admin: Admin) -> None:
    user = api.user()
    running = api.enqueue(user)
    api.start(user)
    api.lanes.enqueue(user, 700)
    assert admin("POST", f"/lanes/{user}/purge") == {"message": "purged", "cancelled": 700}
    assert [job_id for _, job_id in api.lanes.lane(user)] == [running]
    jobs = api.http.get(
        "/api/jobs", params={"state": "cancelled", "limit": 1}, headers=api.auth(user)
    ).json()["jobs"]
    assert jobs[0]["reason"] == "purged by an administrator"


def test_purge_leaves_jobs_accepted_during_it(start_api: Callable[..., Api]) -> None:
    api = start_api()
    admin, user = Admin(api), api.user()
    api.enqueue(user)
    api.lanes.client.set(api.lanes.key("clock"), api.lanes.now_us() + 60_000_000)
    later = api.enqueue(user)  # its id claims that it is accepted a minute from now
    assert admin("POST", f"/lanes/{user}/purge")["cancelled"] == 1
    assert api.lanes.lane(user) == [("waiting", later)]


# -- dead letters -------------------------------------------------------------------------------------------------


def dead(api: Api, user: str) -> str:
    job_id = api.end(user, JobState.FAILED, b'{"type": "E", "message": "no"}')
    api.archive()
    return job_id


def test_dead_letters_are_listed(api: Api, admin: Admin) -> None:
    user = api.user()
    mine = [dead(api, user) for _ in range(3)]
    other = dead(api, api.user())
    letters = list(admin.pages("/dead-letters", "jobs", user=user, limit=2))
    assert [letter["job_id"] for letter in letters] == mine
    assert letters[0]["error"] == {"type": "E", "message": "no"}
    everything = [letter["job_id"] for letter in admin.pages("/dead-letters", "jobs", limit=2)]
    assert set(everything) >= {*mine, other}
    assert len(everything) == len(set(everything))


def test_a_dead_letter_is_retried_once(api: Api, admin: Admin) -> None:
    user = api.user()
    job_id = dead(api, user)
    path = f"/dead-letters/{user}/{job_id}"
    answer = admin("POST", f"{path}/retry")
    new = api.job(user, answer["job_id"])
    assert (new["state"], new["type"], new["request"], new["attempts"]) == ("queued", "echo", None, 0)
    problem(api.http.post(f"/api/admin{path}/retry", headers=admin.headers), 404, "unknown-job")
    assert api.job(user, job_id)["state"] == "failed"


def test_an_interrupted_retry_enqueues_only_once(api: Api, admin: Admin) -> None:
    """The job was accepted, but the dead letter was not dropped."""
    user = api.user()
    job_id = dead(api, user)
    first = admin("POST", f"/dead-letters/{user}/{job_id}/retry")
    api.archive()
    database = api.mongo()
    database["dead_letters"].insert_one(database["history"].find_one({"_id": f"{user}/{job_id}"}))
    assert admin("POST", f"/dead-letters/{user}/{job_id}/retry")["job_id"] == first["job_id"]
    assert len(api.lanes.lane(user)) == 1


def test_a_dead_letter_without_a_handler_is_not_retried(api: Api, admin: Admin) -> None:
    user = api.user()
    job_id = dead(api, user)
    api.mongo()["dead_letters"].update_one({"_id": f"{user}/{job_id}"}, {"$set": {"type": "gone"}})
    reply = api.http.post(f"/api/admin/dead-letters/{user}/{job_id}/retry", headers=admin.headers)
    problem(reply, 400, "unknown-type")
    assert api.lanes.lane(user) == []


def test_a_dead_letter_is_dropped(api: Api, admin: Admin) -> None:
    user = api.user()
    job_id = dead(api, user)
    path = f"/api/admin/dead-letters/{user}/{job_id}"
    assert api.http.delete(path, headers=admin.headers).status_code == 204
    problem(api.http.delete(path, headers=admin.headers), 404, "unknown-job")
    assert api.job(user, job_id)["state"] == "failed"


# -- users --------------------------------------------------------------------------------------------------------


def register(api: Api, name: str) -> dict[str, str]:
    """Headers of a new user who has logged in."""
    body = {"username": name, "password": "correct horse"}
    api.http.post("/api/register", json=body)
    return {"authorization": "Bearer " + api.http.post("/api/login", json=body).json()["token"]}


def test_a_role_is_given_and_taken_away(api: Api, admin: Admin) -> None:
    name, other = api.user(), api.user()
    register(api, other)
    admin("PUT", f"/users/{other}/role", json={"role": "admin"})  # the last administrator keeps the role
    headers = register(api, name)
    assert admin("PUT", f"/users/{name}/role", json={"role": "admin"}) == {"message": f"{name} is admin"}
    problem(api.http.get("/api/admin/users", headers=headers), 403, "forbidden")  # until the next log-in
    headers = register(api, name)
    assert api.http.get("/api/admin/users", headers=headers).status_code == 200
    admin("PUT", f"/users/{name}/role", json={"role": "user"})
    problem(api.http.get("/api/admin/users", headers=headers), 401, "invalid-token")  # immediately
    assert api.http.get("/api/queue", headers=headers).status_code == 200
    problem(api.http.get("/api/admin/users", headers=register(api, name)), 403, "forbidden")
    admin("PUT", f"/users/{name}/role", json={"role": "admin"})
    assert api.http.get("/api/admin/users", headers=register(api, name)).status_code == 200


def test_the_list_of_users_holds_no_password(api: Api, admin: Admin) -> None:
    names = sorted(api.user() for _ in range(3))
    for name in names:
        register(api, name)
    found = list(admin.pages("/users", "users", limit=2))
    assert [user["username"] for user in found if user["username"] in names] == names
    assert all(user.keys() == {"username", "role", "created_at", "last_login_at", "jobs"} for user in found)


def test_a_role_is_given_to_users_only(api: Api, admin: Admin) -> None:
    reply = api.http.put(f"/api/admin/users/{api.user()}/role", json={"role": "admin"}, headers=admin.headers)
    problem(reply, 404, "unknown-user")
    for body in ({"role": "root"}, {}, {"role": "admin", "x": 1}):
        problem(
            api.http.put("/api/admin/users/ann/role", json=body, headers=admin.headers), 400, "bad-request"
        )


@pytest.mark.usefixtures("production_hashes")
@pytest.mark.parametrize("rounds", [1, pytest.param(3, marks=pytest.mark.thorough)])
def test_a_log_in_during_a_role_change_gives_no_admin_token(
    start_api: Callable[..., Api], rounds: int
) -> None:
    """The role is read first. Then the password is checked, which takes a while, and then the token is issued."""
    api = start_api()
    name, admin = api.user(), api.admin()
    body = {"username": name, "password": "correct horse"}
    for user in (name, "root1"):  # the last administrator would stay one
        assert api.http.post("/api/register", json=body | {"username": user}).status_code == 201
    api.http.put("/api/admin/users/root1/role", json={"role": "admin"}, headers=admin)
    for _ in range(rounds):
        api.http.put(f"/api/admin/users/{name}/role", json={"role": "admin"}, headers=admin)
        with ThreadPoolExecutor(4) as pool:
            logins = [pool.submit(api.http.post, "/api/login", json=body) for _ in range(8)]
            wait(logins, return_when=FIRST_COMPLETED)
            assert api.http.put(
                f"/api/admin/users/{name}/role", json={"role": "user"}, headers=admin
            ).is_success
        tokens = [reply.json()["token"] for login in logins if (reply := login.result()).is_success]
        assert tokens
        for token in tokens:
            reply = api.http.get("/api/admin/users", headers={"authorization": f"Bearer {token}"})
            assert reply.status_code in {401, 403}


def test_the_first_administrator_comes_from_the_settings(start_api: Callable[..., Api]) -> None:
    options = {"admin_username": "root1", "admin_password": "correct horse"}
    api = start_api(**options)
    body = {"username": "root1", "password": "correct horse"}
    wait_for(lambda: api.http.post("/api/login", json=body).status_code == 200)
    reply = api.http.post("/api/login", json=body)
    headers = {"authorization": f"Bearer {reply.json()['token']}"}
    assert api.http.get("/api/admin/users", headers=headers).status_code == 200
    again = start_api(**options | {"admin_password": "another horse"})  # a user who exists is left unchanged
    assert again.http.post("/api/login", json=body).status_code == 200


def test_an_admin_token_of_a_foreign_key_is_refused(api: Api) -> None:
    token = Tokens({"1": SECRET.upper().encode()}, "1", seconds=60).issue("root1", Role.ADMIN)
    reply = api.http.get("/api/admin/users", headers={"authorization": f"Bearer {token}"})
    problem(reply, 401, "invalid-token")

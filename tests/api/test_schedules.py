"""Schedules over HTTP: what is refused and where it points, whose they are, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from laneway.lanes.commands import EnqueueLimits
from laneway.lanes.keys import Keys
from laneway.lanes.store import Lanes, connect
from laneway.scheduler import Scheduler
from laneway.storage.due_schedules import DueSchedules
from laneway.storage.schedules import Schedules
from laneway.telemetry.job_log import JobLog
from tests.api.running import Api, in_thread, problem, settings_of
from tests.api.test_account import delete, logged_in
from tests.api.test_keys import PASSWORD, bearer, make_key, registered

HOURLY = {"request": {"n": 1}, "every_seconds": 3600}


def put(api: Api, user: str, name: str = "s", **fields: Any) -> Any:
    return api.http.put(f"/api/schedules/{name}", json=HOURLY | fields, headers=api.auth(user))


def shown(api: Api, user: str, name: str = "s") -> dict[str, Any]:
    reply = api.http.get(f"/api/schedules/{name}", headers=api.auth(user))
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def post(api: Api, user: str, path: str, **more: Any) -> Any:
    return api.http.post(f"/api/schedules/{path}", headers=api.auth(user) | more)


def fire(api: Api, user: str, name: str = "s") -> None:
    """Let the schedule be due, and fire it as the janitor does."""
    database = api.mongo()
    due = datetime.now(UTC) - timedelta(seconds=1)
    database.schedules.update_one({"_id": f"{user}/{name}"}, {"$set": {"next_at": due, "due_at": due}})
    lanes = Lanes(connect(api.settings.redis_url), Keys(api.settings.key_prefix))
    for _ in Scheduler(lanes, DueSchedules(database), JobLog("test", "ERROR"), EnqueueLimits()).fire():
        pass


def test_a_schedule_is_put_shown_and_fired(api: Api) -> None:
    user = api.user()
    reply = put(api, user, "nightly", every_seconds=None, cron="0 3 * * *", time_zone="Europe/Berlin")
    assert reply.status_code == 201, reply.text
    schedule = shown(api, user, "nightly")
    assert reply.json() == schedule
    assert (schedule["cron"], schedule["time_zone"], schedule["every_seconds"]) == (
        "0 3 * * *",
        "Europe/Berlin",
        None,
    )
    assert (schedule["type"], schedule["request"], schedule["missed"]) == ("echo", {"n": 1}, "once")
    assert (schedule["paused"], schedule["last_job_id"], schedule["last_error"]) == (False, None, None)
    fire(api, user, "nightly")
    fired = shown(api, user, "nightly")
    assert api.job(user, fired["last_job_id"])["request"] == {"n": 1}
    assert fired["next_at"] == schedule["next_at"]
    assert api.http.get("/api/schedules", headers=api.auth(user)).json() == {"schedules": [fired]}


def test_a_job_names_the_schedule_that_enqueued_it_and_is_found_by_it(api: Api) -> None:
    """At a fire time and by `run`; live and in the history."""
    user = api.user()
    put(api, user, "nightly")
    put(api, user, "other", unique_key="k")
    other = api.enqueue(user)
    own = [post(api, user, f"{name}/run").json()["job_id"] for name in ("nightly", "other")]
    fire(api, user, "nightly")
    fired = shown(api, user, "nightly")["last_job_id"]
    expected = {fired: "nightly", own[0]: "nightly", own[1]: "other", other: None}

    def listed(schedule: str) -> list[str]:
        reply = api.http.get("/api/jobs", params={"schedule": schedule}, headers=api.auth(user))
        return [job["job_id"] for job in reply.json()["jobs"]]

    for place in ("live", "history"):
        assert {job_id: api.job(user, job_id)["schedule"] for job_id in expected} == expected
        assert (listed("nightly"), listed("other"), listed("none")) == ([fired, own[0]], [own[1]], [])
        if place == "live":
            api.lanes.finish(*api.start(user))
            api.archive()
    again = api.http.post(f"/api/jobs/{fired}/again", headers=api.auth(user)).json()["job_id"]
    assert api.job(user, again)["schedule"] is None


def test_the_next_fire_times_are_shown(api: Api) -> None:
    user = api.user()
    put(api, user, every_seconds=None, cron="0 0 29 2 *")
    reply = api.http.get("/api/schedules/s/next", headers=api.auth(user))
    times = reply.json()["times"]
    assert [time[:10] for time in times][:2] == ["2028-02-29", "2032-02-29"]
    assert len(times) == 5
    assert times[0] == shown(api, user)["next_at"]
    reply = api.http.get("/api/schedules/s/next", params={"count": 1}, headers=api.auth(user))
    assert len(reply.json()["times"]) == 1


def test_putting_it_again_replaces_it(api: Api) -> None:
    user = api.user()
    first = put(api, user).json()
    again = put(api, user, request=[2], missed="all")
    assert again.status_code == 200
    assert again.json() == first | {"request": [2], "missed": "all"}
    changed = put(api, user, every_seconds=7200).json()
    assert changed["next_at"] > first["next_at"]


def test_numbers_are_kept_as_they_were_sent(api: Api) -> None:
    user = api.user()
    content = '{"every_seconds": 60, "request": {"price": 1.50, "id": 18446744073709551615}}'
    headers = api.auth(user) | {"content-type": "application/json"}
    assert api.http.put("/api/schedules/s", content=content, headers=headers).status_code == 201
    assert (
        '"request":{"price": 1.50, "id": 18446744073709551615}'
        in api.http.get("/api/schedules/s", headers=headers).text
    )


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"every_seconds": None}, "#/body"),
        ({"cron": "* * * * *"}, "#/body"),
        ({"every_seconds": 9}, "#/body/every_seconds"),
        ({"every_seconds": 60.5}, "#/body/every_seconds"),
        ({"every_seconds": None, "cron": "* * * *"}, "#/body/cron"),
        ({"every_seconds": None, "cron": "61 * * * *"}, "#/body/cron"),
        ({"every_seconds": None, "cron": "0 0 30 2 *"}, "#/body/cron"),
        ({"every_seconds": None, "cron": "* * * * *", "time_zone": "Berlin"}, "#/body/time_zone"),
        ({"missed": "twice"}, "#/body/missed"),
        ({"more": 1}, "#/body/more"),
    ],
)
def test_what_cannot_be_a_schedule_is_refused(api: Api, fields: dict[str, Any], pointer: str) -> None:
    document = problem(put(api, api.user(), **fields), 400, "bad-request")
    assert document["errors"][0]["pointer"] == pointer


MODULE = """
from dataclasses import dataclass
from laneway import handler

@dataclass
class Picture:
    width: int

@handler(attempts=7)
def resize(job: Picture) -> None: ...
"""


def test_the_request_is_checked_as_that_of_an_enqueue(
    start_api: Callable[..., Api], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scheduled_jobs.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    api = start_api(handlers="scheduled_jobs", request_max_bytes=100, schedules_max=2)
    user = api.user()
    for fields, slug, pointer in (
        ({"type": "nobody"}, "unknown-type", "#/body/type"),
        ({"type": "resize", "request": {"width": "w"}}, "invalid-payload", "#/body/request/width"),
    ):
        assert problem(put(api, user, **fields), 400, slug)["errors"][0]["pointer"] == pointer
    problem(put(api, user, type="resize", request={"width": 1, "more": "x" * 100}), 413, "body-too-large")
    statuses = [put(api, user, name, type="resize", request={"width": 1}).status_code for name in "aba"]
    assert statuses == [201, 201, 200]
    problem(put(api, user, "c", type="resize", request={"width": 1}), 409, "too-many-schedules")
    fire(api, user, "a")
    assert api.job(user, shown(api, user, "a")["last_job_id"])["max_attempts"] == 7


def test_a_schedule_is_small(api: Api) -> None:
    assert put(api, api.user(), request="x" * 65_000).status_code == 201
    problem(put(api, api.user(), request="x" * 66_000), 413, "body-too-large")


@pytest.mark.parametrize("name", ["-a", "a%20b", "ü", "a" * 65])
def test_a_name_is_plain(api: Api, name: str) -> None:
    problem(put(api, api.user(), name), 400, "bad-request")


def test_run_now_enqueues_once_for_a_key_and_moves_nothing(api: Api) -> None:
    user = api.user()
    before = put(api, user).json()
    replies = [post(api, user, "s/run", **{"idempotency-key": "k"}) for _ in range(2)]
    assert [reply.status_code for reply in replies] == [200, 200]
    assert len({reply.json()["job_id"] for reply in replies}) == 1
    assert api.job(user, replies[0].json()["job_id"])["request"] == {"n": 1}
    assert shown(api, user) == before


def test_a_paused_schedule_does_not_fire_until_it_is_resumed(api: Api) -> None:
    user = api.user()
    put(api, user)
    assert post(api, user, "s/pause").json()["paused"] is True
    fire(api, user)
    assert api.lanes.lane(user) == []
    assert post(api, user, "s/run").status_code == 200, "what is paused can be run by hand"
    assert post(api, user, "s/resume").json()["paused"] is False
    fire(api, user)
    assert len(api.lanes.lane(user)) == 2


def test_deleting_a_schedule_keeps_its_jobs(api: Api) -> None:
    user = api.user()
    put(api, user)
    fire(api, user)
    path, headers = "/api/schedules/s", api.auth(user)
    assert api.http.delete(path, headers=headers).status_code == 204
    problem(api.http.delete(path, headers=headers), 404, "unknown-schedule")
    assert len(api.lanes.lane(user)) == 1


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("DELETE", ""),
        ("GET", "/next"),
        ("POST", "/pause"),
        ("POST", "/resume"),
        ("POST", "/run"),
    ],
)
def test_schedules_of_others_do_not_exist(api: Api, method: str, path: str) -> None:
    owner = api.user()
    put(api, owner)
    reply = api.http.request(method, f"/api/schedules/s{path}", headers=api.auth(api.user()))
    problem(reply, 404, "unknown-schedule")
    assert shown(api, owner)["paused"] is False


def test_a_key_needs_the_scopes_of_what_a_schedule_does(api: Api) -> None:
    headers = api.auth(registered(api))
    enqueue, write, both = (
        bearer(make_key(api, headers, scopes=scopes))
        for scopes in (["enqueue"], ["write"], ["write", "enqueue"])
    )
    for key in (enqueue, write):
        problem(api.http.put("/api/schedules/s", json=HOURLY, headers=key), 403, "missing-scope")
    assert api.http.put("/api/schedules/s", json=HOURLY, headers=both).status_code == 201
    problem(api.http.post("/api/schedules/s/run", headers=write), 403, "missing-scope")
    assert api.http.post("/api/schedules/s/run", headers=enqueue).status_code == 200
    assert api.http.post("/api/schedules/s/pause", headers=write).status_code == 200


def test_the_schedules_of_a_deleted_user_are_gone(api: Api) -> None:
    user = registered(api)
    put(api, user)
    put(api, user, "paused")
    assert delete(api, logged_in(api, user)).status_code == 200
    assert api.mongo().schedules.count_documents({"_id": {"$gte": f"{user}/", "$lt": f"{user}0"}}) == 0


def test_a_schedule_that_is_put_while_its_user_is_deleted_goes_too(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, store = registered(api), Schedules.put
    headers = logged_in(api, user)

    async def put_late(self: Schedules, *arguments: Any) -> Any:
        async with httpx.AsyncClient(base_url=api.url, headers=headers, timeout=20) as other:
            reply = await other.post("/api/account/delete", json={"password": PASSWORD})
        assert reply.status_code == 200, reply.text
        return await store(self, *arguments)

    monkeypatch.setattr(Schedules, "put", put_late)
    problem(put(api, user), 401, "invalid-token")
    assert api.mongo().schedules.count_documents({"_id": f"{user}/s"}) == 0


def test_an_administrator_stops_a_users_schedule_and_that_is_recorded(api: Api) -> None:
    user, headers = api.user(), api.admin()
    put(api, user)
    path = f"/api/admin/users/{user}/schedules"
    assert api.http.get(path, headers=headers).json()["schedules"] == [shown(api, user)]
    for verb, paused in (("pause", True), ("resume", False)):
        assert api.http.post(f"{path}/s/{verb}", headers=headers).json()["paused"] is paused
    assert api.http.delete(f"{path}/s", headers=headers).status_code == 204
    problem(api.http.delete(f"{path}/s", headers=headers), 404, "unknown-schedule")
    entries = api.http.get("/api/admin/audit", headers=headers).json()["entries"]
    mine = [(entry["action"], entry["details"]) for entry in entries if entry["user"] == user]
    recorded = ["schedule_deleted", "schedule_resumed", "schedule_paused"]
    assert mine == [(action, {"schedule": "s"}) for action in recorded]
    problem(api.http.get(path, headers=api.auth(user)), 403, "forbidden")


def test_without_mongodb_schedules_are_unavailable(redis_url: str, prefix: str) -> None:
    away = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=50"
    with in_thread(settings_of(redis_url, away, prefix, "none")) as api:
        reply = put(api, api.user())
        problem(reply, 503, "schedules-unavailable")
        assert reply.headers["retry-after"]

"""Webhooks over HTTP: what is refused, whose they are, who sees the secret, and what becomes of deliveries that wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import orjson
import pytest

from laneway.delivery_lanes import DELIVERY, DeliveryLane
from laneway.lanes.commands import Claim, Finish, Start
from laneway.lanes.model import JobState, Outcome
from laneway.storage.webhooks import Webhooks
from laneway.webhooks.signing import secret_of
from tests.api.conftest import WEBHOOKS
from tests.api.running import SECRET, Api, in_thread, problem, settings_of
from tests.api.test_account import delete, logged_in
from tests.api.test_keys import PASSWORD, bearer, make_key, registered

URL = "http://127.0.0.1:9/hooks"


def create(api: Api, user: str, url: str = URL, **fields: Any) -> httpx.Response:
    return api.http.post("/api/webhooks", json={"url": url} | fields, headers=api.auth(user))


def created(api: Api, user: str, **fields: Any) -> str:
    reply = create(api, user, **fields)
    assert reply.status_code == 201, reply.text
    return str(reply.json()["webhook_id"])


def shown(api: Api, user: str, webhook_id: str) -> dict[str, Any]:
    reply = api.http.get(f"/api/webhooks/{webhook_id}", headers=api.auth(user))
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


def post(api: Api, user: str, path: str) -> httpx.Response:
    return api.http.post(f"/api/webhooks/{path}", headers=api.auth(user))


def test_a_webhook_shows_its_secret_once(api: Api) -> None:
    user = api.user()
    reply = create(api, user, states=["failed", "cancelled", "failed"], types=["resize"])
    assert reply.status_code == 201, reply.text
    webhook = reply.json()
    assert webhook.pop("secret") == secret_of(SECRET, webhook["webhook_id"], 1)
    assert (webhook["states"], webhook["types"]) == (["cancelled", "failed"], ["resize"])
    assert (webhook["waiting"], webhook["last"], webhook["disabled_reason"]) == (0, None, None)
    assert shown(api, user, webhook["webhook_id"]) == webhook
    listed = api.http.get("/api/webhooks", headers=api.auth(user))
    assert listed.json() == {"webhooks": [webhook]}
    assert "whsec" not in str(api.mongo().webhooks.find_one({"_id": webhook["webhook_id"]}))


def test_by_default_all_ends_of_all_types_are_delivered(api: Api) -> None:
    user = api.user()
    webhook = shown(api, user, created(api, user))
    assert (webhook["states"], webhook["types"]) == (["cancelled", "failed", "succeeded"], [])


@pytest.mark.parametrize(
    ("url", "detail"),
    [
        ("https://10.0.0.1/", "not public"),
        ("https://169.254.169.254/latest/meta-data/", "not public"),
        ("https://[::ffff:10.0.0.1]/", "not public"),
        ("http://8.8.8.8/", "use https"),
        ("https://no-such-host.invalid/", "cannot be resolved"),
        ("ftp://127.0.0.1/", "give a URL"),
        ("https://user:password@127.0.0.1/", "no user"),
    ],
)
def test_a_url_that_nothing_may_be_delivered_to_is_refused(api: Api, url: str, detail: str) -> None:
    user = api.user()
    refused = problem(create(api, user, url), 400, "bad-request")
    assert refused["errors"][0]["pointer"] == "#/body/url"
    assert detail in refused["detail"]
    assert api.mongo().webhooks.count_documents({"user": user}) == 0


@pytest.mark.parametrize(
    "fields", [{"states": []}, {"states": ["running"]}, {"states": None}, {"types": "echo"}, {"more": 1}]
)
def test_malformed_webhooks_are_refused(api: Api, fields: dict[str, Any]) -> None:
    problem(create(api, api.user(), **fields), 400, "bad-request")


def test_a_user_has_a_limited_number_of_webhooks(start_api: Callable[..., Api]) -> None:
    api = start_api(webhooks_max=2, **WEBHOOKS)
    user = api.user()
    first, _ = created(api, user), created(api, user)
    problem(create(api, user), 409, "too-many-webhooks")
    assert api.http.delete(f"/api/webhooks/{first}", headers=api.auth(user)).status_code == 204
    created(api, user)


def test_without_a_key_there_are_no_webhooks(start_api: Callable[..., Api]) -> None:
    api = start_api()
    user = api.user()
    problem(create(api, user), 403, "webhooks-off")
    assert api.http.get("/api/webhooks", headers=api.auth(user)).json() == {"webhooks": []}


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("DELETE", ""), ("POST", "/rotate"), ("POST", "/enable"), ("POST", "/test")],
)
def test_webhooks_of_others_do_not_exist(api: Api, method: str, path: str) -> None:
    owner = api.user()
    webhook_id = created(api, owner)
    before = shown(api, owner, webhook_id)
    reply = api.http.request(method, f"/api/webhooks/{webhook_id}{path}", headers=api.auth(api.user()))
    problem(reply, 404, "unknown-webhook")
    assert shown(api, owner, webhook_id) == before


def test_a_rotation_gives_the_next_secret(api: Api) -> None:
    user = api.user()
    webhook_id = created(api, user)
    reply = post(api, user, f"{webhook_id}/rotate")
    assert reply.json()["secret"] == secret_of(SECRET, webhook_id, 2)
    assert reply.json()["rotated_at"]
    post(api, user, f"{webhook_id}/test")
    (job,) = waiting(api, user, webhook_id, is_test=True)
    assert sorted(job["secrets"]) == [1, 2, 3]


def waiting(api: Api, user: str, webhook_id: str, *, is_test: bool = False) -> list[dict[str, Any]]:
    """Return the deliveries in a webhook's lane."""
    lane = DeliveryLane(user, webhook_id, is_test).name
    ids = [job_id for _, job_id in api.lanes.lane(lane)]
    return [orjson.loads(api.lanes.job(job_id)["request"]) for job_id in ids]


def test_a_test_delivery_does_not_wait_behind_others(api: Api) -> None:
    user = api.user()
    webhook_id = created(api, user)
    api.lanes.enqueue(DeliveryLane(user, webhook_id).name, 3)
    reply = post(api, user, f"{webhook_id}/test")
    assert reply.status_code == 202, reply.text
    (delivery,) = waiting(api, user, webhook_id, is_test=True)
    assert delivery["message_id"] == reply.json()["message_id"]
    event = orjson.loads(delivery["body"])
    assert (event["type"], event["data"]) == ("webhook.test", {"user": user, "webhook_id": webhook_id})
    assert shown(api, user, webhook_id)["waiting"] == 3
    for _ in range(9):
        post(api, user, f"{webhook_id}/test")
    problem(post(api, user, f"{webhook_id}/test"), 429, "lane-full")


def test_what_the_oldest_delivery_met_is_shown(api: Api) -> None:
    user = api.user()
    webhook_id = created(api, user)
    lane = DeliveryLane(user, webhook_id).name
    api.lanes.enqueue(lane, 2)
    leases = [lease for lease in api.lanes.run(Claim(10_000, 30)).leases if lease.user == lane]
    api.lanes.run(Start("w1", leases, [1000] * len(leases)))
    error = b'{"type":"DeliveryFailed","message":"the receiver answered 500"}'
    api.lanes.run(Finish("w1", [Outcome(leases[0], JobState.RETRYING, 1000, error, 60)]))
    webhook = shown(api, user, webhook_id)
    assert (webhook["waiting"], webhook["last_error"]) == (2, "the receiver answered 500")


def test_a_disabled_webhook_is_enabled_again(api: Api) -> None:
    user = api.user()
    webhook_id = created(api, user)
    api.mongo().webhooks.update_one({"_id": webhook_id}, {"$set": {"disabled_reason": "because"}})
    assert shown(api, user, webhook_id)["disabled_reason"] == "because"
    assert post(api, user, f"{webhook_id}/enable").json()["disabled_reason"] is None


def test_a_user_disables_a_webhook_and_what_waits_is_cancelled(api: Api) -> None:
    user = api.user()
    webhook_id = created(api, user)
    api.lanes.enqueue(DeliveryLane(user, webhook_id).name, 3)
    disabled = post(api, user, f"{webhook_id}/disable").json()
    assert (disabled["disabled_reason"], disabled["waiting"]) == ("you have disabled it", 0)
    assert disabled["disabled_by"] == "user"
    assert disabled["disabled_at"]
    api.mongo().webhooks.update_one({"_id": webhook_id}, {"$set": {"disabled_reason": "because"}})
    assert post(api, user, f"{webhook_id}/disable").json()["disabled_reason"] == "because"
    assert post(api, user, f"{webhook_id}/enable").json()["disabled_reason"] is None
    problem(post(api, api.user(), f"{webhook_id}/disable"), 404, "unknown-webhook")


def test_an_administrator_disables_a_users_webhook_and_that_is_recorded(api: Api) -> None:
    user, headers = api.user(), api.admin()
    webhook_id = created(api, user, url="http://127.0.0.1:9/hooks/T0PSECRET?key=hidden")
    api.lanes.enqueue(DeliveryLane(user, webhook_id).name, 2)
    path = f"/api/admin/users/{user}/webhooks"
    reply = api.http.get(path, headers=headers)
    (listed,) = reply.json()["webhooks"]
    assert (listed["webhook_id"], listed["url"], listed["waiting"]) == (webhook_id, "http://127.0.0.1:9", 2)
    assert listed == shown(api, user, webhook_id) | {"url": listed["url"]}
    disabled = api.http.post(f"{path}/{webhook_id}/disable", headers=headers)
    assert disabled.json()["disabled_reason"] == "an administrator has disabled it"
    assert disabled.json()["disabled_by"] == "administrator"
    assert waiting(api, user, webhook_id) == []
    for secret in ("whsec", "T0PSECRET", "hidden"):
        assert secret not in reply.text + disabled.text
    entries = api.http.get("/api/admin/audit", headers=headers).json()["entries"]
    mine = [(entry["action"], entry["details"]) for entry in entries if entry["user"] == user]
    assert mine == [("webhook_disabled", {"webhook": webhook_id})]
    problem(api.http.post(f"{path}/{'0' * 12}/disable", headers=headers), 404, "unknown-webhook")
    problem(api.http.get(path, headers=api.auth(user)), 403, "forbidden")


def test_what_an_administrator_has_disabled_only_an_administrator_enables(api: Api) -> None:
    """Nor can its user send anything to that host: by a test delivery, or by another webhook."""
    user, headers = api.user(), api.admin()
    webhook_id, other = created(api, user), created(api, user, url="http://127.0.0.2:9/")
    path = f"/api/admin/users/{user}/webhooks/{webhook_id}"
    post(api, user, f"{webhook_id}/disable")
    own = problem(api.http.post(f"{path}/enable", headers=headers), 409, "not-disabled-by-administrator")
    assert own["detail"].endswith("its user has to enable it: you have disabled it")
    api.http.post(f"{path}/disable", headers=headers).raise_for_status()
    assert post(api, user, f"{webhook_id}/disable").json()["disabled_by"] == "administrator"
    webhook = f"/api/webhooks/{webhook_id}"
    for refused in (
        post(api, user, f"{webhook_id}/enable"),
        post(api, user, f"{webhook_id}/test"),
        api.http.delete(webhook, headers=api.auth(user)),
        create(api, user, url="http://127.0.0.1:8/elsewhere"),
    ):
        assert "ask an administrator" in problem(refused, 403, "disabled-by-administrator")["detail"]
    assert shown(api, user, webhook_id)["disabled_reason"] == "an administrator has disabled it"
    assert post(api, user, f"{other}/test").status_code == 202
    enabled = api.http.post(f"{path}/enable", headers=headers)
    assert (enabled.json()["disabled_reason"], enabled.json()["disabled_by"]) == (None, None)
    assert post(api, user, f"{webhook_id}/test").status_code == 202
    entries = api.http.get("/api/admin/audit", headers=headers).json()["entries"]
    mine = [entry["action"] for entry in entries if entry["user"] == user]
    assert sorted(mine) == ["webhook_disabled", "webhook_enabled"]


def test_deliveries_of_a_deleted_webhook_are_cancelled(api: Api) -> None:
    """Those that wait for a retry, too. One that runs is asked to stop."""
    user = api.user()
    webhook_id = created(api, user)
    lane = DeliveryLane(user, webhook_id).name
    api.lanes.enqueue(lane, 7)
    leases = [lease for lease in api.lanes.run(Claim(10_000, 30)).leases if lease.user == lane]
    api.lanes.run(Start("w1", leases, [1000] * len(leases)))
    failed = [Outcome(lease, JobState.RETRYING, 1000, b"{}", 60) for lease in leases[1:]]
    api.lanes.run(Finish("w1", failed))
    post(api, user, f"{webhook_id}/test")
    assert api.http.delete(f"/api/webhooks/{webhook_id}", headers=api.auth(user)).status_code == 204
    assert len(waiting(api, user, webhook_id)) == 1
    assert leases[0].job_id in api.lanes.cancels()
    assert waiting(api, user, webhook_id, is_test=True) == []
    reply = api.http.delete(f"/api/webhooks/{webhook_id}", headers=api.auth(user))
    problem(reply, 404, "unknown-webhook")


def test_webhooks_of_a_deleted_account_go_with_their_deliveries(api: Api) -> None:
    user = registered(api)
    webhook_id = created(api, user)
    api.lanes.enqueue(DeliveryLane(user, webhook_id).name, 7)
    assert delete(api, logged_in(api, user)).status_code == 200
    assert api.mongo().webhooks.count_documents({"user": user}) == 0
    assert waiting(api, user, webhook_id) == []


def test_a_webhook_that_is_added_while_its_user_is_deleted_goes_too(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, store = registered(api), Webhooks.create
    headers = logged_in(api, user)

    async def create_late(self: Webhooks, *arguments: Any) -> Any:
        async with httpx.AsyncClient(base_url=api.url, headers=headers, timeout=20) as other:
            reply = await other.post("/api/account/delete", json={"password": PASSWORD})
        assert reply.status_code == 200, reply.text
        return await store(self, *arguments)

    monkeypatch.setattr(Webhooks, "create", create_late)
    problem(create(api, user), 401, "invalid-token")
    assert api.mongo().webhooks.count_documents({"user": user}) == 0


def test_a_key_needs_to_read_what_it_has_delivered(api: Api) -> None:
    headers = api.auth(registered(api))
    for scopes, status in ((["write"], 403), (["read"], 403), (["read", "write"], 201)):
        key = bearer(make_key(api, headers, scopes=scopes))
        assert api.http.post("/api/webhooks", json={"url": URL}, headers=key).status_code == status


def test_a_user_cannot_enqueue_deliveries(api: Api) -> None:
    """It would make the workers sign and send what a user wants."""
    user = api.user()
    reply = api.http.post("/api/enqueue", json={"request": {}, "type": DELIVERY}, headers=api.auth(user))
    problem(reply, 400, "unknown-type")
    assert DELIVERY not in [
        t["name"] for t in api.http.get("/api/types", headers=api.auth(user)).json()["types"]
    ]


def test_nobody_can_register_under_the_name_of_a_delivery_lane(api: Api) -> None:
    name = DeliveryLane("ann", "0" * 12).name
    body = {"username": name, "password": PASSWORD}
    problem(api.http.post("/api/register", json=body), 400, "cannot-register")


def test_deliveries_are_not_in_the_users_queue_and_history(api: Api) -> None:
    user = api.user()
    api.lanes.enqueue(DeliveryLane(user, created(api, user)).name, 3)
    queue = api.http.get("/api/queue", headers=api.auth(user)).json()
    assert (queue["queued"], queue["running"]) == (0, 0)
    assert api.http.get("/api/jobs", headers=api.auth(user)).json()["jobs"] == []


def test_without_mongodb_webhooks_are_unavailable(redis_url: str, prefix: str) -> None:
    away = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=50"
    with in_thread(settings_of(redis_url, away, prefix, "none", **WEBHOOKS)) as api:
        reply = create(api, api.user())
        problem(reply, 503, "webhooks-unavailable")
        assert reply.headers["retry-after"]

"""The log-in link of `laneway dev`: once, soon, from this machine, and nowhere else."""

from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from laneway.dev import log_in_link
from laneway.storage.users import Role
from tests.api.running import Api, problem, process, settings_of, wait_for

USER, PASSWORD = "boss", "correct horse battery"


@pytest.fixture
def api(start_api: Callable[..., Api]) -> Api:
    """An API as `laneway dev` starts it, with its administrator."""
    api = start_api(dev=True, admin_username=USER, admin_password=PASSWORD, mongo_timeout_seconds=20)
    wait_for(lambda: api.mongo()["users"].find_one({"_id": USER}))
    return api


def new_code(api: Api) -> str:
    code = log_in_link.new_code(api.settings.redis_url, api.settings.key_prefix, USER)
    assert code
    return code


def use(api: Api, code: str, **headers: str) -> httpx.Response:
    return api.http.post("/api/login/link", json={"code": code}, headers=headers)


def test_a_link_logs_in_once(api: Api) -> None:
    code = new_code(api)
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(lambda _: use(api, code), range(8)))
    assert sorted(reply.status_code for reply in replies) == [200] + [403] * 7
    (answer,) = [reply.json() for reply in replies if reply.status_code == 200]
    assert answer["token_type"] == "bearer"
    token = api.tokens.verify(f"Bearer {answer['token']}".encode())
    assert (token.user, token.role) == (USER, Role.ADMIN)
    refused = problem(use(api, code), 403, "invalid-link")
    assert "used before or is too old" in refused["detail"]
    assert "laneway dev" in refused["detail"]


def test_a_link_of_a_user_who_is_being_registered_stays_valid(api: Api) -> None:
    code = log_in_link.new_code(api.settings.redis_url, api.settings.key_prefix, "coming")
    assert code
    reply = use(api, code)
    problem(reply, 503, "starting")
    assert reply.headers["retry-after"] == "1"
    user = {"username": "coming", "password": PASSWORD}
    assert api.http.post("/api/register", json=user).status_code == 201
    assert use(api, code).status_code == 200


def test_a_late_use_is_refused(api: Api) -> None:
    code = new_code(api)
    key = api.lanes.keys.log_in_code(code)
    assert 0 < api.lanes.client.ttl(key) <= log_in_link.VALID_SECONDS <= 600
    api.lanes.client.pexpire(key, 1)
    wait_for(lambda: not api.lanes.client.exists(key))
    problem(use(api, code), 403, "invalid-link")
    problem(use(api, "x" * 22), 403, "invalid-link")


@pytest.mark.parametrize("headers", [{"x-forwarded-for": "127.0.0.1"}, {"forwarded": "for=127.0.0.1"}])
def test_a_use_through_a_proxy_is_refused_and_leaves_the_link_valid(
    api: Api, headers: dict[str, str]
) -> None:
    code = new_code(api)
    refused = problem(use(api, code, **headers), 403, "invalid-link")
    assert "only on the machine" in refused["detail"]
    assert use(api, code).status_code == 200


def test_a_use_from_elsewhere_is_refused(
    redis_url: str, mongo_url: str, prefix: str, mongo_database: str, tmp_path: Path, own_address: str
) -> None:
    settings = settings_of(redis_url, mongo_url, prefix, mongo_database, dev=True, api_host="0.0.0.0")
    with process(settings, tmp_path / "log") as running:
        code = new_code(running.api)
        elsewhere = f"http://{own_address}:{running.port}/api/login/link"
        reply = httpx.post(elsewhere, json={"code": code}, timeout=30)
        assert "only on the machine" in problem(reply, 403, "invalid-link")["detail"]
        assert code not in running.log.read_text()


def test_outside_of_laneway_dev_there_are_no_links(start_api: Callable[..., Api]) -> None:
    api = start_api(admin_username=USER, admin_password=PASSWORD)
    wait_for(lambda: api.mongo()["users"].find_one({"_id": USER}))
    code = new_code(api)
    assert "laneway dev" in problem(use(api, code), 404, "not-found")["detail"]
    assert api.http.get("/api/login").json()["dev"] is False
    assert not [path for path in api.http.get("/openapi.json").json()["paths"] if "link" in path]


def test_redis_does_not_hold_the_code(api: Api) -> None:
    code = new_code(api)
    for key in api.lanes.client.keys("*"):
        assert code.encode() not in key
    assert api.lanes.client.get(api.lanes.keys.log_in_code(code)) == USER.encode()


@pytest.fixture
def own_address() -> str:
    """An address of this machine that is not the loopback one. No packet is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no network")
        return str(probe.getsockname()[0])


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("", False),
    ],
)  # fmt: skip
def test_which_hosts_only_this_machine_reaches(host: str, is_ours: bool) -> None:
    assert log_in_link.is_loopback(host) == is_ours

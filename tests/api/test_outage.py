"""Redis or MongoDB is away, dead or silent: 503 within a second, nothing piles up, and everything works once it is back."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import redis

from laneway.api import errors, metrics_page, store_warnings
from laneway.dev import embedded
from laneway.dev.embedded.process import Embedded
from laneway.settings import Settings
from laneway.storage.users import Role
from tests.api.running import Api, in_thread, problem, receive, settings_of, wait_for
from tests.servers.redis_6 import redis_6

SOON = 1.0
"""Seconds within which 503 is answered."""
MONGO_SECONDS = Settings.model_fields["mongo_timeout_seconds"].default
SLACK = 0.5
"""For two processors that others use, too."""


@pytest.fixture(autouse=True)
def _warned_of_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A warning is not repeated for a while, also not by the API of the next test."""
    monkeypatch.setattr(errors, "_warned", {})


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[Embedded]:
    with embedded.valkey(tmp_path / "valkey", appendfsync="always") as server:
        yield server


@pytest.fixture
def mongo_server(tmp_path: Path) -> Iterator[Embedded]:
    with embedded.mongo(tmp_path / "mongo") as server:
        yield server


@contextmanager
def away(server: Embedded, how: str) -> Iterator[None]:
    """`dead`: connections are refused. `silent`: they are accepted, and nothing is answered."""
    if how == "dead":
        server.kill()
        yield
        server.start()
    else:
        os.kill(server.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(server.pid, signal.SIGCONT)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def timed(call: Callable[[], httpx.Response]) -> tuple[httpx.Response, float]:
    started = time.monotonic()
    return call(), time.monotonic() - started


@pytest.mark.parametrize("how", ["dead", "silent"])
def test_redis_away(redis_server: Embedded, mongo_url: str, mongo_database: str, how: str) -> None:
    settings = settings_of(redis_server.url, mongo_url, "outage", mongo_database, heartbeat_seconds=0.5)
    with in_thread(settings) as api, httpx.Client(base_url=api.url, timeout=20, trust_env=False) as http:
        user = api.user()
        headers = api.auth(user)
        before = api.enqueue(user)
        calls: list[Callable[[], httpx.Response]] = [
            lambda: http.post("/api/enqueue", json={"request": 1}, headers=headers),
            lambda: http.post("/api/enqueue/batch", json={"requests": [{"request": 1}]}, headers=headers),
            lambda: http.get(f"/api/jobs/{before}", headers=headers),
            lambda: http.get("/api/jobs", headers=headers),
            lambda: http.get("/api/queue", headers=headers),
            lambda: http.delete(f"/api/jobs/{before}", headers=headers),
            lambda: http.get("/api/events", headers=headers),
            lambda: http.post("/api/logout", headers=headers),
            lambda: http.get("/readyz"),
            lambda: http.get("/api/admin/lanes", headers=api.auth("root1", Role.ADMIN)),
        ]

        def health() -> httpx.Response:
            """What asks nobody takes as long as clients and API need by themselves: they share two processors and this process."""
            return http.get("/healthz")

        with api.connect(headers) as socket:
            with away(redis_server, how):
                with ThreadPoolExecutor(64) as pool:  # all kinds of calls at once, several times
                    answers = list(pool.map(timed, [*calls, health] * 6))
                asked_redis = [
                    answer for number, answer in enumerate(answers, 1) if number % (len(calls) + 1)
                ]
                own_seconds = max(seconds for _, seconds in answers[len(calls) :: len(calls) + 1])
                for reply, seconds in asked_redis:
                    problem(reply, 503, "store-unavailable")
                    assert int(reply.headers["retry-after"]) >= 1
                    assert seconds < SOON + SLACK + own_seconds
                threads, files = threading.active_count(), open_files()
                for _ in range(3):
                    with ThreadPoolExecutor(64) as pool:
                        list(pool.map(timed, calls * 6))
                assert threading.active_count() <= threads + 2, threading.enumerate()
                wait_for(
                    lambda: open_files() <= files + 20, 10
                )  # connections closed by clients may still be open here
                assert http.get("/healthz").status_code == 200
                assert "laneway_redis_up 0.0" in api.metrics()

            def accepted() -> str | None:
                reply = http.post("/api/enqueue", json={"request": 1}, headers=headers)
                return reply.json()["job_id"] if reply.status_code == 200 else None

            job_ids = [wait_for(accepted, 10)]
            assert api.job(user, before)["state"] in (
                "queued",
                "cancelled",
            )  # the outage hid whether it was cancelled
            heard: list[str | None] = []

            def live_again() -> bool:
                job_ids.append(accepted())
                with suppress(TimeoutError):
                    heard.append(receive(socket, 0.1).get("job_id"))
                return bool(({*job_ids} & {*heard}) - {None})

            wait_for(live_again, 10)
            wait_for(lambda: api.http.get("/api/queue", headers=headers).json()["connected"])
        assert api.http.get("/readyz").status_code == 200


def test_it_starts_without_redis_and_mongodb() -> None:
    settings = settings_of(
        "redis://127.0.0.1:1/0", "mongodb://127.0.0.1:1", "none", "none", mongo_timeout_seconds=MONGO_SECONDS
    )
    with in_thread(settings) as api:
        assert api.http.get("/healthz").status_code == 200
        problem(api.http.get("/readyz"), 503, "store-unavailable")
        reply, seconds = timed(
            lambda: api.http.post("/api/enqueue", json={"request": 1}, headers=api.auth("ann"))
        )
        problem(reply, 503, "store-unavailable")
        assert seconds < SOON


@pytest.mark.parametrize("how", ["dead", "silent"])
def test_mongodb_away(mongo_server: Embedded, redis_url: str, prefix: str, how: str) -> None:
    settings = settings_of(redis_url, mongo_server.url, prefix, "outage", mongo_timeout_seconds=MONGO_SECONDS)
    body = {"username": "ann", "password": "correct horse"}
    with in_thread(settings) as api:
        assert api.http.post("/api/register", json=body).status_code == 201
        user = api.user()
        headers = api.auth(user)
        archived = api.end(user)
        api.archive()
        with away(mongo_server, how):
            for path in ("/api/login", "/api/register"):
                reply, seconds = timed(lambda path=path: api.http.post(path, json=body))  # type: ignore[misc]
                problem(reply, 503, "users-unavailable")
                assert int(reply.headers["retry-after"]) >= 1
                assert seconds < SOON + SLACK
            job_id = api.enqueue(user)  # enqueueing goes on
            assert api.job(user, job_id)["state"] == "queued"
            ended = api.end(api.user())
            assert ended
            listed = api.http.get("/api/jobs", params={"state": "queued"}, headers=headers)
            assert [job["job_id"] for job in listed.json()["jobs"]] == [job_id]
            for path in (f"/api/jobs/{archived}", "/api/jobs", "/api/jobs?state=failed"):
                reply, seconds = timed(lambda path=path: api.http.get(path, headers=headers))  # type: ignore[misc]
                problem(reply, 503, "history-unavailable")
                assert seconds < SOON + SLACK
            problem(api.http.get("/api/admin/dead-letters", headers=api.admin()), 503, "history-unavailable")
            ready = api.http.get("/readyz")
            assert (ready.status_code, ready.json()["status"], ready.json()["mongodb"]) == (
                200,
                "degraded",
                "away",
            )
            assert api.http.post("/api/logout", headers=api.auth(user)).status_code == 204
        wait_for(lambda: api.http.post("/api/login", json=body).status_code == 200, 30)
        assert api.job(user, archived)["state"] == "succeeded"
        wait_for(lambda: api.http.get("/readyz").json()["status"] == "ready")


def test_mongodb_refuses_the_password(mongo_server: Embedded, redis_url: str, prefix: str) -> None:
    secret = urlsplit(mongo_server.url).password
    assert secret
    with in_thread(
        settings_of(redis_url, mongo_server.url.replace(secret, "wrong"), prefix, "refused")
    ) as api:
        body = {"username": "ann", "password": "correct horse"}
        reply = api.http.post("/api/login", json=body)
        problem(reply, 503, "users-unavailable")
        assert "refuses the user or the password" in reply.json()["detail"]


def test_redis_refuses_writes(redis_server: Embedded, mongo_url: str, mongo_database: str) -> None:
    """Out of memory: nothing new is accepted. Reading and cancelling go on, and presence is kept."""
    settings = settings_of(redis_server.url, mongo_url, "full", mongo_database)
    with in_thread(settings) as api:
        user = api.user()
        headers = api.auth(user)
        job_id = api.enqueue(user)
        with api.connect(headers):
            api.lanes.client.config_set("maxmemory", 1)
            refused = api.http.post("/api/enqueue", json={"request": 1}, headers=headers)
            assert "no memory left" in problem(refused, 503, "store-unavailable")["detail"]
            assert api.http.get("/readyz").json() == {
                "status": "degraded",
                "redis": "Redis has no memory left",
                "mongodb": "up",
                "warnings": {},
            }
            assert api.job(user, job_id)["state"] == "queued"
            assert api.http.get("/api/queue", headers=headers).json()["connected"]
            assert api.http.delete(f"/api/jobs/{job_id}", headers=headers).status_code == 200
            api.lanes.client.config_set("maxmemory", 0)
            assert api.enqueue(user)


def test_redis_loses_its_data_and_scripts(
    redis_server: Embedded, mongo_url: str, mongo_database: str
) -> None:
    """An empty server in its place: scripts are loaded again, and presence returns with the next heartbeat."""
    settings = settings_of(redis_server.url, mongo_url, "fresh", mongo_database, heartbeat_seconds=0.2)
    with in_thread(settings) as api:
        user = api.user()
        with api.connect(api.auth(user)):
            api.lanes.client.flushall()
            api.lanes.client.script_flush()
            assert api.enqueue(user)
            wait_for(lambda: api.http.get("/api/queue", headers=api.auth(user)).json()["connected"])


@pytest.mark.parametrize(
    ("rights", "reason"),
    [
        ("~* &* +@all -evalsha", "ACL"),
        ("~* &* +@all -script", "ACL"),
        ("~other:* &* +@all", "ACL"),
    ],
)
def test_redis_lacks_a_right(
    redis_server: Embedded,
    mongo_url: str,
    mongo_database: str,
    rights: str,
    reason: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Readiness, the answer and the log say so, instead of that Redis does not answer."""
    client = redis.Redis.from_url(redis_server.url)
    client.execute_command("ACL", "SETUSER", "limited", "on", ">secret", *rights.split())
    address = urlsplit(redis_server.url)
    url = f"redis://limited:secret@{address.hostname}:{address.port}/0"
    with in_thread(settings_of(url, mongo_url, "rights", mongo_database)) as api:
        assert_refused(api, reason, capfd)


def assert_refused(api: Api, reason: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Readiness, the answer to an enqueue and the log give the reason. The process is alive all the same."""
    for reply in (
        api.http.get("/readyz"),
        api.http.post("/api/enqueue", json={"request": 1}, headers=api.auth(api.user())),
    ):
        assert reason in problem(reply, 503, "store-unavailable")["detail"]
    assert api.http.get("/healthz").status_code == 200
    out: list[str] = []

    def logged() -> bool:
        out.append(capfd.readouterr().out)
        lines = [line for line in "".join(out).splitlines() if '"store_unavailable"' in line]
        return any(reason in line for line in lines)

    wait_for(logged)


def test_redis_that_may_lose_jobs_is_named_in_log_readyz_and_metrics_until_it_is_safe(
    redis_server: Embedded,
    mongo_url: str,
    mongo_database: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(store_warnings, "INTERVAL_SECONDS", 0.05)
    monkeypatch.setattr(metrics_page, "FRESH_SECONDS", 0.0)
    client = redis.Redis.from_url(redis_server.url)
    client.config_set("maxmemory-policy", "allkeys-lru")
    client.config_set("appendonly", "no")
    out: list[str] = []

    def reasons() -> set[str]:
        out.append(capfd.readouterr().out)
        lines = [json.loads(line) for line in "".join(out).splitlines() if '"redis_unsafe"' in line]
        return {line["reason"] for line in lines if line["level"] == "warning" and line["remedy"]}

    with in_thread(settings_of(redis_server.url, mongo_url, "unsafe", mongo_database)) as api:
        wait_for(lambda: reasons() == {"eviction", "no_aof"})
        answer = api.http.get("/readyz")
        assert (answer.status_code, answer.json()["status"]) == (200, "ready"), "it serves all the same"
        assert "noeviction" in answer.json()["warnings"]["eviction"]
        assert 'laneway_redis_warning{reason="no_aof"} 1.0' in api.metrics()
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("appendonly", "yes")
        wait_for(lambda: api.http.get("/readyz").json()["warnings"] == {})
        assert "laneway_redis_warning{" not in api.metrics()


def test_redis_is_too_old(
    tmp_path: Path, mongo_url: str, mongo_database: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with (
        redis_6(tmp_path) as server,
        in_thread(settings_of(server.url, mongo_url, "old", mongo_database)) as api,
    ):
        assert_refused(api, "older than 7.0", capfd)


def test_redis_is_a_replica(
    redis_server: Embedded,
    tmp_path: Path,
    mongo_url: str,
    mongo_database: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    with embedded.valkey(tmp_path / "other", appendfsync="always") as primary:
        address = urlsplit(primary.url)
        client = redis.Redis.from_url(redis_server.url)
        client.execute_command("REPLICAOF", address.hostname, address.port)
        with in_thread(settings_of(redis_server.url, mongo_url, "replica", mongo_database)) as api:
            assert_refused(api, "read-only", capfd)
        client.execute_command("REPLICAOF", "NO", "ONE")

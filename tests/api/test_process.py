"""`laneway api` as in production: several processes behind one port, their metrics, how they end, and what their death does."""

from __future__ import annotations

import gc
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from laneway.api.server import Server
from laneway.presence import PresenceSweeper
from laneway.settings import Settings
from tests.api.running import ROOT, Process, closed, process, settings_of, wait_for
from tests.plain_http import NO_TLS

Start = Callable[..., Process]


def children(pid: int) -> list[int]:
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    return [int(line) for line in found.stdout.split()]


@pytest.fixture
def start(
    redis_url: str, mongo_url: str, prefix: str, mongo_database: str, tmp_path: Path
) -> Iterator[Start]:
    with ExitStack() as stack:
        count = 0

        def begin(**options: object) -> Process:
            nonlocal count
            count += 1
            settings = settings_of(redis_url, mongo_url, prefix, mongo_database, **options)
            return stack.enter_context(process(settings, tmp_path / f"api{count}.log"))

        yield begin


def counted(page: str, pattern: str) -> float:
    return sum(float(value) for value in re.findall(rf"^{pattern} (\S+)$", page, re.MULTILINE))


ENQUEUES = r'laneway_api_request_seconds_count\{method="POST",route="/api/enqueue",status="200"\}'


def test_metrics_of_two_processes_are_added_up(start: Start) -> None:
    """Whichever process answers, and also after one has died."""
    api = start(api_processes=2)
    headers = api.api.auth("ann")

    def enqueue(_number: int) -> None:
        # On a new connection, which either process may accept.
        with httpx.Client(base_url=api.api.url, verify=NO_TLS, timeout=20) as client:
            assert client.post("/api/enqueue", json={"request": 1}, headers=headers).status_code == 200

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(enqueue, range(100)))
    workers = children(api.pid)
    assert len(workers) == 2
    with pytest.raises(InvalidStatus), api.api.connect({"authorization": "Bearer x"}):
        pass
    logged = {line["event"] for line in api.lines() if line["level"] in ("warning", "error")}
    # On a busy machine Redis may not answer in time, and a heartbeat is missed.
    assert logged <= {"redis_unsafe", "heartbeat_failed"}, "a wrong token is not logged"
    with ExitStack() as stack:
        for _ in range(10):
            stack.enter_context(api.api.connect(headers))
        pages = [api.api.metrics() for _ in range(6)]
        assert {counted(page, ENQUEUES) for page in pages} == {100}
        assert {counted(page, r'laneway_jobs_total\{state="queued"\}') for page in pages} == {100}
        assert {counted(page, "laneway_connections") for page in pages} == {10}
        os.kill(workers[0], signal.SIGKILL)
        wait_for(lambda: len(alive := children(api.pid)) == 2 and workers[0] not in alive)

        def left() -> float:
            return counted(api.api.metrics(), "laneway_connections")

        wait_for(lambda: left() < 10)  # the connections of the dead process no longer count
    page = wait_for(api.api.metrics)
    assert counted(page, ENQUEUES) == 100  # but its counters stay


@pytest.mark.thorough  # four processes; one registers it in test_admin
def test_processes_that_start_together_register_one_administrator(start: Start) -> None:
    api = start(api_processes=4, admin_username="root1", admin_password="correct horse")
    body = {"username": "root1", "password": "correct horse"}
    wait_for(lambda: api.api.http.post("/api/login", json=body).status_code == 200)
    api.signal(signal.SIGTERM)
    assert api.wait(40) == 0  # the last of the four may still be starting
    told = [line["event"] for line in api.lines() if line["event"].startswith("admin_")]
    assert told == ["admin_registered"]
    assert [line for line in api.lines() if line["level"] == "error"] == []


def test_sigterm_drains(start: Start) -> None:
    """It is not ready at once but still serves. Then it closes live connections with 1012, and leaves no file behind."""
    api = start()
    user = api.api.user()
    headers = api.api.auth(user)
    with api.api.connect(headers) as socket:
        assert api.api.http.get("/readyz").status_code == 200
        assert list(api.temporary.glob("*/*.db"))  # its metrics
        api.signal(signal.SIGTERM)
        wait_for(lambda: api.api.http.get("/readyz").status_code == 503, 2)
        reply = api.api.http.post("/api/enqueue", json={"request": 1}, headers=headers)
        assert reply.status_code == 200
        assert reply.headers["connection"] == "close"
        assert closed(socket)[0] == 1012
    assert api.wait(10) == 0
    assert (
        api.api.lanes.client.zcard(api.api.lanes.key(f"connections:{user}")) == 0
    )  # presence knows about it
    assert list(api.temporary.iterdir()) == []


@pytest.mark.thorough  # the test above drains one
def test_sigterm_without_clients_ends_at_once(start: Start) -> None:
    api = start()
    api.api.http.close()
    api.signal(signal.SIGTERM)
    assert api.wait(10) == 0
    times = {line["event"]: datetime.fromisoformat(line["ts"]) for line in api.lines()}
    assert times["Shutting down"] - times["Handling signal: term"] < timedelta(seconds=1)


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGQUIT, marks=pytest.mark.thorough)])
def test_sigint_and_sigquit_end_it(start: Start, number: int) -> None:
    api = start()
    with api.api.connect(api.api.auth(api.api.user())):
        api.signal(number)
        assert api.wait(10) == 0


def test_sigterm_under_load_loses_no_request(start: Start) -> None:
    """Every request on an accepted connection is answered, then connections are refused. The log has every job."""
    api = start(api_processes=2)
    statuses: list[int] = []
    broken: list[Exception] = []

    def load() -> None:
        headers = api.api.auth(api.api.user())
        while True:
            with httpx.Client(base_url=api.api.url, timeout=20) as client:
                try:
                    for _ in range(20):
                        reply = client.post("/api/enqueue", json={"request": 1}, headers=headers)
                        statuses.append(reply.status_code)
                        if reply.headers.get("connection") == "close":
                            return
                except httpx.ConnectError:
                    return
                except httpx.TransportError as error:
                    broken.append(error)
                    return

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(statuses) > 100)
    api.signal(signal.SIGTERM)
    for thread in threads:
        thread.join(20)
    assert api.wait(15) == 0
    assert set(statuses) == {200}
    assert broken == []
    accepted = [line for line in api.lines() if line["event"] == "accepted"]  # each line is JSON
    assert len({line["job_id"] for line in accepted}) == len(accepted) == len(statuses)
    assert {line["service"] for line in accepted} == {"api"}


@pytest.mark.thorough  # three processes; test_presence shows the rule
def test_users_who_reconnect_after_a_pods_death_are_not_disconnected(start: Start) -> None:
    grace = 600  # the test itself may take a minute
    dying, other = start(api_processes=2), start()
    api = other.api
    users = [f"user{n:02}" for n in range(20)]
    job_ids = {user: api.enqueue(user) for user in users}
    sweeper = PresenceSweeper(api.lanes.lanes)
    presence = api.lanes.key("presence")

    def age(seconds: int) -> None:
        for user, score in api.lanes.client.zrange(presence, 0, -1, withscores=True):
            api.lanes.client.zadd(presence, {user: score - seconds * 1000})
            key = api.lanes.key(f"connections:{user.decode()}")
            for connection in api.lanes.client.zrange(key, 0, -1):
                api.lanes.client.zincrby(key, -seconds * 1000, connection)

    def hold(at: Process, stack: ExitStack, users: list[str], count: int) -> None:
        for user in users:
            headers = at.api.auth(user)
            for _ in range(count):
                stack.enter_context(at.api.connect(headers))

    with ExitStack() as stack:
        hold(dying, stack, users, 10)
        assert api.lanes.client.zcard(presence) == 20
        assert sum(api.lanes.client.zcard(api.lanes.key(f"connections:{user}")) for user in users) == 200
        dying.kill()
    age(grace - 60)
    assert list(sweeper.take_disconnected(grace)) == []
    with ExitStack() as stack:
        hold(other, stack, users[:15], 1)
        age(61)
        gone = {user for user, _ in sweeper.take_disconnected(grace)}
        assert gone == set(users[15:])
        assert list(sweeper.take_disconnected(grace)) == []
        for user in users[:15]:
            assert api.job(user, job_ids[user])["state"] == "queued"


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this host has no IPv6")
def test_it_listens_on_ipv6_and_ipv4(start: Start) -> None:
    api = start(api_host="::")
    for host in ("127.0.0.1", "[::1]"):
        assert httpx.get(f"http://{host}:{api.port}/healthz").status_code == 200


def run(**environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("LANEWAY_")}
    return subprocess.run(
        [sys.executable, "-m", "laneway.api"],
        cwd=ROOT,
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_refuses_to_start_without_a_secret() -> None:
    ended = run()
    assert ended.returncode != 0
    assert "LANEWAY_JWT_SECRET" in ended.stderr


def test_it_refuses_to_start_with_a_broken_handler_module() -> None:
    ended = run(LANEWAY_JWT_SECRET="x" * 32, LANEWAY_HANDLERS="no.such.module")
    assert ended.returncode != 0
    assert "no.such.module" in ended.stdout + ended.stderr


def test_the_collector_works_once_the_app_is_loaded() -> None:
    """`main` turns it off before the imports."""
    gc.disable()
    try:
        Server(Settings(_env_file=None)).load()
        assert gc.isenabled()
    finally:
        gc.enable()


def test_it_imports_no_celery() -> None:
    code = "import sys, laneway.api.server; sys.exit(any(m.split('.')[0] in ('celery', 'kombu') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_an_idle_connection_stays_open_as_long_as_it_is_set(start: Start) -> None:
    api = start(api_processes=1, keep_alive_seconds=1)
    with closing(HTTPConnection("127.0.0.1", api.port, timeout=10)) as connection:
        connection.connect()
        client = connection.sock
        for _ in range(2):
            connection.request("GET", "/healthz")
            reply = connection.getresponse()
            assert (reply.status, reply.read()) == (200, b'{"status":"ok"}')
            assert reply.getheader("keep-alive") == "timeout=1", "Node's fetch, for one, closes before that"
            assert connection.sock is client
        idle_since = time.monotonic()
        while client.recv(65536):
            pass
        assert 0.9 < time.monotonic() - idle_since < 5

"""Starts the API over real HTTP, in a thread of the test or as the processes of production, and helps tests to use it."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pymongo
import uvicorn
from pydantic import SecretStr
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection
from websockets.sync.client import connect as open_socket

from laneway.api.app import create_app, uvicorn_options
from laneway.api.protocol import UNREAD_HEARTBEATS
from laneway.api.server import limit_unread
from laneway.api.tokens import Tokens
from laneway.compat.uvicorn import is_noise
from laneway.dev.embedded import free_port
from laneway.lanes.commands import Archived, Outbox
from laneway.lanes.model import Job, JobState, Lease
from laneway.settings import Settings
from laneway.storage.history_writer import HistoryWriter
from laneway.storage.mongo import connect_janitor
from laneway.storage.users import Role
from tests.lanes.driver import Driver
from tests.plain_http import NO_TLS

T = TypeVar("T")
SECRET = "a secret of the tests, 32 bytes long"
ROOT = Path(__file__).parents[2]


def wait_for(condition: Callable[[], T], seconds: float = 20) -> T:
    """Return the first truthy value of `condition`. Fails after `seconds`."""
    began = time.monotonic()
    while not (value := condition()):
        waited = time.monotonic() - began
        assert waited < seconds, f"not within {seconds} s: {value!r}"
        time.sleep(min(max(0.005, waited / 10), 0.05))  # the longer it takes anyway, the rarer
    return value


def settings_of(redis_url: str, mongo_url: str, prefix: str, database: str, **options: Any) -> Settings:
    values: dict[str, Any] = {
        "jwt_secret": SECRET,
        "api_processes": 1,
        "api_metrics_port": free_port(),
        "argon2_parallel": 2,
        "registrations_per_minute": 0,
        "mongo_timeout_seconds": 5,  # the embedded server shares the processors with all other tests
    } | options
    return Settings(
        _env_file=None,
        redis_url=redis_url,
        mongo_url=mongo_url,
        key_prefix=prefix,
        mongo_database=database,
        **values,
    )


class Api:
    """The address of an API, and the lanes behind it."""

    def __init__(self, settings: Settings, url: str) -> None:
        self.settings = settings
        self.url = url
        self.metrics_url = f"http://127.0.0.1:{settings.api_metrics_port}/metrics"
        self.http = httpx.Client(
            base_url=url, verify=NO_TLS, timeout=30, headers={"accept-encoding": "identity"}
        )
        self.lanes = Driver(settings.redis_url, settings.key_prefix)
        self.tokens = Tokens({"1": SECRET.encode()}, "1", seconds=3600)

    def close(self) -> None:
        self.http.close()
        self.lanes.close()

    def user(self) -> str:
        """Return a name that no other test uses. Whoever has a token needs no entry in MongoDB."""
        return "u" + secrets.token_hex(6)

    def auth(self, user: str, role: Role = Role.USER) -> dict[str, str]:
        """Return headers with a new token of this user."""
        return {"authorization": f"Bearer {self.tokens.issue(user, role)}"}

    def admin(self) -> dict[str, str]:
        return self.auth(self.user(), Role.ADMIN)

    def metrics(self) -> str:
        """Return the page for Prometheus."""
        reply = self.http.get(self.metrics_url)
        assert reply.status_code == 200, reply.text
        return reply.text

    def enqueue(self, user: str, request: Any = None, **more: Any) -> str:
        reply = self.http.post("/api/enqueue", json={"request": request, **more}, headers=self.auth(user))
        assert reply.status_code == 200, reply.text
        return str(reply.json()["job_id"])

    def job(self, user: str, job_id: str) -> dict[str, Any]:
        reply = self.http.get(f"/api/jobs/{job_id}", headers=self.auth(user))
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    def start(self, user: str) -> list[Lease]:
        """Start the user's jobs that can start, as a worker does. Jobs of other tests are released."""
        leases = self.lanes.claim(10_000)
        mine = [lease for lease in leases if lease.user == user]
        if others := [lease for lease in leases if lease.user != user]:
            self.lanes.release(*others)
        assert mine
        assert self.lanes.start(*mine) == [1] * len(mine)
        return mine

    def end(self, user: str, state: JobState = JobState.SUCCEEDED, body: bytes = b'"done"') -> str:
        """Enqueue a job, end it, and return its id. Redis still has it. The user's lane must be empty."""
        self.lanes.enqueue(user)
        (lease,) = self.start(user)
        assert self.lanes.finish(lease, state=state, body=body) == [True]
        return lease.job_id

    def outbox(self) -> list[Job]:
        """Return the ended jobs that MongoDB does not have yet."""
        return self.lanes.run(Outbox(500))

    def archive(self) -> None:
        """Move all ended jobs to MongoDB, as the janitor does."""
        writer = HistoryWriter(connect_janitor(self.settings.mongo_url)[self.settings.mongo_database])
        while jobs := self.outbox():
            writer.store(jobs)
            self.lanes.run(Archived.of(jobs))

    def mongo(self) -> Any:
        """Return the database, for inspection and changes."""
        return pymongo.MongoClient[dict[str, Any]](self.settings.mongo_url)[self.settings.mongo_database]

    @contextmanager
    def connect(
        self, headers: dict[str, str] | None = None, *, path: str = "/api/connect", **options: Any
    ) -> Iterator[ClientConnection]:
        """Open a WebSocket and wait for its first message."""
        url = self.url.replace("http", "ws", 1) + path
        with open_socket(url, additional_headers=headers, proxy=None, **options) as socket:
            first = receive(socket)
            assert first["event"] == "connected", first
            yield socket


def receive(socket: ClientConnection, seconds: float = 10) -> dict[str, Any]:
    return dict(json.loads(socket.recv(timeout=seconds)))


def closed(socket: ClientConnection) -> tuple[int, str]:
    """Return the code and reason with which the server closes it. Messages before are skipped."""
    try:
        while True:
            socket.recv(timeout=10)
    except ConnectionClosed as error:
        return (error.rcvd.code, error.rcvd.reason) if error.rcvd else (0, "without a word")


def problem(reply: httpx.Response, status: int, slug: str) -> dict[str, Any]:
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = reply.json()
    assert document["type"] == f"urn:laneway:problem:{slug}"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    return document


@contextmanager
def in_thread(settings: Settings) -> Iterator[Api]:
    """Serve the app with uvicorn in a thread, with the options of a worker process."""
    port = free_port()
    app = create_app(settings)
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=port,
        **uvicorn_options(settings.heartbeat_seconds),
        log_config=None,
        timeout_graceful_shutdown=3,
    )
    server = uvicorn.Server(config)
    listeners = [socket.create_server(("127.0.0.1", port)) for port in (port, settings.api_metrics_port)]
    for listener in listeners:
        limit_unread(listener, UNREAD_HEARTBEATS * settings.heartbeat_seconds)
    logging.getLogger("uvicorn.error").addFilter(_is_no_noise)

    def serve() -> None:
        with ExitStack() as stack, asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
            for listener in listeners:
                stack.enter_context(listener)
            runner.run(server.serve(sockets=listeners))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    wait_for(lambda: server.started or not thread.is_alive())
    assert server.started
    api = Api(settings, f"http://127.0.0.1:{port}")
    try:
        yield api
    finally:
        api.close()
        server.should_exit = True
        thread.join(15)
        assert not thread.is_alive()


def _is_no_noise(record: logging.LogRecord) -> bool:
    return not is_noise(record)


def _text(value: Any) -> str:
    return str(value.get_secret_value() if isinstance(value, SecretStr) else value)


class Process:
    """`laneway api` as in production."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self.port = free_port()
        self.log = log
        self.temporary = log.with_suffix(".tmp")
        """Its temporary files. A folder of its own, since files of an earlier process may carry the same process id."""
        self.temporary.mkdir()
        values = settings.model_dump(exclude_unset=True) | {"api_port": self.port}
        environment = {f"LANEWAY_{name.upper()}": _text(value) for name, value in values.items()}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("LANEWAY_")}
        with log.open("wb") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "laneway.api"],
                cwd=ROOT,
                env=inherited | environment | {"TMPDIR": str(self.temporary)},
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.api = Api(settings, f"http://127.0.0.1:{self.port}")

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_ready(self) -> None:
        def ready() -> bool:
            assert self._process.poll() is None, self.log.read_text()
            try:
                return self.api.http.get("/healthz").status_code == 200
            except httpx.TransportError:
                return False

        wait_for(ready, 40)

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill all of its processes at once, as the death of a node does."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def wait(self, seconds: float) -> int:
        return self._process.wait(seconds)

    def lines(self) -> list[dict[str, Any]]:
        """Return what it logged. Fails if a line is not JSON."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def close(self) -> None:
        self.api.close()  # first: a connection that stays open is waited for
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()


@contextmanager
def process(settings: Settings, log: Path) -> Iterator[Process]:
    running = Process(settings, log)
    try:
        running.wait_ready()
        yield running
    finally:
        running.close()

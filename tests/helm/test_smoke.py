"""The program of `helm test`, run against a small stand-in of the API."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.helm.chart import CHART, Helm, at, one

PROGRAM = CHART / "files" / "smoke.py"
LIMIT_SECONDS = 30


class Api(ThreadingHTTPServer):
    """Answers as the API does; each job has ended as soon as it is read."""

    def __init__(self, types: set[str]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.types = types
        self.state = "succeeded"
        self.is_open = True
        self.sent: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Api

    def do_GET(self) -> None:
        """A job."""
        (sent,) = self.server.sent
        ended = {"state": self.server.state, "result": sent["request"], "error": None}
        self._answer(200, ended)

    def do_POST(self) -> None:
        """Register, log in, enqueue and log out."""
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")
        match self.path:
            case "/api/register" if not self.server.is_open:
                self._answer(403, {"type": "urn:laneway:registration-closed"})
            case "/api/login":
                self._answer(200, {"token": "t"})
            case "/api/enqueue" if body["type"] not in self.server.types:
                self._answer(400, {"type": "urn:laneway:unknown-type", "detail": "known types: mine"})
            case "/api/enqueue":
                self.server.sent.append(body)
                self._answer(200, {"job_id": "j1"})
            case _:
                self._answer(201, {})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def api(request: pytest.FixtureRequest) -> Iterator[Api]:
    """Run a stand-in whose handlers have the type `mine`, and `echo` unless the test says otherwise."""
    server = Api({"mine", *getattr(request, "param", ("echo",))})
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(PROGRAM), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_SECONDS)


def _arguments(helm: Helm, *values: dict[str, Any]) -> list[str]:
    """What the test pod passes after the URL."""
    (container,) = one(helm.render(*values), "Pod", "test")["spec"]["containers"]
    return list(container["args"][-2:])


def test_it_follows_an_echo_by_default(api: Api, helm: Helm) -> None:
    done = _run(api.url, *_arguments(helm))
    assert done.returncode == 0, done.stderr
    assert "succeeded" in done.stdout
    assert api.sent == [{"type": "echo", "request": {"hello": "laneway"}}]


@pytest.mark.parametrize("api", [()], indirect=True)
def test_it_passes_with_handlers_that_have_no_echo(api: Api, helm: Helm) -> None:
    done = _run(api.url, *_arguments(helm))
    assert done.returncode == 0, done.stderr
    assert "set helmTest.type" in done.stdout
    assert api.sent == []


def test_it_passes_where_registration_is_closed(api: Api) -> None:
    api.is_open = False
    done = _run(api.url)
    assert done.returncode == 0, done.stderr
    assert "registration is not open" in done.stdout


def test_it_sends_the_type_and_request_of_the_values(api: Api, helm: Helm) -> None:
    request = {"text": "it's 100 %", "n": [1]}
    done = _run(api.url, *_arguments(helm, at("helmTest", {"type": "mine", "request": json.dumps(request)})))
    assert done.returncode == 0, done.stderr
    (sent,) = api.sent
    assert sent == {"type": "mine", "request": request}


def test_a_type_that_the_values_name_must_exist(api: Api) -> None:
    done = _run(api.url, "misspelt", "{}")
    assert done.returncode == 1
    assert "unknown-type" in done.stderr


def test_a_failed_job_fails_the_test(api: Api) -> None:
    api.state = "failed"
    done = _run(api.url, "", '{"hello": 1}')
    assert done.returncode == 1
    assert "job j1 is failed" in done.stderr


def test_an_api_that_does_not_answer_fails_the_test() -> None:
    done = _run("http://127.0.0.1:9")
    assert done.returncode == 1
    assert "refused" in done.stderr

"""`laneway dev` as a real process, in a folder of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from laneway.dev.embedded import free_port
from tests.plain_http import NO_TLS

WAIT_SECONDS = 60
PASSWORD = "correct horse battery"


def _started(pid: int) -> int:
    """When a process was started, in ticks since the boot."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


class Machine:
    """One machine with a data directory. Its processes are found by the data directory in their environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.environment = {
            name: text for name, text in os.environ.items() if not name.startswith("LANEWAY_")
        } | {
            "LANEWAY_DATA_DIR": str(self.data),
            "LANEWAY_API_PORT": str(free_port()),
            "LANEWAY_API_METRICS_PORT": str(free_port()),
            "LANEWAY_WORKER_METRICS_PORT": str(free_port()),
            "LANEWAY_WORKER_PROCESSES": "1",
            "LANEWAY_API_PROCESSES": "1",
            "LANEWAY_SHUTDOWN_GRACE_SECONDS": "5",
        }
        self.url = f"http://127.0.0.1:{self.environment['LANEWAY_API_PORT']}"
        self.http = httpx.Client(
            base_url=self.url,
            verify=NO_TLS,
            timeout=20,
            limits=httpx.Limits(max_keepalive_connections=0),  # its API is restarted
        )
        self.output = folder / "terminal"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
        with self.output.open("wb") as terminal:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "laneway", "dev", *arguments],
                cwd=self.folder,
                env=self.environment | variables,
                stdout=terminal,
                stderr=subprocess.STDOUT,
            )
        return self.process

    def up(self, *arguments: str, **variables: str) -> None:
        process = self.start(*arguments, **variables)
        self.wait_until(lambda: "Try it" in self.terminal() or process.poll() is not None)
        assert process.poll() is None, self.terminal()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(WAIT_SECONDS)

    def terminal(self) -> str:
        return self.output.read_text()

    def log(self) -> list[dict[str, Any]]:
        """The whole lines of the log file. The last one may be half written."""
        *lines, _ = (self.folder / "logs/queue_system.log").read_bytes().split(b"\n")
        return [json.loads(line) for line in lines]

    def running(self) -> dict[int, str]:
        """Process id and command line of every process that runs on this machine."""
        mark = f"LANEWAY_DATA_DIR={self.data}".encode()
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if mark in (entry / "environ").read_bytes().split(b"\0"):
                        found[int(entry.name)] = (
                            (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                        )
                except OSError:
                    continue
        return {pid: command for pid, command in found.items() if command}

    def pid(self, command: str) -> int:
        """The oldest process whose command line contains this. Process ids start again when the highest has been given."""
        return min((pid for pid, line in self.running().items() if command in line), key=_started)

    def wait_until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"{self.running()}\n{self.terminal()}"
            time.sleep(0.05)

    def wait_for_api(self) -> None:
        def is_ready() -> bool:
            try:
                return self.http.get("/readyz").status_code == httpx.codes.OK
            except httpx.TransportError:
                return False

        self.wait_until(is_ready)

    def token(self, user: str) -> str:
        body = {"username": user, "password": PASSWORD}
        self.http.post("/api/register", json=body).raise_for_status()
        answer = self.http.post("/api/login", json=body).raise_for_status()
        return str(answer.json()["token"])

    def ask(self, method: str, path: str, token: str, **more: Any) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {token}"}
        answer = self.http.request(method, path, headers=headers, **more).raise_for_status()
        return dict(answer.json())

    def enqueue(self, token: str, request: object, kind: str = "echo") -> str:
        return str(self.ask("POST", "/api/enqueue", token, json={"type": kind, "request": request})["job_id"])

    def job(self, token: str, job_id: str) -> dict[str, Any]:
        return self.ask("GET", f"/api/jobs/{job_id}", token)

    def curl_session(self) -> str:
        """The commands of the session that it prints."""
        text = self.terminal().partition("Try it")[2].partition("\nor:")[0]
        return "\n".join(line for line in text.splitlines() if line.startswith("  "))


@contextmanager
def machine_in(folder: Path) -> Iterator[Machine]:
    """A machine whose processes have ended afterwards, whatever happens."""
    machine = Machine(folder)
    yield machine
    machine.http.close()
    if machine.process is not None and machine.process.poll() is None:
        machine.stop()
    try:
        machine.wait_until(lambda: not machine.running())
    finally:
        for pid in machine.running():
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    with machine_in(tmp_path) as machine:
        yield machine

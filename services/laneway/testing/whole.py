"""A whole Laneway for tests: API, worker and embedded servers, as `laneway dev` runs them, on free ports."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from laneway.client import Client
from laneway.dev.embedded import free_port, spawn
from laneway.dev.machine import answers

START_SECONDS = 60.0
STOP_SECONDS = 30.0
POLL_SECONDS = 0.05
_HOST = "127.0.0.1"


class System:
    """A running system. `url` is its API, `log` the file with what API and worker have logged."""

    def __init__(self, url: str, log: Path, stack: ExitStack) -> None:
        self.url = url
        self.log = log
        self._stack = stack
        self._passwords: dict[str, str] = {}

    def client(self, username: str) -> Client:
        """Return a client of this user, who is registered on first use. It is closed with the system."""
        is_new = username not in self._passwords
        password = self._passwords.setdefault(username, secrets.token_urlsafe(16))
        client = self._stack.enter_context(Client(self.url, username=username, password=password))
        if is_new:
            client.register(username, password)
        return client


@contextmanager
def system(*modules: str, **settings: object) -> Iterator[System]:
    """Run a system with the handlers of these modules, for the length of a `with` block.

    It takes seconds to start: share it, with a fixture for the whole session. Its processes import modules from where this
    process does. `settings` are those of Laneway, for example `worker_processes=2`. Raises RuntimeError if it does not start.
    """
    with TemporaryDirectory(prefix="laneway-test-") as name, ExitStack() as stack:
        folder, ports = Path(name), [free_port() for _ in range(3)]
        values = {
            "handlers": ",".join(modules),
            "data_dir": folder / "data",
            "log_file": folder / "log",
            "api_processes": 1,
            "worker_processes": 1,
            "api_port": ports[0],
            "api_metrics_port": ports[1],
            "worker_metrics_port": ports[2],
            "shutdown_grace_seconds": 2,
            "registrations_per_minute": 0,
            **settings,
        }
        output = folder / "output"
        with output.open("wb") as file:
            process = spawn(
                [sys.executable, "-m", "laneway.dev"], output=file.fileno(), env=_environment(values)
            )
        stack.callback(_stop, process)
        _await_start(process, ports, output)
        yield System(f"http://{_HOST}:{ports[0]}", folder / "log", stack)


def _environment(settings: dict[str, object]) -> dict[str, str]:
    """Return this process's environment with these settings of Laneway and no others."""
    inherited = {name: text for name, text in os.environ.items() if not name.startswith("LANEWAY_")}
    ours = {f"LANEWAY_{name.upper()}": str(value) for name, value in settings.items()}
    return inherited | ours | {"PYTHONPATH": os.pathsep.join(path or "." for path in sys.path)}


def _await_start(process: subprocess.Popen[bytes], ports: list[int], output: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not (answers(_HOST, ports[0], "/readyz") and answers(_HOST, ports[2], "/readyz")):
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"the system does not start:\n{output.read_text(errors='replace')[-4000:]}")
        time.sleep(POLL_SECONDS)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()

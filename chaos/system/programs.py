"""The system's programs as real processes that are started again when they end, as a cluster would do it.

Every process of a program is found by a marker in its environment, even after it has lost its parent. So a test can freeze or
kill a whole pod at once, and can see that nothing is left of it.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from chaos.system.death_watcher import DeathWatcher
from chaos.system.procfs import all_pids, children, command_line, has_environment
from laneway.dev import embedded

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
MARKER = "CHAOS_PROGRAM"
RESTART_SECONDS = 0.5
CHECK_SECONDS = 0.05
POLL_SECONDS = 0.02


def wait_for(
    condition: Callable[[], T], seconds: float, what: str, *, poll_seconds: float = POLL_SECONDS
) -> T:
    """Return the first truthy value of `condition`. Raises AssertionError after `seconds`; `what` names the condition."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(poll_seconds)
    return value


class Program:
    """One program with all its processes. While `wanted` is true, the restarter starts it whenever it does not run."""

    def __init__(self, name: str, module: str, environment: Mapping[str, str], folder: Path) -> None:
        self.name, self.module, self.wanted, self.starts = name, module, False, 0
        self.extra_environment: dict[str, str] = {}
        """For the next start, such as a wrong clock."""
        self.process: subprocess.Popen[bytes] | None = None
        self._environment = dict(environment)
        self._folder = folder
        self._marker = f"{name}-{secrets.token_hex(8)}"

    def start(self) -> None:
        """Start without waiting. The calling thread must live as long as the program, which ends with it."""
        environment = {name: text for name, text in os.environ.items() if not name.startswith("LANEWAY_")}
        environment |= self._environment | self.extra_environment
        environment |= {MARKER: self._marker, "TMPDIR": str(self._folder)}
        environment["PYTHONPATH"] = os.pathsep.join(
            [str(ROOT), *filter(None, [environment.get("PYTHONPATH")])]
        )
        self.starts += 1
        with self.log.open("ab") as log:
            self.process = embedded.spawn(
                [sys.executable, "-m", self.module], output=log.fileno(), cwd=self._folder, env=environment
            )

    @property
    def log(self) -> Path:
        """The file that holds the output of all starts."""
        return self._folder / f"{self.name}.log"

    @property
    def pid(self) -> int:
        """The pid of the process that was started, the parent of all others."""
        assert self.process is not None
        return self.process.pid

    def running(self) -> bool:
        """Tell whether the process that was started has not ended."""
        return self.process is not None and self.process.poll() is None

    def pids(self) -> list[int]:
        """Return the pids of all its processes."""
        entry = f"{MARKER}={self._marker}".encode()
        return [pid for pid in all_pids() if has_environment(pid, entry)]

    def signal(self, number: signal.Signals, pids: Iterable[int] | None = None) -> None:
        """Send a signal to these of its processes, or to all."""
        for pid in self.pids() if pids is None else pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """Send SIGKILL to all its processes until none is left."""
        deadline = time.monotonic() + 10
        while (pids := self.pids()) and time.monotonic() < deadline:
            self.signal(signal.SIGKILL, pids)
            if self.process is not None:
                self.process.poll()  # reaps it
            time.sleep(0.005)
        if self.process is not None:
            self.process.wait(10)


class Worker(Program):
    """`laneway worker`: a supervisor, the lease keeper with the janitor in it, Celery, and the processes of its pool."""

    def __init__(
        self, name: str, environment: Mapping[str, str], folder: Path, *, processes: int, port: int
    ) -> None:
        own = {"LANEWAY_WORKER_PROCESSES": str(processes), "LANEWAY_WORKER_METRICS_PORT": str(port)}
        super().__init__(name, "laneway.worker", {**environment, **own}, folder)
        self.processes, self.port = processes, port

    @property
    def lease_keeper(self) -> int | None:
        """The pid of the lease keeper; None while there is none."""
        return self._child_of(b"lease_keeper")

    @property
    def celery(self) -> int | None:
        """The pid of Celery's main process; None while there is none."""
        return self._child_of(b"laneway.worker.celery.app")

    @property
    def pool(self) -> list[int]:
        """The pids of the processes that run jobs, the oldest first."""
        celery = self.celery
        return children(celery) if celery else []

    def _child_of(self, name: bytes) -> int | None:
        return next((pid for pid in children(self.pid) if name in command_line(pid)), None)


class Api(Program):
    """`laneway api`: gunicorn's parent and its processes."""

    def __init__(
        self, name: str, environment: Mapping[str, str], folder: Path, *, processes: int, port: int
    ) -> None:
        own = {
            "LANEWAY_API_PROCESSES": str(processes),
            "LANEWAY_API_PORT": str(port),
            "LANEWAY_API_METRICS_PORT": "0",
        }
        super().__init__(name, "laneway.api", {**environment, **own}, folder)
        self.processes, self.port = processes, port
        self.url = f"http://127.0.0.1:{port}"

    @property
    def children(self) -> list[int]:
        """The pids of the processes that answer requests."""
        return children(self.pid)


class Restarter(threading.Thread):
    """Starts each wanted program half a second after it has ended. First it kills what is left of the program: when the first
    process of a container ends, the others are gone too."""

    def __init__(self, programs: Iterable[Program], watcher: DeathWatcher) -> None:
        super().__init__(name="restarter")
        self._programs, self._watcher = list(programs), watcher
        self._stopping = threading.Event()

    def run(self) -> None:
        """Run until `stop`."""
        start_at: dict[str, float] = {}
        while not self._stopping.wait(CHECK_SECONDS):
            for program in self._programs:
                if program.running() or not program.wanted:
                    start_at.pop(program.name, None)
                    continue
                if program.name not in start_at:
                    if program.process is not None:
                        program.kill()
                    start_at[program.name] = time.monotonic() + (RESTART_SECONDS if program.starts else 0)
                if time.monotonic() >= start_at[program.name]:
                    program.start()
                    self._watcher.add(program.pid)

    def stop(self) -> None:
        """End the thread, and with it the programs that it started."""
        self._stopping.set()
        self.join(30)

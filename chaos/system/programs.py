"""The system's programs as real processes, started again when they end, as a cluster would do it.

Every process of a program, also one that has lost its parent, is found by a mark in its environment, so that a test
can freeze or kill all of a pod at once, and can see that nothing is left.
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

from chaos.system.death_watcher import Watcher, runs
from laneway.dev import embedded

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
MARK = "FAULTS_PROGRAM"
RESTART_SECONDS = 0.5
TEND_SECONDS = 0.05
POLL_SECONDS = 0.02


def wait_for(
    condition: Callable[[], T], seconds: float, what: str, *, poll_seconds: float = POLL_SECONDS
) -> T:
    """The first truthy value of `condition`. Raises AssertionError after `seconds`, saying `what` was waited for."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(poll_seconds)
    return value


class Program:
    """One program, such as a worker with all its processes. `wanted`: it is to be started when it does not run."""

    def __init__(self, name: str, module: str, environment: Mapping[str, str], folder: Path) -> None:
        self.name, self.module, self.wanted, self.starts = name, module, False, 0
        self.extra: dict[str, str] = {}
        """Environment of the next start, such as a wrong clock."""
        self.process: subprocess.Popen[bytes] | None = None
        self._environment = dict(environment)
        self._folder = folder
        self._mark = f"{name}-{secrets.token_hex(8)}"

    def start(self) -> None:
        """Start without waiting. The thread that starts it must live as long as the program."""
        environment = {name: text for name, text in os.environ.items() if not name.startswith("LANEWAY_")}
        environment |= self._environment | self.extra | {MARK: self._mark, "TMPDIR": str(self._folder)}
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
        return self._folder / f"{self.name}.log"

    @property
    def pid(self) -> int:
        """Of the process that was started: the parent of all others."""
        assert self.process is not None
        return self.process.pid

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def pids(self) -> list[int]:
        """All of its processes."""
        mark = f"{MARK}={self._mark}".encode()
        return [pid for pid in _all_pids() if _has(pid, mark)]

    def signal(self, number: signal.Signals, pids: Iterable[int] | None = None) -> None:
        """To these of its processes, or to all."""
        for pid in self.pids() if pids is None else pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def kill(self) -> None:
        """SIGKILL to all of its processes, until none is left."""
        deadline = time.monotonic() + 10
        while (pids := self.pids()) and time.monotonic() < deadline:
            self.signal(signal.SIGKILL, pids)
            if self.process is not None:
                self.process.poll()  # takes it away
            time.sleep(0.005)
        if self.process is not None:
            self.process.wait(10)

    def stop(self, seconds: float) -> int:
        """SIGTERM to its parent process, as a kubelet does; SIGKILL to what is left after `seconds`. The exit code."""
        if self.process is None:
            return 0
        self.process.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return -signal.SIGKILL
        finally:
            self.kill()


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
        return next((pid for pid in _children(self.pid) if b"lease_keeper" in _command(pid)), None)

    @property
    def celery(self) -> int | None:
        """Celery's main process."""
        return next(
            (pid for pid in _children(self.pid) if b"laneway.worker.celery.app" in _command(pid)), None
        )

    @property
    def pool(self) -> list[int]:
        """The processes that run jobs."""
        celery = self.celery
        return _children(celery) if celery else []


class Api(Program):
    """`laneway api`: gunicorn's parent and its processes."""

    def __init__(
        self, name: str, environment: Mapping[str, str], folder: Path, *, processes: int, port: int
    ) -> None:
        own = {"LANEWAY_API_PROCESSES": str(processes), "LANEWAY_API_PORT": str(port)}
        super().__init__(name, "laneway.api", {**environment, **own}, folder)
        self.processes, self.port = processes, port
        self.url = f"http://127.0.0.1:{port}"

    @property
    def children(self) -> list[int]:
        return _children(self.pid)


class Tender(threading.Thread):
    """Starts what is wanted and does not run, half a second after it has ended, with whatever of it was left killed:
    a container whose first process ends is gone with all it holds."""

    def __init__(self, programs: Iterable[Program], watcher: Watcher) -> None:
        super().__init__(name="tender")
        self._programs, self._watcher = list(programs), watcher
        self._over = threading.Event()

    def run(self) -> None:
        due: dict[str, float] = {}
        while not self._over.wait(TEND_SECONDS):
            for program in self._programs:
                if program.running() or not program.wanted:
                    due.pop(program.name, None)
                    continue
                if program.name not in due:
                    if program.process is not None:
                        program.kill()
                    due[program.name] = time.monotonic() + (RESTART_SECONDS if program.starts else 0)
                if time.monotonic() >= due[program.name]:
                    program.start()
                    self._watcher.add(program.pid)

    def stop(self) -> None:
        """Nothing is started from now on. What runs was started by this thread and dies with it."""
        self._over.set()
        self.join(30)


def _all_pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _has(pid: int, mark: bytes) -> bool:
    """Whether a living process has this in its environment."""
    try:
        return mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") and runs(pid)
    except OSError:
        return False


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""

"""Starts the lease keeper and Celery, and ends with them: `python -m laneway.worker.supervisor LEVEL START_SECONDS GRACE_SECONDS`,
which `laneway worker` becomes.

SIGTERM or SIGINT begins an orderly shutdown: running jobs may end within the grace time, the others go back to their lanes. If the
lease keeper or Celery dies, the other one is ended too, and the exit code asks whoever started the worker to start it again.

It also kills the orphans that dead pool processes leave behind, see `laneway.worker.orphans`, and logs what handlers print, see
`laneway.worker.captured_output`.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

import structlog

from laneway.parent import adopt_orphans, end_with_parent
from laneway.telemetry import log as logs
from laneway.worker import orphans, private_folder
from laneway.worker.captured_output import OutputReader

WARN_SECONDS = 10
"""Between two lines that say what the start waits for."""
END_SECONDS = 10
"""How long Celery and the lease keeper may take to end after the grace time before they are killed."""
WRONG_SETTING = 2
"""Exit code of a process that cannot run with these settings: starting it again would not help."""
USAGE = (
    "usage: python -m laneway.worker.supervisor LEVEL START_SECONDS GRACE_SECONDS (`laneway worker` calls it)"
)
_IMPORTS = "the lease keeper imports the modules of LANEWAY_HANDLERS"
log = structlog.get_logger()


class Supervisor:
    """Runs the two processes. Takes over SIGTERM and SIGINT of this process."""

    def __init__(self, folder: Path, *, start_seconds: float, grace_seconds: float) -> None:
        self._folder, self._start_seconds, self._grace_seconds = folder, start_seconds, grace_seconds
        self._output = OutputReader(folder)
        self._stopping = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def run(self) -> int:
        """Return the exit code: 0 after a shutdown that was asked for."""
        adopt_orphans()
        lease_keeper = _start("laneway.worker.lease_keeper", self._folder)
        celery = None
        try:
            if self._wait_for_lease_keeper(lease_keeper):
                celery = _start("laneway.worker.celery.app", self._folder)
                while not self._stopping and lease_keeper.poll() is None and celery.poll() is None:
                    orphans.kill(own=(lease_keeper.pid, celery.pid))
                    self._output.read(0.1)
        finally:
            was_asked = self._stopping
            code = self._end([p for p in (celery, lease_keeper) if p], self._grace_seconds + END_SECONDS)
            orphans.kill_all()
            self._output.read_all()
            self._output.close()
        if code == WRONG_SETTING:
            return code
        return 0 if was_asked and code == 0 else 1

    def _wait_for_lease_keeper(self, lease_keeper: subprocess.Popen[bytes]) -> bool:
        began = warned_at = time.monotonic()
        while not private_folder.socket_path(self._folder).exists():
            now = time.monotonic()
            if self._stopping or lease_keeper.poll() is not None:
                return False
            if now - began > self._start_seconds:
                log.error("start_timed_out", limit_seconds=self._start_seconds, reason=_IMPORTS)
                return False
            if now - warned_at > WARN_SECONDS:
                warned_at = now
                log.warning("lease_keeper_awaited", seconds=round(now - began), reason=_IMPORTS)
            self._output.read(0.02)
        return True

    def _end(self, processes: list[subprocess.Popen[bytes]], seconds: float) -> int:
        """Ask all to end, kill those that do not in time, and return the worst exit code."""
        for process in processes:
            process.terminate()
        deadline = time.monotonic() + seconds
        for process in processes:
            while process.poll() is None and time.monotonic() < deadline:
                self._output.read(0.02)
            if process.poll() is None:
                log.warning("process_killed", pid=process.pid, reason="it did not end in time at shutdown")
                process.kill()
                process.wait()
        return max((abs(process.returncode) for process in processes), default=1)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._stopping = True


def _start(module: str, folder: Path) -> subprocess.Popen[bytes]:
    """Start a part of the worker. Unbuffered: what a process has printed is not lost when it is killed."""
    parent = os.getpid()
    return subprocess.Popen(
        [sys.executable, "-u", "-m", module, str(folder)],
        start_new_session=True,
        preexec_fn=lambda: end_with_parent(signal.SIGTERM, parent),  # noqa: PLW1509 - one system call; this process has no threads
    )


def _check_semaphores() -> None:
    """Exit if the pool could not make its locks, which the kernel keeps in /dev/shm."""
    try:
        multiprocessing.Lock()
    except OSError:
        log.exception("semaphores_refused", reason="mount /dev/shm, writable for the worker's user")
        sys.exit(1)


def main(level: str, start_seconds: float, grace_seconds: float) -> None:
    """Run a worker until SIGTERM or until a part of it dies. `level`: of the log. Seconds: to import the handlers, and for running
    jobs to end at a shutdown."""
    logs.configure("worker", level)
    _check_semaphores()
    folder = private_folder.make()
    try:
        code = Supervisor(folder, start_seconds=start_seconds, grace_seconds=grace_seconds).run()
    finally:
        private_folder.remove(folder)
    if code:
        log.error("worker_failed", code=code)
    sys.exit(code)


if __name__ == "__main__":
    if len(sys.argv) != 4:
        print(USAGE, file=sys.stderr)
        sys.exit(WRONG_SETTING)
    main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]))

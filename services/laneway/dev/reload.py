"""Reloads handlers when a file is saved, without losing a job.

A save is first tried out in a process of its own. If the handlers cannot be used, the old ones go on and the error is shown. Else
the worker restarts as on any shutdown: it finishes what it runs within its grace time, and gives the rest back to the heads of
its lanes. Then the API restarts too, so that it knows the new types; for a second or two it refuses connections.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from watchfiles import Change, PythonFilter, watch

from laneway.dev.output import Output
from laneway.dev.supervisor import Child, Supervisor

QUIET_MS = 300
"""A save may be many changes: editors write a new file and rename it. After this long without one, it is over."""
MAX_NAMES = 3
"""Names of changed files that a line shows."""


class Reload:
    """Watches the Python files in `folder`. Call `step` in every round of the supervisor."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        supervisor: Supervisor,
        output: Output,
        *,
        api: Child,
        worker: Child,
    ) -> None:
        self._folder, self._environment = folder, environment
        self._supervisor, self._output = supervisor, output
        self._api, self._worker = api, worker
        self._changed: set[str] = set()
        self._changes_lock = threading.Lock()
        self._check: subprocess.Popen[str] | None = None
        self._checked: list[str] = []
        self._check_began = 0.0
        self._broken_at: float | None = None
        """When the first broken save was seen; None after a good one. A worker that starts later cannot have the old handlers."""
        self._stop = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="watch files", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._watcher.start()

    def close(self) -> None:
        """Watch no more."""
        self._stop.set()
        if self._check is not None:
            self._check.kill()
            self._check.communicate()

    def step(self) -> None:
        """Begin a check after a save, and reload after a check that went well."""
        if self._check is None:
            with self._changes_lock:
                changed, self._changed = self._changed, set()
            if changed:
                self._checked = sorted(changed)
                self._check_began = time.monotonic()
                self._check = self._begin_check()
        elif self._check.poll() is not None:
            check, self._check = self._check, None
            self._apply(check)

    def _begin_check(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "laneway.dev.check_handlers"],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _apply(self, check: subprocess.Popen[str]) -> None:
        _, complaint = check.communicate()
        names = ", ".join(self._checked[:MAX_NAMES]) + (" ..." if len(self._checked) > MAX_NAMES else "")
        if check.returncode:
            self._broken_at = self._broken_at or self._check_began
            self._output.log("error", "handlers_broken", changed=names)
            has_old = self._worker.running and self._worker.started < self._broken_at
            state = "The old handlers go on" if has_old else "No worker runs"
            self._output.terminal.say(f"{complaint.strip()}\n{state} until this is mended.")
            return
        self._broken_at = None
        for program in (self._worker, self._api):
            self._supervisor.stop([program])
            if self._supervisor.signals:
                return
            self._supervisor.start(program)
        self._output.log("info", "handlers_reloaded", changed=names)

    def _watch(self) -> None:
        for changes in watch(
            self._folder,
            watch_filter=PythonFilter(),
            debounce=QUIET_MS,
            stop_event=self._stop,
            raise_interrupt=False,
        ):
            self._remember(changes)

    def _remember(self, changes: set[tuple[Change, str]]) -> None:
        names = {str(Path(path).relative_to(self._folder)) for _, path in changes}
        with self._changes_lock:
            self._changed |= names

"""Records when processes die, so that the checker knows how long their attempts were in flight."""

from __future__ import annotations

import os
import select
import threading
import time
from pathlib import Path

from chaos.records import Death, write_record
from chaos.system.procfs import children, is_alive, process_name

DISCOVER_SECONDS = 0.1
POLL_SECONDS = 0.02


class DeathWatcher:
    """Watches some processes and all their descendants in a thread of its own, and records a `Death` for each that ends.

    The kernel reports an end at once (pidfd). A process that lived for less than `DISCOVER_SECONDS` may be missed; the checker
    then blames nobody for what that process did.
    """

    def __init__(self, records: Path) -> None:
        self._records = records
        self._lock = threading.Lock()  # guards the roots
        self._roots: set[int] = set()
        self.discoveries = 0
        """How many times the watcher has searched for new processes."""
        self._names: dict[int, str] = {}
        self._dead_names: set[str] = set()  # a dead process stays visible until its parent reaps it
        self._pids: dict[int, int] = {}  # pidfd -> pid
        self._stopping = threading.Event()
        self._poll = select.poll()
        self._thread = threading.Thread(target=self._run, name="death-watcher", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread. Later deaths are not recorded."""
        self._stopping.set()
        self._thread.join(5)
        for descriptor in self._pids:
            os.close(descriptor)

    def add(self, pid: int) -> None:
        """Watch this process and everything it starts."""
        with self._lock:
            self._roots = self._roots | {pid}

    def alive(self) -> dict[int, str]:
        """Return the names of the watched processes that live, by pid."""
        return dict(self._names)

    def _run(self) -> None:
        discover_at = 0.0
        last_poll_ns = time.monotonic_ns()
        while not self._stopping.is_set():
            if time.monotonic() >= discover_at:
                self._discover()
                discover_at = time.monotonic() + DISCOVER_SECONDS
            poll_ns = time.monotonic_ns()
            for descriptor, _ in self._poll.poll(0):
                self._record_death(descriptor, last_poll_ns, time.monotonic_ns())
            last_poll_ns = poll_ns
            self._stopping.wait(POLL_SECONDS)

    def _discover(self) -> None:
        self.discoveries += 1
        todo = [*self._roots, *self._names]
        while todo:
            pid = todo.pop()
            if pid not in self._names:
                self._watch(pid)
            todo += [child for child in children(pid) if child not in self._names]

    def _watch(self, pid: int) -> None:
        try:
            name = process_name(pid)
            if name in self._dead_names or not is_alive(pid):
                return
            descriptor = os.pidfd_open(pid)
        except OSError:
            self._remove_root(pid)
            return
        self._names = self._names | {pid: name}
        self._pids[descriptor] = pid
        self._poll.register(descriptor, select.POLLIN)

    def _remove_root(self, pid: int) -> None:
        with self._lock:
            self._roots = self._roots - {pid}

    def _record_death(self, descriptor: int, last_alive_ns: int, dead_ns: int) -> None:
        self._poll.unregister(descriptor)
        os.close(descriptor)
        pid = self._pids.pop(descriptor)
        name = self._names[pid]
        self._names = {known: names for known, names in self._names.items() if known != pid}
        self._remove_root(pid)
        self._dead_names.add(name)
        write_record(self._records, f"deaths-{os.getpid()}", Death(name, last_alive_ns, dead_ns))

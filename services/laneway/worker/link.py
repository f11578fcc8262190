"""The line between a pool process and the lease keeper: JSON lines over a Unix socket, and the baton beside it.

The process says, always before it starts anything: `hello` (who it is), `turn` (one begins or ends), `batch` (jobs whose baton records it is about to
put in), `tasks` (jobs that it starts now), and afterwards `batch_over` or `ended` (leases that it no longer holds) and `stats`.
The lease keeper says: `stop` (the worker shuts down), `interrupt` (its time to do so has run out), `stop_jobs` (leases whose
jobs were asked to stop, or that were lost).
What was written before the process died is still read: the kernel keeps it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from laneway.handlers import Spec
from laneway.lanes.model import Lease
from laneway.worker.start_tokens import StartTokens

SOCKET = "lease_keeper.sock"


def start_tokens_path(folder: Path, pid: int) -> Path:
    return folder / f"{pid}.baton"


def pack(lease: Lease, spec: Spec) -> list[Any]:
    """What the lease keeper must know of a job."""
    return [
        lease.token,
        lease.user,
        lease.job_id,
        lease.type,
        lease.attempt,
        lease.max_attempts,
        spec.hard_seconds,
    ]


def handle(job: list[Any]) -> str:
    """The lease of a job that `pack` has packed."""
    return f"{job[0]}:{job[2]}"


class Link:
    """The process's end. Sending blocks only if the lease keeper is far behind; when it is gone, the process ends."""

    def __init__(self, folder: Path) -> None:
        self.start_tokens = StartTokens(start_tokens_path(folder, os.getpid()), create=True)
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(str(folder / SOCKET))
        self._rest = b""
        self._send({"hello": os.getpid()})

    def receive(self) -> list[dict[str, Any]] | None:
        """What has come from the lease keeper, without waiting; None when it is gone."""
        try:
            data = self.socket.recv(65536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        except OSError:
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [orjson.loads(line) for line in lines] if data else None

    def batch(self, generation: int, jobs: Iterable[list[Any]]) -> None:
        self._send({"batch": generation, "jobs": list(jobs)})

    def tasks(self, jobs: Iterable[list[Any]]) -> None:
        self._send({"tasks": list(jobs)})

    def turn(self, *, begins: bool) -> None:
        self._send({"turn": begins})

    def batch_over(self, generation: int) -> None:
        self._send({"batch_over": generation})

    def ended(self, handles: list[str]) -> None:
        self._send({"ended": handles})

    def stats(self, stats: dict[str, Any]) -> None:
        self._send({"stats": stats})

    def _send(self, message: dict[str, Any]) -> None:
        try:
            self.socket.sendall(orjson.dumps(message) + b"\n")
        except OSError:
            os._exit(70)  # nobody renews our leases any more: what we hold is given to others

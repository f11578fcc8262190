"""One kind of fault, and the place where faults are injected."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from random import Random

from chaos.clients.single import SingleRequests
from chaos.records import append_line
from chaos.system.procfs import process_names
from chaos.system.programs import Worker
from chaos.system.proxy import Proxy
from chaos.system.system import System

BEYOND_LEASE = 1.4
"""How long, in lease times, a process must stop before its leases have certainly expired."""
GONE_SECONDS = 30.0
"""How long a process may take to appear or to end."""


@dataclass(frozen=True, slots=True)
class Scene:
    """The system, a source of randomness, a client whose requests misbehave, and users whose jobs must not suffer from them."""

    system: System
    random: Random
    requests: SingleRequests
    bystanders: SingleRequests

    def worker(self) -> Worker:
        """Choose a worker."""
        return self.random.choice(self.system.workers)

    def beyond_lease_seconds(self) -> float:
        """Return a time after which leases that nobody renews have certainly expired."""
        return self.system.limits.lease_seconds * BEYOND_LEASE

    def proxies(self) -> list[Proxy]:
        """Return the proxies between the programs and Redis."""
        return list(self.system.proxies.values())

    def heal_network(self) -> None:
        """End all faults between the programs and Redis."""
        for proxy in self.proxies():
            proxy.heal()

    @contextlib.contextmanager
    def redis_trouble(self, *, renewals_blocked: bool = True) -> Iterator[None]:
        """Record for the checker that no program reaches Redis well while the block runs."""
        from_ns = time.monotonic_ns()
        yield
        self.system.record_redis_trouble(from_ns, renewals_blocked=renewals_blocked)

    @contextlib.contextmanager
    def frozen_processes(self, pids: Iterable[int], *, renewals_blocked: bool = True) -> Iterator[None]:
        """Record for the checker that these processes are frozen, or cannot renew their leases, while the block runs."""
        from_ns, processes = time.monotonic_ns(), process_names(pids)
        yield
        self.system.record_disturbance(
            processes, from_ns, time.monotonic_ns(), renewals_blocked=renewals_blocked
        )


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault. Two are injected together only if their targets differ.

    `inject` returns when the fault is over: what was down is starting, what was slow is fast. The restarter starts what was killed.
    """

    name: str
    target: str
    inject: Callable[[Scene], None]

    def run(self, scene: Scene) -> tuple[int, int]:
        """Inject the fault and return its begin and end, in nanoseconds of the monotonic clock."""
        from_ns = time.monotonic_ns()
        self.inject(scene)
        until_ns = time.monotonic_ns()
        line = {"kind": "fault", "name": self.name, "from_ns": from_ns, "until_ns": until_ns}
        append_line(scene.system.records, "faults", line)
        return from_ns, until_ns


def hold(seconds: float) -> None:
    """Let the fault last."""
    threading.Event().wait(seconds)


def send_signal(number: signal.Signals, pids: Iterable[int]) -> None:
    """Send a signal to those processes that exist."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

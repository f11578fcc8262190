"""The pool processes that are connected to the lease keeper."""

from __future__ import annotations

from laneway.worker.lease_keeper.watched_process import WatchedProcess
from laneway.worker.protocol import FromLeaseKeeper


class Pool:
    """Every task of the lease keeper's event loop reads it; `connections` fills it."""

    def __init__(self) -> None:
        self.processes: dict[int, WatchedProcess] = {}
        """By process id."""
        self.deaths_in_progress = 0
        """Dead processes whose jobs are being given back."""
        self.is_stopping = False

    @property
    def in_flight(self) -> int:
        """How many jobs the pool holds."""
        return sum(process.in_flight for process in self.processes.values())

    @property
    def size(self) -> int:
        """How many processes are connected."""
        return len(self.processes)

    @property
    def in_turn(self) -> int:
        """How many processes serve a turn."""
        return sum(process.in_turn for process in self.processes.values())

    @property
    def has_deaths(self) -> bool:
        """Whether jobs of processes that are dead, or are being killed, still have to be given back."""
        return self.deaths_in_progress > 0 or any(process.is_killed for process in self.processes.values())

    def send_all(self, message: FromLeaseKeeper) -> None:
        """Send a message to every process."""
        for process in self.processes.values():
            process.send(message)

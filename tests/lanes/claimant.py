"""A process that claims, starts, finishes, fails, dies and comes late at random, and records what it does in Redis, in order."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence

from laneway.lanes.commands import Expire, WorkerLossLimits
from laneway.lanes.model import JobState, Lease
from tests.lanes.driver import Driver

SECONDS = 60
MAX_RUNNING = 6
LOSSES = WorkerLossLimits(1000, 0.001, 0.001)
"""No job fails by losses here, however often it is lost."""


class Claimant:
    """`deadly`: leases run out at random, as if this process had died or been stopped for longer than a lease's time.

    Notes are lines `start <user> <id>` and `end <user> <id>` in a list. A start is noted while the job is claimed, before
    Redis is told of it: meanwhile nobody else may be given jobs of the lane, so the notes of a lane are in the order of starts.
    """

    def __init__(self, url: str, name: str, number: int, *, deadly: bool) -> None:
        self.lanes = Driver(url, name)
        self.chance = random.Random(number)
        self.deadly = deadly
        self.running: list[Lease] = []
        self.finished: list[str] = []

    def serve(self, total: int) -> list[str]:
        """Work until `total` jobs have ended. Return the ids of the jobs whose end was recorded for this process."""
        deadline = time.monotonic() + SECONDS
        while self.lanes.client.llen(self.lanes.keys.outbox) < total and time.monotonic() < deadline:
            with_followers = self.chance.random() < 0.4
            leases = self.lanes.claim(self.chance.randint(1, 9), with_followers=with_followers)
            if leases and with_followers:
                self.serve_in_turn(leases)
            elif leases:
                self.take(leases)
            elif not self.running:
                self.lanes.client.blpop([self.lanes.keys.wakeups], timeout=0.05)
            most = MAX_RUNNING if leases else len(self.running) // 2
            while len(self.running) > most:
                self.end(self.running.pop(self.chance.randrange(len(self.running))))
            if self.deadly:
                self.lanes.run(Expire(20, losses=LOSSES))
        self.lanes.close()
        return self.finished

    def take(self, leases: Sequence[Lease]) -> None:
        """Start some jobs, in order, and release the rest."""
        kept = leases[: self.chance.randint(0, len(leases))]
        back = [lease for lease in leases if lease not in kept]
        if self.deadly and self.chance.random() < 0.2:
            self.run_out(back)
        else:
            self.lanes.release(*back)
        if not kept:
            return
        self.note("start", kept)
        if self.deadly and self.chance.random() < 0.1:
            self.run_out(kept)  # it died before it sent the start
            return
        self.lanes.start(*kept)
        self.running += kept
        if self.deadly and self.chance.random() < 0.2:
            self.run_out(kept)  # it goes on and comes late

    def serve_in_turn(self, leases: Sequence[Lease]) -> None:
        """Run some jobs one after another, without a start, and release the rest.

        A follower is released if an earlier job of its lane keeps its slot.
        """
        kept = leases[: self.chance.randint(0, len(leases))]
        back, lanes_with_retry = list(leases[len(kept) :]), set()
        for lease in kept:
            if lease.follows and lease.user in lanes_with_retry:
                back.append(lease)
                continue
            self.note("start", [lease])
            if self.deadly and self.chance.random() < 0.05:
                self.run_out([lease])
            if not self.end(lease):
                lanes_with_retry.add(lease.user)
        self.lanes.release(*back)

    def end(self, lease: Lease) -> bool:
        """Whether it ended for good."""
        self.note("end", [lease])
        if self.chance.random() < 0.2:
            delay = self.chance.choice([0, 0.001])
            self.lanes.finish(lease, state=JobState.RETRYING, delay=delay)
            return False
        if self.lanes.finish(lease) == [True]:
            self.finished.append(lease.job_id)
        return True

    def run_out(self, leases: Sequence[Lease]) -> None:
        for lease in leases:
            self.lanes.client.zadd(self.lanes.keys.leases, {lease.handle: 1}, xx=True)

    def note(self, what: str, leases: Sequence[Lease]) -> None:
        lines = [f"{what} {lease.user} {lease.job_id}" for lease in leases]
        self.lanes.client.rpush(self.lanes.key("notes"), *lines)


def serve(url: str, name: str, number: int, total: int, *, deadly: bool) -> list[str]:
    return Claimant(url, name, number, deadly=deadly).serve(total)

"""Build correct histories to test the checker with: a small simulation of lanes, worker processes and faults.

It follows the design's words and none of its code: lanes give their jobs away in order, a job keeps its slot
until its end, a retry goes first, a killed or frozen process loses its leases when they run out, and a frozen
one finishes late, which changes nothing.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from chaos.records import (
    Accepted,
    Ambiguous,
    Attempt,
    Cancelled,
    Death,
    Disturbance,
    Ending,
    History,
    Limits,
    canonical,
)

MS = 1_000_000
SLOTS_OF_PROCESS = 4


@dataclass(eq=False)
class _Job:
    job_id: str
    user: str
    tag: str
    attempts: int = 0
    state: str = "queued"
    result: str | None = None
    permanent: bool = False


@dataclass(eq=False)
class _Run:
    """An attempt in flight. `live`: its lease is still its own."""

    job: _Job
    attempt: int
    process: _Process
    start_ns: int
    live: bool = True


@dataclass(eq=False)
class _Process:
    name: str
    runs: list[_Run] = field(default_factory=list)
    alive: bool = True
    frozen: bool = False


class Simulation:
    """One run of the system in simulated time, random in everything that the promises leave open."""

    def __init__(self, random: Random, limits: Limits, users: int, jobs: int) -> None:
        self.random, self.limits = random, limits
        self.now_ns, self._number, self._ids = 10_000_000_000, 0, 0
        self.events: list[tuple[int, int, Callable[[], None]]] = []
        self.waiting: dict[str, list[_Job]] = {f"user{number}": [] for number in range(users)}
        self.slots: dict[str, list[_Job]] = {user: [] for user in self.waiting}
        self.due: dict[str, list[_Job]] = {user: [] for user in self.waiting}
        self.processes = [self._process(), self._process()]
        self.jobs: list[_Job] = []
        self.accepted: list[Accepted] = []
        self.ambiguous: list[Ambiguous] = []
        self.cancelled: list[Cancelled] = []
        self.attempts: list[Attempt] = []
        self.deaths: list[Death] = []
        self.disturbances: list[Disturbance] = []
        for user in self.waiting:
            self._client(user, jobs)

    def run(self, faults: int) -> History:
        """Run until every job has ended, with this many kills and freezes on the way."""
        for _ in range(faults):
            self._after(self.random.randrange(5_000) * MS, self._fault)
        while self.events:
            self.now_ns, _, step = heapq.heappop(self.events)
            step()
            self._serve()
        endings = [ending for job in self.jobs for ending in _endings(job)]
        return History(
            self.limits,
            accepted=tuple(self.accepted),
            ambiguous=tuple(self.ambiguous),
            cancelled=tuple(self.cancelled),
            attempts=tuple(self.attempts),
            endings=tuple(endings),
            deaths=tuple(self.deaths),
            disturbances=tuple(self.disturbances),
        )

    def _after(self, delay_ns: int, step: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self.events, (self.now_ns + delay_ns + self._number, self._number, step))

    def _process(self) -> _Process:
        self._number += 1
        return _Process(f"{self._number}@{self.now_ns}")

    # -- clients ------------------------------------------------------------------------------------------------

    def _client(self, user: str, jobs: int) -> None:
        if jobs == 0:
            return
        count = self.random.choice((1, 1, 1, 3))
        self._after(self.random.randrange(1, 200) * MS, lambda: self._enqueue(user, min(count, jobs), jobs))

    def _enqueue(self, user: str, count: int, left: int) -> None:
        """The lane takes the jobs now; the client has sent them a little before and hears of it a little later."""
        sent_ns, answered_ns = self.now_ns - 2 * MS, self.now_ns + 3 * MS
        told = self.random.random() < 0.9
        for order in range(count):
            self._ids += 1
            job = _Job(f"{self.now_ns:013x}{self._ids:012x}", user, f"tag{self._ids}")
            self.jobs.append(job)
            self.waiting[user].append(job)
            if told:
                accepted = Accepted(job.job_id, user, f"{user}'s", order, sent_ns, answered_ns, job.tag)
                self.accepted.append(accepted)
            else:
                self.ambiguous.append(Ambiguous(user, f"{user}'s", sent_ns, job.tag))
        if self.random.random() < 0.1:
            self._after(self.random.randrange(500) * MS, lambda: self._cancel(job))
        self._after(4 * MS, lambda: self._client(user, left - count))

    def _cancel(self, job: _Job) -> None:
        if job in self.waiting[job.user]:
            self.waiting[job.user].remove(job)
            job.state = "cancelled"
            self.cancelled.append(Cancelled(job.user, job.job_id))

    # -- lanes and workers --------------------------------------------------------------------------------------

    def _serve(self) -> None:
        for user in self.random.sample(sorted(self.waiting), len(self.waiting)):
            while job := self._next(user):
                usable = [p for p in self.processes if not p.frozen and len(p.runs) < SLOTS_OF_PROCESS]
                if not usable:
                    return
                if job in self.due[user]:
                    self.due[user].remove(job)
                else:
                    self.waiting[user].remove(job)
                    self.slots[user].append(job)
                self._start(job, self.random.choice(usable))

    def _next(self, user: str) -> _Job | None:
        if self.due[user]:
            return min(self.due[user], key=lambda job: job.job_id)
        free = len(self.slots[user]) < self.limits.lane_concurrency
        return self.waiting[user][0] if free and self.waiting[user] else None

    def _start(self, job: _Job, process: _Process) -> None:
        job.attempts += 1
        self.now_ns += 1  # no two starts at one moment
        run = _Run(job, job.attempts, process, self.now_ns)
        process.runs.append(run)
        self._after(self.random.randrange(1, 900) * MS, lambda: self._end(run))

    def _end(self, run: _Run) -> None:
        if not run.process.alive:
            return
        if run.process.frozen:  # it goes on when it wakes up
            self._after(100 * MS, lambda: self._end(run))
            return
        outcome = self.random.choices(("succeeded", "raised", "permanent"), (80, 15, 5))[0]
        result = canonical({"attempt": run.attempt, "at": run.start_ns}) if outcome == "succeeded" else None
        self._record(run, self.now_ns, outcome, result)
        run.process.runs.remove(run)
        if run.live:
            self._finish(run.job, outcome, result)

    def _record(self, run: _Run, end_ns: int | None, outcome: str | None, result: str | None) -> None:
        job, name = run.job, run.process.name
        self.attempts.append(
            Attempt(job.job_id, job.user, run.attempt, name, run.start_ns, end_ns, outcome, result)
        )

    def _finish(self, job: _Job, outcome: str, result: str | None) -> None:
        if outcome == "succeeded":
            job.state, job.result = "succeeded", result
        elif outcome == "permanent" or job.attempts >= self.limits.max_attempts:
            job.state = "failed"
        else:
            self._after(self.random.randrange(1, 1500) * MS, lambda: self.due[job.user].append(job))
            return
        self.slots[job.user].remove(job)

    # -- faults -------------------------------------------------------------------------------------------------

    def _fault(self) -> None:
        process = self.random.choice(self.processes)
        if process.frozen:
            return
        for run in process.runs:
            lease = self.random.uniform(0.7, 1.0) * self.limits.lease_seconds * 1e9
            self._after(int(lease), lambda run=run: self._expire(run))  # type: ignore[misc]
        if self.random.random() < 0.5:
            process.alive = False
            self.deaths.append(Death(process.name, self.now_ns, self.now_ns + 20 * MS))
            for run in process.runs:
                self._record(run, None, None, None)
            self.processes.remove(process)
            self.processes.append(self._process())
        else:
            length_ns = int(self.random.uniform(1.1, 2.0) * self.limits.lease_seconds * 1e9)
            self.disturbances.append(Disturbance(process.name, self.now_ns, self.now_ns + length_ns))
            process.frozen = True
            self._after(length_ns, lambda: setattr(process, "frozen", False))

    def _expire(self, run: _Run) -> None:
        if run.live:  # a zombie has no lease to lose a second time
            run.live = False
            self._finish(run.job, "raised", None)


def _endings(job: _Job) -> list[Ending]:
    sources = ["api", "history", *(["dead_letters"] if job.state == "failed" else [])]
    return [Ending(job.job_id, job.user, s, job.state, job.attempts, job.tag, job.result) for s in sources]


def simulate(random: Random, limits: Limits, *, users: int, jobs: int, faults: int) -> History:
    """A correct history of some users with some jobs each."""
    return Simulation(random, limits, users, jobs).run(faults)

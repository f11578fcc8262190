"""Correct histories for the tests of the checker, from a small simulation of lanes, worker processes and faults.

The simulation follows the promises and shares no code with the system: a lane gives its jobs away in order, a job keeps its slot
until its end, a retry goes first, a killed or frozen process loses its leases when they expire, and a frozen process finishes
late, which changes nothing.
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
JOBS_OF_PROCESS = 4


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
    """An attempt in flight. `holds_lease` is false once its lease has expired."""

    job: _Job
    attempt: int
    process: _Process
    start_ns: int
    holds_lease: bool = True


@dataclass(eq=False)
class _Process:
    name: str
    runs: list[_Run] = field(default_factory=list)
    alive: bool = True
    frozen: bool = False


class Simulation:
    """One run of the system in simulated time. Everything that the promises leave open is random."""

    def __init__(self, random: Random, limits: Limits, users: int, jobs: int) -> None:
        self.random, self.limits = random, limits
        self.now_ns, self._event_number, self._job_number = 10_000_000_000, 0, 0
        self.events: list[tuple[int, int, Callable[[], None]]] = []
        self.queued: dict[str, list[_Job]] = {f"user{number}": [] for number in range(users)}
        self.in_slots: dict[str, list[_Job]] = {user: [] for user in self.queued}
        self.retries: dict[str, list[_Job]] = {user: [] for user in self.queued}
        self.processes = [self._new_process(), self._new_process()]
        self.jobs: list[_Job] = []
        self.accepted: list[Accepted] = []
        self.ambiguous: list[Ambiguous] = []
        self.cancelled: list[Cancelled] = []
        self.attempts: list[Attempt] = []
        self.deaths: list[Death] = []
        self.disturbances: list[Disturbance] = []
        for user in self.queued:
            self._plan_request(user, jobs)

    def run(self, faults: int) -> History:
        """Run until every job has ended, and kill or freeze a process `faults` times on the way."""
        for _ in range(faults):
            self._after(self.random.randrange(5_000) * MS, self._break_process)
        while self.events:
            self.now_ns, _, step = heapq.heappop(self.events)
            step()
            self._start_jobs()
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
        self._event_number += 1
        heapq.heappush(self.events, (self.now_ns + delay_ns + self._event_number, self._event_number, step))

    def _new_process(self) -> _Process:
        self._event_number += 1
        return _Process(f"{self._event_number}@{self.now_ns}")

    # -- clients ------------------------------------------------------------------------------------------------

    def _plan_request(self, user: str, jobs: int) -> None:
        if jobs == 0:
            return
        count = self.random.choice((1, 1, 1, 3))
        self._after(self.random.randrange(1, 200) * MS, lambda: self._enqueue(user, min(count, jobs), jobs))

    def _enqueue(self, user: str, count: int, left: int) -> None:
        """Accept jobs now. The client sent the request a little earlier and gets its answer a little later."""
        sent_ns, answered_ns = self.now_ns - 2 * MS, self.now_ns + 3 * MS
        answered = self.random.random() < 0.9
        for order in range(count):
            self._job_number += 1
            job = _Job(f"{self.now_ns:013x}{self._job_number:012x}", user, f"tag{self._job_number}")
            self.jobs.append(job)
            self.queued[user].append(job)
            if answered:
                accepted = Accepted(job.job_id, user, f"{user}'s", order, sent_ns, answered_ns, job.tag)
                self.accepted.append(accepted)
            else:
                self.ambiguous.append(Ambiguous(user, f"{user}'s", sent_ns, job.tag))
        if self.random.random() < 0.1:
            self._after(self.random.randrange(500) * MS, lambda: self._cancel(job))
        self._after(4 * MS, lambda: self._plan_request(user, left - count))

    def _cancel(self, job: _Job) -> None:
        if job in self.queued[job.user]:
            self.queued[job.user].remove(job)
            job.state = "cancelled"
            self.cancelled.append(Cancelled(job.user, job.job_id))

    # -- lanes and workers --------------------------------------------------------------------------------------

    def _start_jobs(self) -> None:
        for user in self.random.sample(sorted(self.queued), len(self.queued)):
            while job := self._next(user):
                free = [p for p in self.processes if not p.frozen and len(p.runs) < JOBS_OF_PROCESS]
                if not free:
                    return
                if job in self.retries[user]:
                    self.retries[user].remove(job)
                else:
                    self.queued[user].remove(job)
                    self.in_slots[user].append(job)
                self._start(job, self.random.choice(free))

    def _next(self, user: str) -> _Job | None:
        if self.retries[user]:
            return min(self.retries[user], key=lambda job: job.job_id)
        has_slot = len(self.in_slots[user]) < self.limits.lane_concurrency
        return self.queued[user][0] if has_slot and self.queued[user] else None

    def _start(self, job: _Job, process: _Process) -> None:
        job.attempts += 1
        self.now_ns += 1  # no two starts at one moment
        run = _Run(job, job.attempts, process, self.now_ns)
        process.runs.append(run)
        self._after(self.random.randrange(1, 900) * MS, lambda: self._end(run))

    def _end(self, run: _Run) -> None:
        if not run.process.alive:
            return
        if run.process.frozen:  # it goes on once it is resumed
            self._after(100 * MS, lambda: self._end(run))
            return
        outcome = self.random.choices(("succeeded", "raised", "permanent"), (80, 15, 5))[0]
        result = canonical({"attempt": run.attempt, "at": run.start_ns}) if outcome == "succeeded" else None
        self._record(run, self.now_ns, outcome, result)
        run.process.runs.remove(run)
        if run.holds_lease:
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
            self._after(self.random.randrange(1, 1500) * MS, lambda: self.retries[job.user].append(job))
            return
        self.in_slots[job.user].remove(job)

    # -- faults -------------------------------------------------------------------------------------------------

    def _break_process(self) -> None:
        process = self.random.choice(self.processes)
        if process.frozen:
            return
        for run in process.runs:
            lease_ns = self.random.uniform(0.7, 1.0) * self.limits.lease_seconds * 1e9
            self._after(int(lease_ns), lambda run=run: self._expire(run))  # type: ignore[misc]
        if self.random.random() < 0.5:
            self._kill(process)
        else:
            self._freeze(process)

    def _kill(self, process: _Process) -> None:
        process.alive = False
        self.deaths.append(Death(process.name, self.now_ns, self.now_ns + 20 * MS))
        for run in process.runs:
            self._record(run, None, None, None)
        self.processes.remove(process)
        self.processes.append(self._new_process())

    def _freeze(self, process: _Process) -> None:
        length_ns = int(self.random.uniform(1.1, 2.0) * self.limits.lease_seconds * 1e9)
        self.disturbances.append(Disturbance(process.name, self.now_ns, self.now_ns + length_ns))
        process.frozen = True
        self._after(length_ns, lambda: setattr(process, "frozen", False))

    def _expire(self, run: _Run) -> None:
        """Take the job back uncharged. A zombie cannot lose its lease a second time."""
        if run.holds_lease:
            run.holds_lease = False
            run.job.attempts -= 1
            self.retries[run.job.user].append(run.job)


def _endings(job: _Job) -> list[Ending]:
    sources = ["api", "history", *(["dead_letters"] if job.state == "failed" else [])]
    return [
        Ending(job.job_id, job.user, source, job.state, job.attempts, job.tag, job.result)
        for source in sources
    ]


def simulate(random: Random, limits: Limits, *, users: int, jobs: int, faults: int) -> History:
    """Return a correct history of some users with some jobs each."""
    return Simulation(random, limits, users, jobs).run(faults)

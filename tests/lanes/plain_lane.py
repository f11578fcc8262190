"""A lane in plain Python, the model for the stateful test. It knows nothing of Redis and checks order and slots itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from laneway.lanes.model import JobState, Lease, seq_of


@dataclass(eq=False)
class PlainJob:
    job_id: str
    max_attempts: int
    place: str = "waiting"  # waiting, claimed, started (it runs, or waits for a retry), due
    state: JobState = JobState.QUEUED
    attempts: int = 0
    lease: Lease | None = None
    asked_to_stop: bool = False
    lost_before_start: bool = False
    charge_first: bool = False  # claimed, charged, about to start

    def waits_for_retry(self) -> bool:
        return self.place == "started" and not self.lease


@dataclass
class PlainLane:
    slots: int
    paused: bool = False
    most_slots: int = 0  # in use at the last claim: a limit that is lowered later interrupts nothing
    jobs: list[PlainJob] = field(default_factory=list)  # in order of acceptance, without ended ones
    ended: dict[str, PlainJob] = field(default_factory=dict)

    def at(self, place: str) -> list[PlainJob]:
        return [job for job in self.jobs if job.place == place]

    def in_flight(self) -> list[PlainJob]:
        return [job for job in self.jobs if job.lease]

    def taken(self) -> int:
        return len(self.at("claimed") + self.at("started"))

    def startable(self) -> list[PlainJob]:
        return self.at("due") + self.at("waiting")

    def ready(self) -> bool:
        free = not self.paused and self.taken() < self.slots
        return free and not self.at("claimed") and bool(self.startable())

    def accept(self, job_id: str, max_attempts: int) -> None:
        assert all(job.job_id < job_id for job in self.jobs)
        self.jobs.append(PlainJob(job_id, max_attempts))

    def claim(self, lease: Lease) -> None:
        job = self.startable()[0]
        assert (job.job_id, job.attempts + 1) == (lease.job_id, lease.attempt), "the oldest is first"
        assert lease.suspect == job.lost_before_start
        job.place, job.lease = "claimed", lease
        assert self.taken() <= self.slots
        assert not self.paused
        self.most_slots = self.slots

    def start(self, job: PlainJob) -> None:
        older = self.jobs[: self.jobs.index(job)]
        assert all(one.attempts for one in older), "jobs start in the order of acceptance"
        assert job.lease is not None
        job.place, job.state, job.attempts = "started", JobState.RUNNING, job.lease.attempt
        job.charge_first = False

    def charge(self, job: PlainJob) -> None:
        self.start(job)
        job.place, job.charge_first = "claimed", True

    def end(self, job: PlainJob, state: JobState) -> None:
        assert job.job_id not in self.ended, "a job ends once"
        self.jobs.remove(job)
        job.state, job.lease = state, None
        self.ended[job.job_id] = job

    def retry(self, job: PlainJob, *, delayed: bool) -> None:
        if job.asked_to_stop:
            return self.end(job, JobState.CANCELLED)
        job.place, job.state, job.lease = "started" if delayed else "due", JobState.RETRYING, None
        job.charge_first = False
        return None

    def put_back(self, job: PlainJob) -> None:
        if job.charge_first:
            job.charge_first, job.attempts = False, job.attempts - 1
            job.state = JobState.RETRYING if job.attempts else JobState.QUEUED
        if job.asked_to_stop:
            return self.end(job, JobState.CANCELLED)
        job.place, job.lease = "due" if job.attempts else "waiting", None
        return None

    def lose(self, job: PlainJob) -> None:
        if job.place == "claimed" and not job.charge_first:
            job.lost_before_start = True
            self.put_back(job)
        elif job.attempts >= job.max_attempts and not job.asked_to_stop:
            self.end(job, JobState.FAILED)
        else:
            self.retry(job, delayed=False)

    def cancel(self, job: PlainJob) -> str:
        if job.lease:
            job.asked_to_stop = True
            return "stopping"
        self.end(job, JobState.CANCELLED)
        return "cancelled"

    def purge(self, until_us: int) -> list[PlainJob]:
        gone = [job for job in self.jobs if not job.lease and seq_of(job.job_id) <= until_us]
        for job in gone:
            self.end(job, JobState.CANCELLED)
        for job in self.at("claimed"):
            job.asked_to_stop |= not job.charge_first and seq_of(job.job_id) <= until_us
        return gone

    def contents(self) -> list[tuple[str, str]]:
        return [
            (place, job.job_id)
            for place in ("claimed", "started", "due", "waiting")
            for job in self.at(place)
        ]

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
    token: str = ""  # of its last claim, until it comes back unstarted
    asked_to_stop: bool = False
    has_run: bool = False
    is_lost: bool = False  # has losses, or is a suspect
    suspect: bool = False
    losses: int = 0
    worker_losses: int = 0
    accepted_us: int = 0
    enters_soon: bool = False  # delayed, and due by now
    unique_key: str = ""
    limited: bool = False  # of a type of which only some jobs may run at once
    has_permit: bool = False  # under its present lease

    @property
    def type(self) -> str:
        return "gpu" if self.limited else "echo"

    def may_ask(self) -> bool:
        """Whether it needs a permit before it starts."""
        return self.limited and not self.has_permit

    def waits_for_retry(self) -> bool:
        return self.place in ("claimed", "started") and not self.lease

    def follows(self) -> bool:
        return self.lease is not None and self.lease.follows

    def is_of_claim(self, lease: Lease | None) -> bool:
        """Whether the job was last claimed with this lease's job, and has not come back unstarted."""
        return lease is not None and self.token == lease.token

    def clear_losses(self) -> None:
        self.is_lost, self.suspect, self.losses, self.worker_losses = False, False, 0, 0


@dataclass
class PlainLane:
    slots: int
    paused: bool = False
    most_slots: int = 0  # in use at the last claim: a limit that is lowered interrupts nothing, and a job keeps its slot to its end
    jobs: list[PlainJob] = field(default_factory=list)  # in order of entry, without ended ones
    delayed: list[PlainJob] = field(default_factory=list)  # accepted, and not in the lane yet
    ended: dict[str, PlainJob] = field(default_factory=dict)

    def size(self) -> int:
        return len(self.jobs) + len(self.delayed)

    def at(self, place: str) -> list[PlainJob]:
        return [job for job in self.jobs if job.place == place]

    def held(self) -> list[PlainJob]:
        """Jobs in a worker's hands that are not known to run."""
        return [job for job in self.at("claimed") if job.lease]

    def next_may_run(self) -> bool:
        return bool(self.held()) and self.may_run(self.held()[0])

    def in_flight(self) -> list[PlainJob]:
        return [job for job in self.jobs if job.lease]

    def taken(self) -> int:
        return len(self.at("claimed") + self.at("started"))

    def slots_taken(self) -> int:
        """Count the jobs that hold a slot and cannot start now. A claimed follower has none yet."""
        return len(self.at("started")) + sum(not job.follows() for job in self.held())

    def may_run(self, job: PlainJob) -> bool:
        """Whether a claimed job has a slot: its own, or that of a job of the same lane and claim that has ended."""
        older = self.jobs[: self.jobs.index(job)]
        return not (job.follows() and any(one.is_of_claim(job.lease) for one in older))

    def startable(self) -> list[PlainJob]:
        return self.at("due") + self.at("waiting")

    def ready(self) -> bool:
        free = not self.paused and self.taken() < self.slots
        return free and not self.at("claimed") and bool(self.startable())

    def holder(self, unique_key: str) -> str | None:
        """Return the id of the live job with this unique key. There is at most one."""
        found = [job.job_id for job in self.jobs + self.delayed if job.unique_key == unique_key]
        assert len(found) <= 1, "no two live jobs have the same unique key"
        return found[0] if found else None

    def accept(self, job_id: str, max_attempts: int, unique_key: str = "", *, limited: bool = False) -> None:
        assert all(job.job_id < job_id for job in self.jobs)
        self.jobs.append(PlainJob(job_id, max_attempts, unique_key=unique_key, limited=limited))

    def delay(self, job_id: str, accepted_us: int, *, enters_soon: bool, unique_key: str = "") -> None:
        assert all(job.job_id < job_id for job in self.delayed if job.enters_soon == enters_soon)
        job = PlainJob(job_id, 3, accepted_us=accepted_us, enters_soon=enters_soon, unique_key=unique_key)
        self.delayed.append(job)

    def admit(self) -> None:
        """Those that are due enter, in order of their moments and before the jobs that were accepted after these."""
        entering = [job for job in self.delayed if job.enters_soon]
        self.delayed = [job for job in self.delayed if not job.enters_soon]
        self.jobs = sorted([*self.jobs, *entering], key=lambda job: job.job_id)

    def claim(self, lease: Lease) -> None:
        job = self.startable()[0]
        assert (job.job_id, job.attempts + 1) == (lease.job_id, lease.attempt), "the oldest is first"
        assert lease.suspect == job.suspect
        assert lease.follows == (self.taken() >= self.slots), "the jobs beyond the free slots are followers"
        job.place, job.lease, job.token = "claimed", lease, lease.token
        assert self.slots_taken() <= self.slots
        assert not self.paused
        self.most_slots = max(self.slots, sum(job.has_run for job in self.jobs))

    def start(self, job: PlainJob) -> None:
        older = self.jobs[: self.jobs.index(job)]
        assert all(one.has_run for one in older), "jobs start in the order of acceptance"
        assert self.may_run(job), "a follower runs in the slot of a job that has ended"
        assert job.lease is not None
        assert not job.may_ask(), "no job of a limited type starts without a permit"
        job.place, job.state, job.attempts = "started", JobState.RUNNING, job.lease.attempt
        job.has_run = True

    def end(self, job: PlainJob, state: JobState) -> None:
        assert job.job_id not in self.ended, "a job ends once"
        (self.delayed if job in self.delayed else self.jobs).remove(job)
        job.state, job.lease = state, None
        self.ended[job.job_id] = job

    def retry(self, job: PlainJob, *, delayed: bool) -> None:
        if job.asked_to_stop:
            return self.end(job, JobState.CANCELLED)
        job.clear_losses()
        job.place, job.state, job.lease = "started" if delayed else "due", JobState.RETRYING, None
        return None

    def interrupt(self, job: PlainJob) -> None:
        if job.asked_to_stop:
            return self.end(job, JobState.CANCELLED)
        return self.bring_back(job, delayed=False)

    def bring_back(self, job: PlainJob, *, delayed: bool) -> None:
        """Its run was cut short: uncharged."""
        assert job.lease
        job.attempts, job.has_run = job.lease.attempt - 1, True
        job.state = JobState.RETRYING if job.attempts else JobState.QUEUED
        job.place, job.lease = "started" if delayed else "due", None

    @staticmethod
    def make_startable(job: PlainJob) -> None:
        job.place = "due" if job.has_run else "waiting"

    def put_back(self, job: PlainJob, *, delayed: bool = False) -> None:
        """It had not started."""
        if job.asked_to_stop:
            return self.end(job, JobState.CANCELLED)
        soon, later = ("due", "started") if job.has_run else ("waiting", "claimed")
        job.place, job.lease, job.token = later if delayed else soon, None, ""
        return None

    def lose_worker(self, job: PlainJob, most: int) -> None:
        job.is_lost, job.worker_losses = True, job.worker_losses + 1
        job.suspect |= job.worker_losses > 1
        self._lose(
            job,
            has_started=job.place == "started",
            failed=1 < job.worker_losses >= most,
            delayed=job.worker_losses > 1,
        )

    def lose_process(self, job: PlainJob, most: int, *, alone: bool) -> None:
        job.is_lost = job.suspect = True
        job.losses += alone
        self._lose(job, has_started=True, failed=alone and job.losses >= most, delayed=False)

    def _lose(self, job: PlainJob, *, has_started: bool, failed: bool, delayed: bool) -> None:
        if job.asked_to_stop or failed:
            assert job.lease
            job.attempts = job.lease.attempt - 1
            self.end(job, JobState.CANCELLED if job.asked_to_stop else JobState.FAILED)
        elif has_started:
            self.bring_back(job, delayed=delayed)
        else:
            self.put_back(job, delayed=delayed)

    def cancel(self, job: PlainJob) -> str:
        if job.lease:
            job.asked_to_stop = True
            return "stopping"
        self.end(job, JobState.CANCELLED)
        return "cancelled"

    def purge(self, until_us: int) -> list[PlainJob]:
        gone = [job for job in self.jobs if not job.lease and seq_of(job.job_id) <= until_us]
        gone += [job for job in self.delayed if job.accepted_us <= until_us]
        for job in gone:
            self.end(job, JobState.CANCELLED)
        for job in self.held():
            job.asked_to_stop |= seq_of(job.job_id) <= until_us
        return gone

    def contents(self) -> list[tuple[str, str]]:
        return [
            (place, job.job_id)
            for place in ("claimed", "started", "due", "waiting")
            for job in self.at(place)
        ]

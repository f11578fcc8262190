"""Random interleavings of everything that can happen to lanes, compared with lanes in plain Python.

After each step all keys behind the prefix are checked: every lane, the ring, the leases, the ended jobs, and that there is no
other key.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from laneway.dev import embedded
from laneway.lanes import errors
from laneway.lanes.commands import (
    CANCELLED,
    GRANTED,
    Archived,
    CallWaiters,
    Cancel,
    Claim,
    Expire,
    Finish,
    Limit,
    Lose,
    Outbox,
    Pause,
    Progress,
    Purge,
    PurgeDelayed,
    Resume,
    WorkerLossLimits,
)
from laneway.lanes.keys import TURN_PLACEHOLDER
from laneway.lanes.model import JobState, Lease, LostJob, Outcome, seq_of
from tests.lanes.driver import FOR_EVER, Driver, keys_behind, read_lane, texts, texts_of
from tests.lanes.plain_lane import PlainJob, PlainLane

USERS = ("ann", "bob", "eve")
users = st.sampled_from(USERS)
RETRYING = JobState.RETRYING
MAX_LOSSES, MAX_WORKER_LOSSES = 2, 3
WORKER_LOSSES = WorkerLossLimits(MAX_WORKER_LOSSES, backoff_seconds=1000, backoff_max_seconds=1000)
outcomes = st.sampled_from(
    [
        (RETRYING, 1000),
        (RETRYING, 0),
        (JobState.SUCCEEDED, 0),
        (JobState.FAILED, 0),
        (JobState.CANCELLED, 0),
        (JobState.QUEUED, 0),
    ]
)


class Interleavings(RuleBasedStateMachine):
    def __init__(self, url: str) -> None:
        super().__init__()
        self.redis = Driver(url, "t" + secrets.token_hex(8))
        self.run = self.redis.run
        self.lanes: dict[str, PlainLane] = {}
        self.ring: list[str] = []  # as it was after the last step
        self.turns_back = False  # whether the last step has released jobs
        self.old_leases: list[Lease] = []
        self.aged: list[PlainJob] = []  # with a lease that has run out, oldest first
        self.due: list[PlainJob] = []  # with a retry whose time has come
        self.idempotent: dict[tuple[str, str], tuple[str, list[str]]] = {}
        self.outbox: list[str] = []
        self.outbox_keys: dict[str, str] = {}
        self.unique: dict[str, str] = {}  # <user>:<unique key> -> its last job, until that is archived
        self.archived: set[str] = set()
        self.waiting: list[
            PlainJob
        ] = []  # for a permit, first come first served; ended ones until they are looked at
        self.ages = 0

    def teardown(self) -> None:
        for key in self.redis.all_keys():
            self.redis.client.unlink(self.redis.key(key))
        self.redis.close()

    # -- choices of the rules -----------------------------------------------------------------------------------

    def lane_of(self, job: PlainJob) -> tuple[str, PlainLane]:
        return next((user, lane) for user, lane in self.lanes.items() if job in lane.jobs)

    def live(self, test: Callable[[PlainJob], object]) -> list[PlainJob]:
        return [job for lane in self.lanes.values() for job in lane.jobs if test(job)]

    def delayed(self) -> list[PlainJob]:
        """Return the jobs whose retry is not due yet."""
        return [job for job in self.live(PlainJob.waits_for_retry) if job not in self.due]

    def begun(self) -> list[PlainJob]:
        """Return the jobs that run, and those that may be the next to run, though Redis does not know it yet."""
        started = self.live(lambda job: job.lease and job.place == "started")
        next_ones = [lane.held()[0] for lane in self.lanes.values() if lane.next_may_run()]
        return started + [job for job in next_ones if not job.may_ask()]

    def free_permits(self) -> int:
        return self.permits - len(self.live(lambda job: job.has_permit))

    def some_worker(self, data: st.DataObject) -> list[PlainJob]:
        """Return jobs of one claim that are still in flight."""
        tokens = sorted({job.lease.token for job in self.live(lambda job: job.lease) if job.lease})
        token = data.draw(st.sampled_from(tokens))
        return self.live(lambda job: job.lease and job.lease.token == token)

    def give_up_lease(self, job: PlainJob) -> Lease:
        assert job.lease
        self.old_leases.append(job.lease)
        job.has_permit = False
        if job in self.aged:
            self.aged.remove(job)
        return job.lease

    def promote(self) -> None:
        for lane in self.lanes.values():
            lane.admit()
        for job in self.due:
            PlainLane.make_startable(job)
        self.due.clear()

    # -- rules --------------------------------------------------------------------------------------------------

    @initialize(default=st.none() | st.integers(1, 3), waiting=st.integers(0, 4), permits=st.integers(1, 2))
    def begin(self, default: int | None, waiting: int, permits: int) -> None:
        self.redis.client.set(self.redis.keys.turn, TURN_PLACEHOLDER)
        if default:
            self.run(Limit("*", default))
        self.default, self.permits = default, permits
        self.lanes = {user: PlainLane(default or 5) for user in USERS}
        for user in USERS[: 2 if waiting else 0]:
            self.enqueue(user, waiting, 3, crowded=False)

    @rule(
        user=users,
        count=st.integers(1, 4),
        max_attempts=st.integers(1, 3),
        crowded=st.booleans(),
        limited=st.booleans(),
    )
    def enqueue(
        self, user: str, count: int, max_attempts: int, *, crowded: bool, limited: bool = False
    ) -> None:
        lane = self.lanes[user]
        limits: dict[str, Any] = {"lane_length": 5} if crowded else {}
        try:
            ids = self.redis.enqueue(
                user, count, max_attempts=max_attempts, type_="gpu" if limited else "echo", **limits
            )
        except errors.LaneFull:
            assert crowded
            assert lane.size() + count > 5
            return
        assert not crowded or lane.size() + count <= 5
        assert len(ids) == count
        for job_id in ids:
            lane.accept(job_id, max_attempts, limited=limited)

    @rule(user=users, count=st.integers(1, 3), soon=st.booleans(), crowded=st.booleans())
    def enqueue_delayed(self, user: str, count: int, *, soon: bool, crowded: bool) -> None:
        """`soon`: they are due before the next step, and enter with the next claim or expire."""
        lane = self.lanes[user]
        limits: dict[str, Any] = {"lane_length": 5} if crowded else {}
        try:
            accepted = self.redis.accept(user, count, delay=1e-6 if soon else 1000, **limits)
        except errors.LaneFull:
            assert crowded
            assert lane.size() + count > 5
            return
        assert not crowded or lane.size() + count <= 5
        assert accepted.position == 0
        for job_id in accepted.job_ids:
            accepted_us, _ = self.redis.client.get(self.redis.key(f"later:{job_id}")).split(b"\n", 1)
            lane.delay(job_id, int(accepted_us), enters_soon=soon)

    @rule(user=users, key=st.sampled_from("kl"), fingerprint=st.sampled_from("ffg"), count=st.integers(1, 2))
    def enqueue_with_key(self, user: str, key: str, fingerprint: str, count: int) -> None:
        known = self.idempotent.get((user, key))
        try:
            accepted = self.redis.accept(user, count, idempotency_key=key, fingerprint=fingerprint)
        except errors.IdempotencyMismatch:
            assert known
            assert known[0] != fingerprint
            return
        ids = list(accepted.job_ids)
        if known:
            assert accepted.repeated
            assert known == (fingerprint, ids)
            return
        assert not accepted.repeated
        self.idempotent[user, key] = fingerprint, ids
        for job_id in ids:
            self.lanes[user].accept(job_id, 3)

    @rule(
        user=users,
        keys=st.lists(st.sampled_from(["", "u", "v", "w"]), min_size=1, max_size=4),
        delay=st.sampled_from([0, 0, 1000, 1e-6]),
        crowded=st.booleans(),
    )
    def enqueue_unique(self, user: str, keys: list[str], delay: float, *, crowded: bool) -> None:
        lane = self.lanes[user]
        limits: dict[str, Any] = {"lane_length": 5} if crowded else {}
        holders = [key and lane.holder(key) for key in keys]
        firsts = {key: keys.index(key) for key in keys if key}
        added = [
            not holder and firsts.get(key, i) == i
            for i, (key, holder) in enumerate(zip(keys, holders, strict=True))
        ]
        try:
            accepted = self.redis.accept(user, unique_keys=keys, delay=delay, **limits)
        except errors.LaneFull:
            assert crowded
            assert any(added)
            assert lane.size() + sum(added) > 5
            return
        assert not crowded or not any(added) or lane.size() + sum(added) <= 5
        assert accepted.duplicates == tuple(i for i, is_new in enumerate(added) if not is_new)
        for i, (key, job_id) in enumerate(zip(keys, accepted.job_ids, strict=True)):
            if not added[i]:
                assert job_id == (holders[i] or accepted.job_ids[firsts[key]])
                continue
            if key:
                self.unique[f"{user}:{key}"] = job_id
            if delay:
                accepted_us, _ = self.redis.client.get(self.redis.key(f"later:{job_id}")).split(b"\n", 1)
                lane.delay(job_id, int(accepted_us), enters_soon=delay < 1, unique_key=key)
            else:
                lane.accept(job_id, 3, key)

    @rule(limit=st.integers(1, 7), with_followers=st.booleans(), start=st.booleans())
    def claim(self, limit: int, *, with_followers: bool, start: bool) -> None:
        self.redis.client.delete(self.redis.keys.turns, self.redis.keys.wakeups)  # the claimant took them
        self.promote()
        ready = [user for user, lane in self.lanes.items() if lane.ready()]
        startable = [len(self.lanes[user].startable()) for user in ready]
        claimed = self.run(Claim(limit, 1000, with_followers))
        served = list(dict.fromkeys(lease.user for lease in claimed.leases))
        assert len(claimed.leases) <= limit
        assert len(served) == min(limit, len(ready))
        assert [lease.user for lease in claimed.leases[: len(served)]] == served, "one of each lane first"
        in_turn = self.ring[: len(served)]
        assert served[: len(in_turn)] == in_turn, "lanes take turns"
        assert set(served) <= set(ready)
        assert (claimed.next_due_seconds is not None) == bool(
            self.delayed() or any(lane.delayed for lane in self.lanes.values())
        )
        assert with_followers or not any(lease.follows for lease in claimed.leases)
        if with_followers and len(ready) == 1:
            assert len(claimed.leases) == min(limit, *startable), "a lane alone gives all that is asked for"
        for lease in claimed.leases:
            self.lanes[lease.user].claim(lease)
        if start:
            self.redis_agrees_with_the_model()
            for user in served:
                self.start_first(self.lanes[user], len(claimed.leases))

    @precondition(lambda self: any(lane.next_may_run() for lane in self.lanes.values()))
    @rule(data=st.data())
    def start(self, data: st.DataObject) -> None:
        lane = data.draw(st.sampled_from([lane for lane in self.lanes.values() if lane.next_may_run()]))
        self.start_first(lane, data.draw(st.integers(1, len(lane.held()))))

    def start_first(self, lane: PlainLane, count: int) -> None:
        starting = [job for job in lane.held()[:count] if lane.may_run(job)]
        starting = self.permitted(lane, starting)
        if not starting:
            return
        assert self.redis.start(*[job.lease for job in starting if job.lease]) == [
            2 if job.asked_to_stop else 1 for job in starting
        ]
        for job in starting:
            lane.start(job)

    def permitted(self, lane: PlainLane, starting: list[PlainJob]) -> list[PlainJob]:
        """Ask for permits. Once a job gets none, it and the jobs after it go back to the lane. Return those that may start."""
        asking = [job for job in starting if job.may_ask()]
        if not asking:
            return starting
        leases = [job.lease for job in asking if job.lease]
        expected = [self.asked(lane, job) for job in asking]
        assert self.redis.ask(*leases, running=self.permits) == expected
        if not (refused := [job for job, reply in zip(asking, expected, strict=True) if reply != GRANTED]):
            return starting
        allowed = starting[: starting.index(refused[0])]
        if returning := [job for job in lane.held() if job not in allowed]:
            self.redis.release(*[self.give_up_lease(job) for job in returning])
            self.turns_back = True
            for job in returning:
                lane.put_back(job)
        return allowed

    def asked(self, lane: PlainLane, job: PlainJob) -> int:
        ahead = self.waiting.index(job) if job in self.waiting else len(self.waiting)
        if ahead < self.free_permits():
            self.waiting = [one for one in self.waiting if one is not job]
            job.has_permit = True
            return GRANTED
        self.give_up_lease(job)
        is_cancelled = job.asked_to_stop
        lane.put_back(job, delayed=True)
        if is_cancelled:
            self.waiting = [one for one in self.waiting if one is not job]
            return CANCELLED
        if job not in self.waiting:
            self.waiting.append(job)
        return 3

    @rule()
    def call_waiters(self) -> None:
        free, ahead = self.free_permits(), 0
        called: list[PlainJob] = []
        while ahead < min(free, len(self.waiting)):
            if self.can_come(self.waiting[ahead], called):
                ahead += 1
            else:
                self.waiting.pop(ahead)
        self.due = [job for job in self.due if job.waits_for_retry()]
        assert self.run(CallWaiters()) == len(called)

    def can_come(self, job: PlainJob, called: list[PlainJob]) -> bool:
        if job.state.ended:
            return False
        _, lane = self.lane_of(job)
        if job.waits_for_retry():
            lane.make_startable(job)
            called.append(job)
        elif job.lease:
            return job.place == "claimed"
        if (blocking := lane.at("claimed")[:1]) and blocking[0].waits_for_retry():
            lane.make_startable(blocking[0])
        return not lane.paused and lane.taken() < lane.slots

    @precondition(lambda self: self.live(lambda job: job.lease))
    @rule(data=st.data(), how=st.lists(outcomes, min_size=1, max_size=3))
    def finish(self, data: st.DataObject, how: list[tuple[JobState, float]]) -> None:
        chosen = data.draw(st.permutations(self.begun()))[: len(how)]
        sent = []
        for job, (wished, delay) in zip(chosen, how, strict=False):
            _, lane = self.lane_of(job)
            lease = self.give_up_lease(job)
            spent = wished is RETRYING and lease.attempt >= job.max_attempts
            state = JobState.FAILED if spent else wished
            sent.append(Outcome(lease, state, 1000, b"{}", delay))
            if job.place == "claimed":
                lane.start(job)
            if state is RETRYING:
                lane.retry(job, delayed=delay > 0)
            elif state is JobState.QUEUED:
                lane.interrupt(job)
            else:
                lane.end(job, state)
        assert self.run(Finish("w1", sent)) == [True] * len(sent)

    @precondition(lambda self: self.old_leases)
    @rule(data=st.data(), how=outcomes)
    def come_late(self, data: st.DataObject, how: tuple[JobState, float]) -> None:
        lease = data.draw(st.sampled_from(self.old_leases))
        assert self.redis.finish(lease, state=how[0], delay=how[1]) == [False]
        assert self.redis.start(lease) == self.redis.renew(lease) == [0]
        assert self.redis.release(lease) == [False]
        assert not self.run(Progress(lease, 50, "late"))

    @precondition(lambda self: self.live(lambda job: job.place == "claimed" and job.lease))
    @rule(data=st.data(), delay=st.sampled_from([0, 0, 1000]))
    def release(self, data: st.DataObject, delay: float) -> None:
        lane = data.draw(st.sampled_from([lane for lane in self.lanes.values() if lane.held()]))
        returning = lane.held()[data.draw(st.integers(0, len(lane.held()) - 1)) :]
        leases = [self.give_up_lease(job) for job in returning]
        replies = self.redis.release(*leases, delay=delay)
        assert replies == [2 if job.asked_to_stop else 1 for job in returning]
        for job in returning:
            lane.put_back(job, delayed=delay > 0)
        self.turns_back = True

    @precondition(lambda self: self.live(lambda job: job.lease and job.place == "started"))
    @rule(data=st.data())
    def release_too_late(self, data: st.DataObject) -> None:
        job = data.draw(st.sampled_from(self.live(lambda job: job.lease and job.place == "started")))
        assert job.lease
        assert self.redis.release(job.lease) == [False]

    @precondition(lambda self: self.live(lambda job: job.lease))
    @rule(data=st.data())
    def renew(self, data: st.DataObject) -> None:
        jobs = self.some_worker(data)
        replies = self.redis.renew(*[job.lease for job in jobs if job.lease])
        assert replies == [2 if job.asked_to_stop else 1 for job in jobs]
        self.aged = [job for job in self.aged if job not in jobs]

    @precondition(lambda self: self.live(lambda job: job.lease))
    @rule(data=st.data(), noticed=st.booleans())
    def crash(self, data: st.DataObject, *, noticed: bool) -> None:
        """A worker's leases run out, though it may be alive."""
        for job in self.some_worker(data):
            if job.lease and job not in self.aged:
                self.ages += 1
                self.redis.client.zadd(self.redis.keys.leases, {job.lease.handle: self.ages}, xx=True)
                self.aged.append(job)
        if noticed:
            self.expire()

    @precondition(lambda self: self.live(lambda job: job.lease))
    @rule(data=st.data(), count=st.integers(1, 3))
    def process_dies(self, data: st.DataObject, count: int) -> None:
        """The lease keeper sees it, and knows which jobs ran."""
        running = data.draw(st.permutations(self.begun()))[:count]
        leases = [self.give_up_lease(job) for job in running]
        expected = []
        for job in running:
            user, lane = self.lane_of(job)
            lane.lose_process(job, MAX_LOSSES, alone=len(running) == 1)
            expected.append(self.lost(user, job))
        assert self.run(Lose("w1", leases, [1000] * len(leases), MAX_LOSSES)) == expected

    def lost(self, user: str, job: PlainJob) -> LostJob:
        state = job.state if job.state.ended else JobState.QUEUED
        return LostJob(user, job.job_id, state, job.attempts, job.type)

    @rule()
    def expire(self) -> None:
        expected = []
        for job in list(self.aged):
            user, lane = self.lane_of(job)
            self.give_up_lease(job)
            lane.lose_worker(job, MAX_WORKER_LOSSES)
            expected.append(self.lost(user, job))
        self.promote()
        assert self.run(Expire(losses=WORKER_LOSSES)) == expected

    @precondition(lambda self: self.delayed())
    @rule(data=st.data(), noticed=st.booleans())
    def retry_comes_due(self, data: st.DataObject, *, noticed: bool) -> None:
        job = data.draw(st.sampled_from(self.delayed()))
        self.redis.age_retry(job.job_id)
        self.due.append(job)
        if noticed:
            self.expire()

    @rule(data=st.data(), user=users)
    def cancel(self, data: st.DataObject, user: str) -> None:
        lane = self.lanes[user]
        begun = [job for job in lane.jobs if job.place != "waiting"]
        others = self.live(lambda job: job not in lane.jobs)
        likely = [
            job.job_id for job in [*begun * 3, *lane.jobs, *lane.delayed, *lane.ended.values(), *others[:2]]
        ]
        job_id = data.draw(st.sampled_from([*likely, "0" * 25]))
        answer = self.run(Cancel(user, job_id, "enough"))
        if job_id in lane.ended:
            assert answer == ("unknown" if job_id in self.archived else "ended")
        elif job := next((job for job in lane.jobs if job.job_id == job_id), None):
            assert answer == lane.cancel(job)
            self.due = [one for one in self.due if one is not job]
        elif job := next((job for job in lane.delayed if job.job_id == job_id), None):
            assert answer == "cancelled"
            lane.end(job, JobState.CANCELLED)
        else:
            assert answer == "unknown"

    @rule(data=st.data(), user=users, piece=st.integers(1, 3))
    def purge(self, data: st.DataObject, user: str, piece: int) -> None:
        lane = self.lanes[user]
        until_us = data.draw(
            st.sampled_from(
                [
                    FOR_EVER,
                    *(seq_of(job.job_id) for job in lane.jobs),
                    *(job.accepted_us for job in lane.delayed),
                ]
            )
        )
        cancelled: list[str] = []
        more = True
        while more:
            ids, more = self.run(Purge(user, until_us, "gone", piece))
            cancelled += ids
        after = -1
        while after:
            ids, after = self.run(PurgeDelayed(user, until_us, "gone", piece, max(0, after)))
            cancelled += ids
        gone = lane.purge(until_us)
        assert sorted(cancelled) == sorted(job.job_id for job in gone)
        self.due = [job for job in self.due if job not in gone]

    @rule(user=users, resume=st.booleans())
    def pause_or_resume(self, user: str, *, resume: bool) -> None:
        lane = self.lanes[user]
        changed = self.run(Resume(user) if resume else Pause(user))
        assert changed == (lane.paused == resume)
        lane.paused = not resume

    @rule(user=users, slots=st.none() | st.integers(1, 4))
    def limit(self, user: str, slots: int | None) -> None:
        self.run(Limit(user, slots))
        self.lanes[user].slots = slots or self.default or 5

    @rule(count=st.integers(1, 4))
    def read_outbox(self, count: int) -> None:
        jobs = self.run(Outbox(count))
        ended = {job_id: job for lane in self.lanes.values() for job_id, job in lane.ended.items()}
        for job in jobs:
            assert (job.state, job.attempts) == (ended[job.job_id].state, ended[job.job_id].attempts)
        assert len(jobs) == min(count, len(ended) - len(self.archived))
        self.outbox = [job.job_id for job in jobs]
        self.outbox_keys = {job.job_id: f"{job.user}:{job.unique_key}" for job in jobs if job.unique_key}

    @rule()
    def archive(self) -> None:
        """Jobs that were read from the outbox have been stored, by now perhaps by another archiver, too."""
        archived = self.run(Archived(self.outbox, self.outbox_keys))
        assert archived == len(set(self.outbox) - self.archived)
        self.archived |= set(self.outbox)
        self.unique = {key: job_id for key, job_id in self.unique.items() if job_id not in self.archived}

    # -- invariants ---------------------------------------------------------------------------------------------

    @invariant()
    def redis_agrees_with_the_model(self) -> None:
        if not self.lanes:
            return
        keys, key = self.redis.keys, self.redis.key
        with self.redis.client.pipeline(transaction=False) as pipeline:
            for user in USERS:
                pipeline.zrange(key(f"lane:{user}"), 0, -1, withscores=True)
            pipeline.zrange(keys.lanes, 0, -1)
            pipeline.zrange(keys.leases, 0, -1)
            pipeline.zrange(keys.retries, 0, -1)
            pipeline.hkeys(key("cancels"))
            pipeline.lrange(keys.outbox, 0, -1)
            pipeline.zrange(keys.ring, 0, -1)
            pipeline.zrange(key("permits:gpu"), 0, -1)
            pipeline.zrange(key("waiting:gpu"), 0, -1)
            jobs = self.live(lambda _: True)
            pipeline.hgetall(key("losses"))
            for job in jobs:
                pipeline.hmget(key(f"job:{job.job_id}"), "state", "attempts")
            replies = pipeline.execute()
            *contents, lanes, leases, retries, cancels, done, ring, permits, waiting, losses = replies[:12]
            fields = replies[12:]

        for (user, lane), content in zip(self.lanes.items(), contents, strict=True):
            assert read_lane(content) == lane.contents(), user
            assert lane.slots_taken() <= max(lane.most_slots, lane.slots), "at most the slots"
        for job, (state, attempts) in zip(jobs, fields, strict=True):
            assert (state or b"queued", int(attempts or 0)) == (job.state.encode(), job.attempts)
        assert texts(lanes) == [user for user in USERS if self.lanes[user].jobs]
        assert set(texts(leases)) == {job.lease.handle for job in jobs if job.lease}, (
            "in flight equals leases"
        )
        assert set(texts(permits)) & set(texts(leases)) == {
            job.lease.handle for job in jobs if job.lease and job.has_permit
        }, "a permit holds as long as its lease"
        assert self.free_permits() >= 0, "at most the permits"
        assert texts(waiting) == [job.job_id for job in self.waiting], "first come, first served"
        assert set(texts(retries)) == {job.job_id for job in jobs if job.waits_for_retry()}
        assert set(texts(cancels)) == {job.job_id for job in jobs if job.asked_to_stop}
        assert texts_of(losses) == {
            job.job_id: f"{int(job.suspect)} {job.losses} {job.worker_losses}" for job in jobs if job.is_lost
        }, "an attempt that ends by itself clears the losses, and nothing else does"
        ended = {job_id for lane in self.lanes.values() for job_id in lane.ended}
        assert len(done) == len(set(done)), "a job ends once"
        assert set(texts(done)) == ended - self.archived, "no job is lost"
        self.check_ring(texts(ring))
        self.check_keys(jobs, ended)

    def check_ring(self, ring: list[str]) -> None:
        ready = {user for user, lane in self.lanes.items() if lane.ready()}
        assert set(ring) == ready, "in the ring if and only if ready"
        stayed = [user for user in self.ring if user in ready]
        came = len(ring) - len(stayed)
        waiting = ring[came:] if self.turns_back else ring[: len(stayed)]
        assert waiting == stayed, (
            "who waits keeps its place, who comes goes to the end, or first after a turn in vain"
        )
        self.ring, self.turns_back = ring, False

    def check_keys(self, jobs: list[PlainJob], ended: set[str]) -> None:
        expected = {f"lane:{user}" for user, lane in self.lanes.items() if lane.jobs}
        expected |= {f"delayed:{user}" for user, lane in self.lanes.items() if lane.delayed}
        expected |= {f"later:{job.job_id}" for lane in self.lanes.values() for job in lane.delayed}
        expected |= {f"spec:{job.job_id}" for job in jobs}
        expected |= {f"job:{job.job_id}" for job in jobs if job.has_run}
        expected |= {f"{kind}:{job_id}" for job_id in ended - self.archived for kind in ("spec", "ended")}
        expected |= {f"idem:{user}:{key}" for user, key in self.idempotent}
        expected |= {f"unique:{key}" for key in self.unique}
        whether: dict[str, object] = {
            "ring": self.ring,
            "lanes": jobs,
            "leases": self.live(lambda job: job.lease),
            "retries": self.live(PlainJob.waits_for_retry),
            "cancels": self.live(lambda job: job.asked_to_stop),
            "losses": self.live(lambda job: job.is_lost),
            "outbox": ended - self.archived,
            "delayed": any(lane.delayed for lane in self.lanes.values()),
            "waiting:gpu": self.waiting,
        }
        expected |= {key for key, wanted in whether.items() if wanted}
        found = keys_behind(self.redis.client, self.redis.keys.prefix)
        assert (
            found - {"clock", "limits", "limited", "permits:gpu", "turn", "turns", "wakeups"} == expected
        ), "no orphan key, none missing"
        if self.ring:
            assert {"turns", "wakeups"} <= found, "a lane in the ring has somebody called"


@pytest.mark.timeout(600)  # only when it fails: making the example small takes up to 5 minutes
@pytest.mark.parametrize("examples", [60, pytest.param(500, marks=pytest.mark.thorough)])
def test_any_interleaving_keeps_order_slots_and_every_job(tmp_path: Path, examples: int) -> None:
    with embedded.valkey(
        tmp_path, appendfsync="everysec"
    ) as server:  # its own: each step walks over all of its keys

        def machine() -> Interleavings:
            return Interleavings(server.url)

        run_state_machine_as_test(
            machine,  # type: ignore[arg-type]
            settings=settings(
                max_examples=examples,
                stateful_step_count=50,
                deadline=None,
                suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
            ),
        )

"""The promises of the lanes, one test each. (Random interleavings: test_stateful.py; many processes: test_claimants.py.)"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from laneway.dev import embedded
from laneway.lanes.commands import (
    Archived,
    Cancel,
    Enqueue,
    Expire,
    Limit,
    Pause,
    Progress,
    Resume,
    WorkerLossLimits,
)
from laneway.lanes.model import JobState, Lease
from tests.lanes.driver import Driver, new_job

RETRYING = JobState.RETRYING


def test_promise_1_an_accepted_job_ends_once_wherever_its_workers_die(lanes: Driver) -> None:
    chance = random.Random(1)
    ids = [job_id for user in ("ann", "bob", "eve") for job_id in lanes.enqueue(user, 40)]
    outcomes: Counter[str] = Counter()
    for _ in range(3000):
        if len(lanes.done()) == len(ids):
            break
        leases = lanes.claim(chance.randint(1, 9))
        moment = chance.choice(["claimed", "half started", "started", "half finished", "fails", "works"])
        half = leases[: len(leases) // 2]
        if moment == "half started":
            lanes.start(*half)
        elif moment != "claimed":
            lanes.start(*leases)
        if moment == "half finished":
            lanes.finish(*half)
        elif moment == "fails":
            for lease in leases:
                spent = lease.attempt >= lease.max_attempts
                lanes.finish(lease, state=JobState.FAILED if spent else RETRYING)
        elif moment == "works":
            lanes.finish(*leases)
        for lease in leases:
            lanes.client.zadd(
                lanes.keys.leases, {lease.handle: 1}, xx=True
            )  # whoever still holds one has died
        lanes.run(Expire(losses=WorkerLossLimits(1000, backoff_seconds=0)))
        outcomes[moment] += 1
    assert len(outcomes) == 6
    assert sorted(lanes.done()) == sorted(ids)
    assert {lanes.job(job_id)["state"] for job_id in ids} == {"succeeded", "failed"}
    assert lanes.leases() == lanes.retries() == set()


def test_promise_1_accepted_jobs_survive_the_death_of_redis(tmp_path: Path) -> None:
    try:
        starting = embedded.valkey(tmp_path, appendfsync="always")
    except embedded.EmbeddedError as error:
        pytest.skip(str(error))
    with starting as server:
        lanes = Driver(server.url, "own")
        lanes.run(Limit("*", 2))
        ids = lanes.enqueue("ann", 4, idempotency_key="k", fingerprint="f")
        first, second = lanes.claim(2)
        lanes.start(first, second)
        lanes.finish(first)
        lanes.finish(second, state=RETRYING, delay=1000)
        (third,) = lanes.claim(1)
        before = lanes.snapshot()
        server.kill()
        server.restart()
        assert lanes.snapshot() == before
        assert lanes.enqueue("ann", 4, idempotency_key="k", fingerprint="f") == ids
        assert lanes.start(third) == [1]
        assert lanes.finish(third, second) == [True, False]
        lanes.age_retry(second.job_id)
        assert [lease.job_id for lease in lanes.claim()] == [second.job_id, ids[3]]
        lanes.close()


@pytest.mark.parametrize("slots", [1, 3])
def test_promise_2_order_and_slots_across_everything(lanes: Driver, slots: int) -> None:
    lanes.run(Limit("*", slots))
    ids = lanes.enqueue("ann", 24, max_attempts=100)
    cancelled = {ids[7], ids[15]}
    chance = random.Random(slots)
    starts: list[str] = []
    running: list[Lease] = []
    troubles = ["works", "works", "fails", "waits", "crashes", "is released", "is paused"]
    for step in range(2000):
        if len(lanes.done()) == len(ids):
            break
        if step == 5:
            assert {lanes.run(Cancel("ann", job_id)) for job_id in cancelled} == {"cancelled"}
        trouble = chance.choice(troubles)
        claimed = lanes.claim(chance.randint(1, 4))
        if trouble == "is released" and claimed:
            lanes.release(*claimed[1:])
            del claimed[1:]
        lanes.start(*claimed)
        starts += [lease.job_id for lease in claimed]
        running += claimed
        assert len(running) <= slots
        if trouble == "is paused":
            lanes.run(Pause("ann"))
            assert lanes.claim() == []
            lanes.run(Resume("ann"))
        elif running:
            lease = running.pop(chance.randrange(len(running)))
            if trouble == "crashes":
                lanes.lose(lease)
            elif trouble in ("fails", "waits"):
                lanes.finish(lease, state=RETRYING, delay=1000 * (trouble == "waits"))
            else:
                lanes.finish(lease)
        for job_id in lanes.retries():
            if chance.random() < 0.3:
                lanes.age_retry(job_id)
    assert list(dict.fromkeys(starts)) == [job_id for job_id in ids if job_id not in cancelled]
    assert len(starts) > len(ids)  # some more than once
    if slots == 1:
        assert starts == sorted(starts)  # strictly one after another: a retry comes before the next job
    assert sorted(lanes.done()) == ids


def test_promise_3_a_late_finish_changes_nothing(lanes: Driver) -> None:
    (zombie,) = lanes.started("ann")
    lanes.lose(zombie)
    (new,) = lanes.claim()

    def comes_late() -> None:
        before = lanes.snapshot()
        assert lanes.renew(zombie) == lanes.start(zombie) == [0]
        assert not lanes.run(Progress(zombie, 99, "almost"))
        assert lanes.release(zombie) == [False]
        for state in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, RETRYING):
            assert lanes.finish(zombie, state=state) == [False]
        assert lanes.snapshot() == before

    assert new.token != zombie.token
    comes_late()
    lanes.start(new)
    comes_late()
    lanes.finish(new, body=b'"of the second"')
    comes_late()
    assert lanes.done() == [new.job_id]
    assert lanes.job(new.job_id)["result"] == '"of the second"'


@pytest.mark.parametrize("limit", [1, 4, 64])
def test_promise_4_one_job_waits_for_at_most_one_round(lanes: Driver, limit: int) -> None:
    heavy = [f"heavy{number}" for number in range(8)]
    for user in heavy:
        lanes.enqueue(user, 100)
    for _ in range(3):  # it is busy already
        leases = lanes.claim(limit)
        lanes.start(*leases)
        lanes.finish(*leases)
    lanes.enqueue("light")
    rounds: Counter[str] = Counter()
    jobs: Counter[str] = Counter()
    claimed: list[str] = []
    while "light" not in claimed:
        leases = lanes.claim(limit)
        assert leases
        lanes.start(*leases)
        lanes.finish(*leases)
        claimed = [lease.user for lease in leases]
        before_light = claimed[: claimed.index("light")] if "light" in claimed else claimed
        rounds.update(set(before_light))
        jobs.update(before_light)
    assert max(rounds.values()) == 1, "nobody is served twice before the light user is once"
    assert max(jobs.values()) <= 5, "nobody has more than its slots in that round"


def test_promise_5_a_lease_lasts_as_long_as_it_is_renewed_and_no_longer(lanes: Driver) -> None:
    held, dropped, waiting = lanes.claimed("ann", 3, max_attempts=2)
    lanes.start(held, dropped)
    for _ in range(50):  # hours of work
        lanes.age(held)
        assert lanes.renew(held) == [1]
        assert lanes.run(Expire()) == []
        assert lanes.where("ann", held.job_id) == ["started"]
    lost = lanes.lose(dropped, waiting)
    assert [(job.job_id, job.attempts) for job in lost] == [(dropped.job_id, 0), (waiting.job_id, 0)]
    assert [(lease.job_id, lease.attempt) for lease in lanes.claim()] == [
        (dropped.job_id, 1),
        (waiting.job_id, 1),
    ]
    assert lanes.finish(held, dropped, waiting) == [True, False, False]


def test_promise_6_an_idle_user_leaves_no_key(lanes: Driver) -> None:
    for user in ("ann", "bob", "eve"):
        ids = lanes.enqueue(user, 8)
        lanes.run(Cancel(user, ids[7]))
        leases = lanes.claim()
        lanes.run(Cancel(user, leases[0].job_id))
        lanes.start(*leases[:3])
        lanes.finish(leases[0], leases[1], state=RETRYING, delay=1000)
        lanes.age_retry(leases[1].job_id)
        lanes.lose(leases[2], leases[3])
        lanes.release(leases[4])
        while more := lanes.claim():
            lanes.finish(*more)
    assert len(lanes.done()) == 24
    lanes.run(Archived(lanes.done()))
    assert lanes.all_keys() == {"clock", "wakeups"}


def test_promise_6_cost_does_not_grow_with_the_number_of_users(own_lanes: Driver) -> None:
    add_lanes(own_lanes, 100)
    few, few_us = commands_of_a_job(own_lanes), micros_of_a_job(own_lanes)
    add_lanes(own_lanes, 10_000)
    many = commands_of_a_job(own_lanes)
    assert abs(many - few) < 0.01 * few, "commands in Redis for each job"
    costs = (micros_of_a_job(own_lanes) for _ in range(10))  # other load only adds to what is measured
    assert any(many_us < 2 * few_us + 50 for many_us in costs), "microseconds in Redis for each job"


def add_lanes(lanes: Driver, users: int) -> None:
    """Create lanes with waiting jobs until there are `users` of them."""
    there = len(lanes.known_lanes())
    for first in range(there, users, 500):
        lanes.lanes.run_all(
            [Enqueue(f"user{n}", [new_job()] * 8) for n in range(first, min(first + 500, users))]
        )
    assert len(lanes.known_lanes()) == users


def commands_of_a_job(lanes: Driver) -> float:
    """Count the commands, those in scripts included, that each of 64 jobs costs from acceptance to archive."""

    def carried_out() -> int:
        stats = lanes.client.info("commandstats")
        asked = ("cmdstat_info", "cmdstat_lrange")
        return sum(stats[name]["calls"] for name in stats if name not in asked)

    before = carried_out()
    life_of_jobs(lanes, 64)
    return (carried_out() - before) / 64


def micros_of_a_job(lanes: Driver) -> float:
    """Measure Redis's microseconds for the life of one job: the minimum of many, since the machine is busy."""

    def in_scripts() -> int:
        return int(lanes.client.info("commandstats")["cmdstat_evalsha"]["usec"])

    micros = []
    for _ in range(30):
        before = in_scripts()
        life_of_jobs(lanes, 1)
        micros.append(in_scripts() - before)
    return min(micros)


def life_of_jobs(lanes: Driver, count: int) -> None:
    for number in range(count):
        lanes.enqueue(f"user{number}")
    leases = lanes.claim(count)
    assert len(leases) == count
    lanes.start(*leases[: (count + 1) // 2])
    lanes.renew(*leases)
    lanes.run(Expire())
    lanes.finish(*leases)
    lanes.run(Archived(lanes.done()))

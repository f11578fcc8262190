"""Fast jobs are served in large batches; nothing waits in a busy process while another one is idle."""

from __future__ import annotations

import redis

from laneway.lanes.model import JobState
from tests.worker.running import System, Worker, wait_for


def claims(system: System) -> int:
    """EVALSHA calls on the server: the worker's round trips are a part of them."""
    with redis.Redis.from_url(system.redis_url) as client:
        return int(client.info("commandstats")["cmdstat_evalsha"]["calls"])


def test_noops_are_served_in_large_batches(shared: Worker) -> None:
    system = shared.system
    users = [system.user() for _ in range(100)]
    ids = {user: system.enqueue(user, "noop", *range(100)) for user in users}
    before = claims(system)
    for user in users:
        wait_for(lambda user=user: system.view(user).queued + system.view(user).running == 0, 30)  # type: ignore[misc]
    scripts = claims(system) - before
    for user in users[:5]:
        assert {job.state for job in system.jobs(user, ids[user])} == {JobState.SUCCEEDED}
    assert scripts < 10_000 / 5, (
        f"{scripts} scripts for what was left of 10,000 jobs, those of this test included"
    )


def test_a_slow_job_holds_up_none_of_those_claimed_with_it(shared: Worker) -> None:
    system = shared.system
    system.learn("work")
    slow = system.user()
    others = [system.user() for _ in range(60)]
    (slow_id,) = system.enqueue(slow, "work", {"ms": 3000})
    ids = {user: system.enqueue(user, "work", *[{"ms": 0}] * 5) for user in others}
    for user in others:
        system.ended(user, ids[user], 10)
    assert not system.job(slow, slow_id).state.ended, "the others are done long before it"
    system.ended(slow, [slow_id])
    runs = system.notes.runs(*others)
    assert {run.attempt for run in runs} == {1}
    assert len(runs) == 300
    for user in others:
        assert [run.job_id for run in runs if run.user == user] == ids[user]


def test_a_lane_goes_on_while_its_first_job_is_slow(shared: Worker) -> None:
    system = shared.system
    for type_ in ("work", "wait"):
        system.learn(type_)
        user = system.user()
        ids = system.enqueue(user, type_, {"ms": 3000}, *[{"ms": 0}] * 20)
        rest = system.ended(user, ids[1:], 10)
        assert {job.attempts for job in rest} == {1}
        assert not system.job(user, ids[0]).state.ended
        system.ended(user, ids)
        assert [run.job_id for run in system.notes.runs(user)] == ids


def test_jobs_that_became_slow_are_shared_by_all_processes(shared: Worker) -> None:
    """A batch is planned by what its type took lately. None of these is slow by itself, but the last would wait for all."""
    system = shared.system
    system.learn("light")
    blockers = [system.user() for _ in shared.pool]
    for user in blockers:
        system.enqueue(user, "gated", {"gate": "slow"})
    system.await_starts(len(blockers), *blockers)
    users = [system.user() for _ in range(8)]
    ids = {user: system.enqueue(user, "light", *[{"ms": 40}] * 5) for user in users}
    system.notes.open("slow")
    for user in users:
        system.ended(user, ids[user], 15)
    runs = system.notes.runs(*users)
    counts = sorted(sum(run.pid == pid for run in runs) for pid in shared.pool)
    assert counts[0] >= 14, f"40 jobs of 40 ms went to the two processes as {counts}"


def test_a_single_job_starts_at_once_when_idle(shared: Worker) -> None:
    system = shared.system
    waits = []
    for _ in range(20):
        user = system.user()
        (job,) = system.ended(user, system.enqueue(user, "work", {}))
        assert job.started_us
        waits.append((job.started_us - job.enqueued_us) / 1e6)
    assert sorted(waits)[10] < 0.05, waits

"""The rule in the simulated cluster of `bench.autoscaling`: the bench's targets hold on shortened traces.

The traces run for a tenth of their time, with another seed than the bench's default. The trace of 30-minute jobs runs for a
third, so that some jobs end.
"""

from __future__ import annotations

import pytest

from bench.autoscaling.controllers import Keda, Ours, controllers
from bench.autoscaling.report import Result, missed, simulate
from bench.autoscaling.simulator import LANE_CONCURRENCY, Cluster, Trace
from bench.autoscaling.traces import traces

SEED = 7
NAMES = ("steady", "burst", "heavy user", "light users", "night", "30 minutes")


@pytest.fixture(scope="module")
def short() -> dict[str, Trace]:
    """Return the traces by name. Made here, since each process of a test run imports this module."""
    made = {trace.name: trace for trace in traces(SEED, 0.1)}
    assert made.keys() == set(NAMES)
    return made | {"30 minutes": traces(SEED, 0.35)[-1]}


@pytest.mark.parametrize("name", NAMES)
def test_the_targets_hold(short: dict[str, Trace], name: str) -> None:
    """No rival is better on both wait and pod-hours, no job is interrupted, one heavy user costs a tenth of KEDA's."""
    results = [simulate(short[name], controller, SEED) for controller in controllers()]
    assert missed(results) == []
    assert results[0].unfinished == 0


def test_the_verdict_finds_a_better_rival_and_interrupted_jobs() -> None:
    def result(rule: str, pod_hours: float, wait: float, interrupted: int = 0) -> Result:
        return Result("heavy user", rule, pod_hours, wait, interrupted, 0, 0, [])

    ours = result("ours", 2.0, 10.0, interrupted=3)
    assert missed(
        [ours, result("KEDA", 19.0, 9.0), result("other", 1.9, 9.0), result("third", 1.0, 11.0)]
    ) == [
        "heavy user: other is better on both wait and pod-hours",
        "heavy user: 3 jobs interrupted",
        "heavy user: 10.5% of KEDA's pod-hours",
    ]


class Checked(Ours):
    """Checks the simulated lanes at every tick."""

    def tick(self, cluster: Cluster) -> None:
        running = [job for pod in cluster.pods for job in pod.running]
        for user in {job.user for job in running}:
            assert sum(job.user == user for job in running) <= LANE_CONCURRENCY
        in_system = [job for job in cluster.jobs if job.arrives <= cluster.now and job.ended < 0]
        assert cluster.queued == len(in_system) - len(running)
        jobs_of_user: dict[int, int] = {}
        for job in in_system:
            jobs_of_user[job.user] = jobs_of_user.get(job.user, 0) + 1
        assert cluster.usable == sum(min(count, LANE_CONCURRENCY) for count in jobs_of_user.values())
        super().tick(cluster)


def test_the_simulated_lanes_keep_order_and_slots(short: dict[str, Trace]) -> None:
    trace = short["light users"]
    cluster = Cluster(trace, Checked(), SEED)
    cluster.run()
    last_start: dict[int, float] = {}
    for job in cluster.jobs:
        assert job.arrives <= job.first_started >= last_start.get(job.user, 0.0)
        assert job.ended == pytest.approx(job.first_started + job.seconds)
        last_start[job.user] = job.first_started


def test_the_simulated_stop_interrupts_jobs_that_outlast_the_grace() -> None:
    """With no waiting jobs KEDA stops a busy pod (keda issue 2900), so the job starts again and again."""
    trace = Trace("one", ((1.0, 0, 1800.0),), 7200.0)
    assert simulate(trace, Keda(), SEED).interrupted > 3
    assert simulate(trace, Keda(grace_seconds=3600.0), SEED).interrupted == 0
    ours = simulate(trace, Ours(), SEED)
    assert (ours.interrupted, ours.unfinished) == (0, 0)
    assert ours.pod_hours == pytest.approx((1800 + 8 + 120) / 3600, rel=0.02)


def test_the_same_seed_gives_the_same_run() -> None:
    first, second = (simulate(traces(SEED, 0.05)[1], Ours(), SEED) for _ in range(2))
    assert first == second

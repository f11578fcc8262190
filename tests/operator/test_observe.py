"""Surveys of lanes in a real Redis."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator

import pytest

from laneway.lanes.commands import Claim, Enqueue, Limit, Pause, Start
from laneway.lanes.errors import StoreUnavailable
from laneway.lanes.keys import Keys
from laneway.lanes.model import JobState, NewJob
from laneway.lanes.store import AsyncLanes, connect_async
from laneway.lanes.survey import MAX_LANES
from laneway.lanes.survey import PAGE_LANES as PAGE
from laneway.operator.observe import LaneSurvey, SurveyLimit, survey_lanes
from laneway.scaling import PoolSpec
from tests.lanes.driver import Driver

ALL = SurveyLimit(10**9, 10**9)


@pytest.fixture
def lanes(redis_url: str, prefix: str) -> Iterator[Driver]:
    driver = Driver(redis_url, prefix)
    yield driver
    driver.close()


@pytest.fixture
def survey(redis_url: str, prefix: str) -> Survey:
    return Survey(redis_url, prefix)


class Survey:
    """Surveys the lanes, each time over a new connection."""

    def __init__(self, url: str, prefix: str) -> None:
        self._url, self._keys = url, Keys(prefix)

    def __call__(self, limit: SurveyLimit = ALL, horizon_seconds: float = 30) -> LaneSurvey:
        async def run() -> LaneSurvey:
            client = connect_async(self._url)
            try:
                return await survey_lanes(
                    AsyncLanes(client, self._keys), limit, horizon_seconds=horizon_seconds
                )
            finally:
                await client.aclose()

        return asyncio.run(run())


def start(lanes: Driver, host: str, limit: int, ago_seconds: float = 0) -> None:
    """Claim and start jobs, like a worker on that host."""
    claimed = lanes.run(Claim(limit, 30))
    started_us = claimed.now_us - int(ago_seconds * 1_000_000)
    lanes.run(Start(f"{host}:77", claimed.leases, [started_us] * len(claimed.leases)))


def test_an_empty_redis(survey: Survey) -> None:
    found = survey()
    assert (found.usable, found.queued, found.users_waiting, found.jobs) == (0, 0, 0, ())
    assert found.ring_wait_seconds == 0
    load = found.load((), 30, None)
    assert (load.usable, load.queued, load.running, load.oldest_wait_seconds) == (0, 0, 0, 0)


def test_usable_is_what_slots_and_jobs_allow(lanes: Driver, survey: Survey) -> None:
    lanes.enqueue("heavy", 1000)
    lanes.enqueue("light", 2)
    lanes.enqueue("strict", 4)
    lanes.run(Limit("strict", 1))
    found = survey()
    assert found.usable == 5 + 2 + 1
    assert (found.queued, found.users_waiting) == (1006, 3)
    assert (found.sizes.lanes, found.sizes.inspected, found.sizes.jobs) == (3, 3, 1006)


def test_running_jobs_are_not_queued_and_their_ages_and_hosts_are_known(
    lanes: Driver, survey: Survey
) -> None:
    lanes.enqueue("ann", 5)
    start(lanes, "pod-a", 1, ago_seconds=100)
    start(lanes, "pod-b", 2, ago_seconds=1)
    found = survey()
    assert (found.usable, found.queued, found.sizes.leases) == (5, 2, 3)
    assert {host: len(ages) for host, ages in found.job_ages.items()} == {"pod-a": 1, "pod-b": 2}
    assert found.job_ages["pod-a"][0] == pytest.approx(100, abs=5)
    load = found.load({"pod-b"}, 30, 0.5)
    assert (load.running, load.leaving, load.held, load.service_seconds) == (3, 2, 1, 0.5)


def test_a_claimed_job_that_has_not_started_is_in_flight_on_no_host(lanes: Driver, survey: Survey) -> None:
    lanes.claimed("ann")
    found = survey()
    assert (found.sizes.leases, found.queued, found.jobs) == (1, 0, ())


def test_of_a_paused_lane_only_running_jobs_count(lanes: Driver, survey: Survey) -> None:
    lanes.started("ann", 2)
    lanes.enqueue("ann", 8)
    lanes.enqueue("bob", 3)
    lanes.run(Pause("ann"))
    found = survey()
    assert (found.usable, found.queued) == (3, 3)
    load = found.load((), 30, None)
    assert (load.running, load.queued) == (2, 3)


def test_a_retry_counts_once_it_is_due_within_the_horizon(lanes: Driver, survey: Survey) -> None:
    leases = lanes.started("ann", 2)
    lanes.finish(leases[0], state=JobState.RETRYING, delay=300)
    lanes.finish(leases[1], state=JobState.RETRYING, delay=5)
    found = survey(horizon_seconds=30)
    assert (found.usable, found.queued, found.sizes.retries) == (1, 2, 2)
    assert survey(horizon_seconds=600).usable == 2


def test_a_retry_in_a_paused_lane_takes_nothing_from_others(lanes: Driver, survey: Survey) -> None:
    (lease,) = lanes.started("ann", 1)
    lanes.finish(lease, state=JobState.RETRYING, delay=300)
    lanes.run(Pause("ann"))
    lanes.enqueue("bob", 3)
    assert survey().usable == 3


def test_the_head_of_the_ring_shows_the_longest_wait_for_a_worker(lanes: Driver, survey: Survey) -> None:
    lanes.enqueue("ann", 1)
    joined_us = lanes.now_us() - 90_000_000
    lanes.client.zadd(lanes.keys.ring, {"ann": joined_us})
    assert survey().ring_wait_seconds == pytest.approx(90, abs=5)


def fill(lanes: Driver, users: int, jobs: int = 1) -> None:
    for first in range(0, users, 500):
        lanes.lanes.run_all(
            [
                Enqueue(
                    f"user-{number:06}", [NewJob(secrets.token_hex(6), "echo", b"0", 3) for _ in range(jobs)]
                )
                for number in range(first, min(users, first + 500))
            ]
        )


def test_all_pages_are_read_below_the_limit(lanes: Driver, survey: Survey) -> None:
    fill(lanes, 3 * PAGE + 1, jobs=2)
    found = survey()
    assert found.sizes.inspected == found.sizes.lanes == 3 * PAGE + 1
    assert (found.usable, found.queued) == (6 * PAGE + 2, 6 * PAGE + 2)


def test_the_survey_stops_when_the_decision_cannot_change_and_extrapolates(
    lanes: Driver, survey: Survey
) -> None:
    fill(lanes, 5 * PAGE, jobs=2)
    found = survey(SurveyLimit(usable=PAGE, jobs=PAGE))
    assert found.sizes.inspected == PAGE
    assert (found.usable, found.queued, found.users_waiting) == (10 * PAGE, 10 * PAGE, 5 * PAGE)
    assert survey(SurveyLimit(usable=PAGE, jobs=3 * PAGE)).sizes.inspected == 2 * PAGE, (
        "not enough jobs on the first page"
    )


def test_at_most_max_lanes_are_read(lanes: Driver, survey: Survey) -> None:
    users = MAX_LANES + 2 * PAGE
    fill(lanes, users)
    found = survey()
    assert found.sizes.inspected == MAX_LANES
    assert (found.usable, found.queued) == (users, users)


def test_the_limit_is_what_the_maximum_of_replicas_can_use_and_must_drain() -> None:
    spec = PoolSpec(0, 10, 4, drain_target_seconds=30)
    assert SurveyLimit.of(spec, None) == SurveyLimit(40, 0)
    assert SurveyLimit.of(spec, 2.0) == SurveyLimit(40, 600)
    assert SurveyLimit.of(spec, 300.0) == SurveyLimit(40, 4)


def test_redis_away_raises_store_unavailable(prefix: str) -> None:
    with pytest.raises(StoreUnavailable):
        Survey("redis://127.0.0.1:1/0", prefix)()


def test_work_that_nobody_serves_is_told_from_work_that_waits_for_full_workers(
    lanes: Driver, survey: Survey
) -> None:
    assert survey().unserved_seconds(4) == 0, "the ring is empty"
    lanes.enqueue("ann", 2)
    start(lanes, "pod-a", 2, ago_seconds=300)
    lanes.enqueue("bob", 1)
    lanes.client.zadd(lanes.keys.ring, {"bob": lanes.now_us() - 90_000_000})
    found = survey()
    assert found.unserved_seconds(2) == 0, "both slots are busy"
    assert found.unserved_seconds(4) == pytest.approx(90, abs=5)
    assert found.unserved_seconds(0) == pytest.approx(90, abs=5), "no worker is ready"
    lanes.enqueue("eve", 1)
    lanes.client.zadd(lanes.keys.ring, {"bob": lanes.now_us() - 60_000_000})
    lanes.client.zadd(lanes.keys.ring, {"eve": lanes.now_us() - 90_000_000})
    start(lanes, "pod-b", 1, ago_seconds=2)
    assert survey().unserved_seconds(5) == pytest.approx(2, abs=2), "a job has started 2 s ago"

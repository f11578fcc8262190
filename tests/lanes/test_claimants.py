"""Several processes claim from one server at once, while others enqueue."""

from __future__ import annotations

import multiprocessing
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import pytest

from laneway.lanes.commands import Limit
from tests.lanes.claimant import serve
from tests.lanes.driver import Driver, texts

USERS = {f"user{number}": 1 + number % 4 for number in range(24)}
"""Name and slots."""
JOBS, PROCESSES = 20, 3


def fill(url: str, name: str, users: list[str]) -> None:
    lanes = Driver(url, name)
    for count in (1, 3, JOBS - 4):
        for user in users:
            lanes.enqueue(user, count, max_attempts=1000)
    lanes.close()


@pytest.mark.parametrize(
    "deadly", [pytest.param(False, marks=pytest.mark.thorough, id="alive"), pytest.param(True, id="dying")]
)
def test_many_claimants_keep_every_lane_in_order(
    redis_url: str, prefix: str, lanes: Driver, *, deadly: bool
) -> None:
    for user, slots in USERS.items():
        lanes.run(Limit(user, slots))
    total = len(USERS) * JOBS
    with (
        ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as claimants,
        ThreadPoolExecutor(2) as fillers,
    ):
        serving = [
            claimants.submit(serve, redis_url, prefix, number, total, deadly=deadly)
            for number in range(PROCESSES)
        ]
        names = list(USERS)
        filling = [fillers.submit(fill, redis_url, prefix, half) for half in (names[::2], names[1::2])]
        for future in filling:
            future.result(60)
        finished = [job_id for future in serving for job_id in future.result(90)]

    assert len(finished) == len(set(finished)) == total, "each job ends once"
    assert sorted(lanes.done()) == sorted(finished)
    assert lanes.leases() == lanes.retries() == set()
    assert lanes.ring() == lanes.known_lanes() == []

    first_starts: dict[str, list[str]] = defaultdict(list)
    in_flight: dict[str, set[str]] = defaultdict(set)
    for note in texts(lanes.client.lrange(lanes.key("notes"), 0, -1)):
        what, user, job_id = note.split()
        if what == "start":
            if job_id not in first_starts[user]:
                first_starts[user].append(job_id)
            in_flight[user].add(job_id)
            if not deadly:  # a holder that lost its lease may still run the job
                assert len(in_flight[user]) <= USERS[user]
        else:
            in_flight[user].discard(job_id)
    for user in USERS:
        assert len(first_starts[user]) == JOBS
        assert first_starts[user] == sorted(first_starts[user]), user

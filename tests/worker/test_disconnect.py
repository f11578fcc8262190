"""The janitor, and the lane of a user who has disconnected: emptied or not, as the policy says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import pytest

from laneway.janitor import Janitor, Policy
from laneway.lanes.store import AsyncLanes, connect_async
from laneway.presence import Presence, PresenceSweeper
from laneway.storage.activity_writer import ActivityWriter
from laneway.storage.history_writer import HistoryWriter
from laneway.storage.mongo import connect_janitor
from laneway.telemetry.job_log import JobLog
from tests.lanes.driver import Driver

GRACE_SECONDS = 60


@pytest.fixture
def lanes(redis_url: str, prefix: str) -> Iterator[Driver]:
    driver = Driver(redis_url, prefix)
    yield driver
    driver.close()


def janitor(lanes: Driver, redis_url: str, policy: Policy) -> Janitor:
    """It has nothing to archive here."""
    return Janitor(
        lanes.lanes,
        HistoryWriter(connect_janitor("mongodb://127.0.0.1:1")["none"]),
        ActivityWriter(connect_janitor("mongodb://127.0.0.1:1")["none"]),
        PresenceSweeper(lanes.lanes),
        JobLog("worker", "INFO"),
        grace_seconds=GRACE_SECONDS,
        policy=policy,
        backlog=1000,
    )


async def _call(lanes: Driver, redis_url: str, *, leave: bool) -> None:
    client = connect_async(redis_url)
    presence = Presence(AsyncLanes(client, lanes.keys), heartbeat_seconds=10)
    await presence.connect("ann", "token:1")
    if leave:
        await presence.logout("ann", "token")
    await client.aclose()


def test_purge_cancels_what_has_not_started_and_nothing_else(
    lanes: Driver, redis_url: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (running,) = lanes.started("ann")
    waiting, others = lanes.enqueue("ann", 3), lanes.enqueue("bob", 2)
    asyncio.run(_call(lanes, redis_url, leave=True))
    later = lanes.enqueue("ann")
    tidy = janitor(lanes, redis_url, "purge")
    tidy.tidy()
    assert lanes.lane("ann") == [("started", running.job_id), ("waiting", later[0])]
    assert [lanes.job(job_id)["state"] for job_id in waiting] == ["cancelled"] * 3
    assert {lanes.job(job_id)["reason"] for job_id in waiting} == {"the user has disconnected"}
    assert lanes.lane("bob") == [("waiting", job_id) for job_id in others]
    assert (tidy.stats.disconnected, tidy.stats.purged) == (1, 3)
    lines = [json.loads(line) for line in capfd.readouterr().out.splitlines() if line.startswith("{")]
    told = [(line["job_id"], line["user"]) for line in lines if line["event"] == "cancelled"]
    assert told == [(job_id, "ann") for job_id in waiting]


def test_purge_cancels_the_delayed_jobs_that_were_accepted_before(lanes: Driver, redis_url: str) -> None:
    before = lanes.enqueue("ann", 2, delay=3600)
    asyncio.run(_call(lanes, redis_url, leave=True))
    later = lanes.enqueue("ann", delay=1800)
    tidy = janitor(lanes, redis_url, "purge")
    tidy.tidy()
    assert lanes.delayed("ann") == later
    assert [lanes.job(job_id)["state"] for job_id in before] == ["cancelled"] * 2
    assert tidy.stats.purged == 2


def test_drain_leaves_the_lane_as_it_is(lanes: Driver, redis_url: str) -> None:
    ids = lanes.enqueue("ann", 3)
    asyncio.run(_call(lanes, redis_url, leave=True))
    tidy = janitor(lanes, redis_url, "drain")
    tidy.tidy()
    assert lanes.lane("ann") == [("waiting", job_id) for job_id in ids]
    assert (tidy.stats.disconnected, tidy.stats.purged) == (1, 0)
    assert [lease.job_id for lease in lanes.claim()] == ids


def test_who_is_away_for_less_than_the_grace_time_keeps_the_lane(lanes: Driver, redis_url: str) -> None:
    """The connection has run out, and an API process lives: of the time that was given some is left."""
    ids = lanes.enqueue("ann", 3)
    asyncio.run(_call(lanes, redis_url, leave=False))
    tidy = janitor(lanes, redis_url, "purge")
    for seconds, kept in ((GRACE_SECONDS - 5, ids), (10, [])):
        lanes.client.zremrangebyscore(lanes.key("connections:ann"), "-inf", "+inf")
        lanes.client.zincrby(lanes.key("presence"), -seconds * 1000, "ann")
        tidy.tidy()
        assert [job_id for _, job_id in lanes.lane("ann")] == kept

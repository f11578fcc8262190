"""Schedules in MongoDB: names, limits, what a replacement keeps, and who is due."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import pymongo
import pytest

from laneway.choices import Missed
from laneway.fire_times import Cron, Every, InvalidTiming, Timing
from laneway.storage.due_schedules import DueSchedules, Move
from laneway.storage.mongo import connect_async, now
from laneway.storage.schedules import (
    DUE_INDEX,
    Plan,
    Schedule,
    Schedules,
    SchedulesUnavailable,
    TooManySchedules,
)

T = TypeVar("T")
Ask = Callable[[Callable[[Schedules], Awaitable[Any]]], Any]


@pytest.fixture
def ask(mongo_url: str, mongo_database: str) -> Ask:
    def run(question: Callable[[Schedules], Awaitable[T]]) -> T:
        async def asked() -> T:
            async with connect_async(mongo_url, timeout_seconds=20, appname="test") as client:
                return await question(Schedules(client[mongo_database], max_per_user=3))

        return asyncio.run(asked())

    return run


@pytest.fixture
def database(mongo_url: str, mongo_database: str) -> Any:
    return pymongo.MongoClient[dict[str, Any]](mongo_url)[mongo_database]


def plan(timing: Timing | None = None, request: bytes = b"1", missed: Missed = Missed.ONCE) -> Plan:
    return Plan("echo", request, 3, timing or Every(3600, now()), missed)


def due_later(database: Any) -> list[Schedule]:
    return DueSchedules(database).due(now() + timedelta(days=1), 100)


def test_a_schedule_is_kept_as_it_was_put(ask: Ask) -> None:
    nightly = plan(Cron("0 3 * * *", "Europe/Berlin"), b'{"n":1.50}', Missed.SKIP)
    put, new = ask(lambda schedules: schedules.put("ann", "nightly", nightly))
    assert new
    found = ask(lambda schedules: schedules.find("ann", "nightly"))
    assert found == put
    assert (found.plan, found.paused, found.last_fired_at, found.last_error) == (nightly, False, None, None)
    assert found.next_at == nightly.timing.after(found.created_at)


def test_putting_it_again_changes_the_work_and_leaves_an_equal_timing_alone(ask: Ask) -> None:
    first, _ = ask(lambda schedules: schedules.put("ann", "s", plan(Every(3600, now()))))
    ask(lambda schedules: schedules.pause("ann", "s", paused=True))
    later = now() + timedelta(seconds=100)
    same, new = ask(lambda schedules: schedules.put("ann", "s", plan(Every(3600, later), b"2", Missed.ALL)))
    assert not new
    assert (same.next_at, same.plan.timing, same.paused) == (first.next_at, first.plan.timing, True)
    assert (same.plan.request, same.plan.missed) == (b"2", Missed.ALL)
    changed, new = ask(lambda schedules: schedules.put("ann", "s", plan(Cron("0 0 * * *", "UTC"))))
    assert not new
    assert changed.plan.timing == Cron("0 0 * * *", "UTC")
    assert changed.next_at.hour == 0
    back, _ = ask(lambda schedules: schedules.put("ann", "s", plan(Every(60, later))))
    assert back.next_at == later + timedelta(seconds=60)


def test_a_user_has_a_bounded_number_of_schedules(ask: Ask) -> None:
    async def fill(schedules: Schedules) -> list[Schedule]:
        for name in ("a", "b", "c"):
            await schedules.put("ann", name, plan())
            await schedules.put("ann0", name, plan())
        with pytest.raises(TooManySchedules, match="at most 3"):
            await schedules.put("ann", "d", plan())
        await schedules.put("ann", "c", plan(request=b"2"))
        return await schedules.of_user("ann")

    assert [schedule.name for schedule in ask(fill)] == ["a", "b", "c"]


def test_two_programs_that_put_the_same_schedule_make_one(ask: Ask) -> None:
    async def both(schedules: Schedules) -> list[tuple[Schedule, bool]]:
        return await asyncio.gather(*(schedules.put("ann", "s", plan()) for _ in range(8)))

    assert sum(new for _, new in ask(both)) == 1


def test_what_never_fires_is_refused(ask: Ask) -> None:
    with pytest.raises(InvalidTiming):
        ask(lambda schedules: schedules.put("ann", "s", plan(Cron("0 0 30 2 *", "UTC"))))


def test_deleting_touches_nobody_else(ask: Ask) -> None:
    async def delete(schedules: Schedules) -> list[list[Schedule]]:
        for user in ("ann", "ann.b", "bob"):
            await schedules.put(user, "s", plan())
        assert await schedules.delete("bob", "s")
        assert not await schedules.delete("bob", "s")
        await schedules.delete_all("ann")
        return [await schedules.of_user(user) for user in ("ann", "ann.b", "bob")]

    gone, left, gone_too = ask(delete)
    assert (gone, [schedule.user for schedule in left], gone_too) == ([], ["ann.b"], [])


def test_due_schedules_come_first_due_first_and_paused_ones_never(ask: Ask, database: Any) -> None:
    async def put(schedules: Schedules) -> None:
        for name, seconds in (("late", 900), ("soon", 60), ("paused", 30)):
            await schedules.put("ann", name, plan(Every(seconds, now())))
        await schedules.pause("ann", "paused", paused=True)

    ask(put)
    assert DueSchedules(database).due(now(), 100) == []
    assert [schedule.name for schedule in due_later(database)] == ["soon", "late"]
    assert [schedule.name for schedule in DueSchedules(database).due(now() + timedelta(days=1), 1)] == [
        "soon"
    ]
    assert DUE_INDEX in [index["key"] for index in database.schedules.index_information().values()]


def test_a_schedule_moves_only_from_where_it_was_seen(ask: Ask, database: Any) -> None:
    seen, _ = ask(lambda schedules: schedules.put("ann", "s", plan()))
    first, second = (datetime(2030, 1, day, tzinfo=UTC) for day in (1, 2))
    moves = [
        Move(seen, time, time, seen.next_at, job_id, None) for time, job_id in ((first, "1"), (second, "2"))
    ]
    for move in moves:
        DueSchedules(database).move([move])
    moved = ask(lambda schedules: schedules.find("ann", "s"))
    assert (moved.next_at, moved.last_fired_at, moved.last_job_id) == (first, seen.next_at, "1")


def test_a_schedule_that_cannot_be_read_is_left_out_for_a_while(ask: Ask, database: Any) -> None:
    ask(lambda schedules: schedules.put("ann", "good", plan()))
    ask(lambda schedules: schedules.put("ann", "newer", plan()))
    database.schedules.update_one({"_id": "ann/newer"}, {"$set": {"missed": "of a newer release"}})
    assert [schedule.name for schedule in due_later(database)] == ["good"]
    assert database.schedules.count_documents({"due_at": {"$lte": now() + timedelta(days=1)}}) == 1


def test_without_mongodb_both_sides_say_so() -> None:
    url = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=50"
    with pytest.raises(SchedulesUnavailable):
        DueSchedules(pymongo.MongoClient[dict[str, Any]](url)["none"]).due(now(), 1)

    async def ask() -> None:
        async with connect_async(url, timeout_seconds=1, appname="test") as client:
            await Schedules(client["none"], max_per_user=1).put("ann", "s", plan())

    with pytest.raises(SchedulesUnavailable):
        asyncio.run(ask())

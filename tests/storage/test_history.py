"""Ended jobs in MongoDB: stored once, however often; found and listed; failed ones as dead letters."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import pymongo
import pytest
from pymongo.asynchronous.database import AsyncDatabase

from laneway.lanes.model import Job, JobState, time_of
from laneway.storage.dead_letters import DeadLetters, Selection
from laneway.storage.documents import HistoryUnavailable, key_of
from laneway.storage.history_reader import MAX_PAGE_BYTES, HistoryReader
from laneway.storage.history_writer import HistoryWriter
from laneway.storage.job_query import JobQuery
from laneway.storage.mongo import connect_async

T = TypeVar("T")
ANN = Selection(user="ann")
FAILED = JobQuery(states=frozenset({JobState.FAILED}))


def job(number: int = 1, user: str = "ann", state: JobState = JobState.SUCCEEDED, **changed: Any) -> Job:
    fields: dict[str, Any] = {
        "type": "echo",
        "request": b'{"a":1}',
        "attempts": 1,
        "max_attempts": 3,
        "started_us": number + 10,
        "finished_us": number + 20,
        "worker": "w:1",
    }
    if state is JobState.SUCCEEDED:
        fields["result"] = b'"done"'
    elif state is JobState.FAILED:
        fields["error"] = b'{"type":"E"}'
    return Job(job_id=f"{number:013x}{'f' * 12}", user=user, state=state, **fields | changed)


class Store:
    def __init__(self, url: str, database: str) -> None:
        self.url, self.name = url, database
        self.client: Any = pymongo.MongoClient(url)
        self.database = self.client[database]
        self.writer = HistoryWriter(self.database)

    def ask(self, question: Callable[[HistoryReader], Awaitable[T]]) -> T:
        """Ask again, as clients do, while the first listing prepares the index: on a busy machine that outlasts a request."""

        async def patiently(database: AsyncDatabase[Any]) -> T:
            reader, deadline = HistoryReader(database), time.monotonic() + 30
            while True:
                try:
                    return await question(reader)
                except HistoryUnavailable:
                    if time.monotonic() > deadline:
                        raise

        return self._run(patiently)

    def ask_dead(self, question: Callable[[DeadLetters], Awaitable[T]]) -> T:
        return self._run(lambda database: question(DeadLetters(database)))

    def _run(self, question: Callable[[AsyncDatabase[Any]], Awaitable[T]]) -> T:
        async def run() -> T:
            async with connect_async(self.url, timeout_seconds=10, appname="test") as client:
                return await question(client[self.name])

        return asyncio.run(run())


@pytest.fixture
def store(mongo_url: str, mongo_database: str) -> Store:
    return Store(mongo_url, mongo_database)


def test_a_job_comes_back_as_it_was(store: Store) -> None:
    jobs = [
        job(1),
        job(2, state=JobState.FAILED),
        job(3, state=JobState.CANCELLED, started_us=None, worker=None, reason="purged"),
        job(4, progress=50.5, note="half ä", request=b"null", result=b"null"),
    ]
    store.writer.store(jobs)
    for one in jobs:
        assert store.ask(lambda history, one=one: history.find("ann", one.job_id)) == one  # type: ignore[misc]


def test_storing_again_changes_nothing(store: Store) -> None:
    jobs = [job(n, state=JobState.FAILED) for n in range(1, 6)]
    store.writer.store(jobs[:3])
    store.writer.store(jobs)
    store.writer.store(jobs)
    assert store.database["history"].count_documents({}) == 5
    assert store.database["dead_letters"].count_documents({}) == 5


def test_nothing_to_store(store: Store) -> None:
    store.writer.store([])
    assert store.database["history"].count_documents({}) == 0


def test_a_page_has_only_the_users_own_jobs(store: Store) -> None:
    """Neither jobs of users whose names begin alike, nor of those that sort next to them."""
    users = ["ann", "ann-b", "ann.b", "ann0", "anna", "an"]
    store.writer.store([job(n, user) for user in users for n in (1, 2)])
    for user in users:
        page = store.ask(lambda history, user=user: history.page(user, JobQuery(), 10))  # type: ignore[misc]
        assert [(one.user, one.job_id) for one in page.jobs] == [(user, job(n).job_id) for n in (2, 1)]
        assert page.scanned_to is None


def test_pages_go_down_to_the_oldest(store: Store) -> None:
    store.writer.store([job(n) for n in range(1, 8)])
    first = store.ask(lambda history: history.page("ann", JobQuery(), 3))
    assert [one.job_id for one in first.jobs] == [job(n).job_id for n in (7, 6, 5)]
    assert first.scanned_to == job(5).job_id
    last = store.ask(lambda history: history.page("ann", JobQuery(cursor=job(3).job_id), 3))
    assert [one.job_id for one in last.jobs] == [job(n).job_id for n in (2, 1)]
    assert last.scanned_to is None


def test_a_page_of_one_state(store: Store) -> None:
    store.writer.store(
        [job(n, state=JobState.FAILED if n % 3 == 0 else JobState.SUCCEEDED) for n in range(1, 10)]
    )
    page = store.ask(lambda history: history.page("ann", FAILED, 2))
    assert [one.job_id for one in page.jobs] == [job(n).job_id for n in (9, 6)]
    assert page.scanned_to == job(6).job_id
    rest = store.ask(lambda history: history.page("ann", replace(FAILED, cursor=job(6).job_id), 2))
    assert ([one.job_id for one in rest.jobs], rest.scanned_to) == ([job(3).job_id], None)


def test_a_page_of_a_rare_state_reads_a_bounded_number_of_jobs(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("laneway.storage.history_reader.MAX_SCAN", 4)
    store.writer.store([job(1, state=JobState.FAILED), *(job(n) for n in range(2, 10))])
    page = store.ask(lambda history: history.page("ann", FAILED, 5))
    assert (page.jobs, page.scanned_to) == ([], job(6).job_id)
    rest = store.ask(lambda history: history.page("ann", replace(FAILED, cursor=job(3).job_id), 5))
    assert ([one.job_id for one in rest.jobs], rest.scanned_to) == ([job(1).job_id], None)


@pytest.mark.parametrize(
    "query", [JobQuery(), JobQuery(states=frozenset({JobState.SUCCEEDED}))], ids=["all", "search"]
)
def test_a_page_of_large_jobs_ends_early(store: Store, query: JobQuery) -> None:
    """The rest is not even read: a hundred large jobs could have a gigabyte."""
    store.writer.store([job(n, result=b'"%b"' % (b"x" * 1_000_000)) for n in range(1, 13)])
    first = store.ask(lambda history: history.page("ann", query, 100))
    assert sum(len(one.result or b"") for one in first.jobs) <= MAX_PAGE_BYTES + 1_000_002
    assert first.scanned_to == first.jobs[-1].job_id
    rest = store.ask(lambda history: history.page("ann", replace(query, cursor=first.scanned_to or ""), 100))
    assert [one.job_id for one in first.jobs + rest.jobs] == [job(n).job_id for n in range(12, 0, -1)]
    assert rest.scanned_to is None


@pytest.mark.parametrize("oldest_first", [False, True], ids=["newest", "oldest"])
def test_large_jobs_that_are_asked_for_by_their_ids_come_in_several_answers(
    store: Store, oldest_first: bool
) -> None:
    """The rest is not even read."""
    store.writer.store([job(n, result=b'"%b"' % (b"x" * 1_000_000)) for n in range(1, 13)])
    ids = [job(n).job_id for n in range(1, 14)]  # there is no thirteenth
    first = store.ask(lambda history: history.find_all("ann", ids, oldest_first=oldest_first))
    assert sum(len(one.result or b"") for one in first.jobs) <= MAX_PAGE_BYTES + 1_000_002
    assert first.scanned_to == first.jobs[-1].job_id
    others = [one for one in ids if one not in {found.job_id for found in first.jobs}]
    rest = store.ask(lambda history: history.find_all("ann", others, oldest_first=oldest_first))
    assert [one.job_id for one in first.jobs + rest.jobs] == sorted(ids[:12], reverse=not oldest_first)
    assert rest.scanned_to is None


def test_listing_uses_an_index(store: Store) -> None:
    """MongoDB uses the index on `_id`. The embedded server needs one on the user, which the first listing builds, and explains
    its use only in a query for the user alone. Reading the whole history for one page would stop the service."""
    store.writer.store([job(n, f"user{n}") for n in range(1, 50)])
    store.ask(lambda history: history.page("user1", JobQuery(), 3))
    history = store.database["history"]
    plan = history.find({"_id": {"$gt": "user1/", "$lt": "user1/~"}}).sort("_id", -1).explain()
    if "COLLSCAN" in str(plan["queryPlanner"]):
        plan = history.find({"user": "user1"}).explain()
    assert "IXSCAN" in str(plan["queryPlanner"])


def test_dead_letters_of_all_and_of_one(store: Store) -> None:
    jobs = [job(n, user, JobState.FAILED) for user in ("ann", "ann-b", "bob") for n in (1, 2)]
    store.writer.store([*jobs, job(3, "ann")])
    assert store.ask_dead(lambda dead: dead.page(Selection(), "", 10)) == sorted(jobs, key=key_of)
    assert store.ask_dead(lambda dead: dead.page(ANN, "", 10)) == jobs[:2]
    assert store.ask_dead(lambda dead: dead.page(ANN, key_of(jobs[0]), 1)) == [jobs[1]]
    assert store.ask_dead(lambda dead: dead.page(ANN, key_of(jobs[1]), 10)) == []
    assert store.ask_dead(lambda dead: dead.page(Selection(), key_of(jobs[4]), 10)) == [jobs[5]]


def test_a_dead_letter_is_dropped_once_and_stays_in_the_history(store: Store) -> None:
    dead = job(1, state=JobState.FAILED)
    store.writer.store([dead])
    assert store.ask_dead(lambda letters: letters.find("ann", dead.job_id)) == dead
    assert store.ask_dead(lambda letters: letters.drop("ann", dead.job_id))
    assert not store.ask_dead(lambda letters: letters.drop("ann", dead.job_id))
    assert store.ask_dead(lambda letters: letters.find("ann", dead.job_id)) is None
    assert store.ask(lambda history: history.find("ann", dead.job_id)) == dead
    store.writer.store([dead])  # an archiver that did not get as far as to tell Redis
    assert store.ask_dead(lambda letters: letters.find("ann", dead.job_id)) is None


def test_one_users_history_is_erased(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """In pieces, and only as long as the caller allows."""
    monkeypatch.setattr("laneway.storage.history_reader.ERASED_TOGETHER", 2)
    users = ("ann", "ann-b", "an", "bob")
    store.writer.store([job(n, user, JobState.FAILED) for user in users for n in range(1, 6)])
    assert not store.ask(lambda history: history.erase("ann", seconds=0))
    assert store.database["dead_letters"].count_documents({"user": "ann"}) == 3
    assert store.ask(lambda history: history.erase("ann", seconds=60))
    for name in ("history", "dead_letters"):
        assert {found["user"] for found in store.database[name].find()} == {"ann-b", "an", "bob"}
        assert store.database[name].count_documents({}) == 15
    assert store.ask(lambda history: history.erase("ann", seconds=60))


def test_a_long_history_is_erased_though_each_command_has_little_time(store: Store) -> None:
    """On a server that takes seconds to delete a thousand documents by their ids, as the embedded one does."""
    store.writer.store([job(n) for n in range(1, 2_001)])

    async def erase() -> bool:
        async with connect_async(store.url, timeout_seconds=0.9, appname="test") as client:
            reader = HistoryReader(client[store.name])
            deadline = time.monotonic() + 90
            while time.monotonic() < deadline:
                with contextlib.suppress(HistoryUnavailable):  # the index may not be there yet
                    if await reader.erase("ann", seconds=5):
                        return True
        return False

    assert asyncio.run(erase())
    assert store.database["history"].count_documents({}) == 0


def test_batches_larger_than_one_command_are_stored(store: Store) -> None:
    jobs = [job(n, result=b'"%b"' % (b"x" * 1_000_000)) for n in range(1, 31)]
    store.writer.store(jobs)
    assert store.database["history"].count_documents({}) == 30


def test_a_result_too_large_for_a_document_does_not_block_the_others(store: Store) -> None:
    store.writer.store([job(1), job(2, result=b'"%b"' % (b"x" * 17_000_000)), job(3)])
    large = store.ask(lambda history: history.find("ann", job(2).job_id))
    assert large is not None
    assert (large.state, large.result) == (JobState.SUCCEEDED, None)
    assert b"TooLong" in (large.error or b"")
    assert store.ask(lambda history: history.find("ann", job(3).job_id)) == job(3)


def test_jobs_expire_only_if_days_are_set(store: Store) -> None:
    store.writer.store([job(1)])
    assert list(store.database["history"].index_information()) == ["_id_"]
    assert "expires_at" not in (store.database["history"].find_one() or {})
    kept = HistoryWriter(store.database, days=3)
    kept.store([job(2, state=JobState.FAILED)])
    for name in ("history", "dead_letters"):
        index = store.database[name].index_information()["expires"]
        assert (index["key"], index["expireAfterSeconds"]) == ([("expires_at", 1)], 0)
        document = store.database[name].find_one({"_id": key_of(job(2))}) or {}
        assert document["expires_at"] - (time_of(22) + timedelta(days=3)).replace(tzinfo=None) < timedelta(
            milliseconds=1
        )
    HistoryWriter(store.database).store([job(3)])
    assert "expires" not in store.database["history"].index_information()


def test_without_mongodb_it_raises_unavailable() -> None:
    url = "mongodb://127.0.0.1:1"
    writer = HistoryWriter(pymongo.MongoClient(url, serverSelectionTimeoutMS=50)["x"])
    with pytest.raises(HistoryUnavailable):
        writer.store([job(1)])

    async def find() -> None:
        async with connect_async(url, timeout_seconds=0.05, appname="test") as client:
            await HistoryReader(client["x"]).find("ann", job(1).job_id)

    with pytest.raises(HistoryUnavailable):
        asyncio.run(find())

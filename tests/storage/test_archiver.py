"""The archiver and its lock: one archives at a time, and neither a lost release nor a killed archiver locks others out for long."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from laneway.lanes.commands import HoldArchiver, LeaveArchiver
from laneway.lanes.errors import StoreUnavailable
from laneway.lanes.keys import Keys
from laneway.lanes.model import Job
from laneway.lanes.store import Lanes, connect
from laneway.storage import archiver as archiver_module
from laneway.storage.activity_writer import ActivityWriter
from laneway.storage.archiver import LOCK_SECONDS, Archiver
from laneway.storage.history_writer import HistoryWriter
from laneway.storage.mongo import connect_janitor
from tests.lanes.driver import Driver


class ReleaseLost(Lanes):
    """The connection breaks whenever the lock is released, so the lock stays."""

    def run(self, command: Any) -> Any:
        """Run a command; a release never arrives."""
        if isinstance(command, LeaveArchiver):
            raise StoreUnavailable("connection reset")
        return super().run(command)


def test_a_lost_release_does_not_lock_the_same_archiver_out(
    redis_url: str, mongo_url: str, prefix: str, mongo_database: str
) -> None:
    driver = Driver(redis_url, prefix)
    history = HistoryWriter(connect_janitor(mongo_url)[mongo_database])
    archived: list[str] = []

    def archiver(kind: type[Lanes]) -> Archiver:
        return Archiver(
            kind(connect(redis_url), Keys(prefix)),
            history,
            ActivityWriter(connect_janitor(mongo_url)[mongo_database]),
            lambda jobs: archived.extend(j.job_id for j in jobs),
        )

    unlucky, other = archiver(ReleaseLost), archiver(Lanes)
    ids = []
    for _ in range(2):
        driver.finish(*(leases := driver.started("ann")))
        ids += [lease.job_id for lease in leases]
        with pytest.raises(StoreUnavailable):
            unlucky.run()
        assert archived == ids, "the second run archives, although the lock of the first is still there"
    driver.finish(*driver.started("ann"))
    other.run()
    assert archived == ids, "another archiver waits until the lock has run out"
    driver.close()


def test_an_empty_outbox_makes_redis_write_nothing(redis_url: str, prefix: str) -> None:
    driver = Driver(redis_url, prefix)
    activity = ActivityWriter(connect_janitor("mongodb://127.0.0.1:1")["none"])
    archiver = Archiver(Lanes(connect(redis_url), Keys(prefix)), SlowHistory(), activity, lambda _jobs: None)  # type: ignore[arg-type]

    def writes() -> int:
        return int(driver.client.info("persistence")["rdb_changes_since_last_save"])

    archiver.run()
    before = writes()
    archiver.run()
    assert writes() == before
    driver.close()


def test_a_job_of_which_all_is_lost_holds_up_no_other(redis_url: str, prefix: str) -> None:
    driver = Driver(redis_url, prefix)
    archived: list[str] = []
    activity = ActivityWriter(connect_janitor("mongodb://127.0.0.1:1")["none"])
    history = SlowHistory()
    history.allowed.set()
    archiver = Archiver(
        Lanes(connect(redis_url), Keys(prefix)),
        history,  # type: ignore[arg-type]
        activity,
        lambda jobs: archived.extend(job.job_id for job in jobs),
    )
    leases = driver.started("ann", 3)
    driver.finish(*leases)
    lost, *kept = driver.done()
    driver.client.delete(driver.key(f"spec:{lost}"), driver.key(f"ended:{lost}"))
    archiver.run()
    assert set(kept) <= set(archived)
    assert not driver.client.llen(driver.keys.outbox)
    driver.close()


class SlowHistory:
    """Stores a batch when it is allowed to."""

    def __init__(self) -> None:
        self.asked, self.allowed = threading.Event(), threading.Event()

    def store(self, jobs: Sequence[Job]) -> list[Job]:
        """Wait for the test."""
        self.asked.set()
        assert self.allowed.wait(30)
        return list(jobs)


def test_the_lock_is_short_and_is_kept_while_a_batch_is_being_stored(
    redis_url: str, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert LOCK_SECONDS <= 5
    monkeypatch.setattr(archiver_module, "LOCK_SECONDS", 0.5)
    monkeypatch.setattr(archiver_module, "RENEW_SECONDS", 0.05)
    driver = Driver(redis_url, prefix)
    driver.finish(*driver.started("ann"))
    history = SlowHistory()
    archived: list[Job] = []
    activity = ActivityWriter(
        connect_janitor("mongodb://127.0.0.1:1")["none"]
    )  # counts, and writes nothing for seconds
    slow = Archiver(Lanes(connect(redis_url), Keys(prefix)), history, activity, archived.extend)  # type: ignore[arg-type]
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(slow.run)
        assert history.asked.wait(10)
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            assert not driver.run(HoldArchiver("another", 1)), "the lock was lost while the batch was stored"
            time.sleep(0.02)
        history.allowed.set()
        running.result(10)
    assert len(archived) == 1
    assert driver.run(HoldArchiver("another", 1)), "the lock is free afterwards"
    driver.close()


def test_another_archiver_goes_on_soon_after_one_was_killed(
    redis_url: str, mongo_url: str, prefix: str, mongo_database: str
) -> None:
    driver = Driver(redis_url, prefix)
    assert driver.run(HoldArchiver("killed", LOCK_SECONDS))
    driver.finish(*driver.started("ann"))
    archived: list[Job] = []
    history = HistoryWriter(connect_janitor(mongo_url)[mongo_database])
    activity = ActivityWriter(connect_janitor(mongo_url)[mongo_database])
    other = Archiver(Lanes(connect(redis_url), Keys(prefix)), history, activity, archived.extend)
    began = time.monotonic()
    while not archived:
        other.run()
        assert time.monotonic() - began < LOCK_SECONDS + 2
        time.sleep(0.05)
    driver.close()


def test_an_archiver_that_stops_leaves_what_others_add_to_the_outbox(
    redis_url: str, mongo_url: str, prefix: str, mongo_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archiver_module, "BATCH_JOBS", 1)
    driver = Driver(redis_url, prefix)
    database = connect_janitor(mongo_url)[mongo_database]
    archived: list[Job] = []

    def while_others_finish(jobs: Sequence[Job]) -> None:
        assert len(archived) < 10, "it does not stop"
        archived.extend(jobs)
        driver.finish(*driver.started("ann"))

    archiver = Archiver(
        Lanes(connect(redis_url), Keys(prefix)),
        HistoryWriter(database),
        ActivityWriter(database),
        while_others_finish,
    )
    for _ in range(3):
        driver.finish(*driver.started("ann"))
    archiver.run(lambda: len(archived) >= 4)
    assert 4 <= len(archived) < 10
    assert driver.client.llen(driver.keys.outbox) == 3
    driver.close()

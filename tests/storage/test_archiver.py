"""The archiver and its lock: one archives at a time, and a lost release locks nobody out who archived before."""

from __future__ import annotations

from typing import Any

import pytest

from laneway.lanes.commands import LeaveArchiver
from laneway.lanes.errors import StoreUnavailable
from laneway.lanes.keys import Keys
from laneway.lanes.store import Lanes, connect
from laneway.storage.archiver import Archiver
from laneway.storage.history_writer import HistoryWriter
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
    history = HistoryWriter.connect(mongo_url, mongo_database)
    archived: list[str] = []

    def archiver(kind: type[Lanes]) -> Archiver:
        return Archiver(
            kind(connect(redis_url), Keys(prefix)),
            history,
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

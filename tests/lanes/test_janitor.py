"""The janitor's passes go on whatever a key holds, and bring back what is damaged."""

from __future__ import annotations

from contextlib import suppress

from laneway.janitor import Janitor
from laneway.lanes.commands import Expire
from laneway.lanes.errors import ScriptFailed
from laneway.lanes.model import JobState
from laneway.presence import PresenceSweeper
from laneway.storage.activity_writer import ActivityWriter
from laneway.storage.history_writer import HistoryWriter
from laneway.storage.mongo import connect_janitor
from laneway.telemetry.job_log import JobLog
from tests.lanes.driver import Driver
from tests.lanes.test_wrong_types import SHARED, break_key, dump, names_of_keys, restore

PASSES = 12


def janitor(lanes: Driver) -> Janitor:
    """It has nothing to archive here."""
    nowhere = connect_janitor("mongodb://127.0.0.1:1")["none"]
    return Janitor(
        lanes.lanes,
        HistoryWriter(nowhere),
        ActivityWriter(nowhere),
        PresenceSweeper(lanes.lanes),
        JobLog("worker", "INFO"),
        grace_seconds=60,
        policy="drain",
        backlog=1000,
    )


def test_whatever_key_has_another_type_a_few_passes_bring_service_back(own_lanes: Driver) -> None:
    """A pass that damage ended before it came to the checker would never mend it."""
    (retried,), held = own_lanes.started("bob"), own_lanes.started("ann")
    own_lanes.finish(retried, state=JobState.RETRYING, delay=60)
    own_lanes.age_retry(retried.job_id)
    own_lanes.age(*held)
    ids = {retried.job_id, *(lease.job_id for lease in held), *own_lanes.enqueue("ann", 3)}
    own_lanes.enqueue("zoe", delay=60)
    saved = dump(own_lanes)
    out_of_service = []
    for name in sorted({*names_of_keys(own_lanes, saved), *SHARED}):
        restore(own_lanes, saved)
        break_key(own_lanes, name)
        passes = janitor(own_lanes)
        for _ in range(PASSES):
            with suppress(ScriptFailed):
                passes.tidy()
        (eves,) = own_lanes.enqueue("eve")
        try:
            own_lanes.run(Expire())
            claimed = {lease.job_id for lease in own_lanes.claim(64)}
            passes.tidy()  # a lease that has run out leaves a job without its request to the checker
            claimed |= {lease.job_id for lease in own_lanes.claim(64)}
        except ScriptFailed as error:
            out_of_service.append((name, str(error)))
        else:
            ended = own_lanes.done()  # one whose request is gone has failed
            if missing := {eves, *ids} - claimed - set(ended):
                out_of_service.append((name, f"neither claimed nor ended: {missing}"))
    assert not out_of_service

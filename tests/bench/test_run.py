"""A run on real servers, with the adapter of Laneway."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.peers import records
from bench.peers.cases.throughput import drain
from bench.peers.catalogue import LANEWAY
from bench.peers.install import Installer
from bench.peers.run import RunError, fresh_run

JOBS = 400


def test_a_backlog_is_drained_and_archived_in_order(tmp_path: Path) -> None:
    with fresh_run(LANEWAY, Installer(tmp_path), synced=True, users=4) as run:
        figures = drain(run, JOBS, 4)
        assert run.client.config_get("appendfsync") == {"appendfsync": "always"}
    assert (figures["out_of_order"], figures["repeated"]) == (0, 0)
    assert figures["jobs_per_second"] >= figures["archived_per_second"] > 0
    # The workers may use less than a tick of 10 ms, in which the kernel counts, for so few jobs.
    assert figures["cpu_us_per_job"] >= figures["redis_us_per_job"] > 0
    assert figures["bytes_per_queued_job"] > 50, "a job holds at least its payload"


@pytest.mark.thorough  # a second system; the first drains a backlog
def test_a_producer_keeps_its_pace_and_awaits(tmp_path: Path) -> None:
    with fresh_run(LANEWAY, Installer(tmp_path), synced=False, users=4) as run:
        awaited = run.produce("awaiting", 20, 4)
        paced = run.produce("paced", 40, 2, first_user=2, rate=100)
        with run.working():
            run.wait_for_starts(60, 60)
            idle = run.produce("idle", 3, 4)
        starts = records.read(run.records)
    assert (awaited["sent"], paced["sent"], idle["sent"], idle["lost"]) == (20, 40, 3, 0)
    assert paced["seconds"] >= 0.39, "the last of 40 jobs is due 0.39 s after the first"
    assert len(starts) == 63
    assert {one.user for one in starts if one.number >= 20} == {2, 3}


def test_jobs_that_do_not_start_end_a_run_with_a_reason(tmp_path: Path) -> None:
    with fresh_run(LANEWAY, Installer(tmp_path), synced=False, users=1) as run:
        assert run.client.config_get("appendonly") == {"appendonly": "no"}
        run.fill(3, 1)
        with pytest.raises(RunError, match="0 of 3 jobs started within 0 s"):
            run.wait_for_starts(3, 0)
        with pytest.raises(RunError, match="the history is not written after 0 s"):
            run.wait_until_archived(0)
        assert run.archived_jobs() == 0

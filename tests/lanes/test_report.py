"""`report`, `inspect_reports` and `inspect_leases`: what administrators see of workers and pools."""

from __future__ import annotations

import time

from laneway.lanes.commands import InspectLeases, InspectReports, Report, ReportKind
from laneway.lanes.model import JobState
from tests.lanes.driver import Driver

WORKERS, POOLS = ReportKind.WORKERS, ReportKind.POOLS


def test_the_last_report_of_each_program_counts_until_it_runs_out(lanes: Driver) -> None:
    lanes.run(Report(WORKERS, "b", {"n": 1}, 60))
    lanes.run(Report(WORKERS, "a", {"n": 2}, 60))
    lanes.run(Report(WORKERS, "b", {"n": 3}, 60))
    lanes.run(Report(POOLS, "p", {"n": 4}, 60))
    assert [(one.name, one.body) for one in lanes.run(InspectReports(WORKERS))] == [
        ("a", {"n": 2}),
        ("b", {"n": 3}),
    ]
    (pool,) = lanes.run(InspectReports(POOLS))
    assert pool.name == "p"
    assert 50_000 < lanes.client.pttl(lanes.key("report:pools/p")) <= 60_000


def test_reports_that_ran_out_leave_nothing_behind(lanes: Driver) -> None:
    lanes.run(Report(WORKERS, "there", {}, 60))
    lanes.run(Report(WORKERS, "gone", {}, 0.001))
    while lanes.client.exists(lanes.key("report:workers/gone")):
        time.sleep(0.001)
    assert [one.name for one in lanes.run(InspectReports(WORKERS))] == ["there"]
    lanes.run(Report(WORKERS, "here", {}, 60))
    assert set(lanes.client.zrange(lanes.key("reports:workers"), 0, -1)) == {b"here", b"there"}
    assert lanes.client.pttl(lanes.key("reports:workers")) > 0, "nothing stays when all programs have gone"


def test_leases_with_user_type_attempt_worker_and_start(lanes: Driver) -> None:
    (first,) = lanes.started("ann")
    lanes.finish(first, state=JobState.RETRYING)
    (again,) = lanes.claim()
    (claimed,) = lanes.claimed("bob")
    held = {job.job_id: job for job in lanes.run(InspectLeases())}
    assert set(held) == {again.job_id, claimed.job_id}
    for lease, attempt in ((again, 2), (claimed, 1)):
        job = held[lease.job_id]
        assert (job.user, job.type, job.attempt) == (lease.user, "echo", attempt)
        assert (job.worker, job.started_us) == (None, None), "not started, or not again yet"
    lanes.start(again)
    running = {job.job_id: job for job in lanes.run(InspectLeases())}[again.job_id]
    assert (running.attempt, running.worker, running.started_us) == (2, "w1", 1000)


def test_leases_come_in_pages(lanes: Driver) -> None:
    leases = lanes.claimed("ann", 5)
    pages = [lanes.run(InspectLeases(behind, 2)) for behind in (0, 2, 4)]
    assert [len(page) for page in pages] == [2, 2, 1]
    assert {job.job_id for page in pages for job in page} == {lease.job_id for lease in leases}

"""The counts of several processes add up to what Prometheus gets."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest

from laneway.lanes.model import JobState, Lease, Outcome
from laneway.worker import protocol
from laneway.worker.counts import Counts
from laneway.worker.lease_keeper.exposition import CountsCollector
from laneway.worker.protocol import CountsReported, FromProcess, MessageReader


def outcome(type_: str, state: JobState, attempt: int = 1) -> Outcome:
    return Outcome(Lease("7", "ann", "0" * 25, type_, b"null", attempt, 3, suspect=False), state, 5, b"null")


def served(counts: Counts) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(CountsCollector(counts))
    lines = [line for line in generate_latest(registry).decode().splitlines() if line[0] != "#"]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def test_what_several_processes_count_adds_up() -> None:
    lease_keeper = Counts()
    for _ in range(2):  # two processes, whose counts travel as messages
        process = Counts()
        process.attempt(outcome("echo", JobState.SUCCEEDED), 0.3)
        process.attempt(outcome("echo", JobState.RETRYING), 1000)
        process.attempt(outcome("a|b", JobState.FAILED, attempt=2), 4000)
        process.event("lease_lost", 3)
        reader: MessageReader[FromProcess] = MessageReader(FromProcess)
        (message,) = reader.feed(protocol.encode(CountsReported(process)))
        assert isinstance(message, CountsReported)
        lease_keeper.merge(message.counts)
    values = served(lease_keeper)
    assert values['laneway_attempts_total{state="succeeded",type="echo"}'] == 2
    assert values['laneway_attempts_total{state="retrying",type="echo"}'] == 2
    assert values['laneway_attempts_total{state="failed",type="a|b"}'] == 2
    assert values['laneway_worker_events_total{event="lease_lost"}'] == 6
    assert values['laneway_job_run_seconds_count{type="echo"}'] == 4
    assert values['laneway_job_run_seconds_sum{type="echo"}'] == 2 * 1000.3
    assert values['laneway_job_run_seconds_bucket{le="0.25",type="echo"}'] == 0
    assert values['laneway_job_run_seconds_bucket{le="0.5",type="echo"}'] == 2
    assert values['laneway_job_run_seconds_bucket{le="+Inf",type="a|b"}'] == 2
    assert values['laneway_job_run_seconds_bucket{le="3600",type="a|b"}'] == 0
    assert values['laneway_job_wait_seconds_count{type="echo"}'] == 4
    assert 'laneway_job_wait_seconds_count{type="a|b"}' not in values, "a retry waits by its backoff"

"""What the steps of a job cost a worker's Python: `python -m bench.steps`, some ten seconds.

Microseconds a job, for no-op jobs that share claims of 200, in the order in which a job meets the steps. Each figure is the least
of many rounds, so a busy machine changes it little. What Redis, MongoDB and the kernel do for the job is not in it.
"""

from __future__ import annotations

import os
import tempfile
import time
import timeit
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bson
import hiredis
from rich.console import Console
from rich.table import Table

from laneway.compat.random import SeedWatch
from laneway.handlers import Context, Registry, Spec
from laneway.lanes.commands import Archived, Claim, Finish, Outbox
from laneway.lanes.model import JobState, Lease, Outcome
from laneway.storage.activity import ActivityCounts
from laneway.storage.documents import document_of
from laneway.telemetry.job_log import JobLog
from laneway.worker.pool.choose import Chooser
from laneway.worker.pool.condition import Condition
from laneway.worker.pool.duration_estimates import DurationEstimates
from laneway.worker.pool.fork_guard import ForkGuard
from laneway.worker.pool.isolation import SuspectIsolation
from laneway.worker.pool.jobs import Batch, ChosenJob, EndedRun
from laneway.worker.pool.plain import PlainRunner
from laneway.worker.pool.reports import Reports
from laneway.worker.pool.run_logs import RunLogs
from laneway.worker.pool.temporary_files import TemporaryFiles
from laneway.worker.protocol import BatchPlanned, FromProcess, HeldJob, MessageReader, encode
from laneway.worker.redis_clock import RedisClock
from laneway.worker.start_tokens import RunningMark, StartTokens

JOBS = 200
ROUNDS = 400
PAYLOAD = b'{"a":1}'
TOKEN = "218153453574613"
WORKER = "worker-0:12"
DAYS = 30


class Nobody:
    """Takes the place of a part that these steps do not reach."""

    def send(self, _message: object) -> None:
        """Send nothing: the socket to the lease keeper is not measured."""


def echo(payload: Any) -> Any:
    """Return the payload: a handler that costs nothing."""
    return payload


SPEC = Spec("echo", echo, False, False, 3, 1, 60, None, None)
IDS = [f"0c668cf03c790{number:012}" for number in range(JOBS)]
LEASES = [
    Lease(TOKEN, f"user{number}", job_id, "echo", PAYLOAD, 1, 3, suspect=False)
    for number, job_id in enumerate(IDS)
]
CHOSEN = [ChosenJob(lease, SPEC, None) for lease in LEASES]
OUTCOMES = [Outcome(lease, JobState.SUCCEEDED, int(TOKEN), PAYLOAD) for lease in LEASES]
SPECS = [b"%b\necho\n3\n%b" % (lease.user.encode(), PAYLOAD) for lease in LEASES]
ENDED = b"succeeded\n1\n%b\n%b\n%b\nresult\n\n\n\n\n%b" % (
    TOKEN.encode(),
    TOKEN.encode(),
    WORKER.encode(),
    PAYLOAD,
)
CLAIMED = [TOKEN.encode(), int(TOKEN), -1, [job_id.encode() for job_id in IDS], SPECS, [0] * JOBS, [], []]
OUTBOX = [[job_id.encode() for job_id in IDS], SPECS, [ENDED] * JOBS]
STORED = Outbox(JOBS).parse(OUTBOX)


def steps_of_a_turn(folder: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield the steps of a pool process and of its lease keeper."""
    durations = DurationEstimates()
    durations.learn("echo", 0)  # unknown types start one by one
    chooser = Chooser(
        Registry({"echo": SPEC}),
        durations,
        SuspectIsolation(),
        _no_context,
        async_jobs=100,
    )
    message = encode(BatchPlanned.of(1, [HeldJob.of(lease, SPEC) for lease in LEASES]))
    reader: MessageReader[FromProcess] = MessageReader(FromProcess)
    args = tuple(_bytes_of(arg) for arg in Finish(WORKER, OUTCOMES).args())
    with os.fdopen(os.open(os.devnull, os.O_WRONLY), "wb") as nowhere:
        reports = Reports(JobLog("worker", "INFO", fd=nowhere.fileno()), Nobody(), durations)  # type: ignore[arg-type]
        runs = [EndedRun(outcome, 0.00002) for outcome in OUTCOMES]
        yield "claim: read the reply", lambda: Claim(JOBS, 30).parse(CLAIMED)
        yield "choose", lambda: chooser.choose(LEASES, 0)
        yield (
            "start: plan the batch",
            lambda: encode(BatchPlanned.of(1, [HeldJob.of(lease, SPEC) for lease in LEASES])),
        )
        yield "lease keeper: read the plan", lambda: reader.feed(message)
        with _runner(folder) as run:
            yield "run", run
        yield (
            "finish: make the arguments",
            lambda: [list(piece.args()) for piece in Finish.pieces(WORKER, OUTCOMES)],
        )
        yield "finish: pack them", lambda: hiredis.pack_command(args)  # type: ignore[arg-type]  # its stub knows tuples of one
        yield "report: log and count", lambda: reports.ended(runs, [True] * JOBS)


def steps_of_the_archive() -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield the steps of the janitor's archiver."""
    documents = [document_of(job, days=DAYS) for job in STORED]
    counts = ActivityCounts()
    yield "archive: read the outbox", lambda: Outbox(JOBS).parse(OUTBOX)
    yield "archive: make documents", lambda: [document_of(job, days=DAYS) for job in STORED]
    yield "archive: encode them", lambda: bson.encode({"insert": "history", "documents": documents})
    yield "archive: count activity", lambda: counts.ended(STORED)
    yield "archive: forget the jobs", lambda: list(Archived.of(STORED).args())


def _no_context(_lease: Lease) -> Context:
    raise AssertionError("the handler wants none")


def _bytes_of(arg: object) -> bytes | str:
    return arg if isinstance(arg, bytes) else str(arg)


@contextmanager
def _runner(folder: Path) -> Iterator[Callable[[], object]]:
    tokens, mark = StartTokens(folder / "tokens", create=True), RunningMark(folder / "mark")
    clock = RedisClock().us
    logs = RunLogs(WORKER, Nobody(), clock, Nobody(), lambda _lease: False)  # type: ignore[arg-type]
    runner = PlainRunner(
        tokens,
        mark,
        clock,
        ForkGuard(lambda: None),
        TemporaryFiles(folder / "files"),
        Condition(SeedWatch()),
        logs,
        lease_seconds=30,
        max_result_bytes=1000,
    )

    def run() -> None:
        tokens.fill(1, JOBS)
        runner.run(Batch(1, CHOSEN, time.monotonic()))

    try:
        yield run
    finally:
        tokens.close()
        mark.close()


def main() -> None:
    """Print a table."""
    table = Table("step", "us a job")
    table.columns[1].justify = "right"
    total = 0.0
    with tempfile.TemporaryDirectory(prefix="laneway-bench-") as name:
        for steps in (steps_of_a_turn(Path(name)), steps_of_the_archive()):
            for step, work in steps:
                cost = min(timeit.repeat(work, repeat=ROUNDS, number=1)) / JOBS * 1_000_000
                total += cost
                table.add_row(step, f"{cost:.2f}")
    table.add_section()
    table.add_row("all", f"{total:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()

"""The logs of a pool process: what is sent, in which context, and when a log is open. No servers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextvars import copy_context
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import orjson
import pytest
from msgspec.structs import replace

import laneway.worker
from laneway.delivery_lanes import DELIVERY
from laneway.handlers import Cancelled
from laneway.handlers.errors import InvalidPayload
from laneway.lanes.commands import Log
from laneway.lanes.model import JobState, Lease, Outcome
from laneway.lanes.run_log import MAX_LINE_CHARACTERS, RunOutcome, decode
from laneway.worker.pool.current_job import current_job
from laneway.worker.pool.messenger import Messenger
from laneway.worker.pool.progress import ProgressReports
from laneway.worker.pool.run_logs import SEND_BYTES, SEND_BYTES_OF_ONE, RunLogs
from laneway.worker.pool.tasks import TimeLimit, _Limit
from laneway.worker.pool.tracebacks import MAX_FRAMES, MAX_LINES


def lease(number: int = 1) -> Lease:
    return Lease("7", "ann", f"{number:025}", "talk", b"null", 1, 3, suspect=False)


class Bench:
    """Logs of jobs that run until they are ended, and what was sent."""

    def __init__(self) -> None:
        self.running: list[Lease] = []
        self.sent: list[Log] = []
        self.contexts: list[Lease | None] = []
        messenger = Mock(spec=Messenger, send=self._send, send_soon=self._note)
        self.logs = RunLogs(
            "w1", messenger, lambda seconds: int(seconds * 1e6), asyncio.get_running_loop(), self._runs
        )
        self.reports = ProgressReports(messenger, self.logs)

    def _runs(self, lease: Lease) -> bool:
        return any(lease is one for one in self.running)

    def _note(self, _commands: Any) -> None:
        self.contexts.append(current_job.get())

    async def _send(self, commands: list[Log]) -> list[Any]:
        self._note(commands)
        self.sent += commands
        return []

    def start(self, *leases: Lease) -> None:
        self.running += leases

    def end(self, lease: Lease) -> list[str]:
        """End the run and return the lines that it leaves."""
        outcome = self.logs.attach_to(Outcome(lease, JobState.SUCCEEDED, 1, b"1"))
        self.running = [one for one in self.running if one is not lease]
        runs = decode(b"0\t" + outcome.log).runs if outcome.log else []
        return [line.text for run in runs for line in run.lines]


def run(test: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    async def within() -> None:
        await test(Bench())

    asyncio.run(within())


async def wait_for(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def test_a_run_leaves_a_record_only_if_it_logs_or_the_job_goes_on() -> None:
    async def test(bench: Bench) -> None:
        bodies = {JobState.RETRYING: b'{"type":"E","message":"no"}', JobState.QUEUED: b"stopped"}
        found = {}
        for number, state in enumerate(JobState):
            job = lease(number)
            bench.start(job)
            outcome = bench.logs.attach_to(Outcome(job, state, 1, bodies.get(state, b"1")))
            found[state] = [(run.outcome, run.error, run.lines) for run in decode(b"0\t" + outcome.log).runs]
        assert found.pop(JobState.RETRYING) == [(RunOutcome.FAILED, {"type": "E", "message": "no"}, [])]
        assert found.pop(JobState.QUEUED) == [
            (RunOutcome.INTERRUPTED, {"type": "Interrupted", "message": "stopped"}, [])
        ]
        assert set(map(len, found.values())) == {0}

    run(test)


def fail(error: BaseException) -> None:
    raise error


def tracebacks_of(error: BaseException, *, tracebacks: bool = True, type_: str = "talk") -> list[str]:
    found: list[str] = []

    async def test(bench: Bench) -> None:
        bench.logs._tracebacks = tracebacks
        job = replace(lease(), type=type_)
        bench.start(job)
        try:
            fail(error)
        except BaseException as raised:  # noqa: BLE001 - as the runners do
            bench.logs.add_traceback(job, raised)
        found.extend(bench.end(job))

    run(test)
    return found


class Broken(Exception):
    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no"),
        Broken(),
        SystemExit(3),
        ExceptionGroup("all", [ValueError("no")]),
        asyncio.CancelledError(),  # nobody had asked it to stop
    ],
)
def test_the_log_has_the_traceback_of_what_a_handler_raises(error: BaseException) -> None:
    lines = tracebacks_of(error)
    assert any("Traceback (most recent call last):" in line for line in lines)
    assert any("in fail" in line for line in lines)


@pytest.mark.parametrize("error", [Cancelled(), InvalidPayload([])])
def test_an_error_whose_message_says_all_has_no_traceback(error: BaseException) -> None:
    assert tracebacks_of(error) == []


def test_tracebacks_can_be_turned_off() -> None:
    assert tracebacks_of(ValueError("no"), tracebacks=False) == []


def test_a_delivery_that_fails_leaves_no_traceback() -> None:
    assert tracebacks_of(ValueError("no"), type_=DELIVERY) == []


def test_no_exception_of_a_chain_shows_the_frames_of_the_worker() -> None:
    async def slow() -> None:
        await asyncio.sleep(60)

    async def limited() -> None:
        async with _Limit(0.01, TimeLimit):
            await slow()

    with pytest.raises(TimeLimit) as raised:
        asyncio.run(limited())
    lines = tracebacks_of(raised.value)
    assert any("in slow" in line for line in lines), "where it was when its time was over"
    assert any("TimeLimit" in line for line in lines)
    assert not [line for line in lines if str(Path(laneway.worker.__file__).parent) in line]


def test_a_deep_recursion_leaves_its_innermost_frames() -> None:
    def deeper() -> None:
        deeper()

    with pytest.raises(RecursionError) as raised:
        deeper()
    lines = tracebacks_of(raised.value)
    assert len(lines) < 3 * MAX_FRAMES
    assert lines[-1].startswith("RecursionError")


def test_a_traceback_leaves_room_for_the_lines_of_the_handler() -> None:
    assert len(tracebacks_of(ValueError("\n".join(map(str, range(1000)))))) == MAX_LINES


def test_a_delivery_leaves_no_record_and_no_traceback() -> None:
    async def test(bench: Bench) -> None:
        job = replace(lease(), type=DELIVERY)
        bench.start(job)
        bench.logs.add_traceback(job, ValueError("no"))
        failed = Outcome(job, JobState.RETRYING, 1, b'{"type":"E","message":"no"}')
        assert bench.logs.attach_to(failed) is failed

    run(test)


def test_what_we_log_about_sending_belongs_to_no_job() -> None:
    async def test(bench: Bench) -> None:
        job = lease()
        bench.start(job)
        context = bench.reports.context(job)

        def handler() -> None:
            current_job.set(job)
            context.progress(50)
            context.log("a line")

        copy_context().run(handler)
        await wait_for(lambda: len(bench.contexts) == 2)
        assert bench.contexts == [None, None]

    run(test)


def test_new_lines_are_sent_once_and_not_more_than_fits() -> None:
    async def test(bench: Bench) -> None:
        jobs = [lease(number) for number in range(10)]
        bench.start(*jobs)
        for job in jobs:
            for number in range(100):
                bench.logs.add(job, "info", f"{number} " + "x" * 900)
        await wait_for(lambda: bench.sent)
        sizes = [sum(map(len, new.lines)) for new in bench.sent[0].jobs]
        assert len(sizes) == 10
        assert sum(sizes) <= SEND_BYTES
        assert all(0 < size <= SEND_BYTES_OF_ONE for size in sizes)
        newest = [orjson.loads(new.lines[-1])[0] for new in bench.sent[0].jobs]
        assert newest == [100] * 10, "the newest lines are sent"
        bench.logs.add(jobs[0], "info", "one more")
        await wait_for(lambda: len(bench.sent) == 2)
        ((_, (line,), kept),) = bench.sent[1].jobs
        assert orjson.loads(line)[0] == 101
        assert kept < 101, "as many as a run may keep"

    run(test)


def test_a_line_after_the_end_of_its_run_is_no_jobs() -> None:
    async def test(bench: Bench) -> None:
        job = lease()
        bench.start(job)
        bench.logs.add(job, "info", "in time")
        assert bench.end(job) == ["in time"]
        bench.logs.add(job, "info", "late")
        bench.logs.write(job, "info", "late\n")
        assert bench.end(job) == []

    run(test)


def test_a_log_that_a_thread_opens_while_its_run_ends_is_closed() -> None:
    async def test(bench: Bench) -> None:
        job, other = lease(), lease(2)
        bench.start(job, other)
        bench.end(job)
        bench.start(job)  # as a thread sees it that has asked just before the end
        bench.logs.add(job, "info", "late")
        bench.running.remove(job)
        bench.logs.add(other, "info", "a line")
        await wait_for(lambda: bench.sent)
        assert [new.lease for new in bench.sent[0].jobs] == [other]
        assert bench.end(job) == []

    run(test)


def test_a_line_without_end_takes_no_memory() -> None:
    async def test(bench: Bench) -> None:
        job = lease()
        bench.start(job)
        for _ in range(1000):
            bench.logs.write(job, "info", "x" * 1000)
        (log,) = bench.logs._open.values()
        assert len(log._unfinished["info"]) <= MAX_LINE_CHARACTERS + 1
        bench.logs.write(job, "info", "\nnext")
        assert [len(text) for text in bench.end(job)] == [MAX_LINE_CHARACTERS, 4]

    run(test)


def test_a_progress_bar_is_what_a_terminal_would_show() -> None:
    async def test(bench: Bench) -> None:
        job = lease()
        bench.start(job)
        for percent in range(0, 101, 10):
            bench.logs.write(job, "warning", f"\r{percent:3} %")
        bench.logs.write(job, "warning", "\ndone\r\n")
        assert bench.end(job) == ["100 %", "done"]

    run(test)

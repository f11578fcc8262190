"""Async handlers that swallow being cancelled are cancelled again, within bounds."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import structlog

from laneway.handlers import Spec
from laneway.lanes.model import JobState, Lease
from laneway.worker.pool import tasks
from laneway.worker.pool.jobs import ChosenJob
from laneway.worker.pool.run_logs import RunLogs
from laneway.worker.pool.tasks import CANCEL_PAUSE_SECONDS, CANCELS, TaskRunner
from laneway.worker.pool.temporary_files import TemporaryFiles

LEASE = Lease("1", "ann", "job", "deaf", b"null", 1, 3, suspect=False)


class Deaf:
    """A handler that swallows being cancelled a number of times."""

    def __init__(self, times: int) -> None:
        self.left, self.cancels = times, 0

    async def __call__(self, _payload: object) -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancels += 1
                self.left -= 1
                if self.left < 0:
                    raise


def stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handler: Deaf, seconds: float
) -> tuple[list[JobState], list[str]]:
    """Ask the handler to stop again and again, as the lease keeper does. Returns how it ended, and what was logged."""
    return asyncio.run(_stopped(tmp_path, monkeypatch, handler, seconds))


async def _stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, handler: Deaf, seconds: float
) -> tuple[list[JobState], list[str]]:
    over = asyncio.Event()
    logs = RunLogs("w1", Mock(), int, Mock(), lambda _lease: False)
    runner = TaskRunner(int, Mock(), TemporaryFiles(tmp_path), logs, over.set, max_result_bytes=1000)
    spec = Spec("deaf", handler, True, False, 3, 1, 300, None, None)
    now = 0.0
    with structlog.testing.capture_logs() as logged:
        await runner.start([ChosenJob(LEASE, spec, None)])
        monkeypatch.setattr(tasks, "time", SimpleNamespace(monotonic=lambda: now))
        while now < seconds:
            runner.stop(LEASE.handle)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            now += 1
        ended = [run.outcome.state for run in runner.take_ended()]
        handler.left = 0
        runner.interrupt()
        await over.wait()
    return ended, [str(line["event"]) for line in logged]


def test_a_handler_that_swallows_it_is_cancelled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = Deaf(1)
    assert stopped(tmp_path, monkeypatch, handler, 20) == ([JobState.CANCELLED], [])
    assert handler.cancels == 2


def test_a_handler_may_tidy_up_undisturbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    handler = Deaf(1)
    stopped(tmp_path, monkeypatch, handler, CANCEL_PAUSE_SECONDS)
    assert handler.cancels - 1 == 1, "once, and once more by the end of this test"


def test_a_handler_that_swallows_it_always_is_logged_once_and_left_to_its_time_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = Deaf(1000)
    ended, logged = stopped(tmp_path, monkeypatch, handler, 20 * CANCEL_PAUSE_SECONDS)
    assert (ended, logged) == ([], ["cancel_ignored"])
    assert handler.cancels - 1 == CANCELS

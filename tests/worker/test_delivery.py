"""While Redis refuses its commands, the lease keeper still reads messages of processes and enforces time limits."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest

from laneway.handlers import Registry
from laneway.lanes.commands import Command, Finish, Lose, Release, Start
from laneway.lanes.errors import StoreUnavailable
from laneway.lanes.model import Lease
from laneway.worker import private_folder, protocol
from laneway.worker.counts import Counts
from laneway.worker.lease_keeper.connections import Connections
from laneway.worker.lease_keeper.deaths import Deaths
from laneway.worker.lease_keeper.delivery import Delivery
from laneway.worker.lease_keeper.overdue import OverdueJobs
from laneway.worker.lease_keeper.pool import Pool
from laneway.worker.lease_keeper.watched_process import WatchedProcess
from laneway.worker.protocol import HeldJob
from laneway.worker.redis_clock import RedisClock
from laneway.worker.start_tokens import RunningMark, StartTokens

WAIT_SECONDS = 10
NOTHING = cast("Any", None)


def _job(number: int, hard_seconds: float | None = None) -> HeldJob:
    return HeldJob("1", "ann", f"{number:025}", "work", 1, 3, hard_seconds)


class RefusingLanes:
    """A Redis that refuses every command until `accepts` is true, and remembers the commands that it has accepted."""

    def __init__(self) -> None:
        self.refused = 0
        self.accepted: list[Command[Any]] = []
        self.accepts = False

    async def run_all(self, commands: Sequence[Command[Any]]) -> list[Any]:
        """Answer like `AsyncLanes.run_all`."""
        if not self.accepts:
            self.refused += 1
            return [StoreUnavailable("NOREPLICAS") for _ in commands]
        self.accepted += commands
        return [self._reply(command) for command in commands]

    @staticmethod
    def _reply(command: Command[Any]) -> list[Any]:
        match command:
            case Finish():
                return [True] * len(command.outcomes)
            case Release() | Start():
                return [1] * len(command.leases)
        return []

    def taken_back(self) -> list[tuple[str, str]]:
        """The command by which each job came back, in order."""
        leases: list[tuple[str, Lease]] = []
        for command in self.accepted:
            if isinstance(command, Finish):
                leases += [("finish", outcome.lease) for outcome in command.outcomes]
            elif isinstance(command, Lose | Release):
                leases += [(command.script, lease) for lease in command.leases]
        return [(script, lease.job_id) for script, lease in leases]


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that stands in for a pool process, so that the lease keeper can kill it."""
    process = subprocess.Popen(["sleep", "60"])
    yield process
    process.kill()
    process.wait()


def _watched(folder: Path, pid: int) -> WatchedProcess:
    tokens = StartTokens(folder / f"{pid}.tokens", create=True)
    return WatchedProcess(pid, NOTHING, tokens, RunningMark(folder / f"{pid}.running"))


async def _until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.01)


def test_a_shutdown_waits_for_what_is_being_delivered_but_not_for_a_redis_that_refuses_it() -> None:
    async def scenario() -> list[Command[Any]]:
        lanes = RefusingLanes()
        delivery = Delivery(
            cast("Any", lanes), RedisClock(), cast("Any", _Silent()), Counts(), lease_seconds=60
        )
        delivery.send_soon([Release([_job(1).lease()])])
        async with asyncio.timeout(WAIT_SECONDS):
            await delivery.end()
            assert not lanes.accepted
            lanes.accepts = True
            await delivery.end()
        return list(lanes.accepted)  # the loop runs what is left once more before it ends

    (release,) = asyncio.run(scenario())
    assert isinstance(release, Release)


def test_a_time_limit_ends_its_process_while_another_one_waits_for_redis(
    process: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    async def scenario() -> None:
        lanes, pool, clock, counts = RefusingLanes(), Pool(), RedisClock(), Counts()
        delivery = Delivery(cast("Any", lanes), clock, NOTHING, counts, lease_seconds=60)
        waiting, overdue = _watched(tmp_path, 1), _watched(tmp_path, process.pid)
        pool.processes = {1: waiting, process.pid: overdue}
        checking = asyncio.create_task(OverdueJobs("w", pool, delivery, Registry(), clock, counts).run())
        waiting.plan_return([_job(1)])
        await _until(lambda: lanes.refused)
        overdue.add([_job(2, hard_seconds=0.1)], time.monotonic())
        await _until(lambda: process.poll() is not None)
        checking.cancel()

    asyncio.run(scenario())


def test_what_a_process_announced_is_read_while_redis_refuses_what_it_gave_back(
    process: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    """If its death were noticed first, the jobs that it had begun would wait until their leases expire."""

    async def scenario() -> RefusingLanes:
        lanes, pool, clock, counts = RefusingLanes(), Pool(), RedisClock(), Counts()
        delivery = Delivery(cast("Any", lanes), clock, cast("Any", _Silent()), counts, lease_seconds=60)
        deaths = Deaths("w", delivery, clock, counts, max_losses=3)
        serving = asyncio.create_task(Connections(tmp_path, pool, deaths, delivery, counts).serve())
        StartTokens(private_folder.start_tokens_path(tmp_path, process.pid), create=True)
        path = private_folder.socket_path(tmp_path)
        await _until(path.exists)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.connect(str(path))
            link.sendall(protocol.encode(protocol.Hello(process.pid, os.getpid())))
            await _until(lambda: process.pid in pool.processes)
            # The token was taken before its batch was announced.
            pool.processes[process.pid].remove_unstarted([(1, 0)])
            link.sendall(protocol.encode(protocol.BatchPlanned.of(1, [_job(1)])))
            await _until(lambda: lanes.refused)
            link.sendall(protocol.encode(protocol.TasksPlanned([_job(2)])))
            process.kill()
            await _until(lambda: pool.deaths_in_progress)
        lanes.accepts = True
        await _until(lambda: not pool.deaths_in_progress and len(lanes.taken_back()) == 2)
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving
        return lanes

    lanes = asyncio.run(scenario())
    assert set(lanes.taken_back()) == {("release", f"{1:025}"), ("lose", f"{2:025}")}


class _Silent:
    def write(self, events: object) -> None:
        """Log nothing."""

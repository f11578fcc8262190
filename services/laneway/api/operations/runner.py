"""Carries operations out: one at a time in each API process, a few seconds each, so that a long one holds up no other."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from dataclasses import replace

import structlog
from redis.exceptions import RedisError

from laneway.api.operations.actions import Results, act, counted
from laneway.api.operations.selection import next_piece, skip_user
from laneway.api.system import System
from laneway.lanes.errors import LaneError
from laneway.lanes.model import us_of
from laneway.storage.documents import HistoryUnavailable
from laneway.storage.operations import Operation, OperationState, OperationsUnavailable

POLL_SECONDS = 1.0
"""How often a process looks for operations that another one has left. Its own it begins at once."""
TURN_SECONDS = 2.0
"""How long a process works on one operation before it looks for another."""
HOLD_SECONDS = 10.0
"""After this long without progress another process goes on."""
WAIT_SECONDS = 0.5
"""How long an operation rests that waits for room in a lane."""
PATIENCE_SECONDS = 60.0
"""How long an operation waits for room in one lane before it leaves that user's dead letters as they are."""
WARN_SECONDS = 30.0
log = structlog.get_logger()


class Runner:
    """Carries out the operations of the system. `wake` begins at once with a new one."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._holder = secrets.token_hex(8)
        self._woken = asyncio.Event()
        self._warned_at = float("-inf")

    def wake(self) -> None:
        """Look for operations now."""
        self._woken.set()

    async def run_forever(self) -> None:
        """Carry out operations until it is cancelled. No error ends it."""
        while True:
            worked = False
            try:
                worked = await self._turn()
            except (OperationsUnavailable, HistoryUnavailable, LaneError, RedisError, OSError) as error:
                self._warn(error)
            except Exception:
                log.exception("operation_failed")
            if not worked:
                try:
                    await asyncio.wait_for(self._woken.wait(), POLL_SECONDS)
                except TimeoutError:
                    pass
            self._woken.clear()

    def _warn(self, error: Exception) -> None:
        """Log a warning, at most every WARN_SECONDS: a server that is away fails every look."""
        if time.monotonic() - self._warned_at >= WARN_SECONDS:
            self._warned_at = time.monotonic()
            log.warning("operations_unavailable", error=str(error))

    async def _turn(self) -> bool:
        """Work on one operation for at most TURN_SECONDS. Return False if none has work to do."""
        now_us = await self._now_us()
        operation = await self._system.operations.hold(self._holder, now_us, _us(HOLD_SECONDS))
        if operation is None:
            return False
        is_resumed, deadline = not operation.is_settled, time.monotonic() + TURN_SECONDS
        while True:
            operation = await self._step(operation, is_resumed=is_resumed)
            now_us = await self._now_us()
            goes_on = time.monotonic() < deadline and operation.waits_for is None
            held_us = HOLD_SECONDS if goes_on else WAIT_SECONDS if operation.waits_for else 0
            if not await self._system.operations.save(
                operation, self._holder, now_us + _us(held_us), goes_on=goes_on
            ):
                log.info(
                    "operation_ended",
                    operation=operation.id,
                    by=operation.by,
                    action=operation.action,
                    done=operation.done,
                    not_done=operation.not_done,
                )
                return True
            if not goes_on:
                return True
            is_resumed = False

    async def _step(self, operation: Operation, *, is_resumed: bool) -> Operation:
        """Deal with the pending jobs and find the next ones."""
        if operation.pending:
            results = await act(self._system, operation, is_resumed=is_resumed)
            before, operation = operation, counted(operation, results)
            if results.waits_for:
                return await self._wait(before, operation, results)
            operation = replace(operation, waits_since_us=0)
        if operation.is_selected:
            return replace(operation, state=OperationState.FINISHED)
        return await next_piece(self._system, operation)

    async def _wait(self, before: Operation, operation: Operation, results: Results) -> Operation:
        """Wait for room in a lane; after PATIENCE_SECONDS in vain leave out the rest of its user's dead letters."""
        now_us = await self._now_us()
        if results.done or not before.waits_since_us:
            return replace(operation, waits_since_us=now_us)
        if now_us - before.waits_since_us < _us(PATIENCE_SECONDS):
            return operation
        user = results.left[0].partition("/")[0]
        reason = f"{results.waits_for} for {PATIENCE_SECONDS:g} s"
        given_up = Results(left=[key for key in results.left if key.partition("/")[0] != user])
        for key in results.left:
            if key not in given_up.left:
                given_up.refuse(key, reason)
        operation = replace(counted(operation, given_up), waits_since_us=0)
        if given_up.left:  # the search is at another user already
            return operation
        operation, left_out = await skip_user(self._system, operation, user)
        reasons = Counter(operation.reasons) + Counter({reason: left_out})
        return replace(operation, not_done=operation.not_done + left_out, reasons=dict(reasons))

    async def _now_us(self) -> int:
        return us_of(*await self._system.lanes.client.time())


def _us(seconds: float) -> int:
    return round(seconds * 1_000_000)

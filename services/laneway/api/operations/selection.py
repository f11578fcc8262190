"""Finds the jobs of an operation, a piece at a time, and counts them in a dry run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from laneway.api.system import System
from laneway.delivery_lanes import is_delivery_lane
from laneway.lanes.commands import InspectLanes, InspectSelection, Piece
from laneway.lanes.errors import LaneError
from laneway.storage.dead_letters import Selection
from laneway.storage.operations import Action, Operation, Target

PIECE = 100
"""Dead letters found together."""
LOOKED_AT = 200
"""Jobs of a lane that one script call looks at."""
LANES_TOGETHER = 50
COUNT_SECONDS = 0.5
"""How long a dry run counts. There may be more jobs than that."""
FIRST = "+inf"


class Found(NamedTuple):
    """Keys of jobs. `cursor`: where the next ones are; None after the last."""

    keys: Sequence[str]
    cursor: str | None


async def count(system: System, action: Action, target: Target, until_us: int) -> tuple[int, bool]:
    """Return how many jobs match, and whether there may be more."""
    if action is not Action.CANCEL:
        return await system.dead_letters.count(_letters(target, until_us)), False
    deadline, total, cursor = time.monotonic() + COUNT_SECONDS, 0, ""
    while True:
        found = await _live(system, target, until_us, cursor)
        total += len(found.keys)
        if found.cursor is None:
            return total, False
        if time.monotonic() > deadline:
            return total, True
        cursor = found.cursor


async def next_piece(system: System, operation: Operation) -> Operation:
    """Return the operation with the next jobs pending. Raises StoreUnavailable, HistoryUnavailable."""
    if operation.action is Action.CANCEL:
        found = await _live(system, operation.target, operation.begun_us, operation.cursor)
    else:
        letters = _letters(operation.target, operation.begun_us)
        keys = await system.dead_letters.keys(letters, operation.cursor, PIECE)
        found = Found(keys, keys[-1] if len(keys) == PIECE else None)
    if found.cursor is None:
        return replace(operation, pending=found.keys, is_selected=True)
    return replace(operation, pending=found.keys, cursor=found.cursor)


async def skip_user(system: System, operation: Operation, user: str) -> tuple[Operation, int]:
    """Return a retry that goes on behind this user's dead letters, and how many it leaves out."""
    if operation.is_selected:
        return operation, 0
    letters = _letters(replace(operation.target, user=user), operation.begun_us)
    left_out = await system.dead_letters.count(letters, operation.cursor)
    return replace(operation, cursor=f"{user}/~"), left_out


def _letters(target: Target, until_us: int) -> Selection:
    return Selection(target.user, target.type, target.failure, ended_by_us=until_us)


async def _live(system: System, target: Target, until_us: int, cursor: str) -> Found:
    """Find jobs that have not ended: first those that are delayed, since they may enter their lanes meanwhile, then the lanes."""
    where, user, before = cursor.split(" ") if cursor else ("delayed", "", FIRST)
    if where == "delayed":
        piece = await system.lanes.run(_look(target, "delayed", target.user, until_us, before))
        return Found(_keys(piece), f"delayed  {piece.next}" if piece.next else f"lane {target.user} {FIRST}")
    if target.user or before != FIRST:
        piece = await system.lanes.run(_look(target, "lane", user, until_us, before))
        if piece.next:
            return Found(_keys(piece), f"lane {user} {piece.next}")
        return Found(_keys(piece), None if target.user else f"lane {user} {FIRST}")
    return await _next_lanes(system, target, until_us, user)


async def _next_lanes(system: System, target: Target, until_us: int, after: str) -> Found:
    """Look at the lanes behind this user's, until there are enough jobs. Deliveries of webhooks are no jobs of a user."""
    lanes = await system.lanes.run(InspectLanes(after, LANES_TOGETHER))
    users = [lane.user for lane in lanes if not is_delivery_lane(lane.user)]
    looks = [_look(target, "lane", user, until_us, FIRST) for user in users]
    keys: list[str] = []
    for user, piece in zip(users, await system.lanes.run_all(looks), strict=True):
        if isinstance(piece, LaneError):
            raise piece
        keys += _keys(piece)
        if piece.next:
            return Found(keys, f"lane {user} {piece.next}")
        if len(keys) >= LOOKED_AT:
            return Found(keys, f"lane {user} {FIRST}")
    return Found(keys, f"lane {lanes[-1].user} {FIRST}" if lanes else None)


def _look(target: Target, where: str, user: str, until_us: int, before: str) -> InspectSelection:
    return InspectSelection(
        "delayed" if where == "delayed" else "lane",
        user,
        until_us,
        target.since_us,
        target.until_us,
        target.states,
        target.type,
        before,
        LOOKED_AT,
    )


def _keys(piece: Piece) -> list[str]:
    return [f"{job.user}/{job.job_id}" for job in piece.jobs]

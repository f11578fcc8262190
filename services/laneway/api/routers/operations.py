"""Operations: one action on all jobs that match a filter; a user's own, and for administrators anybody's.

Count with a dry run, start, look at the progress, and cancel if need be.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response

from laneway.api import body, views
from laneway.api.audit import Auditor
from laneway.api.deps import Admin, Caller, Limit, Sys, problems
from laneway.api.listing import us_within
from laneway.api.operation_schemas import (
    NewOperation,
    NewOperationOfAdmin,
    OperationPage,
    OperationReply,
    StartedOperation,
)
from laneway.api.operations.selection import count
from laneway.api.problem import Problem
from laneway.api.system import System
from laneway.lanes.model import JobState, us_of
from laneway.scopes import Scope
from laneway.storage.job_query import NEVER_US
from laneway.storage.mongo import now
from laneway.storage.operations import (
    ID_LENGTH,
    LIVE_STATES,
    Action,
    Operation,
    OperationState,
    Target,
    new_id,
)
from laneway.storage.users import canonical

router = APIRouter(tags=["operations"])
_OWN, _ALL = "/api/operations", "/api/admin/operations"
_START = problems(400, 401, 403, 408, 409, 413, 503)
_READ = problems(400, 401, 403, 503)
_ONE = problems(400, 401, 403, 404, 503)
_CANCEL = problems(400, 401, 403, 404, 409, 503)
_New = Annotated[NewOperation, Depends(body.of(NewOperation))]
_NewOfAdmin = Annotated[NewOperationOfAdmin, Depends(body.of(NewOperationOfAdmin))]
_Id = Annotated[str, Path(max_length=64, description="The operation's id, as its start returned it.")]
_Before = Annotated[
    str,
    Query(
        pattern=rf"^([0-9a-f]{{{ID_LENGTH}}})?$",
        description="`next` of the previous page; leave it out for the first.",
    ),
]


@router.post(
    _OWN, response_model=StartedOperation, responses=_START, openapi_extra=body.documented(NewOperation)
)
async def start_operation(caller: Caller, new: _New, system: Sys) -> Response:
    """Do something to all of the caller's jobs that match, or count them. An API key needs `enqueue` too for a retry."""
    if new.action == "retry":
        caller.require(Scope.ENQUEUE)
    begun = await _begun(system, new, caller.user)
    if not new.dry_run:
        await _start(system, begun)
    return views.answer(_started(begun, dry_run=new.dry_run))


@router.get(_OWN, response_model=OperationPage, responses=_READ)
async def list_operations(caller: Caller, system: Sys, before: _Before = "", limit: Limit = 50) -> Response:
    """List the operations that the caller has started, newest first."""
    return await _page(system, caller.user, before, limit)


@router.get(_OWN + "/{operation_id}", response_model=OperationReply, responses=_ONE)
async def get_operation(operation_id: _Id, caller: Caller, system: Sys) -> Response:
    """Show an operation that the caller has started, and how far it is."""
    return views.answer(_shown(_existing(await system.operations.find(operation_id, caller.user))))


@router.post(_OWN + "/{operation_id}/cancel", response_model=OperationReply, responses=_CANCEL)
async def cancel_operation(operation_id: _Id, caller: Caller, system: Sys) -> Response:
    """End an operation that the caller has started. What has been done stays done; a step under way may still end."""
    return views.answer(_shown(await _cancelled(system, operation_id, caller.user)))


@router.post(
    _ALL,
    response_model=StartedOperation,
    responses=_START,
    openapi_extra=body.documented(NewOperationOfAdmin),
    tags=["administration"],
)
async def start_operation_of_admin(auditor: Auditor, new: _NewOfAdmin, system: Sys) -> Response:
    """Do something to all jobs that match, of one user or of all, or count them."""
    begun = await _begun(system, new, canonical(new.user or ""))
    begun = replace(begun, by=auditor.token.user, is_admins=True)
    if not new.dry_run:
        await _start(system, begun)
        details = new.model_dump(mode="json", exclude_none=True, exclude={"action", "user", "dry_run"})
        await auditor.record(
            "operation_started",
            begun.target.user,
            operation=begun.id,
            kind=new.action,
            count=begun.total,
            **details,
        )
    return views.answer(_started(begun, dry_run=new.dry_run))


@router.get(_ALL, response_model=OperationPage, responses=_READ, tags=["administration"])
async def list_all_operations(
    _admin: Admin, system: Sys, before: _Before = "", limit: Limit = 50
) -> Response:
    """List the operations of everybody, newest first."""
    return await _page(system, None, before, limit)


@router.get(_ALL + "/{operation_id}", response_model=OperationReply, responses=_ONE, tags=["administration"])
async def get_any_operation(operation_id: _Id, _admin: Admin, system: Sys) -> Response:
    """Show an operation of anybody."""
    return views.answer(_shown(_existing(await system.operations.find(operation_id, None))))


@router.post(
    _ALL + "/{operation_id}/cancel",
    response_model=OperationReply,
    responses=_CANCEL,
    tags=["administration"],
)
async def cancel_any_operation(operation_id: _Id, auditor: Auditor, system: Sys) -> Response:
    """End an operation of anybody. What has been done stays done; a step under way may still end."""
    cancelled = await _cancelled(system, operation_id, None)
    await auditor.record("operation_cancelled", cancelled.target.user, operation=operation_id)
    return views.answer(_shown(cancelled))


async def _begun(system: System, new: NewOperation, user: str) -> Operation:
    """Return the operation that is asked for, with the number of jobs that match."""
    now_us = us_of(*await system.lanes.client.time())
    begun_us = min(us_within(new.as_of, now_us), now_us)
    action = Action(new.action)
    target = Target(
        user=user,
        type=new.type or "",
        failure=new.failure or "",
        states=tuple(JobState(state) for state in new.state) if new.state else LIVE_STATES,
        since_us=us_within(new.since, 0),
        until_us=us_within(new.until, NEVER_US),
    )
    total, is_low = await count(system, action, target, begun_us)
    return Operation(
        id=new_id(now_us),
        by=user,
        is_admins=False,
        action=action,
        target=target,
        begun_us=begun_us,
        total=total,
        is_total_low=is_low,
        created_at=now(),
    )


async def _start(system: System, operation: Operation) -> None:
    await system.operations.start(operation)
    system.wake_operations()


async def _page(system: System, by: str | None, before: str, limit: int) -> Response:
    found = await system.operations.page(by, before, limit)
    next_ = found[-1].id if len(found) == limit else None
    return views.answer({"operations": [_shown(operation) for operation in found], "next": next_})


async def _cancelled(system: System, operation_id: str, by: str | None) -> Operation:
    before = _existing(await system.operations.cancel(operation_id, by))
    if before.state is not OperationState.RUNNING:
        raise Problem(409, "operation-ended", f"the operation is {before.state}: it cannot be cancelled")
    return _existing(await system.operations.find(operation_id, by))


def _existing(operation: Operation | None) -> Operation:
    if operation is None:
        raise Problem(404, "unknown-operation", "there is no such operation, or somebody else started it")
    return operation


def _started(operation: Operation, *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "count": operation.total,
        "at_least": operation.is_total_low,
        "as_of": views.time(operation.begun_us),
        "operation": None if dry_run else _shown(operation),
    }


def _shown(operation: Operation) -> dict[str, Any]:
    target = operation.target
    reasons = sorted(operation.reasons.items(), key=lambda item: -item[1])
    return {
        "operation_id": operation.id,
        "action": operation.action,
        "by": operation.by,
        "user": target.user or None,
        "type": target.type or None,
        "failure": target.failure or None,
        "states": target.states if operation.action is Action.CANCEL else None,
        "state": operation.state,
        "total": operation.total,
        "at_least": operation.is_total_low,
        "done": operation.done,
        "not_done": operation.not_done,
        "reasons": [{"reason": reason, "count": number} for reason, number in reasons],
        "examples": [
            {"user": one.user, "job_id": one.job_id, "reason": one.reason} for one in operation.examples
        ],
        "waits_for": operation.waits_for,
        "created_at": operation.created_at,
        "finished_at": operation.finished_at,
    }

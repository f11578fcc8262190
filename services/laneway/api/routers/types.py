"""`GET /api/types`: what can be enqueued."""

from __future__ import annotations

from fastapi import APIRouter

from laneway.api import schemas
from laneway.api.deps import Caller, Sys, problems

router = APIRouter(prefix="/api", tags=["jobs"])


@router.get("/types", responses=problems(401, 403, 503))
async def list_types(system: Sys, _caller: Caller) -> schemas.TypeList:
    """List the types that this system can process, with the JSON Schemas of what they take and give, and their limits.

    A client can check a request against `request` before it sends it, or make a form of it. `enqueue` checks it in any case, and
    by rules of the handler's author that JSON Schema cannot express, too.
    """
    return system.types
